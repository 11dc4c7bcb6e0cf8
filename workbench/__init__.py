"""Replay Workbench: open an incident, see what went wrong and why, step through it, fork it safely, hand in a report.

    import workbench as wb
    bench = wb.open("incident.db")

Importing this is cheap: what needs sqlmodel, polars, plotly or langgraph is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.bench import Bench, RecordedRun, compare, open
    from workbench.live.exporter import StoreExporter
    from workbench.live.recorder import record
    from workbench.widgets.asking import ask_here

__all__ = ["Bench", "RecordedRun", "StoreExporter", "__version__", "ask_here", "compare", "open", "record"]
__version__ = "0.1.0"
_HOMES = {
    **dict.fromkeys(("Bench", "RecordedRun", "compare", "open"), "workbench.bench"),
    "StoreExporter": "workbench.live.exporter",
    "ask_here": "workbench.widgets.asking",
    "record": "workbench.live.recorder",
}


def __getattr__(name: str) -> Any:
    """Load the public names on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext workbench`: adds `%%record` and `%incident` to a notebook."""
    from workbench.magics import load  # noqa: PLC0415  # IPython is only there in a notebook

    load(shell)
