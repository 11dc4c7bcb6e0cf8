"""Decides what goes live: the re-run asks, the broker looks at what was named, the ledger, the budget and a person, and only then has the call made.

The call is made in a third process (`workbench.replay.fence.outside`); the re-run never has a network. Before it is made, a line in the ledger says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import tenacity
from pydantic import ValidationError

from workbench.analysis.effects import UNKNOWN_OUTCOME, effects_of
from workbench.model import Budget, EffectClass, Json, LedgerEntry, Run, Tokens, Value, canonical, digest
from workbench.reading.serde import UndecodedError
from workbench.replay.budget import Meter, OverBudgetError, left
from workbench.replay.channel import ChannelError, Line
from workbench.replay.effects.approvals import NOBODY, Approve, Question, Reply, nobody, reply_of
from workbench.replay.effects.ledger import Causes, Ledger, Pages, Scribe
from workbench.replay.process.parent import SWITCHES, module_paths
from workbench.replay.protocol import START, Packed, Start

TRIES = 3
LONGEST_WAIT_SECONDS = 20.0
SHOWN_CHARS = 2000
"""So much of an injected argument is shown to the person who approves."""


class Wanted(Value):
    """A call that a re-run asks to be made."""

    kind: Literal["tool", "model"]
    name: str
    node_path: str = ""
    place: str = ""
    nth: int = 0
    arguments: Json = None
    call_id: str | None = None
    declared: EffectClass | None = None
    takes_key: bool = False
    injected: Mapping[str, Packed] = {}
    made_as: str = ""
    settings: Mapping[str, Json] = {}
    messages: Sequence[Json] = ()
    stop: Json = None
    options: Mapping[str, Json] = {}


class Refused(RuntimeError):  # noqa: N818  # no error of ours: it is what the re-run is told
    """A call that is not made. The message says why; `tried` is what came of it where it was made before, and is not made again."""

    def __init__(self, why: str, tried: str = "") -> None:
        super().__init__(why)
        self.tried = tried


class _TransientError(RuntimeError):
    """A try that failed in a way that may be gone the next time."""

    def __init__(self, reply: Json) -> None:
        super().__init__(reply["error"])
        self.reply = reply


@dataclass
class Outside:
    """The process that makes the calls; it is started with the first one."""

    graph: str
    seconds: float = 120.0
    """How long one call may take. One that takes longer is stopped, and nobody knows whether it took effect."""
    output: Path = Path(os.devnull)
    start: Start = field(default_factory=Start)
    """How the start was configured for which the graph is made."""
    _process: subprocess.Popen[str] | None = None

    def call(self, question: Json) -> Json:
        """Have one call made. ChannelError when the process dies or does not answer in time."""
        process = self._process = self._process or self._started()
        if process.stdin is None or process.stdout is None:
            raise ChannelError("the process for live calls was started without a channel")
        stop = threading.Timer(self.seconds, process.kill)
        stop.start()
        try:
            return Line(process.stdout, process.stdin).ask(question)
        except ChannelError:
            self.close()
            raise ChannelError(f"the process for live calls died, or did not answer within {self.seconds:g} s") from None
        finally:
            stop.cancel()

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "workbench.replay.fence.outside", self.graph]
        environment = {**os.environ, **SWITCHES, "PYTHONPATH": module_paths(), START: self.start.model_dump_json()}
        with self.output.open("wb") as stream:
            return subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, env=environment, text=True, encoding="utf-8"
            )

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:
                pass  # closes the pipes and waits


@dataclass(frozen=True)
class Terms:
    """On what terms calls of a fork go live: who approves, where it is written down, what it may cost, and what the tools do.

    `declared` says by a tool's name what calling it does; `root_run_id` is the recorded run that a fork of forks goes back to, None for the parent.
    A `budget` that is a meter is shared with whoever holds it too.
    """

    approve: Approve = nobody
    ledger: Ledger = field(default_factory=Pages)
    declared: Mapping[str, EffectClass] = field(default_factory=dict)
    budget: Budget | Meter = field(default_factory=Budget)
    root_run_id: str | None = None

    @property
    def limits(self) -> Budget:
        """What is left to spend."""
        return left(self.budget.budget, self.budget.now()) if isinstance(self.budget, Meter) else self.budget

    def scribe(self, run_id: str, parent: Run, again: Collection[int]) -> Scribe:
        """Who writes the lines of this fork. `again` are the parent's steps that are done again."""
        root = self.root_run_id or parent.run_id
        return Scribe(self.ledger, run_id, parent.run_id, root, self.declared, Causes.after(parent, again))


@dataclass
class Broker:
    """Answers what one re-run asks to have made live. `live` are names such as `tool:book_flight` and `model:gpt-5`."""

    parent: Run
    live: Collection[str]
    scribe: Scribe
    outside: Outside
    approve: Approve = nobody
    meter: Meter = field(default_factory=Meter)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    waited: float = 0.0
    """Seconds spent waiting for a person."""
    _standing: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.outside.close()

    @property
    def ledger(self) -> Ledger:
        """Where the lines go."""
        return self.scribe.ledger

    def __call__(self, asked: Json) -> Json:
        """What to tell the re-run: `value`, `error` or `refused`, with `again` where it was done live before and is not done twice."""
        try:
            return self._answer(Wanted.model_validate(asked))
        except ValidationError as error:
            return {"refused": f"the re-run asked for something that makes no sense: {error.errors()[0]['msg']}"}
        except Refused as error:
            return {"refused": str(error), "tried": error.tried}

    def _answer(self, wanted: Wanted) -> Json:
        names = {f"{wanted.kind}:{wanted.name}", f"{wanted.kind}:{wanted.made_as}"}
        if not names & set(self.live):
            raise Refused(f"{wanted.kind} {wanted.name} was not named as live")
        self.scribe.flush()  # what was done before stands before
        entry = self.scribe.entry(wanted.kind, wanted.name, wanted.arguments, wanted.place, wanted.nth, wanted.declared)
        entry = entry.model_copy(update={"already": tuple(self._already(wanted, entry))})
        if (before := self._before(entry)) is not None:
            return before
        reply = self._approved(wanted, entry)
        self._check(wanted, entry.model_copy(update={"approved_by": reply.by}))
        says = "; ".join(one for one in (reply.says, _handed(wanted)) if one)
        entry = entry.model_copy(update={"event": "begun", "answered": "live", "approved_by": reply.by, "says": says, "at_ns": self.scribe.clock()})
        if not self.ledger.append_entry(entry):
            raise Refused(f"its idempotency key {entry.idempotency_key} has been used by another re-run")
        return self._made(wanted, entry)

    # ---- may it be made?

    def _before(self, entry: LedgerEntry) -> Json | None:
        """What the ledger holds of this very act: the result, where this fork did it before it was killed. Refused where it must not be done again."""
        lines = self.ledger.entries(idempotency_key=entry.idempotency_key) if entry.idempotency_key else []
        lines = [one for one in lines if one.event not in ("attempted", "refused")]  # what was refused was not done, and may be asked for again
        if not lines:
            return None
        last = lines[-1]
        if last.event == "done" and last.run_id == entry.run_id:
            return {"value": last.result, "again": True, "says": "done live before this fork was killed; the ledger has the result"}
        told = {
            "done": "it was done: fork with its result instead",
            "failed": f"it failed: {last.says}",
            "unknown": "nobody knows whether it took effect: look there before you do anything",
            "begun": "it was begun and never ended, so nobody knows whether it took effect: look there before you do anything",
        }
        raise Refused(f"the ledger has its idempotency key {entry.idempotency_key} already, from {last.run_id}; {told.get(last.event, last.event)}")

    def _approved(self, wanted: Wanted, entry: LedgerEntry) -> Reply:
        """A person's yes. What is declared harmless to repeat is asked for once by its name. Refused for a no."""
        name = f"{wanted.kind}:{wanted.name}"
        once = wanted.kind == "model" or (not entry.guessed and entry.effect != "effect")
        if once and name in self._standing:
            return Reply(True, "approved before, by name")
        question = self._question(wanted, entry)
        started = self.clock()
        reply = reply_of(self.approve(question))
        self.waited += self.clock() - started
        if not reply.approved:
            said = {"says": reply.says, "approved_by": reply.by, "at_ns": self.scribe.clock()}
            refused = entry.model_copy(update={"event": "refused", "answered": "refused", **said})
            self.ledger.append_entry(refused)
            raise Refused("it was not approved" + (f" by {reply.by}" if reply.by != NOBODY else "") + (f": {reply.says}" if reply.says else ""))
        if once:
            self._standing.add(name)
        return reply

    def _check(self, wanted: Wanted, entry: LedgerEntry) -> None:
        """Refused for what can't be made or paid for, before it is begun: so that it can be asked for again."""
        try:
            self._count(wanted)
            why = self.outside.call(wanted.model_dump() | {"only_check": True}).get("refused", "")
        except (ChannelError, OverBudgetError) as error:
            why = str(error)
        if why:
            refused = {"event": "refused", "answered": "refused", "says": f"not made: {why}", "at_ns": self.scribe.clock()}
            self.ledger.append_entry(entry.model_copy(update=refused))
            raise Refused(why)

    def _count(self, wanted: Wanted) -> None:
        """Count a call against the budget. OverBudgetError where there is nothing left for it."""
        if wanted.kind == "model":
            self.meter.model_call(wanted.name)
        else:
            self.meter.tool_call(wanted.name)

    def _question(self, wanted: Wanted, entry: LedgerEntry) -> Question:
        fields = ("run_id", "kind", "name", "effect", "guessed", "arguments", "key", "idempotency_key", "cause", "already")
        known = {name: getattr(entry, name) for name in fields}
        return Question(**known, injected=_shown(wanted), passes_key=wanted.takes_key, done_live=bool(self._done_live(wanted, entry)))

    def _done_live(self, wanted: Wanted, entry: LedgerEntry) -> list[str]:
        """The re-runs that did the same act live."""
        lines = self.ledger.entries(key=entry.key) if wanted.kind == "tool" else []
        return list(dict.fromkeys(one.run_id for one in lines if one.event == "begun" and one.kind == "tool"))

    def _already(self, wanted: Wanted, entry: LedgerEntry) -> Iterator[str]:
        """What is known of the same act of a tool."""
        yield from (f"{run_id} did the same live" for run_id in self._done_live(wanted, entry))
        for effect in effects_of(self.parent) if wanted.kind == "tool" else ():
            if effect.key == entry.key and effect.outcome in ("done", "unknown"):
                yield f"The recorded run did the same at step {effect.step} ({effect.outcome})"

    # ---- making it

    def _made(self, wanted: Wanted, entry: LedgerEntry) -> Json:
        """Make the call and write down how it ended. An outcome that nobody knows is written down as that."""
        question, replies = wanted.model_dump() | {"idempotency_key": entry.idempotency_key}, list[Json]()
        try:
            reply = self._tried(question, wanted, replies, repeatable=wanted.kind == "model" or (not entry.guessed and entry.effect != "effect"))
        except ChannelError as error:
            self._end(entry, "unknown", str(error))
            raise Refused(f"{error}: whether it took effect is not known", str(error)) from None
        except OverBudgetError as error:
            raise self._stopped_at(entry, replies, error) from None
        if "refused" in reply:  # by a process that was started anew since the call was looked at
            self._end(entry, "failed", f"not made: {reply['refused']}")
            raise Refused(reply["refused"])
        if "error" in reply:
            self._end(entry, _came_to(reply), reply["error"])
            return {"error": reply["error"], "says": f"live, approved: {entry.approved_by}"}
        self._end(entry, "done", "", reply["value"] if wanted.kind == "tool" else None)
        return {"value": reply["value"], "says": "; ".join((f"live, approved: {entry.approved_by}", *([note] if (note := reply["value"].get("note")) else [])))}

    def _stopped_at(self, entry: LedgerEntry, replies: Sequence[Json], error: OverBudgetError) -> Refused:
        """Write down a call that the budget stopped before it was made again."""
        tried = str(replies[-1]["error"])
        self._end(entry, _came_to(replies[-1]), f"{tried}; not made again: {error}")
        return Refused(str(error), tried)

    def _tried(self, question: Json, wanted: Wanted, replies: list[Json], *, repeatable: bool) -> Json:
        """Call, and call again with growing, jittered waits where that does no harm and may help. The last reply counts."""
        waits = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES if repeatable else 1),
            wait=waits,
            retry=tenacity.retry_if_exception_type(_TransientError),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, question, wanted, replies)
        except _TransientError as failure:
            return failure.reply

    def _once(self, question: Json, wanted: Wanted, replies: list[Json]) -> Json:
        if replies:  # the first try is counted before anything is begun
            self._count(wanted)
        reply = self.outside.call(question)
        replies.append(reply)
        self.meter.came(wanted.name, failed="error" in reply)
        if wanted.kind == "model" and "value" in reply:
            self.meter.used(wanted.name, tokens_in(reply["value"]))
        if reply.get("transient"):
            raise _TransientError(reply)
        return reply

    def _end(self, entry: LedgerEntry, event: Literal["done", "failed", "unknown"], says: str, result: Json = None) -> None:
        ended = {"event": event, "says": says, "result": result, "at_ns": self.scribe.clock()}
        self.ledger.append_entry(entry.model_copy(update=ended))


def _came_to(reply: Json) -> Literal["failed", "unknown"]:
    """How a call ended that raised: nobody knows where it may have taken effect all the same."""
    return "unknown" if reply.get("transient") or UNKNOWN_OUTCOME.search(reply["error"]) else "failed"


def _shown(wanted: Wanted) -> dict[str, str]:
    """What the graph injects into a call, as text, by argument. Refused for what is too large or deep for anybody to look at."""
    try:
        texts = {name: canonical(one.shown()) for name, one in wanted.injected.items()}
    except (UndecodedError, ValueError) as error:
        raise Refused(f"what the graph injects into it can't be shown to a person: {error}") from error
    return {
        name: text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} … and {len(text) - SHOWN_CHARS:,} more characters" for name, text in texts.items()
    }


def _handed(wanted: Wanted) -> str:
    """What the graph injected into a call, for the ledger: by hash, since it may be the whole history."""
    return ", ".join(f"injected {name} (sha256 {digest(one.shown())[:12]})" for name, one in wanted.injected.items())


def tokens_in(message: Json) -> Tokens:
    """The tokens that a message from a model says it took."""
    usage = (message.get("usage_metadata") if isinstance(message, dict) else None) or {}
    return Tokens(input=usage.get("input_tokens"), output=usage.get("output_tokens"), total=usage.get("total_tokens"))
