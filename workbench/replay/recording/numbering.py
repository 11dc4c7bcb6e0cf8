"""The numbers of inner graphs. LangGraph tells those that one task ran apart by a number: the place in which each was started.

Of several tools that a task called at the same time, a re-run may run the code of one alone, whose graphs would then be started earlier than they
were, take one another's checkpoints for their own, and begin where another had been. So each call's graphs are given the numbers that they had.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_SCRATCHPAD

Numbers = Mapping[int, Sequence[int]]
"""Of a task's tool calls, by their steps: the numbers of the graphs that were started in them, in order."""

_calling: ContextVar[int] = ContextVar("the step of the tool's call whose code is running here", default=-1)


@contextmanager
def calling(step: int) -> Iterator[None]:
    """The code of this tool call runs here."""
    token = _calling.set(step)
    try:
        yield
    finally:
        _calling.reset(token)


class Counter:
    """Counts the graphs that a task starts, as LangGraph does, but for those that its tool calls start: these have theirs."""

    def __init__(self, numbers: Numbers) -> None:
        taken = {number for those in numbers.values() for number in those}
        self._own = (number for number in itertools.count() if number not in taken)
        self._left = {step: deque(those) for step, those in numbers.items()}
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """The number of the graph that is being started here. One that the call did not start when it was recorded comes after all others."""
        with self._lock:
            left = self._left.get(_calling.get())
            return left.popleft() if left else next(self._own)


def count(config: Mapping[str, Any], numbers: Numbers) -> None:
    """Let the task of this config number the graphs that it starts as it did when it was recorded."""
    configurable = config["configurable"]
    configurable[CONFIG_KEY_SCRATCHPAD] = replace(configurable[CONFIG_KEY_SCRATCHPAD], subgraph_counter=Counter(numbers))
