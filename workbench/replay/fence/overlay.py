"""A changed state: values put into the checkpoint at the cut; and the reading of states in general, which decodes no type but the graph's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

from langchain_core.messages import BaseMessage, convert_to_messages
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.pregel import Pregel

from workbench.model import Json, digest
from workbench.replay.fence.alterations import edited_message
from workbench.replay.fence.answers import recorded_messages
from workbench.replay.fence.graphs import GraphError, data_types, inner_graphs
from workbench.replay.fence.tuples import Tuples
from workbench.replay.fitting import MisfitError, fits, fitted, mentions
from workbench.replay.nearest import instead
from workbench.replay.protocol import MessageEdit, Request
from workbench.replay.recording.cassette import canonical_messages
from workbench.replay.recording.tasks import written_channels
from workbench.replay.shapes import shown

Graph = Pregel[Any, Any, Any, Any]
OVERLAYS = ("LastValue", "BinaryOperatorAggregate", "EphemeralValue", "AnyValue", "LastValueAfterFinish", "UntrackedValue", "Topic")
"""Channels whose value stands in one checkpoint as a whole."""


def serializer_of(graph: Graph) -> JsonPlusSerializer:
    """A strict serializer: of types that LangGraph does not know it decodes those alone that the schemas of the graph and its subgraphs name.

    And those that the graph's own package defines as data, such as the schema of a structured response.
    """
    allowed: set[tuple[str, ...]] = {*data_types()}
    for one in (graph, *inner_graphs(graph).values()):
        allowed |= getattr(one, "_serde_allowlist", None) or set()
    return Serializer(Tuples.of(graph)).with_msgpack_allowlist(allowed)


class Serializer(JsonPlusSerializer):
    """LangGraph's own, which reads the states of checkpoints with the tuples that the graph's schema names."""

    def __init__(self, tuples: Tuples) -> None:
        super().__init__(allowed_msgpack_modules=())
        self.tuples = tuples

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """A value, or a checkpoint."""
        found = super().loads_typed(data)
        if isinstance(found, dict) and {"channel_values", "channel_versions"} <= found.keys():
            found["channel_values"] = {name: self.tuples.given(name, value) for name, value in found["channel_values"].items()}
        return found


@contextlib.contextmanager
def decoding() -> Iterator[list[str]]:
    """A list that fills, meanwhile, with the names of types that values hold and that are left undecoded."""
    names: list[str] = []

    def listen(event: SerdeEvent) -> None:
        name = f"{event['module']}.{event['name']}"
        if event["kind"].endswith("blocked") and name not in names:
            names.append(name)

    forget = register_serde_event_listener(listen)
    try:
        yield names
    finally:
        forget()


def recorded_channels(graph: Graph, request: Request) -> dict[str, set[str]]:
    """The channels that hold a value where the re-run starts, and those that recorded writes which may be served go to.

    By the graph: "" for the root, else the nodes that lead to a subgraph, joined with `|`.
    """
    with contextlib.closing(sqlite3.connect(request.database)) as database:
        newest = "SELECT type, checkpoint FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1"
        row = database.execute(newest, (request.run_id,)).fetchone()
    found = {"": set() if row is None else set(serializer_of(graph).loads_typed(row)["channel_values"])}
    for path, channels in ({} if not request.recorded or "*" in request.execute else written_channels(Path(request.recorded))).items():
        found[path] = found.get(path, set()) | channels
    return found


def overlay(graph: Graph, request: Request, values: Mapping[str, Json]) -> None:
    """Put values into the checkpoint at the cut itself.

    Not `update_state`: that would run the graph's routing functions, could choose another next node, and would send each value through the
    channel's reducer. So the same tasks run again, on what was asked for. GraphError for a channel that the state doesn't have.
    """

    def put(held: dict[str, Any], versions: dict[str, Any]) -> bool:
        for name, value in values.items():
            held[name] = _fitting(_channel(graph, request.cut[0], name, held), name, value, held.get(name))
            versions.setdefault(name, max(versions.values(), default=1))
        return True

    _rewrite(graph, request, put)


def replace_message(graph: Graph, request: Request, edit: MessageEdit) -> bool:
    """Put another content into a message of the state at the cut, wherever its channel holds it; False where the state doesn't hold it."""

    def put(held: dict[str, Any], _: dict[str, Any]) -> bool:
        for name, value in held.items():
            messages = value if isinstance(value, list) and all(isinstance(one, BaseMessage) for one in value) else []
            same = [number for number, one in enumerate(messages) if digest(canonical_messages(recorded_messages([one]))) == edit.sha256]
            if edit.occurrence < len(same):
                place = same[edit.occurrence]
                held[name] = [*messages[:place], edited_message(messages[place], edit.fields), *messages[place + 1 :]]
                return True
        return False

    return _rewrite(graph, request, put)


def _rewrite(graph: Graph, request: Request, put: Callable[[dict[str, Any], dict[str, Any]], bool]) -> bool:
    """Change the values of the checkpoint at the cut, given them and their versions, where `put` says that it did. GraphError where types would be lost."""
    namespace, checkpoint_id = request.cut
    serializer = serializer_of(graph)
    with decoding() as lost, contextlib.closing(sqlite3.connect(request.database)) as database, database:
        where = "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"
        row = database.execute(f"SELECT type, checkpoint FROM checkpoints {where}", (request.run_id, namespace, checkpoint_id)).fetchone()  # noqa: S608  # constant text
        checkpoint = serializer.loads_typed(row)
        if not put(checkpoint["channel_values"], checkpoint["channel_versions"]):
            return False
        if lost:
            raise GraphError(f"the state holds {', '.join(lost)}, which the graph's schema does not name: they would be lost if it were changed")
        changed = (*serializer.dumps_typed(checkpoint), request.run_id, namespace, checkpoint_id)
        database.execute(f"UPDATE checkpoints SET type = ?, checkpoint = ? {where}", changed)  # noqa: S608  # constant text
    return True


def _channel(graph: Graph, namespace: str, name: str, held: dict[str, Any]) -> Any:
    """The channel of this name in the graph that the namespace stands for."""
    path = "|".join(part.partition(":")[0] for part in namespace.split("|"))
    inner = inner_graphs(graph).get(path, graph)
    known = {one for one in {*inner.channels, *held} if not one.startswith(("branch:", "__"))}
    if name not in known:
        raise GraphError(f"the state has no channel {name!r}{instead(name, sorted(known))}")
    return inner.channels.get(name)


def _fitting(channel: Any, name: str, value: Json, before: Any) -> Any:
    """The value as the channel holds it: chat messages as messages, anything else as the type that the graph's schema names.

    GraphError where it has another type, but where what was recorded has that too: then the schema says nothing.
    """
    kind = type(channel).__name__
    if channel is not None and kind not in OVERLAYS:
        raise GraphError(f"the channel {name!r} is a {kind}, whose value is spread over many checkpoints: it can't be changed in one")
    hint, reducer = getattr(channel, "ValueType", Any), getattr(getattr(channel, "operator", None), "__name__", "")
    held = isinstance(before, list) and any(isinstance(one, BaseMessage) for one in before)
    many = get_origin(hint) in (list, Sequence)
    if held or reducer in ("add_messages", "_add_messages") or (many and mentions(hint, BaseMessage)):
        return _messages(name, value)
    if mentions(hint, BaseMessage):
        return value  # a lone message, which has many forms
    if before is not None and not fits(hint, before):
        return value
    try:
        return fitted(hint, value, f"the channel {name!r}")
    except MisfitError as error:
        raise GraphError(f"the state given does not fit the graph's: {error}") from None


def _messages(name: str, value: Json) -> list[BaseMessage]:
    """Chat messages, each as text, as role and text, or as an object. GraphError where some are none."""
    says = f'the state given does not fit the graph\'s: the channel {name!r} should be a list of messages such as {{"role": "user", "content": "…"}}'
    if not isinstance(value, list):
        raise GraphError(f"{says}, and is {shown(value)}")
    if wrong := [one for one in value if not _is_message(one)]:
        raise GraphError(f"{says}, and holds {shown(wrong[0])}")
    return convert_to_messages(value)


def _is_message(value: Json) -> bool:
    try:
        convert_to_messages([value])
    except (ValueError, TypeError, NotImplementedError):
        return False
    return True
