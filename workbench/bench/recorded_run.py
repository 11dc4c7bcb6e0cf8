"""A run in a store, as a person holds it in a notebook: its steps, findings and states, its forks, its report."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import collection, detection
from workbench.analysis.effects import effects_of
from workbench.bench.reruns import NOTHING, Progress, Reruns, changed, declared, graph_of
from workbench.bench.results import saved
from workbench.cohorts.baseline import Baseline
from workbench.cohorts.neighbours import Neighbours, neighbours_of
from workbench.comparison.controls import Judge
from workbench.incident import first_bad_step
from workbench.model import Budget, Change, Effect, Finding, Interaction, Json, Level, NotEvaluated, Review, Run, Step
from workbench.replay.budget import Meter
from workbench.replay.effects.approvals import Approve, nobody
from workbench.replay.exchanges import exchanges_of
from workbench.replay.forecast import foresee
from workbench.replay.forking import ForkError, fork, resume
from workbench.replay.process.watch import Watch
from workbench.replay.recording.cassette import record
from workbench.replay.recording.scrubbing import configured
from workbench.replay.unfinished import of as unfinished
from workbench.replay.wishes import Wish, check_kept, checked, named
from workbench.report import Report, run_report, static
from workbench.report.cassettes import RunCassette
from workbench.report.forecasts import Foreseen
from workbench.report.static.fragments import lines_html
from workbench.results.detected import Findings
from workbench.results.received import Received
from workbench.results.swept import Swept
from workbench.verdict.verdict import Verdict

if TYPE_CHECKING:
    import polars as pl
    from langchain_core.language_models import BaseChatModel

    from workbench.bench.bench import Bench
    from workbench.widgets import ForkPanel, Stepper

MODEL_ONLY = ("model",)


class RecordedRun:
    """A run in a store: its steps, findings and states, and what one can do with it."""

    def __init__(self, bench: Bench, run_id: str) -> None:
        self.bench = bench
        self.run_id = run_id

    @cached_property
    def run(self) -> Run:
        """The run itself, read when it is first asked for."""
        return next(self.bench.store.runs([self.run_id]))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in time order."""
        return self.run.steps

    @property
    def outcome(self) -> str:
        """What the run came to."""
        return self.run.outcome

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Every side effect it attempted."""
        return effects_of(self.run)

    @cached_property
    def _examined(self) -> tuple[list[Finding], list[NotEvaluated]]:
        detection.detect(self.bench.store, only=[self.run_id])
        return self.bench.store.examined([self.run_id])[self.run_id]

    @property
    def findings(self) -> Findings:
        """What the detectors found in it, the gravest first: a list that shows itself as a table, live with `.view()`."""
        return Findings(detection.ranked(self._examined[0]), self.not_evaluated, self.bench.desk)

    def neighbours(self, step: int, baseline: Baseline | None = None) -> Neighbours:
        """What runs of a baseline (this agent's good runs, without one) did where this run stood at a step, beside what it did."""
        return neighbours_of(self.run, step, baseline or self.bench.baseline(agent=self.run.agent))

    @property
    def verdict(self) -> Verdict:
        """How likely it failed, why, and at which steps to look first; ranked as people's reviews of this agent's findings taught (`Bench.learned`)."""
        return self.bench.verdict_on(self.run, self.findings)

    @property
    def not_evaluated(self) -> list[NotEvaluated]:
        """What they could not judge, and why."""
        return self._examined[1]

    @property
    def receipt(self) -> Received | None:
        """For a fork: what was asked and what ran, as a value that shows itself; `view()` opens it live."""
        receipt = self.bench.store.receipt(self.run_id)
        return None if receipt is None else Received(**dict(receipt))

    def step(self, index: int) -> Step:
        """One step. LookupError names the range and the nearest."""
        return self.run.step(index)

    @property
    def cassette(self) -> RunCassette:
        """Its recorded interactions, and how much of it they let replay."""
        spans = self._reruns.spans()
        return RunCassette(record(self.run, spans, scrub=configured(Path.cwd())))

    def state(self, index: int) -> dict[str, Json]:
        """The full state before a step, fetched from the recorded database. LookupError says why there is none."""
        return collection.state(self.bench.store, self.run, self.run.step(index))

    def final_state(self) -> dict[str, Json]:
        """The full state it left, fetched from the recorded database. LookupError says why there is none."""
        return collection.final_state(self.bench.store, self.run)

    def exchanges(self, index: int) -> list[Interaction]:
        """The HTTP calls that the node of a step made, as `fork(index, http=…)` and `fault=` know them: by name, or by number in this list."""
        return exchanges_of(self.run, self.run.step(index), self._reruns.spans())

    @cached_property
    def requests(self) -> tuple[Effect, ...]:
        """The side effects among the HTTP calls that its plain nodes made themselves, as a comparison counts them beside those of `effects`."""
        return self._reruns.requests()

    def frame(self) -> pl.DataFrame:
        """One row a step."""
        from workbench.frames import columns_frame, steps_frame  # noqa: PLC0415  # polars takes a third of a second to import

        columns = self.bench.store.step_columns(self.run_id)
        return steps_frame(self.run) if columns is None else columns_frame(columns)

    def view(self, step: int | None = None, **shown: Any) -> Stepper:
        """The step-through widget, at the first bad step unless one is given.

        `shown` sets what it shows, as its traits do: `view(11, tab="state")`, `view(every_span=True)`, `view(span="00f067aa")` by the id of a span.
        """
        from workbench.widgets import Stepper  # noqa: PLC0415  # ipywidgets is only needed in a notebook
        from workbench.widgets.spans import MAX_SPANS  # noqa: PLC0415  # as above

        spans = self._reruns.spans() if self.run.span_count <= MAX_SPANS else ()
        return Stepper(self.run, self.findings, state=self._state_of, step=step, fork=self.fork_panel, spans=spans, **shown)

    def fork_panel(self, step: int | None = None, **chosen: Any) -> ForkPanel:
        """The panel in which one forks this run at a step (the first bad one, unless given), sees beforehand what will happen, re-runs, and stops it.

        `chosen` sets what the panel shows, as its traits do: `fork_panel(8, kind="tool_result", text="…", live=["model"])`. The re-run happens in a thread, so
        that the kernel stays free; `panel.fork` is the new run.
        """
        from workbench.widgets import ForkPanel  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        at = step if step is not None else first_bad_step(self.run, self.findings) or 0
        return ForkPanel(self, at, declared=declared(), **chosen)

    @property
    def _reruns(self) -> Reruns:
        return Reruns(self.bench.store, self.run)

    def _state_of(self, step: Step) -> dict[str, Json]:
        return collection.state(self.bench.store, self.run, step)

    def fork(
        self,
        at: int,
        *,
        tool_result: Any = NOTHING,
        message: Any = NOTHING,
        state: Any = NOTHING,
        model: Any = NOTHING,
        system: Any = NOTHING,
        tools: Any = NOTHING,
        answer: Any = NOTHING,
        fault: Any = NOTHING,
        http: Any = NOTHING,
        live: Collection[str] = (),
        graph: str | None = None,
        execute: Collection[str] = (),
        stale: Collection[str] = (),
        seconds: float = 120.0,
        isolation: Level | None = None,
        approve: Approve | Collection[str] = nobody,
        budget: Budget | Meter | Mapping[str, float] | None = None,
        trust: bool = False,
        watch: Watch | None = None,
        context: Json = None,
    ) -> RecordedRun:
        """Re-run from a step in a sandboxed process on a copy of the thread, with at most one thing changed; the fork is a run of the store.

        `tool_result` takes the place of what the tool call at that step returned; `message` ({"index": 2, "content": "…"}) edits one of the
        messages that the model saw; `state` overlays channels of the state before the step; `model` is another model's name or its settings, `system`
        another system prompt, `tools` the names of the tools to offer; `answer` is what the person says instead; `fault` ("timeout", "error", "empty",
        "slow") is what the call meets, or at a node's step {"kind": "timeout", "call": "GET https://…"} what its HTTP call does; `http` ({"call": "GET https://…",
        "status": 404, "json": {…}}) gives that one another answer (`workbench.replay.shapes.SHAPES` has the whole shapes).

        Recorded answers are served; what has none halts. `live=["model"]` lets the model think anew in the sandbox. `"tool:NAME"` and
        `"model:NAME"` are called for real, outside of it: `approve` is asked about each act (`workbench.replay.effects.approvals`), or lists the names that are
        approved; no act of the ledger is done twice. `budget` limits model calls, tokens, usd, seconds and steps (`{"usd": 1}`). `graph` ("module:attribute")
        says what to run; without it, `[tool.workbench.graphs]` of your pyproject.toml is asked for this agent. Nodes that made no recorded call are
        served from what they wrote; `execute=["node"]` ("*" for all) runs their code in the sandbox. `stale=["tool"]` gives calls of a tool (or of
        "model", "http", ...) that have no recording the nearest one's answer, marked. `isolation` ("process", "container", "gvisor", "firecracker") is
        used in place of the level that `[tool.workbench.isolation]` asks for at this run's risk. A checkpoint database that we did not record ourselves
        has to be trusted, once (`trust=True`; `workbench.replay.trust` says why). `watch` hears each call and can stop the fork from another thread
        (`workbench.replay.process.watch`). `context` is what the graph is started with as its context (`{"user": "ada"}`), where that was not recorded, or in
        place of what was. ForkError says what can't be done.
        """
        # Written out here and in `simulate`, so that a notebook completes them: jedi 0.20 offers none of an unpacked TypedDict (PEP 692).
        given = {"tool_result": tool_result, "message": message, "state": state, "model": model, "system": system, "tools": tools}
        change = changed(given | {"answer": answer, "fault": fault, "http": http})
        check_kept(self.run)
        self.run.step(at)
        self._reruns.check_context(context)
        databases = self._reruns.databases(trusted=trust)
        run_id, scratch = self._reruns.fork_id()
        with self._reruns.store.held():
            done = fork(
                self.run,
                at=at,
                change=change,
                databases=databases,
                graph=graph or graph_of(self.run.agent),
                live=live,
                run_id=run_id,
                scratch=scratch,
                seconds=seconds,
                terms=self._reruns.terms(approve, budget, live),
                spans=self._reruns.spans(),
                execute=execute,
                stale=stale,
                isolation=isolation,
                watch=watch,
                context=context,
            )
        return self.bench.run(self._reruns.keep(done, scratch, self._reruns.changed_since(databases)))

    def foresee(
        self,
        at: int,
        *,
        live: Collection[str] = (),
        graph: str | None = None,
        execute: Collection[str] = (),
        stale: Collection[str] = (),
        seconds: float = 120.0,
        isolation: Level | None = None,
        approve: Approve | Collection[str] = nobody,
        budget: Budget | Meter | Mapping[str, float] | None = None,
        context: Json = None,
        trust: bool = False,  # what runs nothing needs none; it is there so that a fork's arguments fit
        watch: Watch | None = None,  # as above
        **change: Any,
    ) -> Foreseen:
        """What `fork` with the same arguments would do, before anything runs: which steps stand, are served, think anew, ask a person, halt.

        ForkError for what can't be done, as `fork` raises it.
        """
        check_kept(self.run)
        wanted, names = changed(change), tuple(sorted(live))
        reruns, spans = self._reruns, tuple(self._reruns.spans())
        reruns.check_context(context)
        step, terms, program = checked(self.run, at, wanted, names, spans), reruns.terms(approve, budget, live), named(graph or "")
        asked = tuple(execute), tuple(stale), isolation, None, context
        return Foreseen(foresee(Wish(self.run, step, wanted, program, names, self.run_id, seconds, terms, spans, *asked), reruns.recorded_in()))

    def controls(
        self,
        at: int | None = None,
        k: int = 5,
        *,
        live: Collection[str] | None = None,
        outcome: str | Judge | None = None,
        executor: Executor | None = None,
        graph: str | None = None,
        progress: Progress | None = None,
        trust: bool = False,
        context: Json = None,
    ) -> Swept:
        """Whether a fork's change did it: the change k times beside k unchanged re-runs of its parent from the same step, with the same parts live.

        Of a run that is no fork, k unchanged re-runs from the step `at`: how often its outcome changes by itself. `outcome` is what is counted
        (`workbench.comparison.controls.outcome_of`). Without something live every unchanged re-run comes out the same; so the model is, unless `live`
        says otherwise. `trust` and `context` are as of `fork`, for each of them.
        """
        common: dict[str, Any] = {"k": k, "outcome": outcome, "executor": executor, "progress": progress, "trust": trust, "context": context}
        if self.run.forked_from is None:
            if at is None:
                raise ForkError(f"{self.run_id} is no fork: say from which step it is to be re-run unchanged, controls(at, k)")
            return self.bench.sweep(self, at=[at], live=MODEL_ONLY if live is None else live, graph=graph, **common)
        receipt = self.receipt
        named = live if live is not None else (receipt.live if receipt and receipt.live else MODEL_ONLY)
        parent, step = self.bench.run(self.run.forked_from), self.run.forked_at_step if at is None else at
        changes = [self.run.change or Change(), Change()]
        program = graph or (receipt.graph if receipt else None)
        return self.bench.sweep(parent, at=[step or 0], changes=changes, live=named, graph=program, **common)

    def resume(
        self, fork_id: str, *, approve: Approve | Collection[str] = nobody, budget: Budget | Meter | None = None, seconds: float | None = None
    ) -> RecordedRun:
        """Let a fork of this run that was killed go on from its last checkpoint; what it did live is not done again. ForkError when there is none."""
        scratch = next((one.scratch for one in unfinished(self.bench.store.forks) if one.asked.run_id == fork_id), self._reruns.scratch(fork_id))
        databases = self._reruns.databases()
        with self._reruns.store.held():
            done = resume(self.run, databases=databases, scratch=scratch, terms=self._reruns.terms(approve, budget), seconds=seconds)
        return self.bench.run(self._reruns.keep(done, scratch, self._reruns.changed_since(databases)))

    def simulate(
        self,
        at: int,
        model: BaseChatModel | str,
        *,
        tool_result: Any = NOTHING,
        message: Any = NOTHING,
        system: Any = NOTHING,
        tools: Any = NOTHING,
        answer: Any = NOTHING,
        fault: Any = NOTHING,
        model_calls: int = 25,
        seconds: float = 120.0,
    ) -> RecordedRun:
        """Go on from a step without the agent's code: a generic loop asks this chat model (or "provider:name"), tools answer from the recording.

        For runs without LangGraph, or whose code is not at hand; needs nothing but what was recorded. At most one thing changes, as in `fork`. What
        has no recorded answer halts. ForkError and ModelError say what can't be done.
        """
        from workbench.chat_models import chat_model  # noqa: PLC0415  # langchain takes long to import
        from workbench.replay.simulation import simulate  # noqa: PLC0415  # as above

        change = changed({"tool_result": tool_result, "message": message, "system": system, "tools": tools, "answer": answer, "fault": fault})
        done = simulate(
            self.run,
            at=at,
            change=change,
            model=chat_model(model) if isinstance(model, str) else model,
            run_id=self._reruns.fork_id()[0],
            model_calls=model_calls,
            seconds=seconds,
        )
        self.bench.store.save_runs([done.run], prefix=done.prefix)
        self.bench.store.save_receipt(done.receipt)
        return self.bench.run(done.run.run_id)

    def export_test(
        self, folder: str | os.PathLike[str] = "tests", *, graph: str | None = None, trust: bool = False, detectors: Collection[str] = ()
    ) -> tuple[Path, Path]:
        """Write a pytest file that fails while the agent does again what was found in this run, and its case; returns both paths.

        `folder` is where to, or the test file itself, `tests/test_incident.py`.

        The test needs neither this store nor the recorded database. What must not happen again is what these `detectors` found, however small; without any
        named, all that is of severity warning or more, and that the run failed, if it did.
        A checkpoint database of unknown origin has to be trusted, as for a fork, since the test runs what stands in it.
        CaseError when there is nothing, or the run can't be run again; FileExistsError rather than write over a file.
        """
        from workbench.replay.regression import Case, case_name, source_of  # noqa: PLC0415  # rarely needed

        graph = graph or graph_of(self.run.agent)
        spans = self._reruns.spans()
        databases = self._reruns.databases(trusted=trust)
        case = Case.of(self.run, findings=self.findings, databases=databases, graph=graph, spans=spans, detectors=detectors)
        place = Path(folder)
        name = place.with_suffix("") if place.suffix == ".py" else place / case_name(self.run_id)
        test, beside = name.with_suffix(".py"), name.with_suffix(".case.json")
        if taken := [str(path) for path in (test, beside) if path.exists()]:
            raise FileExistsError(f"{' and '.join(taken)} exist already; remove them, or export to another folder")
        name.parent.mkdir(parents=True, exist_ok=True)
        case.write(beside)
        test.write_text(source_of(case, beside), "utf-8")
        return test, beside

    def report(self, path: str | os.PathLike[str] | None = None) -> Report:
        """A report on this run; written to `path` when one is given, in the format of its ending (`workbench.report.save`)."""
        return saved(self.with_records(run_report(self.run, self.findings, self.not_evaluated, self.receipt)), path)

    def with_records(self, report: Report) -> Report:
        """A report with what people here made of the findings of its detectors."""
        return self.bench.with_records(report)

    def __repr__(self) -> str:
        return static.run_text(self.run, self.findings)

    def _repr_html_(self) -> str:
        receipt = self.receipt
        elsewhere = [one for one in self.bench.store.every_review(self.run_id) if one.origin is not None]
        shown = static.run_html(self.run, self.findings, self.bench.records) + (static.receipt_html(receipt) if receipt else "")
        return shown + (lines_html(["what people elsewhere made of its findings", *map(_said_elsewhere, elsewhere)]) if elsewhere else "")


def _said_elsewhere(review: Review) -> str:
    place = "" if review.step is None else f" at step {review.step}"
    return f"{review.origin}: {review.verdict_by}, {review.detector}{place}{f': {review.note}' if review.note else ''}"
