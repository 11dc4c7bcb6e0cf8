"""Chat logs: runs recorded as chat messages and nothing else, in OpenAI's format.

One run a line (`.jsonl`), a list of runs, or a single run (`.json`). A run is an object whose `messages` (or `traj`, `trajectory`, `history`) are
messages, or the bare list of them; beside them `run_id`, `conversation_id`, `agent`, `started_at`, `tools` and `metadata` are read, and what else
stands there is kept as metadata. A message's index is its step's, so every item keeps its place, also one that is no message.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator

from workbench.model import Conversation, Json, Message, Record, Skip, canonical, digest
from workbench.plugins import Example
from workbench.reading.documents import first_keys, json_documents
from workbench.reading.messages import fields_of, message_of, time_ns, tool_names, tool_schemas
from workbench.source import Source, SourceError

Fields = dict[str, Json]

MAX_CHARACTERS = 16 * 1024 * 1024
LISTS = ("messages", "traj", "trajectory", "history")
SPANS = frozenset({"resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "batches", "run_type", "dotted_order", "observations", "span_id", "spanId"})
"""Keys of span files and exports of runs, which may hold a list called like one of ours."""
EVENTS = (b'"eventId"', b'"EventId"', b'"EventType"', b'"groupID"')
"""Fields of a durable engine's events, whose list may be called `history` too."""
IDS = ("run_id", "id")
CONVERSATION_IDS = ("conversation_id", "thread_id", "session_id")
STARTS = ("started_at", "start_time", "timestamp")
OWN = frozenset({"run_id", "conversation_id", "agent", "started_at", "tools", "metadata"})


def accepts(source: Source) -> bool:
    """Whether the file begins like a run, a list of runs, or a list of messages."""
    keys = first_keys(source.head)
    bare = source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") and {"role", "content"} <= keys
    spans = any(key in SPANS and at in {"", "[]"} for at, key in source.outline)
    listed = keys & set(LISTS)
    engine = listed == {"history"} and any(name in source.head for name in EVENTS)
    return not spans and (bare or bool(listed)) and not engine


def collect(source: Source) -> Iterable[Record]:
    """A Conversation for each run, and a Skip for whatever is none. SourceError when the file as a whole can't be read."""
    for number, document in json_documents(source):
        place = f"{source.path}:{number}"
        if isinstance(document, SourceError):
            yield Skip(place=place, reason=str(document).removeprefix(f"{place}: "))
            continue
        for run in document if isinstance(document, list) and not _messages(document) else [document]:
            yield from _conversation(run, place)


def _conversation(run: Json, place: str) -> Iterator[Record]:
    fields: Fields = run if isinstance(run, dict) else {"messages": run}
    key = next((key for key in LISTS if _messages(fields.get(key))), None)
    if key is None:
        yield Skip(place=place, reason=f"no run: want an object with a list of messages under {', '.join(LISTS)}")
        return
    messages = tuple(message_of(item) or _speaker(item) for item in fields[key])
    told = tuple(message or _kept(item) for message, item in zip(messages, fields[key], strict=True))
    run_id = _named(fields, IDS) or digest(run)[:16]
    yield Conversation(
        run_id=run_id,
        conversation_id=_named(fields, CONVERSATION_IDS),
        agent=_named(fields, ("agent",)),
        started_ns=next((found for name in STARTS if (found := time_ns(fields.get(name))) is not None), None),
        messages=tuple(_bounded(message) for message in told),
        tools=tool_names(fields.get("tools")),
        schemas=tool_schemas(fields.get("tools")) or {},
        metadata=_metadata(fields, key),
    )
    for index in (index for index, message in enumerate(messages) if message is None):
        yield Skip(place=place, reason=f"run {run_id}, message {index}: no role and content, kept as text")
    for index, size in ((index, len(message.content)) for index, message in enumerate(told) if len(message.content) > MAX_CHARACTERS):
        yield Skip(place=place, reason=f"run {run_id}, message {index}: {size:,} characters cut to {MAX_CHARACTERS:,}")


def _bounded(message: Message) -> Message:
    """A message no longer than a span's attribute may be: a small compressed file can hold a gigabyte of one letter."""
    return message if len(message.content) <= MAX_CHARACTERS else message.model_copy(update={"content": message.content[:MAX_CHARACTERS]})


def _messages(value: Json) -> bool:
    """Whether a value is a list of messages, going by its first item."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and (fields_of(first) is not None or _speaker(first) is not None)


def _speaker(item: Json) -> Message | None:
    """A message of a log of several agents, in which the role is the speaker's name: `Orchestrator (-> WebSurfer)` is Orchestrator speaking."""
    if not isinstance(item, dict) or not isinstance(item.get("role"), str) or "content" not in item:
        return None
    name = item["role"].partition(" (")[0]
    return message_of({**item, "role": "tool" if name.lower().endswith("terminal") else "assistant", "name": item.get("name") or name})


def _kept(item: Json) -> Message:
    return Message(role="system", content=canonical(item), error="no message: it has no role and content")


def _named(fields: Fields, keys: tuple[str, ...]) -> str | None:
    """The first of these keys that holds a name or a number, as text."""
    found = (fields.get(key) for key in keys)
    return next((str(value) for value in found if isinstance(value, str | int) and not isinstance(value, bool) and value != ""), None)


def _metadata(fields: Fields, messages: str) -> Fields:
    """The run's own metadata, and the fields that have no place in a Conversation."""
    own = fields.get("metadata")
    rest = {key: value for key, value in fields.items() if key not in OWN and key != messages and value is not None}
    return {**rest, **own} if isinstance(own, dict) else rest


_RUN: Fields = {
    "run_id": "example",
    "started_at": "2026-03-01T09:00:00",
    "messages": [
        {"role": "user", "content": "Book NH 11"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "book_flight", "arguments": '{"flight": "NH 11"}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "booked"},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
    ],
}
_SPOKEN: Fields = {"history": [{"role": "human", "content": "Who?"}, {"role": "Orchestrator (thought)", "content": "I ask."}, None]}

EXAMPLES = (
    Example("runs.jsonl", (json.dumps(_RUN) + "\n" + json.dumps(_SPOKEN) + "\n").encode(), {"Conversation": 2, "Skip": 1}),
    Example("runs.json.gz", gzip.compress(json.dumps([_RUN, _RUN], indent=1).encode(), mtime=0), {"Conversation": 2}),
    Example("run.json", json.dumps(_RUN).encode(), {"Conversation": 1}),
    Example("bare.json", json.dumps(_RUN["messages"]).encode(), {"Conversation": 1}),
    Example("half-broken.jsonl", json.dumps(_RUN).encode() + b'\n{"messages": [{"role"\n[]\n' + json.dumps(_RUN).encode(), {"Conversation": 2, "Skip": 1}),
)
