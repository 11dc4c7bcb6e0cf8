"""What a fork's change does to the calls that pass the fence: what the model is shown, which model answers, and which call fails.

The other kinds of change need nothing here: a result, an answer or a state is put where it is read from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from workbench.model import Interaction, Json, digest
from workbench.replay.fence.answers import exception, recorded_messages
from workbench.replay.protocol import Alteration, Fault
from workbench.replay.recording.cassette import canonical_messages
from workbench.replay.recording.tape import Call

NAMES = ("model_name", "model")
"""The fields in which chat models keep their name."""
INSTEAD = "timeout", "error", "empty", "answer"
"""The faults that a call meets instead of its answer."""
FAULTS = {"timeout": "TimeoutError: no answer (injected by the fork)", "error": "RuntimeError: failed (injected by the fork)"}


class AlterationError(ValueError):
    """A change that doesn't fit the agent, such as a setting its model doesn't have. The message names what would."""


@dataclass
class Alterations:
    """The change of one re-run, as its calls meet it. `applied` counts how often it made a difference."""

    asked: Alteration = field(default_factory=Alteration)
    applied: int = 0
    expects: Callable[[Call], int | None] = lambda _: None
    """The place in the cassette of the recording that a call would be served."""
    recordings: Sequence[Interaction] = ()
    """Those of the cassette."""
    tell: Callable[[dict[str, Json]], None] = lambda _: None
    """Is told that the change was met, where no record of a call says so."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self, model: BaseChatModel, path: str) -> BaseChatModel:
        """The model with its settings changed. AlterationError for a setting it doesn't have."""
        settings = self.asked.settings
        if not settings or not self._here(path):
            return model
        known = set(type(model).model_fields)
        found = {self._field(name, known, type(model).__name__): value for name, value in settings.items()}
        self._note()
        return model.model_copy(update=found)

    def _field(self, name: str, known: set[str], kind: str) -> str:
        for one in NAMES if name == "name" else (name,):
            if one in known:
                return one
        near = get_close_matches(name, known, n=3) or sorted(known & {*NAMES, "temperature", "max_tokens"})
        raise AlterationError(f"{kind} has no setting {name!r}" + (f"; it has {', '.join(near)}" if near else ""))

    def messages(self, messages: list[BaseMessage], path: str) -> list[BaseMessage]:
        """What the model is given instead of these messages."""
        if self.asked.system is not None and self._here(path):
            self._note()
            rest = [one for number, one in enumerate(messages) if number or not isinstance(one, SystemMessage)]
            return [SystemMessage(self.asked.system), *rest]
        wanted = self.asked.message
        if wanted is None:
            return messages
        same = [number for number, one in enumerate(messages) if digest(canonical_messages(recorded_messages([one]))) == wanted.sha256]
        if wanted.occurrence >= len(same):
            return messages
        place = same[wanted.occurrence]
        self._note()
        return [*messages[:place], edited_message(messages[place], wanted.fields), *messages[place + 1 :]]

    def options(self, options: dict[str, Any], path: str) -> dict[str, Any]:
        """The call's own settings and the tools offered, changed. AlterationError for a tool that is not offered."""
        if not self._here(path):
            return options
        found = {name: self.asked.settings.get(name, value) for name, value in options.items()} if self.asked.settings else options
        if self.asked.tools is None:
            return found
        self._note()
        offered = offer(found.get("tools") or [], self.asked.tools)
        return {**found, "tools": offered} if offered else {name: value for name, value in found.items() if name not in ("tools", "tool_choice")}

    def pause(self, call: Call) -> float:
        """How many seconds a call takes longer."""
        fault = self._struck(call, "slow")
        return fault.seconds if fault else 0.0

    def fault(self, call: Call) -> Fault | None:
        """The fault that a call meets instead of its answer."""
        return self._struck(call, *INSTEAD)

    def meets(self, call: Call) -> bool:
        """Whether a call would meet the fault. To ask leaves it in place."""
        return self._due(call, *INSTEAD) is not None

    def _struck(self, call: Call, *kinds: str) -> Fault | None:
        with self._lock:
            fault = self._due(call, *kinds)
            self.applied += fault is not None
        return fault

    def _due(self, call: Call, *kinds: str) -> Fault | None:
        """The fault, where it is of these kinds and this call is to meet it, and no other has met it as often as it is to be met."""
        fault = self.asked.fault
        if fault is None or fault.kind not in kinds or fault.call_kind != call.kind or (self.applied >= fault.times and fault.kind != "answer"):
            return None
        return fault if (self._asks_again(fault, call) if fault.call_kind == "http" else self._is_first(fault, call)) else None

    def _is_first(self, fault: Fault, call: Call) -> bool:
        """Whether a call is the recorded one, by its node and arguments, or for a model by its node; the first to meet the fault is that of its very step."""
        if fault.node_path != call.node_path or (call.kind != "model" and (fault.name, fault.arguments_sha256) != (call.name, call.sha256)):
            return False
        expected = self.expects(call)
        return bool(self.applied) or None in (expected, fault.step) or self.recordings[expected or 0].step == fault.step

    def _asks_again(self, fault: Fault, call: Call) -> bool:
        """Whether an HTTP call is the recorded one: it would be served that recording, or is made once more after it was given another answer."""
        meant, expected = self.recordings[fault.recording or 0], self.expects(call)
        if call.task_id and meant.task_id and call.task_id != meant.task_id:
            return False
        again = self.applied and expected is None and (meant.name, digest(meant.arguments)) == (call.name, call.sha256)
        return expected == fault.recording or bool(again)

    def _here(self, path: str) -> bool:
        return self.asked.node_path in (None, path)

    def _note(self) -> None:
        with self._lock:
            if not self.applied:
                self.tell({"met": True})
            self.applied += 1


def model_name(model: Any) -> str:
    """What a chat model is called."""
    return str(getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__)


def raised(fault: Fault) -> Exception | None:
    """What a fault raises; None for one that returns nothing instead."""
    return None if fault.kind == "empty" else exception(fault.message or FAULTS[fault.kind])


def edited_message(message: BaseMessage, fields: dict[str, Json]) -> BaseMessage:
    """A message with another content, and for an answer of the model other tool calls."""
    changed: dict[str, Any] = {"content": fields["content"]} if "content" in fields else {}
    if "tool_calls" in fields and isinstance(message, AIMessage):
        calls = fields["tool_calls"]
        changed["tool_calls"] = [{"name": one["name"], "args": one.get("arguments") or {}, "id": one.get("call_id"), "type": "tool_call"} for one in calls]
    return message.model_copy(update=changed)


# ---- the tools offered


def offer(tools: list[Any], asked: Json) -> list[Any]:
    """The definitions of the tools that stay. `asked` lists their names, or maps names to what is changed in them (None: not offered)."""
    names = [tool_name(one) for one in tools]
    if unknown := [name for name in asked if name not in names]:
        near = get_close_matches(unknown[0], names, n=3)
        raise AlterationError(f"no tool {unknown[0]!r} is offered; {'near it is' if near else 'there are'} {', '.join(near or names) or 'none'}")
    if isinstance(asked, list):
        return [one for one in tools if tool_name(one) in asked]
    kept = [one for one in tools if asked.get(tool_name(one), {}) is not None]
    return [_defined(one, asked.get(tool_name(one)) or {}) for one in kept]


def tool_name(definition: Any) -> str:
    """The name in a tool's definition, in OpenAI's form or Anthropic's."""
    return str(_definition(definition).get("name", ""))


def _definition(definition: Any) -> dict[str, Any]:
    if not isinstance(definition, dict):
        return {"name": getattr(definition, "name", "")}
    inner = definition.get("function")
    return inner if isinstance(inner, dict) else definition


def _defined(definition: Any, changed: dict[str, Json]) -> Any:
    if not changed:
        return definition
    inner = {**_definition(definition), **changed}
    return {**definition, "function": inner} if "function" in definition else inner
