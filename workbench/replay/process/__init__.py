"""The process of a re-run, seen from outside.

`parent` starts it, by a `forkserver` where there is one, and `child` is its beginning. `scratch` bounds what it writes, `watch` looks on and stops it.
"""
