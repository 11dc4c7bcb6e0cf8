"""Turns a recorded answer back into what the patched call hands to the agent: a chat message, a tool's result, or the exception it raised.

Classes are never looked up by importing what a trace names: an exception is a builtin, or of a class that the agent's own code has loaded
already, made without running its constructor; else a look-alike of the same name.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import json
from collections.abc import Sequence
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, message_to_dict, messages_from_dict
from langchain_core.tools import BaseTool
from langgraph.types import Command, Send

from workbench.model import Interaction, Json, Message
from workbench.reading.kinds import is_json
from workbench.reading.messages import messages_of
from workbench.reading.raised import RAISED, literals
from workbench.replay.fitting import MisfitError, fitted, mentions
from workbench.replay.recording.captured import COMMAND

UNTOLD = object()
"""Stands for what is not known with its types."""
STATE_FIELDS = ("content", "tool_calls", "invalid_tool_calls", "usage_metadata", "response_metadata", "additional_kwargs", "id", "name")
SAID = "_workbench_said"
"""Marks a class made for one recorded error."""


def recorded_messages(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """LangChain's messages as the model's values, by the same reading that recorded ones go through."""
    return messages_of([message.model_dump(mode="json") for message in messages]) or ()


def ai_message(interaction: Interaction) -> AIMessage:
    """The recorded answer of a model; the message in the state where that was found, for it has the metadata too."""
    if interaction.message is not None:
        return AIMessage(**{key: value for key in STATE_FIELDS if (value := interaction.message.get(key)) is not None})
    answer = Message.model_validate(interaction.result)
    calls = [
        {"name": call.name, "args": call.arguments or {}, "id": call.call_id or f"call-{interaction.step}-{number}", "type": "tool_call"}
        for number, call in enumerate(answer.tool_calls)
        if call.raw is None
    ]
    invalid = [
        {"name": call.name, "args": call.raw, "id": call.call_id, "error": None, "type": "invalid_tool_call"}
        for call in answer.tool_calls
        if call.raw is not None
    ]
    return AIMessage(content=answer.content, tool_calls=calls, invalid_tool_calls=invalid)


def tool_result(interaction: Interaction, tool: BaseTool, tool_call_id: str | None, returned: Any = UNTOLD) -> Any:
    """What the tool returned: its message as it stood in the state when the call came from a model, else the value. Raises what it raised.

    `returned` is what is known of it with its types: the message or the value.
    """
    message = interaction.message
    failed_message = message is not None and message.get("status") == "error"
    if interaction.error is not None and not (failed_message and tool_call_id):
        raise exception(interaction.error)
    if message is not None and tool_call_id:
        answer = ToolMessage(
            message["content"],
            name=message.get("name"),
            tool_call_id=tool_call_id,
            status=message.get("status") or "success",
            artifact=returned.artifact if isinstance(returned, ToolMessage) else message.get("artifact"),
            additional_kwargs=message.get("additional_kwargs") or {},
        )
        return paired(answer, tool)
    if isinstance(interaction.result, dict) and interaction.result.keys() == {COMMAND}:
        return command_of(interaction.result[COMMAND], interaction.call_id, tool_call_id)
    if isinstance(returned, ToolMessage):
        return paired(returned.model_copy(update={"tool_call_id": tool_call_id}) if tool_call_id else returned.content, tool)
    return paired(as_returned(interaction.result, tool) if returned is UNTOLD else returned, tool)


def described(result: Any) -> Json:
    """What a tool returned as recorders write it: a message's content, a Command's fields, anything else as it is."""
    if isinstance(result, BaseMessage):
        return result.content
    if isinstance(result, Command):
        goto = result.goto if isinstance(result.goto, list | tuple) else [result.goto]
        return {COMMAND: {"graph": result.graph, "update": _update(result.update), "resume": result.resume, "goto": [_addressed(one) for one in goto]}}
    is_output = isinstance(result, list) and result and all(isinstance(one, BaseMessage | Command) for one in result)
    return [described(one) for one in result] if is_output else result


def _update(update: Any) -> Json:
    if isinstance(update, dict):
        return {channel: _update(value) for channel, value in update.items()}
    if isinstance(update, list | tuple):
        return [_update(one) for one in update]
    return message_to_dict(update) if isinstance(update, BaseMessage) else update


def _addressed(target: Any) -> Json:
    return {"node": target.node, "arg": target.arg} if isinstance(target, Send) else target


def command_of(recorded: Json, was: str | None, now: str | None) -> Command[Any]:
    """A Command as a tool returned it. The message in it that answered the recorded call, whose id `was` this, answers the one that has its id `now`."""
    update = recorded["update"]
    if isinstance(update, dict):
        update = {channel: [_in_update(one, was, now) for one in value] if isinstance(value, list) else value for channel, value in update.items()}
    goto = recorded["goto"] if isinstance(recorded["goto"], list) else [recorded["goto"]]
    return Command(graph=recorded["graph"], update=update, resume=recorded["resume"], goto=[_target(one) for one in goto])


def _in_update(value: Json, was: str | None, now: str | None) -> Any:
    if not (isinstance(value, dict) and value.keys() == {"type", "data"} and isinstance(value["data"], dict)):
        return value
    (message,) = messages_from_dict([value])
    if isinstance(message, ToolMessage) and now and (message.tool_call_id == was if was else message.id is None):  # one with an id stood in the state before
        message.tool_call_id = now
    return message


def _target(recorded: Json) -> Any:
    return Send(recorded["node"], recorded.get("arg")) if isinstance(recorded, dict) and "node" in recorded else recorded


def as_returned(value: Json, tool: BaseTool) -> Any:
    """A result as this tool would return it, by what it is declared to return: text as text, a number as a number, JSON as what can be made of it."""
    declared = _declared(tool)
    if declared is str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    with contextlib.suppress(MisfitError):
        return value if declared is None else fitted(declared, json.loads(value) if isinstance(value, str) and is_json(value) else value, tool.name)
    return value


def is_told(value: Json, tool: BaseTool) -> bool:
    """Whether it is known what a tool returned whose span tells this: a text that is no JSON is nothing else, of any other the tool has to say what it is."""
    return (isinstance(value, str) and not is_json(value)) or _declared(tool) is not None


def _declared(tool: BaseTool) -> Any:
    """The type that a tool is declared to return; None where it declares none, or one that leaves open whether it is text, or that JSON can't tell."""
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or type(tool)._run  # noqa: SLF001  # what a tool's class declares
    try:
        hint = get_type_hints(inspect.unwrap(function)).get("return", Any)
    except (NameError, TypeError):
        return None  # an annotation that can't be resolved declares nothing we could go by
    if tool.response_format == "content_and_artifact":
        hint = next(iter(get_args(hint)), Any)
    either = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    return None if (len(either) > 1 and str in either) or {Any, object} & {*either} or mentions(hint, bytes) or mentions(hint, BaseMessage) else hint


def paired(value: Any, tool: BaseTool) -> Any:
    """What the tool's body returns for this result: tools of the format `content_and_artifact` return two things."""
    return (value, None) if tool.response_format == "content_and_artifact" else value


def exception(text: str) -> Exception:
    """The exception that a recorded error tells of, from `TimeoutError: no answer` or `TimeoutError('no answer')`, which says that of itself again."""
    found = RAISED.match(text)
    bare = found is not None and found["message"] is None and found["arguments"] is None
    if found is None or (bare and not found["type"].endswith(("Error", "Exception", "Timeout"))):
        return RuntimeError(text)
    kind = _known_class(found["type"]) or _look_alike(found["type"].rpartition(".")[2])
    if bare:
        return _unconstructed(kind, ())
    if found["message"] is None:
        return _saying(kind, literals(found["arguments"]), "__repr__", text)
    return _saying(kind, literals(found["message"]) if issubclass(kind, KeyError) else (found["message"],), "__str__", found["message"])


def _saying(kind: type[Exception], arguments: tuple[Any, ...], method: str, text: str) -> Exception:
    """An exception of this class with these arguments, which says this of itself, whatever its class makes of them."""
    raised = _unconstructed(kind, arguments)
    with contextlib.suppress(Exception):  # the method is the user's code
        if getattr(raised, method)() == text:
            return raised
    return _unconstructed(_said(kind, method, text), arguments)


def _said(kind: type[Exception], method: str, text: str) -> type[Exception]:
    """The class, but for what its exceptions say."""
    own = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind.__name__, (kind,), {**own, SAID: True, method: lambda _: text})


@cache
def _look_alike(name: str) -> type[Exception]:
    return type(name, (Exception,), {"__doc__": "Stands for a recorded error.", "__module__": __name__})


def _unconstructed(kind: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    """An exception made without its class's own constructor, which is the user's code and may want what the recording lacks."""
    made: Exception = kind.__new__(kind, *arguments)
    made.args = arguments
    return made


def _known_class(name: str) -> type[Exception] | None:
    """The one exception class of this name that is loaded; None when there is none, or several that could be meant."""
    plain = name.rpartition(".")[2]
    builtin = getattr(builtins, plain, None)
    if isinstance(builtin, type) and issubclass(builtin, Exception):
        return builtin
    loaded = {kind for kind in _subclasses(Exception) if kind.__name__ == plain and kind.__module__ != __name__ and SAID not in vars(kind)}
    exact = {kind for kind in loaded if f"{kind.__module__}.{kind.__qualname__}" == name}
    meant = exact or loaded
    return next(iter(meant)) if len(meant) == 1 else None


def _subclasses(kind: type[Exception]) -> set[type[Exception]]:
    found = set(kind.__subclasses__())
    return found.union(*(_subclasses(below) for below in found)) if found else found
