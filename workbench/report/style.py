"""The one style sheet of an HTML report, and the content-security policy that allows it, the viewer's script where there is one, and nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

CSS = Path(__file__).with_name("report.css").read_text("utf-8")


def policy(style: str, script: str | None = None) -> str:
    """What a page may do: be styled by this sheet, and run this one script, both told by their hashes. No request, no form, no text made into markup."""
    allowed = [f"default-src 'none'; style-src {_hash(style)}", *([f"script-src {_hash(script)}; require-trusted-types-for 'script'"] if script else [])]
    return "; ".join([*allowed, "base-uri 'none'; form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = policy(CSS)
"""That of a page without a viewer."""
