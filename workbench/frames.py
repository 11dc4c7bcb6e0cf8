"""Values as polars frames, for sorting, grouping and plotting. Every frame has its declared columns and dtypes, also when it is empty.

Times are UTC with nanoseconds, durations milliseconds, money US dollars. Null means not recorded. Content that has no schema (arguments,
results, numbers) is JSON text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from workbench.analysis.calls import token_count
from workbench.cohorts.baseline import END, START
from workbench.model import Aligned, Comparison, EffectCount, Finding, Json, LedgerEntry, NotEvaluated, Run, canonical
from workbench.overview import Overview, overview_of, step_columns

MORE, OTHER = "(more)", "(other)"
"""In a flow: the calls that are left out, and the runs that left the most frequent ways."""
SEVERITY = pl.Enum(["info", "warning", "error"])
"""Severities sort from the least to the gravest."""
UTC = pl.Datetime("ns", "UTC")

Schema = dict[str, pl.DataType | type[pl.DataType]]
STRETCHES = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440, 10080, 43200, 525600)
"""Lengths into which time is cut, in minutes."""

HITS: Schema = {"run_id": pl.String, "step": pl.Int64, "snippet": pl.String}
RUNS: Schema = {
    "run_id": pl.String,
    "agent": pl.String,
    "status": pl.String,  # ok, error, interrupted, running or cancelled
    "outcome": pl.String,  # the final answer, else the status and the last error
    "started": UTC,
    "duration_ms": pl.Float64,  # from the first start to the last end, waiting for people included
    "steps": pl.Int64,
    "model_calls": pl.Int64,
    "tool_calls": pl.Int64,
    "effects": pl.Int64,  # attempted side effects, as `workbench.analysis.effects` counts them
    "errors": pl.Int64,  # steps that ended with an error
    "invocations": pl.Int64,  # how often it was started or resumed
    "total_tokens": pl.Int64,
    "cost_usd": pl.Float64,
    "cost_unrecorded_calls": pl.Int64,  # model calls that cost_usd leaves out, those that failed aside
    "conversation_id": pl.String,
    "forked_from": pl.String,
    "forked_at_step": pl.Int64,
    "sources": pl.List(pl.String),
}
STEPS: Schema = {
    "run_id": pl.String,
    "step": pl.Int64,
    "kind": pl.String,  # model, tool, human, node or retrieval
    "name": pl.String,
    "node": pl.String,
    "depth": pl.Int64,  # how many subgraphs deep
    "invocation": pl.Int64,  # 0 for the first start, one more for each restart or resume
    "status": pl.String,
    "error": pl.String,
    "started": UTC,
    "duration_ms": pl.Float64,
    "model": pl.String,
    "selected": pl.List(pl.String),  # the tools a model call asked for
    "confidence": pl.Float64,
    "text": pl.String,  # what a model or a person said
    "tool": pl.String,
    "arguments": pl.String,  # JSON
    "result": pl.String,  # JSON
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "total_tokens": pl.Int64,
    "cost_usd": pl.Float64,
    "joined": pl.String,  # how the span found its checkpoint: exact, inferred or none
    "checkpoint_id": pl.String,
    "span_id": pl.String,
}
FINDINGS: Schema = {
    "finding_id": pl.String,
    "run_id": pl.String,
    "step": pl.Int64,  # null where a finding is about the whole run
    "detector": pl.String,
    "severity": SEVERITY,
    "score": pl.Float64,
    "message": pl.String,
    "capability": pl.String,  # the part of the production checklist it bears on
    "item": pl.String,  # and its item
    "numbers": pl.String,  # JSON
    "evidence": pl.List(pl.Struct({"step": pl.Int64, "path": pl.String, "sha256": pl.String, "says": pl.String})),
    "refute": pl.String,  # what to change in a fork to put it to the test
}
NOT_EVALUATED: Schema = {"run_id": pl.String, "detector": pl.String, "why": pl.String}
COMPARED: Schema = {
    "run_id": pl.String,
    "outcome": pl.String,
    "status": pl.String,
    "steps": pl.Int64,
    "same": pl.Int64,  # steps that are the same as in the reference; the reference itself has nulls here
    "changed": pl.Int64,
    "added": pl.Int64,
    "removed": pl.Int64,
    "effects": pl.Int64,
    "total_tokens": pl.Int64,
    "cost_usd": pl.Float64,
    "cost_unrecorded_calls": pl.Int64,  # model calls that cost_usd leaves out, those that failed aside
    "findings_gone": pl.List(pl.String),  # detectors that found in the reference what is not found here
    "findings_new": pl.List(pl.String),
}
ALIGNED: Schema = {
    "run_id": pl.String,
    "relation": pl.String,  # same, changed, added or removed
    "reference_step": pl.Int64,  # null where the run has a step more
    "step": pl.Int64,  # null where it has one less
    "kind": pl.String,
    "name": pl.String,
    "aspects": pl.List(pl.String),  # what changed: message, tool, arguments, result, state, error, status
}
SWEPT: Schema = {
    "step": pl.Int64,
    "change": pl.String,
    "number": pl.Int64,
    "how": pl.String,  # done, done before, failed or left
    "run_id": pl.String,  # null, as what follows, where there is no fork
    "status": pl.String,
    "outcome": pl.String,
    "held": pl.Boolean,  # whether the outcome that is counted held; null where the fork was halted, or failed and so can't be judged
    "live_calls": pl.Int64,
    "seconds": pl.Float64,
    "says": pl.String,  # why there is no fork
}
EFFECTS: Schema = {"tool": pl.String, "key": pl.String, "original": pl.Int64, "fork": pl.Int64}
FLOW: Schema = {
    "position": pl.Int64,  # 0: from the start of a run to its first tool call
    "before": pl.String,  # a tool, or (start)
    "after": pl.String,  # a tool, (end) where none was called any more, (more) where the rest is left out, (other) where runs left the most frequent ways
    "runs": pl.Int64,
    "chosen": pl.Boolean,  # whether the run that is looked at went that way
}


LEDGER: Schema = {
    "at": UTC,
    "run_id": pl.String,  # the fork
    "root_run_id": pl.String,  # the recorded run it goes back to
    "event": pl.String,  # attempted; of a live call: begun, then done, failed or unknown; refused
    "kind": pl.String,  # tool or model
    "name": pl.String,
    "key": pl.String,  # the business key
    "idempotency_key": pl.String,
    "effect": pl.String,  # read-only, idempotent, effect or unknown
    "guessed": pl.Boolean,  # by the tool's name, since nobody declared it: counts as effect
    "cause": pl.String,  # first, retry, resume or model
    "answered": pl.String,  # served, edited, halted, live or refused
    "approved_by": pl.String,
    "already": pl.String,  # what was known of the same act before it went live
    "arguments": pl.String,
    "result": pl.String,
    "says": pl.String,
}


def runs_frame(runs: Iterable[Run]) -> pl.DataFrame:
    """One row a run, in the order given. The columns are `RUNS`."""
    return overviews_frame([overview_of(run) for run in runs])


def overviews_frame(overviews: Sequence[Overview]) -> pl.DataFrame:
    """The same of runs' overviews."""
    return overview_columns_frame(list(zip(*overviews, strict=True)))


def overview_columns_frame(columns: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """The same of the columns of overviews, as the store reads them of many runs."""
    values = dict(zip(RUNS, columns or [()] * len(RUNS), strict=True))
    flat = [pl.Series(name, values[name], dtype=kind) for name, kind in RUNS.items() if name != "sources"]
    return pl.DataFrame([*flat, _recurring(values["sources"]).alias("sources")])


def _recurring(lists: Sequence[tuple[str, ...]]) -> pl.Series:
    """A column of lists, each made once: most runs came from the same few files, and making a list takes longer than a row's every other column."""
    known = {one: number for number, one in enumerate(dict.fromkeys(lists))}
    return pl.Series([list(one) for one in known], dtype=pl.List(pl.String)).gather([known[one] for one in lists])


def steps_frame(run: Run) -> pl.DataFrame:
    """One row a step of a run, in time order. The columns are `STEPS`."""
    return columns_frame(step_columns(run))


def columns_frame(columns: Sequence[Sequence[Json]]) -> pl.DataFrame:
    """The same of the columns of steps, as the store keeps them of a long run."""
    values = columns or [()] * len(STEPS)
    return pl.DataFrame([pl.Series(name, value, dtype=kind) for (name, kind), value in zip(STEPS.items(), values, strict=True)])


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """One row a finding, in the order given. The columns are `FINDINGS`."""
    return rows_frame([_finding_row(finding) for finding in findings], FINDINGS)


def not_evaluated_frame(reports: Iterable[NotEvaluated]) -> pl.DataFrame:
    """One row for each detector that could not judge a run, and why. The columns are `NOT_EVALUATED`."""
    return rows_frame([(report.run_id, report.detector, report.why) for report in reports], NOT_EVALUATED)


def effects_frame(counts: Iterable[EffectCount]) -> pl.DataFrame:
    """One row an effect, with how often the original and the fork attempted it. The columns are `EFFECTS`."""
    return rows_frame([(count.tool, count.key, count.original, count.fork) for count in counts], EFFECTS)


def compared_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row a run, the reference first. The columns are `COMPARED`."""
    first = comparisons[0]
    reference = (*_compared_row(first.left), *(None,) * 4, sum(one.original for one in first.effects), *_spent_row(first.left), None, None)
    return rows_frame([reference, *map(_comparison_row, comparisons)], COMPARED)


def aligned_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row for each step of each run that is compared with the reference. The columns are `ALIGNED`."""
    return rows_frame([_aligned_row(one, row) for one in comparisons for row in one.rows], ALIGNED)


def _compared_row(run: Run) -> tuple[Json, ...]:
    return run.run_id, run.outcome, run.status, len(run.steps)


def _spent_row(run: Run) -> tuple[Json, ...]:
    return token_count(run.tokens), run.cost_usd, run.uncosted_calls


def _comparison_row(comparison: Comparison) -> tuple[Json, ...]:
    relations = [row.relation for row in comparison.rows]
    findings = (None if some is None else [one.detector for one in some] for some in (comparison.gone, comparison.new))
    counts = (relations.count(relation) for relation in ("same", "changed", "added", "removed"))
    return *_compared_row(comparison.right), *counts, sum(one.fork for one in comparison.effects), *_spent_row(comparison.right), *findings


def _aligned_row(comparison: Comparison, row: Aligned) -> tuple[Json, ...]:
    step = comparison.right.step(row.right) if row.right is not None else comparison.left.step(row.left or 0)
    return comparison.right.run_id, row.relation, row.left, row.right, step.kind, step.name, list(row.aspects)


def flow_frame(runs: Iterable[Run], chosen: Run | None = None, *, calls: int = 5, ways: int = 5) -> pl.DataFrame:
    """Which tool runs called after which, for their first `calls` tool calls, and which way the `chosen` run took. The columns are `FLOW`.

    At each place the most frequent `ways` are followed, each taken by a fiftieth of the runs at least, and that of the chosen run, which counts as one of them,
    once. Runs that took another are gathered as (other) there, and followed no further: so few lines stay, however little the runs have in common.
    """
    taken = {run.run_id: _way(run, calls) for run in (*runs, *([chosen] if chosen else []))}
    mine = taken.get(chosen.run_id) if chosen else None
    followed, rows = list(taken.values()), []
    for place in range(calls + 1):
        pairs = [(way[place], way[place + 1]) for way in followed if len(way) > place + 1]
        own = (mine[place], mine[place + 1]) if mine and len(mine) > place + 1 else None
        kept = _usual(Counter(pairs), ways, len(taken) / 50) | {own}
        counted = Counter(pair if pair in kept else (pair[0], OTHER) for pair in pairs)
        rows += [(place, *pair, count, pair == own) for pair, count in sorted(counted.items())]
        followed = [way for way in followed if len(way) > place + 1 and (way[place], way[place + 1]) in kept]
    return rows_frame(rows, FLOW)


def _way(run: Run, calls: int) -> tuple[str, ...]:
    """The start, the first tool calls of a run, and its end, or that there are more."""
    called = [step.name for step in run.of_kind("tool")]
    return (START, *called[:calls], END if len(called) <= calls else MORE)


def _usual(counted: Counter[tuple[str, str]], most: int, least: float) -> set[tuple[str, str] | None]:
    """The most frequent ways from one tool to the next, and all that lead to no tool."""
    ends = {pair for pair in counted if pair[1] in (END, MORE)}
    tools = sorted((pair for pair in counted if pair not in ends and counted[pair] >= least), key=lambda pair: (-counted[pair], pair))
    return {*ends, *tools[:most]}


def latency_frame(steps: pl.DataFrame, by: str = "kind") -> pl.DataFrame:
    """How long steps took, by kind or name, the slowest (by their 95th percentile) first: `steps`, `p50_ms`, `p95_ms`, `max_ms`.

    Steps without both times are left out.
    """
    took, timed = pl.col("duration_ms"), steps.filter(pl.col("duration_ms").is_not_null())
    spread = [took.quantile(share, "linear").alias(f"p{share * 100:.0f}_ms") for share in (0.5, 0.95)]
    return timed.group_by(by).agg(pl.len().alias("steps"), *spread, took.max().alias("max_ms")).sort(["p95_ms", by], descending=[True, False])


def models_frame(steps: pl.DataFrame) -> pl.DataFrame:
    """The model calls by model: `calls`, `total_tokens`, `cost_usd` (null where none was recorded), the model with most calls first."""
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in ("total_tokens", "cost_usd")]
    calls = steps.filter(pl.col("kind") == "model")
    return calls.group_by("model").agg(pl.len().alias("calls"), *sums).sort(["calls", "model"], descending=[True, False])


def findings_over_time_frame(findings: pl.DataFrame, runs: pl.DataFrame, by: str = "severity", *, stretches: int = 24) -> pl.DataFrame:
    """How many `findings` the runs have that `started` in each stretch of time, by severity or detector; empty stretches between them have a row each.

    `findings` and `runs` are frames of `FINDINGS` and `RUNS`. The time of all runs is cut into at most so many stretches of equal length, minutes at least.
    """
    times = runs.select("run_id", "started").drop_nulls()
    if not times.height or not findings.height:
        return pl.DataFrame(schema={"started": UTC, by: pl.String, "findings": pl.UInt32})
    began = times["started"].dt.timestamp("ms").to_list()
    span = (max(began) - min(began)) / 60_000
    minutes = next((length for length in STRETCHES if span < length * (stretches - 1)), STRETCHES[-1])
    floor = pl.col("started").dt.truncate(f"{minutes}m")
    counted = findings.select("run_id", pl.col(by).cast(pl.String)).join(times, on="run_id").group_by(floor, by).agg(pl.len().alias("findings"))
    every = times.select(floor).unique().sort("started").upsample("started", every=f"{minutes}m")
    quiet = every.join(counted, on="started", how="anti").select("started", pl.lit(counted[by].first()).alias(by), pl.lit(0, pl.UInt32).alias("findings"))
    return pl.concat([counted, quiet]).sort("started", by)


def ledger_frame(lines: Iterable[LedgerEntry]) -> pl.DataFrame:
    """One row a line of the ledger of side effects, oldest first."""
    return rows_frame([_ledger_row(line) for line in lines], LEDGER)


def rows_frame(rows: Iterable[Sequence[Json]], schema: Schema) -> pl.DataFrame:
    """Rows of plain values as a frame of these columns."""
    return pl.DataFrame([tuple(map(_encodable, row)) for row in rows], schema=schema, orient="row")


def _encodable(value: Json) -> Json:
    """Text that UTF-8 can hold: a lone surrogate, which JSON allows and polars refuses, becomes its code point."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return {name: _encodable(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def _ledger_row(line: LedgerEntry) -> tuple[Json, ...]:
    told = {name: getattr(line, name) for name in LEDGER if name not in ("at", "arguments", "result")}
    content = {name: None if (value := getattr(line, name)) is None else canonical(value) for name in ("arguments", "result")}
    found: dict[str, Json] = {"at": line.at_ns, **told, **content, "already": "; ".join(line.already)}
    return tuple(found[name] for name in LEDGER)


def _finding_row(finding: Finding) -> tuple[Json, ...]:
    return (
        finding.finding_id,
        finding.run_id,
        finding.step,
        finding.detector,
        finding.severity,
        finding.score,
        finding.message,
        finding.capability,
        finding.item,
        canonical(finding.numbers),
        [proof.model_dump(exclude={"run_id"}) for proof in finding.evidence],
        finding.refute,
    )
