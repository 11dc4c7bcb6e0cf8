"""A raw span out of the parts a container has: ids, times, states and values made regular, and what can't be kept said.

Every reader of spans builds them here, so that all of them bound, check and report alike. What had to be dropped is added to `said`, a list of
reasons that the reader yields as skips; a span without usable ids is a ValueError, for there is nothing to hang it on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

from workbench.model import Json, Skip, Span, SpanEvent
from workbench.reading.documents import parse_json

Fields = dict[str, Json]
Said = list[str]
State = Literal["unset", "ok", "error"]

TRACE_DIGITS, SPAN_DIGITS = 32, 16
US, MS = 1_000, 1_000_000
SECOND_NS = 1_000_000_000
EARLIEST_NS = 86_400_000_000_000  # 1970-01-02: what lies before comes from a clock that was never set
LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01
MAX_VALUE_CHARACTERS = 16 * 1024 * 1024
MAX_NUMBER_DIGITS = 30
STATES: dict[str, State] = {
    **dict.fromkeys(("1", "OK", "STATUS_CODE_OK", "STATUSCODE.OK", "SUCCESS"), "ok"),
    **dict.fromkeys(("2", "ERROR", "STATUS_CODE_ERROR", "STATUSCODE.ERROR"), "error"),
}
CODES: dict[int, State] = {1: "ok", 2: "error"}
OF_TRACE = "of_trace"
"""The attribute that marks a record of a trace as a whole, and holds what its topmost spans should say where there are any (`normalise.wholes`)."""
UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What taking apart a value of another shape than expected can raise."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|UTC|[+-]\d\d:?\d\d)?")


def span_of(
    said: Said,
    *,
    trace_id: str | None,
    span_id: str | None,
    parent: str | None = None,
    name: Json = "",
    start_ns: int | None = None,
    end_ns: int | None = None,
    state: State = "unset",
    message: Json = "",
    attributes: Fields | None = None,
    events: Iterable[SpanEvent] = (),
    scope: Json = None,
    resource: Fields | None = None,
    links: Iterable[str] = (),
) -> Span:
    """One span of parts that are regular already. ValueError where an id is missing."""
    if trace_id is None or span_id is None:
        raise ValueError("a span without usable ids: want 32 and 16 hex digits, not all 0")
    if start_ns is not None and end_ns is not None and end_ns < start_ns:
        said.append(f"end of span {span_id}: {(start_ns - end_ns) / 1e6:,.0f} ms before its start, left out")
        end_ns = None
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent if parent != span_id else None,
        name=cut(text_of(name), said, f"name of span {span_id}"),
        start_ns=start_ns,
        end_ns=end_ns,
        status=state,
        status_message=cut(text_of(message), said, f"status of span {span_id}"),
        attributes=kept(attributes or {}, said, f"span {span_id}"),
        events=tuple(events),
        scope=str(scope) if scope else None,
        resource=resource or {},
        links=tuple(dict.fromkeys(links)),
    )


def told(error: Exception) -> str:
    """An error in words: a missing key says only its name by itself, and an attribute of Python's says nothing about a file."""
    if isinstance(error, AttributeError | TypeError):
        return f"a part of it is of another kind than it should be ({error})"
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def skips(said: Said, place: str) -> Iterator[Skip]:
    """What was said since the last time, as skips at a place."""
    yield from (Skip(place=place, reason=reason) for reason in said)
    said.clear()


# ---- ids


def hex_id(value: Json, digits: int) -> str | None:
    """An id in lower-case hex; from base64 too, as protobuf's own JSON writes it. None for another length and for all zeros."""
    if not isinstance(value, str) or not value.isascii():
        return None
    value = value.removeprefix("0x")
    try:
        found = bytes.fromhex(value) if len(value) == digits else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return None
    return found.hex() if len(found) * 2 == digits and any(found) else None


def padded_id(value: Json, digits: int) -> str | None:
    """An id whose leading zeros were left out, or which is only 64 bits long, as Jaeger's and Zipkin's may be."""
    short = isinstance(value, str) and 0 < len(value) < digits
    return hex_id(value.zfill(digits) if short else value, digits)


def made_id(value: Json, digits: int) -> str | None:
    """An id out of any text: itself where it is hex or a UUID of that length, else digits of its SHA-256, the same for the same text."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        return None
    bare = value.replace("-", "") if len(value) == 36 else value  # noqa: PLR2004  # a UUID's length
    hashed = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    return hex_id(bare, digits) if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", bare) else hashed


def any_id(value: Json, digits: int) -> str | None:
    """An id in hex or base64, else made out of whatever text it is."""
    return hex_id(value, digits) or made_id(value, digits)


def parent_id(value: Json, said: Said, label: str) -> str | None:
    """The parent's id; None for a root, and for an id that can't be one, which is said."""
    parent = hex_id(value, SPAN_DIGITS)
    if parent is None and value and str(value).strip("0A="):
        said.append(f"parent of {label} left out: want 16 hex digits, found {brief(value)}")
    return parent


# ---- times


def time_of(value: Json, said: Said, label: str, unit_ns: int = 1) -> int | None:
    """Nanoseconds since 1970 from a number of units, or from ISO 8601 text (UTC where it names no zone).

    None where it is 0 or missing; None and said where no set clock could have shown it.
    """
    if value is None or value in ("", "0", 0):
        return None
    found = _nanoseconds(value, unit_ns)
    if found is not None and EARLIEST_NS <= found < LATEST_NS:
        return found
    said.append(f"time left out, {label}: want nanoseconds from 1970-01-02 to 2200, found {brief(value)}")
    return None


def any_time(value: Json, said: Said, label: str) -> int | None:
    """As `time_of`, for a number that may be in s, ms, µs or ns: its size tells."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LATEST_NS:
        unit = next((unit for limit, unit in ((1e11, SECOND_NS), (1e14, MS), (1e17, US)) if value < limit), 1)
        return time_of(value, said, label, unit)
    return time_of(value, said, label)


def _nanoseconds(value: Json, unit_ns: int) -> int | None:
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > 2 * MAX_NUMBER_DIGITS):
        return None
    if isinstance(value, str) and (moment := _MOMENT.fullmatch(value.strip())):
        return _moment_ns(moment)
    try:
        return int(value) * unit_ns if not isinstance(value, float) or value.is_integer() else int(value * unit_ns)
    except UNUSABLE:
        return None


def _moment_ns(moment: re.Match[str]) -> int | None:
    day, clock, fraction, zone = moment.groups()
    try:
        found = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in (None, 'Z', 'UTC') else zone}")
    except ValueError:
        return None
    return int((found.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND_NS + int((fraction or "0").ljust(9, "0"))


# ---- states and values


def service(name: Json) -> Fields:
    """The resource of a service with this name; empty where it has none."""
    return {"service.name": name} if name else {}


def state_of(value: Json) -> State:
    """A status code, be it OTLP's number, its name, or an SDK's."""
    return (
        STATES.get(value) or STATES.get(value.upper(), "unset") if isinstance(value, str) else CODES.get(value, "unset") if isinstance(value, int) else "unset"
    )


def event_of(name: Json, at_ns: int | None, attributes: Json, said: Said, label: str) -> SpanEvent:
    """An event of a span."""
    return SpanEvent(name=text_of(name), at_ns=at_ns, attributes=kept(attributes if isinstance(attributes, dict) else {}, said, label))


def text_of(value: Json) -> str:
    """A name or message as text; nothing for null."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def flat_list(value: Json) -> Json:
    """A list that a container could only keep as text (`'["stop"]'`) as that list, where it is of plain values only; anything else as it is."""
    if not (isinstance(value, str) and value.startswith("[") and value.endswith("]") and len(value) <= MAX_VALUE_CHARACTERS):
        return value
    try:
        found = parse_json(value)
    except ValueError:
        return value
    plain = all(isinstance(item, str | int | float | bool) and not (isinstance(item, str) and item[:1] in {"{", "["}) for item in found)
    return found if plain else value


def decoded_once(value: Json) -> Json:
    """JSON text as its value; any other text as it is."""
    if not isinstance(value, str) or not value or len(value) > MAX_VALUE_CHARACTERS:
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def kept(attributes: Fields, said: Said, label: str) -> Fields:
    """Attributes with every text no longer than the limit."""
    return {key: value if _is_small(value) else cut(value, said, f"{key} of {label}") for key, value in attributes.items()}


def _is_small(value: Json) -> bool:
    return len(value) <= MAX_VALUE_CHARACTERS if isinstance(value, str) else not isinstance(value, list | dict)


def cut(value: Json, said: Said, label: str) -> Json:
    """The value with every text in it no longer than the limit; what was cut is said."""
    if isinstance(value, str):
        if len(value) <= MAX_VALUE_CHARACTERS:
            return value
        said.append(f"{label}: {len(value):,} characters cut to {MAX_VALUE_CHARACTERS:,}")
        return value[:MAX_VALUE_CHARACTERS]
    if isinstance(value, list):
        return [cut(inner, said, label) for inner in value]
    return {str(key): cut(inner, said, label) for key, inner in value.items()} if isinstance(value, dict) else value


def brief(value: Json) -> str:
    """A value as short text to recognise it by."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004  # enough to recognise it by
