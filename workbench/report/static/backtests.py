"""Guards that were tried on recorded runs, in a notebook: what each would have stopped, how right it would have been, what it would have saved."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.backtest.backtest import Backtest
from workbench.report.markup import still, visible
from workbench.report.quantities import DASH, spending
from workbench.report.static.fragments import MAX_ROWS, quiet, rest, table_of, whole

BACKTEST = ("guard", "stops", "precision", "recall", "good runs stopped", "saved")


def backtests_html(backtests: Sequence[Backtest]) -> str:
    """Guards tried on recorded runs: what each would have stopped, how right it would have been, what it would have saved."""
    tones = ["warning" if one.good_runs_stopped.hits else "" for one in backtests[:MAX_ROWS]]
    notes = [quiet(note) for note in dict.fromkeys(note for one in backtests for note in _backtest_notes(one))]
    rows = [(whole(guard), whole(stops), *figures) for guard, stops, *figures in map(_backtest_row, backtests[:MAX_ROWS])]
    return still(table_of(BACKTEST, rows, tones), *notes, *map(quiet, rest(len(backtests))))


def backtests_text(backtests: Sequence[Backtest]) -> str:
    """Guards tried on recorded runs as text, some lines each."""
    lines = []
    for one in backtests[:MAX_ROWS]:
        guard, *figures = _backtest_row(one)
        lines += [guard, *(f"  {name}: {figure}" for name, figure in zip(BACKTEST[1:], figures, strict=True)), *(f"  {note}" for note in _backtest_notes(one))]
    return visible("\n".join([*lines, *rest(len(backtests))]) if lines else "no detector has found anything to try")


def _backtest_row(one: Backtest) -> tuple[str, ...]:
    saved = spending(one.tokens_saved, one.cost_saved) if one.stopped else DASH
    return one.guard, f"{one.stopped:,} of {one.stops.height:,}", str(one.precision), str(one.recall), str(one.good_runs_stopped), saved


def _backtest_notes(one: Backtest) -> list[str]:
    lacking = [f"{name} was not recorded in {count:,} of {one.stops.height:,} runs, where it could not hold" for name, count in one.not_recorded.items()]
    unlabelled = one.stops["failed"].null_count()
    return [*lacking, *([f"{unlabelled:,} of {one.stops.height:,} runs have no label, and count in no share"] if unlabelled else [])]
