"""What a run and its steps show of how well it went, as a few numbers: no labels, ids or names, and nothing that holds for one kind of agent only.

Of a run: how hard it worked, whether it was cut short, went round in circles, or did sums in its head. Of a step: how much it brought that nothing
before it had said, what it assumed, whether what it set off failed. `workbench.verdict.verdict` weighs them. Cost is linear in the text of the run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log, log1p

from workbench.analysis.calls import call_key
from workbench.analysis.effects import ACTING, classify, failure
from workbench.model import EffectClass, Run, Step, ToolCall, canonical

MAX_CHARACTERS = 50_000
"""How much of one text is read: a page dump says no more about the run in its second hundred kilobytes."""
SHORT = 60
"""Characters below which a message says nothing of its own: an acknowledgement, a name of who speaks next."""
WORD = re.compile(r"[^\W_]{3,}")
EXIT_CODE = re.compile(r"\b(?:return|exit)[ _-]?(?:code|status)\W{0,3}\s*(-?\d+)", re.IGNORECASE)
CRASHED = re.compile(r"^(?:Traceback \(most recent|\w*(?:Error|Exception): |.{0,60}: command not found)", re.MULTILINE)
HEAD, TAIL = 300, 2000
"""Characters of a result in which a command says how it ended."""
SUM = re.compile(r"\d\s*[-+*/×=]\s*\$?\d")
SHELL_WRITE = re.compile(r"\bsed -i|\bcat\s*>|>>?\s*[\w./-]+\.\w+|\btee\b|\bapply|\bpatch\b|<<-?\s*['\"]?\w+|\b(?:rm|mv|cp|touch|mkdir)\s")
CLOSING = re.compile(r"submit|finish|done|complete|final|terminate|exit|transfer|escalat|hand_?(?:off|over)|respond|answer|reply", re.IGNORECASE)
ASSUMED = re.compile(
    r"""\b(assum\w+|hypothetical\w*|for\ (?:the\ )?(?:sake|purposes?)\ of|(?:example|sample|dummy|placeholder)\ (?:data|values?|numbers?)|placeholders?
    |simulat\w+|mock\w*|suppose|let['’]?s\ say|typical(?:ly)?|usually|generally|estimat\w+|approximat\w+
    |based\ on\ (?:my|general|common)\ knowledge)\b""",
    re.IGNORECASE | re.VERBOSE,
)
REPLANS = re.compile(r"\b(stalled|stalling|re-?plan\w*|new plan|start(?:ing)? over|updated plan)\b", re.IGNORECASE)
QUESTION_KEYS = ("question", "goal", "objective", "query")
"""Where a run's metadata says what was really wanted."""
HUB_SHARE, LONG = 0.4, 12
"""A run in which one of several speakers says so much, and that is longer than so many steps, is led by an orchestrator."""


def complaint(step: Step) -> str | None:
    """The failure a tool call reports, recorded or in words, a non-zero exit code and a crash's trace included; None where it reports none."""
    said = failure(step)
    if said or not isinstance(step.result, str):
        return said
    head, tail = step.result[:HEAD], step.result[-TAIL:]
    code = EXIT_CODE.search(head) or EXIT_CODE.search(tail)
    if code:
        return f"exit code {code.group(1)}" if int(code.group(1)) else None
    crash = CRASHED.search(head) or CRASHED.search(tail)
    return crash.group() if crash else None


def said(step: Step) -> str:
    """All a step says, as text: a message with the calls it asks for, else what a tool brought."""
    if step.output is None:
        return (step.result if isinstance(step.result, str) else canonical(step.result))[:MAX_CHARACTERS] if step.result is not None else ""
    asked = (f"{call.name} {call.raw if call.arguments is None else canonical(call.arguments)}" for call in step.output.tool_calls)
    return "\n".join([step.output.content, *asked])[:MAX_CHARACTERS]


def acts(call: ToolCall, declared: EffectClass | None = None) -> bool:
    """Whether a call changes something, as declared, else going by its name; of a shell or another tool of unknown kind, by its command."""
    kind = declared or classify(call.name)
    command = next(iter((call.arguments or {}).values()), None) if kind == "unknown" else None
    return kind in ACTING or (isinstance(command, str) and SHELL_WRITE.search(command[:MAX_CHARACTERS]) is not None)


# ---- of a run


def run_signals(run: Run) -> dict[str, float]:
    """The signals of a run by name; all are 0 or more, and more means that runs which showed it failed more often."""
    models, tools = list(run.of_kind("model")), list(run.of_kind("tool"))
    calls = calls_of(run)
    texts = [step.output.content[:MAX_CHARACTERS] for step in models if step.output]
    keys = Counter(call_key(step) for step in tools)
    return {
        "steps": log1p(len(run.steps)),
        "longest_message": log1p(max((len(text.split()) for text in texts), default=0)),
        "acts": log1p(sum(map(acts, calls))),
        "cut_short": float(cut_short(run, calls)),
        "repeated_calls": log1p(sum(keys.values()) - len(keys)),
        "sums_in_prose": log1p(sum(len(SUM.findall(text)) for text in texts)),
        "failed_last": float(bool(tools) and complaint(tools[-1]) is not None),
    }


def calls_of(run: Run) -> list[ToolCall]:
    """The calls the models of a run asked for."""
    return [call for step in run.of_kind("model") if step.output for call in step.output.tool_calls]


def cut_short(run: Run, calls: list[ToolCall]) -> bool:
    """Whether a run stopped in the middle of its work: it failed, or its last step is a call or result after which nobody spoke, and that was no way to end."""
    if run.status in {"error", "interrupted", "running"}:
        return True
    last = run.steps[-1] if run.steps else None
    if last is None or not calls or not (last.kind == "tool" or (last.output and last.output.tool_calls)):
        return False
    final = calls[-1]
    command = final.raw if final.arguments is None else canonical(final.arguments)
    return not CLOSING.search(f"{final.name} {(command or '')[-HEAD:]}")


# ---- of its steps


def step_signals(run: Run) -> list[dict[str, float]]:
    """The signals of each step by name, in the order of the run's steps; each from 0 to about 1, and only those that are not 0."""
    texts = [said(step) for step in run.steps]
    words = [frozenset(word.lower() for word in WORD.findall(text)) for text in texts]
    of_models = (signals for signals in _of_models(run, texts, list(_fresh(words))))
    led = list(_workers(run, texts))
    result = [led[number] | (next(of_models) if step.kind == "model" else {}) for number, step in enumerate(run.steps)]
    if result:
        result[0]["off_task"] = float(off_task(run))
    return [{name: value for name, value in signals.items() if value} for signals in result]


def _of_models(run: Run, texts: list[str], fresh: list[frozenset[str]]) -> Iterator[dict[str, float]]:
    """The signals of the model's steps: how much they say for this run, how much of it is new, what they assume, what comes of it, how late they come."""
    own = [number for number, step in enumerate(run.steps) if step.kind == "model"]
    longest = max((log1p(len(texts[number])) for number in own), default=0.0) or 1.0
    newest = max((len(fresh[number]) for number in own), default=0) or 1
    for order, number in enumerate(own):
        following = run.steps[number + 1] if number + 1 < len(run.steps) else None
        yield {
            "length": log1p(len(texts[number])) / longest,
            "new_words": len(fresh[number]) / newest,
            "assumed": min(2.0, log1p(len(ASSUMED.findall(texts[number])))),
            "failed_next": float(following is not None and following.kind == "tool" and complaint(following) is not None),
            "order": log1p(order),
        }


def orchestrated(run: Run) -> bool:
    """Whether one of several agents leads a long run and the others work: it speaks in a good part of all steps."""
    speakers = Counter(map(_speaker, run.of_kind("model")))
    return len(run.steps) > LONG and len(speakers) > 1 and speakers.most_common(1)[0][1] >= HUB_SHARE * len(run.steps)


def _speaker(step: Step) -> str:
    return step.name.partition(" (")[0]


def _fresh(words: list[frozenset[str]]) -> Iterator[frozenset[str]]:
    """The words of each text that no text before it had."""
    seen: set[str] = set()
    for found in words:
        yield found - seen
        seen |= found


def off_task(run: Run) -> bool:
    """Whether the run's own record of the question shares less than half its words with what the agent was first told."""
    asked = next((value for key in QUESTION_KEYS if isinstance(value := run.metadata.get(key), str)), "")
    wanted, told = ({word.lower() for word in WORD.findall(text)} for text in (asked, said(run.steps[0]) if run.steps else ""))
    return bool(wanted) and 2 * len(wanted & told) < len(wanted)


def _workers(run: Run, texts: list[str]) -> Iterator[dict[str, float]]:
    """In an orchestrated run, which steps are a worker's, how near the second or third piece of work, and where the plan was made anew."""
    if not orchestrated(run):
        yield from ({} for _ in run.steps)
        return
    hub, done = Counter(map(_speaker, run.of_kind("model"))).most_common(1)[0][0], 0
    for step, text in zip(run.steps, texts, strict=True):
        works = step.kind != "human" and _speaker(step) != hub and len(text) >= SHORT
        done += works
        replans = not works and not text.lstrip()[:HEAD].partition("{")[1] and REPLANS.search(text[:200]) is not None
        yield {"worker": float(works), "later_work": abs(log(done / 2.5)) if works else 0.0, "replanned": float(replans)}
