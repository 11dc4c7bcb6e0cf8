"""Detect: what is wrong in the runs, who is told of it, how right the detectors are, and what people make of findings."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.padding import Padding

from workbench.cli.application import DETECT, command
from workbench.cli.options import STORE, AgentOption, JsonOption, LabelsOption, SeverityName, SinceOption, StoreOption, VersionOption, moment
from workbench.cli.results import tell
from workbench.cli.tables import print_findings
from workbench.cli.terminal import err, opened, out, print_json, print_line, progress_bar, shown

if TYPE_CHECKING:
    from workbench.figures import Record
    from workbench.model import Finding


@command(DETECT, "workbench detect --store incident.db --fail-on error")
def detect(
    watching: Annotated[bool, typer.Option("--watch", help="Go on looking at what comes in, and tell of each finding once.")] = False,
    hook: Annotated[str | None, typer.Option("--webhook", help="With --watch: where to POST each finding as JSON.", envvar="WORKBENCH_WEBHOOK")] = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="With --watch: seconds between two looks.")] = 10.0,
    together: Annotated[bool, typer.Option("--together", help="Print what only many runs together show instead.")] = False,
    once: Annotated[bool, typer.Option("--once", help="With --watch: look once, as for cron.")] = False,
    least: Annotated[SeverityName, typer.Option("--least", help="With --watch: the least severity to tell of.")] = SeverityName.warning,
    fail_on: Annotated[
        SeverityName | None, typer.Option("--fail-on", help="Exit with status 3 where a finding that nobody dismissed is that grave; watching: a new one.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the detectors, and print every finding. Runs that they have seen are not examined again."""
    from workbench.detection import ORDER

    if watching:
        failed, told = _watch(store, hook, every, once=once, least=least, as_json=as_json)
    elif hook or once:
        raise typer.BadParameter("--webhook and --once go with --watch")
    else:
        failed, told = _together(store, as_json=as_json) if together else _detect(store, as_json=as_json)
    for failure in failed:
        err.print(f"a detector failed: {shown(failure)}", style="red")
    if failed:
        raise typer.Exit(1)
    if fail_on and any(ORDER[finding.severity] <= ORDER[fail_on.value] for finding in told):
        raise typer.Exit(3)


def _together(store: str, *, as_json: bool) -> tuple[list[str], list[Finding]]:
    from workbench import summary

    with opened(store) as bench:
        done = bench.together()
        standing, records = bench.undismissed(done.findings), done.records
    if as_json:
        for finding in done.findings:
            print_line(summary.of_finding(finding, records))
        for lack in done.not_evaluated:
            print_line({"not_evaluated": lack.model_dump(mode="json")})
    else:
        print_findings(done.findings)
        for lack in done.not_evaluated:
            out.print(f"not evaluated: {lack.detector}: {shown(lack.why)}", style="dim")
    return done.detection.failures, standing


def _detect(store: str, *, as_json: bool) -> tuple[list[str], list[Finding]]:
    from workbench import summary

    with opened(store) as bench, progress_bar("examining", as_json) as progress:
        done = bench.detect(progress=progress)
        examined = list(bench.store.findings())
        verdicts, records = (bench.verdicts(), done.records) if as_json else ({}, ())
        standing = bench.undismissed(done.findings)
    if as_json:
        for finding in done.findings:
            print_line(summary.of_finding(finding, records))
        for line in (line for verdict in verdicts.values() for line in summary.of_verdict(verdict)):
            print_line(line)
        print_line({"examined": examined, "not_evaluated": [lack.model_dump(mode="json") for lack in done.not_evaluated]})
        print_line({"timings": done.detection.seconds})
    else:
        print_findings(done.findings)
        out.print(f"{len(examined):,} runs examined, {len(done.findings):,} findings, {len(done.not_evaluated):,} not evaluated (workbench report tells why)")
    return done.detection.failures, standing


def _watch(store: str, hook: str | None, every: float, *, once: bool, least: SeverityName, as_json: bool) -> tuple[list[str], list[Finding]]:
    """Look until a signal comes; returns the detectors that failed and what was told."""
    from workbench import alerts, summary
    from workbench.report.markup import visible

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    send = alerts.webhook(hook) if hook else lambda _: None
    failed: dict[str, None] = {}
    told: list[Finding] = []
    with opened(store) as bench:
        for found in alerts.watch(bench.store, send, least=least.value, wait=lambda: once or stopped.wait(every)):
            told += found.sent
            failed |= dict.fromkeys(found.failures)
            if found.problem:
                err.print(f"{len(found.waiting):,} alerts wait: {visible(found.problem)}", style="red", markup=False)
            if as_json:
                for finding in found.sent:
                    print_line(summary.of_finding(finding))
            elif found.sent:
                print_findings(list(found.sent))
            sys.stdout.flush()
    return list(failed), told


@command(DETECT, "workbench detectors runaway-loop", name="detectors")
def list_detectors(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One detector, in full.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """List the detectors: what each flags, and how right it was. That is measured where someone knows, and told by reviews where there is a store."""
    from workbench import detection
    from workbench.checklist import CHECKLIST
    from workbench.figures import told
    from workbench.plugins import detectors

    chosen = [detection.named(name)] if name else list(detectors().values())
    records = _records(store)
    rows = [(detection.capability_of(one), one.name, one.doc, told(one.name, records)) for one in chosen]
    if as_json:
        print_json([dict(zip(("capability", "detector", "doc", "figures"), row, strict=True)) for row in rows])
        return
    for capability in CHECKLIST if name is None else ():
        out.print(f"[bold]{capability}[/]")
        for _, detector, doc, figures in (row for row in rows if row[0] == capability):
            out.print(Padding(f"[bold]{detector}[/]  [dim]{figures}[/]\n{escape(doc.splitlines()[0])}", (0, 0, 0, 2), expand=False))
    if name:
        out.print(f"[bold]{rows[0][1]}[/]  {rows[0][0]}\n\n{escape(rows[0][2])}\n\nmeasured: {rows[0][3]}")


def _records(store: str) -> tuple[Record, ...]:
    """What people made of findings in a store; nothing where there is no such file."""
    if "://" not in store and not Path(store).exists():
        return ()
    with opened(store) as bench:
        return bench.records


@command(DETECT, "workbench review 3f2a --dismiss --note 'a retry the API asked for'")
def review(
    finding: Annotated[str, typer.Argument(metavar="FINDING", help="The finding's id, or the beginning of it, as detect --json prints it.")],
    confirm: Annotated[bool, typer.Option("--confirm/--dismiss", help="Whether the finding is right.")],
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Who says so; your user name, unless given.", show_default=False)] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Confirm or dismiss a finding. What people make of findings is kept, as the record of each detector."""
    with opened(store) as bench:
        kept = bench.review(finding, "confirmed" if confirm else "dismissed", note, by)
    if as_json:
        print_json(kept.model_dump(mode="json"))
    else:
        out.print(f"{shown(kept.verdict_by)}: {kept.detector} in {shown(kept.run_id)}")


@command(DETECT, "workbench judge --model openai:gpt-5 --max-usd 2 booked-twice")
def judge(
    model: Annotated[str, typer.Option("--model", help="The chat model to ask, as provider:name.")],
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="The runs to judge; without any, all.")] = None,
    max_model_calls: Annotated[int, typer.Option("--max-model-calls", min=1, help="Ask it so often at most.")] = 100,
    max_usd: Annotated[float | None, typer.Option("--max-usd", min=0, help="Spend so many US dollars at most, by list price.")] = None,
    labels: LabelsOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Ask a language model whether runs failed. It costs money and is no detector that runs by itself; answers are kept."""
    from workbench import summary
    from workbench.model import Budget

    with opened(store) as bench, progress_bar("judging", as_json) as progress:
        chosen = [bench.store.resolve(one) for one in runs] if runs else None
        done = bench.judge(model, budget=Budget(model_calls=max_model_calls, usd=max_usd), runs=chosen, progress=progress)
    agreed = done.agreement(labels) if labels else ()
    if as_json:
        for finding in done.findings:
            print_line(summary.of_finding(finding))
        for lack in done.not_evaluated:
            print_line({"not_evaluated": lack.model_dump(mode="json")})
        for figure in agreed:
            print_line({"agreement": figure.model_dump(mode="json")})
        print_line({"examined": done.detection.examined})
        return
    print_findings(done.findings)
    for figure in agreed:
        out.print(f"{figure.detector}: {figure}", markup=False)
    for lack in done.not_evaluated:
        out.print(f"not judged: {shown(lack.run_id)}: {shown(lack.why)}", style="dim")


@command(DETECT, "workbench backtest 'cost > 0.50 or same_effect > 1' --labels labels.csv")
def backtest(
    guard: Annotated[str | None, typer.Argument(metavar="GUARD", help="Such as 'cost > 0.50 or same_effect > 1'; without one, every detector.")] = None,
    labels: LabelsOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try a guard on recorded runs. It tells where the guard would have stopped them, what that saves, and which good runs it costs."""
    from workbench import summary

    with opened(store) as bench:
        tried = bench.backtest(guard, labels)
    if as_json:
        print_json([summary.of_backtest(one) for one in tried.backtests])
    else:
        out.print(repr(tried), markup=False)


@command(DETECT, "workbench paths --agent support")
def paths(agent: AgentOption = None, version: VersionOption = None, since: SinceOption = None, store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Agent or pipeline? The ways that runs take from tool to tool."""
    from workbench import summary

    with opened(store) as bench:
        found = bench.paths(agent=agent, version=version, since=moment(since))
    tell(found, summary.of_paths(found.paths), as_json=as_json)


@command(DETECT, "workbench calibration --labels labels.csv")
def calibration(
    labels: LabelsOption = None, agent: AgentOption = None, version: VersionOption = None, store: StoreOption = STORE, as_json: JsonOption = False
) -> None:
    """Whether stated confidence can be believed: of runs that ended so sure, how many went well. Without labels, a run that ended in an error failed."""
    from workbench import summary

    with opened(store) as bench:
        found = bench.calibration(labels, agent=agent, version=version)
    tell(found, summary.of_calibration(found.calibration), as_json=as_json)
