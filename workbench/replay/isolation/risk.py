"""How much a re-run could do if it got out: from what the tools of the recorded run do, and from what may go live."""

from __future__ import annotations

from workbench.analysis.effects import ACTING, classify
from workbench.replay.isolation.settings import Risk
from workbench.replay.protocol import Request


def risk_of(request: Request) -> Risk:
    """Critical when a tool may be called for real, high for a run whose tools change the world, medium when that isn't known, low when they only look.

    A tool is what the user's project declares it to be, else what its name says (`workbench.analysis.effects`); one that can't be told makes the risk medium.
    """
    if any(one.startswith("tool:") for one in request.outside):
        return "critical"
    kinds = {request.declared.get(one.name) or classify(one.name) for one in request.cassette.interactions if one.kind == "tool"}
    return "high" if kinds & ACTING else "medium" if "unknown" in kinds else "low"
