"""The program `workbench`: its commands in groups, and how it ends when something could not be done."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from workbench.cli.terminal import err

BEGIN, COLLECT, DETECT, STEP, REPLAY, REPORT, KEEP = PANELS = (
    "Begin",
    "Collect",
    "Detect",
    "Step",
    "Fork and replay",
    "Report and prove",
    "Keep",
)


F = TypeVar("F", bound=Callable[..., Any])


class _Grouped(TyperGroup):
    """Shows commands under the heading of their group, groups in the order of the work."""

    def _panel(self, name: str) -> str:
        return str(getattr(self.commands[name], "rich_help_panel", ""))

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of commands, group by group."""
        return sorted(super().list_commands(ctx), key=lambda name: PANELS.index(self._panel(name)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One list below each heading, all in columns of the same width."""
        names = self.list_commands(ctx)
        widest = max(map(len, names))
        for panel, those in groupby(names, key=self._panel):
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(widest), self.commands[name].get_short_help_str(formatter.width - widest - 6)) for name in those])


app = typer.Typer(
    cls=_Grouped,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Investigate what an AI agent did: collect, detect, step, fork and replay, report.",
    epilog="Each command tells more and gives an example: workbench COMMAND --help",
)


def command(panel: str, example: str, *, name: str | None = None) -> Callable[[F], F]:
    """Adds a function as a command to a group, with a line that one can type at the end of its help."""
    return app.command(name=name, rich_help_panel=panel, epilog=f"Example: {example}")


def main() -> None:
    """Run the command line; a known error is one line on standard error and exit status 2."""
    try:
        app()
    except Exception as error:
        says = _told(error)
        if says is None:
            raise
        from workbench.report.markup import visible

        err.print(f"error: {visible(says)}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(2) from error


def _told(error: Exception) -> str | None:
    """What to say of an error that is known; none of a fault of the workbench itself."""
    from sqlalchemy.exc import DatabaseError

    from workbench.cli.errors import KNOWN

    if isinstance(error, DatabaseError):
        return f"the store is damaged, or can't be read: {error.orig}; `workbench verify` says more, and nothing in it was changed"
    if not isinstance(error, KNOWN):
        return None
    return str(error) if isinstance(error, OSError) else str(error.args[0] if error.args else error)
