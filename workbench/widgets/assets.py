"""The browser's half of a widget, as anywidget takes it: one ESM and one style sheet.

An ESM that travels as text can import no other, so what all widgets share (`elements.js`, `elements.css`) is put before a widget's own file. Remarks and
spaces stay behind; names and order are those of the files, so that what a browser's debugger shows is still ours to read.
"""

from __future__ import annotations

import re
from pathlib import Path

from rcssmin import cssmin
from rjsmin import jsmin

HERE = Path(__file__).parent
REMARK = re.compile(r"(?:^|(?<= ))// .*$", re.MULTILINE)
KEPT = re.compile(r"\$kept(\d+)\$")
NESTED = 4
"""How deep templates stand in templates at most."""


def esm(*names: str | Path) -> str:
    """`elements.js` and the files of these names (without ending; here, or a whole path) after it, as one module."""
    return squeezed(_joined(names, ".js"))


def css(*names: str | Path) -> str:
    """`elements.css` and the files of these names after it, as one style sheet."""
    return str(cssmin(_joined(names, ".css")))


def squeezed(script: str) -> str:
    """A script without remarks and needless spaces. Templates stay as they are: the minifier takes one inside another for code."""
    templates: list[str] = []

    def keep(found: re.Match[str]) -> str:
        templates.append(found[0])
        return f"$kept{len(templates) - 1}$"

    bare = jsmin(TEMPLATE.sub(keep, REMARK.sub("", script)))
    return KEPT.sub(lambda found: templates[int(found[1])], bare)


def _template(nested: int) -> str:
    """What matches a template with others inside it."""
    inner = rf"|{_template(nested - 1)}" if nested else ""
    code = rf"(?:[^`{{}}]|\{{(?:[^`{{}}]{inner})*\}}{inner})*"
    return rf"`(?:[^`\\$]|\\.|\$(?!\{{)|\$\{{{code}\}})*`"


TEMPLATE = re.compile(_template(NESTED), re.DOTALL)


def _joined(names: tuple[str | Path, ...], ending: str) -> str:
    return "\n".join((HERE / f"{name}{ending}").read_text(encoding="utf-8") for name in ("elements", *names))
