"""LangGraph checkpoints in PostgreSQL, as `PostgresSaver` writes them: every thread's checkpoints with the writes of the tasks that started there.

Give the URL of the database, such as postgresql://reader@host/agents. It is only read: in READ ONLY transactions, with time limits, by a user that
needs no more than SELECT. The password is neither stored nor shown; states and forks that are asked for later take it from `PGPASSWORD` or
`~/.pgpass`. Values are decoded without importing, calling or unpickling anything; what is encrypted or refused is counted and said.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.database import Database
from workbench.model import Json, Record
from workbench.plugins import Example
from workbench.reading.threads import MissingTablesError, checkpoints, fetch_state, opened
from workbench.source import Source

SCHEMES = ("postgresql",)


def accepts(source: Source | Database) -> bool:
    """Whether this is a database with the saver's three tables on its search path. SourceError when it can't be reached."""
    if not isinstance(source, Database):
        return False
    try:
        with opened(source):
            return True
    except MissingTablesError:
        return False


def collect(source: Database) -> Iterator[Record]:
    """The checkpoints of all threads, oldest first within each, and what could not be read. SourceError when nothing can."""
    yield from checkpoints(source)


def state(location: Database, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, Json]:
    """The channel values of one checkpoint, DeltaChannels rebuilt; what can't be decoded says why in its place. LookupError when it isn't there."""
    return fetch_state(location, thread_id, (namespace, checkpoint_id))


# ---- examples

_TABLES = """
CREATE TABLE checkpoints (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT,
  type TEXT, checkpoint JSONB NOT NULL, metadata JSONB NOT NULL DEFAULT '{}', PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id));
CREATE TABLE checkpoint_blobs (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', channel TEXT NOT NULL, version TEXT NOT NULL,
  type TEXT NOT NULL, blob BYTEA, PRIMARY KEY (thread_id, checkpoint_ns, channel, version));
CREATE TABLE checkpoint_writes (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL, task_id TEXT NOT NULL,
  idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, blob BYTEA NOT NULL, task_path TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx));
INSERT INTO checkpoints VALUES
  ('1', '', '1f1e6b96-c8ab-63e2-bfff-f9e4ca52e887', NULL, NULL, '{"v": 4, "channel_versions": {}}', '{"source": "input", "step": -1}'),
  ('1', '', '1f1e6b96-c8bc-693d-8000-ddcf9ccf1196', '1f1e6b96-c8ab-63e2-bfff-f9e4ca52e887', NULL,
   '{"v": 4, "channel_values": {"budget": 3}, "channel_versions": {"budget": "2"}}', '{"source": "loop", "step": 0}');
"""
_WRITE = """
INSERT INTO checkpoint_writes VALUES ('1', '', '1f1e6b96-c8bc-693d-8000-ddcf9ccf1196', '906c33cf-e58c-ad64-c11c-78a127841966', 0, 'topics',
  '{}', '\\x{}', '~__pregel_pull, plan');
"""
EXAMPLES = (
    Example("checkpoints.sql", (_TABLES + _WRITE.format("msgpack", "91a46f74656c")).encode(), {"Checkpoint": 2}),
    Example("hostile.sql", (_TABLES + _WRITE.format("pickle", b"cos\nsystem\n(S'true'\ntR.".hex())).encode(), {"Checkpoint": 2, "Skip": 1}),
    Example("encrypted.sql", (_TABLES + _WRITE.format("msgpack+aes", "00" * 16)).encode(), {"Checkpoint": 2, "Skip": 1}),
)
