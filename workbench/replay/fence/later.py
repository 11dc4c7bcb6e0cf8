"""What was done to the recorded thread after the cut, beside resuming it, done to the re-run's: at the same place, in the same order.

Its own checkpoints have other ids than the recorded ones. One that it made is known by its stretch and by how far before the end of that it stands;
off the recorded course, that place is only the same where the same nodes ran from it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_READ, CONFIG_KEY_SEND, CONFIG_KEY_TASK_ID
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from workbench.reading.tasks import BY_UPDATE, Naming, Place
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.nodes import Nodes
from workbench.replay.fence.playback import Playback
from workbench.replay.fence.runner import Runner
from workbench.replay.protocol import Later, Request, Spot
from workbench.replay.recording.aftermath import update_id
from workbench.replay.recording.identities import renamed, unmatched
from workbench.replay.recording.tape import Call
from workbench.replay.recording.tasks import Task

PARENTS = "SELECT checkpoint_id, parent_checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ''"
PARENTS_AND_METADATA = "SELECT checkpoint_id, parent_checkpoint_id, metadata FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ''"
RAN = "SELECT DISTINCT task_path FROM writes WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ? AND task_path <> '' ORDER BY task_path"
UPDATE = "update_state"
DOUBTFUL = "put in as recorded, though something before it is not: whoever did that had seen another state"


class LostError(RuntimeError):
    """What was done to the recorded thread can't be done to the re-run's. The message says why."""


class Places:
    """Where the stretches of the re-run ended, and which of its checkpoints stand for recorded ones."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ends = list(request.resumed.ends) if request.resumed else []
        """Where the thread stood at the end of each stretch so far."""

    def of(self, spot: Spot | None) -> str | None:
        """The checkpoint of the re-run that is meant; None for where the thread stands. LostError where it has none such."""
        if spot is None or spot.stretch is None:
            return spot.checkpoint_id if spot else None
        with contextlib.closing(sqlite3.connect(f"file:{self.request.database}?mode=ro", uri=True)) as database:
            parents = dict(database.execute(PARENTS, (self.request.run_id,)))
            found = self._back(parents, spot)
            ran = tuple(path for (path,) in database.execute(RAN, (self.request.run_id, found)) if not path.startswith(BY_UPDATE))
        if found is None or ran != spot.ran:
            before = ", ".join(path.rpartition(" ")[2] for path in spot.ran) or "its end"
            raise LostError(f"the recorded run went back to a checkpoint of it ({before}) that this re-run has none like: it went another way until there")
        return found

    def updated_since(self, root: str) -> list[str]:
        """The checkpoints on which states were put in since a start from this one, with which a killed re-run ended; oldest first."""
        with contextlib.closing(sqlite3.connect(f"file:{self.request.database}?mode=ro", uri=True)) as database:
            rows = {one: (parent, json.loads(metadata)) for one, parent, metadata in database.execute(PARENTS_AND_METADATA, (self.request.run_id,))}
        found, one = list[str](), max(rows)
        while one != root and rows[one][1].get("source") == "update" and one > root:
            one = str(rows[one][0])
            found.insert(0, one)
        return found

    def _back(self, parents: Mapping[str, str | None], spot: Spot) -> str | None:
        stretch = spot.stretch or 0
        one: str | None = self.ends[stretch]
        for _ in range(spot.back):
            one = parents.get(one or "")
        begun = self.ends[stretch - 1] if stretch else self.request.cut[1]
        return one if one is not None and (one > begun or not stretch) else None


class Updates:
    """Puts into the re-run's state what `update_state` had put into the recorded one."""

    def __init__(self, running: Runner, playback: Playback, serializer: JsonPlusSerializer, request: Request) -> None:
        self.running, self.playback, self.serializer = running, playback, serializer
        self.thread_id, self.cut = request.run_id, request.cut[1]
        self.rewritten = request.state is not None or request.alteration.message is not None

    @property
    def nodes(self) -> Nodes:
        """What is known of the recorded tasks. LostError where that is nothing."""
        if self.playback.nodes is None:
            raise LostError("what update_state wrote then was not set aside")
        return self.playback.nodes

    def put(self, done: Later, at: str | None) -> None:
        """Put it in there. LostError where that can't be done."""
        try:
            self._write(done, at) if done.tasks else self._put_whole(done, at)
        except LostError:
            raise
        except Exception as error:
            raise LostError(f"what update_state put into the state then can't be put there now: {type(error).__name__}: {error}") from error
        self.tell(done)

    def _write(self, done: Later, at: str | None) -> None:
        nodes = self.nodes
        tasks, before = [nodes.tasks.one(task) for task in done.tasks], len(nodes.lost)
        writers = [(name, self._writer(task)) for name, task in zip(self._names(tasks, done.parent, at), tasks, strict=True)]
        self._known(before)
        self.running.update(writers, at)

    def _put_whole(self, done: Later, at: str | None) -> None:
        """Put in the state that it made, where it was made of what stands now too: what it wrote is not known, since LangGraph did not keep it."""
        elsewhere = done.spot is not None and done.spot.stretch is None and (at != self.cut or not self.rewritten)
        if not self.playback.on_course and not elsewhere:
            raise LostError("what update_state wrote then was not kept (as LangGraph does where the thread had moved past that checkpoint), only what it made")
        before = len(self.nodes.lost)
        state = self.serializer.loads_typed((done.type, base64.b64decode(done.data)))
        self._known(before)
        self.running.put(state, at)

    def _known(self, before: int) -> None:
        """LostError where something was just read whose type the graph does not name."""
        if lost := self.nodes.lost[before:]:
            raise LostError(f"what update_state put into the state then holds {', '.join(lost)}, which the graph's schema does not name")

    def _names(self, tasks: Sequence[Task], parent: str, at: str | None) -> Iterator[str]:
        """For each a node that is said to have written it: that whose task it finished, as its id tells, or none of the graph's."""
        triggers, waiting = self.running.nodes(at)
        naming = Naming(triggers=dict(triggers))
        for number, task in enumerate(tasks):
            found = naming.node(task.task_id.removeprefix(update_id("")), "", Place(parent, "", task.step), waiting)
            yield found if found is not None and found in triggers else f"{UPDATE} {number}"

    def _writer(self, task: Task) -> Callable[[dict[str, Any]], None]:
        nodes = self.nodes
        seen = nodes.tasks.seen(task)
        writes = [(channel, nodes.value(kind, value)) for idx, channel, kind, value in nodes.tasks.writes(task) if idx >= 0]

        def write(configurable: dict[str, Any]) -> None:
            if lost := unmatched(writes, seen, configurable[CONFIG_KEY_READ]):
                raise LostError(f"what {UPDATE} replaced or removed then, in {', '.join(lost)}, stands nowhere in this re-run: other messages came before it")
            nodes.tasks.translated[configurable[CONFIG_KEY_TASK_ID]] = task.task_id.removeprefix(update_id(""))
            configurable[CONFIG_KEY_SEND](renamed(writes, seen, configurable[CONFIG_KEY_READ]) if seen else writes)

        return write

    def leave_out(self, done: Later) -> None:
        """Say that it is not put in: it stood for what failed then, and did not here."""
        self.playback.tape.leave_out([] if done.step is None else [done.step])
        where = "" if done.step is None else f" (step {done.step})"
        self.playback.notes.append(f"what {UPDATE}{where} had put into the state was left out: it was put in for a task that failed then, and did not here")

    def tell(self, done: Later) -> None:
        """Write down that it was put in, and that it is doubtful where something before it is not as recorded."""
        doubtful = not self.playback.on_course
        self.playback.tape.leave_out([] if done.step is None else [done.step])
        call = Call("update", UPDATE, "", None)
        seen = Seen(call=call, namespace="", node=None, thread_id=self.thread_id, started_ns=self.playback.journal.clock())
        self.playback.journal.note(seen, "served", from_step=done.step, says=DOUBTFUL if doubtful else "")
        where = "" if done.step is None else f" (step {done.step})"
        self.playback.notes.append(f"what {UPDATE}{where} had put into the state was {DOUBTFUL if doubtful else 'put in again, as recorded'}")


def input_of(serializer: JsonPlusSerializer, done: Later) -> Any:
    """The input in the checkpoint that it made."""
    return serializer.loads_typed((done.type, base64.b64decode(done.data)))["channel_values"].get("__start__")
