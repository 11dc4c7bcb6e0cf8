"""Sweeps: many forks on any executor, each cell once, within an allowance; and controls beside a change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from workbench import bench as wb
from workbench.bench import Bench
from workbench.model import Budget, CallCounts, Change, EffectCount, Receipt, Run, Spent, Tokens
from workbench.replay import sweeps
from workbench.replay.forking import Forked, ForkError
from workbench.replay.sweeps import Cell, Ended, Plan, cells, sweep
from workbench.sketch import model, sketch, tool, user

SAMPLES = Path(__file__).parent.parent / "sample_traces"
BOOKED = {"tool_result": {"booking_id": "BK-1001", "status": "confirmed", "charged_usd": 842, "bookings_on_card": ["BK-1001"]}}
STEP, MODEL = 13, ("model",)
PLAN = Plan(sketch(user("go"), tool("book", {"f": 1}, 1), model("done"), run_id="parent"), (), "module:graph", Path("forks"))


class AtOnce(Executor):
    """Does everything as it is submitted, in this thread."""

    def submit(self, fn, /, *args, **kwargs):
        """Take one call."""
        done: Future[object] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Never(Executor):
    """Does nothing unless asked, so that what is submitted can still be cancelled."""

    def __init__(self) -> None:
        self.submitted: list[Future[object]] = []

    def submit(self, fn, /, *args, **kwargs):
        """Take one call."""
        one: Future[object] = Future()
        if not self.submitted:
            one.set_result(fn(*args, **kwargs))
        self.submitted.append(one)
        return one


def forked(plan: Plan, cell: Cell) -> Forked:
    """A fork that came to something, without a process."""
    run = plan.parent.model_copy(update={"run_id": plan.run_id(cell), "forked_from": plan.parent.run_id, "forked_at_step": cell.at, "change": cell.change})
    receipt = Receipt(
        run_id=run.run_id, parent_run_id=plan.parent.run_id, forked_at_step=cell.at, change=cell.change, graph=plan.graph, calls=CallCounts(),
        effects=(EffectCount(tool="book", key="book", original=1, fork=1),), outcome="done", isolation="none",
    )  # fmt: skip
    return Forked(run, receipt, 0)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that start no process."""
    monkeypatch.setattr(sweeps, "rerun_cell", lambda plan, cell: Ended(cell, forked(plan, cell)))


def test_cells() -> None:
    """There is a cell for each step, change and repetition; the first repetition of all comes first; each has a key of its own that is always the same."""
    wanted = cells([1, 2, 1], [Change(), Change(kind="tool_result", value={"a": 1})], 2)
    assert [(one.at, one.change.kind, one.number) for one in wanted[:5]] == [
        (1, "none", 0), (1, "tool_result", 0), (2, "none", 0), (2, "tool_result", 0), (1, "none", 1),
    ]  # fmt: skip
    keys = [PLAN.key(one) for one in wanted]
    assert len(set(keys)) == len(wanted) == 8
    assert keys == [PLAN.key(Cell(*one)) for one in wanted]
    assert len({plan.key(wanted[0]) for plan in (PLAN, replace(PLAN, graph="other:graph"), replace(PLAN, program="mended"), replace(PLAN, live=MODEL))}) == 4
    with pytest.raises(ValueError, match="at least one step"):
        cells([], [Change()], 1)


def test_number_of_forks(fast: None) -> None:
    """What goes beyond the number of forks allowed is left, and told."""
    ended = list(sweep(PLAN, cells([1], [Change()], 3), AtOnce(), forks=2))
    assert sorted((one.left, one.error) for one in ended) == [(False, ""), (False, ""), (True, "the sweep's 2 forks are done")]


def test_budget(fast: None) -> None:
    """When the seconds are over, what has not begun is left."""
    never = Never()
    ended = list(sweep(replace(PLAN, budget=Budget(seconds=0)), cells([1], [Change()], 3), never))
    assert [one.left for one in ended] == [False, True, True]
    assert {one.error for one in ended if one.left} == {"its 0 seconds are spent"}
    assert all(one.cancelled() for one in never.submitted[1:])


def test_what_forks_spent_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep spends what the receipts of its forks say, and begins no fork after that."""

    def spending(plan: Plan, cell: Cell) -> Ended:
        done = forked(plan, cell)
        return Ended(cell, replace(done, receipt=done.receipt.model_copy(update={"spent": Spent(model_calls=2, tokens=Tokens(total=7))})))

    monkeypatch.setattr(sweeps, "rerun_cell", spending)
    ended = list(sweep(replace(PLAN, budget=Budget(model_calls=2)), cells([1], [Change()], 3), Never()))
    assert [(one.left, one.error) for one in ended] == [(False, ""), *[(True, "its 2 live model calls are spent")] * 2]


def test_a_reader_that_stops_cancels_the_rest(fast: None) -> None:
    """Closing the sweep cancels what has not begun."""
    never = Never()
    running = sweep(PLAN, cells([1], [Change()], 3), never)
    next(running)
    running.close()
    assert all(one.cancelled() for one in never.submitted[1:])


def test_one_fork_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell whose fork can't be made says why, and the others are done; a worker that breaks is a result too."""

    def fork(parent: Run, *, at: int, **_: object) -> Forked:
        if at == 1:
            raise ForkError("step 1 can't be forked")
        if at == 2:
            raise RuntimeError("a worker broke")
        return forked(PLAN, Cell(at, Change(), 0))

    monkeypatch.setattr(sweeps, "fork", fork)
    ended = {one.cell.at: one for one in sweep(PLAN, cells([0, 1, 2], [Change()], 1))}
    assert (ended[0].forked is not None, ended[1].error, ended[2].error) == (True, "step 1 can't be forked", "RuntimeError: a worker broke")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A store with the flight that was booked twice."""
    made = wb.open(tmp_path_factory.mktemp("swept") / "workbench.db")
    made.ingest(SAMPLES / "booked_twice")
    yield made
    made.close()


def test_a_killed_sweep_goes_on_where_it_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that are in the store are not done again; threads, processes and the store's own thread agree on them; only the caller writes to the store."""

    def killed(_: str, done: int, total: int) -> None:
        assert (done, total) == (1, 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.sweep("booked-twice", at=[STEP], changes=[None, BOOKED], k=2, live=MODEL, progress=killed)
    writers: set[int] = set()
    save = bench.store.save_runs
    monkeypatch.setattr(bench.store, "save_runs", lambda *args, **options: (writers.add(threading.get_ident()), save(*args, **options))[1])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = bench.sweep("booked-twice", at=[STEP], changes=[None, BOOKED], k=2, live=MODEL, executor=pool)
    hows = [one.how for one in found.repetitions]
    assert hows.count("done before") >= 1
    assert set(hows) == {"done", "done before"}
    assert writers == {threading.get_ident()}
    frame = found.frame()
    assert frame.filter(frame["change"] != "unchanged")["held"].to_list() == [True, True]
    assert frame.filter(frame["change"] == "unchanged")["held"].to_list() == [False, False]
    assert found.verdicts[0].startswith("step 13, tool result {")
    assert "not shown that the change did it" in found.verdicts[0]
    assert "with fewer than 4 on each side" in repr(found)
    assert "not shown" in found._repr_html_()
    assert [group["hits"] for group in found.to_json()["groups"]] == [0, 2]


def test_a_mended_agent_is_swept_anew(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done by another graph, or by the agent as it was before a file of it changed, is not told as what this one does."""
    (tmp_path / "mended.py").write_text("from replay_agent import graph\nother = graph\n")
    (tmp_path / "replay_agent.py").write_text("from sample_traces.booked_twice.agent import graph\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sweeps, "rerun_cell", lambda plan, cell: Ended(cell, None, plan.key(cell)))

    def key(graph: str) -> str:
        return bench.sweep("booked-twice", at=[STEP], graph=graph).repetitions[0].says

    first, other = key("mended:graph"), key("mended:other")
    assert first == key("mended:graph")
    (tmp_path / "replay_agent.py").write_text("graph = None\n")
    assert len({first, other, key("mended:graph"), key("mended:other")}) == 4


def test_controls_of_a_fork(bench: Bench) -> None:
    """A fork's controls are its change and no change, as often as one says, with the same parts live; what the store has already is not done again."""
    fork = bench.run("booked-twice").fork(STEP, live=MODEL, **BOOKED)
    assert {one.how for one in fork.controls(k=1).repetitions} <= {"done", "done before"}
    found = fork.controls(k=1)
    assert [(one.cell.change.kind, one.how) for one in found.repetitions] == [("tool_result", "done before"), ("none", "done before")]
    assert found.outcome.name.startswith("no ")
    with pytest.raises(ForkError, match="is no fork: say from which step"):
        bench.run("booked-twice").controls()


def test_dask(bench: Bench) -> None:
    """A Dask cluster does the same forks; it listens on loopback only."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        found = bench.sweep("booked-twice", at=[STEP], changes=[{"tool_result": "booked by Dask"}], k=2, live=MODEL, executor=client.get_executor())
    assert [(one.how, one.says) for one in found.repetitions] == [("done", ""), ("done", "")]
    assert found.controlled(found.groups[0]) is None
