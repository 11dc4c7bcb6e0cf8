"""Begin: the recorded incidents that come with the workbench, and JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.application import BEGIN, command
from workbench.cli.options import STORE, JsonOption, StoreOption
from workbench.cli.tables import print_findings, runs_table
from workbench.cli.terminal import named, opened, out, print_json, progress_bar, shown

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ROOT / "sample_traces"
NOTEBOOKS = ROOT / "notebooks"


@command(BEGIN, "workbench demo")
def demo(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Load the recorded incidents that come with the workbench, detect, report, and say where to look."""
    if not SAMPLES.is_dir():
        raise LookupError(f"the recorded incidents are not in {SAMPLES}; run the demo from a checkout")
    with opened(store, create=True) as bench, progress_bar("working", as_json) as progress:
        bench.ingest(SAMPLES, progress=progress)
        findings = bench.detect(progress=progress).findings
        found = {run_id: those for run_id, (those, _) in bench.store.examined().items()}
        every = list(bench.store.runs())
        where = bench.store.forks.with_name("report.html")
        bench.report(where)
    if as_json:
        print_json(
            {
                "runs": len(every),
                "findings": len(findings),
                "store": named(store),
                "report": str(where),
                "notebook": str(NOTEBOOKS / "01_double_booking.ipynb"),
            }
        )
        return
    out.print(runs_table(every, found))
    out.print()
    print_findings(findings)
    out.print(f"\n{len(every)} runs, {len(findings)} findings in {shown(named(store))}; the report is {shown(str(where))}, open it in any browser")
    out.print("Investigate the first one in the notebook notebooks/01_double_booking.ipynb:\n")
    out.print("    make lab", style="bold")


@command(BEGIN, "workbench lab")
def lab(
    notebook: Annotated[Path | None, typer.Argument(help="The notebook to open.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on a notebook, on this machine only."""
    target = notebook or NOTEBOOKS / "00_start_here.ipynb"
    if not target.exists():
        raise LookupError(
            f"there is no notebook {target}; in {target.parent} there are {', '.join(sorted(p.name for p in target.parent.glob('*.ipynb'))) or 'none'}"
        )
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyterlab", str(target), "--ServerApp.ip=127.0.0.1", *as_root, *([] if browser else ["--no-browser"])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603  # our own interpreter, and a path that exists
