"""Something was cut off: a tool's result says so, the arguments of a call end in the middle of their JSON, or the last answer ends in the middle of a sentence.

Quiet when the agent asked for the rest afterwards, and for texts that end without a full stop as lists, code and headings do.

Why it matters: what was cut off isn't missed by anyone; the agent reasons on the part it saw as if it were the whole.
What to do: page through long results; raise the limit of output tokens; treat a finish reason of `length` as an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user

CUT = re.compile(
    r"""[\[(<{*.\ ]\s*+(?:output|result|response|content|text|file|message|log)?+\s*+(?:was|is|has\ been)?+\s*+truncated\b
    |\b(?:output|result|response|content)\ (?:was\ )?(?:too\ long|cut\ off)\b
    |\.{3}\s*\(?\d[\d,]*\ (?:more\ )?(?:characters|lines|rows|items|bytes|tokens)\b
    |\b\d[\d,]*\ (?:characters|lines|rows|bytes|tokens)\ (?:omitted|elided|truncated)""",
    re.IGNORECASE | re.VERBOSE,
)
HEAD, TAIL, LEAST, BEGUN = 300, 300, 200, 4
"""Characters in which a result says that it was cut; of an answer that is long enough to be; words after which a sentence has begun."""
UNENDED = frozenset(("the", "a", "an", "of", "to", "and", "or", "with", "for", "in", "is", "that", "which", "by", "your", "from"))
Kind = Literal["result", "arguments", "answer"]
SEVERITY = {"result": ("info", 0.4), "arguments": ("warning", 0.8), "answer": ("warning", 0.6)}
SAYS = {
    "result": "what {} brought was cut off and the rest was never asked for",
    "arguments": "the arguments for {} end in the middle of their JSON",
    "answer": "the last answer ends in the middle of a sentence",
}


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """One finding for each text that was cut off; of results only the last of each tool."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="truncated-text", run_id=run.run_id, why="no tool calls recorded")
        return
    last = {step.name: step for step in run.of_kind("tool")}
    for step in run.steps:
        if step.kind == "tool" and last.get(step.name) is step and isinstance(step.result, str) and _says_cut(step.result):
            yield _finding(run, step, "result", step.name, "$.result")
        for number, call in enumerate(step.output.tool_calls if step.kind == "model" and step.output else ()):
            if call.arguments is None and call.raw is not None and _breaks_off(call.raw):
                yield _finding(run, step, "arguments", call.name, f"$.output.tool_calls[{number}].raw")
    final = run.steps[-1]
    if final.kind == "model" and final.output and not final.output.tool_calls and _stops_short(final.output.content):
        yield _finding(run, final, "answer", "", "$.output.content")


def _says_cut(text: str) -> bool:
    return CUT.search(text[:HEAD]) is not None or CUT.search(text[-TAIL:]) is not None


def _breaks_off(raw: str) -> bool:
    """Whether a text is the beginning of a JSON object whose end is missing."""
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        return raw.lstrip().startswith("{") and (error.pos >= len(raw.rstrip()) - 1 or "Unterminated" in error.msg)
    except RecursionError:
        return False
    return False


def _stops_short(text: str) -> bool:
    """Whether a long text ends in a word or comma after a sentence began, or inside a block of code."""
    *before, last = text.rstrip().rpartition("\n")[2].split() or [""]
    broken = (last in UNENDED or re.fullmatch(r"\w+,", last) is not None) and any(word[-1] in ".!?" for word in before[:-BEGUN])
    return len(text) >= LEAST and (broken or text.count("```") % 2 == 1)


def _finding(run: Run, step: Step, kind: Kind, name: str, pointer: str) -> Finding:
    severity, score = SEVERITY[kind]
    return Finding(
        detector="truncated-text",
        run_id=run.run_id,
        severity="warning" if severity == "warning" else "info",
        score=score,
        step=step.index,
        message=f"step {step.index}: {SAYS[kind].format(name)}",
        numbers={"what": kind},
        evidence=(Evidence.cite(run, step.index, pointer, "where it breaks off"),),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {step.index} with the whole text: if the run ends the same way, the missing part didn't matter.",
    )


LONG = "The trip is planned as you wished and every day has its sights. " * 4

FIRES_ON = (
    sketch(user("Read it"), tool("read_file", {}, "line 1\nline 2\n... [output truncated]"), model("It has two lines.")),
    sketch(user("Plan"), tool("look", {}, "ok"), model(LONG + "On the last day you will leave from the station with the")),
)
QUIET_ON = (
    sketch(user("Read it"), tool("read_file", {}, "line 1 ... [truncated]"), tool("read_file", {"page": 2}, "line 2"), model("It has two lines.")),
    sketch(user("Plan"), tool("look", {}, "ok"), model(LONG + "\n- the castle\n- the museum")),
    sketch(user("Why?"), tool("read_log", {}, "the table was dropped"), model("The list was truncated by hand.")),
)
