"""Keep: the store in order, and this machine."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape

from workbench.cli.application import KEEP, command
from workbench.cli.options import STORE, JsonOption, RunArgument, StoreOption
from workbench.cli.terminal import opened, out, print_json, progress_bar, shown


@command(KEEP, "workbench renormalise --store incident.db")
def renormalise(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Derive every run anew from what is stored. For a store that an earlier version filled: the conventions of today are applied, nothing is read again."""
    with opened(store) as bench, progress_bar("deriving", as_json) as progress:
        done = bench.renormalise(progress=progress)
    if as_json:
        print_json({"runs": done.runs, "changed": list(done.changed), "retired": list(done.retired)})
        return
    out.print(f"{done.runs:,} runs derived anew, {len(done.changed):,} changed")
    for run_id in done.retired:
        out.print(f"no run of its own any more: {shown(run_id)}", style="yellow")


@command(KEEP, "workbench delete booked-twice --dependants")
def delete(
    run_id: RunArgument,
    dependants: Annotated[bool, typer.Option("--dependants", help="Delete its forks and the runs of the same thread too.")] = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Delete a run with everything that only it used. No byte of it stays in the store; the files it was read from stay as they are."""
    with opened(store) as bench:
        done = bench.delete(run_id, dependants=dependants)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    rows = ", ".join(f"{count:,} {name} rows" for name, count in done.rows.items())
    out.print(f"deleted {', '.join(done.runs)}: {rows}", markup=False)
    out.print(f"{done.payloads:,} payloads ({done.payload_bytes:,} bytes) are gone, {done.payloads_kept:,} are kept because other runs use them")
    out.print(f"the store went from {done.bytes_before:,} to {done.bytes_after:,} bytes; the files it was read from are as they were")


@command(KEEP, "workbench doctor")
def doctor(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Say what is not well with this machine and the store. Looks at versions, plugins and the sandbox."""
    from workbench.database import location
    from workbench.doctor import examine

    checks = list(examine(location(store)))
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        for check in checks:
            out.print(f"{'[green]✓[/]' if check.well else '[bold red]✕[/]'} {check.name:<18} {escape(check.says)}")
    if not all(check.well for check in checks):
        raise typer.Exit(1)
