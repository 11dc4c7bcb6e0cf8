"""The fence: every call of a tool or chat model in this process is answered from the tape, edited, let through to a live model, or halted.

The public entry points of langchain-core's base classes are patched. Each call runs on a shallow twin of the tool or model whose private
method is replaced, so that callbacks, validation, formatting and streaming stay as they are.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool

from workbench.model import Cassette, Interaction
from workbench.replay.fence import answers, nodes
from workbench.replay.fence.journal import Journal
from workbench.replay.fence.model_twins import model_twin
from workbench.replay.fence.playback import TWIN, FenceError, Playback, guarded, play
from workbench.replay.fence.services import Web, embedded, retriever_twin
from workbench.replay.fence.tool_twins import tool_twin
from workbench.replay.recording.cassette import canonical_messages
from workbench.replay.recording.tape import Tape
from workbench.taps import threads, vectors, wire

TOOL_METHODS = ("run", "arun")
MODEL_METHODS = ("generate", "agenerate", "stream", "astream", "_chat_model_stream_v3", "_achat_model_stream_v3")
RETRIEVER_METHODS = ("invoke", "ainvoke")


def put_up(new: Playback) -> None:
    """Patch langchain-core for good and let this re-run answer. A second call only changes what plays."""
    play(new)
    for owner, names, enter in (
        (BaseTool, TOOL_METHODS, tool_twin),
        (BaseChatModel, MODEL_METHODS, model_twin),
        (BaseRetriever, RETRIEVER_METHODS, retriever_twin),
    ):
        for name in names:
            original = getattr(owner, name, None)
            if original is None:
                raise FenceError(f"langchain-core has no {owner.__name__}.{name} any more")
            if not hasattr(original, TWIN):
                setattr(owner, name, _patched(original, enter))
    try:
        wire.listen(Web())
        nodes.put_up(new.nodes)
    except LookupError as error:
        raise FenceError(str(error)) from None
    vectors.listen(embedded)
    threads.begin()


def overridden() -> list[str]:
    """Loaded tools and models that bypass the patched methods by having their own."""
    found = []
    for owner, names in ((BaseTool, TOOL_METHODS), (BaseChatModel, MODEL_METHODS)):
        found += [f"{kind.__module__}.{kind.__qualname__}.{name}" for kind in _below(owner) for name in names if name in vars(kind)]
    return sorted(found)


def _below(kind: type) -> set[type]:
    found: set[type] = set(kind.__subclasses__())
    return found.union(*(_below(one) for one in found)) if found else found


def _patched(original: Callable[..., Any], enter: Callable[..., Any]) -> Callable[..., Any]:
    """The method, called on a twin. It is no coroutine or generator itself: what the original returns is handed on."""
    named = [one.name for one in inspect.signature(original).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if TWIN in vars(self):
            return original(self, *args, **kwargs)
        bound = dict(zip(named, (self, *args), strict=False)) | kwargs  # what `inspect` would say of a call that is right; it takes longer
        with guarded(f"{type(self).__name__}.{original.__name__}"):
            twin = enter(self, bound)
        return original(twin, *args, **kwargs)

    setattr(call, TWIN, original)
    return call


# ---- proof that it stands


class _ProbeTool(BaseTool):
    name: str = "workbench_probe"
    description: str = "Must never run."

    def _run(self, **_: Any) -> str:
        raise FenceError("a tool's body ran behind the fence")


class _ProbeModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "workbench-probe"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        raise FenceError("a model's body ran behind the fence")


def prove() -> None:
    """Call a tool and a model that must not run, in every way there is. FenceError when one does, or when the fence did not see a call."""
    asked = canonical_messages(answers.recorded_messages([HumanMessage("probe")]))
    tool, model = _ProbeTool(), _ProbeModel()
    recorded = [Interaction(kind="tool", name=tool.name, node_path="", arguments={}, result="recorded", step=step) for step in (0, 1)]
    recorded.append(Interaction(kind="model", name="probe", node_path="", arguments=asked, result={"role": "assistant", "content": "recorded"}, step=2))
    journal = Journal("probe")
    put_up(Playback(Tape(Cassette(run_id="probe", interactions=tuple(recorded))), journal))

    async def later() -> list[Any]:
        streamed = [chunk.text async for chunk in model.astream("probe")]
        return [await tool.ainvoke({}), (await model.ainvoke("probe")).text, "".join(streamed)]

    heard = [tool.invoke({}), model.invoke("probe").text, "".join(chunk.text for chunk in model.stream("probe")), *asyncio.run(later())]
    if heard != ["recorded"] * 6 or len(journal.records) != len(heard):
        raise FenceError(f"langchain-core's hooks moved: probes got {heard}, the fence saw {len(journal.records)} of {len(heard)} calls")
    if (seen := nodes.probe()) != len(nodes.HOOKS):
        raise FenceError(f"langgraph's task runner moved: of {len(nodes.HOOKS)} probes the fence saw {seen}")
    if strays := [name for name in overridden() if not name.startswith("langchain_core.")]:
        raise FenceError(f"these replace the methods that the fence patches, so their calls would pass it: {', '.join(strays)}")
