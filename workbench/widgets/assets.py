"""The browser's half of a widget, as anywidget takes it: one ESM and one style sheet.

An ESM that travels as text can import no other, so what all widgets share (`elements.js`, `elements.css`) is put before a widget's own file.
"""

from __future__ import annotations

import re
from pathlib import Path

AFTER_A_SIGN = re.compile(r"(?<=[{;:,]) ")
"""A space in a style sheet that only people need; no text in ours has one there."""
HERE = Path(__file__).parent
REMARK = re.compile(r"^\s*//.*\n|^/\*[^*]*\*/\n|^ +", re.MULTILINE)
"""What only people who read the file have something of: a line that is a remark, and spaces before others (no text of ours goes over several lines)."""


def esm(*names: str | Path) -> str:
    """`elements.js` and the files of these names (without ending; here, or a whole path) after it, as one module; comment and indents stay behind."""
    return _joined(names, ".js")


def css(*names: str | Path) -> str:
    """`elements.css` and the files of these names after it, as one style sheet, without the spaces that only people need."""
    return AFTER_A_SIGN.sub("", _joined(names, ".css"))


def _joined(names: tuple[str | Path, ...], ending: str) -> str:
    return REMARK.sub("", "\n".join((HERE / f"{name}{ending}").read_text(encoding="utf-8") for name in ("elements", *names)))
