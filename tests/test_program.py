"""The files of an agent's program, by which a sweep knows that it is still the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.replay.program import program_digest

FILES = {
    "agent.py": "import json\nfrom pkg import tools\n\ndef late():\n    import prompts\n",
    "prompts.py": "SAY = 'hello'\n",
    "pkg/__init__.py": "",
    "pkg/tools.py": "from . import places\nfrom .deep.er import x\n",
    "pkg/places.py": "",
    "pkg/deep/__init__.py": "from ..up import y\n",
    "pkg/deep/er.py": "x = 1\n",
    "pkg/up.py": "import agent\ny = 2\n",
    "other.py": "raise SystemExit\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An agent of several modules, of which none can be imported."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("graph", ["agent:graph", "agent.py:graph"])
@pytest.mark.parametrize("name", FILES)
def test_a_program_is_what_it_imports(project: Path, graph: str, name: str) -> None:
    """A change in the graph's module, or in one that it imports, however deep and wherever written, makes it another program; any other file doesn't."""
    before = program_digest(graph)
    assert before
    (project / name).write_text("# mended\n")
    assert (program_digest(graph) != before) is (name != "other.py")


def test_a_program_that_is_not_there(project: Path) -> None:
    """A graph in no module has no program; one that is no Python has, but imports nothing."""
    assert program_digest("nowhere:graph") == program_digest("nowhere.py:graph") == program_digest("pkg.nowhere:graph") == program_digest("") == ""
    (project / "agent.py").write_text("def (")
    broken = program_digest("agent:graph")
    (project / "prompts.py").write_text("")
    assert broken == program_digest("agent:graph") != ""
