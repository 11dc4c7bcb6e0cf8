"""Report and prove: what a person hands in, the checklist answered, a regression test, a bundle to share, and what holds a report against its store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.application import REPORT, command
from workbench.cli.options import (
    OUTPUT,
    STORE,
    AgentOption,
    ForceOption,
    JsonOption,
    OutputOption,
    RunArgument,
    SinceOption,
    StoreOption,
    VersionOption,
    moment,
)
from workbench.cli.results import check_free, hand_in, tell_written
from workbench.cli.terminal import opened, out, print_json, progress_bar, shown


@command(REPORT, "workbench report booked-twice -o report.html")
def report(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="A run; without one, the whole store.")] = None,
    against: Annotated[str | None, typer.Option("--against", help="Compare with this run, usually a fork.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help=f"Write to {OUTPUT}")] = Path("report.html"),
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a report on a run, a comparison or the whole store."""
    from workbench import compare
    from workbench.report import ReportError

    if against is not None and run_id is None:
        raise ReportError(f"--against {against} compares it with a run; name that run too: workbench report RUN --against {against}")
    check_free(output, force=force)
    with opened(store) as bench:
        if run_id is None:
            bench.report(output)
        elif against is None:
            bench.run(run_id).report(output)
        else:
            compare(bench.run(run_id), bench.run(against)).report(output)
    tell_written(output, as_json=as_json)


@command(REPORT, "workbench incident INC-4711 --since 2026-11-20 -o incident.html")
def incident(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it; notes are kept under it.")] = "",
    agent: AgentOption = None,
    version: VersionOption = None,
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option("--until", help="Only runs started before this moment.")] = None,
    detector: Annotated[str | None, typer.Option("--detector", help="What this detector finds, however small.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Write this down about it first.")] = None,
    output: OutputOption = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell what failed, how far it reaches, and where to look. Since when, what is not known, and what to do next stand there too."""
    check_free(output, force=force)
    with opened(store) as bench:
        found = bench.incident(name, agent=agent, version=version, since=moment(since), until=moment(until), detector=detector)
        found = found.note(note) if note else found
        hand_in(found, found.incident.model_dump(mode="json"), output, as_json=as_json)


@command(REPORT, "workbench audit --strict -o audit.html")
def audit(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 where an item is not met.")] = False,
    output: OutputOption = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Answer the production checklist from the recorded runs. Each item is met, not met, or without evidence, and then it says how to get some."""
    check_free(output, force=force)
    with opened(store) as bench:
        found = bench.audit()
        hand_in(found, found.audit.model_dump(mode="json"), output, as_json=as_json)
    if strict and found.audit.of("not met"):
        raise typer.Exit(1)


@command(REPORT, "workbench export booked-twice --pytest -o tests")
def export(
    run_id: RunArgument,
    as_pytest: Annotated[bool, typer.Option("--pytest", help="As a test file with its case beside it.")] = False,
    folder: Annotated[Path, typer.Option("-o", "--output", help="The folder to write into, or the test file itself.")] = Path("tests"),
    graph: Annotated[str | None, typer.Option("--graph", help="module:attribute of the graph; default: [tool.workbench.graphs] in pyproject.toml.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Trust this run's checkpoint database, from now on.")] = False,
    detectors: Annotated[list[str] | None, typer.Option("--detector", help="Hold only what this detector found, however small; give several.")] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a regression test of an incident. It fails while the agent does again what was found in the run."""
    if not as_pytest:
        raise typer.BadParameter("say as what: --pytest")
    with opened(store) as bench:
        test, case = bench.run(run_id).export_test(folder, graph=graph, trust=trust, detectors=detectors or ())
    if as_json:
        print_json({"test": str(test), "case": str(case)})
        return
    out.print(f"wrote {shown(str(test))} and {shown(str(case))}; run it with: pytest {shown(str(test))}")
    out.print("the case holds the thread's states as they were recorded: they are not redacted", style="yellow")


@command(REPORT, "workbench share booked-twice -o case.wb --redact email")
def share(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN", help="The runs, by id or its beginning.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle; `workbench ingest` opens it elsewhere.")] = Path("case.wb"),
    kinds: Annotated[list[str] | None, typer.Option("--redact", help="Replace this too: card, iban or email; give several.")] = None,
    keys: Annotated[list[str] | None, typer.Option("--key", help="Replace what stands under this name; give several.")] = None,
    force: ForceOption = False,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write runs into one redacted file to hand on. Another workbench opens and replays it; it is searched for every original before it is finished."""
    from workbench.report.markup import visible
    from workbench.report.quantities import plural

    check_free(output, force=force)
    with opened(store) as bench:
        done = bench.share(run_ids, output, kinds=kinds or (), keys=keys or ())
    if as_json:
        print_json(done.model_dump(mode="json") | {"bundle": str(output), "bytes": output.stat().st_size})
        return
    for thread, why in done.left_out.items():
        out.print(f"not replayable, its states stay out: {visible(thread)}: {visible(why)}", style="yellow", markup=False)
    if done.redacted:
        out.print("redacted " + ", ".join(f"{count:,} × {kind}" for kind, count in sorted(done.redacted.items())), markup=False)
    searched = f"searched for {plural(done.searched, 'original')}, none is left"
    short = f"; {done.too_short:,} too short to be searched for" if done.too_short else ""
    out.print(f"wrote {visible(str(output))}, {output.stat().st_size:,} bytes: {plural(len(done.runs), 'run')}; {searched}{short}", markup=False)


@command(REPORT, "workbench verify report.html")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A report (.html, .md, .json) to hold against the store; without one, the store itself.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Hold a report against its store, or the store against itself. Names each statement that the store doesn't support; without one, all is hashed anew."""
    if file is not None:
        _verify_report(file, store, as_json=as_json)
        return
    with opened(store) as bench, progress_bar("checking", as_json) as progress:
        problems = bench.verify(progress=progress)
    if as_json:
        print_json({"problems": problems})
    else:
        out.print("\n".join(problems) or "every payload has the hash it is stored under, and nothing is missing", markup=False)
    if problems:
        raise typer.Exit(1)


def _verify_report(file: Path, store: str, *, as_json: bool) -> None:
    from workbench.report.markup import visible
    from workbench.report.quantities import plural

    with opened(store) as bench:
        found = bench.verify_report(file)
    if as_json:
        print_json({"unsupported": [one.model_dump(mode="json") for one in found]})
    else:
        for one in found:
            out.print(f"{one.kind}: {visible(one.says)}", markup=False)
        out.print(f"{plural(len(found), 'statement')} not supported" if found else "every statement is supported by the store", markup=False)
    if found:
        raise typer.Exit(1)
