"""What a re-run's process is asked, and what it answers: two values that travel as JSON files."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Literal

from workbench.model import Budget, CallRecord, Cassette, EffectClass, Json, Level, Span, Spent, Value
from workbench.reading.serde import decode

Ended = Literal["done", "interrupted", "halted", "failed", "refused", "stopped"]
"""How a re-run ended."""
Done = Literal["input", "update", "back"]
"""What is done to a thread beside resuming it: it is given an input, its state is updated, or it is started from an earlier checkpoint."""


class Fault(Value):
    """A failure put in a call's way. `call_kind`, `name`, `node_path` and the digest of its arguments say which call; a model call goes by its node.

    An HTTP call, which goes by its recording, may be given another answer by the same way: a fault of kind "answer".
    """

    kind: Literal["timeout", "error", "empty", "slow", "answer"]
    seconds: float = 1.0
    """How much longer a slow call takes."""
    message: str = ""
    """What is raised, as `TypeOfError: message`."""
    times: int = 1
    """How many such calls meet it; the next one gets the recorded answer."""
    call_kind: str
    name: str = ""
    node_path: str = ""
    arguments_sha256: str = ""
    step: int | None = None
    """The recorded step of the call: the first to meet the fault is the call that would be given its answer."""
    recording: int | None = None
    """Of an HTTP call, the place of its recording in the cassette."""
    answer: Json = None
    """What an HTTP call is answered: status, headers and body, as they are recorded."""


class MessageEdit(Value):
    """Another content or other tool calls for one message of the history: the `occurrence`-th whose canonical form has this digest."""

    sha256: str
    occurrence: int = 0
    fields: dict[str, Json]


class Alteration(Value):
    """What a change does to calls as they are made. `node_path` is where it holds, None for everywhere."""

    node_path: str | None = None
    system: str | None = None
    message: MessageEdit | None = None
    settings: Mapping[str, Json] = {}
    """Settings of the model; `name` stands for its name."""
    tools: Json = None
    """The names of the tools that stay, or by name what is changed in their definitions."""
    fault: Fault | None = None


class Resumed(Value):
    """Where a killed re-run goes on: what stands of what it told (`workbench.replay.unfinished`)."""

    part: int
    """How often it has been resumed, this time included."""
    records: int
    used: tuple[int, ...]
    """The recorded steps that were served for good."""
    answers: tuple[int, ...] = ()
    """Of these, the answers of people that the last start was to bring."""
    freed: bool
    applied: int
    starts: int
    later: int | None = None
    """How much of what was done later was left at the last start, and how many restarts."""
    restarts: int | None = None
    ends: tuple[str, ...] = ()
    """Where the thread stood at the end of each stretch before."""
    given: str = "none"
    at: str | None = None
    """What the last start was given, and the checkpoint it started from: where the thread still stands there, it is given again."""
    stopped: bool = False
    """Whether the last start came to an end that was no failure: what came next in the recorded run is still to be done."""
    paused: tuple[tuple[str, int, tuple[str, ...], str], ...] = ()
    """The breakpoints that it stopped at (`workbench.replay.fence.breakpoints`)."""
    updates: int = 0
    """How many updates of the state were told since then."""
    stops: int | None = None
    """How many of the recorded run's cut-offs were still to come at the last start."""
    strayed: tuple[str, ...] = ()
    """The nodes that wrote something else than recorded, and took those after them off course."""
    notes: tuple[str, ...] = ()
    """What there was to say."""
    root: Span | None = None
    """The span of the last start, where it has no end yet."""
    spent: Spent = Spent()


class Context(Value):
    """What a recorded run was started with besides its input: its fields, and the types of those that could not be written down, by name."""

    value: Json = None
    lost: Mapping[str, str] = {}
    by_hand: tuple[str, ...] | None = None
    """The names of the fields that somebody gave in place of what was recorded, "" for the whole of one that has none; None where nobody did."""
    other: tuple[str, ...] | None = None
    """Those of them that were recorded with another value; None where nothing was recorded that they could be held against."""


START = "WORKBENCH_START"
"""The variable of the environment in which the process for live calls is told how the start was configured that the graph is made for."""


class Start(Value):
    """What one start of a recorded run was configured with, as far as that is known."""

    configurable: Mapping[str, Json] = {}
    metadata: Mapping[str, Json] = {}
    tags: tuple[str, ...] | None = None
    """None where they were not recorded."""
    limit: int | None = None
    """Its recursion limit; None where that is not known: the graph's own holds."""
    lost: Mapping[str, Mapping[str, str]] = {}
    """The types of what could not be written down, by part and name."""


class Spot(Value):
    """A root checkpoint that the thread went back to. Where it was made after the cut, a re-run makes one of its own, `back` before the end of a stretch."""

    checkpoint_id: str
    stretch: int | None = None
    """The stretch it was made in (`workbench.replay.recording.aftermath`); None where it stands in the copy under this id."""
    back: int = 0
    ran: tuple[str, ...] = ()
    """The paths of the tasks that had run from it."""


class Later(Value):
    """What was done to the thread after the cut, beside resuming it."""

    kind: Done
    parent: str
    """The recorded checkpoint it was done to."""
    spot: Spot | None = None
    """Where that was, if it wasn't where the thread stood."""
    tasks: tuple[str, ...] = ()
    """Of an update, what it wrote, among the recorded tasks."""
    type: str = ""
    data: str = ""
    """Of an input, and of an update whose writes were not kept: the checkpoint that it made, its type and base64."""
    step: int | None = None
    """The recorded step that tells of it, if any does."""
    first: int | None = None
    """The first recorded step that was made after it; None where none was before the next such thing."""
    restarts: int = 0
    """How often the graph was started again after it with neither an answer nor an input."""


class Crash(Value):
    """A failure by which the recorded run ended before it was started again: in which start, counted from that of the cut, in which task, and its text."""

    start: int
    task_id: str | None = None
    error: str = ""


class Request(Value):
    """All that a re-run needs. Paths are absolute; `folder` and its parts are the only place it may write to."""

    run_id: str
    graph: str
    folder: str
    database: str
    witness: str
    seconds: float
    cassette: Cassette
    steps: tuple[int, ...]
    """The recorded steps whose answers may be served: those that are done again."""
    before: tuple[int, ...] = ()
    """Those of them that were made before the fork's own step: they are served even where their names are live."""
    edited: int | None = None
    """The step whose recorded answer was replaced."""
    opened: tuple[int, ...] = ()
    """The tool calls whose code runs, since the fork is made at a step inside them: its calls are answered."""
    numbers: Mapping[str, Mapping[int, tuple[int, ...]]] = {}
    """Of the recorded tasks that made these calls, the numbers of the graphs that their calls started (`workbench.replay.recording.nesting.numbers_of`)."""
    beside: Mapping[int, tuple[int, ...]] = {}
    """Of the tool calls that failed or stopped, the calls that had begun beside them by then."""
    asked_otherwise: tuple[int, ...] = ()
    """The tool calls that were given the person's recorded answer which was replaced: what they made of it is not served."""
    alteration: Alteration = Alteration()
    state: dict[str, Json] | None = None
    """Channels to overlay at the cut."""
    cut: tuple[str, str]
    """Namespace and id of the checkpoint whose super-step is done again."""
    path: tuple[tuple[str, int], ...] = ()
    """Where that lies in a start that was given an input: the namespaces from the root down, each with the number of its super-step. Else empty."""
    models_live: bool = False
    """Chat models think anew, inside the sandbox."""
    outside: tuple[str, ...] = ()
    """What is live outside the sandbox, asked for over the line: `tool:NAME`, `model:NAME`."""
    budget: Budget = Budget()
    isolation: Level | None = None
    """The level of isolation asked for; None leaves it to what the user's project asks for at its risk."""
    declared: Mapping[str, EffectClass] = {}
    """What calling a tool does, by its name, where the user's project declares that."""
    nodes: tuple[str, ...] = ()
    """Nodes of the root graph that the recording names."""
    starts: tuple[Start, ...] = ()
    """How each start of the recorded run from the cut on was configured; the last holds for those after it."""
    begun: Mapping[str, int] = {}
    """By the namespaces of the cut, the super-step from which the first of them counts against its recursion limit."""
    loops: bool | None = None
    """Whether the recorded run was started in an event loop; None where that was not recorded."""
    contexts: tuple[Context, ...] = ()
    """What each start of the recorded run from the cut on was given as its context, as far as that was recorded; the last holds for those after it."""
    later: tuple[Later, ...] = ()
    """What was done to the thread after the cut, oldest first."""
    idle: bool = False
    """Whether nothing is run from the cut before the first of that."""
    restarts: int = 0
    """How often the recorded run was started again before that with neither an answer nor an input."""
    crashes: tuple[Crash, ...] = ()
    """The failures by which it ended before it was started again."""
    stops: tuple[int, ...] = ()
    """The steps after which it was cut off before it was started again."""
    waits: tuple[str, ...] = ()
    """The root graph's nodes that the recorded run stood before when it ended, such as at a breakpoint that its start was given."""
    recorded: str = ""
    """A file with what the recorded tasks wrote (`workbench.replay.recording.tasks`); empty for none."""
    execute: tuple[str, ...] = ()
    """Nodes whose code runs even where recorded writes could stand for them; "*" for all."""
    stale: tuple[str, ...] = ()
    """Tools, or kinds of calls, for which the nearest recording's answer is served where there is no recording."""
    unknown: tuple[Unknown, ...] = ()
    """Names that were asked for and that nothing in the recording has."""
    resumed: Resumed | None = None


class Unknown(Value):
    """A name that a fork was asked for and that nothing in the recording has: the program may have it all the same."""

    asked: str
    """How it was asked for, such as `live tool:pey (--live)`."""
    kind: Literal["tool", "model", "call", "node"]
    name: str
    known: tuple[str, ...] = ()
    """What the recording has of that kind."""


class Packed(Value):
    """One injected argument as it crosses: a value, the runtime, or the config; `data` is msgpack as base64."""

    kind: Literal["value", "runtime", "config"]
    data: str

    def shown(self) -> Json:
        """The value as plain data, whatever it holds. UndecodedError for what is too large or deep to be looked at."""
        (value,) = decode("msgpack", base64.b64decode(self.data)).value
        return value


class Answer(Value):
    """What came of it. The records and spans are told while it runs, and put in by whom they were told to.

    `refused` is a reason why nothing could run; `halted` the divergence; `failed` an error of the agent's own; `stopped` who
    ended it before its end.
    """

    ended: Ended
    says: str = ""
    records: tuple[CallRecord, ...] = ()
    spans: tuple[Span, ...] = ()
    tasks: tuple[tuple[str, str], ...] = ()
    """Ids of tasks of the re-run, each with that of the recorded one that it repeated."""
    isolation: str = ""
    sandboxed: bool = False
    asked: Level | None = None
    """The level of isolation it was started at."""
    sandboxable: bool = True
    """Whether the platform offers a sandbox at all."""
    spent: Spent = Spent()
    applied: bool = False
    """Whether some call met the change."""
    state: tuple[str, str] | None = None
    """Hash of the last state in memory, and reloaded from the database by a connection of its own."""
    left: tuple[int, ...] = ()
    """The recorded steps whose answers nobody asked for."""
    opened: tuple[int, ...] = ()
    """The tool calls whose code ran, since something inside them was changed."""
    strayed: tuple[str, ...] = ()
    """The nodes that wrote other values than recorded although nothing had been changed before them, where what they write now stands."""
    notes: tuple[str, ...] = ()
