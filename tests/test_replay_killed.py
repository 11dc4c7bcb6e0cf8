"""A re-run that was killed between what people did to a thread goes on as if it had not been: nothing is left out, done twice, or passed unseen."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests import replay_killed, test_replay_breakpoints, test_replay_threads
from workbench.replay import ForkError

GRAPHS = Path(replay_killed.__file__)
CORRECTED = {"state": {"seen": ["other"]}, "live": ["model"]}
TOLD = {"state": {"said": ["told"]}}
Runs = Callable[[str], wb.RecordedRun]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Each recorded run, made when it is first asked for."""
    made: dict[str, wb.RecordedRun] = {}
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as during:

        def run(way: str) -> wb.RecordedRun:
            if way not in made:
                folder = tmp_path_factory.mktemp("recorded")
                (folder / "ledger").touch()
                during.setenv("LEDGER", str(folder / "ledger"))
                if way in test_replay_threads.WAYS:
                    made[way] = stack.enter_context(test_replay_threads.recorded(folder, *test_replay_threads.WAYS[way]))
                else:
                    starts = test_replay_breakpoints.STARTS[way]
                    made[way] = stack.enter_context(test_replay_breakpoints.recorded(folder, way, starts, spans=True))
            return made[way]

        yield run


def forks(run: wb.RecordedRun, name: str, place: str, marker: Path, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> tuple[wb.RecordedRun, wb.RecordedRun]:
    """The same fork twice: made at once, and killed at this place and resumed."""
    asked |= {"graph": f"{GRAPHS}:{name}", "trust": True}
    whole = run.fork(0, **asked)
    with monkeypatch.context() as during:
        during.setenv("DIES", place)
        during.setenv("KILL", str(marker))
        with pytest.raises(ForkError, match=r"died \(status -9\)"):
            run.fork(0, **asked)
    (killed,) = run.bench.unfinished()
    return whole, run.bench.resume(killed)


def check(whole: wb.RecordedRun, resumed: wb.RecordedRun) -> None:
    assert [row for row in wb.compare(whole, resumed).comparison.rows if row.relation != "same"] == []
    assert [step.invocation for step in resumed.steps] == [step.invocation for step in whole.steps]
    assert (resumed.receipt.calls, resumed.receipt.attempts, resumed.run.status) == (whole.receipt.calls, whole.receipt.attempts, whole.run.status)
    assert (resumed.receipt.notes, resumed.receipt.clean) == (whole.receipt.notes, True)


UPDATED = ("before an update", "once it is written", "once it is told", "before the next start")
PAUSED = ("at a breakpoint", "as it is passed", "before the next start")


AROUND = [
    *itertools.product(["steer", "stand in"], UPDATED, [{}, CORRECTED]),
    ("rewrite", UPDATED[1], {}),  # of another state it is not known what it would have become
    *(("turn back", UPDATED[3], asked) for asked in ({}, CORRECTED)),
]


@pytest.mark.parametrize(("way", "place", "asked"), AROUND, ids=[f"{way}, {place}, {'changed' if asked else 'unchanged'}" for way, place, asked in AROUND])
def test_killed_around_an_update(
    way: str, place: str, asked: dict[str, Any], recorded: Runs, tmp_path: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person put into the state, or started anew, is done once: before the kill or after it, with what there is to say of it."""
    whole, resumed = forks(recorded(way), test_replay_threads.WAYS[way][1], place, tmp_path / "marker", monkeypatch, **asked)
    check(whole, resumed)
    assert resumed.final_state().keys() == whole.final_state().keys()
    assert test_replay_threads.words(resumed) == test_replay_threads.words(whole)


@pytest.mark.parametrize("asked", [{}, TOLD], ids=["unchanged", "changed"])
@pytest.mark.parametrize(("name", "place"), [*itertools.product(["after"], PAUSED), ("before", PAUSED[0]), ("inside", PAUSED[1])])
def test_killed_at_a_breakpoint(name: str, place: str, asked: dict[str, Any], recorded: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A breakpoint is passed as it would have been, told once, and each step stands in the start in which it was made."""
    whole, resumed = forks(recorded(name), name, place, tmp_path / "marker", monkeypatch, **asked)
    check(whole, resumed)
    assert resumed.final_state()["said"] == whole.final_state()["said"]


def test_killed_at_a_breakpoint_that_nobody_passed(recorded: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recorded run met no such breakpoint, a resumed re-run waits there as well."""
    whole, resumed = forks(recorded("before"), "before", "at a breakpoint", tmp_path / "marker", monkeypatch, state={"amount": 3})
    check(whole, resumed)
    assert resumed.run.status == "interrupted"
