"""Options that several commands take, and the words they accept."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

STORE = "workbench.db"
OUTPUT = "a file ending in .html, .md, .json, .sarif, .xml (JUnit), .csv or .parquet."

StoreOption = Annotated[str, typer.Option("--store", help="The store's file, or the URL of its PostgreSQL database.", envvar="WORKBENCH_STORE")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there already.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its beginning; `workbench runs` lists them.")]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", help="Write a report instead: " + OUTPUT)]


class SeverityName(StrEnum):
    """A severity, as an option takes it."""

    info = "info"
    warning = "warning"
    error = "error"


class LevelName(StrEnum):
    """A level of isolation, as an option takes it."""

    process = "process"
    container = "container"
    gvisor = "gvisor"
    firecracker = "firecracker"
