"""What the user's own pyproject.toml may say, and what becomes of what it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.project import ProjectError, table
from workbench.replay.recording.scrubbing import configured


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[tool.workbench.isolatoin]\nmedium = "container"', r"\[tool.workbench\] has no 'isolatoin'; did you mean isolation\? There are graphs, tools,"),
        ('[tool.workbench.replay.scurb]\nx = "y"', r"\[tool.workbench.replay\] has no 'scurb'; did you mean scrub\?"),
        ('[tool.workbench.replay.scrub]\nx = "["', r"\[tool.workbench.replay.scrub\] x = '\[' is no regular expression"),
        ("[tool.workbench]\ntools = 3", "tool.workbench.tools should be a table, found 3"),
        ("[tool.workbench", "pyproject.toml can't be read: "),
    ],
)
def test_what_is_misspelt_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """A table or an entry that nobody would read, and so would not hold, is an error that names the nearest."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ProjectError, match=why):
        configured(tmp_path)


def test_the_nearest_file_says(tmp_path: Path) -> None:
    """The file of the folder one works in, or of one around it; another tool's tables are none of ours."""
    (tmp_path / "pyproject.toml").write_text('[tool.other.x]\ny = 1\n[tool.workbench.tools]\npay = "effect"\n')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert table("tools", tmp_path / "deep" / "er") == ({"pay": "effect"}, str(tmp_path / "pyproject.toml"))
    (tmp_path / "deep" / "pyproject.toml").write_text("")
    assert table("tools", tmp_path / "deep" / "er") == ({}, str(tmp_path / "deep" / "pyproject.toml"))
