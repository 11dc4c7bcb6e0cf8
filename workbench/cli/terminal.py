"""The terminal: what is printed there, how trace text is made harmless for it, and how far a long piece of work is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.model import Json

PIPED_WIDTH = 160
NAME_CHARACTERS = 24

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)


@contextmanager
def opened(store: str, *, create: bool = False) -> Iterator[Bench]:
    """The bench over a store, closed again at the end."""
    from workbench.bench import Bench
    from workbench.database import location
    from workbench.store import Store

    bench = Bench(Store.open(location(store), create=create))
    try:
        yield bench
    finally:
        bench.close()


def named(store: str) -> str:
    """The store as one may show it: a URL without its password."""
    from workbench.database import location

    return str(location(store))


class _Rate(ProgressColumn):
    """How fast it goes: bytes or pieces a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{decimal(int(speed))}/s" if task.fields.get("unit") == "bytes" else f"{speed:,.0f}/s")


@contextmanager
def progress_bar(verb: str, as_json: bool) -> Iterator[Callable[[Any, int, int], None]]:
    """A bar on standard error while something long goes on, for people only."""
    columns = (TextColumn(verb), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def update(what: Any, done: int, total: int) -> None:
            if bar.tasks[0].total != total:  # another piece of work, with a rate of its own
                bar.reset(task, total=total)
            bar.update(task, completed=done, description=shown(short(what)), unit="bytes" if isinstance(what, Path) else str(what))

        yield update


def shown(text: str) -> str:
    """Trace text for the terminal: neither rich's markup nor the terminal's own control sequences in it come to life."""
    from workbench.report.markup import visible

    return escape(visible(text))


def parsed(text: str, option: str) -> Json:
    """What an option's JSON says; a bad option, with a hint at the quotes a text wants, where it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is no JSON: {error}; a text wants quotes of its own, like '\"text\"'") from error


def print_json(value: Json) -> None:
    """One JSON document, as scripts read it."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")  # ASCII: no terminal control survives, whatever the trace holds


def print_line(value: Json) -> None:
    """One line of JSON lines."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def short(path: Any) -> str:
    """A path as one would type it from here."""
    text = os.path.relpath(path) if isinstance(path, Path) else str(path)
    return str(path) if text.startswith("..") else text


def cut(name: str) -> str:
    """A name short enough for a column."""
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"
