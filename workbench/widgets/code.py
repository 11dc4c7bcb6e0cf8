"""Lines of code that views offer: each made here, whatever a recording calls its runs, and a recording never more in it than a string."""

from __future__ import annotations

from workbench.literals import is_plain
from workbench.literals import literal as value
from workbench.literals import text_literal as literal
from workbench.model import Finding, Json

__all__ = ["called", "forking", "is_plain", "literal", "opening", "value"]

OF_TOOLS = ("$.result", "$.error", "$.tool_call")
"""Where evidence points that is of a tool call."""


def opening(run_id: str) -> str:
    """The beginning of the call that opens a run's view: `bench.run("r1").view(`."""
    return f"bench.run({literal(run_id)}).view("


def forking(finding: Finding) -> str:
    """The lines that put a finding to the test: a fork at its step, with the recorded result to edit where it is a tool's. Empty where it names no step."""
    cited = [one.step for one in finding.evidence if one.run_id == finding.run_id]
    step = finding.step if finding.step is not None else min(cited, default=None)
    if step is None:
        return ""
    of_tool = any(one.step == step and one.run_id == finding.run_id and one.path.startswith(OF_TOOLS) for one in finding.evidence)
    change = f"tool_result=run.step({step}).result, " if of_tool else ""
    return f'run = bench.run({literal(finding.run_id)})\nrun.fork({step}, {change}live=["model"])'


def called(name: str, *given: Json, **named: Json) -> str:
    """A call as a line of code: `bench.run("r1").fork(3, live=["model"])`."""
    return f"{name}({', '.join([*map(value, given), *(f'{key}={value(one)}' for key, one in named.items())])})"
