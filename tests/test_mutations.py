"""Faults planted in healthy runs are found, and healthy runs are left alone. The full measurement is `make bench-mutations`."""

from __future__ import annotations

import pytest

from tests import mutations
from workbench.model import Run
from workbench.plugins import detectors

FOUND = detectors()
HEALTHY = 1000


@pytest.fixture(scope="module")
def clean_runs() -> list[Run]:
    return [mutations.drawn(mutations.healthy(seed)) for seed in range(HEALTHY)]


@pytest.mark.parametrize("name", mutations.PLANTED)
def test_planted_fault_is_found(name: str) -> None:
    """A fault planted in a healthy run is found wherever it stands, in at least 99 of 100 runs."""
    assert len(mutations.missed(FOUND[name], range(100))) <= 1


@pytest.mark.parametrize("name", mutations.PLANTED)
def test_healthy_runs_raise_no_alarm(name: str, clean_runs: list[Run]) -> None:
    """At most one healthy run in a thousand is flagged, with whatever severity."""
    assert sum(bool(mutations.found(FOUND[name], run)) for run in clean_runs) <= 1
