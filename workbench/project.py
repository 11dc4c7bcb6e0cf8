"""What the user's own project says: tables of `[tool.workbench]` in the nearest pyproject.toml. A trace never says any of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from workbench.model import Json


def table(name: str, folder: Path) -> tuple[dict[str, Json], str]:
    """`[tool.workbench.NAME]` of the nearest pyproject.toml from this folder upwards, and that file; empty where there is none."""
    for place in (folder, *folder.parents):
        project = place / "pyproject.toml"
        if project.is_file():
            found = tomllib.loads(project.read_text("utf-8")).get("tool", {}).get("workbench", {}).get(name, {})
            return found, str(project)
    return {}, ""
