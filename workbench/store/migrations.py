"""Numbered migrations, in SQLite's words (`dialect` translates). A store says which it has had; each that is missing runs in one transaction with its number.

Never edit a migration that was released: add one. The tests build the first schema and migrate it to the newest.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from workbench.store import dialect


class StoreError(RuntimeError):
    """A store that can't be used: made by a newer workbench, or no store at all. Nothing in it was changed."""


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE payload (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE source (source_id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, collector TEXT NOT NULL, UNIQUE (path, sha256))",
        """CREATE TABLE skip (source_id INTEGER NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
           PRIMARY KEY (source_id, place, reason))""",
        # The ids alone are no key: a span that is sent again with an end, or with other content, is kept beside the first.
        """CREATE TABLE span (seq INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, conversation_id TEXT, start_ns INTEGER,
           sha256 TEXT NOT NULL, source_id INTEGER NOT NULL, UNIQUE (trace_id, span_id, sha256))""",
        "CREATE INDEX span_conversation ON span (conversation_id) WHERE conversation_id IS NOT NULL",
        """CREATE TABLE log (seq INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, sha256 TEXT NOT NULL, source_id INTEGER NOT NULL,
           UNIQUE (trace_id, span_id, sha256))""",
        """CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, thread_id TEXT NOT NULL, namespace TEXT NOT NULL, checkpoint_id TEXT NOT NULL,
           sha256 TEXT NOT NULL, source_id INTEGER NOT NULL, UNIQUE (thread_id, namespace, checkpoint_id, sha256))""",
        "CREATE TABLE conversation (seq INTEGER PRIMARY KEY, run_id TEXT NOT NULL, sha256 TEXT NOT NULL, source_id INTEGER NOT NULL, UNIQUE (run_id, sha256))",
        "CREATE TABLE history (seq INTEGER PRIMARY KEY, run_id TEXT NOT NULL, sha256 TEXT NOT NULL, source_id INTEGER NOT NULL, UNIQUE (run_id, sha256))",
        """CREATE TABLE run (seq INTEGER PRIMARY KEY, run_id TEXT NOT NULL, revision TEXT NOT NULL, started_ns INTEGER, status TEXT NOT NULL,
           forked_from TEXT, sha256 TEXT NOT NULL)""",
        "CREATE INDEX run_newest ON run (run_id, seq)",
        "CREATE TABLE step (revision TEXT NOT NULL, position INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (revision, position)) WITHOUT ROWID",
        """CREATE TABLE examination (seq INTEGER PRIMARY KEY, run_id TEXT NOT NULL, revision TEXT NOT NULL, fingerprint TEXT NOT NULL,
           sha256 TEXT NOT NULL)""",
        "CREATE INDEX examination_newest ON examination (run_id, seq)",
        """CREATE TABLE finding (examination INTEGER NOT NULL, position INTEGER NOT NULL, run_id TEXT NOT NULL, detector TEXT NOT NULL,
           severity TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (examination, position)) WITHOUT ROWID""",
        "CREATE TABLE receipt (run_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID",
    ),
    # What came in live and is not in a run yet. AUTOINCREMENT: a number that was settled never comes again.
    ("CREATE TABLE pending (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL)",),
    (
        # Contents in the order they came: in a tree ordered by hash, every new one lands on another page, and most of them spill over.
        "ALTER TABLE payload RENAME TO payload_by_hash",
        "CREATE TABLE payload (sha256 BLOB PRIMARY KEY NOT NULL, content BLOB NOT NULL)",
        "INSERT INTO payload SELECT from_hex(sha256), content FROM payload_by_hash",
        "DROP TABLE payload_by_hash",
    ),
    # What all who use a store must agree on.
    ("CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",),
    (
        # What became of findings: who was told, and what people made of them.
        "CREATE TABLE alert (key TEXT PRIMARY KEY, run_id TEXT NOT NULL, raised_ns INTEGER NOT NULL, sent_ns INTEGER) WITHOUT ROWID",
        """CREATE TABLE review (seq INTEGER PRIMARY KEY, key TEXT NOT NULL, run_id TEXT NOT NULL, detector TEXT NOT NULL, step INTEGER,
           verdict TEXT NOT NULL, note TEXT NOT NULL, reviewed_ns INTEGER NOT NULL)""",
    ),
    (
        """CREATE TABLE ledger (seq INTEGER PRIMARY KEY, run_id TEXT NOT NULL, event TEXT NOT NULL, key TEXT NOT NULL, idempotency_key TEXT NOT NULL,
           at_ns INTEGER NOT NULL, sha256 TEXT NOT NULL)""",
        # No act is begun twice, whichever process asks: the database itself refuses.
        "CREATE UNIQUE INDEX ledger_once ON ledger (idempotency_key) WHERE event = 'begun' AND idempotency_key <> ''",
        "CREATE INDEX ledger_act ON ledger (key)",
    ),
    (
        # The contents of a batch compressed together; in `payload.content`, nothing stands for those.
        "CREATE TABLE segment (segment_id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB NOT NULL)",
        "ALTER TABLE payload ADD COLUMN segment_id INTEGER",
        "ALTER TABLE payload ADD COLUMN start INTEGER",
        "ALTER TABLE payload ADD COLUMN size INTEGER",
    ),
    # What a list of runs says of each, so that it reads no steps; `overview` is the version of what is counted how.
    tuple(
        f"ALTER TABLE run ADD COLUMN {column}"
        for column in (
            *("agent TEXT", "outcome TEXT", "duration_ms REAL", "steps INTEGER", "model_calls INTEGER", "tool_calls INTEGER", "effects INTEGER"),
            *("errors INTEGER", "invocations INTEGER", "total_tokens INTEGER", "cost_usd REAL", "conversation_id TEXT", "forked_at_step INTEGER"),
            *("sources TEXT", "overview INTEGER"),
        )
    ),
    # The steps of a long run column by column, for tables: compressed JSON, as the overview is derived.
    ("ALTER TABLE run ADD COLUMN step_columns BLOB",),
    # What a judge answered, so that it is asked once.
    ("CREATE TABLE judgement (key TEXT PRIMARY KEY, run_id TEXT NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID",),
    # What people wrote down about incidents.
    ("CREATE TABLE note (seq INTEGER PRIMARY KEY, incident TEXT NOT NULL, run_id TEXT NOT NULL, text TEXT NOT NULL, noted_ns INTEGER NOT NULL)",),
    # The share bundle that a review came with; none for what people here said.
    ("ALTER TABLE review ADD COLUMN origin TEXT",),
    (
        # What a provider called its answers, and which spans tell of them: what joins the traces of two instrumentors.
        """CREATE TABLE answer (response_id TEXT NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, is_top INTEGER NOT NULL, scope TEXT NOT NULL,
           start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, PRIMARY KEY (response_id, trace_id, span_id)) WITHOUT ROWID""",
        "CREATE INDEX answer_trace ON answer (trace_id)",
    ),
    # What tells a file's bytes from any others is no SHA-256 any more: hashing took longer than reading.
    ("ALTER TABLE source RENAME COLUMN sha256 TO fingerprint",),
    # Who reviewed a finding; none for what was said before this was kept, and in another's share bundle.
    ("ALTER TABLE review ADD COLUMN by TEXT",),
    # How many model calls a run's cost leaves out.
    ("ALTER TABLE run ADD COLUMN cost_unrecorded_calls INTEGER",),
)
VERSION = len(MIGRATIONS)


def migrate(connection: Connection, name: str, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring a store to the newest version. StoreError, with nothing changed, for a newer store."""
    version = dialect.version(connection)
    if version > len(migrations):
        raise StoreError(f"{name} was written by a newer workbench (store version {version}, this one knows {len(migrations)}); update replay-workbench")
    if not dialect.is_server(connection):
        connection.connection.driver_connection.create_function("from_hex", 1, bytes.fromhex)  # type: ignore[union-attr]  # no SQLite function does that
    for number, statements in enumerate(migrations[version:], start=version + 1):
        for statement in statements:
            connection.execute(text(dialect.translated(connection, statement)))
        dialect.set_version(connection, number)
