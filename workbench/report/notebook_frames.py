"""Frames of polars in a notebook: polars escapes what they hold, but JupyterLab and nbconvert would still take a trace's `$…$` in them for a formula."""

from __future__ import annotations

import sys
from typing import Any

from workbench.report.markup import Markup, still

FRAMES = (("polars.dataframe.frame", "DataFrame"), ("polars.series.series", "Series"))


def keep_frames_still() -> None:
    """In a notebook's kernel, let MathJax pass over frames (`workbench.report.markup.still`). Nothing where no kernel runs, or one shows frames its own way."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    html = shell.display_formatter.formatters["text/html"]
    for module, name in FRAMES:
        if (module, name) not in html.deferred_printers and not any((one.__module__, one.__name__) == (module, name) for one in html.type_printers):
            html.for_type_by_name(module, name, _still)


def _still(frame: Any) -> str:
    return still(Markup(frame._repr_html_()))  # polars escapes every name and value in it
