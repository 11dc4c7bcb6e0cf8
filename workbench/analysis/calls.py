"""When two tool calls are the same call, and when they brought the same thing.

What differs between two answers only because time went by (timestamps, request ids, attempt counters) is no progress and is left out.
"""

from __future__ import annotations

import json
import re

from workbench.model import Json, Run, Step, Tokens, canonical

VOLATILE_FIELD = re.compile(
    r"^(time|now|date|timestamp|nonce|etag|uuid|seq|sequence|counter|attempts?|retry|retry_?count|elapsed|duration|latency|took|cursor_?time"
    r"|.*(_at|_time|_timestamp|_ms|_seconds)|(request|trace|span|correlation|call|query|search|session)_?id)$",
    re.IGNORECASE,
)
VOLATILE_TEXT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?|\b\d\d:\d\d:\d\d(\.\d+)?\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE
)
AT_WORK = re.compile(r"\b(pending|running|in progress|queued|processing|not ready|still working|awaiting|under review)\b", re.IGNORECASE)
SHORT = 300
"""Characters of a result that states something rather than holding it."""
MAX_DEPTH = 20


def call_key(step: Step) -> str:
    """The tool and all its arguments as text; two calls with the same key asked for exactly the same."""
    if step.tool_call is None:
        return step.name
    return f"{step.tool_call.name}({canonical(step.tool_call.arguments) if step.tool_call.raw is None else step.tool_call.raw})"


def observed(step: Step) -> str:
    """What a tool call brought, as text without what merely passes with time: its error, else its result."""
    return VOLATILE_TEXT.sub("…", canonical(_stable(parsed(step.result)))) if step.error is None else f"error: {VOLATILE_TEXT.sub('…', step.error)}"


def parsed(result: Json) -> Json:
    """A result that is JSON in a string as what it says, any other result as it is."""
    if isinstance(result, str) and result.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(result)
        except (ValueError, RecursionError):
            return result  # text that merely begins like JSON is text
    return result


def empty(result: Json) -> bool:
    """Whether a result holds nothing: null, blank, an empty list or object, or an object whose only lists are empty, such as `{"hotels": []}`."""
    value = parsed(result)
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        return not value or (bool(lists) and not any(lists))
    return value is None or (isinstance(value, str | list) and not (value.strip() if isinstance(value, str) else value))


def at_work(step: Step) -> bool:
    """Whether a call was told that what it asks about is not done yet: then asking again is no folly."""
    said = observed(step)
    return len(said) <= SHORT and AT_WORK.search(said.replace("_", " ")) is not None


def spent(run: Run, first: int, last: int) -> tuple[int | None, float | None]:
    """Tokens and dollars of the steps from `first` to `last`, both included; None where nothing was recorded."""
    inside = [step for step in run.steps if first <= step.index <= last]
    tokens = [count for step in inside if (count := token_count(step.tokens)) is not None]
    costs = [step.cost_usd for step in inside if step.cost_usd is not None]
    return (sum(tokens) if tokens else None), (sum(costs) if costs else None)


def token_count(tokens: Tokens) -> int | None:
    """All tokens of one call: the recorded total, else input plus output; None where neither was recorded."""
    if tokens.total is not None:
        return tokens.total
    return None if tokens.input is None and tokens.output is None else (tokens.input or 0) + (tokens.output or 0)


def _stable(value: Json, depth: int = 0) -> Json:
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {name: _stable(inner, depth + 1) for name, inner in value.items() if not VOLATILE_FIELD.match(str(name))}
    return [_stable(inner, depth + 1) for inner in value] if isinstance(value, list) else value
