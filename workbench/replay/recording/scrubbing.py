"""What differs from run to run and says nothing: the time of the run, ids made up on the way. Two calls that differ in nothing else are the same.

An instant or a day is taken for "now" only near the times of the run or of the re-run: a departure next week is data. An id is taken for made
up only where no recorded answer holds it: an order's id is data. Patterns of one's own are scrubbed wherever they match:

    [tool.workbench.replay.scrub]
    request = 'req_[A-Za-z0-9]+'
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from workbench import project
from workbench.model import Json

MARGIN_NS = 3600 * 10**9
ID = re.compile(r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})\b", re.IGNORECASE)
INSTANT = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
EPOCH = re.compile(r"(?<![\d.])\d{10}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?![\d.])")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAY = re.compile(
    r"""\b(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,?[ ])?
    (?:(?P<iso>\d{4}-\d\d-\d\d)
      |(?P<d>\d{1,2})(?:st|nd|rd|th)?[ ](?P<m>{months}),?[ ](?P<y>\d{4})
      |(?P<m2>{months})[ ](?P<d2>\d{1,2})(?:st|nd|rd|th)?,?[ ](?P<y2>\d{4}))
    (?:,?[ ](?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b)?
    (?:,?[ ](?:at[ ])?\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[ ]?[AP]M)?)?(?![\w-])""".replace("{months}", "|".join(f"{one}[a-z]*" for one in MONTHS)),
    re.IGNORECASE | re.VERBOSE,
)
"""A day as prompts tell it, with a weekday and a time of day where they tell those: `Monday, November 23, 2026, 06:29`. Alone, it is data."""
DAY_NS = 24 * 3600 * 10**9
ZONES_NS = 14 * 3600 * 10**9
"""How far a clock without a zone may be from UTC."""


class ScrubError(project.ProjectError):
    """A pattern that can't be used. The message names it."""


class Scrubber:
    """Takes out of a value what says nothing. `moments` are the first and last nanosecond of the recorded run; `clock` gives the time now."""

    def __init__(
        self,
        moments: tuple[int, int] | None = None,
        known: Callable[[str], bool] = lambda _: False,
        patterns: Mapping[str, str] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._known, self._clock = known, clock
        self._spans = [(moments[0] - MARGIN_NS, moments[1] + MARGIN_NS)] if moments else []
        self._patterns = {name: _compiled(name, pattern) for name, pattern in (patterns or {}).items()}

    def plain(self, value: Json) -> Json:
        """The value with `<time>`, `<id>` or the name of the user's pattern in place of what was scrubbed."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self.plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.plain(one) for one in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self._is_now(_from_epoch(float(value))):
            return "<time>"
        return value

    def _text(self, text: str) -> str:
        for name, pattern in self._patterns.items():
            text = pattern.sub(f"<{name}>", text)
        text = ID.sub(lambda found: found[0] if self._known(found[0]) else "<id>", text)
        text = INSTANT.sub(lambda found: "<time>" if self._is_now(*_instants(found[0])) else found[0], text)
        text = DAY.sub(lambda found: "<time>" if found[0] != text and any(self._is_now(noon, DAY_NS // 2) for noon in _noons(found)) else found[0], text)
        return EPOCH.sub(lambda found: "<time>" if self._is_now(_from_epoch(float(found[0]))) else found[0], text)

    def _is_now(self, at_ns: int | None, margin: int = 0) -> bool:
        if at_ns is None:
            return False
        now = self._clock()
        return any(first - margin <= at_ns <= last + margin for first, last in (*self._spans, (now - MARGIN_NS, now + MARGIN_NS)))


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ScrubError(f"[tool.workbench.replay.scrub] {name} = {pattern!r} is no regular expression: {error}") from error


def _instants(text: str) -> tuple[int | None, int]:
    """A written instant in nanoseconds, and how far it may be off since it names no zone."""
    try:
        found = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None, 0
    zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 10**9), 0 if found.tzinfo else ZONES_NS


def _noons(found: re.Match[str]) -> tuple[int, ...]:
    """The noons of a written day, that of UTC and ours; none for a day that no calendar has."""
    try:
        if found["iso"]:
            day = datetime.fromisoformat(found["iso"])
        else:
            month = MONTHS.index(str(found["m"] or found["m2"])[:3].lower()) + 1
            day = datetime(int(found["y"] or found["y2"]), month, int(found["d"] or found["d2"]))  # a day has no zone
        return tuple(int(noon.timestamp() * 10**9) for noon in (day.replace(hour=12, tzinfo=UTC), day.replace(hour=12).astimezone()))
    except (ValueError, OverflowError, OSError):
        return ()


def _from_epoch(number: float) -> int | None:
    """Seconds, milli-, micro- or nanoseconds since 1970 as nanoseconds; None for a number that is none of them in this century."""
    return next((int(number * unit) for unit in (10**9, 10**6, 10**3, 1) if 10**18 <= number * unit < 4 * 10**18), None)


def configured(folder: Path) -> dict[str, str]:
    """The patterns of the project one works in. ScrubError for one that is no regular expression."""
    tables, place = project.table("replay", folder)
    for name in tables:
        project.check_name(f"{place}: [tool.workbench.replay]", name, ("scrub",))
    found = tables.get("scrub", {})
    for name, pattern in found.items():
        _compiled(name, pattern)
    return dict(found)


def strings_of(value: Json) -> Iterator[str]:
    """Every text in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from strings_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_of(one)
