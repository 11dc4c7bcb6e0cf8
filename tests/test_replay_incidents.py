"""The recorded incidents, forked: each replays as it was, and the booked-twice story comes out as told."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import pytest

from workbench.comparison.comparison import compare
from workbench.model import Change, Checkpoint, Run, Span
from workbench.normalise import normalise
from workbench.plugins import collectors
from workbench.replay import Forked, ForkError, fork
from workbench.source import Source

TRACES = Path(__file__).parent.parent / "sample_traces"
INCIDENTS = sorted(path.parent.name for path in TRACES.glob("*/checkpoints.sqlite"))
GRAPH = "sample_traces.travel_agent:graph"
FIRST_BOOKING = {"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842}


@cache
def recorded(name: str) -> Run:
    """The run of one incident."""
    records = []
    for path in sorted(TRACES.joinpath(name).iterdir()):
        source = Source(path)
        records += [record for one in collectors().values() if one.name != "chat-log" and one.accepts(source) for record in one.collect(source)]
    spans = [one for one in records if isinstance(one, Span)]
    return normalise(spans, [one for one in records if isinstance(one, Checkpoint)])[0]


def forked(name: str, at: int, folder: Path, change: Change | None = None, live: tuple[str, ...] = ()) -> Forked:
    database = TRACES / name / "checkpoints.sqlite"
    before = database.read_bytes()
    done = fork(recorded(name), at=at, change=change or Change(), databases=[database], graph=GRAPH, live=live, run_id="fork", scratch=folder / "fork.sqlite")
    assert database.read_bytes() == before
    assert list(done.receipt.parent_sha256.values()) == [hashlib.sha256(before).hexdigest()]
    assert done.receipt.parent_intact
    return done


def test_there_are_incidents() -> None:
    """The five incidents and their healthy controls are there to be replayed."""
    assert {"booked_twice", "progress_lost", "followed_up_47_times", "budget_burned", "quietly_wrong"} <= set(INCIDENTS)


@pytest.mark.parametrize("name", INCIDENTS)
def test_unchanged(name: str, tmp_path: Path) -> None:
    """An unchanged replay of a whole incident makes no live call and the same steps, restarts, cut-offs and limits included."""
    run, done = recorded(name), forked(name, 0, tmp_path)
    assert (done.receipt.calls.live, done.receipt.calls.blocked, done.receipt.calls.halted) == (0, 0, 0)
    assert done.receipt.calls.served == sum(step.kind in ("model", "tool") for step in run.steps)
    assert done.receipt.calls.answered == sum(step.name == "approval" for step in run.steps)
    assert {row.relation for row in compare(run, done.run).rows} == {"same"}
    assert [step.invocation for step in done.run.steps] == [step.invocation for step in run.steps]
    assert (done.run.status, done.run.outcome) == (run.status, run.outcome)


@pytest.mark.parametrize("at", range(17))
def test_unchanged_from_every_step(at: int, tmp_path: Path) -> None:
    """A replay may start at any step, also inside a subgraph whose siblings had finished, and comes to the same."""
    done = forked("booked_twice", at, tmp_path)
    assert (done.receipt.calls.live, done.receipt.calls.blocked, done.receipt.calls.halted) == (0, 0, 0)
    assert {row.relation for row in compare(recorded("booked_twice"), done.run).rows} == {"same"}
    assert done.prefix <= at


@pytest.mark.parametrize("name", ["progress_lost", "healthy_resume"])
def test_unchanged_after_a_restart(name: str, tmp_path: Path) -> None:
    """A replay that begins after the recorded run was cut off and started again doesn't stop there any more."""
    run = recorded(name)
    at = [step.index for step in run.of_kind("tool") if step.invocation == 1][-2]
    done = forked(name, at, tmp_path)
    assert {row.relation for row in compare(run, done.run).rows} == {"same"}
    assert done.receipt.calls.served == len(run.steps) - at
    assert done.receipt.notes == ()


def test_no_checkpoint(tmp_path: Path) -> None:
    """A step that stands for the graph as a whole has no checkpoint; the nearest one that has is named."""
    with pytest.raises(ForkError, match=r"step 74 .* has no checkpoint to re-run from; the nearest step that has one is 73 \(search_flights\)"):
        forked("budget_burned", 74, tmp_path)


def test_inside_a_subgraph(tmp_path: Path) -> None:
    """A cut inside a subgraph runs again only the branch with the cut: what its siblings did stands."""
    run = recorded("booked_twice")
    at = next(step.index for step in run.of_kind("model") if step.depth == 1)
    answered = [record.from_step for record in forked("booked_twice", at, tmp_path).receipt.records]
    siblings = [step.index for step in run.steps if step.checkpoint_id != run.step(at).checkpoint_id and step.index < 9]
    assert at in answered
    assert not set(siblings) & set(answered)


def test_booked_once(tmp_path: Path) -> None:
    """Forked at the second booking with the first one's real result, the agent says that it booked once, and no tool runs."""
    run = recorded("booked_twice")
    at = [step.index for step in run.of_kind("tool") if step.name == "book_flight"][1]
    done = forked("booked_twice", at, tmp_path, Change(kind="tool_result", value=FIRST_BOOKING), live=("model",))
    answers = [(record.kind, record.name, record.answer) for record in done.receipt.records]
    assert answers == [
        ("tool", "book_flight", "edited"),
        ("model", "scripted-1", "live"),
        ("tool", "send_itinerary", "served"),
        ("model", "scripted-1", "live"),
    ]
    assert done.receipt.calls.model_dump() == {"served": 2, "live": 2, "blocked": 0, "halted": 0, "answered": 0}
    assert [(one.tool, one.original, one.fork) for one in done.receipt.effects] == [("book_flight", 2, 1), ("send_itinerary", 1, 1)]
    assert done.run.outcome != run.outcome
    assert "BK-1001" in done.run.outcome
    assert "BK-1002" not in done.run.outcome
    assert done.receipt.clean


def test_the_same_twice(tmp_path: Path) -> None:
    """Two forks with the same change come to the same steps."""
    first, second = (forked("booked_twice", 13, tmp_path / name, Change(kind="tool_result", value=FIRST_BOOKING), live=("model",)).run for name in "ab")
    assert {row.relation for row in compare(first, second).rows} == {"same"}
