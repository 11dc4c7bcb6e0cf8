"""What detectors found, as a notebook holds it: a list that shows itself as a table, and live where one asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.detection import Detection
from workbench.figures import Figure, Record, agreement, records_of
from workbench.model import Finding, NotEvaluated, Review
from workbench.report import static

if TYPE_CHECKING:
    from workbench.backtest.backtest import Labels
    from workbench.widgets import FindingsView
    from workbench.widgets.opening import Below


class Desk(NamedTuple):
    """What findings ask of the bench they lie on: the reviews that count, all there ever were, one more to keep, and what may stand below a view."""

    reviews: Callable[[], list[Review]]
    every_review: Callable[[], list[Review]]
    review: Callable[[Finding, Literal["confirmed", "dismissed"], str, str | None], Review]
    below: Callable[[], Below]


class Findings(list[Finding]):
    """Findings, the gravest first: a list, with what the detectors could not judge. `.view()` is its live form."""

    def __init__(self, found: Iterable[Finding], not_evaluated: Iterable[NotEvaluated], desk: Desk) -> None:
        super().__init__(found)
        self.not_evaluated = list(not_evaluated)
        self._desk = desk

    @property
    def records(self) -> tuple[Record, ...]:
        """What people here made of each detector's findings."""
        return records_of(self._desk.reviews())

    def view(self, **state: Any) -> FindingsView:
        """The findings live: why, evidence that opens the step below, what would refute each, a verdict of one's own that is kept.

        `state` sets what the list shows, as its traits do: `view(severity="error", reviewed="open")`, and `by=` whose verdicts they are (your user name's,
        unless given). TraitError for what they don't take.
        """
        from workbench.widgets import FindingsView  # noqa: PLC0415  # ipywidgets is only needed in a notebook
        from workbench.widgets.opening import Static  # noqa: PLC0415  # as above

        return FindingsView(
            self,
            self.not_evaluated,
            records=self.records,
            reviews=self._desk.every_review(),
            keep=self._desk.review,
            below=self._desk.below(),
            static=Static(self._repr_html_, self.__repr__),
            **state,
        )

    def __reduce__(self) -> tuple[type[list[Finding]], tuple[list[Finding]]]:
        """Elsewhere, where there is no bench, it is a plain list."""
        return list, (list(self),)

    def __repr__(self) -> str:
        return static.findings_text(self)

    def _repr_html_(self) -> str:
        return static.findings_html(self, self.records, self.not_evaluated)


class Detected:
    """Findings of a store, shown as a table; `detection` says what was looked at just now. `.view()` is its live form."""

    def __init__(self, findings: Findings, done: Detection) -> None:
        self.findings, self.detection = findings, done

    @property
    def not_evaluated(self) -> list[NotEvaluated]:
        """What could not be judged, and why."""
        return self.findings.not_evaluated

    @property
    def records(self) -> tuple[Record, ...]:
        """What people here made of each detector's findings."""
        return self.findings.records

    def agreement(self, labels: Labels) -> tuple[Figure, ...]:
        """How those who spoke agree with labels of which runs failed: precision and recall over the runs looked at just now that each could judge.

        `labels` are a mapping from run ids, a frame, or a CSV file with `run_id` and `failed`. LabelError says what can't be read.
        """
        from workbench.backtest.backtest import read_labels  # noqa: PLC0415  # polars takes a third of a second to import

        failed = read_labels(labels)
        known = {run_id: failed[run_id] for run_id in self.detection.examined if run_id in failed}
        return agreement(self.detection.seconds, self.findings, self.not_evaluated, known, "your labels")

    def view(self, **state: Any) -> FindingsView:
        """The findings live (`Findings.view`)."""
        return self.findings.view(**state)

    def __repr__(self) -> str:
        return repr(self.findings)

    def _repr_html_(self) -> str:
        return self.findings._repr_html_()
