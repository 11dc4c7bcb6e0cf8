"""A notebook over a store of one's own, for `workbench lab --store`: the incident, the runs, the worst one, and how to go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.database import Database, Location
from workbench.literals import text_literal

HEAD = """# What happened?

This notebook looks at one store, and is yours: `workbench lab` made it once and never overwrites it. *Restart and run all* does the investigation again."""
CARD = """## The incident

Read *what is not known* too. `%incident --agent NAME --since TIME` looks at a part of it; `incident.note("…")` keeps what you saw."""
RUNS = "## The runs\n\nFailed ones first. Filter, sort, group by what was found; *Enter* opens one below."
WORST = "## The worst run, step by step\n\n`j` and `k` step, `n` goes to the next finding, `e` to the next error, `?` lists the keys."
ON = """## Go on

The card offers the next three calls as code. What can't be judged says why:"""
REPORT = "## Hand it over\n\nOne file that opens offline. `workbench verify incident.html` holds its statements against the store later."


def notebook_beside(store: Location) -> Path:
    """Where the notebook of a store is: beside its file, with the same name; of a database, in the working folder under the database's name."""
    if isinstance(store, Database):
        return Path(store.url.rpartition("/")[2].partition("?")[0] or "store").with_suffix(".ipynb")
    return store.with_suffix(".ipynb")


def write(store: Location, path: Path) -> None:
    """Write the notebook of a store. FileExistsError rather than write over one."""
    with path.open("x", encoding="utf-8") as file:
        json.dump(_notebook(_opens(store, path)), file, indent=1, ensure_ascii=False)


def _opens(store: Location, path: Path) -> str:
    """The lines that open the store. A database's URL may hold a password, which belongs into the environment and into no notebook."""
    if isinstance(store, Database):
        return 'import os\n\nimport workbench as wb\n\nbench = wb.open(os.environ["WORKBENCH_STORE"])\nbench'
    beside = store.name if store.resolve().parent == path.resolve().parent else str(store.resolve())
    return f"import workbench as wb\n\nbench = wb.open({text_literal(beside)})\nbench"


def _notebook(opens: str) -> dict[str, Any]:
    """The notebook as its file holds it (nbformat 4.5): a text before each piece of code, and no output."""
    parts = [
        (HEAD, f"%load_ext workbench\n{opens}"),
        (CARD, "incident = bench.incident()\nincident"),
        (RUNS, "listed = bench.view()\nlisted"),
        (WORST, 'run = incident.worst if incident.incident.worst else bench.run(bench.runs()["run_id"][-1])\nrun.view()'),
        (ON, '[f"{lack.detector}: {lack.why}" for lack in run.not_evaluated]'),
        (REPORT, 'incident.report("incident.html")'),
    ]
    cells: list[dict[str, Any]] = []
    for number, (text, code) in enumerate(parts):
        cells.append({"cell_type": "markdown", "id": f"text-{number}", "metadata": {}, "source": text})
        cells.append({"cell_type": "code", "id": f"code-{number}", "metadata": {}, "execution_count": None, "outputs": [], "source": code})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
