"""What was recorded of a run, and which recording a call of its re-run is the same as.

- *calls*: `cassette` (each call and its answer), `captured` (what only spans tell), `tape` (plays them, one recorded answer for one same call).
- *the thread*: `cut` (a copy up to a step), `tasks` (what the nodes after it wrote), `configs` and `contexts` (what the run was started with), `nesting`
  (what was done inside of what), `place` (where in the graph).
- *sameness*: `scrubbing`, `identities`, `numbering` and `history` are what makes a call the same as a recorded one; `course` is where a re-run leaves the
  recording.
"""
