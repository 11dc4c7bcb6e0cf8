"""Two or more runs side by side as a view: aligned steps with what is equal folded, open at the first divergence; what differs inside a step; the ends.

The browser gets the alignment in columns, and what the rows near the first divergence say; it asks for the rest, and for the states at the end, by custom
message. What is ignored is a public trait: another choice aligns the runs anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar

import traitlets

from workbench.analysis.calls import token_count
from workbench.comparison.comparison import IGNORABLE, Beside, Ignored, beside, parts
from workbench.comparison.difference import difference
from workbench.model import Aligned, Comparison, EffectCount, Finding, Json, Run, Step
from workbench.report.forks import deviates, effect_word, gone_word
from workbench.report.quantities import DASH, money
from workbench.report.steps import gist
from workbench.widgets import assets
from workbench.widgets.asking import Heard
from workbench.widgets.code import called, literal
from workbench.widgets.excerpt import as_text, excerpt, fold_logprobs, sendable
from workbench.widgets.packing import size

EAGER_BYTES = 400_000
"""What is sent of the rows that differ when the view opens; the rest is asked for."""
MOST_PARTS, PART_CHARS, GIST_CHARS, OUTCOME_CHARS = 60, 4_000, 160, 4_000
MOST_FINDINGS, MOST_EFFECTS, MOST_CHANGES, CHANGE_CHARS = 200, 200, 400, 1_000
SIGNS = {"same": "=", "changed": "~", "added": "+", "removed": "-"}
NOTHING = "."

Compare = Callable[[Collection[Ignored]], Sequence[Comparison]]
End = Callable[[int], dict[str, Json]]


class ComparisonView(Heard):
    """Step through what differs between runs, the first being the reference. `row` is the row one looks at; it opens at the first divergence.

    `compare` aligns the runs, ignoring "ids" or "times"; `texts` is the static form, as HTML and text; `end` reads the state at the end of a run, by its place.
    """

    _esm: ClassVar[Any] = assets.esm("values", "comparison")
    _css: ClassVar[Any] = assets.css("values", "comparison")

    row = traitlets.Int(help="The row one looks at.").tag(sync=True, echo_update=False)
    inline = traitlets.Bool(help="What differs below each other rather than side by side.").tag(sync=True, echo_update=False)
    unfolded = traitlets.List(traitlets.Int(), help="First rows of the equal stretches that are unfolded.").tag(sync=True, echo_update=False)
    ignore = traitlets.List(traitlets.Enum(IGNORABLE), help='What is left out of the comparison: "ids", "times".').tag(sync=True, echo_update=False)
    _head = traitlets.Dict().tag(sync=True)
    _aligned = traitlets.Dict().tag(sync=True)

    def __init__(self, compare: Compare, *, texts: Callable[[], tuple[str, str]], end: End | None = None, ignore: Collection[str] = (), **given: Any) -> None:
        self._compare, self._texts, self._end = compare, texts, end
        super().__init__(ignore=sorted(ignore))
        self._align(None)
        first = next((number for number, one in enumerate(self._rows) if not _same(one)), 0)
        self.set_trait("row", self._valid(given.pop("row", first)))
        for name, value in given.items():
            self.set_trait(name, value)
        self.observe(self._align, "ignore")
        self.on_msg(self._on_message)

    @property
    def code(self) -> str:
        """The line that opens this view at this row again."""
        ignored = f", ignore={_listed(self.ignore)}" if self.ignore else ""
        inline = {"inline": True} if self.inline else {}
        return f"{self._opening}{ignored})." + called("view", row=self.row, **inline)

    @property
    def _opening(self) -> str:
        return f"wb.compare({', '.join(f'bench.run({literal(run.run_id)})' for run in self._runs)}"

    @property
    def _runs(self) -> list[Run]:
        return [self.comparisons[0].left, *(one.right for one in self.comparisons)]

    def _valid(self, row: int) -> int:
        if not 0 <= row < max(1, len(self._rows)):
            raise traitlets.TraitError(f"there is no row {row}: rows go from 0 to {len(self._rows) - 1}")
        return row

    def _align(self, _: object) -> None:
        """Align the runs, leaving out what is ignored now."""
        self.comparisons = tuple(self._compare(self.ignore))
        self._rows = beside(self.comparisons)
        self._head = _head(self.comparisons, self._opening)
        self._aligned = {"rows": _columns(self._rows), "told": dict(self._eager()), "ignored": list(self.ignore)}

    def _eager(self) -> Iterator[tuple[int, Json]]:
        """What the rows that differ say, in order, as many as the budget allows."""
        left = EAGER_BYTES
        for number, row in enumerate(self._rows):
            if left <= 0:
                return
            if not _same(row):
                told = self._told(number)
                left -= size(told)
                yield number, told

    def _told(self, number: int) -> dict[str, Json]:
        """One row: the gist of either side, and what differs inside."""
        row = self._rows[number]
        mine = None if row.reference is None else self.comparisons[0].left.step(row.reference)
        ignored = frozenset(self.ignore)
        others = [(None if one is None or one.right is None else self.comparisons[place].right.step(one.right)) for place, one in enumerate(row.others)]
        return {
            "gist": None if mine is None else _gist(mine),
            "others": [
                {
                    "gist": None if one is None else _gist(one),
                    "parts": _parts(mine, one, ignored) if aligned and aligned.relation == "changed" else [],
                }
                for one, aligned in zip(others, row.others, strict=True)
            ],
        }

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        match question.get("ask"):
            case "rows":
                first, last = int(question["from"]), min(int(question["from"]) + 200, int(question["to"]), len(self._rows))
                return {"told": {number: self._told(number) for number in range(first, last)}, "ignored": list(self.ignore)}
            case "whole":
                return {"row": question["row"], "sides": [_whole(one) for one in self._steps(int(question["row"]))]}
            case "ends":
                return {"ends": [self._ends(place) for place in range(1, len(self._runs))]}
        raise ValueError(f"can't answer {question.get('ask')!r}; ask for rows, whole or ends")

    def _steps(self, number: int) -> list[Step | None]:
        row = self._rows[number]
        indexes = [row.reference, *(None if one is None else one.right for one in row.others)]
        return [None if index is None else run.step(index) for run, index in zip(self._runs, indexes, strict=True)]

    def _ends(self, place: int) -> dict[str, Json]:
        """What differs between the state at the end of the reference and that of another run."""
        if self._end is None:
            return {"error": "the states at the end were not kept with these runs"}
        try:
            lines = list(difference(fold_logprobs(self._end(0)), fold_logprobs(self._end(place))))
        except (LookupError, OSError, ValueError) as error:
            return {"error": sendable(str(error))}
        shown = [[one.sign, sendable(one.path), excerpt(as_text(one.value), CHANGE_CHARS)] for one in lines[:MOST_CHANGES]]
        return {"lines": shown, "count": len(lines)}

    def __repr__(self) -> str:
        return self._texts()[1]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live view where there is a kernel, a static page where there isn't, plain text everywhere else."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"], data["text/plain"] = self._texts()
        return data, metadata


def _same(row: Beside) -> bool:
    return all(one is not None and one.relation == "same" for one in row.others)


def _listed(names: Collection[str]) -> str:
    return f"[{', '.join(map(literal, names))}]"


def _gist(step: Step) -> str:
    return sendable(gist(step)[:GIST_CHARS])


def _parts(mine: Step | None, other: Step | None, ignore: frozenset[Ignored]) -> list[Json]:
    if mine is None or other is None:
        return []
    found = parts(mine, other, ignore)
    shown = [[sendable(one.path), *(_side(value) for value in (one.left, one.right))] for one in found[:MOST_PARTS]]
    return [*shown, *([[f"… {len(found) - MOST_PARTS} more", "", ""]] if len(found) > MOST_PARTS else [])]


def _side(value: Json) -> Json:
    return excerpt(value if isinstance(value, str) else as_text(fold_logprobs(value)), PART_CHARS)


def _whole(step: Step | None) -> Json:
    return None if step is None else excerpt(as_text(step.model_dump(mode="json", exclude={"messages"}, exclude_defaults=True)), 20_000)


def _columns(rows: Sequence[Beside]) -> dict[str, Json]:
    """A column for the reference's steps, and of each other run one for its steps, one for how they relate, and what they differ in."""
    others = range(len(rows[0].others) if rows else 0)
    return {
        "reference": [row.reference for row in rows],
        "others": [_column([row.others[place] for row in rows]) for place in others],
    }


def _column(facing: Sequence[Aligned | None]) -> dict[str, Json]:
    return {
        "step": [None if one is None else one.right for one in facing],
        "signs": "".join(NOTHING if one is None else SIGNS[one.relation] for one in facing),
        "aspects": {number: list(one.aspects or one.differs) for number, one in enumerate(facing) if one and (one.aspects or one.differs)},
    }


def _head(comparisons: Sequence[Comparison], opening: str) -> dict[str, Json]:
    """What stands above the rows: of each run what it came to and what it spent, of each but the reference its effects and findings."""
    reference = comparisons[0].left
    return {
        "runs": [_run(reference), *({**_run(one.right), **_against(one)} for one in comparisons)],
        "opening": opening,
        "ignorable": list(IGNORABLE),
    }


def _run(run: Run) -> dict[str, Json]:
    names = list(dict.fromkeys(step.name for step in run.steps))
    place = {name: number for number, name in enumerate(names)}
    return {
        "run_id": sendable(run.run_id),
        "status": run.status,
        "outcome": sendable(run.outcome[:OUTCOME_CHARS]),
        "steps": len(run.steps),
        "tokens": token_count(run.tokens),
        "usd": run.cost_usd,
        "cost": DASH if run.cost_usd is None else money(run.cost_usd) + (f" without {run.uncosted_calls:,} calls" if run.uncosted_calls else ""),
        "fork": None if run.forked_from is None else [sendable(run.forked_from), run.forked_at_step],
        "names": [sendable(name[:200]) for name in names],
        "index": [step.index for step in run.steps],
        "name": [place[step.name] for step in run.steps],
        "kind": "".join(step.kind[0] for step in run.steps),
        "status_of": "".join(step.status[0] for step in run.steps),
        "edited": [step.index for step in run.steps if "edited" in step.notes],
    }


def _against(one: Comparison) -> dict[str, Json]:
    effects = [[sendable(each.key[:300]), each.original, each.fork, effect_word(each), _ways(one.right, each)] for each in one.effects[:MOST_EFFECTS]]
    return {"effects": effects, "effects_count": len(one.effects), "gone": _findings(one.gone), "gone_word": gone_word(one), "new": _findings(one.new)}


def _ways(fork: Run, one: EffectCount) -> str:
    words = {"made": "really made", "inherited": "in the original", "edited": "answered by the edit"}
    return ", ".join(f"{count} {words.get(way, way)}" for way, count in one.became.items()) if fork.forked_from and deviates(one) else ""


def _findings(found: Sequence[Finding] | None) -> Json:
    if found is None:
        return None
    return [[one.severity, one.detector, one.step, sendable(one.message[:400])] for one in found[:MOST_FINDINGS]]
