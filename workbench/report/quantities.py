"""Numbers, times and long texts as a reader wants them. What was not recorded is a dash, never a zero."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from workbench.analysis.calls import token_count
from workbench.model import Json, Run

DASH = "–"
NO_COST = "cost not recorded"
MINUTE_S, HOUR_S = 60, 3600
FIRST_NS, LAST_NS = 0, 253_402_300_799 * 10**9
"""The moments a calendar can name, 1970 to 9999; a span may claim any number."""


def count(number: int | None) -> str:
    """A whole number with thousands separated: 12,345."""
    return DASH if number is None else f"{number:,}"


def money(usd: float | None) -> str:
    """US dollars with as many decimals as they need: $1,204.50, $0.0031."""
    return DASH if usd is None else f"${usd:,.2f}" if abs(usd) >= 1 or usd == 0 else f"${usd:.4f}"


def at_least(usd: float | None, left_out: int | None) -> str:
    """Recorded dollars for a column: `≥ $0.0031` where the sum leaves model calls out."""
    return f"≥ {money(usd)}" if usd is not None and left_out else money(usd)


def spent_by(run: Run) -> str:
    """Tokens and recorded dollars of a run in a phrase, with the model calls whose cost is missing from a sum."""
    return f"{_tokens_said(token_count(run.tokens))}, {cost_of(run)}"


def cost_of(run: Run) -> str:
    """The recorded dollars of a run, with the model calls that the sum leaves out."""
    if run.cost_usd is None:
        return NO_COST
    calls = sum(1 for _ in run.of_kind("model"))
    return money(run.cost_usd) + (f" without {run.uncosted_calls:,} of {plural(calls, 'model call')}, not recorded" if run.uncosted_calls else "")


def spending(tokens: int | None, usd: float | None) -> str:
    """Tokens and dollars in a phrase, each said to be missing where it was not recorded."""
    return f"{_tokens_said(tokens)}, {NO_COST if usd is None else money(usd)}"


def _tokens_said(tokens: int | None) -> str:
    return "tokens not recorded" if tokens is None else plural(tokens, "token")


def duration(milliseconds: float | None) -> str:
    """A duration in the unit that suits it: 12 ms, 3.4 s, 5 min 03 s, 2 h 05 min."""
    if milliseconds is None:
        return DASH
    seconds = milliseconds / 1000
    if abs(seconds) < 1:
        return f"{milliseconds:,.0f} ms"
    if abs(seconds) < MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE_S)
    return f"{minutes} min {rest:02} s" if seconds < HOUR_S else f"{minutes // 60:,} h {minutes % 60:02} min"


def moment(nanoseconds: int | None) -> str:
    """A moment in UTC to the second: 2025-06-15 15:06:40 UTC."""
    if nanoseconds is None:
        return DASH
    if not FIRST_NS <= nanoseconds <= LAST_NS:
        return f"impossible time ({nanoseconds} ns)"
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def plural(number: int, noun: str) -> str:
    """A count with its noun: 1 step, 2 steps."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def literal(value: Json) -> str:
    """A value as text: a string as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, default=str)


def cut(text: str, limit: int) -> tuple[str, str]:
    """The beginning of a text, and a note that counts what was left out (empty when nothing was)."""
    return (text, "") if len(text) <= limit else (text[:limit], f"{len(text) - limit:,} more characters, {len(text):,} in all")


def line(text: str, limit: int) -> str:
    """The beginning of a text on one line, with an ellipsis where it was cut."""
    flat = " ".join(text[: 4 * limit].split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
