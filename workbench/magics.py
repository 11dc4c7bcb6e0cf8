"""`%load_ext workbench`: record what a cell's agent does (`%%record`), and look at the incident in a store (`%incident`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import MagicArgumentParser

from workbench import bench as wb
from workbench.literals import text_literal
from workbench.live.checkpointers import Called, called_threads, keep
from workbench.live.recorder import recorded_calls
from workbench.redaction import counts_told
from workbench.report import static
from workbench.report.quantities import plural
from workbench.taps.threads import in_a_loop

STORE = "workbench.db"
AWAITS = "%%record runs no cell that awaits. Record the graph itself: with wb.record(graph, STORE) as graph: await graph.ainvoke(…)"
THREADLESS = "spans alone are recorded, so that nothing can be forked: no LangGraph graph was called with a thread_id"
SCOPE = ("name", "agent", "version", "since", "until", "detector")
"""What an incident can be of, as `Bench.incident` takes it."""


class Recorded:
    """The runs that a cell made, or added to; `bench` holds them, `run` is the last of them, and `says` tells of each thread whether it can be forked."""

    def __init__(self, bench: wb.Bench, run_ids: list[str], says: Sequence[str] = ()) -> None:
        self.bench, self.run_ids, self.says = bench, run_ids, tuple(says)

    @property
    def run(self) -> wb.RecordedRun:
        """The last of them. LookupError where the cell made none."""
        if not self.run_ids:
            raise LookupError("the cell made no run: nothing it did was an agent's, a model's or a tool's call, or an OpenTelemetry span")
        return self.bench.run(self.run_ids[-1])

    def _parts(self) -> tuple[Any, Any]:
        mine = set(self.run_ids)
        return [one for one in self.bench.store.overviews() if one.run_id in mine], self.bench.store.found()

    def __repr__(self) -> str:
        return static.runs_text(*self._parts(), says=self.says)

    def _repr_html_(self) -> str:
        return static.runs_html(*self._parts(), says=self.says)


@magics_class
class WorkbenchMagics(Magics):
    """`%%record` and `%incident`."""

    @cell_magic
    def record(self, line: str, cell: str) -> Recorded:
        """Record what this cell's agent does into a store, and list the runs: `%%record [STORE] [--agent NAME]`.

        Every LangChain and LangGraph call is recorded, whichever graph makes it, with the checkpoints of each thread where its graph has a checkpointer, and
        the spans of the global OpenTelemetry provider. Without a STORE it is the one of the variable `bench`, else what WORKBENCH_STORE names, else
        workbench.db. The result has `run` and `bench`: `_.run.view()`.
        """
        shell: Any = self.shell
        if in_a_loop() and shell.should_run_async(cell, transformed_cell=shell.transform_cell(cell)):
            raise UsageError(AWAITS)
        given = _given("%%record", ["agent"], line)
        bench = self._bench(given.pop("store", ""))
        before = _marks(bench)
        with recorded_calls(str(bench.store.path), agent=given.get("agent", "notebook")) as recording, called_threads() as called:
            done = shell.run_cell(cell)
        says = [_kept(bench, one) for one in called.values()] or [THREADLESS]
        says += filter(None, [counts_told(recording.redacted)])
        after = _marks(bench)
        recorded = Recorded(bench, [run_id for run_id, mark in after.items() if before.get(run_id) != mark], says)
        if not done.success:
            raise UsageError(f"the cell failed; what it did until then is recorded: {', '.join(recorded.run_ids) or 'nothing'}")
        return recorded

    @line_magic
    def incident(self, line: str) -> Any:
        """Show the incident in a store: `%incident [STORE] [--name NAME] [--agent NAME] [--version V] [--since TIME] [--until TIME] [--detector NAME]`."""
        given = _given("%incident", SCOPE, line)
        return self._bench(given.pop("store", "")).incident(**given)

    def _bench(self, store: str) -> wb.Bench:
        held = self.shell.user_ns.get("bench")  # type: ignore[union-attr]  # there is a shell once a magic is called
        if not store and isinstance(held, wb.Bench):
            return held
        return wb.open(store or os.environ.get("WORKBENCH_STORE") or STORE)


def _given(magic: str, options: Iterable[str], line: str) -> dict[str, str]:
    """What stands behind a magic: the store, if one is named, and options. UsageError for what it doesn't take."""
    parser: Any = MagicArgumentParser(magic, add_help=False)  # type: ignore[no-untyped-call]  # IPython's
    parser.add_argument("store", nargs="?")
    for option in options:
        parser.add_argument(f"--{option}")
    return {name: str(value).strip("'\"") for name, value in vars(parser.parse_argstring(line)).items() if value is not None}


def _kept(bench: wb.Bench, called: Called) -> str:
    """Store the checkpoints of a thread, and tell what that came to: whether its run can be forked, and what is missing where it can't."""
    try:
        place, count = keep(bench.store, called)
    except Exception as error:  # noqa: BLE001  # whatever a checkpointer raises: the spans are recorded, and what is missing is told
        return f"{called.thread_id}: spans alone are recorded, so that it can't be forked: {error}"
    copied = "" if called.place else f", copied from {type(called.saver).__name__}"
    graph = called.named
    fork = f"_.run.fork(STEP, graph={text_literal(graph or 'your_module:graph')})"
    forks = f"fork it by {fork}" if graph else f"to fork it, move its graph from this notebook into a module, which a re-run imports: {fork}"
    return f"{called.thread_id}: spans and {plural(count, 'checkpoint')} ({place}{copied}); {forks}"


def _marks(bench: wb.Bench) -> dict[str, Any]:
    """What changes of a run when something is added to it."""
    bench.runs()  # derives what was received
    return {one.run_id: (one.steps, one.duration_ms, one.status) for one in bench.store.overviews()}


def load(shell: InteractiveShell) -> None:
    """Add the magics to a shell."""
    shell.register_magics(WorkbenchMagics)
