"""The findings that the workbench makes of a recorded folder, as text: one line a finding, in the order of the steps.

step 12  error  duplicated-effect  book_flight 1 → 2 …
run  warning  runaway-loop  …
no findings
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECORDED = ("spans.otlp.jsonl", "checkpoints.sqlite")


def available() -> bool:
    """Whether the workbench's command line can be run here."""
    return importlib.util.find_spec("workbench.cli") is not None


def expected(folder: Path) -> str:
    """Ingest the folder's recording into a store of its own, detect, and write down what was found. CalledProcessError when the workbench fails."""
    with tempfile.TemporaryDirectory() as scratch:
        store = ["--store", str(Path(scratch) / "store.db"), "--json"]
        workbench("ingest", *(str(folder / name) for name in RECORDED), *store)
        lines = workbench("detect", *store).splitlines()
    return text([record for line in lines if "finding_id" in (record := json.loads(line))])


def workbench(*arguments: str) -> str:
    """What one command of the workbench prints."""
    return subprocess.run([sys.executable, "-m", "workbench.cli", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def text(findings: list[dict[str, Any]]) -> str:
    """The findings as lines; those about the whole run come first."""
    ordered = sorted(findings, key=lambda found: (-1 if found["step"] is None else found["step"], found["detector"], found["message"]))
    return "".join(map(line, ordered)) or "no findings\n"


def line(found: dict[str, Any]) -> str:
    """One finding."""
    place = "run" if found["step"] is None else f"step {found['step']}"
    return f"{place}  {found['severity']}  {found['detector']}  {' '.join(found['message'].split())}\n"
