"""What the user's own project says: tables of `[tool.workbench]` in the nearest pyproject.toml. A trace never says any of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from workbench.model import EffectClass, Json

DECLARABLE = ("read-only", "idempotent", "effect")


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
    """`[tool.workbench.NAME]` of the nearest pyproject.toml from this folder upwards, and that file; empty where there is none."""
    for place in (folder, *folder.parents):
        project = place / "pyproject.toml"
        if project.is_file():
            found = tomllib.loads(project.read_text("utf-8")).get("tool", {}).get("workbench", {}).get(name, {})
            return found, str(project)
    return {}, ""
