"""The receipt of a fork as a notebook holds it: it shows itself, and opens as a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.model import Receipt
from workbench.report import static

if TYPE_CHECKING:
    from workbench.widgets import ReceiptView


class Received(Receipt):
    """A receipt that shows itself as text and HTML."""

    def view(self, **chosen: Any) -> ReceiptView:
        """The live view; `chosen` sets what it shows, as its traits do: `view(part="calls", only="live")`."""
        from workbench.widgets import ReceiptView  # noqa: PLC0415  # ipywidgets is only needed in a notebook

        return ReceiptView(self, **chosen)

    def __repr__(self) -> str:
        return static.receipt_text(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return static.receipt_html(self)
