"""Lines of code that views offer: each made here, whatever a recording calls its runs, and a recording never more in it than a string."""

from __future__ import annotations

from workbench.model import Finding, Json

OF_TOOLS = ("$.result", "$.error", "$.tool_call")
"""Where evidence points that is of a tool call."""


def literal(text: str) -> str:
    """Text as a Python literal in double quotes where that needs no escapes, else as `ascii` has it: pasted, it is always just a string."""
    return f'"{text}"' if is_plain(text) else ascii(text)


def is_plain(text: str) -> bool:
    """Whether double quotes around a text are all it takes to make a literal of it."""
    return text.isprintable() and not {'"', "\\"} & set(text)


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


def value(of: Json) -> str:
    """A value of JSON as a Python literal, its texts as `literal` has them."""
    if isinstance(of, str):
        return literal(of)
    if isinstance(of, dict):
        return f"{{{', '.join(f'{literal(str(key))}: {value(one)}' for key, one in of.items())}}}"
    return f"[{', '.join(map(value, of))}]" if isinstance(of, list | tuple) else repr(of)
