"""The step-through view inside a page: the notebook's own ESM behind a fake model that holds what the page brings along. Without scripts it stays hidden.

The page's policy allows this one script by its hash. Its text is ours and always the same; what a trace says stands beside it as JSON that no browser
executes, in which nothing can end the element. There is no kernel to ask: what is not in the page is said to be missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from workbench.model import Finding, Json, Run
from workbench.report.markup import Markup, element
from workbench.widgets import assets, packing
from workbench.widgets.code import opening
from workbench.widgets.excerpt import sendable

BUDGETS = (350_000, 200_000, 100_000, 0)
"""What the viewer's data may add to a page, in bytes, beside the list of steps that is there without it: the first with which that holds as it is written,
for characters outside ASCII are written out."""
OUTSIDE_ASCII = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
BOOT = """
const held = JSON.parse(document.getElementById("viewer-data").textContent);
const heard = {};
const told = (event, ...given) => (heard[event] ?? []).forEach((listener) => listener(...given));
const absent = "Not in this report, which has no kernel to ask: open the run in a workbench. The list of steps below has what the report holds.";
const model = {
  get: (name) => held[name],
  set: (name, value) => { held[name] = value; },
  save_changes: () => {},
  on: (event, listener) => (heard[event] ??= []).push(listener),
  off: (event, listener) => { heard[event] = (heard[event] ?? []).filter((other) => other !== listener); },
  send: (question) => setTimeout(() => told("msg:custom", { ...question, error: absent })),
};
const section = document.getElementById("viewer");
section.hidden = false;
widget.render({ model, el: section.querySelector("div") });
"""
SCRIPT = assets.esm("opening", "tree", "stepper").replace("export default{", "const widget={") + BOOT
STYLE = assets.css("opening", "stepper")


def viewer(run: Run, findings: Sequence[Finding]) -> tuple[Markup, Markup]:
    """A hidden section for the view, and the two scripts that bring it to life: its data, then the code."""
    section = element("section", element("h2", "Step through"), element("div"), id="viewer", hidden=True)
    data = next(text for budget in BUDGETS if len(text := _written(held(run, findings, budget))) <= max(budget, 1) * 1.1 or not budget)
    scripts = element("script", Markup(data), type="application/json", id="viewer-data") + element("script", Markup(SCRIPT), type="module")
    return section, Markup(scripts)


def _written(value: Json) -> str:
    return json.dumps(value, separators=(",", ":")).translate(OUTSIDE_ASCII)


def held(run: Run, findings: Sequence[Finding], budget: int = BUDGETS[0]) -> dict[str, Json]:
    """The traits of a view that opens at the first bad step, with the details of as many steps around it as fit into `budget` bytes."""
    chosen, pool = packing.opening_step(run, findings), packing.Pool({}, {})
    head = {**packing.outline(run, findings), "code": sendable(opening(run.run_id))}
    steps = packing.eager(run, chosen, budget - packing.size(head), pool)
    return {"step": chosen, "tab": "messages", "collapsed": [], "_outline": head, "_details": {"messages": pool.messages, "steps": steps}}
