"""Runs told differently: the same thing happened, but tools and agents have other names, phrases other words, dates and numbers another format.

What a detector says of a run must not hang on any of that. `tell` gives a run in each other telling; each function can be used alone. All changes are
consistent within a run: wherever a name or a date stands, it becomes the same other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import cast

from workbench.analysis.effects import ACTS, READS
from workbench.model import Json, Run

Text = Callable[[str], str]

SYNONYMS = {
    "get": "fetch", "fetch": "get", "search": "find", "find": "search", "list": "show", "read": "view", "send": "email", "book": "reserve", "reserve": "book",
    "create": "add", "add": "create", "delete": "remove", "remove": "delete", "update": "modify", "modify": "update", "buy": "purchase", "purchase": "buy",
}  # fmt: skip
"""Verbs of tool names that mean the same."""
PHRASES = (
    (re.compile(r"\bplease\b", re.IGNORECASE), "kindly"),
    (re.compile(r"\bI have\b"), "I've"),
    (re.compile(r"\bI will\b"), "I'll"),
    (re.compile(r"\bcan not\b|\bcannot\b", re.IGNORECASE), "can't"),
    (re.compile(r"\bdo not\b", re.IGNORECASE), "don't"),
    (re.compile(r"\bcompleted\b", re.IGNORECASE), "finished"),
    (re.compile(r"\bhello\b", re.IGNORECASE), "hi"),
    (re.compile(r"\bthank you\b", re.IGNORECASE), "thanks"),
)
"""Fixed phrases that say the same."""
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])")
THOUSANDS = re.compile(r"(?<![\w.,-])(\d{1,3})(\d{3})(?![\w.,-])")
URL = re.compile(r"\b(https?)://([\w.-]+)(/[\w./-]*)?")
SPOKEN = frozenset({"content", "reasoning", "result", "error"})
"""Fields of a step and its messages that hold what somebody said or a tool brought."""


def rename_tools(run: Run) -> Run:
    """Every tool by another name: a synonym of its verb, the other way of writing it. What it stands in is renamed with it."""
    names = {step.tool_call.name for step in run.steps if step.tool_call} | {call.name for step in run.steps if step.output for call in step.output.tool_calls}
    others = {name: _other_name(name) for name in sorted({*names, *(run.tools or ())}) if name not in {"approval", "user"}}
    if len(set(others.values())) < len(others):
        others = {name: f"{other}_{number}" for number, (name, other) in enumerate(others.items())}
    schemas = {others.get(name, name): schema for name, schema in run.schemas.items()}
    return _rewritten(run, _replacing(others), everywhere=True).model_copy(update={"schemas": schemas})


def rename_agents(run: Run) -> Run:
    """Every agent by another name, wherever it stands."""
    names = sorted({*run.agents, *([run.agent] if run.agent else []), *(step.name for step in run.of_kind("model"))} - {"user"})
    return _rewritten(run, _replacing({name: f"worker {number}" for number, name in enumerate(names)}), everywhere=True)


def paraphrase(run: Run) -> Run:
    """Fixed phrases in other words, in all that was said or brought."""
    return _rewritten(run, lambda text: _subbed(text, PHRASES))


def reformat_dates(run: Run) -> Run:
    """Dates as `3 April 2026` in what was said or brought; a call's arguments keep their own format, as a tool's schema wants it."""
    return _rewritten(run, lambda text: ISO_DATE.sub(_long_date, text))


def reformat_numbers(run: Run) -> Run:
    """Thousands with a comma in what people and models said; JSON and what tools brought keep theirs."""
    return _rewritten(run, lambda text: text if text.lstrip()[:1] in {"{", "["} else THOUSANDS.sub(r"\1,\2", text), only=frozenset({"content"}))


def reformat_urls(run: Run) -> Run:
    """Addresses with `www.` and a closing slash, everywhere alike."""
    return _rewritten(run, lambda text: URL.sub(_other_url, text), everywhere=True)


TRANSFORMATIONS: dict[str, Callable[[Run], Run]] = {
    "tools renamed": rename_tools,
    "agents renamed": rename_agents,
    "paraphrased": paraphrase,
    "dates reformatted": reformat_dates,
    "numbers reformatted": reformat_numbers,
    "addresses reformatted": reformat_urls,
}


def tell(run: Run) -> Iterator[tuple[str, Run]]:
    """The run in each other telling, with what was changed."""
    return ((name, change(run)) for name, change in TRANSFORMATIONS.items())


def _other_name(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    if not words or not ({*words} & (READS | ACTS)):
        return f"{name}_tool"
    verb = next(number for number, word in enumerate(words) if word in READS | ACTS)
    words[verb] = SYNONYMS.get(words[verb], words[verb])
    return "_".join(words) if "_" not in name else words[0] + "".join(word.title() for word in words[1:])


def _replacing(others: dict[str, str]) -> Text:
    if not others:
        return lambda text: text
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(others, key=len, reverse=True)))})(?![\w-])")
    return lambda text: pattern.sub(lambda found: others[found[1]], text)


def _subbed(text: str, pairs: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, other in pairs:
        text = pattern.sub(other, text)
    return text


def _long_date(found: re.Match[str]) -> str:
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return found[0]
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _other_url(found: re.Match[str]) -> str:
    host = found[2].removeprefix("www.")
    path = (found[3] or "").rstrip("/")
    return f"{found[1]}://www.{host}{path}/" if not path.rpartition("/")[2].count(".") else f"{found[1]}://www.{host}{path}"


def _rewritten(run: Run, change: Text, *, everywhere: bool = False, only: frozenset[str] = SPOKEN) -> Run:
    """The run with its texts changed: those under `only`, or all that isn't an id."""
    whole = run.model_dump()
    steps = [_walk(step, change, inside=everywhere, only=only) for step in whole["steps"]]
    fields = {key: _walk(whole[key], change, inside=True, only=only) for key in ("agent", "agents", "root_name", "tools")} if everywhere else {}
    return Run.model_validate(whole | fields | {"steps": steps})


IDS = re.compile(r"(^|_)(id|kind|role|status|joined|source)$")


def _walk(value: Json, change: Text, *, inside: bool, only: frozenset[str]) -> Json:
    if isinstance(value, str):
        return change(value) if inside else value
    if isinstance(value, dict):
        return {key: inner if IDS.search(str(key)) else _walk(inner, change, inside=inside or key in only, only=only) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(inner, change, inside=inside, only=only) for inner in cast("list[Json]", value)]
    return value
