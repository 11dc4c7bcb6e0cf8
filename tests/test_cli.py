"""The command line: the JSON shapes scripts read, exit codes, and errors that say what would be right."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
import typer
from typer.testing import CliRunner

import workbench
from tests.postgres import Server
from workbench.cli import app, main
from workbench.cli.application import PANELS
from workbench.cli.tables import _said
from workbench.model import PASSED_ON, Step, ToolCall
from workbench.sketch import model, sketch
from workbench.store import Store

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_traces"
STEP_KEYS = {"index", "kind", "name", "node", "started_at", "duration_ms", "status", "span_id", "checkpoint_id", "task_id", "joined"}
EDITED = {"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842, "bookings_on_card": ["BK-1001"]}


def run(*arguments: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """Run the command in this process, which has loaded already what it needs, check how it ended, and return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", ["workbench", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert ended.value.code == status, out.getvalue() + err.getvalue()
    return out.getvalue() if status == 0 else out.getvalue() + err.getvalue()


def test_every_command_stands_in_a_group_with_an_example_that_it_takes():
    """`--help` shows groups in the order of the work, and each command's example is one that the command can read."""
    root = typer.main.get_command(app)
    told = CliRunner().invoke(app, ["--help"]).output
    assert re.findall(r"^([A-Z].*):$", told, re.MULTILINE)[1:] == list(PANELS)
    for name, command in root.commands.items():
        program, said, *arguments = shlex.split(command.epilog.removeprefix("Example: "))
        assert (program, said) == ("workbench", name)
        assert command.get_short_help_str(63).endswith("."), f"{name}: its first sentence is cut off in the list of commands"
        assert command.make_context(name, arguments).params.keys() >= {"as_json"} or name == "lab"


def test_the_program_is_a_process_of_its_own(store: Path, tmp_path: Path):
    """`python -m workbench.cli` prints and ends as in these tests' own process."""

    def process(*arguments: str | Path) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "workbench.cli", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout, done.stderr

    assert process("show", "booked-twice", "--store", store) == (0, run("show", "booked-twice", "--store", store), "")
    assert process("show", "nope", "--store", store) == (2, "", run("show", "nope", "--store", store, status=2))


def test_help_loads_nothing_heavy():
    """What `--help` imports holds no data frames, no database and no agent framework."""
    code = "import sys, workbench.cli; print(sorted(sys.modules.keys() & {'polars', 'sqlalchemy', 'pydantic', 'langgraph', 'plotly', 'httpx'}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout == "[]\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every sample incident, examined."""
    path = tmp_path_factory.mktemp("cli") / "workbench.db"
    run("ingest", SAMPLES, "--store", path)
    run("detect", "--store", path)
    return path


def test_paths_and_calibration(store: Path, tmp_path: Path):
    """The ways from tool to tool and what came of stated confidence are told as text and as JSON, of the runs one asks for."""
    told = json.loads(run("paths", "--store", store, "--json"))
    assert told["runs"] == sum(way["runs"] for way in told["paths"])
    assert [way["runs"] for way in told["paths"]] == sorted((way["runs"] for way in told["paths"]), reverse=True)
    assert f"{told['runs']} runs, {len(told['paths'])} paths" in run("paths", "--store", store)
    assert "paths of nobody" in run("paths", "--agent", "nobody", "--store", store)
    assert "no moment" in run("paths", "--since", "yesterday", "--store", store, status=2)
    labels = tmp_path / "labels.csv"
    labels.write_text("run_id,failed\n" + "".join(f"{one['run_id']},true\n" for one in json.loads(run("runs", "--store", store, "--json"))))
    judged = json.loads(run("calibration", "--labels", labels, "--store", store, "--json"))
    assert judged["bins"]
    assert {tuple(one["well"][name] for name in ("hits", "total")) for one in judged["bins"]} == {(0, one["well"]["total"]) for one in judged["bins"]}
    assert f"calibration over {judged['runs']} run" in run("calibration", "--labels", labels, "--store", store)


def test_renormalise_changes_nothing_where_nothing_is_better_known(tmp_path: Path):
    """Every run is derived anew, and comes out as it was."""
    run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "a.db")
    before = run("runs", "--store", tmp_path / "a.db", "--json")
    assert json.loads(run("renormalise", "--store", tmp_path / "a.db", "--json")) == {"runs": 1, "changed": [], "retired": []}
    assert run("runs", "--store", tmp_path / "a.db", "--json") == before


def test_ingest_says_what_it_read(tmp_path: Path):
    """Each file is named with its collector and counts; a second time nothing is new."""
    first = json.loads(run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "a.db", "--json"))
    assert {file["collector"] for file in first["files"] if file["collector"]} == {"otlp", "langgraph-sqlite"}
    assert first["runs"] == ["booked-twice"]
    again = json.loads(run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "a.db", "--json"))
    assert again["runs"] == []
    assert [file["new"] for file in again["files"] if file["collector"]] == [0, 0]


def test_a_store_on_a_server_holds_what_one_in_a_file_holds(store: Path, postgres: Server, tmp_path: Path):
    """Ingest, detect, list and verify give the same with a PostgreSQL store as with a file, and never print its password."""
    url = postgres.create()
    told = [run("ingest", SAMPLES, "--store", url, cwd=tmp_path), run("detect", "--store", url), run("show", "booked-twice", "--store", url)]
    assert [run("runs", "--store", one, "--json") for one in (url, url)] == [run("runs", "--store", store, "--json")] * 2
    findings = [run("detect", "--store", one, "--json").rpartition('{"timings"')[0] for one in (url, store)]
    assert findings[0] == findings[1]
    assert json.loads(run("verify", "--store", url, "--json")) == {"problems": []}
    assert "postgresql://owner@127.0.0.1" in told[0]
    assert list(tmp_path.iterdir()) == []  # the secret of the pseudonyms stands in the store
    assert all("s3cr3t" not in one for one in told)


def test_runs_json_holds_the_contracts_keys(store: Path):
    """Every run has the keys that scripts rely on, and spans and checkpoints of a thread are one run."""
    runs = json.loads(run("runs", "--store", store, "--json"))
    assert {"run_id", "conversation_id", "status", "tool_calls", "errors", "retries", "approvals", "tokens", "model_calls", "cost_usd"} <= runs[0].keys()
    assert sorted(one["run_id"] for one in runs) == sorted(one.name.replace("_", "-") for one in SAMPLES.iterdir() if (one / "checkpoints.sqlite").exists())
    booked = next(one for one in runs if one["run_id"] == "booked-twice")
    assert booked["joins"]["exact"] > 0
    assert booked["joins"]["none"] == 0
    assert [(one["tool"], one["attempts"], one["reasons"]) for one in booked["retries"]] == [
        ("book_flight", 2, ["TimeoutError: POST /bookings timed out after 1 s"])
    ]


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


def test_a_fork_that_was_killed_is_resumed_and_its_attempts_stand_in_the_ledger(store: Path, tmp_path: Path):
    """A fork whose process dies names itself and how to go on; resumed, it comes to the recorded outcome, and the ledger has its attempts."""
    dying = tmp_path / "dying.py"
    dying.write_text("import os\nfrom sample_traces.travel_agent import graph\nif not os.path.exists('" + str(tmp_path / "now") + "'):\n    os._exit(9)\n")
    said = run("fork", "booked-twice", "--at", str(fork_step(store)), "--graph", f"{dying}:graph", "--store", store, status=2)
    fork_id = re.search(r"workbench fork --resume (\S+)", said)[1]
    (tmp_path / "now").touch()
    told = json.loads(run("fork", "--resume", fork_id, "--store", store, "--json"))
    assert (told["run_id"], told["calls"]["halted"], told["calls"]["live"]) == (fork_id, 0, 0)
    assert {check["verdict"] for check in told["receipt"]["checks"]} == {"pass", "not applicable"}
    lines = json.loads(run("ledger", fork_id, "--store", store, "--json"))
    assert [(line["name"], line["event"], line["answered"]) for line in lines] == [(name, "attempted", "served") for name in ("book_flight", "send_itinerary")]
    assert "send_itinerary" in run("ledger", "--store", store)
    assert "no unfinished fork is called nope" in run("fork", "--resume", "nope", "--store", store, status=2)


def test_a_fault_is_put_in_a_calls_way(store: Path):
    """A fork in which the second booking times out says what the agent then asks for."""
    told = json.loads(run("fork", "booked-twice", "--at", str(fork_step(store)), "--fault", "timeout", "--store", store, "--json", status=1))
    assert told["change"] == {"kind": "fault", "value": "timeout"}
    assert told["receipt"]["records"][0]["says"] == "injected: timeout"


def test_a_fork_tells_of_names_that_nothing_has(store: Path):
    """A misspelt name is refused with the nearest there is; of a URL that nobody asked for the printed receipt tells."""
    at = str(fork_step(store))
    said = " ".join(run("fork", "booked-twice", "--at", at, "--live", "tool:bok_flight", "--store", store, status=2).split())
    assert "has a tool 'bok_flight'; did you mean book_flight?" in said
    said = " ".join(run("fork", "booked-twice", "--at", at, "--serve-stale", "GET https://nope", "--store", store).split())
    assert "note: stale GET https://nope (--serve-stale) did nothing: neither the recording nor this re-run has a call 'GET https://nope'; there are" in said


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
        (("fork", "booked-twice", "--at", "1", "--approve", "book_flight", "--live", "model"), "(--live tool:book_flight)"),
        (("report", "booked-twice", "-o", "report.pdf"), ".html"),
        (("ingest", "no/such/file.jsonl"), "no/such/file.jsonl"),
        (("report", "--against", "booked-twice"), "name that run too"),
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


def test_trace_text_never_commands_the_terminal(tmp_path: Path):
    """Escape sequences, C1 controls and direction overrides in a trace are shown as code points, in tables, errors and JSON."""
    hostile = "\x1b]0;pwn\x07\x1b[2J\x9b31m\u202egnp"
    line = {"run_id": f"r{hostile}", "messages": [{"role": "user", "content": hostile}, {"role": "assistant", "content": f"[bold]{hostile}"}]}
    (tmp_path / "chat.jsonl").write_text(json.dumps(line) + "\n")
    store = tmp_path / "a.db"
    said = run("ingest", tmp_path / "chat.jsonl", "--store", store) + run("detect", "--store", store) + run("runs", "--store", store)
    said += run("show", "r", "--store", store) + run("show", "r", "--store", store, "--json") + run("show", "x\x1b[2J", "--store", store, status=2)
    assert "[bold]" in said
    assert not set("\x1b\x07\x9b\u202e") & set(said)


def test_a_report_never_calls_an_unexamined_run_clean(tmp_path: Path):
    """A report on a store that nobody examined examines it first, and `runs` then knows."""
    store = tmp_path / "a.db"
    run("ingest", SAMPLES / "booked_twice", "--store", store)
    assert "not examined" in run("runs", "--store", store)
    run("report", "--store", store, "-o", tmp_path / "all.md")
    assert "duplicated-effect" in (tmp_path / "all.md").read_text("utf-8")
    assert "not examined" not in run("runs", "--store", store)


def test_every_step_number_is_shown_in_a_narrow_window(store: Path):
    """What is said of a step gives way; its number, which `--at` needs, does not."""
    lines = run("show", "booked-twice", "--store", store).splitlines()
    numbers = [line.split()[0] for line in lines[2:19]]
    assert numbers == [str(number) for number in range(17)]


def test_a_damaged_store_is_one_line(store: Path, tmp_path: Path):
    """A store that was cut off, or a folder in its place, is an error and no traceback."""
    (tmp_path / "cut.db").write_bytes(store.read_bytes()[:9000])
    for path in (tmp_path / "cut.db", tmp_path):
        said = run("runs", "--store", path, status=2)
        assert said.startswith("error: ")
        assert "Traceback" not in said


def test_a_run_with_a_missing_payload_keeps_no_other_from_the_list(tmp_path: Path):
    """It is named with what is missing and how to find the rest, once and without the others' listing being cut short; opening it says the same."""
    path = tmp_path / "two.db"
    with Store.open(path) as store:
        store.save_runs([sketch(model("hello"), run_id="whole"), sketch(model("gone"), run_id="broken")])
    with closing(sqlite3.connect(path)) as connection, connection:
        (address,) = connection.execute("SELECT sha256 FROM run WHERE run_id = 'broken'").fetchone()
        assert connection.execute("DELETE FROM payload WHERE sha256 = ?", [bytes.fromhex(address)]).rowcount == 1
    told = f"error: run broken can't be read: payload {address[:12]} is missing; `workbench verify` finds all that is damaged in a store"
    said = run("runs", "--store", path, "--json", status=1)
    listed, end = json.JSONDecoder().raw_decode(said)
    assert ([one["run_id"] for one in listed], said[end:].strip()) == (["whole"], told)
    assert run("show", "broken", "--store", path, status=2).strip() == told
    assert list(workbench.open(path).runs()["run_id"]) == ["whole", "broken"]


def test_a_receipt_says_when_the_recording_is_not_what_was_ingested(tmp_path: Path):
    """A database that changed after it was ingested is named: the fork started from what it holds now."""
    folder = tmp_path / "booked_twice"
    shutil.copytree(SAMPLES / "booked_twice", folder)
    run("ingest", folder, "--store", tmp_path / "a.db")
    with closing(sqlite3.connect(folder / "checkpoints.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 7")
    told = json.loads(run("fork", "booked-twice", "--at", "16", "--trust", "--store", tmp_path / "a.db", "--json"))
    assert "changed since it was ingested" in told["receipt"]["notes"][-1]
    (folder / "checkpoints.sqlite").unlink()
    assert "checkpoints.sqlite" in run("fork", "booked-twice", "--at", "16", "--trust", "--store", tmp_path / "a.db", status=2)


def test_verify_is_clean_after_all_this(store: Path):
    """A store that has been through ingest, detect and forks holds what it should."""
    assert json.loads(run("verify", "--store", store, "--json")) == {"problems": []}


def test_compare_sets_runs_side_by_side(store: Path):
    """Two runs or more are compared with the first; a word that can't be ignored is refused by name."""
    told = json.loads(run("compare", "booked-twice", "healthy-booking", "--ignore", "ids", "--store", store, "--json"))
    assert (told["reference"]["run_id"], [one["run_id"] for one in told["runs"]]) == ("booked-twice", ["healthy-booking"])
    assert told["effects"]["book_flight"].startswith("2 → ")
    assert "healthy-booking differs in" in run("compare", "booked-twice", "healthy-booking", "booked-twice", "--store", store)
    assert "can't ignore 'costs'" in run("compare", "booked-twice", "healthy-booking", "--ignore", "costs", "--store", store, status=2)


def test_a_report_that_is_there_is_not_overwritten_unasked(store: Path, tmp_path: Path):
    """A second report under the same name is refused, with what would be right; --force writes it."""
    output = tmp_path / "notes.md"
    output.write_text("mine")
    assert "notes.md is there already; --force overwrites it" in " ".join(run("report", "--store", store, "-o", output, status=2).split())
    assert output.read_text() == "mine"
    run("report", "--store", store, "-o", output, "--force")
    assert output.read_text() != "mine"


def test_ingest_lists_the_runs_it_touched_those_that_failed_first(tmp_path: Path):
    """Each new or changed run with its agent, status and steps; of more than twenty the rest is counted, and none of those that failed is in it."""
    times = {"startTimeUnixNano": "1750000000000000000", "endTimeUnixNano": "1750000000000000005"}
    attributes = [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}}, {"key": "gen_ai.agent.name", "value": {"stringValue": "clerk"}}]
    spans = [{"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "clerk", "attributes": attributes, **times} for number in range(1, 24)]
    spans[-1]["status"] = {"code": 2, "message": "out of stock"}
    (tmp_path / "spans.json").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    told = run("ingest", tmp_path / "spans.json", "--store", tmp_path / "w.db").splitlines()
    listed = [line.split() for line in told if "clerk" in line]
    assert (len(listed), listed[0][0], listed[0][3], listed[1][0]) == (20, f"{23:032x}", "error", f"{1:032x}")
    assert any(line.startswith("and 3 more: workbench runs --store") for line in told)
    assert "23 runs new or changed" in told[-1]
    assert not any("clerk" in line for line in run("ingest", tmp_path / "spans.json", "--store", tmp_path / "w.db").splitlines())


def test_ingest_sums_up_by_convention_and_names_what_it_left_alone(tmp_path: Path):
    """What no collector knows beside the traces of a folder is named and no loss; named alone it is a skip. Spans are told by convention."""
    told = run("ingest", SAMPLES / "booked_twice", "--store", tmp_path / "w.db")
    assert "spans by convention: " in told
    assert "openinference" in told
    assert "left alone: " in told
    assert "incident.json" in told
    assert "0 skipped" in told
    alone = json.loads(run("ingest", SAMPLES / "booked_twice" / "incident.json", "--store", tmp_path / "w.db", "--json", status=1))
    assert alone["skipped"] == 1
    assert alone["files"][0]["skips"][0]["place"].endswith("incident.json")


def test_an_ingest_that_could_use_nothing_ends_with_1(tmp_path: Path):
    """A script can tell that everything was skipped; where anything was read, or is there from before, it is done."""
    (tmp_path / "broken.json").write_text('{"resourceSpans": [')
    given = ["ingest", str(tmp_path / "broken.json"), "--store", str(tmp_path / "w.db")]
    assert CliRunner().invoke(app, given).exit_code == 1
    assert CliRunner().invoke(app, [*given, "--json"]).exit_code == 1
    for _ in range(2):
        assert CliRunner().invoke(app, [*given, str(SAMPLES / "booked_twice")]).exit_code == 0


def test_whatever_takes_long_tells_how_far_it_is(tmp_path: Path):
    """Ingest tells bytes of all files, then runs; renormalise tells runs, verify payloads, detect runs; none goes past what there is, or back."""
    told: dict[str, list[tuple[str, int, int]]] = {}

    def into(name: str):
        return lambda what, done, total: told.setdefault(name, []).append((str(what), done, total))

    with closing(workbench.open(tmp_path / "w.db")) as bench:
        bench.ingest(SAMPLES / "booked_twice", progress=into("ingest"))
        bench.renormalise(progress=into("renormalise"))
        bench.verify(progress=into("verify"))
        bench.detect(progress=into("detect"))
    size = sum(path.stat().st_size for path in (SAMPLES / "booked_twice").iterdir() if path.suffix != ".md")
    assert {total for what, _, total in told["ingest"] if what != "runs"} == {size}
    assert told["ingest"][-1][0] == "runs"
    assert {calls[0][0] for name, calls in told.items() if name != "ingest"} == {"runs", "payloads", "booked-twice"}
    for calls in told.values():
        read = [done for what, done, total in calls if total == calls[0][2]]
        assert read == sorted(read)
        assert all(done <= total for _, done, total in calls)


def test_sweep_and_controls(store: Path, tmp_path: Path):
    """A sweep stops after as many forks as allowed and goes on the next time; a change that is none is refused by its form, a taken file before any fork."""
    options = ["booked-twice", "--at", 13, "--change", "none", "--k", 2, "--store", store]
    first = json.loads(run("sweep", *options, "--forks", 1, "--json"))
    assert [one["how"] for one in first["forks"]] == ["done", "left"]
    assert [one["how"] for one in json.loads(run("sweep", *options, "--json"))["forks"]] == ["done before", "done"]
    assert "should be KIND=JSON" in run("sweep", "booked-twice", "--at", 13, "--change", "better", "--store", store, status=2)
    assert "is no fork: say from which step" in run("controls", "booked-twice", "--store", store, status=2)
    report = tmp_path / "sweep.html"
    assert "it opens offline" in run("sweep", *options, "-o", report)
    assert "every statement is supported" in run("verify", report, "--store", store)
    assert "is there already; --force overwrites it" in run("sweep", "booked-twice", "--at", 2, "-o", report, "--store", store, status=2)
    controlled = "controls", "booked-twice", "--at", 13, "--k", 1, "--store", store
    assert json.loads(run(*controlled, "-o", tmp_path / "controls.json", "--json"))["report"] == str(tmp_path / "controls.json")
    assert "counting" in run(*controlled)


def test_incident_tells_and_writes_and_refuses(store: Path, tmp_path: Path):
    """The incident as text and as JSON; -o writes a report that verifies; a misspelt detector is an error with the nearest."""
    told = json.loads(run("incident", "INC-1", "--store", store, "--json"))
    assert (told["scope"]["name"], told["reach"]["affected"], told["reach"]["runs"], told["worst"]) == ("INC-1", 5, 10, "booked-twice")
    assert 'bench.run("booked-twice").view(step=13)' in run("incident", "--detector", "duplicated-effect", "--store", store)
    report = tmp_path / "incident.html"
    assert "it opens offline" in run("incident", "-o", report, "--store", store)
    assert "every statement is supported" in run("verify", report, "--store", store)
    refused = CliRunner().invoke(app, ["incident", "--detector", "duplicate-effect", "--store", str(store)])
    assert "the nearest is 'duplicated-effect'" in str(refused.exception)


def test_a_passed_on_question_is_told_as_that() -> None:
    """`show` says of a question that a task around it passed on that it was asked inside, so that it is not taken for a second one."""
    step = Step(index=0, kind="human", name="approval", tool_call=ToolCall(name="approval"), result="yes")
    assert [_said(one) for one in (step, step.model_copy(update={"notes": (PASSED_ON,)}))] == ["yes", "(passed on from inside) yes"]
