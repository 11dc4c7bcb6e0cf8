"""The full state of one checkpoint: its channel values, with the DeltaChannels that it leaves out rebuilt from the checkpoints before it."""

from __future__ import annotations

from workbench.model import Json
from workbench.reading import serde
from workbench.reading.threads.tables import Place, StateRow, Tables

MAX_ANCESTORS = 20_000


def state_of(tables: Tables, thread_id: str, place: Place) -> dict[str, Json]:
    """The channel values of a checkpoint. LookupError when it isn't there; UndecodedError when it can't be decoded."""
    found = tables.state(thread_id, place)
    if found is None:
        raise LookupError(place)
    deltas = sorted(set(_delta_channels(found)) - found.values.keys())
    rebuilt = {channel: _rebuild(tables, thread_id, (place[0], found.parent), channel) for channel in deltas}
    return {**serde.snapshots(found.values), **{channel: value for channel, value in rebuilt.items() if value is not None}}


def _delta_channels(row: StateRow) -> list[str]:
    """Channels whose value this checkpoint may leave out: LangGraph counts their updates since the last snapshot in the metadata."""
    return list(_dict(_dict(serde.decode_json(row.metadata or "{}").value).get("counters_since_delta_snapshot")))


def _rebuild(tables: Tables, thread_id: str, nearest: tuple[str, str | None], channel: str) -> Json:
    """A DeltaChannel's value: the nearest ancestor's, then every write from there on. None where nothing was written."""
    namespace, parent = nearest
    pending: list[list[Json]] = []
    base: Json = None
    seen: set[str] = set()
    while parent is not None and parent not in seen and len(seen) < MAX_ANCESTORS:
        seen.add(parent)
        pending.append([serde.decode(row.kind, row.value or b"").value for row in tables.writes(thread_id, (namespace, parent), channel)])
        ancestor = tables.state(thread_id, (namespace, parent), channel)
        if ancestor is None:
            raise LookupError((namespace, parent))
        if channel in ancestor.values:
            base = serde.snapshots(ancestor.values)[channel]
            break
        parent = ancestor.parent
    for value in (value for values in reversed(pending) for value in values):
        base = _reduce(base, value)
    return base


def _reduce(base: Json, value: Json) -> Json:
    """What the usual reducers do: messages by id, lists end to end, objects merged, an Overwrite instead of everything before it.

    The graph's own reducer is code and not in the file; a value that none of these fits is set beside what was there.
    """
    if serde.is_type(value, "Overwrite"):
        return value.get("value")
    if base is None:
        base = {} if isinstance(value, dict) and "type" not in value else []
    if isinstance(base, dict) and isinstance(value, dict):
        return {**base, **value}
    added = value if isinstance(value, list) else [value]
    return _add_messages(base, added) if isinstance(base, list) else [base, *added]


def _add_messages(base: list[Json], added: list[Json]) -> list[Json]:
    kept = list(base)
    for item in added:
        number = next((n for n, old in enumerate(kept) if _message_id(item) and _message_id(old) == _message_id(item)), None)
        if _dict(item).get("type") == "remove":
            kept = [] if _message_id(item) == "__remove_all__" else [old for n, old in enumerate(kept) if n != number]
        elif number is None:
            kept.append(item)
        else:
            kept[number] = item
    return kept


def _message_id(value: Json) -> str | None:
    message = _dict(value)
    return message.get("id") if "content" in message or message.get("type") == "remove" else None


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
