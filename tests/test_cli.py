"""The command line: the JSON shapes scripts read, exit codes, and errors that say what would be right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_traces"
STEP_KEYS = {"index", "kind", "name", "node", "started_at", "duration_ms", "status", "span_id", "checkpoint_id", "task_id", "joined"}
EDITED = {"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842, "bookings_on_card": ["BK-1001"]}


def run(*arguments: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """Run the command, check how it ended, and return what it printed."""
    done = subprocess.run([sys.executable, "-m", "workbench.cli", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every sample incident, examined."""
    path = tmp_path_factory.mktemp("cli") / "workbench.db"
    run("ingest", SAMPLES, "--store", path)
    run("detect", "--store", path)
    return path


def test_ingest_says_what_it_read(tmp_path: Path):
    """Each file is named with its collector and counts; a second time nothing is new."""
    first = json.loads(run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "a.db", "--json"))
    assert {file["collector"] for file in first["files"] if file["collector"]} == {"otlp", "langgraph-sqlite"}
    assert first["runs"] == ["booked-twice"]
    again = json.loads(run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "a.db", "--json"))
    assert again["runs"] == []
    assert [file["new"] for file in again["files"] if file["collector"]] == [0, 0]


def test_runs_json_holds_the_contracts_keys(store: Path):
    """Every run has the keys that scripts rely on, and spans and checkpoints of a thread are one run."""
    runs = json.loads(run("runs", "--store", store, "--json"))
    assert {"run_id", "conversation_id", "status", "tool_calls", "errors", "retries", "approvals", "tokens", "model_calls", "cost_usd"} <= runs[0].keys()
    assert sorted(one["run_id"] for one in runs) == sorted(one.name.replace("_", "-") for one in SAMPLES.iterdir() if (one / "checkpoints.sqlite").exists())
    booked = next(one for one in runs if one["run_id"] == "booked-twice")
    assert booked["joins"]["exact"] > 0
    assert booked["joins"]["none"] == 0
    assert {"tool": "book_flight", "attempts": 2} in booked["retries"]


def test_show_json_lists_steps_in_order(store: Path):
    """Steps come in time order with rising indexes and the contract's keys."""
    shown = json.loads(run("show", "booked-twice", "--store", store, "--json"))
    assert all(step.keys() >= STEP_KEYS for step in shown["steps"])
    assert [step["index"] for step in shown["steps"]] == list(range(len(shown["steps"])))


def test_detect_json_is_lines_and_says_what_was_examined(store: Path):
    """Findings are JSON lines; the runs looked at are named, with or without findings."""
    lines = [json.loads(line) for line in run("detect", "--store", store, "--json").splitlines()]
    examined = next(line["examined"] for line in lines if "examined" in line)
    assert "healthy-booking" in examined
    finding = next(line for line in lines if line.get("run_id") == "booked-twice")
    assert (finding["detector"], finding["severity"]) == ("duplicated-effect", "error")


def fork_step(store: Path) -> int:
    calls = json.loads(run("show", "booked-twice", "--store", store, "--json"))["steps"]
    return [step["index"] for step in calls if step["name"] == "book_flight"][1]


def test_fork_prints_what_ran_and_the_story_comes_true(store: Path):
    """With the first call's real result put in, the flight is booked once, and no tool ran."""
    told = json.loads(
        run("fork", "booked-twice", "--at", str(fork_step(store)), "--tool-result", json.dumps(EDITED), "--live", "model", "--store", store, "--json")
    )
    assert told["parent_run_id"] == "booked-twice"
    assert (told["calls"]["blocked"], told["calls"]["halted"]) == (0, 0)
    assert told["calls"]["live"] > 0
    assert {record["kind"] for record in told["receipt"]["records"] if record["answer"] == "live"} == {"model"}
    booking = next(effect for effect in told["effects"] if effect["tool"] == "book_flight")
    assert (booking["original"], booking["fork"]) == (2, 1)
    assert "BK-1001" in told["outcome"]
    report = store.with_name("comparison.html")
    run("report", "booked-twice", "--against", told["run_id"], "-o", report, "--store", store)
    assert "2 → 1" in report.read_text("utf-8")


def test_an_unchanged_fork_is_served_whole(store: Path):
    """Replay without a change makes no live call and comes to the recorded outcome."""
    told = json.loads(run("fork", "booked-twice", "--at", str(fork_step(store)), "--store", store, "--json"))
    assert (told["calls"]["live"], told["calls"]["halted"], told["calls"]["blocked"]) == (0, 0, 0)
    assert all(effect["original"] == effect["fork"] for effect in told["effects"])


def test_a_halted_fork_exits_with_one(store: Path):
    """After a change the model has to think anew; where it may not, the fork halts and says what is missing."""
    said = run("fork", "booked-twice", "--at", str(fork_step(store)), "--tool-result", json.dumps(EDITED), "--store", store, status=1)
    assert "halted" in said
    assert "model" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "boked-twice"), "booked-twice"),
        (("fork", "booked-twice", "--at", "999"), "has no step 999"),
        (("fork", "booked-twice", "--at", "0", "--tool-result", "1"), "tool"),
        (("fork", "booked-twice", "--at", "0", "--tool-result", "{nope"), "is no JSON"),
        (("fork", "booked-twice", "--at", "1", "--live", "book_flight"), "book_flight"),
        (("fork", "booked-twice", "--at", "1", "--graph", "sample_traces.travel_agent:grph"), "graph"),
        (("report", "booked-twice", "-o", "report.pdf"), ".html"),
        (("ingest", "no/such/file.jsonl"), "no/such/file.jsonl"),
    ],
)
def test_errors_say_what_would_be_right(store: Path, arguments: tuple[str, ...], says: str):
    """A mistake is one message on standard error and exit status 2, without a traceback."""
    said = run(*arguments, "--store", store, status=2)
    assert says in said
    assert "Traceback" not in said


def test_a_foreign_file_is_skipped_aloud_and_the_rest_is_read(tmp_path: Path):
    """One file that nobody knows does not keep the others out, and is named with the reason."""
    folder = tmp_path / "traces"
    folder.mkdir()
    (folder / "noise.json").write_text('{"hello": "world"}')
    (folder / "cut.jsonl").write_bytes((SAMPLES / "booked_twice" / "spans.otlp.jsonl").read_bytes()[:20_000])
    told = json.loads(run("ingest", folder, "--store", tmp_path / "a.db", "--json"))
    by_name = {Path(file["path"]).name: file for file in told["files"]}
    assert "no collector knows" in by_name["noise.json"]["skips"][0]["reason"]
    assert by_name["cut.jsonl"]["records"]["Span"] > 0
    assert by_name["cut.jsonl"]["skips"]


def test_verify_is_clean_after_all_this(store: Path):
    """A store that has been through ingest, detect and forks holds what it should."""
    assert json.loads(run("verify", "--store", store, "--json")) == {"problems": []}
