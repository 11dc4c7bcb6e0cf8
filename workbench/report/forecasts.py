"""A forecast of a fork for people: what stands, what is served, what runs, what asks and what halts, and which tools are kept from the world."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.replay.forecast import WORDS, Expected, Forecast, Reachable
from workbench.report.quantities import line, plural
from workbench.report.static import tabular_html, tabular_text

TONES = {"halts": "error", "stops": "error", "asks": "warning", "live": "warning", "edited": "info"}
MAX_NAMED = 6


class Foreseen:
    """What a fork would do, shown as a table; `forecast` is the value."""

    def __init__(self, forecast: Forecast) -> None:
        self.forecast = forecast

    def __repr__(self) -> str:
        rows, _ = rows_of(self.forecast)
        return tabular_text(title(self.forecast), says(self.forecast), COLUMNS, rows)

    def _repr_html_(self) -> str:
        rows, tones = rows_of(self.forecast)
        return tabular_html(title(self.forecast), says(self.forecast), COLUMNS, rows, tones)


COLUMNS = ("steps", "what happens", "which", "why")


def title(forecast: Forecast) -> str:
    """What would be forked, and where."""
    return f"a fork of {forecast.run_id} at step {forecast.at}"


def rows_of(forecast: Forecast) -> tuple[list[tuple[str, ...]], list[str]]:
    """A row for what stands and one for each way of being answered, with its tone; what would end the fork has its reason."""
    rows: list[tuple[str, ...]] = [(str(forecast.kept), "kept as recorded", "", "")]
    tones = [""]
    for how, words in WORDS.items():
        found = forecast.of(how)
        if found:
            rows.append((str(len(found)), words, named(found), "; ".join(dict.fromkeys(one.says for one in found if one.says))))
            tones.append(TONES.get(how, ""))
    return rows, tones


def named(steps: list[Expected]) -> str:
    """The steps by number and name, of many the first."""
    shown = ", ".join(f"{one.step} {line(one.name, 40)}" for one in steps[:MAX_NAMED])
    return shown + (f" and {len(steps) - MAX_NAMED} more" if len(steps) > MAX_NAMED else "")


def says(forecast: Forecast) -> Iterator[str]:
    """Which tools are kept from the world, and how it is shut in."""
    yield f"never called: {', '.join(map(class_words, forecast.blocked))}" if forecast.blocked else "no tool that changes the world is known"
    lacking = f", which this machine does not reach: {forecast.lacks}" if forecast.lacks else ""
    yield f"isolation: {forecast.level}, for a run of {forecast.risk} risk{lacking}"
    yield from forecast.notes
    if forecast.change.kind != "none" or forecast.live:
        unserved = "; a call that was not recorded halts"
        yield f"{plural(len(forecast.steps), 'step')} again, as far as the recording tells: what the agent does after the change is its own{unserved}"


def class_words(tool: Reachable) -> str:
    """`book_flight (effect, a guess)`."""
    return f"{tool.name} ({tool.effect}{', a guess' if tool.guessed else ''})"
