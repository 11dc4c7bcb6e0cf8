"""README and CONTRIBUTING say what is so: their code runs, their recipes are plugins, what they show is what comes."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import anywidget
import pytest

from workbench import plugins
from workbench.detection import examine
from workbench.source import Source

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def module(name: str, code: str, path: Path) -> ModuleType:
    """A module of this code, in a file, as a plugin is."""
    path.write_text(code, encoding="utf-8")
    made = ModuleType(name)
    made.__file__ = str(path)
    exec(compile(code, path, "exec"), made.__dict__)  # the recipe, which this repository wrote
    made.__doc__ = ast.get_docstring(ast.parse(code))
    return made


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder from which a checkout's files are seen, so that what is written stays out of the repository."""
    for name in ("sample_traces", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_five_lines_print_what_readme_shows(checkout: Path):
    """README's Python runs as it stands and comes to the output below it."""
    code, shown = blocks(README, "python")[0], blocks(README, "text")[0]
    *lines, last = code.strip().splitlines()
    assert len(lines) == 4
    names: dict[str, object] = {}
    exec("\n".join(lines), names)  # README's own lines
    assert repr(eval(last, names)) == shown.strip()  # as above


def test_readmes_commands_work(checkout: Path):
    """The three commands that README gives for the shell end well, one after the other."""
    for line in blocks(README, "sh")[-1].strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "workbench"
        done = subprocess.run([sys.executable, "-m", "workbench.cli", *arguments], cwd=checkout, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_collector_recipe_is_a_collector(tmp_path: Path):
    """CONTRIBUTING's collector has the shape of one, and reads its example."""
    collector = plugins._collector("tsv", module("tsv", blocks(CONTRIBUTING, "python")[0], tmp_path / "tsv.py"))
    (example,) = collector.examples
    path = tmp_path / example.name
    path.write_bytes(example.content + b"not a line of it\n")
    assert collector.accepts(Source(path))
    assert [type(record).__name__ for record in collector.collect(Source(path))] == ["Conversation", "Skip"]


def test_the_detector_recipe_is_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """CONTRIBUTING's detector fires on its example and is quiet on the other."""
    detector = plugins._detector("refund-without-reason", module("refund", blocks(CONTRIBUTING, "python")[1], tmp_path / "refund.py"))
    monkeypatch.setattr("workbench.detection.detectors", lambda: {detector.name: detector})
    assert [finding.step for finding in examine(detector.fires_on[0])[0]] == [0]
    assert examine(detector.quiet_on[0]) == ([], [])


def test_the_widget_recipe_is_a_widget(tmp_path: Path):
    """CONTRIBUTING's widget can be made from a run, and its step set from Python."""
    (tmp_path / "step_picker.js").write_text("export default { render({ model, el }) { el.textContent = model.get('step'); } }", encoding="utf-8")
    head = "from pathlib import Path\nimport anywidget, traitlets\nfrom workbench.model import Run\nfrom workbench.widgets import assets\n"
    made = module("widget", head + blocks(CONTRIBUTING, "python")[2], tmp_path / "widget.py")
    from workbench.sketch import sketch, user  # noqa: PLC0415  # used by this test alone

    picker = made.StepPicker(sketch(user("hi")))
    picker.step = 0
    assert isinstance(picker, anywidget.AnyWidget)
    assert picker.rows == [[0, "human", "user"]]


def test_the_changelog_has_an_unreleased_part():
    """What changed for users is written down before it is released."""
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_links_lead_somewhere():
    """Every relative link in the documents names a file that is there."""
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_detectors_are_listed():
    """`workbench detectors` tells each that ships with what is known of it; with a name, all of its documentation."""
    every, one = (
        subprocess.run([sys.executable, "-m", "workbench.cli", "detectors", *name], capture_output=True, text=True, timeout=300, check=True).stdout
        for name in ((), ("runaway-loop",))
    )
    assert [name for name in plugins.detectors() if f"{name}  " not in every] == []
    assert "Why it matters:" in one
    assert "measured: " in one
