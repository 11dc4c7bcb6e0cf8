"""Detection: gravest first, and a detector that fails is reported while the others go on."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import pytest

from workbench import cli, detection, plugins
from workbench.checklist import CHECKLIST, Capability, Item, capability_of
from workbench.model import Finding, NotEvaluated, Run
from workbench.plugins import Detector, PluginError, _detector, detectors
from workbench.sketch import model, sketch, tool, user
from workbench.store import Store
from workbench.verdict.verdict import verdict_of


def test_a_detector_that_raises_is_reported_with_its_place(monkeypatch: pytest.MonkeyPatch):
    """Its fault is a "not evaluated" with file and line, and the other detectors still speak."""

    def broken(run: Run) -> Iterator[Finding]:
        raise ZeroDivisionError("by zero")
        yield

    def fine(run: Run) -> Iterator[Finding]:
        yield Finding(detector="fine", run_id=run.run_id, severity="info", score=0.5, step=0, message="m", capability="security")

    both = {name: Detector(name, "", function, (), ()) for name, function in (("broken", broken), ("fine", fine))}
    monkeypatch.setattr(detection, "detectors", lambda: both)
    done = detection.Detection()
    findings, lacks = detection.examine(sketch(user("hi")), done)
    assert [finding.detector for finding in findings] == ["fine"]
    assert isinstance(lacks[0], NotEvaluated)
    assert "test_detection.py:" in lacks[0].why
    assert "ZeroDivisionError" in done.failures[0]


def test_a_detector_that_raises_shows_in_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`workbench detect` names detector, run and place, prints what the others found, and exits with status 1."""

    def broken(run: Run) -> Iterator[Finding]:
        raise ZeroDivisionError("by zero")
        yield

    broken_one = Detector("broken", "", broken, (), ())
    monkeypatch.setattr(detection, "detectors", lambda: {"runaway-loop": detectors()["runaway-loop"], "broken": broken_one})
    with Store.open(tmp_path / "store.db") as store:
        store.save_runs([detectors()["runaway-loop"].fires_on[0].model_copy(update={"run_id": "loop"})])
    with pytest.raises(SystemExit) as left:
        cli.app(["detect", "--json", "--store", str(tmp_path / "store.db")])
    said = capsys.readouterr()
    assert left.value.code == 1
    assert '"detector": "runaway-loop"' in said.out
    assert "broken on loop: the detector failed at test_detection.py:" in " ".join(said.err.split())


LANGUAGES = {
    "ja": ("四月三日の便を予約してください。", "便を調べました。NH11があります。", "予約はまだしていません。"),
    "ar": ("احجز لي رحلة في الثالث من أبريل", "وجدت الرحلة NH11.", "لم أحجز بعد."),
    "de": ("Bitte buche den Flug am 3. April.", "Ich habe NH11 gefunden.", "Gebucht ist noch nichts."),
    "odd": ("🛫\u202e\u0000", "\ud800", "   "),
    "nothing": ("", "", ""),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_runs_that_lack_nearly_everything_break_no_detector(language: str):
    """Without times, tokens, ids and schemas, with empty messages, in any language: no detector raises or sees a grave fault, and some say what they lack."""
    asked, found, said = LANGUAGES[language]
    steps = (user(asked), model(found, calls=(("search", {"q": asked}),)), tool("search", {"q": asked}, found), model(said))
    bare = {"started_ns": None, "ended_ns": None}
    whole = sketch(*steps)
    run = whole.model_copy(update={**bare, "steps": tuple(step.model_copy(update=bare) for step in whole.steps)})
    done = detection.Detection()
    findings, lacks = detection.examine(run, done)
    assert done.failures == []
    assert [finding.detector for finding in findings if finding.severity == "error"] == []
    assert {"confidence-drift", "budget-exceeded"} & {lack.detector for lack in lacks}
    assert verdict_of(run, findings).probability is not None


@pytest.mark.parametrize("unit", ["a.", "-", " ", "1. ", "a@", "123,"])
def test_who_writes_a_trace_does_not_set_the_time_it_takes(unit: str):
    """Texts that make careless patterns look at everything again from every place are read like any other: where one isn't, this test takes hours."""
    text = unit * (20_000 // len(unit))
    asked = ("send_email", {"to": text, "body": text})
    done = detection.Detection()
    detection.examine(sketch(user(text), model(text, calls=(asked,)), tool(*asked, text), tool("read", {}, error=text), model(text)), done)
    assert done.failures == []


def test_many_runs_are_shown_to_those_who_compare(monkeypatch: pytest.MonkeyPatch):
    """A detector with `detect_many` sees all runs together; one without isn't asked, and one that raises is reported."""

    def tired(runs: Iterable[Run]) -> Iterator[Finding]:
        for run in list(runs)[1:]:
            yield Finding(detector="tired", run_id=run.run_id, severity="info", score=0.5, step=0, message="m", capability="human escalation")

    def broken(runs: Iterable[Run]) -> Iterator[Finding]:
        raise ZeroDivisionError(len(list(runs)))
        yield

    three = {name: Detector(name, "", lambda run: [], (), (), many) for name, many in (("tired", tired), ("broken", broken), ("single", None))}
    monkeypatch.setattr(detection, "detectors", lambda: three)
    done = detection.Detection()
    findings, lacks = detection.examine_many([sketch(user("hi"), run_id="a"), sketch(user("hi"), run_id="b")], done)
    assert [(finding.detector, finding.run_id) for finding in findings] == [("tired", "b")]
    assert [report.detector for report in lacks] == ["broken"]
    assert done.failures[0].startswith("broken on 2 runs: the detector failed at test_detection.py:")


def test_every_item_of_the_checklist_is_listed_once():
    """Each item stands under one capability, and only items stand there."""
    listed = [item for items in CHECKLIST.values() for item in items]
    assert sorted(listed) == sorted(get_args(Item))
    assert set(CHECKLIST) == set(get_args(Capability))
    assert all(capability_of(item) == capability for capability, items in CHECKLIST.items() for item in items)


def test_a_finding_keeps_its_id_when_it_is_filed_elsewhere():
    """The checklist item is how a finding is filed, not what it says."""
    one = Finding(detector="d", run_id="r", severity="info", score=0.5, step=1, message="m", capability="security")
    assert one.finding_id == one.model_copy(update={"item": "sandbox"}).finding_id


def test_an_unknown_detector_names_the_nearest():
    """A mistyped detector name is answered with what it could have been."""
    with pytest.raises(LookupError, match="duplicated-effect"):
        detection.named("duplicate-effects")


def test_a_malformed_plugin_is_an_error_with_file_and_line():
    """A detector without the right function is an error that begins with its file, never a silent absence."""
    import tests.malformed_detector as module  # noqa: PLC0415  # it is the input of this test

    with pytest.raises(PluginError, match=r"malformed_detector\.py:\d+: detect\(run, flag\) should take \(run\)"):
        _detector("malformed-detector", module)


def test_a_plugin_added_by_hand_is_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module can be a detector or a collector of this process; a malformed one, or one named like one that ships, is refused."""
    recipes = re.findall(r"^```python\n(.*?)^```$", (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for name, source in (("tab_separated", recipes[0]), ("refund_untold", recipes[1]), ("runaway_loop", recipes[1])):
        (tmp_path / f"{name}.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_added", {"collectors": {}, "detectors": {}})
    try:
        for name in ("tab_separated", "refund_untold", "refund_untold"):
            plugins.add(importlib.import_module(name))
        assert [
            finding.step for finding in detection.examine(plugins.detectors()["refund-untold"].fires_on[0])[0] if finding.detector == "refund-without-reason"
        ] == [0]
        assert plugins.collectors()["tab-separated"].examples[0].name == "one.tsv"
        with pytest.raises(PluginError, match=r"runaway_loop\.py:1: the name runaway-loop is taken by .*detectors/runaway_loop\.py"):
            plugins.add(importlib.import_module("runaway_loop"))
    finally:
        plugins.detectors.cache_clear()
        plugins.collectors.cache_clear()


def test_findings_stand_gravest_first():
    """An error stands before a warning, and of two errors the surer one first."""
    made = [
        Finding(detector=name, run_id="r", severity=severity, score=score, step=1, message="", capability="security")
        for name, severity, score in (("a", "warning", 0.9), ("b", "error", 0.5), ("c", "error", 0.8))
    ]
    assert [finding.detector for finding in detection.ranked(made)] == ["c", "b", "a"]


def test_a_step_cites_what_it_holds_and_nothing_else():
    """Evidence points at a value that is there; a path that isn't is a KeyError naming the missing part."""
    run = sketch(tool("book", {"flight": "NH 11"}))
    assert run.step(0).at("$.tool_call.arguments.flight") == "NH 11"
    with pytest.raises(KeyError, match="seat is missing"):
        run.step(0).at("$.tool_call.arguments.seat")
    with pytest.raises(LookupError, match="no step 9"):
        run.step(9)


def test_runs_are_examined_elsewhere_too(tmp_path: Path):
    """On an executor the same is found, in the same order, and every run is looked at once."""
    runs = [sketch(user("go"), *(tool("poll", {}, "nothing") for _ in range(number % 5 + 1)), run_id=f"run-{number}") for number in range(7)]
    found = []
    for name, executor in (("here", None), ("elsewhere", ProcessPoolExecutor(1, mp_context=get_context("spawn")))):
        with Store.open(tmp_path / name) as store, executor or contextlib.nullcontext():
            store.save_runs(runs)
            done = detection.detect(store, executor=executor)
            found.append((done.examined, store.examined(), store.verdicts()))
            assert detection.detect(store, executor=executor).examined == []
            assert set(done.seconds) == set(detectors())
    assert found[0] == found[1]
    assert any(findings for findings, _ in found[0][1].values())
