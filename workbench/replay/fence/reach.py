"""Inside the sandbox, the end of what goes live outside it: a call is asked for over the line, and what comes back is handed to the agent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage, message_to_dict
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import ensure_config
from langchain_core.tools import BaseTool

from workbench.model import EffectClass, Json
from workbench.replay.channel import ChannelError, Line
from workbench.replay.fence.alterations import model_name
from workbench.replay.fence.answers import command_of, exception
from workbench.replay.fence.injected import CantCrossError, Crossing
from workbench.replay.fence.journal import Seen
from workbench.replay.recording.captured import unwrapped
from workbench.replay.recording.states import StateAsked
from workbench.replay.recording.tape import Divergence

if TYPE_CHECKING:
    from workbench.replay.fence.playback import Playback

DECLARED = "effect"
"""The key in a LangChain tool's metadata that says what calling it does: read-only, idempotent or effect."""


@dataclass
class Reach:
    """What is live outside: names such as `tool:book` and `model:gpt-5`."""

    line: Line | None = None
    names: frozenset[str] = frozenset()
    settings: Mapping[str, Json] = field(default_factory=dict)
    crossing: Crossing | None = None
    """How what the graph injects gets out, and what a tool returns gets in."""

    def takes(self, kind: str, name: str) -> bool:
        """Whether calls of this name go out."""
        return f"{kind}:{name}" in self.names

    def ask(self, now: Playback, seen: Seen, question: dict[str, Json]) -> Json:
        """Have a call made outside. Raises Divergence where it is refused, and what the call raised."""
        place = {"kind": seen.call.kind, "name": seen.call.name, "node_path": seen.call.node_path, "place": seen.place, "nth": now.journal.count(seen)}
        if self.line is None:
            raise now.halt(seen, Divergence(f"{seen.call} can't go live: nobody listens"))
        try:
            reply = self.line.ask(place | question)
        except ChannelError as error:
            raise now.halt(seen, Divergence(str(error))) from None
        if "refused" in reply:
            raise self._refused(now, seen, reply)
        return reply

    def state_then(self, step: int, channels: Iterable[str]) -> dict[str, Json] | None:
        """What these channels held where a recorded step began; None where nobody knows."""
        if self.line is None:
            return None
        with suppress(ChannelError):
            held = self.line.ask(StateAsked(step=step, channels=tuple(sorted(channels))).model_dump()).get("held")
            return held if isinstance(held, dict) else None
        return None

    @staticmethod
    def _refused(now: Playback, seen: Seen, reply: Json) -> Divergence:
        """The divergence to raise where a call is not made, or not again. A model's that was made before is a live one, any other never went out."""
        tried = reply.get("tried")
        if seen.call.kind == "model" and tried:
            now.journal.note(seen, "live", says=f"it was asked, and failed: {tried}", error=tried)
        elif seen.call.kind == "model":
            now.meter.not_called()
        return now.halt(seen, Divergence(f"{seen.call} did not go live{' again' if tried else ''}: {reply['refused']}"))

    def tool(self, now: Playback, tool: BaseTool, seen: Seen, tool_call_id: str | None, given: Any) -> Any:
        """Call a tool outside with what it was `given`, injected arguments included, and return what its body would have."""
        now.free(seen)
        about = {"arguments": seen.call.arguments, "call_id": tool_call_id, "declared": seen.declared, "takes_key": _takes_key(tool)}
        reply = self.ask(now, seen, about | {"injected": self._injected(now, tool, seen, given)})
        answer: Literal["served", "live"] = "served" if reply.get("again") else "live"
        if "error" in reply:
            raised = exception(reply["error"])
            now.journal.note(seen, answer, says=reply.get("says", ""), error=raised)
            raise raised
        value = reply["value"]
        now.journal.note(seen, answer, says=reply.get("says", ""), output=unwrapped(value["content"]))
        return self._came(tool, value, tool_call_id)

    def _injected(self, now: Playback, tool: BaseTool, seen: Seen, given: Any) -> dict[str, Json]:
        """What the graph injects into a call, as it crosses. Raises Divergence for what can't."""
        if self.crossing is None:
            return {}
        try:
            return {name: one.model_dump(mode="json") for name, one in self.crossing.pack(tool, given, ensure_config()).items()}
        except CantCrossError as error:
            raise now.halt(seen, Divergence(f"{seen.call} can't go live: {error}")) from None

    def _came(self, tool: BaseTool, value: dict[str, Json], tool_call_id: str | None) -> Any:
        """What the body of a tool would have returned, from what came back: exactly that where it crossed, else its content as JSON."""
        content, artifact = value["content"], value.get("artifact")
        packed = value.get("packed")
        result = self.crossing.received(packed) if packed and self.crossing else None
        if result is None and unwrapped(content) is not content:
            result = command_of(unwrapped(content), tool_call_id, tool_call_id)
        if tool.response_format != "content_and_artifact":
            return content if result is None else result
        return (result.content, result.artifact) if isinstance(result, ToolMessage) else (content if result is None else result, artifact)

    def model(self, now: Playback, model: BaseChatModel, original: BaseChatModel, seen: Seen) -> BaseChatModel:
        """A model that thinks outside where this one is to, else this one."""
        if not (self.takes("model", model_name(model)) or self.takes("model", model_name(original))):
            return model
        return _Outside(reach=self, now=now, seen=seen, made_as=model_name(original))


def declared(tool: BaseTool) -> str | None:
    """What a tool's metadata says that calling it does; None where it says nothing that is understood."""
    said = (tool.metadata or {}).get(DECLARED)
    return said if said in get_args(EffectClass) else None


def _takes_key(tool: BaseTool) -> bool:
    from workbench.replay.fence.outside import key_argument  # noqa: PLC0415  # the same question as there

    return key_argument(tool) is not None


class _Outside(BaseChatModel):
    """Stands for a model whose calls are made outside."""

    reach: Any
    now: Any
    seen: Any
    made_as: str

    @property
    def _llm_type(self) -> str:
        return "workbench-outside"

    def _ask(self, messages: list[BaseMessage], stop: Any, options: dict[str, Any]) -> AIMessage:
        question = {"made_as": self.made_as, "settings": dict(self.reach.settings), "messages": [message_to_dict(one) for one in messages], "stop": stop}
        reply = self.reach.ask(self.now, self.seen, question | {"options": options})
        if "error" in reply:
            raise exception(reply["error"])
        return AIMessage(**{key: value for key, value in reply["value"].items() if key != "type"})

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._ask(messages, stop, options))])

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[ChatGenerationChunk]:
        message = self._ask(messages, stop, options)
        yield chunk_of(message)


def chunk_of(message: AIMessage) -> ChatGenerationChunk:
    """A whole answer as the one chunk of a stream."""
    fields = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    calls = [
        {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": n, "type": "tool_call_chunk"}
        for n, call in enumerate(message.tool_calls)
    ]
    return ChatGenerationChunk(message=AIMessageChunk(**fields, tool_call_chunks=calls, chunk_position="last"))
