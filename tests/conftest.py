"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import Server, running
from workbench.database import Location, location

# A loaded machine is no fault of the code, and a folder of its own that examples share does them no harm.
settings.register_profile("workbench", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("workbench")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real PostgreSQL server, one for each process of tests; skipped, visibly, where there is none."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """Where a store can be made: a file, and a database of a real server."""
    return tmp_path / "workbench.db" if request.param == "sqlite" else location(request.getfixturevalue("postgres").create())


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What agents did for real, written by their tools and nodes themselves, outside of any process under test."""
    path = tmp_path / "ledger.txt"
    path.touch()
    monkeypatch.setenv("LEDGER", str(path))
    monkeypatch.delenv("ESCAPE", raising=False)
    return path
