"""A sweep in a report: what came of every fork of a run, how often the counted outcome held, and whether the change did it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from workbench.intervals import Share, share
from workbench.model import Change, Evidence, Finding, Run, Value, digest
from workbench.report.claims import HASH_DIGITS
from workbench.report.document import Block, Code, Facts, Mark, Paragraph, Phrase, Row, Section, Table
from workbench.report.quantities import DASH, count, duration, line, plural
from workbench.report.steps import literal_line, steps_table

MAX_FORKS, VALUE_CHARS, SAYS_CHARS = 300, 60, 300
HOW_TONES = {"done": "ok", "done before": "ok", "failed": "error", "left": "warning"}
UNJUDGED = {"halted": "met a call that has no recording, or were stopped", "failed": "failed"}
PARENT = "run"
"""The anchor prefix of the forked run's steps."""

How = Literal["done", "done before", "failed", "left"]


class SweptFork(Value):
    """One fork: where, what was changed, what came of it, `evidence` being its last word.

    `held` is None where there is no fork, or it can't be judged: `unjudged` says why, "halted" or "failed".
    """

    at: int
    change: Change
    number: int
    how: How
    says: str = ""
    run_id: str | None = None
    status: str | None = None
    outcome: str | None = None
    unjudged: str = ""
    held: bool | None = None
    clean: bool | None = None
    live_calls: int | None = None
    seconds: float | None = None
    evidence: Evidence | None = None


class SweptGroup(Value):
    """The forks with one change at one step: how often the outcome held, and against the unchanged ones by how much more (95 %), with the verdict."""

    at: int
    change: Change
    forks: int
    hits: int
    judged: int
    difference: tuple[float, float] | None = None
    verdict: str = ""

    @property
    def share(self) -> Share:
        """How often the outcome held among the forks that could be judged."""
        return share(self.hits, self.judged)


class Sweep(Value):
    """The forks of one run. `counted` is what was counted, `word` how it was asked for; empty where it was a function of the user's."""

    run_id: str
    counted: str
    word: str = ""
    groups: tuple[SweptGroup, ...] = ()
    forks: tuple[SweptFork, ...] = ()


def said_of(change: Change) -> str:
    """A change in a few words."""
    return "unchanged" if change.kind == "none" else f"{change.kind.replace('_', ' ')} {line(literal_line(change.value), VALUE_CHARS)}"


def last_word(run: Run) -> Evidence | None:
    """What a run came to, cited: its final answer, else its last error, else how its last step ended; None for one without steps."""
    answers = (step for step in reversed(run.steps) if step.kind == "model" and step.output and step.output.content and not step.output.tool_calls)
    ends = [("$.output.content", next(answers, None))]
    ends += [("$.error", next((step for step in reversed(run.steps) if step.error), None))]
    ends += [("$.status", run.steps[-1] if run.steps else None)]
    found = next(((path, step) for path, step in ends if step is not None), None)
    return Evidence.cite(run, found[1].index, found[0], "what it came to") if found else None


def sweep_sections(sweep: Sweep, runs: Sequence[Run]) -> Iterator[Section]:
    """The sections in reading order. `runs` hold the forked run's changed steps, and of each fork the step that its evidence cites."""
    places = {run.run_id: (PARENT if run.run_id == sweep.run_id else f"fork-{number}", run) for number, run in enumerate(runs)}
    yield Section("In short", tuple(_short(sweep)), "summary")
    yield Section("By step and change", (_groups(sweep.groups),), "groups")
    yield Section("Forks", tuple(_forks(sweep, places)), "forks")
    yield Section("What is not known", tuple(Paragraph((one,)) for one in _unknown(sweep)), "unknown")
    if sweep.run_id in places:
        yield Section("Steps that were forked at", (steps_table(places[sweep.run_id][1], list[Finding](), PARENT),), "forked-steps")


def _short(sweep: Sweep) -> Iterator[Block]:
    for group in sweep.groups:
        if group.verdict:
            tone = "ok" if group.verdict.startswith("the change") else "warning"
            yield Paragraph((Mark(f"step {group.at}", tone), f" {said_of(group.change)}: {group.verdict}."), tone)
    hows = [one.how for one in sweep.forks]
    live = [one.live_calls for one in sweep.forks if one.live_calls is not None]
    spent = [one.seconds for one in sweep.forks if one.seconds is not None]
    asked = f"asked for as “{sweep.word}”" if sweep.word else "told by a function of the user's"
    yield Facts(
        (
            ("forked run", (Code(line(sweep.run_id, 80)),)),
            ("forks", (f"{plural(len(hows), 'fork')}: {', '.join(f'{hows.count(how):,} {how}' for how in dict.fromkeys(hows)) or 'none'}",)),
            ("counted", (f"{sweep.counted}, {asked}",)),
            ("live calls", (count(sum(live)) if live else DASH,)),
            ("took together", (duration(1000 * sum(spent)) if spent else DASH,)),
        )
    )


def _groups(groups: Iterable[SweptGroup]) -> Table:
    rows = tuple(
        Row(
            (
                (f"{one.at}",),
                (said_of(one.change),),
                (f"{one.forks:,}",),
                (f"{one.forks - one.judged:,}",),
                (str(one.share),),
                (DASH if one.difference is None else "[{:+.2f}, {:+.2f}]".format(*one.difference),),
            )
        )
        for one in groups
    )
    columns = ("step", "change", "forks", "not judged", "outcome held [95 %]", "more than unchanged [95 %]")
    return Table(columns, rows, frozenset({"step", "forks", "not judged"}), "An interval that holds 0 shows nothing.")


def _forks(sweep: Sweep, places: Mapping[str, tuple[str, Run]]) -> Iterator[Block]:
    rows = tuple(_fork(one, places) for one in sweep.forks[:MAX_FORKS])
    left = len(sweep.forks) - len(rows)
    caption = f"{plural(left, 'more fork')}: the JSON report has all." if left else ""
    yield Table(("step", "change", "#", "how", "fork", "receipt", "held", "live calls", "came to"), rows, frozenset({"step", "#", "live calls"}), caption)


def _fork(one: SweptFork, places: Mapping[str, tuple[str, Run]]) -> Row:
    held = one.unjudged or (DASH if one.held is None else "yes" if one.held else "no")
    receipt: Phrase = (DASH,) if one.clean is None else (Mark("clean" if one.clean else "not clean", "ok" if one.clean else "error"),)
    return Row(
        (
            (f"{one.at}",),
            (said_of(one.change),),
            (f"{one.number}",),
            (Mark(one.how, HOW_TONES[one.how]),),
            (Code(line(one.run_id, 60)) if one.run_id else DASH,),
            receipt,
            (held,),
            (count(one.live_calls),),
            _came_to(one, places),
        ),
        "error" if one.how == "failed" else "",
    )


def _came_to(one: SweptFork, places: Mapping[str, tuple[str, Run]]) -> Phrase:
    """The fork's outcome with its evidence; without a fork why there is none."""
    if one.run_id is None:
        return (line(one.says, SAYS_CHARS) or DASH,)
    outcome = line(one.outcome or DASH, SAYS_CHARS)
    if one.evidence is None or one.run_id not in places:
        return (outcome,)
    return (outcome, *_cited(one.evidence, places[one.run_id][1]))


def _cited(proof: Evidence, run: Run) -> Phrase:
    """Where the outcome stands in the fork, and whether it has the hash that was cited."""
    intact = digest(run.step(proof.step).at(proof.path)) == proof.sha256
    mark = Mark("verified", "ok") if intact else Mark("does not match what was cited", "error")
    return (f" · step {proof.step} ", Code(proof.path), " · sha256 ", Code(proof.sha256[:HASH_DIGITS]), " ", mark)


def _unknown(sweep: Sweep) -> Iterator[str]:
    failed = sum(one.how == "failed" for one in sweep.forks)
    if failed:
        yield f"What {plural(failed, 'fork')} would have come to: they could not be made."
    for why, says in UNJUDGED.items():
        if left := sum(one.unjudged == why for one in sweep.forks):
            yield f"What {plural(left, 'fork')} would have come to: they {says}, and are counted in no share."
    if not any(one.change.kind == "none" for one in sweep.forks):
        yield "Whether the change did it: there are no unchanged forks to hold it against; a plain re-run changes outcomes too."
    if not sweep.word:
        yield "What was counted was told by a function of the user's, which a check of this report can't repeat."
    yield "What these forks would do outside of the sandbox, with the world as it is now: what is recorded was served as it was then."
