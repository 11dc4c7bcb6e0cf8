"""Forking small real LangGraph agents: what is served, what halts, and that nothing real is touched."""

from __future__ import annotations

import hashlib
import signal
import socket
from pathlib import Path

import pytest

from tests.replay_recording import AGENTS, Recording, record
from workbench.comparison.comparison import compare
from workbench.model import Change, Run
from workbench.replay import ForkError

TWO = [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]]
MODEL = ("model",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the recording stands."""
    found = tmp_path / "recorded"
    found.mkdir()
    return found


def differing(recording: Recording, other: Run) -> list[object]:
    return [row for row in compare(recording.run, other).rows if row.relation != "same"]


def test_unchanged(folder: Path, ledger: Path) -> None:
    """An unchanged replay serves every call, runs no tool, makes the same steps and leaves the recorded database as it was."""
    recording = record(folder, "graph", TWO)
    before = ledger.read_text(), recording.database.read_bytes(), sorted(folder.iterdir())
    forked = recording.fork(0)
    assert (ledger.read_text(), recording.database.read_bytes(), sorted(one for one in folder.iterdir() if one.name != "forks")) == before
    assert sorted(before[0].splitlines()) == ["book NH 1", "book NH 2"]  # the calls run at once
    assert forked.receipt.calls.model_dump() == {"served": 4, "live": 0, "blocked": 0, "halted": 0, "answered": 0}
    assert differing(recording, forked.run) == []
    assert forked.receipt.clean
    assert forked.receipt.parent_sha256 == {str(recording.database): hashlib.sha256(before[1]).hexdigest()}


@pytest.mark.parametrize(("name", "outcome"), [("signing", "Signed."), ("wrapping", "Wrapped.")])
def test_outcome_of_what_a_node_wrote(name: str, outcome: str, folder: Path, ledger: Path) -> None:
    """A run and its fork came to the last message in the state, also where a plain node wrote it after a model's answer, or around an agent it called."""
    recording = record(folder, name, [])
    forked = recording.fork(0)
    assert (recording.run.outcome, forked.run.outcome, forked.receipt.outcome) == (outcome,) * 3
    assert differing(recording, forked.run) == []


def test_tool_edit(folder: Path, ledger: Path) -> None:
    """A changed tool result with a live model leads to another answer, and no tool runs."""
    recording = record(folder, "graph", TWO)
    before = ledger.read_text()
    at = recording.step("book", 1)
    forked = recording.fork(at, Change(kind="tool_result", value="no seat"), live=MODEL)
    assert forked.run.outcome == "booked NH 1; no seat"
    assert forked.receipt.calls.model_dump() == {"served": 2, "live": 1, "blocked": 0, "halted": 0, "answered": 0}
    assert [(record.name, record.answer) for record in forked.receipt.records if record.kind == "tool"] in (
        [("book", "served"), ("book", "edited")],
        [("book", "edited"), ("book", "served")],
    )
    assert "edited" in forked.run.step(at).notes
    assert (forked.run.forked_from, forked.run.forked_at_step) == (recording.run.run_id, at)
    assert [(one.key, one.original, one.fork) for one in forked.receipt.effects] == [('book(flight="NH 2")', 1, 0), ('book(flight="NH 1")', 1, 1)]
    assert ledger.read_text() == before


def test_prefix(folder: Path, ledger: Path) -> None:
    """A fork shares the steps before the super-step that is done again with its parent, and has its own thread from there."""
    recording = record(folder, "graph", TWO)
    forked = recording.fork(recording.step("book"))
    assert forked.prefix == recording.step("book")
    assert forked.run.steps[: forked.prefix] == recording.run.steps[: forked.prefix]
    again = recording.fork(recording.step("book"), scratch=folder / "again.sqlite")
    assert again.receipt.prefix_sha256 == forked.receipt.prefix_sha256


def test_edit_without_live_model(folder: Path, ledger: Path) -> None:
    """Without a live model a changed result halts at the next thought, which says what differs and how to go on."""
    recording = record(folder, "graph", TWO)
    forked = recording.fork(recording.step("book"), Change(kind="tool_result", value="no seat"))
    assert (forked.receipt.calls.live, forked.receipt.calls.halted, forked.run.status) == (0, 1, "error")
    halt = next(record for record in forked.receipt.records if record.answer == "halted")
    assert 'recorded "booked NH 1", asked "no seat"' in halt.says
    assert 'live=["model"]' in halt.says
    assert forked.receipt.outcome.startswith("halted: no recording of model call at agent")
    assert not forked.receipt.clean


def test_unrecorded_tool(folder: Path, ledger: Path) -> None:
    """A tool call that was never recorded halts, names the nearest recording and what differs, and does not run."""
    recording = record(folder, "graph", TWO)
    before = ledger.read_text()
    forked = recording.fork(recording.step("book", 1), Change(kind="tool_result", value="try NH 9"), live=MODEL)
    halt = next(record for record in forked.receipt.records if record.answer == "halted")
    assert 'no recording of tool book({"flight":"NH 9"}) at tools' in halt.says
    assert f"cassette of run {recording.run.run_id}" in halt.says
    assert '$.flight: recorded "NH 1", asked "NH 9"' in halt.says
    assert ledger.read_text() == before


def test_more_often(folder: Path, ledger: Path) -> None:
    """A tool called once more than it was recorded halts, even with the same arguments."""
    recording = record(folder, "graph", [["book", {"flight": "NH 1"}]])
    forked = recording.fork(recording.step("book"), Change(kind="tool_result", value="try NH 1"), live=MODEL)
    halt = next(record for record in forked.receipt.records if record.answer == "halted")
    assert "the same call was recorded at step 2, and each recording has been served once" in halt.says


def test_parallel(folder: Path, ledger: Path) -> None:
    """Parallel calls of one tool get each their own recorded answer, whichever comes first."""
    calls = [["slow_then_fast", {"number": number}] for number in range(4)]
    recording = record(folder, "graph", calls)
    forked = recording.fork(0)
    pairs = [(step.tool_call.arguments["number"], step.result) for step in forked.run.of_kind("tool") if step.tool_call and step.tool_call.arguments]
    assert sorted(pairs) == [(number, f"answer {number}") for number in range(4)]
    assert differing(recording, forked.run) == []


def test_async(folder: Path, ledger: Path) -> None:
    """A graph whose nodes are asynchronous replays as one that is not."""
    recording = record(folder, "loop", TWO)
    before = ledger.read_text()
    forked = recording.fork(0)
    assert forked.receipt.calls.model_dump() == {"served": 4, "live": 0, "blocked": 0, "halted": 0, "answered": 0}
    assert differing(recording, forked.run) == []
    assert recording.fork(0, live=MODEL, scratch=folder / "live.sqlite").receipt.calls.live == 2
    assert ledger.read_text() == before


def test_errors(folder: Path, ledger: Path) -> None:
    """A tool's error is the same again, for a tool node that tells the model and for code that catches it by its class."""
    recording = record(folder, "handling", [["seats", {"flight": "NH 2"}]])
    forked = recording.fork(0)
    assert differing(recording, forked.run) == []
    assert [step.error for step in forked.run.of_kind("tool")] == ["OutOfSeats: NH 1 has 0 seats", "OutOfSeats: NH 2 has 0 seats"]
    assert next(forked.run.of_kind("tool")).changes == {"said": "none left: NH 1 has 0 seats"}
    assert ledger.read_text().splitlines() == ["seats NH 1", "seats NH 2"]


def test_interrupt(folder: Path, ledger: Path) -> None:
    """A question that was asked and answered is answered from the recording."""
    recording = record(folder, "approving", TWO, answers=("go ahead",), budget=5)
    forked = recording.fork(0)
    assert differing(recording, forked.run) == []
    assert [(one.kind, one.answer) for one in forked.receipt.records if one.kind == "human"] == [("human", "served")]
    assert [step.result for step in forked.run.of_kind("human")] == [None, "go ahead"]


def test_other_question(folder: Path, ledger: Path) -> None:
    """An answer is never carried over to another question: the fork stops there and waits."""
    recording = record(folder, "approving", TWO, answers=("go ahead",), budget=5)
    forked = recording.fork(recording.step("approval"), Change(kind="state", value={"budget": 9000}))
    assert forked.run.status == "interrupted"
    assert forked.run.steps[-1].tool_call is not None
    assert forked.run.steps[-1].tool_call.arguments == {"question": {"question": "Spend 9000?"}}
    assert any("an approval is never carried over" in note for note in forked.receipt.notes)
    assert (forked.receipt.calls.halted, forked.receipt.calls.live) == (0, 0)


def test_interrupt_inside_a_tool(folder: Path, ledger: Path) -> None:
    """A tool that stopped to ask a person does so again, is answered from the recording, and its body never runs."""
    recording = record(folder, "graph", [["confirm", {"flight": "NH 1"}]], answers=("yes",))
    before = ledger.read_text()
    forked = recording.fork(0)
    assert differing(recording, forked.run) == []
    assert forked.run.outcome == "confirmed yes"
    assert ledger.read_text() == before == "confirm NH 1\n"


def test_state(folder: Path, ledger: Path) -> None:
    """A changed state holds from the step on, without reducers or routing: other calls are asked for, and halt."""
    recording = record(folder, "graph", [["book", {"flight": "NH 1"}]])
    changed = [{"role": "user", "content": '[["book", {"flight": "NH 3"}]]'}]
    forked = recording.fork(1, Change(kind="state", value={"messages": changed}), live=MODEL)
    assert forked.run.steps[1].messages[0].content == changed[0]["content"]
    assert len(forked.run.steps[1].messages) == 1
    assert 'asked "NH 3"' in next(record.says for record in forked.receipt.records if record.answer == "halted")
    with pytest.raises(ForkError, match="no channel 'buget'; did you mean budget"):
        recording.fork(1, Change(kind="state", value={"buget": 1}))


@pytest.mark.parametrize(
    ("name", "state", "says"),
    [
        ("graph", {"budget": "many"}, r"the channel 'budget' should be int, and is \"many\""),
        ("graph", {"messages": "hello"}, r"the channel 'messages' should be a list of messages such as .*, and is \"hello\""),
        ("graph", {"messages": [["user", "hi"], 5]}, "the channel 'messages' should be a list of messages such as .*, and holds 5"),
        ("typed", {"trip": {"town": "Nara"}}, r"the channel 'trip' should be Trip, and is {\"town\": \"Nara\"}"),
    ],
)
def test_a_state_of_another_type(name: str, state: dict[str, object], says: str, folder: Path, ledger: Path) -> None:
    """A state that does not fit the graph's schema is refused before anything runs, by its channel, the type, and what was given."""
    recording = record(folder, name, [["book", {"flight": "NH 1"}]] if name == "graph" else [], **({"budget": 5} if name == "graph" else {}))
    before = ledger.read_text()
    with pytest.raises(ForkError, match=f"the state given does not fit the graph's: {says}"):
        recording.fork(recording.step("praise") if name == "typed" else 1, Change(kind="state", value=state), graph=f"tests.replay_agents:{name}")
    assert ledger.read_text() == before


def test_a_state_of_own_types(folder: Path, ledger: Path) -> None:
    """A value that is given as JSON becomes what the graph's schema names: here a dataclass."""
    recording = record(folder, "typed", [])
    forked = recording.fork(recording.step("praise"), Change(kind="state", value={"trip": {"city": "Nara"}}), graph="tests.replay_agents:typed")
    assert forked.run.steps[-1].changes == {"said": "Nara is lovely"}


def test_own_types(folder: Path, ledger: Path) -> None:
    """Values of types that the graph's schema names keep their type; under another module's name they are plain data, and that is said."""
    recording = record(folder, "typed", [])
    at, known = recording.step("praise"), "tests.replay_agents:typed"
    forked = recording.fork(at, Change(kind="state", value={"said": "!"}), graph=known)
    assert forked.run.steps[-1].changes == {"said": "Kyoto is lovely!"}
    assert forked.receipt.notes == ()
    renamed = recording.fork(at, scratch=folder / "renamed.sqlite")
    assert renamed.receipt.outcome.startswith("failed: AttributeError")
    assert renamed.receipt.notes == (
        "values of tests.replay_agents.Trip in the state were handed on as plain data: the graph's schema does not name these types",
    )
    with pytest.raises(ForkError, match=r"the state holds tests.replay_agents.Trip, .* they would be lost if it were changed"):
        recording.fork(at, Change(kind="state", value={"said": "!"}))


def test_fork_of_a_fork(folder: Path, ledger: Path) -> None:
    """A fork can be forked again, from the thread it left in scratch."""
    recording = record(folder, "graph", TWO)
    first = recording.fork(recording.step("book"), Change(kind="tool_result", value="no seat"), live=MODEL)
    second = Recording(first.run, folder / "forks" / "fork.sqlite", recording.graph).fork(recording.step("book"), scratch=folder / "second.sqlite")
    assert second.receipt.calls.model_dump() == {"served": 3, "live": 0, "blocked": 0, "halted": 0, "answered": 0}
    assert second.run.outcome == first.run.outcome == "no seat; booked NH 2"


# ---- ways out


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A server outside that nobody may reach."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    monkeypatch.setenv("PORT", str(server.getsockname()[1]))
    return server


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("connect", "network"),
        ("swallowed", "network"),
        ("thread", "network"),
        ("run", "process"),
        ("write", "file"),
        ("database", "database"),
        ("signal", "process"),
    ],
)
def test_escape(way: str, kind: str, folder: Path, ledger: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that reaches for the network, a process, a file, a database or a signal is refused and counted, even where it swallows the refusal."""
    recording = record(folder, "escaping", TWO)
    before, database = ledger.read_text(), recording.database.read_bytes()
    monkeypatch.setenv("ESCAPE", way)
    monkeypatch.setenv("FOREIGN_DB", str(recording.database))
    signals: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _: signals.append(number))
    try:
        forked = recording.fork(1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    with listener, pytest.raises(BlockingIOError):
        listener.accept()
    assert forked.receipt.calls.blocked >= 1
    assert {record.kind for record in forked.receipt.records if record.answer == "blocked"} == {kind}
    assert not forked.receipt.clean
    assert (ledger.read_text(), recording.database.read_bytes(), signals) == (before, database, [])


def test_isolation_is_true(folder: Path, ledger: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the receipt says of the sandbox holds for code that goes past Python, straight to the C library."""
    recording = record(folder, "escaping", TWO)
    before = ledger.read_text()
    monkeypatch.setenv("ESCAPE", "natively")
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        forked = recording.fork(1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    if not forked.receipt.isolation.startswith("sandboxed"):
        assert forked.receipt.isolation.startswith("guarded, not sandboxed: ")
        pytest.skip(f"no sandbox here: {forked.receipt.isolation}")
    said = next(step.changes["said"] for step in forked.run.steps if "said" in step.changes)
    claims = {"connected": "no network", "wrote": "writes only to scratch", "signalled": "no signals to other processes", "unix": "no Unix sockets"}
    held = forked.receipt.isolation.partition("; without")[0]
    assert all(f'"{escape}": false' in said for escape, claim in claims.items() if claim in held)
    assert ledger.read_text() == before
    listener.close()


def test_thread_swallows_the_halt(folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool call without a recording fails the fork even when a thread of the agent's own swallows the halt, and nothing goes on after it."""
    recording = record(folder, "escaping", TWO)
    before = ledger.read_text()
    monkeypatch.setenv("ESCAPE", "call")
    forked = recording.fork(1, live=MODEL)
    assert forked.receipt.outcome.startswith("halted: no recording of tool book")
    assert forked.receipt.calls.halted == 2
    assert (forked.receipt.calls.live, forked.run.status, ledger.read_text()) == (0, "error", before)


@pytest.mark.parametrize(("way", "says"), [("link", r"replaced its own database by a link \(thread.sqlite\)"), ("remove", "removed or damaged the database")])
def test_own_database(way: str, says: str, folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that removes its scratch database, or puts a link in its place, is found out; what the link leads to is not opened for writing."""
    recording = record(folder, "escaping", TWO)
    before = recording.database.read_bytes()
    monkeypatch.setenv("ESCAPE", way)
    monkeypatch.setenv("FOREIGN_DB", str(recording.database))
    with pytest.raises(ForkError, match=says):
        recording.fork(1)
    assert recording.database.read_bytes() == before


# ---- what can't be forked


def test_live_tool(folder: Path, ledger: Path) -> None:
    """What goes live is named with its kind: a bare name is refused, and the right one is told."""
    with pytest.raises(ForkError, match="did you mean tool:book"):
        record(folder, "graph", TWO).fork(1, live=("book",))


def test_no_tool_step(folder: Path, ledger: Path) -> None:
    """A tool result for a step that is no tool call is refused, and the nearest tool steps are named."""
    recording = record(folder, "graph", TWO)
    with pytest.raises(ForkError, match=r"step 1 is a model step .* the nearest tool steps are 2 \(book\), 3 \(book\)"):
        recording.fork(1, Change(kind="tool_result", value=1))


def test_no_database(folder: Path, ledger: Path) -> None:
    """Without the recorded database, or with another, the fork says which checkpoint it looked for and where."""
    recording = record(folder, "graph", TWO)
    with pytest.raises(ForkError, match=r"no recorded database holds checkpoint .* \(looked in: none was given\)"):
        recording.fork(1, databases=[])
    steps = tuple(step.model_copy(update={"checkpoint_id": None}) for step in recording.run.steps)
    spans_alone = Recording(Run(run_id="spans alone", steps=steps), recording.database, recording.graph)
    with pytest.raises(ForkError, match="no state to re-run from; ingest its checkpoint database too"):
        spans_alone.fork(1)


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ("nonsense", "should be module:attribute or path/to/file.py:attribute"),
        (f"{AGENTS}:grap", "has no grap; it has graph"),
        (f"{AGENTS}:book", "is of the type StructuredTool; it should be a compiled LangGraph graph"),
        (f"{AGENTS.with_name('replay_agent.py')}:graph", r"there is no file .*; near it is replay_agents.py"),
        ("no_such_module:graph", "can't be imported: No module named 'no_such_module'"),
        ("os:system", r"os:system was called without arguments to make the graph, and raised TypeError"),
        (f"{AGENTS}:renamed", None),
        (f"{AGENTS}:made", None),
    ],
)
def test_graph(graph: str, says: str | None, folder: Path, ledger: Path) -> None:
    """A graph that can't be loaded is refused with the nearest names; one with more nodes, or from a function, is not."""
    recording = record(folder, "graph", TWO)
    if says is None:
        assert recording.fork(recording.step("book"), graph=graph).receipt.calls.halted == 0
    else:
        with pytest.raises(ForkError, match=says):
            recording.fork(1, graph=graph)


def test_an_agent_that_ends_the_process(folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that exits ends the run with that, and a module that does can't be imported; the re-run's process lives on to tell."""
    recording = record(folder, "escaping", TWO)
    monkeypatch.setenv("ESCAPE", "leave")
    forked = recording.fork(1, execute=("plain",))
    assert forked.receipt.outcome == "failed: SystemExit: 3"
    (folder / "leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ForkError, match=r"leaving.py can't be imported: SystemExit: 3"):
        recording.fork(1, graph=f"{folder / 'leaving.py'}:graph", scratch=folder / "again.sqlite")


def test_other_graph(folder: Path, ledger: Path) -> None:
    """A graph without a recorded node is refused, and both sides' nodes are named."""
    with pytest.raises(ForkError, match=r"is not the graph of this recording: it has no node approve; .* has careful, which the recording doesn't name"):
        record(folder, "approving", TWO, answers=("yes",)).fork(1, graph=f"{AGENTS}:handling")


def test_death(folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-run whose process dies is an error with its status and last words."""
    recording = record(folder, "escaping", TWO)
    monkeypatch.setenv("ESCAPE", "die")
    with pytest.raises(ForkError, match=r"died \(status 7\) without an answer. The end of what it printed:\nlast words"):
        recording.fork(1)


def test_time(folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-run that does not end is stopped, and the error says so."""
    recording = record(folder, "escaping", TWO)
    monkeypatch.setenv("ESCAPE", "hang")
    with pytest.raises(ForkError, match="did not end within 5 s and was stopped"):
        recording.fork(1, seconds=5)


def test_full_scratch(folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-run that writes more to scratch than it may is stopped, and the error says so."""
    recording = record(folder, "escaping", TWO)
    (folder / "pyproject.toml").write_text("[tool.workbench.isolation]\nscratch_gib = 0.01\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ESCAPE", "fill")
    with pytest.raises(ForkError, match=r"wrote more than 0.01 GiB to scratch and was stopped: look for a loop, or set scratch_gib"):
        recording.fork(1)
