"""What a person sees and clicks: hand-written widgets (plain ESM and CSS) over the model's values. Loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.widgets.asking import AskHere
    from workbench.widgets.comparison import ComparisonView
    from workbench.widgets.findings import FindingsView
    from workbench.widgets.fork_panel import ForkPanel
    from workbench.widgets.receipts import ReceiptView
    from workbench.widgets.run_list import RunList
    from workbench.widgets.stepper import Stepper

__all__ = ["AskHere", "ComparisonView", "FindingsView", "ForkPanel", "ReceiptView", "RunList", "Stepper"]
MODULES = {
    "AskHere": "asking",
    "ComparisonView": "comparison",
    "FindingsView": "findings",
    "ForkPanel": "fork_panel",
    "ReceiptView": "receipts",
    "RunList": "run_list",
    "Stepper": "stepper",
}


def __getattr__(name: str) -> Any:
    """Load a widget, and with it anywidget and ipywidgets, on first use."""
    if name not in MODULES:
        raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"workbench.widgets.{MODULES[name]}"), name)
