"""The scorers that judge the workbench from outside, where they are at hand: what they ask for is met."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def score(name: str, *arguments: str) -> dict[str, Any]:
    """Run a scorer against this working copy; its result."""
    script = SHARED / "checks" / name
    if not script.exists():
        pytest.skip(f"no {script.name} beside the repository")
    environment = os.environ | {"WORKBENCH": f"{sys.executable} -m workbench.cli", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, str(script), *arguments, "--json"], env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_langgraph_databases_are_read_truly():
    """Every task is a step, every span joins its task, the files are left alone, and nothing in them runs."""
    if not os.environ.get("WORKBENCH_SCORES"):
        pytest.skip("takes minutes: `make scores` runs it")
    result = score("score_langgraph.py")
    assert result["passed"], result["by_kind"] | result["gates"]
