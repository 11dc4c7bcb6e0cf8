"""Recorded answers whole and with their types, where a span's text is less: as our recorder wrote them down, or as their task wrote them to the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command, Send

from workbench.model import Interaction, Json, canonical
from workbench.reading import kinds
from workbench.reading.serde import UndecodedError, unpack
from workbench.replay.fence.answers import UNTOLD, is_told
from workbench.replay.fence.overlay import decoding
from workbench.replay.recording.tape import Divergence

if TYPE_CHECKING:
    from workbench.replay.fence.journal import Seen
    from workbench.replay.fence.playback import Playback

PLAIN = frozenset((dict, list, str, int, float, bool, type(None)))
T = TypeVar("T")


def returned(now: Playback, seen: Seen, interaction: Interaction) -> Any:
    """What a call returned, with its types; UNTOLD where nobody wrote that down.

    Of a type that can't be made here, it is plain data while the re-run is on course, where what the node wrote then is served. Off it, it halts.
    """
    known = interaction.returned
    if interaction.step == now.edited or not {"value", "lost"} & known.keys():
        return UNTOLD
    value, lost = (UNTOLD, [str(known["lost"])]) if "lost" in known else _made(now, known["value"])
    if lost and not now.on_course and not {seen.call.name, seen.call.kind} & now.tape.stale:
        why = f"what it returned then was or held a {', '.join(lost)}, which can't be made again here"
        raise now.halt(seen, Divergence(f"{seen.call}: {why}: {_instead(seen)}"))
    return value


def _instead(seen: Seen) -> str:
    name = seen.call.name
    put = "put a result in its place (tool_result=…, --tool-result), or " if seen.call.kind == "tool" else ""
    return f"{put}serve what is known of it as plain data (stale={[name]}, --serve-stale {name})"


def _made(now: Playback, told: Json) -> tuple[Any, list[str]]:
    """A value that was told with its types, and the names of those that it could not be made of: of the user's own, the graph's schema has to name them."""
    crossing, lost = now.reach.crossing, list[str]()
    if crossing is None:
        return UNTOLD, lost

    def opened(packed: bytes) -> Any:
        value, content = crossing.serializer.loads_typed(("msgpack", packed)), unpack(unpack(packed).data)
        if type(value) in PLAIN and isinstance(content, list):
            lost.append(".".join(map(str, content[:2])))
        return value

    with decoding() as names:
        try:
            value = kinds.made(told, opened)
        except (UndecodedError, TypeError, ValueError) as error:
            return UNTOLD, [f"value that can't be read ({error})"]
    return value, list(dict.fromkeys([*lost, *names]))


def untold(now: Playback, tool: BaseTool, interaction: Interaction, tool_call_id: str | None) -> str:
    """What of a tool's answer is not known although something hangs on it, in words; empty for nothing, and on course, where nothing does."""
    if now.on_course or interaction.step == now.edited or interaction.error or interaction.message or interaction.returned:
        return ""
    if tool_call_id and tool.response_format == "content_and_artifact":
        return "its artifact was not recorded"
    return "" if is_told(interaction.result, tool) else "whether it returned text or what that says was not recorded"


def message(now: Playback, interaction: Interaction) -> ToolMessage | None:
    """The message of a tool as its task wrote it to the state; None where it wrote none."""
    return next((one for one in _wrote(now, interaction, ToolMessage) if interaction.call_id and one.tool_call_id == interaction.call_id), None)


def document(now: Playback, interaction: Interaction, told: Document) -> Document:
    """A document as the task that retrieved it wrote it to the state, ids and types included; as its span tells it where it wrote no such."""
    same = (one for one in _wrote(now, interaction, Document) if one.page_content == told.page_content and canonical(one.metadata) == canonical(told.metadata))
    return next(same, told)


def _wrote(now: Playback, interaction: Interaction, kind: type[T]) -> Iterator[T]:
    """The values of this type in what the task of a recorded call wrote."""
    if now.nodes is not None and interaction.task_id is not None:
        for value in now.nodes.wrote(interaction.task_id):
            yield from _within(value, kind)


def _within(value: Any, kind: type[T]) -> Iterator[T]:
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Command):
        yield from _within(value.update, kind)
    elif isinstance(value, Send):
        yield from _within(value.arg, kind)
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _within(one, kind)
