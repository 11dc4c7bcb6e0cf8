"""The command line: thin over `workbench.bench`. Prints tables for people, and JSON for scripts where `--json` is given.

Exit status: 0 done, 1 done but with a fork that was halted or blocked, a detector that failed, or an ingest that could use nothing of what it was given,
2 could not be done (the reason is on standard error), 3 done, and `detect --fail-on` found what it was to fail on.

One module for each group of commands, in the order of the work; what a command needs it imports when it runs, so that `--help` is there at once.
"""

from workbench.cli import collecting, detecting, keeping, notebooks, replaying, reporting, stepping  # noqa: F401  # importing them adds their commands
from workbench.cli.application import app, main

__all__ = ["app", "main"]
