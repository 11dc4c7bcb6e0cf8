"""A re-run that was killed, and where it goes on: what it told, sifted by what its scratch thread has of it.

A task counts as done when the thread has what it wrote; what was told of any other is left out, since it is done again, from recorded answers or, for
a live effect, from the ledger.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.model import Change, Json, Span, Spent, Value
from workbench.replay.fence.journal import ID_ATTRIBUTE
from workbench.replay.protocol import Request, Resumed
from workbench.replay.told import Told, lines

SUFFIX = ".unfinished"
MAKING_SECONDS = 10.0
"""A folder that was made is claimed long before."""
INTERRUPT = -3
"""The index of an interrupt among a task's writes."""


class ClaimedError(RuntimeError):
    """Somebody else is at work on this re-run."""


class Asked(Value):
    """What an unfinished fork was asked for, as it stands in its folder."""

    run_id: str
    parent_run_id: str
    at: int
    change: Change
    graph: str
    live: tuple[str, ...]
    seconds: float
    context: tuple[str, ...] = ()
    """The fields of the run's context that are given with another value than was recorded."""


@dataclass(frozen=True)
class Unfinished:
    """The folder a re-run works in, of which it can write to one half. It stays until the re-run has ended."""

    folder: Path

    @classmethod
    def beside(cls, scratch: Path) -> Unfinished:
        """The folder of the fork whose thread will stand in `scratch`."""
        return cls(scratch.absolute().with_name(f"{scratch.name}{SUFFIX}"))

    @property
    def scratch(self) -> Path:
        """The file in which the fork's thread will stand."""
        return self.folder.with_name(self.folder.name.removesuffix(SUFFIX))

    def make(self, asked: Asked) -> None:
        """Make the folder. FileExistsError when there is one, but for one in which a re-run was killed before it could be resumed: that is made anew."""
        if self._left_empty():
            self.remove()
        self.folder.mkdir(parents=True)
        for part in ("inside", "outside"):
            (self.folder / part).mkdir()
        (self.folder / "asked.json").write_text(asked.model_dump_json(), "utf-8")

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the only one who works in the folder. ClaimedError while another does; a claim ends with the process that made it, also by a kill."""
        with contextlib.closing(sqlite3.connect(self.folder / "claim.sqlite", timeout=0, isolation_level=None)) as claim:
            try:
                claim.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise ClaimedError(str(self.folder)) from error
            yield

    def _left_empty(self) -> bool:
        """Whether nothing was promised there, nobody is at work, and it was not made just now, by one who will be."""
        if self.begun or not self.folder.exists() or time.time() - self.folder.stat().st_mtime < MAKING_SECONDS:
            return False
        try:
            with self.claimed():
                return not self.begun
        except ClaimedError:
            return False

    def promise(self, request: Request, history: str) -> None:
        """Keep what is to be done before it is begun, and the hash of what leads to the cut: from here on it can be resumed."""
        (self.folder / "history.txt").write_text(history, "utf-8")
        (self.folder / "request.json").write_text(request.model_dump_json(), "utf-8")

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.folder)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return (self.folder / "request.json").exists()

    @property
    def history(self) -> str:
        """The hash of what leads to the cut, as it was copied."""
        return (self.folder / "history.txt").read_text("utf-8")

    @property
    def asked(self) -> Asked:
        """What it was asked for."""
        return Asked.model_validate_json((self.folder / "asked.json").read_bytes())

    @property
    def told(self) -> Path:
        """Where what it tells is kept."""
        return self.folder / "told.jsonl"

    def request(self) -> Request:
        """The request, made to go on: what it told of tasks that are not done is taken back, the whole is kept beside."""
        request = Request.model_validate_json((self.folder / "request.json").read_bytes())
        part = 1 + len(list(self.folder.glob("told.*.jsonl")))
        told_so_far = list(lines(self.told))
        shutil.copyfile(self.told, self.folder / f"told.{part}.jsonl") if self.told.exists() else self.told.touch()
        finished, stopped = _tasks(Path(request.database))
        kept = list(sifted(told_so_far, finished, stopped))
        standing = {id(line) for line in kept}
        kept.append({"spent": _spent(line for line in told_so_far if "messages" in line or id(line) not in standing).model_dump(mode="json")})
        self.told.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")
        return request.model_copy(update={"resumed": _resumed(kept, part)})


def of(folder: Path) -> Iterator[Unfinished]:
    """The unfinished re-runs whose folders stand in this one."""
    for one in sorted(folder.glob(f"*{SUFFIX}")):
        if Unfinished(one).begun:
            yield Unfinished(one)


def _tasks(database: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The tasks that the thread has writes of, and those that stopped to ask a person."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT DISTINCT task_id, idx FROM writes").fetchall()
    return frozenset(task for task, index in rows if index >= 0), frozenset(task for task, index in rows if index == INTERRUPT)


def sifted(told: Sequence[dict[str, Json]], finished: Collection[str], stopped: Collection[str]) -> Iterator[dict[str, Json]]:
    """The lines that stand: of tasks that are done, and of ones that stopped to ask what they told before they were started again."""
    last_start = max((number for number, one in enumerate(told) if "start" in one), default=-1)
    count = 0
    for number, one in enumerate(told):
        if "record" not in one:
            yield one
            continue
        tasks = {part.rpartition(":")[2] for part in str(one.get("namespace", "")).split("|") if part}
        if tasks and not tasks & set(finished) and not (tasks & set(stopped) and number < last_start):
            continue
        if "span" in one:
            one["span"]["attributes"][ID_ATTRIBUTE] = count
        count += 1
        yield one


def _told(lines: Iterable[dict[str, Json]]) -> Told:
    told = Told(Path())
    for line in lines:
        told.take_in(line)
    return told


def _spent(lines: Iterable[dict[str, Json]]) -> Spent:
    """What was spent on calls that are taken back: it is spent all the same."""
    return _told(lines).meter.spent


def _resumed(kept: Sequence[dict[str, Json]], part: int) -> Resumed:
    told = _told(kept)
    start = told.starts[-1] if told.starts else {}
    root = Span.model_validate(start["root"]) if "root" in start else None
    ended = root is not None and any(span.span_id == root.span_id for span in told.spans)
    people = [number for number, line in enumerate(kept) if line.get("record", {}).get("kind") == "human"]
    starts = [number for number, line in enumerate(kept) if "start" in line]
    stopped = start.get("stopped") or {}
    since = starts[-1 if stopped else -2 :][0] if starts else -1
    latest = [told_of["record"]["from_step"] for number, told_of in enumerate(kept) if number in people and number > since]
    return Resumed(
        part=part,
        records=len(told.records),
        used=tuple(one.from_step for one in told.records if one.from_step is not None),
        answers=tuple(one for one in latest if one is not None),
        freed=any(one.answer in ("edited", "live") for one in told.records),
        applied=sum(one.answer == "edited" for one in told.records) + told.met,
        starts=len(told.starts),
        later=start.get("later"),
        restarts=start.get("restarts"),
        ends=tuple(start.get("ends", ())),
        given=start.get("given", "none"),
        at=start.get("at"),
        stopped=bool(stopped) and not stopped["failed"],
        paused=tuple(map(tuple, stopped.get("paused", ()))),
        updates=sum(line.get("record", {}).get("kind") == "update" for line in kept[starts[-1] if starts else 0 :]),
        stops=start.get("stops"),
        strayed=tuple(told.strayed),
        notes=tuple(told.notes),
        root=None if ended else root,
        spent=told.meter.spent.model_copy(update={"steps": len(told.records)}),
    )
