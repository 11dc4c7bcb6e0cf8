"""The tables. Rows never leave the store; everything else handles values of `workbench.model` or polars frames.

`sha256` columns are addresses in `payload`, where equal content is stored once. Nothing is updated or deleted: a run that is derived anew gets
a new revision, a detection its own examination, and the newest one counts.
"""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class PayloadRow(SQLModel, table=True):
    """JSON text under the SHA-256 of its bytes, compressed with zstd where that saves room."""

    __tablename__ = "payload"
    sha256: bytes = Field(primary_key=True)
    """32 bytes; everywhere else an address is their 64 hex digits."""
    content: bytes
    """Empty for one that stands in a segment."""
    segment_id: int | None
    start: int | None
    size: int | None
    """Where in the segment it stands, in bytes."""


class SegmentRow(SQLModel, table=True):
    """The contents of many payloads one after the other, compressed together. Never changed, its number never given again."""

    __tablename__ = "segment"
    __table_args__ = {"sqlite_autoincrement": True}  # SQLAlchemy's own declaration
    segment_id: int | None = Field(default=None, primary_key=True)
    content: bytes


class SourceRow(SQLModel, table=True):
    """A file that was ingested, as it was then."""

    __tablename__ = "source"
    source_id: int | None = Field(default=None, primary_key=True)
    path: str
    fingerprint: str
    """What tells its bytes from any others; a SHA-256 in sources from before version 14."""
    collector: str


class SkipRow(SQLModel, table=True):
    """What a collector could not use, and why."""

    __tablename__ = "skip"
    source_id: int = Field(primary_key=True)
    place: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    count: int


class SpanRow(SQLModel, table=True):
    """A span as it arrived. There is no foreign key to the parent: spans arrive late, out of order, incomplete. A changed span is another row."""

    __tablename__ = "span"
    seq: int | None = Field(default=None, primary_key=True)
    trace_id: str
    span_id: str
    conversation_id: str | None
    start_ns: int | None = Field(sa_type=BigInteger)
    sha256: str
    source_id: int


class AnswerRow(SQLModel, table=True):
    """A span that tells of a model's answer, by what marks it; see `workbench.store.answers`. `is_top` is 1 for a span without a parent."""

    __tablename__ = "answer"
    response_id: str = Field(primary_key=True)
    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    is_top: int
    scope: str
    start_ns: int = Field(sa_type=BigInteger)
    end_ns: int = Field(sa_type=BigInteger)


class LogRow(SQLModel, table=True):
    """A log record that belongs to a span."""

    __tablename__ = "log"
    seq: int | None = Field(default=None, primary_key=True)
    trace_id: str
    span_id: str
    sha256: str
    source_id: int


class CheckpointRow(SQLModel, table=True):
    """A LangGraph checkpoint as it was read; one that gained writes since is another row."""

    __tablename__ = "checkpoint"
    seq: int | None = Field(default=None, primary_key=True)
    thread_id: str
    namespace: str
    checkpoint_id: str
    sha256: str
    source_id: int


class ConversationRow(SQLModel, table=True):
    """A run that came as chat messages."""

    __tablename__ = "conversation"
    seq: int | None = Field(default=None, primary_key=True)
    run_id: str
    sha256: str
    source_id: int


class HistoryRow(SQLModel, table=True):
    """A run that its source told whole, such as a durable engine."""

    __tablename__ = "history"
    seq: int | None = Field(default=None, primary_key=True)
    run_id: str
    sha256: str
    source_id: int


class RunRow(SQLModel, table=True):
    """One revision of a run, derived from what was collected, or recorded by a fork; what lists say of it (`workbench.overview`) in columns of its own."""

    __tablename__ = "run"
    seq: int | None = Field(default=None, primary_key=True)
    run_id: str
    revision: str
    started_ns: int | None = Field(sa_type=BigInteger)
    status: str
    forked_from: str | None
    sha256: str
    agent: str | None
    outcome: str | None
    duration_ms: float | None
    steps: int | None
    model_calls: int | None
    tool_calls: int | None
    effects: int | None
    errors: int | None
    invocations: int | None
    total_tokens: int | None = Field(sa_type=BigInteger)
    cost_usd: float | None
    cost_unrecorded_calls: int | None
    conversation_id: str | None
    forked_at_step: int | None
    sources: str | None
    """JSON."""
    overview: int | None
    """The version of the overview; None for a run from before there were any."""
    step_columns: bytes | None
    """The steps of a long run column by column: compressed JSON."""


class StepRow(SQLModel, table=True):
    """One step of one revision. A fork holds only its own steps: those before them are its parent's."""

    __tablename__ = "step"
    revision: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    sha256: str


class ExaminationRow(SQLModel, table=True):
    """A revision that was looked at by detectors; `fingerprint` names the detectors' code."""

    __tablename__ = "examination"
    seq: int | None = Field(default=None, primary_key=True)
    run_id: str
    revision: str
    fingerprint: str
    sha256: str
    """What could not be evaluated, and the verdict on the run."""


class FindingRow(SQLModel, table=True):
    """One finding of one examination."""

    __tablename__ = "finding"
    examination: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    run_id: str
    detector: str
    severity: str
    sha256: str


class ReceiptRow(SQLModel, table=True):
    """What a fork was asked and what ran."""

    __tablename__ = "receipt"
    run_id: str = Field(primary_key=True)
    sha256: str


class PendingRow(SQLModel, table=True):
    """A trace or thread with records that no run was derived from yet. Goes once its runs are saved."""

    __tablename__ = "pending"
    __table_args__ = {"sqlite_autoincrement": True}  # SQLAlchemy's own declaration
    seq: int | None = Field(default=None, primary_key=True)
    kind: str
    name: str


class SettingRow(SQLModel, table=True):
    """What all who use a store must agree on, such as the secret of a server store's pseudonyms."""

    __tablename__ = "setting"
    name: str = Field(primary_key=True)
    value: bytes


class AlertRow(SQLModel, table=True):
    """A finding someone is to be told of, under the key that stays the same while its run goes on. `sent_ns` is None until they were."""

    __tablename__ = "alert"
    key: str = Field(primary_key=True)
    run_id: str
    raised_ns: int = Field(sa_type=BigInteger)
    sent_ns: int | None = Field(sa_type=BigInteger)


class ReviewRow(SQLModel, table=True):
    """What a person made of a finding. The newest of a key counts."""

    __tablename__ = "review"
    seq: int | None = Field(default=None, primary_key=True)
    key: str
    run_id: str
    detector: str
    step: int | None
    verdict: str
    note: str
    reviewed_ns: int = Field(sa_type=BigInteger)
    origin: str | None
    """The share bundle it came with; None for one made here."""
    by: str | None
    """Who said it; None where that was not recorded."""


class LedgerRow(SQLModel, table=True):
    """One line of the ledger of side effects. Only added to; where its run is deleted, that a key was used stays known, and nothing else."""

    __tablename__ = "ledger"
    seq: int | None = Field(default=None, primary_key=True)
    run_id: str
    event: str
    key: str
    """The hash of the business key: the key itself, like all that was said, stands in the payload."""
    idempotency_key: str
    at_ns: int = Field(sa_type=BigInteger)
    sha256: str


class JudgementRow(SQLModel, table=True):
    """What a language model answered when it was asked about a run, under a hash of all it was asked."""

    __tablename__ = "judgement"
    key: str = Field(primary_key=True)
    run_id: str
    answer: str


class NoteRow(SQLModel, table=True):
    """What a person wrote down about an incident, with the run that was the worst of it then."""

    __tablename__ = "note"
    seq: int | None = Field(default=None, primary_key=True)
    incident: str
    run_id: str
    text: str
    noted_ns: int = Field(sa_type=BigInteger)


TABLES = SQLModel.metadata.tables
"""The tables by name, for bulk paths that go through SQLAlchemy Core."""
