"""Inside the sandbox, the end of what goes live outside it: a call is asked for over the line, and what comes back is handed to the agent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_to_dict
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool

from workbench.model import EffectClass, Json
from workbench.replay.alterations import model_name
from workbench.replay.answers import exception, paired
from workbench.replay.cassette import Divergence
from workbench.replay.channel import ChannelError, Line
from workbench.replay.journal import Seen

if TYPE_CHECKING:
    from workbench.replay.playback import Playback

DECLARED = "effect"
"""The key in a LangChain tool's metadata that says what calling it does: read-only, idempotent or effect."""


@dataclass
class Reach:
    """What is live outside: names such as `tool:book` and `model:gpt-5`."""

    line: Line | None = None
    names: frozenset[str] = frozenset()
    settings: Mapping[str, Json] = field(default_factory=dict)

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
            raise now.halt(seen, Divergence(f"{seen.call} did not go live: {reply['refused']}"))
        return reply

    def tool(self, now: Playback, tool: BaseTool, seen: Seen, tool_call_id: str | None) -> Any:
        """Call a tool outside, and return what its body would have."""
        now.free()
        if injected := sorted(tool._injected_args_keys):  # noqa: SLF001  # LangChain's own account of what the graph puts in
            raise now.halt(seen, Divergence(f"{seen.call} can't go live: the graph injects {', '.join(injected)}, which can't leave its process"))
        reply = self.ask(now, seen, {"arguments": seen.call.arguments, "call_id": tool_call_id, "declared": seen.declared, "takes_key": _takes_key(tool)})
        answer: Literal["served", "live"] = "served" if reply.get("again") else "live"
        if "error" in reply:
            raised = exception(reply["error"])
            now.journal.note(seen, answer, says=reply.get("says", ""), error=raised)
            raise raised
        content = reply["value"]["content"]
        now.journal.note(seen, answer, says=reply.get("says", ""), output=content)
        return (content, reply["value"].get("artifact")) if tool.response_format == "content_and_artifact" else paired(content, tool)

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
    from workbench.replay.outside import key_argument  # noqa: PLC0415  # the same question as there

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
