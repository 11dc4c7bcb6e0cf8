"""What many runs of an agent show of it, as a notebook holds it: the flowchart of its paths, and whether its confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.cohorts.calibration import Calibration
from workbench.cohorts.paths import Paths
from workbench.report import static
from workbench.report.quantities import plural

SHOWN = 12
"""How many paths are told one by one."""


class Flowchart:
    """The paths of an agent's runs, drawn: the most frequent one as a line of boxes, the others below. `paths` holds the counts."""

    def __init__(self, paths: Paths, agent: str | None = None) -> None:
        self.paths, self.agent = paths, agent

    @property
    def verdict(self) -> str:
        """Whether it is an agent or a pipeline, with the figures that say so."""
        paths = self.paths
        if not paths.counts:
            return "no run called a tool"
        what = "a pipeline more than an agent" if paths.is_pipeline else "an agent: its runs take different paths"
        return f"{plural(paths.runs, 'run')}, {plural(len(paths.counts), 'path')}, {paths.entropy_bits:.2f} bits: {what}"

    def __repr__(self) -> str:
        return static.paths_text(self._title, self._says, self.paths, SHOWN)

    def _repr_html_(self) -> str:
        return static.paths_html(self._title, self._says, self.paths, SHOWN)

    @property
    def _title(self) -> str:
        return f"paths of {self.agent}" if self.agent else "paths of all runs"

    @property
    def _says(self) -> list[str]:
        return [self.verdict, *([f"{plural(self.paths.without, 'run')} without a tool call"] if self.paths.without else [])]


class Calibrated:
    """Stated confidence against what came of it, shown as a table; `calibration` holds the figures."""

    def __init__(self, found: Calibration) -> None:
        self.calibration = found

    def __repr__(self) -> str:
        return static.tabular_text(self._title, self._says, self._columns, list(self._rows()))

    def _repr_html_(self) -> str:
        rows = list(self._rows())
        return static.tabular_html(self._title, self._says, self._columns, rows, [""] * len(rows))

    _columns = ("ended with a confidence of", "stated on average", "went well")

    @property
    def _title(self) -> str:
        return f"calibration over {plural(self.calibration.runs, 'run')}"

    @property
    def _says(self) -> list[str]:
        found = self.calibration
        scores = [] if found.brier is None else [f"Brier score {found.brier:.3f}, expected calibration error {found.expected_error:.3f}; 0 is best"]
        left = [f"{plural(found.left_out, 'run')} without a confidence or without a known outcome"] if found.left_out else []
        return [*scores, *left]

    def _rows(self) -> Iterator[tuple[str, ...]]:
        return ((f"{one.low:.1f} to {one.high:.1f}", f"{one.stated:.2f}", str(one.well)) for one in self.calibration.bins)
