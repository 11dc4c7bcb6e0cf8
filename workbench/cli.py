"""The command line: thin over `workbench.bench`. Prints tables for people, and JSON for scripts where `--json` is given.

Exit status: 0 done, 1 done but with a fork that was halted or blocked, or a detector that failed, 2 could not be done (the reason is on standard error),
3 done, and `detect --fail-on` found what it was to fail on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DatabaseError

from workbench import alerts, detection, summary
from workbench import bench as wb
from workbench.backtest import LabelError
from workbench.calls import token_count
from workbench.checklist import CHECKLIST
from workbench.collection import IngestError
from workbench.conditions import ConditionError
from workbench.database import location
from workbench.detection import ORDER
from workbench.doctor import examine
from workbench.figures import told
from workbench.live.receiver import Receiver, ReceiverError, Settings, until_signalled
from workbench.model import Budget, Comparison, Finding, Json, Run, Step
from workbench.models import ModelError
from workbench.overview import Overview
from workbench.plugins import PluginError, detectors
from workbench.project import ProjectError
from workbench.redaction import RedactionError
from workbench.replay.approvals import Approve, Question, Reply, nobody, standing
from workbench.replay.forking import ForkError
from workbench.replay.regression import CaseError
from workbench.report import ReportError, files_of, static
from workbench.report.markup import visible
from workbench.report.quantities import plural
from workbench.sharing import SharingError
from workbench.source import SourceError
from workbench.store import DeletionError, Store, StoreError
from workbench.swept import Swept

KNOWN = (
    StoreError,
    DeletionError,
    RedactionError,
    ProjectError,
    IngestError,
    SourceError,
    PluginError,
    CaseError,
    ForkError,
    ReportError,
    ReceiverError,
    SharingError,
    ConditionError,
    LabelError,
    ModelError,
    alerts.WebhookError,
    LookupError,
    OSError,
    DatabaseError,
)
SEVERITY = {"error": "[bold red]✕ error[/]", "warning": "[yellow]▲ warning[/]", "info": "[blue]● info[/]"}
STATUS = {
    "ok": "[green]✓ ok[/]",
    "error": "[red]✕ error[/]",
    "interrupted": "[yellow]‖ interrupted[/]",
    "running": "[yellow]… unfinished[/]",
    "cancelled": "cancelled",
}
NUMBERS = frozenset(("#", "steps", "records", "new", "skipped", "ms", "tokens"))
PIPED_WIDTH = 160
RUNS_SHOWN = 20
SAID_CHARACTERS, NAME_CHARACTERS, LEAST_SAID, COLUMN_GAPS = 200, 24, 10, 12
SAMPLES = Path(__file__).resolve().parent.parent / "sample_traces"
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Investigate what an AI agent did: ingest, detect, step, fork, report."
)


class SeverityName(StrEnum):
    """A severity, as an option takes it."""

    info = "info"
    warning = "warning"
    error = "error"


class LevelName(StrEnum):
    """A level of isolation, as an option takes it."""

    process = "process"
    container = "container"
    gvisor = "gvisor"
    firecracker = "firecracker"


out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)

StoreOption = Annotated[str, typer.Option("--store", help="The store's file, or the URL of its PostgreSQL database.", envvar="WORKBENCH_STORE")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there already.")]
OUTPUT = "A file ending in .html, .md, .json, .sarif, .xml (JUnit), .csv or .parquet."
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
STORE = "workbench.db"


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or URLs of databases.")],
    redaction: Annotated[bool, typer.Option(help="Replace secrets, and what [tool.workbench.redaction] names, by pseudonyms.")] = True,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Read spans, checkpoints and chat logs into a store."""
    with _opened(store, create=True) as bench, _progress("reading", as_json) as progress:
        done = bench.ingest(*paths, progress=progress, redaction=redaction)
        touched = set(() if as_json else done.summary.runs)
        listed = [run for run in bench.store.overviews() if run.run_id in touched] if touched else []
    if as_json:
        _print_json(_ingested(done.summary))
        return
    table = _table("file", "collector", "records", "new", "skipped", title=None)
    for file in (file for file in done.summary.files if not file.beside):
        records = ", ".join(f"{count:,} {kind.lower()}s" for kind, count in sorted(file.records.items()) if kind != "Skip")
        table.add_row(_shown(_short(file.path)), file.collector or "–", records or "–", f"{file.new:,}", f"{file.skipped:,}" if file.skipped else "")
    out.print(table)
    if done.summary.redacted:
        out.print("redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(done.summary.redacted.items())), markup=False)
    if done.summary.conventions:
        out.print("spans by convention: " + ", ".join(f"{count:,} {name}" for name, count in done.summary.conventions.items()), markup=False)
    if done.summary.beside:
        out.print(_shown("of no format known here, and left alone: " + ", ".join(map(_short, done.summary.beside))), style="dim")
    for line in done.summary.skips_told():
        out.print(_shown(line), style="yellow")
    if listed:
        out.print(_touched_table(listed))
        if len(listed) > RUNS_SHOWN:
            out.print(f"and {len(listed) - RUNS_SHOWN:,} more: workbench runs --store {_shown(_named(store))}", style="dim")
    out.print(f"{len(done.summary.runs):,} runs new or changed, {done.summary.skipped:,} skipped; next: workbench detect --store {_shown(_named(store))}")


@app.command()
def renormalise(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Derive every run anew from what is stored, by the conventions as they are now."""
    with _opened(store) as bench, _progress("deriving", as_json) as progress:
        done = bench.renormalise(progress=progress)
    if as_json:
        _print_json({"runs": done.runs, "changed": list(done.changed), "retired": list(done.retired)})
        return
    out.print(f"{done.runs:,} runs derived anew, {len(done.changed):,} changed")
    for run_id in done.retired:
        out.print(f"no run of its own any more: {_shown(run_id)}", style="yellow")


@app.command()
def runs(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """List the runs of a store."""
    with _opened(store) as bench:
        every = list(bench.store.runs())
        found = {run_id: findings for run_id, (findings, _) in bench.store.examined().items()}
    if as_json:
        _print_json([summary.of_run(run) for run in every])
        return
    out.print(_runs_table(every, found))


@app.command()
def show(run_id: Annotated[str, typer.Argument(metavar="RUN")], store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Show one run, step by step."""
    with _opened(store) as bench:
        recorded = bench.run(run_id)
        findings, verdict, records = recorded.findings, recorded.verdict, bench.records
    if as_json:
        findings_json = [summary.of_finding(finding, records) for finding in findings]
        _print_json(
            summary.of_run(recorded.run)
            | {"steps": [summary.of_step(step) for step in recorded.steps], "findings": findings_json, "verdict": verdict.model_dump(mode="json")}
        )
        return
    joins = " · ".join(f"{count} {quality}" for quality, count in recorded.run.joins.items())
    out.print(f"[bold]{_shown(recorded.run_id)}[/]  {STATUS[recorded.run.status]}  {len(recorded.steps)} steps  joined spans: {joins}")
    for note in recorded.run.notes:
        out.print(f"note: {_shown(note)}", style="yellow")
    out.print(_steps_table(recorded.steps, findings))
    _print_findings(findings)
    out.print(f"verdict: {verdict}", markup=False)
    out.print(f"outcome: {_shown(recorded.outcome)}")


@app.command()
def detect(
    watching: Annotated[bool, typer.Option("--watch", help="Go on looking at what comes in, and tell of each finding once.")] = False,
    hook: Annotated[str | None, typer.Option("--webhook", help="With --watch: where to POST each finding as JSON.", envvar="WORKBENCH_WEBHOOK")] = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="With --watch: seconds between two looks.")] = 10.0,
    together: Annotated[bool, typer.Option("--together", help="Print what only many runs together show instead.")] = False,
    once: Annotated[bool, typer.Option("--once", help="With --watch: look once, as for cron.")] = False,
    least: Annotated[SeverityName, typer.Option("--least", help="With --watch: the least severity to tell of.")] = SeverityName.warning,
    fail_on: Annotated[SeverityName | None, typer.Option("--fail-on", help="Exit with status 3 where a finding is that grave; watching: a new one.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the detectors over what they have not seen, and print every finding."""
    if watching:
        failed, told = _watch(store, hook, every, once=once, least=least, as_json=as_json)
    elif hook or once:
        raise typer.BadParameter("--webhook and --once go with --watch")
    else:
        failed, told = _together(store, as_json=as_json) if together else _detect(store, as_json=as_json)
    for failure in failed:
        err.print(f"a detector failed: {_shown(failure)}", style="red")
    if failed:
        raise typer.Exit(1)
    if fail_on and any(ORDER[finding.severity] <= ORDER[fail_on.value] for finding in told):
        raise typer.Exit(3)


def _together(store: str, *, as_json: bool) -> tuple[list[str], list[Finding]]:
    with _opened(store) as bench:
        done = bench.together()
    if as_json:
        for finding in done.findings:
            _print_line(summary.of_finding(finding, done.records))
        for lack in done.not_evaluated:
            _print_line({"not_evaluated": lack.model_dump(mode="json")})
    else:
        _print_findings(done.findings)
        for lack in done.not_evaluated:
            out.print(f"not evaluated: {lack.detector}: {_shown(lack.why)}", style="dim")
    return done.detection.failures, done.findings


def _detect(store: str, *, as_json: bool) -> tuple[list[str], list[Finding]]:
    with _opened(store) as bench, _progress("examining", as_json) as progress:
        done = bench.detect(progress=progress)
        examined = list(bench.store.examined())
        verdicts = bench.verdicts() if as_json else {}
    if as_json:
        for finding in done.findings:
            _print_line(summary.of_finding(finding, done.records))
        for line in (line for verdict in verdicts.values() for line in summary.of_verdict(verdict)):
            _print_line(line)
        _print_line({"examined": examined, "not_evaluated": [lack.model_dump(mode="json") for lack in done.not_evaluated]})
        _print_line({"timings": done.detection.seconds})
    else:
        _print_findings(done.findings)
        out.print(f"{len(examined):,} runs examined, {len(done.findings):,} findings, {len(done.not_evaluated):,} not evaluated (workbench report tells why)")
    return done.detection.failures, done.findings


def _watch(store: str, hook: str | None, every: float, *, once: bool, least: SeverityName, as_json: bool) -> tuple[list[str], list[Finding]]:
    """Look until a signal comes; returns the detectors that failed and what was told."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    send = alerts.webhook(hook) if hook else lambda _: None
    failed, told = dict[str, None](), list[Finding]()
    with _opened(store) as bench:
        for found in alerts.watch(bench.store, send, least=least.value, wait=lambda: once or stopped.wait(every)):
            told += found.sent
            failed |= dict.fromkeys(found.failures)
            if found.problem:
                err.print(f"{len(found.waiting):,} alerts wait: {visible(found.problem)}", style="red", markup=False)
            if as_json:
                for finding in found.sent:
                    _print_line(summary.of_finding(finding))
            elif found.sent:
                _print_findings(list(found.sent))
            sys.stdout.flush()
    return list(failed), told


@app.command()
def fork(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN")] = None,
    at: Annotated[int | None, typer.Option("--at", help="The step to fork at.")] = None,
    tool_result: Annotated[str | None, typer.Option("--tool-result", help="JSON to put in place of what the tool returned.")] = None,
    message: Annotated[str | None, typer.Option("--message", help='JSON: {"index": 2, "content": "…"} edits what the model saw.')] = None,
    state: Annotated[str | None, typer.Option("--state", help="JSON object: channels of the state to replace before the step.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Another model's name, or a JSON object of its settings.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="Another system prompt.")] = None,
    tools: Annotated[str | None, typer.Option("--tools", help="JSON list of the tools to offer, or an object that changes their definitions.")] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="JSON: what the person answers instead.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="timeout, error, empty, slow, or a JSON object: what the call meets.")] = None,
    live: Annotated[list[str] | None, typer.Option("--live", help="What goes live: model (in the sandbox), model:NAME, tool:NAME (for real).")] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    execute: Annotated[
        list[str] | None, typer.Option("--execute", help="A node whose code runs where its recorded writes would stand for it; * for all.")
    ] = None,
    serve_stale: Annotated[list[str] | None, typer.Option("--serve-stale", help="A tool (or model, http) to serve the nearest recording's answer.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop the re-run after this long.")] = 120.0,
    isolation: Annotated[LevelName | None, typer.Option("--isolation", help="How strongly to shut it in, whatever pyproject.toml asks for.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="FORK", help="Go on with a fork that was killed; all else is as it was asked for.")] = None,
    approve: Annotated[list[str] | None, typer.Option("--approve", help="Approve live calls of this name; else each is asked about.")] = None,
    max_model_calls: Annotated[int | None, typer.Option("--max-model-calls", min=0, help="Live model calls at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=0, help="Tokens of live model calls at most.")] = None,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0, help="US dollars for live model calls at most, by list price.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", min=0, help="Calls of any kind at most.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Trust this run's checkpoint database, from now on.")] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Re-run from a step with one thing changed; nothing real is touched unless it is named as live and approved."""
    budget = Budget(model_calls=max_model_calls, tokens=max_tokens, usd=max_usd, steps=max_steps)
    texts = {"tool_result": tool_result, "message": message, "state": state, "tools": tools, "answer": answer}
    given = {name: _parsed(text, f"--{name.replace('_', '-')}") for name, text in texts.items() if text is not None}
    words = {"model": model, "fault": fault}
    given |= {name: _parsed(text, f"--{name}") if text.startswith("{") else text for name, text in words.items() if text is not None}
    given |= {} if system is None else {"system": system}
    with _opened(store) as bench:
        terms: dict[str, Any] = {"approve": _approval(approve or ()), "budget": budget}
        if resume is not None:
            forked = bench.resume(resume, seconds=seconds, **terms)
        elif run_id is None or at is None:
            raise typer.BadParameter("name the RUN and the step to fork it --at, or a fork to --resume")
        else:
            served: dict[str, Any] = {"execute": tuple(execute or ()), "stale": tuple(serve_stale or ()), "isolation": isolation and isolation.value}
            forked = bench.run(run_id).fork(at, live=tuple(live or ()), graph=graph, seconds=seconds, trust=trust, **served, **terms, **given)
        _print_fork(forked, store, as_json=as_json)


@app.command()
def cassette(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the cassette as JSON to this file.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show what was recorded of a run's calls, how much of it can be replayed, and why the rest can't."""
    with _opened(store) as bench:
        taken = bench.run(run_id).cassette
    if output is not None:
        taken.save(output)
    if as_json:
        _print_json(taken.cassette.model_dump(mode="json") | {"replayable": taken.cassette.replayable})
    else:
        out.print(str(taken), markup=False, soft_wrap=True)


@app.command()
def simulate(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    at: Annotated[int, typer.Option("--at", help="The step to go on from: a model call, a tool call or a person's word.")],
    model: Annotated[str, typer.Option("--model", help="The chat model to ask, as provider:name.")],
    tool_result: Annotated[str | None, typer.Option("--tool-result", help="JSON to put in place of what the tool returned.")] = None,
    message: Annotated[str | None, typer.Option("--message", help='JSON: {"index": 2, "content": "…"} edits what the model saw.')] = None,
    system: Annotated[str | None, typer.Option("--system", help="Another system prompt.")] = None,
    tools: Annotated[str | None, typer.Option("--tools", help="JSON list of the tools to offer, or an object that changes their definitions.")] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="JSON: what the person answers instead.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="timeout, error or empty: what the tool call meets.")] = None,
    model_calls: Annotated[int, typer.Option("--model-calls", min=1, help="Ask the model so often at most.")] = 25,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop after this long.")] = 120.0,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Go on from a step without the agent's code: the model is asked anew, tools answer from the recording."""
    texts = {"tool_result": tool_result, "message": message, "tools": tools, "answer": answer}
    given = {name: _parsed(text, f"--{name.replace('_', '-')}") for name, text in texts.items() if text is not None}
    given |= {name: text for name, text in (("system", system), ("fault", fault)) if text is not None}
    with _opened(store) as bench:
        _print_fork(bench.run(run_id).simulate(at, model, model_calls=model_calls, seconds=seconds, **given), store, as_json=as_json)


def _print_fork(forked: wb.RecordedRun, store: str, *, as_json: bool) -> None:
    """What came of a fork; status 1 where something was halted or blocked."""
    receipt = forked.receipt
    if receipt is None:
        raise LookupError(f"the fork {forked.run_id} left no receipt")
    if as_json:
        _print_json(summary.of_fork(receipt))
    else:
        out.print(static.receipt_text(receipt), markup=False)
        out.print(f"\nnext: workbench report {receipt.parent_run_id} --against {forked.run_id} -o comparison.html --store {_named(store)}", markup=False)
    if not receipt.clean:
        raise typer.Exit(1)


@app.command()
def ledger(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A fork; without one, all of them.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show every side effect that re-runs attempted, how it was answered, and what went live."""
    with _opened(store) as bench:
        lines = bench.store.entries(run_id=None if run_id is None else bench.store.resolve(run_id))
    if as_json:
        _print_json([line.model_dump(mode="json") for line in lines])
        return
    table = _table("fork", "event", "act", "class", "cause", "answered", "approved by", "says")
    for line in lines:
        effect = f"{line.effect}, a guess" if line.guessed and line.kind == "tool" else line.effect
        cells = (line.run_id, line.event, line.key, effect, line.cause, line.answered, line.approved_by, line.says.partition("\n")[0])
        table.add_row(*map(_shown, cells))
    out.print(table)
    if not lines:
        out.print("no re-run has attempted a side effect")


@app.command()
def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    as_pytest: Annotated[bool, typer.Option("--pytest", help="As a test file with its case beside it.")] = False,
    folder: Annotated[Path, typer.Option("-o", "--output", help="The folder to write into.")] = Path("tests"),
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Trust this run's checkpoint database, from now on.")] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a regression test that fails while the agent does again what was found in a run."""
    if not as_pytest:
        raise typer.BadParameter("say as what: --pytest")
    with _opened(store) as bench:
        test, case = bench.run(run_id).export_test(folder, graph=graph, trust=trust)
    if as_json:
        _print_json({"test": str(test), "case": str(case)})
        return
    out.print(f"wrote {_shown(str(test))} and {_shown(str(case))}; run it with: pytest {_shown(str(test))}")
    out.print("the case holds the thread's states as they were recorded: they are not redacted", style="yellow")


@app.command()
def report(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run; without one, the whole store.")] = None,
    against: Annotated[str | None, typer.Option("--against", help="Compare with this run, usually a fork.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help=OUTPUT)] = Path("report.html"),
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a report on a run, a comparison or the whole store."""
    if against is not None and run_id is None:
        raise ReportError(f"--against {against} compares it with a run; name that run too: workbench report RUN --against {against}")
    _check_free(output, force=force)
    with _opened(store) as bench:
        if run_id is None:
            bench.report(output)
        elif against is None:
            bench.run(run_id).report(output)
        else:
            wb.compare(bench.run(run_id), bench.run(against)).report(output)
    _tell_written(output, as_json=as_json)


def _check_free(output: Path, *, force: bool) -> None:
    taken = next((file for file in files_of(output) if file.exists()), None)
    if taken and not force:
        raise ReportError(f"{taken} is there already; --force overwrites it, or give another name with -o")


def _tell_written(output: Path, *, as_json: bool) -> None:
    if as_json:
        _print_json({"report": str(output), "bytes": output.stat().st_size})
        return
    offline = "; it opens offline" if output.suffix.lower() == ".html" else ""
    beside = "".join(f" and {file}" for file in files_of(output)[1:] if file.exists())
    out.print(f"wrote {_shown(str(output) + beside)}, {output.stat().st_size:,} bytes{offline}")


@app.command()
def compare(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="The reference, then one run or more.")],
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="What may differ without being told: ids, times.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Set runs side by side, step by step, with the first of them."""
    with _opened(store) as bench:
        try:
            found = wb.compare(*map(bench.run, run_ids), ignore=ignore or ())  # type: ignore[arg-type]  # an unknown word is refused below
            comparisons = found.comparisons
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if as_json:
            _print_json(found.to_json())
            return
        out.print(repr(found), markup=False)
        for comparison in comparisons:
            out.print(_aligned_table(comparison))


@app.command()
def sweep(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    at: Annotated[list[int], typer.Option("--at", help="A step to fork at; give several to try several.")],
    change: Annotated[list[str] | None, typer.Option("--change", help="KIND=JSON, such as tool_result={}, or none; give several to try several.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How often each change at each step.")] = 1,
    live: Annotated[list[str] | None, typer.Option("--live", help="What may run anew: model.")] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="What is counted: findings (gone), effects (other), answer (another).")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="How many forks at once; default: one a core.")] = None,
    forks: Annotated[int | None, typer.Option("--forks", min=0, help="At most so many forks now.")] = None,
    model_calls: Annotated[int | None, typer.Option("--model-calls", min=0, help="Begin no fork after so many live model calls.")] = None,
    within: Annotated[float | None, typer.Option("--within", help="Begin no fork after so many seconds.")] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Stop each re-run after this long.")] = 120.0,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Fork a run at every step with every change, so many times; a sweep that was stopped goes on where it stopped."""
    changes = [_change_given(one) for one in change or ["none"]]
    with _opened(store) as bench, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool, _progress("forking", as_json) as progress:
        try:
            done = bench.sweep(
                run_id,
                at=at,
                changes=changes,
                k=k,
                live=tuple(live or ()),
                outcome=outcome,
                executor=pool,
                forks=forks,
                budget=Budget(seconds=within, model_calls=model_calls),
                graph=graph,
                seconds=seconds,
                progress=progress,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    _print_swept(done, as_json)


@app.command()
def controls(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A fork; or a run, with --at.")],
    at: Annotated[int | None, typer.Option("--at", help="The step to re-run from; default: where the fork was made.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How often, with the change and without.")] = 5,
    outcome: Annotated[str | None, typer.Option("--outcome", help="What is counted: findings (gone), effects (other), answer (another).")] = None,
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: the fork's.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Re-run a fork's change beside no change, with the same parts live, and say whether the change did it."""
    with _opened(store) as bench, _progress("forking", as_json) as progress:
        done = bench.run(run_id).controls(at, k, outcome=outcome, graph=graph, progress=progress)
    _print_swept(done, as_json)


@app.command()
def verify(
    file: Annotated[Path | None, typer.Argument(help="A report (.html, .md, .json) to hold against the store; without one, the store itself.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Name each statement of a report that the store doesn't support; or re-hash everything in a store and follow its references."""
    if file is not None:
        _verify_report(file, store, as_json=as_json)
        return
    with _opened(store) as bench, _progress("checking", as_json) as progress:
        problems = bench.verify(progress=progress)
    if as_json:
        _print_json({"problems": problems})
    else:
        out.print("\n".join(problems) or "every payload has the hash it is stored under, and nothing is missing", markup=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def share(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN…")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle; `workbench ingest` opens it elsewhere.")] = Path("case.wb"),
    kinds: Annotated[list[str] | None, typer.Option("--redact", help="Replace this too: card, iban or email; give several.")] = None,
    keys: Annotated[list[str] | None, typer.Option("--key", help="Replace what stands under this name; give several.")] = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write runs into one redacted file that another workbench opens and replays, and prove that nothing redacted is left in it."""
    _check_free(output, force=force)
    with _opened(store) as bench:
        done = bench.share(run_ids, output, kinds=kinds or (), keys=keys or ())
    if as_json:
        _print_json(done.model_dump(mode="json") | {"bundle": str(output), "bytes": output.stat().st_size})
        return
    for thread, why in done.left_out.items():
        out.print(f"not replayable, its states stay out: {visible(thread)}: {visible(why)}", style="yellow", markup=False)
    if done.redacted:
        out.print("redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(done.redacted.items())), markup=False)
    searched = f"searched for {plural(done.searched, 'original')}, none is left"
    short = f"; {done.too_short:,} too short to be searched for" if done.too_short else ""
    out.print(f"wrote {visible(str(output))}, {output.stat().st_size:,} bytes: {plural(len(done.runs), 'run')}; {searched}{short}", markup=False)


def _verify_report(file: Path, store: str, *, as_json: bool) -> None:
    with _opened(store) as bench:
        found = bench.verify_report(file)
    if as_json:
        _print_json({"unsupported": [one.model_dump(mode="json") for one in found]})
    else:
        for one in found:
            out.print(f"{one.kind}: {visible(one.says)}", markup=False)
        out.print(f"{plural(len(found), 'statement')} not supported" if found else "every statement is supported by the store", markup=False)
    if found:
        raise typer.Exit(1)


@app.command()
def receive(
    store: StoreOption = STORE,
    host: Annotated[str, typer.Option("--host", help="Where to listen; anything but this machine needs --allow-remote and a token.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option("--http-port", help="Port of OTLP over HTTP; 0 takes any that is free.")] = 4318,
    grpc_port: Annotated[int, typer.Option("--grpc-port", help="Port of OTLP over gRPC; 0 takes any that is free.")] = 4317,
    grpc: Annotated[bool, typer.Option(help="Receive over gRPC as well.")] = True,
    token: Annotated[str | None, typer.Option("--token", help="Take only what carries `authorization: Bearer TOKEN`.", envvar="WORKBENCH_TOKEN")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Let other machines send; needs a token.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Receive spans and logs by OTLP and keep them; each request is answered once it is safe on disk."""
    settings = Settings(host=host, http_port=http_port, grpc_port=grpc_port if grpc else None, token=token, allow_remote=allow_remote)
    with closing(Store.open(location(store))) as opened:
        receiver = Receiver(opened, settings)
        receiver.start()
        where = {"http": f"http://{_bracketed(host)}:{receiver.http_port}", "grpc": receiver.grpc_port and f"{_bracketed(host)}:{receiver.grpc_port}"}
        if as_json:
            _print_line({"store": _named(store), **where})
            sys.stdout.flush()
        else:
            out.print(
                f"receiving into {visible(_named(store))}: " + ", ".join(f"{name} {at}" for name, at in where.items() if at) + "; Ctrl-C stops", markup=False
            )
        until_signalled()
        receiver.close()


@app.command()
def search(
    words: Annotated[str, typer.Argument(metavar="TEXT", help='Words that must all occur; "in quotes" as they stand.')],
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many steps.")] = 50,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Find the steps in which something was said."""
    with _opened(store) as bench:
        hits = bench.store.search(words, limit=limit)
    if as_json:
        _print_json([dataclasses.asdict(hit) for hit in hits])
        return
    for hit in hits:
        out.print(f"{escape(hit.run_id)}  step {hit.step}  {escape(' '.join(hit.snippet.split()))}")
    if not hits:
        out.print("nothing says that")


@app.command(name="detectors")
def list_detectors(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One detector, in full.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the detectors: what each flags, and how right it was where someone knows."""
    chosen = [detection.named(name)] if name else list(detectors().values())
    rows = [(detection.capability_of(one), one.name, one.doc, told(one.name)) for one in chosen]
    if as_json:
        _print_json([dict(zip(("capability", "detector", "doc", "figures"), row, strict=True)) for row in rows])
        return
    for capability in CHECKLIST if name is None else ():
        out.print(f"[bold]{capability}[/]")
        for _, detector, doc, figures in (row for row in rows if row[0] == capability):
            out.print(Padding(f"[bold]{detector}[/]  [dim]{figures}[/]\n{escape(doc.splitlines()[0])}", (0, 0, 0, 2), expand=False))
    if name:
        out.print(f"[bold]{rows[0][1]}[/]  {rows[0][0]}\n\n{escape(rows[0][2])}\n\nmeasured: {rows[0][3]}")


@app.command()
def judge(
    model: Annotated[str, typer.Option("--model", help="The chat model to ask, as provider:name.")],
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="The runs to judge; without any, all.")] = None,
    max_model_calls: Annotated[int, typer.Option("--max-model-calls", min=1, help="Ask it so often at most.")] = 100,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0, help="Spend so many US dollars at most, by list price.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Ask a language model whether runs failed. It costs money and is no detector that runs by itself; answers are kept."""
    with _opened(store) as bench, _progress("judging", as_json) as progress:
        chosen = [bench.store.resolve(one) for one in runs] if runs else None
        done = bench.judge(model, budget=Budget(model_calls=max_model_calls, usd=max_usd), runs=chosen, progress=progress)
    if as_json:
        for finding in done.findings:
            _print_line(summary.of_finding(finding))
        for lack in done.not_evaluated:
            _print_line({"not_evaluated": lack.model_dump(mode="json")})
        _print_line({"examined": done.detection.examined})
        return
    _print_findings(done.findings)
    for lack in done.not_evaluated:
        out.print(f"not judged: {_shown(lack.run_id)}: {_shown(lack.why)}", style="dim")


@app.command()
def review(
    finding: Annotated[str, typer.Argument(metavar="FINDING", help="The finding's id, or the beginning of it, as detect --json prints it.")],
    confirm: Annotated[bool, typer.Option("--confirm/--dismiss", help="Whether the finding is right.")],
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Confirm or dismiss a finding: what people make of findings is kept, as the record of each detector."""
    with _opened(store) as bench:
        kept = bench.review(finding, "confirmed" if confirm else "dismissed", note)
    if as_json:
        _print_json(kept.model_dump(mode="json"))
    else:
        out.print(f"{kept.verdict}: {kept.detector} in {_shown(kept.run_id)}")


@app.command()
def audit(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 where an item is not met.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=OUTPUT)] = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Answer every item of the production checklist from the recorded runs: met, not met, or no evidence and how to get some."""
    if output:
        _check_free(output, force=force)
    with _opened(store) as bench:
        found = bench.audit()
        if output:
            found.report(output)
    if output:
        _tell_written(output, as_json=as_json)
    elif as_json:
        _print_json(found.audit.model_dump(mode="json"))
    else:
        out.print(repr(found), markup=False)
    if strict and found.audit.of("not met"):
        raise typer.Exit(1)


@app.command()
def backtest(
    guard: Annotated[str | None, typer.Argument(metavar="[GUARD]", help="Such as 'cost > 0.50 or same_effect > 1'; without one, every detector.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="A CSV file that tells which runs failed: run_id, failed (or success).")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try a guard on recorded runs: where it would have stopped them, what that saves, which good runs it costs."""
    with _opened(store) as bench:
        tried = bench.backtest(guard, labels)
    if as_json:
        _print_json([summary.of_backtest(one) for one in tried.backtests])
    else:
        out.print(repr(tried), markup=False)


@app.command()
def doctor(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Look at versions, plugins, the sandbox and the store, and say what is not well."""
    checks = list(examine(location(store)))
    if as_json:
        _print_json([dataclasses.asdict(check) for check in checks])
    else:
        for check in checks:
            out.print(f"{'[green]✓[/]' if check.well else '[bold red]✕[/]'} {check.name:<18} {escape(check.says)}")
    if not all(check.well for check in checks):
        raise typer.Exit(1)


@app.command()
def delete(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    dependants: Annotated[bool, typer.Option("--dependants", help="Delete its forks and the runs of the same thread too.")] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Delete a run with everything only it used; no byte of it stays in the store."""
    with _opened(store) as bench:
        done = bench.delete(run_id, dependants=dependants)
    if as_json:
        _print_json(dataclasses.asdict(done))
        return
    rows = ", ".join(f"{count:,} {name} rows" for name, count in done.rows.items())
    out.print(f"deleted {', '.join(done.runs)}: {rows}", markup=False)
    out.print(f"{done.payloads:,} payloads ({done.payload_bytes:,} bytes) are gone, {done.payloads_kept:,} are kept because other runs use them")
    out.print(f"the store went from {done.bytes_before:,} to {done.bytes_after:,} bytes; the files it was read from are as they were")


@app.command()
def lab(
    notebook: Annotated[Path | None, typer.Argument(help="The notebook to open.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on a notebook, on this machine only."""
    target = notebook or NOTEBOOKS / "01_double_booking.ipynb"
    if not target.exists():
        raise LookupError(
            f"there is no notebook {target}; in {target.parent} there are {', '.join(sorted(p.name for p in target.parent.glob('*.ipynb'))) or 'none'}"
        )
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyterlab", str(target), "--ServerApp.ip=127.0.0.1", *as_root, *([] if browser else ["--no-browser"])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603  # our own interpreter, and a path that exists


@app.command()
def demo(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Load the recorded incidents that come with the workbench, detect, report, and say where to look."""
    if not SAMPLES.is_dir():
        raise LookupError(f"the recorded incidents are not in {SAMPLES}; run the demo from a checkout")
    with _opened(store, create=True) as bench, _progress("working", as_json) as progress:
        bench.ingest(SAMPLES, progress=progress)
        findings = bench.detect(progress=progress).findings
        found = {run_id: those for run_id, (those, _) in bench.store.examined().items()}
        every = list(bench.store.runs())
        where = bench.store.forks.with_name("report.html")
        bench.report(where)
    if as_json:
        _print_json(
            {
                "runs": len(every),
                "findings": len(findings),
                "store": _named(store),
                "report": str(where),
                "notebook": str(NOTEBOOKS / "01_double_booking.ipynb"),
            }
        )
        return
    out.print(_runs_table(every, found))
    out.print()
    _print_findings(findings)
    out.print(f"\n{len(every)} runs, {len(findings)} findings in {_shown(_named(store))}; the report is {_shown(str(where))}, open it in any browser")
    out.print("Investigate the first one in the notebook notebooks/01_double_booking.ipynb:\n")
    out.print("    make lab", style="bold")


def main() -> None:
    """Run the command line; a known error is one line on standard error and exit status 2."""
    try:
        app()
    except KNOWN as error:
        err.print(f"error: {visible(_told(error))}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(2) from error


def _told(error: Exception) -> str:
    if isinstance(error, DatabaseError):
        return f"the store is damaged, or can't be read: {error.orig}; `workbench verify` says more, and nothing in it was changed"
    return str(error) if isinstance(error, OSError) else str(error.args[0] if error.args else error)


# ---- what they share


@contextmanager
def _opened(store: str, *, create: bool = False) -> Iterator[wb.Bench]:
    bench = wb.Bench(Store.open(location(store), create=create))
    try:
        yield bench
    finally:
        bench.close()


def _named(store: str) -> str:
    """The store as one may show it: a URL without its password."""
    return str(location(store))


class _Rate(ProgressColumn):
    """How fast it goes: bytes or pieces a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{decimal(int(speed))}/s" if task.fields.get("unit") == "bytes" else f"{speed:,.0f}/s")


@contextmanager
def _progress(verb: str, as_json: bool) -> Iterator[Callable[[Any, int, int], None]]:
    """A bar on standard error while something long goes on, for people only."""
    columns = (TextColumn(verb), BarColumn(), TaskProgressColumn(), _Rate(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def update(what: Any, done: int, total: int) -> None:
            if bar.tasks[0].total != total:  # another piece of work, with a rate of its own
                bar.reset(task, total=total)
            bar.update(task, completed=done, description=_shown(_short(what)), unit="bytes" if isinstance(what, Path) else str(what))

        yield update


def _shown(text: str) -> str:
    """Trace text for the terminal: neither rich's markup nor the terminal's own control sequences in it come to life."""
    return escape(visible(text))


def _approval(names: Collection[str]) -> Approve:
    """Approves what was named on the command line, and asks a person at a terminal about the rest."""
    return standing(names, _ask_at_the_terminal if sys.stdin.isatty() else nobody)


def _ask_at_the_terminal(question: Question) -> Reply:
    said = typer.confirm(f"{visible(str(question))}\nMake this call?", default=False, err=True)
    return Reply(said, "a person at the terminal")


def _parsed(text: str, option: str) -> Json:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is no JSON: {error}; a text wants quotes of its own, like '\"text\"'") from error


def _print_json(value: Json) -> None:
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")  # ASCII: no terminal control survives, whatever the trace holds


def _print_line(value: Json) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def _ingested(done: Any) -> Json:
    files = [
        {
            "path": str(file.path),
            "collector": file.collector,
            "records": file.records,
            "new": file.new,
            "skips": [skip.model_dump() for skip in file.skips],
            "conventions": file.conventions,
            "beside": file.beside,
        }
        for file in done.files
    ]
    return {"files": files, "runs": done.runs, "skipped": done.skipped, "redacted": done.redacted}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _short(path: Any) -> str:
    """A path as one would type it from here."""
    text = os.path.relpath(path) if isinstance(path, Path) else str(path)
    return str(path) if text.startswith("..") else text


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column, justify="right" if column in NUMBERS else "left", no_wrap=column != "file", overflow="fold" if column == "file" else "ellipsis"
        )
    return table


def _touched_table(every: list[Overview]) -> Table:
    """The runs that are new or changed, those that did not end well first, so that what is cut off is what went well."""
    table = _table("run", "agent", "status", "steps")
    for run in sorted(every, key=lambda run: run.status == "ok")[:RUNS_SHOWN]:
        table.add_row(_shown(run.run_id), _shown(_cut(run.agent or "–")), STATUS[run.status], f"{run.steps:,}")
    return table


def _runs_table(every: list[Run], found: dict[str, list[Finding]]) -> Table:
    table = _table("run", "status", "steps", "tokens", "joined", "findings", "agent")
    for run in every:
        joins = " · ".join(f"{count} {quality}" for quality, count in run.joins.items() if count) or "no spans"
        findings = ", ".join(dict.fromkeys(finding.detector for finding in found[run.run_id])) if run.run_id in found else "not examined"
        tokens = token_count(run.tokens)
        counted = "–" if tokens is None else f"{tokens:,}"
        table.add_row(_shown(run.run_id), STATUS[run.status], str(len(run.steps)), counted, joins, findings or "[dim]none[/]", _shown(run.agent or "–"))
    return table


def _steps_table(steps: tuple[Step, ...], findings: list[Finding]) -> Table:
    """One line a step. The numbers are what `--at` needs, so what is said is cut to the room they leave."""
    marks = {finding.step for finding in findings}
    table = _table("#", "kind", "name", "node", "status", "ms", "")
    rows = [(*_step_cells(step), "[red]◆[/] " if step.index in marks else "", _said(step)) for step in steps]
    widths = [max((cell_len(Text.from_markup(row[column]).plain) for row in rows), default=0) for column in range(6)]
    room = max(out.width - sum(widths) - COLUMN_GAPS, LEAST_SAID)
    for *cells, mark, said in rows:
        text = Text(visible(said))
        text.truncate(room - (2 if mark else 0), overflow="ellipsis")
        table.add_row(*cells, Text.assemble(Text.from_markup(mark), text))
    return table


def _step_cells(step: Step) -> tuple[str, ...]:
    took = "" if step.duration_ms is None else f"{step.duration_ms:,.0f}"
    name, node = _cut("  " * step.depth + step.name), _cut(step.node or "")
    return str(step.index), step.kind, _shown(name), _shown(node), STATUS[step.status], took


def _said(step: Step) -> str:
    said = step.error or (step.output.content if step.output else None) or ("" if step.result is None else str(step.result))
    return " ".join(said[:SAID_CHARACTERS].split())


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else f"{name[: NAME_CHARACTERS - 1]}…"


def _aligned_table(comparison: Comparison) -> Table:
    """The rows in which two runs differ."""
    table = _table("#", "#", "differs", "kind", "name", title=f"{_shown(comparison.right.run_id)} differs in")
    for row in comparison.rows:
        if row.relation != "same":
            step = comparison.right.step(row.right) if row.right is not None else comparison.left.step(row.left or 0)
            numbers = ("–" if one is None else str(one) for one in (row.left, row.right))
            table.add_row(*numbers, ", ".join(row.aspects) or row.relation, step.kind, _shown(_cut(step.name)))
    return table


def _change_given(text: str) -> dict[str, Json]:
    """A change as the command line has it: KIND=JSON, or none."""
    kind, equals, value = text.partition("=")
    if text == "none":
        return {}
    if not equals:
        raise typer.BadParameter(f"--change {text!r} should be KIND=JSON, such as tool_result={{}}, or none")
    return {kind: _parsed(value, f"--change {kind}")}


def _print_swept(done: Swept, as_json: bool) -> None:
    """What a sweep came to; status 1 where a fork could not be made."""
    if as_json:
        _print_json(done.to_json())
    else:
        out.print(repr(done), markup=False)
    if any(one.how == "failed" for one in done.repetitions):
        raise typer.Exit(1)


def _print_findings(findings: list[Finding]) -> None:
    """Each finding as a heading and its message: a table would squeeze the message into a column."""
    for finding in findings:
        where = "" if finding.step is None else f"  step {finding.step}"
        out.print(f"{SEVERITY[finding.severity]}  [bold]{finding.detector}[/]  {_shown(finding.run_id)}{where}")
        out.print(Padding(_shown(finding.message), (0, 0, 0, 4), expand=False))
    if not findings:
        out.print("no findings")


if __name__ == "__main__":
    main()
