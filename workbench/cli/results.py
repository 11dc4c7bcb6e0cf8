"""What a command came to: handed in as a file, as JSON for scripts, or as text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.cli.terminal import out, print_json, shown

if TYPE_CHECKING:
    from workbench.model import Json
    from workbench.report import Report


class Reported(Protocol):
    """A value that can be handed in."""

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """Its report, written to `path`."""
        ...


def check_free(output: Path | None, *, force: bool) -> None:
    """ReportError where a file of this name stands already and may not be overwritten: said before the work, not after it."""
    from workbench.report import ReportError, files_of

    taken = next((file for file in files_of(output) if file.exists()), None) if output else None
    if taken and not force:
        raise ReportError(f"{taken} is there already; --force overwrites it, or give another name with -o")


def hand_in(found: Reported, told: Json, output: Path | None, *, as_json: bool) -> None:
    """Write the report of a value where a file is asked for; else print `told` as JSON, or the value as text."""
    if output:
        found.report(output)
        tell_written(output, as_json=as_json)
    else:
        tell(found, told, as_json=as_json)


def tell(found: object, told: Json, *, as_json: bool) -> None:
    """Print a value as text, or `told` as JSON."""
    if as_json:
        print_json(told)
    else:
        out.print(repr(found), markup=False, soft_wrap=True)


def tell_written(output: Path, *, as_json: bool) -> None:
    """Say which files a report was written to."""
    from workbench.report import files_of

    if as_json:
        print_json({"report": str(output), "bytes": output.stat().st_size})
        return
    offline = "; it opens offline" if output.suffix.lower() == ".html" else ""
    beside = "".join(f" and {file}" for file in files_of(output)[1:] if file.exists())
    out.print(f"wrote {shown(str(output) + beside)}, {output.stat().st_size:,} bytes{offline}")
