"""What a model call would cost by the list price of its model. Always an estimate: a recorded cost is told beside it, never replaced.

The table is `prices.toml`, dated, each price with its source. A model it does not know has no price, and a call whose tokens were not recorded no cost:
such calls are counted, since a sum without them is no run's.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from workbench.model import NO_TOKENS, Run, Step, Tokens

A_MILLION = 1_000_000
VERSION = re.compile(r"(?:[-@]?(?:\d{8}|\d{4}-\d{2}-\d{2})|-latest|-\d{3}|-v\d+(?::\d+)?)$")
"""How a dated version ends: `-2025-08-07`, `-20250929`, `@20250929`, `-latest`, `-001`, `-v1:0`."""
PROVIDER = re.compile(r"^(?:.*/)?(?:(?:[a-z-]+\.)?(?:anthropic|amazon)\.)?")
"""What gateways and clouds put in front of a model's name: `openai/`, `models/`, `us.anthropic.`, `bedrock/global.anthropic.`."""


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens of each type, and whose price it is. `cached` and `cache_write` are None where they cost what other input does."""

    model: str
    input: float
    output: float
    cached: float | None
    cache_write: float | None
    source: str
    dated: date

    def of(self, tokens: Tokens) -> float | None:
        """What these tokens cost; None unless both input and output were recorded, since half a cost would be taken for a whole one.

        Cached tokens are part of the input, as OpenTelemetry counts them; where there are more of them than input, the source counts them apart.
        """
        if tokens.input is None or tokens.output is None:
            return None
        read, written = tokens.cache_read or 0, tokens.cache_write or 0
        plain = tokens.input - read - written if read + written <= tokens.input else tokens.input
        rates = (plain, self.input), (read, self._or_input(self.cached)), (written, self._or_input(self.cache_write)), (tokens.output, self.output)
        return sum(count * rate for count, rate in rates) / A_MILLION

    def _or_input(self, rate: float | None) -> float:
        return self.input if rate is None else rate


def price_of(model: str | None) -> Price | None:
    """The price of a model by its name, dated versions and providers' prefixes seen through; None for a model the table doesn't know."""
    name = PROVIDER.sub("", (model or "").lower())
    while name not in prices():
        shorter = VERSION.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return prices()[name]


def estimate(step: Step) -> float | None:
    """What a model call would cost by list price; None where its cost was recorded, or can't be told."""
    if step.kind != "model" or step.cost_usd is not None:
        return None
    price = price_of(step.model)
    return price.of(step.tokens) if price else None


def estimate_run(run: Run) -> float | None:
    """The estimates of a run's calls together; None where there are none, and where it has `unpriced_calls`: a part would be taken for the whole."""
    found = [one for step in run.of_kind("model") if (one := estimate(step)) is not None]
    return sum(found) if found and not unpriced_calls(run) else None


def unpriced_calls(run: Run) -> int:
    """How many model calls have neither a recorded cost nor an estimate: of an unknown model, or without tokens; failed ones without tokens aside."""
    return sum(step.cost_usd is None and estimate(step) is None and not _failed_free(step) for step in run.of_kind("model"))


def _failed_free(step: Step) -> bool:
    return step.status == "error" and step.tokens == NO_TOKENS


@cache
def prices() -> dict[str, Price]:
    """Every price by the model's name."""
    table = tomllib.loads(files("workbench").joinpath("prices.toml").read_text("utf-8"))
    return {
        name: Price(name, row["input"], row["output"], row.get("cached"), row.get("cache_write"), source["name"], source["dated"])
        for source in table["source"]
        for name, row in source["models"].items()
    }
