"""A detector with the wrong signature, for a test.

Why it matters: it would silently not run.
What to do: take one argument.
"""

from workbench.sketch import sketch, user

FIRES_ON = QUIET_ON = (sketch(user("hi")),)


def detect(run, flag):
    """Take one argument too many."""
    return []
