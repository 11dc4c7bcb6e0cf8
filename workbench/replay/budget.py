"""What a re-run may spend, what it has spent, and a breaker for what keeps failing.

A meter may be shared: every fork of a sweep then spends from the same budget. Between processes, a fork is given what is left (`left`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.model import Budget, Spent, Tokens
from workbench.prices import price_of


class OverBudgetError(RuntimeError):
    """There is nothing left to spend, or the breaker is open. The message says of what."""


@dataclass
class Meter:
    """Counts what is spent, from any thread, and refuses what would go beyond the budget. `clock` gives seconds."""

    budget: Budget = field(default_factory=Budget)
    clock: Callable[[], float] = time.monotonic
    spent: Spent = field(default_factory=Spent)
    _failures: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def step(self) -> None:
        """A call is to be answered, from wherever. OverBudgetError when it would be one too many, or the time is over."""
        with self._lock:
            self._within("steps", self.spent.steps, 1)
            self._in_time()
            self.spent = self.spent.model_copy(update={"steps": self.spent.steps + 1})

    def model_call(self, model: str) -> None:
        """A model is to think for real. OverBudgetError when it may not, or when a budget in money could not be kept for want of a price."""
        with self._lock:
            self._within("model_calls", self.spent.model_calls, 1)
            self._within("tokens", self._tokens(), 0)
            self._within("usd", self.spent.cost_usd or 0.0, 0)
            if self.budget.usd is not None and price_of(model) is None:
                raise OverBudgetError(f"a budget of {self.budget.usd:g} US$ can't be kept: {model} has no list price; limit model_calls or tokens instead")
            self._closed(model)
            self.spent = self.spent.model_copy(update={"model_calls": self.spent.model_calls + 1})

    def not_called(self) -> None:
        """A model that was to think for real was not asked after all."""
        with self._lock:
            self.spent = self.spent.model_copy(update={"model_calls": self.spent.model_calls - 1})

    def tool_call(self, tool: str) -> None:
        """A tool is to be called for real. OverBudgetError when it has failed too often."""
        with self._lock:
            self._in_time()
            self._closed(tool)

    def used(self, model: str, tokens: Tokens) -> None:
        """A model has thought with so many tokens, where it says how many."""
        price = price_of(model)
        cost = price.of(tokens) if price else None
        with self._lock:
            total = self.spent.cost_usd if cost is None else (self.spent.cost_usd or 0.0) + cost
            self.spent = self.spent.model_copy(update={"tokens": self.spent.tokens + tokens, "cost_usd": total})

    def came(self, name: str, *, failed: bool) -> None:
        """A live call of this name has ended. So many failures in a row open the breaker."""
        with self._lock:
            self._failures[name] = self._failures.get(name, 0) + 1 if failed else 0

    def add(self, spent: Spent) -> None:
        """Somebody else has spent this from the same budget."""
        with self._lock:
            costs = [one for one in (self.spent.cost_usd, spent.cost_usd) if one is not None]
            self.spent = Spent(
                model_calls=self.spent.model_calls + spent.model_calls,
                tokens=self.spent.tokens + spent.tokens,
                cost_usd=sum(costs) if costs else None,
                seconds=self.spent.seconds,
                steps=self.spent.steps + spent.steps,
            )

    def now(self) -> Spent:
        """What is spent so far, its seconds too."""
        with self._lock:
            return self.spent.model_copy(update={"seconds": round(self.spent.seconds + self.clock() - self._started, 3)})

    def _tokens(self) -> int:
        tokens = self.spent.tokens
        return tokens.total if tokens.total is not None else (tokens.input or 0) + (tokens.output or 0)

    def _within(self, what: str, spent: float, more: float) -> None:
        most = getattr(self.budget, what)
        if most is not None and (spent + more > most or (not more and spent >= most)):
            raise OverBudgetError(f"over budget: {spent:g} of {most:g} {WORDS[what]} are spent")

    def _in_time(self) -> None:
        spent = self.spent.seconds + self.clock() - self._started
        if self.budget.seconds is not None and spent > self.budget.seconds:
            raise OverBudgetError(f"over budget: {spent:.1f} of {self.budget.seconds:g} seconds are spent")

    def _closed(self, name: str) -> None:
        if self._failures.get(name, 0) >= self.budget.failures:
            raise OverBudgetError(f"the breaker is open: {name} failed {self._failures[name]} times in a row")


WORDS = {"steps": "steps", "model_calls": "model calls", "tokens": "tokens", "usd": "US$"}


def left(budget: Budget, spent: Spent) -> Budget:
    """What remains of a budget."""
    tokens = spent.tokens.total if spent.tokens.total is not None else (spent.tokens.input or 0) + (spent.tokens.output or 0)
    gone = {"model_calls": spent.model_calls, "tokens": tokens, "usd": spent.cost_usd or 0.0, "seconds": spent.seconds, "steps": spent.steps}
    limits = {name: getattr(budget, name) for name in gone}
    return budget.model_copy(update={name: max(0, most - gone[name]) for name, most in limits.items() if most is not None})
