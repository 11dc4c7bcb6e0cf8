"""Begin: the recorded incidents that come with the workbench, and JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

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
    """Load the incidents that come with the workbench, and detect. Writes report.html beside the store, and says where to look."""
    if not SAMPLES.is_dir():
        raise LookupError(f"the recorded incidents are not in {SAMPLES}; run the demo from a checkout")
    with opened(store, create=True) as bench, progress_bar("working", as_json) as progress:
        bench.ingest(SAMPLES, progress=progress)
        findings = bench.detect(progress=progress).findings
        found = bench.store.findings()
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
                "notebook": str(NOTEBOOKS / "00_start_here.ipynb"),
            }
        )
        return
    out.print(runs_table(every, found))
    out.print()
    print_findings(findings)
    out.print(f"\n{len(every)} runs, {len(findings)} findings in {shown(named(store))}; the report is {shown(str(where))}, open it in any browser")
    out.print("Look into them in a notebook, notebooks/00_start_here.ipynb:\n")
    out.print("    make lab", style="bold")


@command(BEGIN, "workbench lab --store incident.db")
def lab(
    notebook: Annotated[Path | None, typer.Argument(metavar="NOTEBOOK", help="The notebook to open.")] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Open a notebook over this store, made beside it where there is none.", envvar="WORKBENCH_STORE")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on a notebook, on this machine only. It is the one you name, the one over a store, or the first that comes with the workbench."""
    target = notebook or (NOTEBOOKS / "00_start_here.ipynb" if store is None else _over(store))
    if not target.exists():
        raise LookupError(
            f"there is no notebook {target}; in {target.parent} there are {', '.join(sorted(p.name for p in target.parent.glob('*.ipynb'))) or 'none'}"
        )
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    # By its address, and not as a file to open: so the address that Lab prints leads there too, where no browser can be opened.
    where = (f"--ServerApp.root_dir={target.resolve().parent}", f"--LabApp.default_url=/lab/tree/{quote(target.name)}")
    command = [sys.executable, "-m", "jupyterlab", *where, "--ServerApp.ip=127.0.0.1", *as_root, *([] if browser else ["--no-browser"])]
    environment = os.environ | ({} if store is None else {"WORKBENCH_STORE": _absolute(store)})
    raise typer.Exit(subprocess.run(command, check=False, env=environment).returncode)  # noqa: S603  # our own interpreter, and a path that exists


def _over(store: str) -> Path:
    """The notebook over a store, made where there is none."""
    from workbench.cli.investigating import notebook_beside, write
    from workbench.database import location

    with opened(store):  # says what is wrong before a notebook is made over it
        path = notebook_beside(location(store))
    if not path.exists():
        write(location(store), path)
        out.print(f"made {shown(str(path))}; it is yours, and is not overwritten")
    return path


def _absolute(store: str) -> str:
    from workbench.database import location

    where = location(store)
    return str(where.resolve()) if isinstance(where, Path) else store
