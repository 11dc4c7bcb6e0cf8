"""Names that a fork was asked for and that nothing has: told in the receipt, for a misspelt name changes nothing and would pass without a word.

They are noted and not refused: the agent's code may have tools and nodes that the recording never met, and a re-run alone shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import get_args

from workbench.model import CallRecord, Interaction, Run
from workbench.replay.nearest import instead
from workbench.replay.recording.cassette import record
from workbench.replay.recording.place import node_path
from workbench.replay.wishes import Wish, calls_that_asked

KINDS = frozenset(get_args(Interaction.model_fields["kind"].annotation))
"""The kinds of calls, each of which names all calls of it."""
EVERY = "*"


def unmet(wish: Wish, run: Run | None = None, records: Sequence[CallRecord] = ()) -> Iterator[str]:
    """A note for each name in `wish` that neither the recording nor the fork has, with the nearest one. `records` are the fork's calls, `run` is the fork.

    Without a fork, before one is made, what the recording has is all there is to go by.
    """
    said = "did nothing: neither the recording nor this re-run has" if run else "may do nothing: nothing in the recording is"
    tools, models = (lambda: _tools(wish.parent, records)), (lambda: _models(wish, records))
    unknown = "" if wish.parent.tools is not None else "; which tools were offered is not recorded"
    for kind, known, more in (("tool", tools, unknown), ("model", models, "")):
        names = [one.removeprefix(f"{kind}:") for one in wish.live if one.startswith(f"{kind}:")]
        yield from (f"{note}{more}" for note in _missed(names, known, f"live {kind}:{{}} (--live) {said}", kind))
    yield from _missed([one for one in wish.stale if one not in {*KINDS, "store"}], lambda: _calls(wish, records), f"stale {{}} (--serve-stale) {said}", "call")
    opened = {one.name for one in calls_that_asked(wish, record(wish.parent, wish.spans))} if wish.execute else set()
    yield from _missed(
        [one for one in wish.execute if one not in {EVERY, *opened}], lambda: _nodes(wish.parent, run, records), f"execute {{}} (--execute) {said}", "node"
    )


def _missed(names: Sequence[str], known: Callable[[], set[str]], asked: str, what: str) -> Iterator[str]:
    """A note for each name that is not known. `known` is only called where something was named."""
    there = known() if names else set()
    for name in names:
        if name not in there:
            yield f"{asked.format(name)} a {what} {name!r}{instead(name, sorted(there))}"


def _tools(parent: Run, records: Sequence[CallRecord]) -> set[str]:
    """The tools that were offered, asked for or called, in the recording or the fork."""
    found = {one.name for one in records if one.kind == "tool"} | {*(parent.tools or ()), *parent.schemas}
    for step in parent.steps:
        found |= {step.name} if step.kind == "tool" else set()
        found |= {step.tool_call.name} if step.kind == "tool" and step.tool_call else set()
        found |= {one.name for one in step.output.tool_calls} if step.output else set()
        found |= set(step.decision.alternatives or ()) if step.decision else set()
    return found


def _models(wish: Wish, records: Sequence[CallRecord]) -> set[str]:
    """The models that were asked in the recording or the fork, those that the change brings in, and those named as live where any model went live."""
    value = wish.change.value if wish.change.kind == "model" else None
    brought = {value} if isinstance(value, str) else {one for one in value.values() if isinstance(one, str)} if isinstance(value, dict) else set()
    went = {one.removeprefix("model:") for one in wish.live} if any(one.kind == "model" and one.answer == "live" for one in records) else set()
    asked = {name for one in wish.parent.steps if one.kind == "model" for name in (one.name, one.model) if name}
    return brought | went | asked | {one.name for one in records if one.kind == "model"}


def _calls(wish: Wish, records: Sequence[CallRecord]) -> set[str]:
    """What calls are called, but for questions to people: the recorded ones, those of the fork, and the tools offered."""
    made: tuple[CallRecord | Interaction, ...] = (*records, *record(wish.parent, wish.spans).interactions)
    return _tools(wish.parent, records) | {one.name for one in made if one.kind not in ("human", "node", "update")}


def _nodes(parent: Run, run: Run | None, records: Sequence[CallRecord]) -> set[str]:
    """The nodes, of subgraphs too, that the recording or the fork has steps or calls of."""
    paths = [*(node_path(one.namespace, one.node) for one in (*parent.steps, *(run.steps if run else ()))), *(one.node_path for one in records)]
    return {name for path in paths for name in path.split("/") if name} | {one.name for one in records if one.kind == "node"}
