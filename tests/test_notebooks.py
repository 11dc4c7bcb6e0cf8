"""Every notebook runs from top to bottom, tells its story, and is committed without output."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STORY = "01_double_booking"
TOLD = {
    "00_start_here": {"fork.outcome": "charged once", "compare(run, fork)": "book_flight"},
    "02_lost_progress": {"fetched(healthy)": "[1, 2, 3, 1, 2, 3, 4, 5, 6]", "control.receipt": "live=0"},
    "03_forty_seven_follow_ups": {"compare(run, answered).effects": "'47 → 0'", "waiting.receipt.outcome": "no recording of tool await_answer"},
    "04_burned_budget": {"cheap.outcome": "OS 51", '"same_call > 3"': "good runs stopped: 0.20", '"same_result > 3"': "good runs stopped: 0.00"},
    "05_quietly_wrong": {"room.outcome": "Ryokan Asama", 'search("Kikyo")': "28", "broken.outcome": "Kikyo"},
    "06_five_hundred_runs": {
        "bench.incident(": "29 of 500 runs affected",
        'group_by("version"': "26",
        "worst.neighbours": "this run called book_flight",
        "effect.idempotency_key": "(9, None)",
        "really booked twice": "26 found, 0 false alarms, 0 missed",
    },
    "07_fork_and_prove": {
        "panel.wait()": 'bench.run("booked-twice").fork(11, tool_result=',
        "controls(k=2)": "not shown that the change did it",
        "controls(k=4)": "in 4 of 4 with the change, in 0 of 4 without",
    },
    "08_audit_before_deploying": {"bench.audit()": "9 not met", "verify_report": "[]"},
    "09_your_own_detector": {"quiet on": "quiet on [[], []]", "bench.findings()": "booked-twice", "fork.findings": "[]"},
    "10_your_own_collector": {"mine.collect": "the line was cut off", "bench.detect()": "refund 1 → 2"},
    "11_your_own_traces": {"bench.ingest(exports)": "a pickle runs code when it is loaded", "leak.jsonl": "[redacted secret"},
}
"""What a person is to see in each notebook: a piece of a cell's source, and what that cell shows."""

Execute = Callable[[str], tuple[nbformat.NotebookNode, Path]]


@pytest.fixture(scope="module")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Execute:
    """Executes a notebook once, in a copy of its surroundings; gives it with its outputs, and the folder it ran in."""

    @cache
    def executed(name: str) -> tuple[nbformat.NotebookNode, Path]:
        root = tmp_path_factory.mktemp("checkout")
        shutil.copytree(ROOT / "sample_traces", root / "sample_traces", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
        folder = root / "notebooks"
        folder.mkdir()
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
        return notebook, folder

    return executed


@pytest.fixture
def story(execute: Execute) -> tuple[nbformat.NotebookNode, Path]:
    """The first incident's notebook, executed, and the folder it ran in."""
    return execute(STORY)


def shown(notebook: nbformat.NotebookNode, source: str) -> str:
    """Everything the cell that contains this source printed or displayed."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source)
    return "\n".join(output.get("text") or "".join(map(str, output["data"].values())) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_output(path: Path):
    """A notebook in the repository holds what a person wrote, and no trace content."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_end_with_what_was_learnt_and_lead_on(path: Path):
    """The last cell says what was learnt, and every link to a file leads to one."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert "## What was learnt" in "".join(cells[-1]["source"])
    prose = "".join(line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"])
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", prose)
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("name", TOLD)
def test_a_notebook_runs_from_top_to_bottom(execute: Execute, name: str):
    """No cell raises, and what the text speaks of is what the cells show."""
    notebook, _ = execute(name)
    assert [source for source, text in TOLD[name].items() if text not in shown(notebook, source)] == []


def test_every_notebook_is_run():
    """No notebook is committed that no test runs."""
    assert {path.stem for path in NOTEBOOKS} == {*TOLD, STORY}


def test_the_finding_stands_at_the_top(story: tuple[nbformat.NotebookNode, Path]):
    """Detecting shows the duplicated effect first, with its count."""
    notebook, _ = story
    assert "book_flight 1 → 2" in shown(notebook, "bench.detect()")


def test_the_fork_books_once(story: tuple[nbformat.NotebookNode, Path]):
    """The comparison counts two bookings on the left and one on the right."""
    notebook, _ = story
    assert "'book_flight': '2 → 1'" in shown(notebook, "comparison.effects")
    assert "live=0" in shown(notebook, "control = ")


def test_the_report_is_one_file_without_script(story: tuple[nbformat.NotebookNode, Path]):
    """The exported report stands alone: no script, nothing to fetch."""
    _, folder = story
    report = (folder / "double_booking.html").read_text("utf-8")
    assert "2 → 1" in report
    assert "<script" not in report
    assert "Content-Security-Policy" in report


def test_the_recording_is_untouched(story: tuple[nbformat.NotebookNode, Path]):
    """After two forks the recorded files are the committed ones, byte for byte, and nothing lies beside them."""
    _, folder = story
    mine, theirs = folder.parent / "sample_traces" / "booked_twice", ROOT / "sample_traces" / "booked_twice"
    assert sorted(path.name for path in mine.iterdir()) == sorted(path.name for path in theirs.iterdir())
    assert all(path.read_bytes() == (theirs / path.name).read_bytes() for path in mine.iterdir())
