"""What a person sees and clicks: hand-written widgets (plain ESM and CSS) over the model's values. Loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.widgets.stepper import Stepper

__all__ = ["Stepper"]


def __getattr__(name: str) -> Any:
    """Load a widget, and with it anywidget and ipywidgets, on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}; it offers {', '.join(__all__)}")
    from workbench.widgets import stepper  # noqa: PLC0415  # the lazy import is the point

    return getattr(stepper, name)
