"""Full-text search over what runs said. The index is built when one first searches and brought up to date at each search, never while ingesting.

In a file it is SQLite's FTS5, on a server PostgreSQL's `tsvector` (`vectors`): the same words find the same steps, the best first by each one's own rank.
It holds, for each step of each run's newest revision, what was new in it: its error, arguments, result, answer, and the messages no step before had;
in the last step also the result that a durable engine recorded of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from workbench.model import Json, Run, Step, canonical
from workbench.store import vectors
from workbench.store.dialect import has_table, is_server

TABLES = ("search", "searched")
CREATE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(run_id UNINDEXED, step UNINDEXED, content, tokenize = 'unicode61')",
    "CREATE TABLE IF NOT EXISTS searched (run_id TEXT PRIMARY KEY, revision TEXT NOT NULL)",
)
CREATE_ON_SERVER = (
    'CREATE TABLE IF NOT EXISTS search (run_id TEXT COLLATE "C" NOT NULL, step BIGINT NOT NULL, content TEXT NOT NULL, words TSVECTOR NOT NULL)',
    "CREATE INDEX IF NOT EXISTS search_words ON search USING GIN (words)",
    "CREATE INDEX IF NOT EXISTS search_run ON search (run_id)",
    'CREATE TABLE IF NOT EXISTS searched (run_id TEXT COLLATE "C" PRIMARY KEY, revision TEXT COLLATE "C" NOT NULL)',
)
SNIPPET_WORDS = 16
FIND = """
SELECT run_id, step, snippet(search, 2, '', '', ' … ', :words) AS snippet
FROM search WHERE search MATCH :query ORDER BY rank, run_id, step LIMIT :limit
"""
FIND_ON_SERVER = """
SELECT run_id, step, (array_agg(content ORDER BY term, rank DESC))[1] AS content FROM (
  SELECT DISTINCT ON (term, run_id, step) term, run_id, step, content, ts_rank(words, query) AS rank
  FROM unnest(CAST(:queries AS tsquery[])) WITH ORDINALITY AS asked (query, term) JOIN search ON words @@ query
  ORDER BY term, run_id, step, rank DESC
) AS best GROUP BY run_id, step HAVING count(*) = :terms ORDER BY sum(rank) DESC, run_id, step LIMIT :limit
"""


@dataclass(frozen=True)
class Hit:
    """A step that says what was looked for, with the words around it."""

    run_id: str
    step: int
    snippet: str


def exists(connection: Connection) -> bool:
    """Whether an index was ever built."""
    return has_table(connection, "searched")


def outdated(connection: Connection) -> list[tuple[str, str]]:
    """The runs whose newest revision is not in the index, with that revision; makes the index where there is none."""
    for statement in CREATE_ON_SERVER if is_server(connection) else CREATE:
        connection.execute(text(statement))
    newest = "SELECT run_id, revision FROM run WHERE seq IN (SELECT max(seq) FROM run GROUP BY run_id)"
    return [(row.run_id, row.revision) for row in connection.execute(text(f"{newest} EXCEPT SELECT run_id, revision FROM searched"))]  # noqa: S608  # our own text


def take_in(connection: Connection, run: Run, revision: str) -> None:
    """Put a run's newest revision into the index, in place of an older one."""
    connection.execute(text("DELETE FROM search WHERE run_id = :run"), {"run": run.run_id})
    if is_server(connection):
        insert = "INSERT INTO search VALUES (:run, :step, :content, CAST(:words AS tsvector))"
        said = ((index, piece) for index, content in _contents(run) for piece in vectors.pieces(content))
        rows = [{"run": run.run_id, "step": index, "content": piece.content, "words": piece.vector} for index, piece in said]
    else:
        insert = "INSERT INTO search (run_id, step, content) VALUES (:run, :step, :content)"
        rows = [{"run": run.run_id, "step": index, "content": content} for index, content in _contents(run)]
    if rows:
        connection.execute(text(insert), rows)
    connection.execute(text("DELETE FROM searched WHERE run_id = :run"), {"run": run.run_id})
    connection.execute(text("INSERT INTO searched VALUES (:run, :revision)"), {"run": run.run_id, "revision": revision})


def find(connection: Connection, words: str, limit: int) -> list[Hit]:
    """The best hits. All words must occur; what stands in double quotes must occur as it stands."""
    terms = _terms(words)
    if not is_server(connection):
        query = " ".join(f'"{one}"' for one in terms)  # as FTS5 takes them literally: each quoted, so that no character is an operator
        rows = connection.execute(text(FIND), {"query": query, "words": SNIPPET_WORDS, "limit": limit})
        return [Hit(row.run_id, row.step, row.snippet) for row in rows]
    queries = vectors.queries(terms)
    rows = connection.execute(text(FIND_ON_SERVER), {"queries": queries, "terms": len(queries), "limit": limit})
    return [Hit(row.run_id, row.step, vectors.snippet(row.content, terms, SNIPPET_WORDS)) for row in rows]


def disagreements(connection: Connection) -> list[str]:
    """Where the index is not in step: damaged, or with rows of runs it doesn't claim to hold."""
    if not exists(connection):
        return []
    stray = connection.execute(text("SELECT DISTINCT run_id FROM search WHERE run_id NOT IN (SELECT run_id FROM searched)")).scalars()
    gone = connection.execute(text("SELECT run_id FROM searched WHERE run_id NOT IN (SELECT run_id FROM run)")).scalars()
    return [f"search: run {run_id} is in the index by mistake" for run_id in {*stray, *gone}]


def drop(connection: Connection) -> None:
    """Take the index away; the next search builds it anew."""
    for table in TABLES if exists(connection) else ():
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))


def _terms(words: str) -> list[str]:
    """What was typed: words, and what stands in double quotes as one term."""
    parts = words.split('"')
    wanted = [part.strip() if number % 2 else word for number, part in enumerate(parts) for word in ([part] if number % 2 else part.split())]
    return [one for one in wanted if one.strip()]


def _contents(run: Run) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for step in run.steps:
        ended = [_text(run.result)] if step is run.steps[-1] else []
        said = [one for one in (*_said(step), *ended) if one and one not in seen]
        seen.update(said)
        if said:
            yield step.index, "\n".join(said)


def _said(step: Step) -> Iterator[str]:
    yield from (message.content for message in step.messages)
    yield step.name
    yield step.error or ""
    if step.tool_call:
        yield _text(step.tool_call.arguments) or step.tool_call.raw or ""
    yield _text(step.result)
    if step.output:
        yield step.output.content
        yield from (_text(call.arguments) for call in step.output.tool_calls)


def _text(value: Json) -> str:
    return "" if value is None else value if isinstance(value, str) else canonical(value)
