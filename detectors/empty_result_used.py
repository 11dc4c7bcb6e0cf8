"""A tool brought nothing and the answer names something all the same: a hotel, a number, an address that stands nowhere in what was read or told.

Nothing is: null, blank, an empty list, an object whose lists are all empty. A name is an address, an id, or words written as proper names are within a
sentence: no heading, label, contraction or word of a tool's name. Quiet when the same tool brought something later, and when the answer says that
nothing was found or names only what is known. One word alone is a hint: it may be something that everybody knows.

Why it matters: this is how invented facts enter an answer: no error, a smooth text, and nothing behind it.
What to do: treat an empty result as a question: search wider, or tell the user; let a check hold the answer's names against the results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workbench.analysis.calls import empty
from workbench.analysis.effects import effect_class
from workbench.analysis.grounding import MONTHS, Grounding, Token, grounded, tokens
from workbench.analysis.instructions import name_words
from workbench.model import Evidence, Finding, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import said

FOUND_NOTHING = re.compile(
    r"\b(no|not|none|nothing|without|empty|zero|neither|nobody|unable|unavailable|could\s*n[o']t|can(no|')t|did\s*n[o']t|unfortunately|sorry|0)\b|n['’]t\b",
    re.IGNORECASE,
)
SILENT = re.compile(r"think|plan|note", re.IGNORECASE)
"""Tools that are not meant to bring anything."""
LONGEST_HEADING = 200
"""Characters that a heading or a label with its line may have: hostile lines are longer, and matching one would take the square of its length."""
LABEL = re.compile(r"[\W\d_]*(?:[^\s:.!?]+[ \t]+){0,5}[^\s:.!?]+\W{0,3}:(?!//)")
"""What a line is about, before its colon."""
COMMON = frozenset([*MONTHS, "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
SHOWN, LEAST_ID, MAX_CHARACTERS = 4, 5, 20_000


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding, at the first answer given after an empty result that names what nothing brought."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="empty-result-used", run_id=run.run_id, why="no tool calls recorded")
        return
    if not any(_hollow(step) for step in run.of_kind("tool")):
        return
    hollow = dict[str, Step]()
    known = {word for name in (*(run.tools or ()), *(step.name for step in run.of_kind("tool"))) for word in name_words(name)}
    for step, brought in grounded(run):
        if step.kind == "human":
            hollow.clear()
        elif step.kind == "tool" and step.status == "ok":
            hollow.pop(step.name, None)
            if _hollow(step):
                hollow[step.name] = step
        elif step.kind == "model" and step.output:
            invented = _invented(step, brought, known) if hollow and _answers(step) else []
            if invented:
                yield _finding(run, step, max(hollow.values(), key=lambda one: one.index), invented)
                return
        known |= {token.normal for token in tokens(said(step)[:MAX_CHARACTERS])}


def _hollow(step: Step) -> bool:
    """Whether a look-up brought nothing."""
    return step.status == "ok" and effect_class(step) == "read-only" and empty(step.result) and not SILENT.search(step.name)


def _answers(step: Step) -> bool:
    """Whether a message is an answer to a person that doesn't say that nothing was found."""
    text = step.output.content if step.output else ""
    return bool(text.strip()) and step.output is not None and not step.output.tool_calls and FOUND_NOTHING.search(text) is None


def _invented(step: Step, brought: Grounding, known: set[str]) -> list[Token]:
    """The names and values of an answer that nothing brought: neither people, prompts and tools nor the agent itself before. Numbers may be worked out."""
    text = step.output.content[:MAX_CHARACTERS] if step.output else ""
    every = tokens(text)
    plain = {token.normal for token in every if token.kind == "word" and text[token.start].islower()} | known
    found = (token for token in every if token.distinctive and token.normal not in plain and brought.source(token) is None)
    return [token for token in found if _names(token, text)]


def _names(token: Token, text: str) -> bool:
    """Whether a token names something rather than counts it or heads a list: a name stands within a sentence, an id is no `n1`."""
    if token.kind in {"email", "link"}:
        return True
    if token.kind == "id":
        return len(token.normal) >= LEAST_ID
    said = text[token.start : token.end]
    within = re.search(r"[a-z,] $|[a-z,] [A-Z][\w-]+ $", text[max(0, token.start - 30) : token.start]) is not None
    return token.kind == "name" and within and not said.isupper() and not re.search(r"['’]", said) and said.lower() not in COMMON and not _heads(token, text)


def _has_two_words(token: Token, text: str) -> bool:
    """Whether a capitalised word stands beside another, as in `Hotel Kikyo`."""
    return (
        re.search(r"[A-Z][\w-]+ $", text[max(0, token.start - 30) : token.start]) is not None
        or re.match(r" [A-Z]\w", text[token.end : token.end + 3]) is not None
    )


def _heads(token: Token, text: str) -> bool:
    """Whether a token stands in a heading, in the label of a line, or before its number: `## Price Comparison`, `**Flight Details:**`, `Option 1`."""
    if re.match(r"\W{0,2}\d", text[token.end : token.end + 3]):
        return True
    before = text.rfind("\n", max(0, token.start - LONGEST_HEADING), token.start)
    if before < 0 and token.start > LONGEST_HEADING:
        return False
    start = before + 1
    line = text[start : start + LONGEST_HEADING].partition("\n")[0].strip()
    label = LABEL.match(text, start, start + LONGEST_HEADING)
    heading = line.startswith("#") or (line.startswith(("**", "__")) and line.endswith(("**", "__"))) or line.endswith(":")
    return heading or (label is not None and token.end <= label.end())


def _finding(run: Run, step: Step, hollow: Step, invented: list[Token]) -> Finding:
    text = step.output.content if step.output else ""
    names = ", ".join(dict.fromkeys(text[token.start : token.end] for token in invented[:SHOWN]))
    alone = len({token.normal for token in invented}) == 1 and invented[0].kind == "name" and not _has_two_words(invented[0], text)
    return Finding(
        detector="empty-result-used",
        run_id=run.run_id,
        severity="info" if alone else "warning",
        score=min(0.9, 0.5 + 0.1 * len({token.normal for token in invented})),
        step=step.index,
        message=f"{hollow.name} brought nothing at step {hollow.index}, and the answer at step {step.index} names what nothing in the run brought: {names}",
        numbers={"empty_at": hollow.index, "invented": len({token.normal for token in invented})},
        evidence=(
            Evidence.cite(run, hollow.index, "$.result", f"{hollow.name} brought nothing"),
            Evidence.cite(run, step.index, "$.output.content", "the answer"),
        ),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {hollow.index} with a result that holds something else: if the answer still names {names}, it never came from there.",
    )


NONE = tool("search_hotels", {"city": "Kyoto"}, {"hotels": []})

FIRES_ON = (
    sketch(user("A hotel in Kyoto"), NONE, model("All set: the Hotel Kikyo has a room for you.")),
    sketch(user("Her number?"), tool("find_contact", {}, []), model("You can reach her at ada@example.com.")),
)
QUIET_ON = (
    sketch(user("A hotel in Kyoto"), NONE, model("I found no hotel in Kyoto; shall I look in Osaka?")),
    sketch(user("A hotel in Kyoto"), NONE, tool("search_hotels", {"city": "Kyoto"}, {"hotels": ["Kikyo"]}), model("The Hotel Kikyo has a room.")),
    sketch(user("A hotel in Kyoto"), NONE, model("Here are the **Hotel Details** for you, as I've said:\n### All the Options\n- see Option 1")),
    sketch(user("A hotel in Kyoto"), NONE, model("I told them on Slack as I've said, and the Hotels desk on Monday."), tools=("invite_to_slack",)),
    sketch(user("Is the Kikyo in Kyoto full?"), NONE, model("Then the Kikyo in Kyoto is full.")),
)
