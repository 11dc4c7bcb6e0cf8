"""Options that several commands take, and the words they accept."""

from __future__ import annotations

from datetime import datetime
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
AgentOption = Annotated[str | None, typer.Option("--agent", help="Only this agent's runs.")]
VersionOption = Annotated[str | None, typer.Option("--agent-version", help="Only runs of this version of the agent.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="Only runs started at or after this moment, such as 2026-11-23T03:00+00:00.")]
LabelsOption = Annotated[Path | None, typer.Option("--labels", help="A CSV file that tells which runs failed: run_id, failed (or success).")]


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


def moment(text: str | None) -> datetime | None:
    """The moment that a text names. BadParameter for one that names none."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no moment; give one such as 2026-11-23T03:00+00:00") from error
