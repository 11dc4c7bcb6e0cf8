"""Findings of one run or of many, live: `FindingsView(findings, not_evaluated, …)`: why, the evidence a click away, what would refute each, and one's verdict.

One column for each thing the list shows, so that thousands open at once; what a finding says in full is sent for the first of them and asked for
by the others. What is confirmed or dismissed, with a note, is handed on to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, get_args

import traitlets

from workbench.checklist import Capability
from workbench.figures import Record, told
from workbench.model import Finding, Json, NotEvaluated, Review, Severity
from workbench.widgets import assets, packing
from workbench.widgets.code import called, forking, is_plain, literal, opening
from workbench.widgets.excerpt import sendable
from workbench.widgets.opening import Below, Opener, Static

Keep = Callable[[Finding, Literal["confirmed", "dismissed"], str, str | None], Review]
"""What keeps a person's word on a finding: the verdict, a note, and who says so where that is not whoever runs this."""
REVIEWED = ("", "open", "confirmed", "dismissed")
GIST_CHARS, GIST_BYTES = 160, 400_000
"""How much of each message the list is sent, and of all of them together."""
MAX_LACKS, MAX_NAMED, MAX_SAID = 200, 5, 50


class FindingsView(Opener):
    """Findings, the gravest first. Enter opens the run at the chosen one's step below, `f` the panel to fork it; `c` confirms, `d` dismisses, with a note.

    `words`, `severity`, `detector`, `capability` and `reviewed` say which findings are shown; each may be set from Python. `keep` is called with each verdict
    (LookupError and the like are shown), said by `by`; without it there is nothing to confirm with. TraitError for a finding that is not there.
    """

    _esm: ClassVar[Any] = assets.esm("opening", "filtered", "findings")
    _css: ClassVar[Any] = assets.css("opening", "filtered", "findings")

    # The browser is ahead of the kernel: an echo of an older choice would throw it back.
    finding_id = traitlets.Unicode(help="The chosen finding; empty where there is none.").tag(sync=True, echo_update=False)
    words = traitlets.Unicode(help="Text that a finding's message, detector or run holds.").tag(sync=True, echo_update=False)
    severity = traitlets.Enum(("", *get_args(Severity)), default_value="").tag(sync=True, echo_update=False)
    detector = traitlets.Unicode().tag(sync=True, echo_update=False)
    capability = traitlets.Enum(("", *get_args(Capability)), default_value="").tag(sync=True, echo_update=False)
    reviewed = traitlets.Enum(REVIEWED, default_value="", help='What people made of the shown ones; "open": nobody reviewed them.').tag(
        sync=True, echo_update=False
    )
    _table = traitlets.Dict().tag(sync=True)
    _details = traitlets.Dict().tag(sync=True)
    _reviews = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        findings: Sequence[Finding],
        not_evaluated: Sequence[NotEvaluated] = (),
        *,
        records: Iterable[Record] = (),
        reviews: Iterable[Review] = (),
        keep: Keep | None = None,
        by: str | None = None,
        below: Below,
        static: Static,
        **state: Any,
    ) -> None:
        self.findings = tuple(findings)
        self._places = {one.finding_id: place for place, one in reversed([*enumerate(self.findings)])}
        self._keep, self.by = keep, by
        self._done = ""
        table = {**_packed(self.findings, not_evaluated, tuple(records)), "may_review": keep is not None, "forkable": below.fork is not None}
        first = {"finding_id": self.findings[0].finding_id} if self.findings else {}
        said, details = _said(self.findings, reviews), _eager(self.findings, packing.OPEN_BYTES - packing.size(table))
        super().__init__(below, static, _table=table, _details=details, _reviews=said, **{**first, **state})

    @property
    def code(self) -> str:
        """The line that repeats the last verdict, else the one that opens the run at the chosen finding's step."""
        if self._done or not self.finding_id:
            return self._done or "bench.findings()"
        chosen = self.findings[self._places[self.finding_id]]
        return f"{opening(chosen.run_id)}{'' if chosen.step is None else f'step={chosen.step}'})"

    @traitlets.validate("finding_id")
    def _known_finding(self, proposal: dict[str, Any]) -> str:
        value: str = proposal["value"]
        if value and value not in self._places:
            raise traitlets.TraitError(f"no finding {value!r} among these {len(self.findings):,}")
        return value

    @traitlets.observe("finding_id")
    def _chosen(self, _change: object) -> None:
        self._done = ""

    def review(self, finding: Finding, verdict: Literal["confirmed", "dismissed"], note: str = "") -> Review:
        """Confirm or dismiss a finding, with a note, as a click does."""
        if self._keep is None:
            raise ValueError("these findings were shown without a store to keep a verdict in")
        review = self._keep(finding, verdict, note, self.by)
        same = [str(place) for place, one in enumerate(self.findings) if one.key == finding.key]
        self._reviews = {**self._reviews, **{place: [_review(review), *self._reviews.get(place, ())] for place in same}}
        self._done = called("bench.review", finding.finding_id, verdict, *filter(None, [note]), **({"by": self.by} if self.by else {}))
        return review

    def _answer(self, question: dict[str, Json]) -> dict[str, Json]:
        match question["ask"]:
            case "finding":
                return {"detail": _detail(self.findings[question["place"]])}
            case "review":
                self.review(self.findings[question["place"]], question["verdict"], question["note"])
                return {"code": self._done}
        return super()._answer(question)

    def __repr__(self) -> str:
        """How many findings it shows, and the line of code for what was done last."""
        return f"<FindingsView of {len(self.findings):,} findings: {self.code}>"


def _packed(findings: Sequence[Finding], lacks: Sequence[NotEvaluated], records: Sequence[Record]) -> dict[str, Json]:
    """One column for each thing the list shows, the names that recur once each, each detector's figures, and what was not evaluated."""
    runs = list(dict.fromkeys(one.run_id for one in findings))
    run_of = {run_id: number for number, run_id in enumerate(runs)}
    detectors, detector_of = packing.table(one.detector for one in findings)
    capabilities, capability_of = packing.table(one.capability for one in findings)
    return {
        "ids": [one.finding_id for one in findings],
        "runs": [sendable(run_id) for run_id in runs],
        "literals": {number: literal(run_id) for number, run_id in enumerate(runs) if not is_plain(run_id)},
        "run": [run_of[one.run_id] for one in findings],
        "detectors": detectors,
        "detector": detector_of,
        "figures": [sendable(told(name, records)) for name in dict.fromkeys(one.detector for one in findings)],
        "capabilities": capabilities,
        "capability": capability_of,
        "severity": "".join(one.severity[0] for one in findings),
        "step": [one.step for one in findings],
        "gist": _gists(findings),
        "lacks": list(_lacking(lacks)),
        "lacks_count": len({(one.detector, one.why) for one in lacks}),
    }


def _gists(findings: Sequence[Finding]) -> list[str]:
    """The beginnings of the messages, as far down the list as they fit."""
    gists, used = [], 0
    for one in findings:
        gists.append(sendable(" ".join(one.message[: 2 * GIST_CHARS].split())[:GIST_CHARS]))
        used += len(gists[-1].encode())
        if used > GIST_BYTES:
            break
    return gists


def _eager(findings: Sequence[Finding], budget: int) -> dict[str, Json]:
    """What the first findings say in full, by their places, as far as the budget goes."""
    details: dict[str, Json] = {}
    for place, one in enumerate(findings):
        detail = _detail(one)
        budget -= packing.size(detail) + 8
        if budget < 0:
            break
        details[str(place)] = detail
    return details


def _detail(finding: Finding) -> dict[str, Json]:
    return {**packing.told(finding), "fork": forking(finding)}


def _said(findings: Sequence[Finding], reviews: Iterable[Review]) -> dict[str, list[Json]]:
    """All that was said of each finding, by their places: the newest first, and what was said elsewhere, which decides nothing here, last."""
    told: dict[str, list[Review]] = {}
    for one in reviews:
        told.setdefault(one.key, []).insert(0, one)
    ordered = {key: sorted(those, key=lambda one: one.origin is not None) for key, those in told.items()}
    return {str(place): [_review(one) for one in ordered[finding.key][:MAX_SAID]] for place, finding in enumerate(findings) if finding.key in ordered}


def _review(review: Review) -> dict[str, Json]:
    by, origin = (one if one is None else sendable(one[:200]) for one in (review.by, review.origin))
    return {"verdict": review.verdict, "note": sendable(review.note[:2000]), "by": by, "reviewed_ms": review.reviewed_ns // 1_000_000, "origin": origin}


def _lacking(lacks: Sequence[NotEvaluated]) -> Iterator[dict[str, Json]]:
    """What could not be judged, once for each detector and reason, with how many runs and the first of them."""
    runs: dict[tuple[str, str], list[str]] = {}
    for one in lacks:
        runs.setdefault((one.detector, one.why), []).append(one.run_id)
    for (detector, why), those in sorted(runs.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_LACKS]:
        yield {"detector": sendable(detector), "why": sendable(why[:500]), "runs": len(those), "first": [sendable(one) for one in those[:MAX_NAMED]]}
