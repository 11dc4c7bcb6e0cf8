"""A cassette for people: how much of a run can be replayed, from what, and why the rest can't."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from workbench.model import Cassette, Interaction, canonical
from workbench.report.markup import element, still, visible

SHOWN_CHARACTERS = 60


class RunCassette:
    """A run's cassette, shown as text: the share that can be replayed, the reasons why the rest can't, and each recorded answer."""

    def __init__(self, cassette: Cassette) -> None:
        self.cassette = cassette

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; `Cassette.model_validate_json` reads it back."""
        Path(path).write_text(self.cassette.model_dump_json(indent=1), "utf-8")

    def __repr__(self) -> str:
        return cassette_text(self.cassette)

    def _repr_html_(self) -> str:
        return cassette_html(self.cassette)


def cassette_text(cassette: Cassette) -> str:
    """A cassette as text: the share that can be replayed, the reasons, and one line an interaction."""
    lines = [f"cassette of run {cassette.run_id} (version {cassette.version}): {share(cassette)}", *(f"  {one}" for one in reasons(cassette))]
    lines += [
        f"  {one.step:>4}  {one.kind:<9}  {one.name}  at {one.node_path or 'no node'}  {_asked(one)}  →  {_answered(one)}" for one in cassette.interactions
    ]
    return visible("\n".join(lines))


def cassette_html(cassette: Cassette) -> str:
    """The same as HTML."""
    head = [element("th", name) for name in ("step", "kind", "name", "where", "asked", "answered")]
    rows = [element("tr", *(element("td", text) for text in _row(one))) for one in cassette.interactions]
    told = [element("div", one) for one in reasons(cassette)]
    return still(element("b", share(cassette)), *told, element("table", element("tr", *head), *rows))


def share(cassette: Cassette) -> str:
    """How much can be replayed: "38 of 41 steps can be replayed; 12 model, 20 tool, 2 human"."""
    kinds = Counter(one.kind for one in cassette.interactions)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    only = f", {len(cassette.unworded)} of them only where nothing was changed before" if cassette.unworded else ""
    return f"{cassette.replayable} of {cassette.steps} steps can be replayed{only}" + (f"; recorded answers: {told}" if told else "")


def reasons(cassette: Cassette) -> Iterator[str]:
    """A line for each step that has no recorded answer, or one to nobody knows what."""
    for one in cassette.missing:
        yield f"{'from what its node wrote' if one.by_node else 'not'}: {one}"
    for answer in cassette.unworded:
        yield f"only unchanged: step {answer.step} {answer.name}: what was asked was not captured, so its answer is carried over to no question of a fork"


def _row(one: Interaction) -> tuple[str, ...]:
    return str(one.step), one.kind, one.name, one.node_path, _asked(one), _answered(one)


def _asked(one: Interaction) -> str:
    if one.kind == "model":
        return f"{len(one.arguments)} messages"
    return _short(canonical(one.arguments))


def _answered(one: Interaction) -> str:
    source = f" ({one.sources['answered']})" if "answered" in one.sources else ""
    said = f"stopped to ask {canonical(one.result)}" if one.interrupted else one.error or canonical(one.result if one.kind != "model" else _said(one))
    return _short(said) + source


def _said(one: Interaction) -> object:
    """A model's words, else the tools it called."""
    answer = one.result or {}
    return answer.get("content") or [call.get("name") for call in answer.get("tool_calls", ())]


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
