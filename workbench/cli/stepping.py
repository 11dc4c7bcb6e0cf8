"""Step: the runs of a store, one run step by step, and where something was said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from workbench.cli.application import STEP, command
from workbench.cli.options import STORE, JsonOption, RunArgument, StoreOption
from workbench.cli.tables import STATUS, print_findings, runs_table, steps_table
from workbench.cli.terminal import err, opened, out, print_json, shown

if TYPE_CHECKING:
    from workbench.model import Finding, Run


@command(STEP, "workbench runs --store incident.db")
def runs(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """List the runs of a store, with what was found in each. Forks that were cut off are named below.

    A run that can't be read, since the store is damaged, is told on standard error, and the status is 1; the others are listed.
    """
    from workbench import summary

    with opened(store) as bench:
        damaged: dict[str, str] = {}
        every = list(bench.store.runs(damaged=damaged))
        found = bench.store.findings()
        waiting = bench.unfinished()
    if as_json:
        print_json([summary.of_run(run) for run in every])
    else:
        _print_runs(every, found, waiting, store)
    for told in damaged.values():
        err.print(f"error: {shown(told)}", style="red", soft_wrap=True)
    if damaged:
        raise typer.Exit(1)


def _print_runs(every: list[Run], found: dict[str, list[Finding]], waiting: Mapping[str, str], store: str) -> None:
    out.print(runs_table(every, found))
    for fork_id, run_id in waiting.items():
        out.print(f"{shown(fork_id)}, a fork of {shown(run_id)}, was cut off; to let it go on: workbench fork --resume {shown(fork_id)} --store {shown(store)}")


@command(STEP, "workbench show booked-twice")
def show(run_id: RunArgument, store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Show one run, step by step, with its findings and verdict."""
    from workbench import summary

    with opened(store) as bench:
        recorded = bench.run(run_id)
        findings, verdict, records = recorded.findings, recorded.verdict, bench.records
    if as_json:
        findings_json = [summary.of_finding(finding, records) for finding in findings]
        print_json(
            summary.of_run(recorded.run)
            | {"steps": [summary.of_step(step) for step in recorded.steps], "findings": findings_json, "verdict": verdict.model_dump(mode="json")}
        )
        return
    joins = " · ".join(f"{count} {quality}" for quality, count in recorded.run.joins.items())
    out.print(f"[bold]{shown(recorded.run_id)}[/]  {STATUS[recorded.run.status]}  {len(recorded.steps)} steps  joined spans: {joins}")
    for note in recorded.run.notes:
        out.print(f"note: {shown(note)}", style="yellow")
    out.print(steps_table(recorded.steps, findings))
    print_findings(findings)
    out.print(f"verdict: {verdict}", markup=False)
    out.print(f"outcome: {shown(recorded.outcome)}")


@command(STEP, "workbench search 'duplicate booking'")
def search(
    words: Annotated[str, typer.Argument(metavar="TEXT", help='Words that must all occur; "in quotes" as they stand.')],
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many steps.")] = 50,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Find the steps in which something was said."""
    with opened(store) as bench:
        hits = bench.store.search(words, limit=limit)
    if as_json:
        print_json([dataclasses.asdict(hit) for hit in hits])
        return
    for hit in hits:
        out.print(f"{escape(hit.run_id)}  step {hit.step}  {escape(' '.join(hit.snippet.split()))}")
    if not hits:
        out.print("nothing says that")
