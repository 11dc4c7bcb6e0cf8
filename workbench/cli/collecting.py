"""Collect: read what was recorded, or receive it while it happens."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.application import COLLECT, command
from workbench.cli.options import STORE, JsonOption, StoreOption
from workbench.cli.tables import RUNS_SHOWN, table_of, touched_table
from workbench.cli.terminal import named, opened, out, print_json, print_line, progress_bar, short, shown

if TYPE_CHECKING:
    from workbench.live.intake import Intake
    from workbench.model import Json


@command(COLLECT, "workbench ingest traces/ checkpoints.sqlite --store incident.db")
def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders, or URLs of databases.")],
    redaction: Annotated[bool, typer.Option(help="Replace secrets, and what [tool.workbench.redaction] names, by pseudonyms.")] = True,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Read spans, checkpoints and chat logs into a store. What is not there yet is made; what was read before is not read twice."""
    from workbench.redaction import counts_told

    with opened(store, create=True) as bench, progress_bar("reading", as_json) as progress:
        done = bench.ingest(*paths, progress=progress, redaction=redaction)
        touched = set(() if as_json else done.summary.runs)
        listed = [run for run in bench.store.overviews() if run.run_id in touched] if touched else []
    status = 1 if done.summary.nothing_read else 0
    if as_json:
        print_json(_ingested(done.summary))
        raise typer.Exit(status)
    table = table_of("file", "collector", "records", "new", "skipped", title=None)
    for file in (file for file in done.summary.files if not file.beside):
        records = ", ".join(f"{count:,} {kind.lower()}s" for kind, count in sorted(file.records.items()) if kind != "Skip")
        table.add_row(shown(short(file.path)), file.collector or "–", records or "–", f"{file.new:,}", f"{file.skipped:,}" if file.skipped else "")
    out.print(table)
    if redacted := counts_told(done.summary.redacted):
        out.print(redacted, markup=False)
    if done.summary.conventions:
        out.print("spans by convention: " + ", ".join(f"{count:,} {name}" for name, count in done.summary.conventions.items()), markup=False)
    if left := done.summary.left_alone_told():
        out.print(shown(left), style="dim")
    for line in done.summary.skips_told():
        out.print(shown(line), style="yellow")
    if listed:
        out.print(touched_table(listed))
        if len(listed) > RUNS_SHOWN:
            out.print(f"and {len(listed) - RUNS_SHOWN:,} more: workbench runs --store {shown(named(store))}", style="dim")
    out.print(f"{len(done.summary.runs):,} runs new or changed, {done.summary.skipped:,} skipped; next: workbench detect --store {shown(named(store))}")
    raise typer.Exit(status)


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
    return {"files": files, "runs": done.runs, "skipped": done.skipped, "redacted": done.redacted, "unopened": dict(done.unopened)}


@command(COLLECT, "workbench receive --store incident.db --http-port 4318")
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
    """Receive spans and logs by OTLP, and keep them. Each request is answered once it is safe on disk.

    At its end it says how much came in, and how many secrets were replaced by pseudonyms.
    """
    from workbench.database import location
    from workbench.live.receiver import Receiver, Settings, until_signalled
    from workbench.report.markup import visible
    from workbench.store import Store

    settings = Settings(host=host, http_port=http_port, grpc_port=grpc_port if grpc else None, token=token, allow_remote=allow_remote)
    with closing(Store.open(location(store))) as opened:
        receiver = Receiver(opened, settings)
        receiver.start()
        where = {"http": f"http://{_bracketed(host)}:{receiver.http_port}", "grpc": receiver.grpc_port and f"{_bracketed(host)}:{receiver.grpc_port}"}
        if as_json:
            print_line({"store": named(store), **where})
            sys.stdout.flush()
        else:
            out.print(
                f"receiving into {visible(named(store))}: " + ", ".join(f"{name} {at}" for name, at in where.items() if at) + "; Ctrl-C stops", markup=False
            )
        until_signalled()
        receiver.close()
        _tell_received(receiver.service.intake, as_json)


def _tell_received(intake: Intake, as_json: bool) -> None:
    """Say what a receiver took in, and how much of it was replaced."""
    from workbench.redaction import counts_told

    if as_json:
        print_line({"received": dict(intake.stored), "redacted": dict(intake.redacted)})
        return
    records = ", ".join(f"{count:,} {kind.lower()}s" for kind, count in sorted(intake.stored.items())) or "nothing"
    out.print("; ".join(filter(None, (f"received {records}", counts_told(intake.redacted)))), markup=False)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
