"""Every notebook runs from top to bottom, tells its story, and is committed without output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STORY = ROOT / "notebooks" / "01_double_booking.ipynb"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[nbformat.NotebookNode, Path]:
    """The first notebook, executed in a copy of its surroundings, and the folder it ran in."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "sample_traces", root / "sample_traces", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    folder = root / "notebooks"
    folder.mkdir()
    notebook = nbformat.read(STORY, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def shown(notebook: nbformat.NotebookNode, source: str) -> str:
    """Everything the cell that contains this source printed or displayed."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source)
    return "\n".join(output.get("text") or "".join(map(str, output["data"].values())) for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_output(path: Path):
    """A notebook in the repository holds what a person wrote, and no trace content."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


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
