"""Which tool calls change the world, and when two of them are the same act.

A tool that says what it is (MCP's `readOnlyHint`, or `effects` declared by the user) is believed; otherwise its name is read: verbs that only
look, verbs that act. A guess is marked as one. The business key of an act is its tool with the arguments that identify it: keys that only
name the attempt (idempotency key, request id, timestamp) are left out.
"""

from __future__ import annotations

import re

from workbench.model import Cause, Effect, EffectClass, Json, Run, Step, canonical


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READS = _words("""
    get list search find fetch read check lookup look query show view describe count calculate compute estimate quote compare validate verify
    summarise summarize think plan recall browse open inspect monitor preview retrieve load parse classify rank translate convert
""")
ACTS = _words("""
    book buy order purchase pay charge refund transfer send email mail message notify post publish submit create add insert update modify change
    edit set write delete remove cancel close approve reject issue schedule reserve invite share upload deploy restart execute grant revoke
    withdraw deposit place call reply forward assign trigger merge commit push exchange return
""")
IDEMPOTENCY_KEYS = re.compile(
    r"^(x[-_])?(idempotency[-_]?(key|token|id)|request[-_]?(id|key|token)|client[-_]?(request[-_]?)?token|dedup(e|lication)?[-_]?(id|key))$", re.IGNORECASE
)
ATTEMPT_ONLY = re.compile(r"^(timestamp|time|now|nonce|attempt|retry|retry[-_]?count|trace[-_]?id|sent[-_]?at|requested[-_]?at)$", re.IGNORECASE)
UNKNOWN_OUTCOME = re.compile(
    r"timed?[\s_-]?out|deadline|connection (reset|aborted|closed|lost)|broken pipe|no (answer|response|reply)|gateway|\b50[234]\b|eof", re.IGNORECASE
)


def classify(tool: str) -> EffectClass:
    """Guess from a tool's name whether calling it changes the world. The first verb that is known decides."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tool).lower())
    for word in words:
        if word in READS:
            return "read-only"
        if word in ACTS:
            return "effect"
    return "unknown"


def idempotency_key(arguments: dict[str, Json] | None) -> str | None:
    """The idempotency key among a call's arguments, None where there is none."""
    return next((str(value) for name, value in (arguments or {}).items() if IDEMPOTENCY_KEYS.match(name) and value), None)


def business_key(tool: str, arguments: dict[str, Json] | None) -> str:
    """The tool and the arguments that make two calls the same act, as text: `book_flight(flight="NH 11", passenger="Ada")`."""
    kept = {name: value for name, value in sorted((arguments or {}).items()) if not IDEMPOTENCY_KEYS.match(name) and not ATTEMPT_ONLY.match(name)}
    return f"{tool}({', '.join(f'{name}={canonical(value)}' for name, value in kept.items())})"


def outcome_unknown(step: Step) -> bool:
    """Whether a tool call ended in a way that leaves open whether it took effect: timed out, broke off, or never came back."""
    if step.status == "running":
        return True
    return step.status == "error" and bool(UNKNOWN_OUTCOME.search(step.error or ""))


def effects_of(run: Run) -> tuple[Effect, ...]:
    """Every attempted side effect of a run in time order, with the cause of each repetition.

    A repetition is a `resume` when it stands in a later invocation, a `model` one when a model call lies between (the model asked again),
    else a `retry` by the code around the tool. A call whose result a fork put in its place counts as prevented.
    """
    found: list[Effect] = []
    last: dict[str, Step] = {}
    for step in run.of_kind("tool"):
        name = step.tool_call.name if step.tool_call else step.name
        if step.status == "interrupted" or classify(name) != "effect":
            continue
        arguments = step.tool_call.arguments if step.tool_call else None
        key = business_key(name, arguments)
        found.append(
            Effect(
                tool=name,
                key=key,
                idempotency_key=idempotency_key(arguments),
                step=step.index,
                arguments=arguments,
                outcome=_outcome(step),
                cause=_cause(run, last.get(key), step),
            )
        )
        last[key] = step
    return tuple(found)


def _outcome(step: Step) -> str:
    if "edited" in step.notes:
        return "prevented"
    if outcome_unknown(step):
        return "unknown"
    return "failed" if step.status == "error" else "done"


def _cause(run: Run, before: Step | None, step: Step) -> Cause:
    if before is None:
        return "first"
    if before.invocation != step.invocation:
        return "resume"
    between = (other for other in run.of_kind("model") if before.index < other.index < step.index)
    return "model" if any(between) else "retry"
