"""Names that a fork was asked for and that nothing has: a misspelt name changes nothing, and would pass without a word.

What the recording has is known beforehand. What the program has is looked for once it is loaded (`workbench.replay.fence.named`), and a name that neither
has is refused before anything runs. What only a re-run can show, such as a URL, is told in the receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from workbench.model import CallRecord, Interaction, Run
from workbench.replay.nearest import instead
from workbench.replay.protocol import Unknown
from workbench.replay.recording.cassette import record
from workbench.replay.recording.place import node_path
from workbench.replay.wishes import Wish

KINDS = frozenset(get_args(Interaction.model_fields["kind"].annotation))
"""The kinds of calls, each of which names all calls of it."""
EVERY = "*"


def unmet(wish: Wish, run: Run | None = None, records: Sequence[CallRecord] = ()) -> Iterator[str]:
    """A note for each name in `wish` that neither the recording nor the fork has, with the nearest one. `records` are the fork's calls, `run` is the fork.

    Without a fork, before one is made, what the recording has is all there is to go by.
    """
    said = "did nothing: neither the recording nor this re-run has" if run else "may do nothing: nothing in the recording is"
    offered = "" if wish.parent.tools is not None else "; which tools were offered is not recorded"
    for one in _missed(wish, run, records):
        yield f"{one.asked} {said} a {one.kind} {one.name!r}{instead(one.name, one.known)}{offered if one.asked.startswith('live tool:') else ''}"


def unknown(wish: Wish) -> tuple[Unknown, ...]:
    """The names in `wish` that the recording has not, so that the program has to. What a model is called after a change of it, and a URL, is in neither."""
    unnamed = wish.change.kind == "model" or any(one.model is None for one in wish.parent.of_kind("model"))
    return tuple(one for one in _missed(wish, None, ()) if " " not in one.name and not (one.kind == "model" and unnamed))


def _missed(wish: Wish, run: Run | None, records: Sequence[CallRecord]) -> Iterator[Unknown]:
    for kind, known in (("tool", lambda: _tools(wish.parent, records)), ("model", lambda: _models(wish, records))):
        named = [one.removeprefix(f"{kind}:") for one in wish.live if one.startswith(f"{kind}:")]
        yield from _not_in(known, named, f"live {kind}:{{}} (--live)", kind)
    yield from _not_in(lambda: _calls(wish, records), [one for one in wish.stale if one not in {*KINDS, "store"}], "stale {} (--serve-stale)", "call")
    tools = _tools(wish.parent, records) if wish.execute else set()
    named = [one for one in wish.execute if one not in {EVERY, *tools}]
    yield from _not_in(lambda: _nodes(wish.parent, run, records), named, "execute {} (--execute)", "node")


def _not_in(known: Callable[[], set[str]], names: Sequence[str], asked: str, kind: Any) -> Iterator[Unknown]:
    """Those of the names that are not known. `known` is only called where something was named."""
    there = known() if names else set()
    for name in names:
        if name not in there:
            yield Unknown(asked=asked.format(name), kind=kind, name=name, known=tuple(sorted(there)))


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
