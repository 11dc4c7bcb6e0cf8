"""What a person holds in a notebook: a bench over one store, its runs, their forks, and comparisons."""

from workbench.bench.bench import Bench, Incident, compare, open
from workbench.bench.recorded_run import RecordedRun
from workbench.bench.results import Audited, Backtested, Ingested

__all__ = ["Audited", "Backtested", "Bench", "Incident", "Ingested", "RecordedRun", "compare", "open"]
