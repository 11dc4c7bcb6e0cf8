"""A recorded incident as a regression test: a case file that holds all it takes, and a check that fails as long as the fault happens again.

The check re-runs today's agent on the recorded answers, shut in as any fork, and holds what it does against the detectors that found the fault; of a run
that failed, that it fails again is a fault too.
Where the agent was mended it leaves the recording: it asks for something that was never recorded, and halts there. That is the mended
agent's right, if it came as far as the fault: every answer recorded before it must have been asked for, or the case proves nothing. Neither does one in
which the agent reached past its tools for the world, or made none of the recorded calls. What a test that passes could not look at, it says as a warning.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import zstandard
from pydantic import ValidationError

from workbench import detection
from workbench.database import Location
from workbench.model import CallRecord, Change, Finding, Interaction, Run, Span, Value, canonical
from workbench.replay.changes import MODEL
from workbench.replay.forking import Forked, ForkError, fork
from workbench.replay.nearest import meant
from workbench.replay.recording import cut as cutting
from workbench.replay.recording.cassette import record
from workbench.replay.recording.cut import CutError
from workbench.replay.recording.place import node_path
from workbench.replay.wishes import check_kept

MAX_THREAD_BYTES = 1 << 30
TEMPLATE = '''"""The agent no longer does what it did in the recorded run {run}.

Written by `workbench export`. It re-runs the agent on the answers that were recorded, in a sandbox: no tool is called, no model asked. It fails
while {again}, and passes once the agent does otherwise there.
"""

from __future__ import annotations

from pathlib import Path

from workbench.replay.regression import Case

CASE = Path(__file__).with_name({case!r})


def test_{name}() -> None:
    """{fault} does not happen again."""
    Case.read(CASE).check(graph={graph!r})
'''


class CaseError(ValueError):
    """A case that can't be made or read. The message says what is missing or wrong."""


class UntestedWarning(UserWarning):
    """A test passes, and something was not looked at. The message says what."""


def held(findings: Sequence[Finding], detectors: Collection[str]) -> list[Finding]:
    """What a test waits for: what these detectors found, or without any, what is of severity warning or more. CaseError for one that found nothing."""
    there = sorted({one.detector for one in findings})
    for name in detectors:
        if name not in there:
            raise CaseError(f"{name} found nothing in this run{meant(name, there) or ';'} Something was found by: {', '.join(there) or 'none'}")
    return [one for one in findings if (one.detector in detectors if detectors else one.severity != "info")]


class Case(Value):
    """One recorded run with all it takes to run it again: its steps and spans, its thread's checkpoints, the graph, and what was found in it.

    The states in `thread` are as LangGraph kept them: what a store would redact is not redacted there.
    """

    version: Literal[1] = 1
    run: Run
    spans: tuple[Span, ...] = ()
    thread: str
    """The thread's checkpoints: a SQLite database, compressed with zstd, in base64."""
    graph: str
    findings: tuple[Finding, ...]
    """What must not be found again."""
    failed: bool = False
    """Whether the recorded run failed, and must not fail again."""

    @classmethod
    def of(
        cls, run: Run, *, findings: Sequence[Finding], databases: Sequence[Location], graph: str, spans: Iterable[Span] = (), detectors: Collection[str] = ()
    ) -> Case:
        """The case of a run and what these detectors found in it (`held`), without any named also that it failed, if it did.

        CaseError when there is nothing to wait for, or its checkpoints are not at hand.
        """
        found, failed = held(findings, detectors), not detectors and _failed(run)
        if not found and not failed:
            less = sorted({one.detector for one in findings})
            hint = f"; what was found is less than that: name it (detectors={less!r}, --detector {less[0]})" if less else ""
            raise CaseError(
                f"{run.run_id} did not fail, and nothing of severity warning or more was found in it: there is no fault a test could wait for{hint}"
            )
        try:
            check_kept(run)
        except ForkError as error:
            raise CaseError(str(error)) from error
        first = next(step for step in run.steps if step.checkpoint_id)
        with tempfile.TemporaryDirectory(prefix="workbench-case-") as folder:
            copied = Path(folder) / "thread.sqlite"
            try:
                cut = cutting.locate(databases, run.conversation_id, first)
            except CutError as error:
                raise CaseError(str(error)) from error
            cutting.copy_thread(cut.database, cut.thread_id, copied)
            thread = base64.b64encode(zstandard.compress(copied.read_bytes(), 19)).decode("ascii")
        return cls(run=run, spans=tuple(spans), thread=thread, graph=graph, findings=tuple(found), failed=failed)

    @classmethod
    def read(cls, path: Path) -> Case:
        """The case in a file. CaseError for one that is no case."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CaseError(f"{path} is no case that `workbench export` wrote: {error}") from error

    def write(self, path: Path) -> None:
        """Write the case as JSON that one can read and compare."""
        path.write_text(json.dumps(self.model_dump(mode="json", exclude_defaults=True) | {"version": self.version}, indent=1) + "\n", "utf-8")

    def check(self, *, graph: str | None = None, live: Collection[str] = (), seconds: float = 120.0) -> Run:
        """Run it again and return what the agent does now. AssertionError when the fault happens again, or what the agent did proves nothing.

        UntestedWarning says what a case that passes could not look at: what comes after a call without a recording, and calls in other words.
        `live=["model"]` lets the chat models think anew inside the sandbox, for a fix in a prompt. Tools whose arguments changed are given the
        answer recorded nearest to them. All nodes' code runs, but for those whose models nobody knows what they were asked, as from checkpoints
        alone: unless they are live, these stand as they were recorded. ForkError when it can't be run at all.
        """
        standing = [] if MODEL in live else self._unheard()
        done = self._rerun(graph or self.graph, live, seconds, standing)
        if again := list(self._again_in(done.run)):
            hint = "" if live else "\n  models answered as recorded: for a fix in a prompt or in a model, say check(live=['model'])"
            raise AssertionError("it happens again:\n" + "\n".join(f"  {one}" for one in again) + hint)
        if unproven := self._unproven(done):
            raise AssertionError(f"this proves nothing: {unproven}")
        for untested in _untested(done, standing):
            warnings.warn(untested, UntestedWarning, stacklevel=2)
        return done.run

    def _unproven(self, done: Forked) -> str:
        """Why a run in which the fault is not found proves nothing; empty where it does."""
        if missed := self._not_reached(done):
            says = done.run.notes[-1] if done.run.notes else done.run.outcome
            return (
                f"the agent left the recording before the fault (step {self._fault}), at {missed}\n  {says}\n"
                "  record the run anew with today's agent, or let its model think anew: check(live=['model'])"
            )
        if blocked := next((one for one in done.receipt.checks if one.name == "nothing blocked" and one.verdict == "fail"), None):
            reached = ", ".join(dict.fromkeys(one.says for one in done.receipt.records if one.answer == "blocked" and one.says))
            return f"the agent reached past its tools for what a re-run is shut off from ({blocked.says}), so nobody can say what it would have done: {reached}"
        calls = {one.step for one in record(self.run).interactions if one.kind == "tool" and one.step <= self._fault}
        if calls and not calls & {one.from_step for one in done.receipt.records}:
            return f"the agent made none of the {len(calls)} tool calls that were recorded up to the fault (step {self._fault}): {done.run.outcome}"
        return ""

    def _again_in(self, run: Run) -> Iterator[str]:
        """What of the fault happens in this run too, a line each."""
        for one in detection.examine(run)[0]:
            if any(_alike(one, known) for known in self.findings):
                yield f"{one.detector} at step {one.step}: {one.message}"
        if self.failed and _failed(run):
            yield f"it fails: {run.outcome}"

    def _unheard(self) -> Sequence[str]:
        """The nodes of a run without spans that seem to ask models: what these were asked was not recorded."""
        if any(step.span_id for step in self.run.steps):
            return []
        steps = {one.step for one in record(self.run, self.spans).missing if one.kind == "model"}
        return sorted({step.node for step in self.run.steps if step.index in steps and step.node})

    def _rerun(self, graph: str, live: Collection[str], seconds: float, standing: Collection[str]) -> Forked:
        every = {name for step in self.run.steps for name in node_path(step.namespace, step.node).split("/") if name}
        first = next(step for step in self.run.steps if step.checkpoint_id)
        tools = {step.tool_call.name for step in self.run.of_kind("tool") if step.tool_call}
        with tempfile.TemporaryDirectory(prefix="workbench-case-") as name:
            database = Path(name) / "thread.sqlite"
            database.write_bytes(_unpacked(self.thread))
            return fork(
                self.run,
                at=first.index,
                change=Change(),
                databases=[database],
                graph=graph,
                live=live,
                run_id=f"{self.run.run_id}-again",
                scratch=Path(name) / "again.sqlite",
                seconds=seconds,
                spans=self.spans,
                stale=sorted(tools),
                execute=sorted(every - set(standing)) if standing else ("*",),  # what a node wrote then would hide that it was mended since
            )

    @property
    def _fault(self) -> int:
        """The first step at which something was found, or which failed last."""
        failed = next((step.index for step in reversed(self.run.steps) if self.failed and step.error), None)
        places = [*(one.step for one in self.findings), failed]
        return min((one for one in places if one is not None), default=self.run.steps[-1].index)

    def _not_reached(self, done: Forked) -> str | None:
        """What was recorded before the fault and not asked for; None where all was, or the agent ran to its end."""
        if done.run.status == "ok":
            return None
        asked = {one.from_step for one in done.receipt.records if one.from_step is not None}
        live = Counter(_place(one) for one in done.receipt.records if one.answer == "live")
        lacking = []
        for one in record(self.run).interactions:
            if one.step < self._fault and one.step not in asked:
                lacking += [] if live[_place(one)] > 0 else [one]
                live[_place(one)] -= 1
        return f"step {lacking[0].step} ({lacking[0].name})" if lacking else None


def _place(call: Interaction | CallRecord) -> tuple[str, str]:
    """What kind of call is made where: one that went live is told from others by that alone."""
    return call.kind, call.node_path


def _untested(done: Forked, standing: Sequence[str]) -> Iterator[str]:
    """What a run that passes was not looked at for, a line each."""
    if standing:
        yield f"the code of {', '.join(standing)} did not run, since nobody recorded what its model was asked: it did what it did then (live=['model'] runs it)"
    halted = next((one for one in done.receipt.records if one.answer == "halted"), None)
    if halted is not None:
        asked = f"{halted.kind} {halted.name}"
        yield f"the agent left the recording at a {asked}, which has no recorded answer: what it does after that was not looked at"
    for one in done.receipt.records:
        if one.answer == "served" and "stale" in one.says:
            yield f"{one.kind} {one.name} was given the answer recorded nearest to it, since it was called otherwise: {canonical(one.arguments)}"


def source_of(case: Case, path: Path) -> str:
    """The test file of a case that lies beside it at `path`. Nothing of the trace stands in it but names, and of those only letters and digits."""
    detectors = " or ".join(sorted({_plain(one.detector) for one in case.findings}))
    again = [f"{detectors} finds in it what it found in the recording"] * bool(detectors) + ["it fails as the recorded run did"] * case.failed
    faults = [f"What {detectors} found in the recording"] * bool(detectors) + ["the failure of the recorded run"] * case.failed
    fault = " or ".join(faults)
    words = {"again": ", or ".join(again), "fault": fault[0].upper() + fault[1:]}
    return TEMPLATE.format(run=_plain(case.run.run_id), case=path.name, name=_name(case.run.run_id), graph=case.graph, **words)


def case_name(run_id: str) -> str:
    """The name of a case's files, without their endings."""
    return f"test_{_name(run_id)}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.:~-]", "?", text)[:80]


def _name(run_id: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", run_id.lower()).strip("_")[:60] or "run"


def _failed(run: Run) -> bool:
    """Whether the agent ended with an error of its own. A re-run that halted went where nothing was recorded, which is no failure of the agent's."""
    return run.status == "error" and not run.halted


def _alike(one: Finding, known: Finding) -> bool:
    """Whether it is the same fault: the same detector of the same severity or graver. Its place may have moved, its numbers changed."""
    return one.detector == known.detector and detection.ORDER[one.severity] <= detection.ORDER[known.severity]


def _unpacked(thread: str) -> bytes:
    try:
        found = zstandard.ZstdDecompressor().decompress(base64.b64decode(thread), max_output_size=MAX_THREAD_BYTES)
    except (ValueError, zstandard.ZstdError) as error:
        raise ForkError(f"the case's thread can't be unpacked: {error}") from error
    return found
