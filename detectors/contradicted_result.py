"""What the agent says is not what the tool brought: the result says declined, pending or false and the agent says it is done, or a figure is another one.

A figure is compared only where the agent names the result's own field ("total: 420" against `"total": 240`) and no other value it read or was told
has it. What belongs to one thing of several, such as one payment method, is left out. Quiet when a later call brought what is said.

Why it matters: the record is right and the answer is wrong; no error is raised and the log of the tool looks healthy.
What to do: fill figures and states into the answer from the result by code; let a check compare them before the answer is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from workbench.analysis.calls import MAX_DEPTH, parsed
from workbench.analysis.statements import admits, claimed_acts, concerns
from workbench.model import Evidence, Finding, Json, NotEvaluated, Run, Step
from workbench.sketch import model, sketch, tool, user
from workbench.verdict.signals import said

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w%])")
STATES = re.compile(r"^(status|state|success|ok|confirmed|approved|completed|accepted|succeeded|result|outcome)$", re.IGNORECASE)
NOT_DONE = re.compile(
    r"^(false|declined|rejected|denied|failed|failure|error|pending|queued|cancell?ed|expired|not[ _]\w+|unconfirmed|refused|blocked|on[ _]hold)$",
    re.IGNORECASE,
)
SAYS = r"\W{0,3}[:=]\W{0,4}|\W{1,4}(?:is|was|of|are|comes to|amounts to)\W{1,4}"
"""What stands between a field's name and its figure. A bare number after a name counts things: "receipt 2" is the second one."""
MAX_FIELDS, LEAST_NAME, MAX_CHARACTERS = 300, 4, 50_000
MAX_LOOKS = 20
"""How many figures of one run are held against all that came before: each costs a reading of the run."""


class Field(NamedTuple):
    """A field of a result."""

    name: str
    value: str
    step: Step


def detect(run: Run) -> Iterator[Finding | NotEvaluated]:
    """At most one finding for each message that contradicts the results before it."""
    if not any(run.of_kind("tool")):
        yield NotEvaluated(detector="contradicted-result", run_id=run.run_id, why="no tool calls recorded")
        return
    states, figures, many = dict[str, Field](), dict[str, Field](), set[str]()
    looked = 0
    for number, step in enumerate(run.steps):
        if step.kind == "tool":
            for field in _fields(step):
                name = _spoken(field.name)
                if STATES.match(field.name):
                    states[step.name] = field
                elif NUMBER.fullmatch(field.value):
                    many |= {name} if name in figures and figures[name].value != field.value else set()
                    figures[name] = field
        elif step.kind == "model" and step.output is not None:
            clash = _state_clash(step, states)
            if clash is None and looked < MAX_LOOKS:
                other = _other_figure(step, figures, many)
                looked += other is not None
                clash = other[:2] if other and other[2] not in _numbers_before(run, number) else None
            if clash:
                yield _finding(run, step, *clash)


def _fields(step: Step) -> Iterator[Field]:
    """The scalar fields of a result, those of the items of a collection left out: which of many items is meant can't be told."""
    waiting, seen = [(parsed(step.result), 0)], 0
    while waiting and seen < MAX_FIELDS:
        value, depth = waiting.pop()
        for name, inner in value.items() if isinstance(value, dict) else ():
            seen += 1
            if isinstance(inner, dict) and depth < MAX_DEPTH:
                waiting += [] if _is_id(str(name)) else [(inner, depth + 1)]
            elif isinstance(inner, str | int | float):
                yield Field(str(name), _plain(inner), step)


def _is_id(name: str) -> bool:
    """Whether an object stands under an id, as the items of a collection do, rather than under the name of a field."""
    return any(character.isdigit() for character in name)


def _plain(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _spoken(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_-]", " ", name).lower()


def _numbers_before(run: Run, number: int) -> set[str]:
    """Every number that was read, told or said before a step. Reading it all anew is paid only for a figure that is off."""
    before = run.steps[:number]
    texts = [said(step) for step in before] + [str(step.tool_call.arguments) for step in before if step.tool_call]
    given = {message.content for step in run.steps[: number + 1] for message in step.messages if message.role != "assistant"}
    return {_bare(found) for text in [*texts, *given] for found in NUMBER.findall(text[:MAX_CHARACTERS])}


def _bare(number: str) -> str:
    bare = number.replace(",", "")
    return bare.rstrip("0").rstrip(".") if "." in bare else bare


def _state_clash(step: Step, states: dict[str, Field]) -> tuple[Field, str] | None:
    """A tool named after what was claimed whose newest result says that it is not so."""
    text = step.output.content if step.output and not step.output.tool_calls else ""
    for verb, sentence in claimed_acts(text):
        field = max((found for name, found in states.items() if concerns(verb, name)), key=lambda found: found.step.index, default=None)
        if field and NOT_DONE.match(field.value) and not field.value.lower().startswith(verb) and not admits(text) and field.value.lower() not in text.lower():
            return field, sentence
    return None


def _other_figure(step: Step, figures: dict[str, Field], many: set[str]) -> tuple[Field, str, str] | None:
    """A field the text names with another figure, the words and the figure; names of which there are many values are no help."""
    text = step.output.content.lower() if step.output else ""
    for name, field in figures.items():
        if len(name) >= LEAST_NAME and name not in many and name in text:
            match = re.search(rf"\b{re.escape(name)}\b(?:{SAYS})({NUMBER.pattern})", text)
            if match and _bare(match.group(1)) != _bare(field.value):
                return field, match.group(), _bare(match.group(1))
    return None


def _finding(run: Run, step: Step, field: Field, said: str) -> Finding:
    return Finding(
        detector="contradicted-result",
        run_id=run.run_id,
        severity="warning" if STATES.match(field.name) else "info",
        score=0.75 if STATES.match(field.name) else 0.5,
        step=step.index,
        message=f"step {step.index} says “{said[:160]}”, but {field.name} was {field.value} in what {field.step.name} brought at step {field.step.index}",
        numbers={"field": field.name, "recorded": field.value, "recorded_at": field.step.index},
        evidence=(
            Evidence.cite(run, step.index, "$.output.content", "the statement"),
            Evidence.cite(run, field.step.index, "$.result", f"what {field.step.name} brought"),
        ),
        capability="observability",
        item="semantic-failures",
        refute=f"Fork at step {field.step.index} with another value of {field.name}: if the statement doesn't change, it doesn't rest on the result.",
    )


CARDS = {"balance": 90, "methods": {"gift_card_81": {"amount": 250, "source": "gift_card"}}}
PRICE = tool("get_quote", {"trip": 7}, {"total": 240, "currency": "EUR"})

FIRES_ON = (
    sketch(user("What is trip 7?"), PRICE, model("The total is 420 EUR.")),
    sketch(user("Refund O-7"), tool("refund_order", {"order": "O-7"}, '{"status": "declined", "order": "O-7"}'), model("Your order has been refunded.")),
)
QUIET_ON = (
    sketch(user("What is trip 7?"), PRICE, model("The total is 240 EUR.")),
    sketch(user("Under 420?"), PRICE, model("Yes, your limit of a total of 420 holds.")),
    sketch(user("Get my receipts"), tool("fetch", {"n": 1}, {"receipt": 1, "sum": 12}), model("There is no receipt 2 yet.")),
    sketch(user("Pay with my card"), tool("get_account", {}, CARDS), model("The amount: 5,244 will be charged to your card.")),
    sketch(user("Refund O-7"), tool("refund_order", {}, {"status": "pending"}), model("The refund is pending; it has not been paid yet.")),
    sketch(user("Refund O-7"), tool("refund_order", {}, {"status": "pending"}), tool("refund_order", {}, {"status": "paid"}), model("It has been refunded.")),
)
