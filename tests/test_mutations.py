"""Faults planted in healthy runs are found, and healthy runs are left alone. The full measurement is `make bench-mutations`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import attacks, metamorphic, mutations
from workbench.model import Run, ToolCall
from workbench.plugins import detectors
from workbench.sketch import model, sketch, tool, user

FOUND = detectors()
HEALTHY = 1000


@pytest.fixture(scope="module")
def clean_runs() -> list[Run]:
    return mutations.clean(HEALTHY)


@pytest.mark.parametrize("name", mutations.PLANTED)
def test_planted_fault_is_found(name: str) -> None:
    """A fault planted in a healthy run is found wherever it stands, in at least 99 of 100 runs."""
    assert len(mutations.missed(FOUND[name], range(100))) <= 1


@pytest.mark.parametrize("name", mutations.PLANTED)
def test_healthy_runs_raise_no_alarm(name: str, clean_runs: list[Run]) -> None:
    """At most one healthy run in a thousand is flagged, with whatever severity."""
    assert sum(bool(mutations.found(FOUND[name], run)) for run in clean_runs) <= 1


@pytest.fixture(scope="module")
def retold() -> dict[str, list[Run]]:
    """A few healthy runs in each other telling."""
    few = [mutations.drawn(mutations.healthy(seed)) for seed in range(40)]
    return {telling: [change(run) for run in few] for telling, change in metamorphic.TRANSFORMATIONS.items()}


@pytest.mark.parametrize("telling", metamorphic.TRANSFORMATIONS)
def test_healthy_runs_are_left_alone_however_they_are_told(telling: str, retold: dict[str, list[Run]]) -> None:
    """Other names, words and formats make no detector see a fault where there is none."""
    assert not [name for name in mutations.PLANTED for run in retold[telling] if mutations.found(FOUND[name], run)]


@pytest.mark.parametrize("name", mutations.PLANTED)
def test_a_fault_is_found_however_it_is_told(name: str) -> None:
    """Other names, words and formats hide none of a few planted faults."""
    runs = [mutations.planted(name, seed) for seed in range(5)]
    hidden = [(telling, seed) for seed, run in enumerate(runs) for telling, other in metamorphic.tell(run) if not mutations.found(FOUND[name], other)]
    assert hidden == []


POINTS = 0.03
"""How much of a figure other words may cost."""
SEEDS = range(60)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("injection-followed", lambda seed, fault: attacks.attacked(seed, followed=fault)),
        ("ungrounded-argument", lambda seed, fault: attacks.addressed(seed, made_up=fault)),
    ],
    ids=["injection-followed", "ungrounded-argument"],
)
def test_what_comes_from_where_is_seen_however_it_is_told(name: str, drawn: Callable[[int, bool], Run]) -> None:
    """Instructions that are followed and values nobody gave are found, the same runs without them left alone, and other words cost at most three points."""

    def share(runs: list[Run]) -> float:
        return sum(bool(mutations.found(FOUND[name], run)) for run in runs) / len(runs)

    faulty, sound = ([drawn(seed, fault) for seed in SEEDS] for fault in (True, False))
    recall = share(faulty)
    assert recall >= 0.97
    assert share(sound) == 0
    for telling, change in metamorphic.TRANSFORMATIONS.items():
        assert share([change(run) for run in faulty]) >= recall - POINTS, telling
        assert share([change(run) for run in sound]) <= POINTS, telling


def test_every_telling_tells_it_differently() -> None:
    """Each transformation changes what it is about, the same everywhere, and neither the number of steps nor an id."""
    call = ("get_fare", {"flight": "NH 11", "day": "2026-04-03"})
    said = "Please see https://air.example/nh11 for 12500 yen on 2026-04-03, says get_fare of travel-agent."
    run = sketch(user(said), model("", calls=(call,)), tool(*call, said, task_id="get_fare"), model(said), agent="travel-agent")
    told = dict(metamorphic.tell(run))
    texts = {telling: other.steps[-1].output.content for telling, other in told.items() if other.steps[-1].output}
    assert texts == {
        "tools renamed": said.replace("get_fare", "fetchFare"),
        "agents renamed": said.replace("travel-agent", "worker 1"),
        "paraphrased": said.replace("Please", "kindly"),
        "dates reformatted": said.replace("2026-04-03", "3 April 2026"),
        "numbers reformatted": said.replace("12500", "12,500"),
        "addresses reformatted": said.replace("https://air.example/nh11", "https://www.air.example/nh11/"),
    }
    assert all((len(other.steps), other.steps[2].task_id) == (4, "get_fare") for other in told.values())
    assert told["tools renamed"].steps[2].tool_call == ToolCall(name="fetchFare", arguments=call[1])
