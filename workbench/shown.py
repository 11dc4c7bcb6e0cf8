"""How a value shows itself in a notebook: static HTML and text. Who makes them is found at run time: a value knows nothing of display."""

from __future__ import annotations

from importlib import import_module
from typing import Any

MAKER = "workbench.report.static.values"


class Shown:
    """What notebooks ask of a value. The `repr` stays what it is, for tracebacks and tests."""

    def _repr_html_(self) -> str:
        return str(import_module(MAKER).html_of(self))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": import_module(MAKER).text_of(self)}
