"""The doctor says what is well and what is not, and changes nothing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.doctor import Check, examine
from workbench.sketch import sketch, user
from workbench.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "w.db") as opened:
        opened.save_runs([sketch(user("hello"))])
    return tmp_path / "w.db"


def check(name: str, path: Path) -> Check:
    return next(one for one in examine(path) if one.name == name)


def test_a_healthy_store_is_said_to_be_so(store: Path):
    """Versions, plugins and the store's contents are told."""
    found = {one.name: one for one in examine(store)}
    assert all(found[name].well for name in ("python", "langgraph", "collectors", "detectors", "store", "payloads"))
    assert "1 runs" in found["store"].says
    assert "otlp" in found["collectors"].says


def test_the_sandbox_is_tried_out(store: Path):
    """What is said of the sandbox is what a process found that shut itself in."""
    found = check("sandbox", store)
    assert found.says.startswith("sandboxed" if found.well else "guarded, not sandboxed")


def test_a_damaged_payload_is_named(store: Path):
    """A payload that was altered is found."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE payload SET content = CAST(replace(CAST(content AS TEXT), 'hello', 'hullo') AS BLOB)")
    found = check("payloads", store)
    assert not found.well
    assert "hashes to" in found.says


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path):
    """Looking makes nothing."""
    assert "there is no" in check("store", tmp_path / "w.db").says
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_said_to_be_none(tmp_path: Path):
    """The wrong file is a finding of the doctor, not a crash."""
    (tmp_path / "w.db").write_text("not a database")
    found = check("store", tmp_path / "w.db")
    assert not found.well
    assert "no workbench store" in found.says


def test_the_command_fails_where_something_is_not_well(tmp_path: Path):
    """A script can rely on the exit status, and read the checks as JSON."""
    (tmp_path / "w.db").write_text("not a database")
    result = CliRunner().invoke(app, ["doctor", "--store", str(tmp_path / "w.db"), "--json"])
    assert result.exit_code == 1
    assert {one["name"]: one["well"] for one in json.loads(result.stdout)}["store"] is False
