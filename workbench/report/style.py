"""The one style sheet of an HTML report, and the content-security policy that allows it and nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

CSS = Path(__file__).with_name("report.css").read_text("utf-8")
POLICY = f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()}'; base-uri 'none'; form-action 'none'"
