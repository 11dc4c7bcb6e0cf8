"""A report is held against a store: what was edited in it, or changed in the store, is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench as wb
from tests.test_cli import run as command
from workbench.comparison.controls import outcome_of
from workbench.model import CallCounts, Change, Message, Receipt, Run
from workbench.replay.sweeps import Cell
from workbench.report import ReportError, save
from workbench.report.reference import parse, reference_of, token
from workbench.report.verification import Unsupported
from workbench.results.swept import Repetition, Swept
from workbench.sketch import model

FORMATS = ("html", "md", "json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sample incidents, examined."""
    path = tmp_path_factory.mktemp("verify") / "workbench.db"
    bench = wb.open(path)
    bench.ingest(Path("sample_traces/booked_twice"), Path("sample_traces/healthy_booking"))
    bench.detect()
    bench.close()
    return path


@pytest.fixture
def bench(whole: Path, tmp_path: Path) -> Iterator[wb.Bench]:
    """A copy that a test may change."""
    for file in whole.parent.glob("workbench.db*"):
        shutil.copy(file, tmp_path / file.name)
    opened = wb.open(tmp_path / "workbench.db")
    yield opened
    opened.close()


def kinds(found: list[Unsupported]) -> set[str]:
    return {one.kind for one in found}


def altered(bench: wb.Bench, run_id: str, **fields: object) -> None:
    """Let the store say something else of the run."""
    bench.store.save_runs([bench.run(run_id).run.model_copy(update=fields)])


def changed_steps(run: Run, index: int, **fields: object) -> tuple[object, ...]:
    return tuple(step.model_copy(update=fields) if step.index == index else step for step in run.steps)


@pytest.mark.parametrize("ending", FORMATS)
def test_untouched_reports_are_supported(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """Each kind of report, in each format, is supported by the store that it was made of."""
    paths = [tmp_path / f"{kind}.{ending}" for kind in ("run", "store", "comparison", "audit")]
    bench.run("booked-twice").report(paths[0])
    bench.report(paths[1])
    wb.compare(bench.run("booked-twice"), bench.run("healthy-booking"), ignore=["ids"]).report(paths[2])
    bench.audit().report(paths[3])
    assert {path.name: bench.verify_report(path) for path in paths} == {path.name: [] for path in paths}


@pytest.mark.parametrize("ending", FORMATS)
def test_an_edited_word_is_named(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """A number edited in the text of a report is named with what the store has instead."""
    path = tmp_path / f"run.{ending}"
    bench.run("booked-twice").report(path)
    text = path.read_text("utf-8")
    path.write_text(text.replace("BK-1002", "BK-9999"), "utf-8")
    found = bench.verify_report(path)
    assert any("BK-9999" in one.says and "BK-1002" in one.says for one in found if one.kind == "statement")


def test_what_the_viewer_holds_is_checked_too(bench: wb.Bench, tmp_path: Path) -> None:
    """A word that was edited only in the viewer's data, which no statement shows, is told as markup that isn't ours."""
    path = tmp_path / "run.html"
    bench.run("booked-twice").report(path)
    text, apart = path.read_text("utf-8"), 'id="viewer-data">'
    before, data = text.split(apart)
    path.write_text(before + apart + data.replace("BK-1002", "BK-9999"), "utf-8")
    assert kinds(bench.verify_report(path)) == {"markup"}


@pytest.mark.parametrize("ending", FORMATS)
def test_a_value_that_changed_in_the_store_is_named(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """Where a cited value has another hash in the store now, the step, path and both hashes are named."""
    path, recorded = tmp_path / f"run.{ending}", bench.run("booked-twice")
    recorded.report(path)
    proof = recorded.findings[0].evidence[0]
    cited = next(one for finding in recorded.findings for one in finding.evidence if one.path == "$.tool_call.arguments")
    call = recorded.step(cited.step).tool_call
    other = call.model_copy(update={"arguments": {**call.arguments, "seat": "1A"}})
    altered(bench, "booked-twice", steps=changed_steps(recorded.run, cited.step, tool_call=other))
    found = bench.verify_report(path)
    assert any(one.step == cited.step and cited.sha256[:12] in one.says for one in found if one.kind == "hash differs")
    assert proof.run_id == "booked-twice"


@pytest.mark.parametrize("ending", FORMATS)
def test_a_step_that_is_gone_is_named(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """Where the store's run has lost its later steps, the cited ones are said to be gone, and so is the finding."""
    path, recorded = tmp_path / f"run.{ending}", bench.run("booked-twice")
    recorded.report(path)
    altered(bench, "booked-twice", steps=recorded.run.steps[:2])
    assert {"step gone", "finding gone"} <= kinds(bench.verify_report(path))


@pytest.mark.parametrize("ending", FORMATS)
def test_an_unknown_run_is_named(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """A report on a run that the store doesn't have is not supported."""
    path = tmp_path / f"run.{ending}"
    bench.run("booked-twice").report(path)
    other = wb.open(tmp_path / "other.db")
    found = other.verify_report(path)
    other.close()
    assert kinds(found) == {"unknown run"}
    assert found[0].run_id == "booked-twice"


def test_a_finding_that_was_made_up_is_named(bench: wb.Bench, tmp_path: Path) -> None:
    """A finding that nobody found is named, in whatever words it was put into the values."""
    path = tmp_path / "run.json"
    made = bench.run("booked-twice").report()
    worse = made.findings[0].model_copy(update={"severity": "info", "message": "nothing happened"})
    save(made.model_copy(update={"findings": (worse,)}), path)
    assert {"finding gone", "statement", "left out"} <= kinds(bench.verify_report(path))


@pytest.mark.parametrize("ending", ["html", "md"])
def test_a_claim_that_was_cut_out_is_named(bench: wb.Bench, tmp_path: Path, ending: str) -> None:
    """A report from which a finding was removed is said to leave it out."""
    path = tmp_path / f"run.{ending}"
    made = bench.run("booked-twice").report()
    save(made.model_copy(update={"findings": made.findings[1:]}), path)
    left_out = [one.says for one in bench.verify_report(path) if one.kind in {"left out", "statement"}]
    assert any(made.findings[0].detector in says for says in left_out)


def test_hidden_changes_of_a_page_are_named(bench: wb.Bench, tmp_path: Path) -> None:
    """A page whose words are untouched but whose markup hides or leads elsewhere is not accepted; neither is a bar that was redrawn."""
    path = tmp_path / "run.html"
    bench.run("booked-twice").report(path)
    text = path.read_text("utf-8")
    path.write_text(text.replace('class="mark error"', 'class="mark ok"'), "utf-8")
    assert kinds(bench.verify_report(path)) == {"markup"}
    redrawn = text.replace("<polyline ", '<polyline opacity="0" ').replace("<path ", '<path opacity="0" ').replace("<circle ", '<circle opacity="0" ')
    assert redrawn != text
    path.write_text(redrawn, "utf-8")
    assert any("drawn" in one.says for one in bench.verify_report(path))


def test_a_long_statement_is_shown_where_it_differs(bench: wb.Bench, tmp_path: Path) -> None:
    """Of two long values the part is shown in which they differ."""
    path, recorded = tmp_path / "run.json", bench.run("booked-twice")
    changed = changed_steps(recorded.run, 0, error="x" * 900 + "here" + "y" * 900)
    altered(bench, "booked-twice", steps=changed)
    bench.run("booked-twice").report(path)
    path.write_text(path.read_text("utf-8").replace("xhere", "xthere"), "utf-8")
    assert any("xthereyy" in one.says and "xhereyy" in one.says for one in bench.verify_report(path))


def test_a_store_report_outlives_new_runs(bench: wb.Bench, tmp_path: Path) -> None:
    """What a store report says stays supported after other runs came in, since it names those it is about."""
    path = tmp_path / "store.md"
    bench.report(path)
    bench.ingest(Path("sample_traces/healthy_retry"))
    assert len(bench.runs()) == 3
    assert bench.verify_report(path) == []


@pytest.mark.parametrize("content", ["", "# A note", "[workbench-report]: #AAAA", "[workbench-report]: #eJwrTs5PVQUAB8wCTQ=="])
def test_another_file_is_refused(bench: wb.Bench, tmp_path: Path, content: str) -> None:
    """A file that says nothing of what it is about, or garbage, is refused with a reason."""
    path = tmp_path / "note.md"
    path.write_text(content, "utf-8")
    with pytest.raises(ReportError, match="no report that this workbench wrote"):
        bench.verify_report(path)


def test_reference_reads_back(bench: wb.Bench) -> None:
    """What a report says it is about reads back to the same."""
    made = bench.run("booked-twice").report()
    assert parse(token(made)) == reference_of(made)


def test_verify_on_the_command_line(bench: wb.Bench, tmp_path: Path) -> None:
    """`verify FILE` exits 0 where all is supported, 1 with each statement named where not; without a file it checks the store."""
    path, store = tmp_path / "run.md", bench.store.path
    bench.run("booked-twice").report(path)
    assert "every statement is supported" in command("verify", path, "--store", store)
    path.write_text(path.read_text("utf-8").replace("BK-1002", "BK-9999"), "utf-8")
    told = json.loads(command("verify", path, "--store", store, "--json", status=1))
    assert any("BK-9999" in one["says"] for one in told["unsupported"])
    assert "every payload has the hash" in command("verify", "--store", store)


def swept(bench: wb.Bench, word: str = "answer") -> Swept:
    """Two forks with a change, of which one came to something else, and two without, put together by hand and kept in the store."""
    parent, change = bench.run("booked-twice").run, Change(kind="tool_result", value="B-1")
    repetitions = []
    for number, one in enumerate((change, change, Change(), Change())):
        said = model("Booked once." if number == 0 else "Booked twice.").model_copy(update={"index": len(parent.steps)})
        fields = {"run_id": f"booked-twice~{number}", "forked_from": "booked-twice", "forked_at_step": 13, "change": one, "steps": (*parent.steps, said)}
        fork = parent.model_copy(update=fields)
        about = {"run_id": fork.run_id, "parent_run_id": parent.run_id, "forked_at_step": 13, "change": one, "graph": "m:g", "outcome": "", "isolation": ""}
        receipt = Receipt.model_validate({**about, "calls": CallCounts(live=1)})
        bench.store.save_runs([fork])
        bench.store.save_receipt(receipt)
        repetitions.append(Repetition(Cell(13, one, number), "done before", fork, receipt))
    return Swept(parent, outcome_of(parent, (lambda run: run.run_id.endswith("0")) if word == "function" else word), repetitions)


@pytest.mark.parametrize("word", ["answer", "function"])
def test_a_sweeps_report_is_checked_against_its_forks(bench: wb.Bench, tmp_path: Path, word: str) -> None:
    """A sweep's report is supported by the store that has its forks; a share that was edited, and a fork that came to something else since, are named."""
    done = swept(bench, word)
    for ending in FORMATS:
        done.report(tmp_path / f"sweep.{ending}")
        assert bench.verify_report(tmp_path / f"sweep.{ending}") == []
    text = (tmp_path / "sweep.md").read_text("utf-8")
    assert "with fewer than" in text
    assert "a check of this report can't repeat" in text if word == "function" else "What is not known" in text
    (tmp_path / "edited.md").write_text(text.replace("(1 of 2)", "(2 of 2)") if "(1 of 2)" in text else text.replace("Booked once", "Booked never"), "utf-8")
    assert kinds(bench.verify_report(tmp_path / "edited.md")) == {"statement"}
    fork = bench.run("booked-twice~0").run
    altered(bench, "booked-twice~0", steps=changed_steps(fork, fork.steps[-1].index, output=Message(role="assistant", content="Booked thrice.")))
    assert "hash differs" in kinds(bench.verify_report(tmp_path / "sweep.md"))


@pytest.mark.parametrize("ending", FORMATS)
def test_a_comparison_tells_what_people_made_of_the_findings_and_holds_later(bench: wb.Bench, tmp_path: Path, ending: str):
    """The record of a detector, and who said what of a finding, stand in a comparison's report, as they were then: a later review makes it no wrong one."""
    path = tmp_path / f"compared.{ending}"
    finding = next(one for one in bench.run("booked-twice").findings if one.detector == "duplicated-effect")
    bench.review(finding, "confirmed", "both were charged", by="night-shift")
    wb.compare(bench.run("booked-twice"), bench.run("healthy-booking")).report(path)
    assert "confirmed by people here: 1.00" in path.read_text("utf-8") or '"confirmed":1' in path.read_text("utf-8").replace(" ", "")
    assert all(word in path.read_text("utf-8") for word in ("night-shift", "both were charged"))
    bench.review(finding, "dismissed")
    assert not bench.verify_report(path)
