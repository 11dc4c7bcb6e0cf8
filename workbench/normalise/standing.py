"""The messages that stand in the state: a node may write them again, under their ids or as copies after all were removed, and nothing is new in that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from workbench.model import Json
from workbench.normalise.recorded import calls_of, signature

REMOVE, EVERYTHING = "remove", "__remove_all__"
"""The type and the id of what LangGraph takes for "remove all messages"."""


class Standing:
    """Tells new messages from those that stood before, as they are met in the order in which they were written."""

    def __init__(self, before: Iterable[dict[str, Json]] = ()) -> None:
        """`before` stood when the first of the tasks began that are gone through."""
        self.ids: set[str] = set()
        self._said: set[str] = set()
        self._asked: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self.fresh(list(before), removed=False)

    def copy(self) -> Standing:
        """What stands, for another branch to go on from."""
        found = Standing()
        found.ids, found._said = set(self.ids), set(self._said)
        found._asked, found._answered = self._asked.copy(), self._answered.copy()
        return found

    def fresh(self, messages: Iterable[dict[str, Json]], *, removed: bool) -> list[dict[str, Json]]:
        """Those of one task's messages that did not stand before; `removed`: it removed all that did, so that equal ones are copies."""
        messages = list(messages)
        found = [raw for raw in messages if self._is_fresh(raw, removed=removed)]
        self.ids |= {str(raw["id"]) for raw in messages if raw.get("id")}
        for raw in found:
            self._said.add(signature(raw))
            self._asked.update(calls_of(raw))
            self._answered.update([str(raw["tool_call_id"])] if raw.get("tool_call_id") else [])
        return found

    def _is_fresh(self, raw: dict[str, Json], *, removed: bool) -> bool:
        if raw.get("id") in self.ids or (removed and signature(raw) in self._said):
            return False
        call = raw.get("tool_call_id")
        return not call or not self._asked[str(call)] or self._answered[str(call)] < self._asked[str(call)]


def removes_all(value: Json) -> bool:
    """Whether what was written to a channel removes all messages in it."""
    return isinstance(value, list) and any(isinstance(one, dict) and (one.get("type"), one.get("id")) == (REMOVE, EVERYTHING) for one in value)
