"""What the user's own project says: tables of `[tool.workbench]` in the nearest pyproject.toml. A trace never says any of it."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

from workbench.model import EffectClass, Json

DECLARABLE = ("read-only", "idempotent", "effect")
TABLES = ("graphs", "tools", "redaction", "replay", "isolation")


class ProjectError(ValueError):
    """A table of the user's project that says what can't be. The message names the file, the entry, and what would be right."""


def tool_classes(folder: Path) -> dict[str, EffectClass]:
    """What calling each tool does, as `[tool.workbench.tools]` declares. ProjectError for a word that isn't one."""
    found, file = table("tools", folder)
    for name, said in found.items():
        if said not in DECLARABLE:
            raise ProjectError(f"{file} declares the tool {name} as {said!r}: it should be {', '.join(DECLARABLE)}")
    return found


def table(name: str, folder: Path) -> tuple[dict[str, Json], str]:
    """`[tool.workbench.NAME]` of the nearest pyproject.toml from this folder upwards, and that file; empty where there is none.

    ProjectError for a file that is no TOML, and for a table there is none of: one that is misspelt would else say nothing, unnoticed.
    """
    for place in (folder, *folder.parents):
        project = place / "pyproject.toml"
        if project.is_file():
            return _tables(project).get(name, {}), str(project)
    return {}, ""


def _tables(project: Path) -> dict[str, dict[str, Json]]:
    try:
        found: dict[str, dict[str, Json]] = tomllib.loads(project.read_text("utf-8")).get("tool", {}).get("workbench", {})
    except ValueError as error:  # no TOML, or no text
        raise ProjectError(f"{project} can't be read: {error}") from error
    for name, entries in found.items():
        check_name(f"{project}: [tool.workbench]", name, TABLES)
        if not isinstance(entries, dict):
            raise ProjectError(f"{project}: tool.workbench.{name} should be a table, found {entries!r}")
    return found


def check_name(place: str, name: str, known: tuple[str, ...]) -> None:
    """ProjectError for a name that is none of those known at this place, with the nearest."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ProjectError(f"{place} has no {name!r}" + (f"; did you mean {near[0]}?" if near else "") + f" There are {', '.join(known)}")
