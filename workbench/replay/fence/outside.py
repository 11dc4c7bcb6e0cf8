"""The process in which approved live calls are made: `python -m workbench.replay.fence.outside GRAPH`. It is not shut in, and knows the user's keys.

It loads the user's own graph, as production does, and calls the tools and models that were made then, each when it is asked to: the re-run itself
never gets a network. What it is asked with are plain values, and what the graph injects into a tool, decoded strictly (`workbench.replay.fence.injected`).
"""

from __future__ import annotations

import gc
import json
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.analysis.effects import IDEMPOTENCY_KEYS
from workbench.model import Json
from workbench.replay import channel

if TYPE_CHECKING:
    from workbench.replay.fence.injected import Crossing

TRANSIENT = ("Timeout", "ConnectionError", "ConnectError", "ReadError", "RateLimit", "Overloaded", "InternalServer", "ServiceUnavailable", "RemoteProtocol")
"""Parts of the names of errors that may be gone the next time, in the libraries that agents call with."""
RETRIED_STATUS = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))


class OutsideError(LookupError):
    """A tool or model that isn't there, or can't be called from here. The message says which there are."""


def main(graph: str) -> int:
    """Load the graph, then answer one question after the other until there are no more."""
    line = channel.take_over()

    from workbench.replay.fence import graphs  # noqa: PLC0415  # langgraph takes a second, and what loading prints must not be taken for a reply
    from workbench.replay.protocol import START, Start  # noqa: PLC0415  # as above

    try:
        loaded = graphs.load(graph, Start.model_validate_json(os.environ.pop(START, "{}")))
    except graphs.GraphError as error:
        channel.listen(line, lambda _, why=str(error): {"refused": why})  # type: ignore[misc]  # bound now, since `error` is gone later
        return 0
    from workbench.replay.fence.injected import Crossing  # noqa: PLC0415  # as above

    crossing = Crossing.of(loaded)
    channel.listen(line, lambda said: answer(said[channel.ASK], crossing))
    del loaded  # its tools and models must have been alive until here
    return 0


def answer(question: Json, crossing: Crossing) -> Json:
    """Make one call, or only look whether it could be. Gives `value` or `error`, with `transient` where another try may do, `refused` where it can't be."""
    try:
        if question.get("only_check"):
            _find(question, crossing)
            return {}
        return {"value": _tool(question, crossing) if question["kind"] == "tool" else _model(question)}
    except OutsideError as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001  # whatever the tool raises is its answer
        return {"error": f"{type(error).__name__}: {error}", "transient": is_transient(error)}


def is_transient(error: BaseException) -> bool:
    """Whether a call that failed so may do the next time: time-outs, lost connections, and what servers ask to try again."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status in RETRIED_STATUS
    names = [kind.__name__ for kind in type(error).__mro__]
    return any(part in name for name in names for part in TRANSIENT)


@cache  # found before the first call, which may leave copies behind
def _the_one(kind: type, what: str, name: str) -> Any:
    """The object of this kind and name that loading the graph has made. OutsideError when there is none, or several that differ."""
    every = [one for one in gc.get_objects() if isinstance(one, kind)]  # where in a graph a tool or model is kept is the user's own affair
    found: list[Any] = []
    for one in every:
        if name_of(one) == name and not any(one is other or one == other for other in found):
            found.append(one)
    if not found:
        names = ", ".join(sorted({name_of(one) for one in every})) or "none"
        raise OutsideError(f"no {what} {name!r} exists once the graph is loaded; there are: {names}. Make it where the module is loaded, not inside a node")
    if len(found) > 1:
        raise OutsideError(f"{len(found)} different objects are {what} {name!r}, so it can't be told which is meant")
    return found[0]


def name_of(one: Any) -> str:
    """What a tool or chat model is called."""
    from workbench.replay.fence.alterations import model_name  # noqa: PLC0415  # as in main

    return model_name(one) if hasattr(one, "_llm_type") else str(one.name)


def _find(question: Json, crossing: Crossing) -> None:
    """Find what a call is to be made of. OutsideError where that can't be."""
    if question["kind"] == "tool":
        _injected(_tool_named(question["name"]), question, crossing)
    else:
        _model_named(question["made_as"])


def _tool_named(name: str) -> Any:
    from langchain_core.tools import BaseTool  # noqa: PLC0415  # as in main

    return _the_one(BaseTool, "tool", name)


def _model_named(name: str) -> Any:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415  # as in main

    return _the_one(BaseChatModel, "model", name)


def _tool(question: Json, crossing: Crossing) -> Json:
    tool = _tool_named(question["name"])
    tool = tool.model_copy(update={"handle_tool_error": False})  # an error is told as one; the copy inside handles it as the agent would
    injected, config = _injected(tool, question, crossing)
    given = {**with_key(tool, question["arguments"], question["idempotency_key"]), **injected}
    whole = tool.response_format == "content_and_artifact"
    if whole or (injected and question["call_id"]):
        given = {"name": tool.name, "args": given, "id": question["call_id"] or "live", "type": "tool_call"}
    config["metadata"] = {**config.get("metadata", {}), "idempotency_key": question["idempotency_key"]}
    return _returned(_run(tool, given, config), crossing)


def _injected(tool: Any, question: Json, crossing: Crossing) -> tuple[dict[str, Any], Any]:
    """What the graph fills in, and the config. OutsideError where either is nothing that it fills in, or is given as an argument of the model's."""
    from workbench.replay.fence.injected import CantCrossError, names_of  # noqa: PLC0415  # as in main
    from workbench.replay.protocol import Packed  # noqa: PLC0415

    try:
        injected, config = crossing.unpack(tool, {name: Packed.model_validate(one) for name, one in question["injected"].items()})
    except CantCrossError as error:
        raise OutsideError(f"{tool.name}: {error}") from error
    if given := sorted(names_of(tool) & set(question["arguments"])):
        raise OutsideError(f"{tool.name}: the graph fills in {', '.join(given)}, so no model's call can")
    return injected, config


def _returned(result: Any, crossing: Crossing) -> Json:
    """What a tool returned: its content as JSON, and the very value, packed, where JSON doesn't hold it; a note where nothing does."""
    from workbench.replay.fence.answers import described  # noqa: PLC0415  # as in main

    shown, artifact = described(result), getattr(result, "artifact", None)
    told = json.loads(json.dumps({"content": shown, "artifact": artifact}, default=str))
    if shown is result and told["content"] == result:
        return told
    packed = crossing.returned(result)
    return told | ({"packed": packed} if packed else {"note": f"what it returned holds a {crossing.strange(result)}: its text was handed on"})


def _run(tool: Any, given: Json, config: Any) -> Any:
    import asyncio  # noqa: PLC0415  # only a tool without a synchronous body needs it

    lone = getattr(tool, "func", tool) is None and getattr(tool, "coroutine", None) is not None
    return asyncio.run(tool.ainvoke(given, config)) if lone else tool.invoke(given, config)


def key_argument(tool: Any) -> str | None:
    """The argument in which a tool takes an idempotency key."""
    return next((name for name in tool.args if IDEMPOTENCY_KEYS.match(name)), None)


def with_key(tool: Any, arguments: dict[str, Json], key: str) -> dict[str, Json]:
    """The arguments with the idempotency key, where the tool takes one and was given none."""
    name = key_argument(tool)
    return {**arguments, name: key} if name and key and not arguments.get(name) else arguments


def _model(question: Json) -> Json:
    from langchain_core.messages import messages_from_dict  # noqa: PLC0415  # as in main

    from workbench.replay.fence.alterations import Alterations  # noqa: PLC0415
    from workbench.replay.protocol import Alteration  # noqa: PLC0415

    model = Alterations(Alteration(settings=question["settings"])).model(_model_named(question["made_as"]), "")
    answered = model.invoke(messages_from_dict(question["messages"]), stop=question["stop"], **question["options"])
    return answered.model_dump(mode="json")


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # threads that a client left behind must not keep the process
