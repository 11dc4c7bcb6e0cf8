"""The spans of a run as trees: who is under whom, and which spans are calls. Parents may be missing, late, or in a circle."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from workbench.model import NO_TOKENS, Json, Reading, Span, canonical
from workbench.normalise.services import Readings
from workbench.reading.tasks import task_of
from workbench.reading.unfamiliar import BY_EVIDENCE, BY_WORDS

CALLS = frozenset(("model", "tool", "retrieval", "human"))
Key = tuple[str, str]
TOP: Key = ("", "")
BESIDE = "beside"
"""Mark of the spans of one model below one parent, and of one tool."""
ANSWER_ID = "id"
"""Mark of what the provider called its answer: it tells a call in whichever trace."""
ELSEWHERE = "elsewhere"
"""Mark of the tokens of a call that begins a trace of its own, or that another trace may tell in one."""
MAX_ANCESTORS = 500
WALLS = frozenset(("tool", "agent", "retrieval"))
"""A model call on the far side of one of these is another call, not the same one described again."""


class Node(NamedTuple):
    """A span with what the conventions make of it."""

    key: Key
    """Trace and span id."""
    span: Span
    reading: Reading

    @property
    def failed(self) -> bool:
        """Whether it ended in an error; a pause for a person is none."""
        return not self.reading.interrupted and (self.span.status == "error" or self.reading.error is not None)


class Forest:
    """Spans, their parents and children."""

    def __init__(self, spans: Sequence[Span], readings: Readings) -> None:
        """Build the trees. Of a span given twice the one that has ended counts."""
        unique: dict[Key, Span] = {}
        for span in spans:
            key = span.trace_id, span.span_id
            if key not in unique or unique[key].end_ns is None:
                unique[key] = span
        ordered = sorted(unique.items(), key=lambda one: (one[1].start_ns or 0, one[1].span_id))
        self.nodes = {key: Node(key, span, readings[key]) for key, span in ordered}
        self._parents = without_circles({key: (key[0], node.span.parent_span_id or "") for key, node in self.nodes.items()})
        self._parents |= self._adopted()
        self.nodes |= {node.key: _waiting(node) for node in self.nodes.values() if node.reading.unreturned and self._stopped_at(node)}
        self.children: dict[Key, list[Node]] = defaultdict(list)
        for node in self.nodes.values():
            if (parent := self.parent(node)) is not None:
                self.children[parent.key].append(node)

    def _adopted(self) -> dict[Key, Key]:
        """For model spans whose parent was not recorded, the model span around them in time that counted the same tokens: one call, told twice."""
        models = [node for node in self.nodes.values() if node.reading.kind == "model" and node.reading.tokens.input is not None]
        orphans = [node for node in models if node.span.parent_span_id and self._parents[node.key] not in self.nodes]
        return {orphan.key: around.key for orphan in orphans for around in models if around is not orphan and _is_around(around, orphan)}

    def _stopped_at(self, node: Node) -> bool:
        """Whether a call that gave nothing back is where its agent stopped to ask a person: nothing failed around it, and no model was called after it."""
        given = node.reading.arguments is not None or node.reading.raw_arguments is not None
        around = list(self.above(node))
        agent = next((above for above in around if above.reading.kind == "agent"), None)
        inside = around if agent is None else around[: around.index(agent) + 1]
        if not given or node.span.end_ns is None or any(one.failed for one in (node, *inside)):
            return False
        return not any(self._is_in(agent, one) for one in self.nodes.values() if begun_after(one, node) and one.reading.kind == "model")

    def _is_in(self, agent: Node | None, node: Node) -> bool:
        return agent is None or any(above.key == agent.key for above in self.above(node))

    def parent(self, node: Node) -> Node | None:
        """The span above, None at the top or where it was not recorded. A circle has its top where it was closed."""
        return self.nodes.get(self._parents[node.key])

    def above(self, node: Node) -> Iterator[Node]:
        """The spans above, nearest first; no tower is climbed beyond 500 floors."""
        return (self.nodes[key] for key in climb(self._parents, node.key))

    def below(self, node: Node) -> Iterator[Node]:
        """The spans below, at any depth."""
        waiting = list(self.children[node.key])
        while waiting:
            current = waiting.pop()
            yield current
            waiting.extend(self.children[current.key])

    @cached_property
    def tops(self) -> list[Node]:
        """The spans with nothing above them, oldest first."""
        return [node for node in self.nodes.values() if self.parent(node) is None]

    @cached_property
    def calls(self) -> list[Node]:
        """The spans that are calls, each call once: of nested model spans the innermost, of nested spans of one tool the outermost."""
        return [node for node in self._own if node.key not in self._twins]

    @cached_property
    def _own(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.reading.kind in CALLS and not self._repeats(node)]

    @cached_property
    def _twins(self) -> dict[Key, Key]:
        return _twins_among(self._own)

    @cached_property
    def _twins_of(self) -> dict[Key, list[Key]]:
        found: dict[Key, list[Key]] = defaultdict(list)
        for twin, own in self._twins.items():
            found[own].append(twin)
        return found

    @cached_property
    def embeddings(self) -> int:
        """How many embedding calls there are, each counted once."""
        spans = [node for node in self.nodes.values() if node.reading.kind == "embedding"]
        innermost = [node for node in spans if not any(below.reading.kind == "embedding" for below in self.below(node))]
        return len(innermost) - len(_twins_among(innermost))

    def _repeats(self, node: Node) -> bool:
        if node.reading.kind == "model":
            return next(self.described_again(node), None) is not None or self._sums_up(node) or self._prepares(node)
        return node.reading.kind == "tool" and self._inside_itself(node)

    def _inside_itself(self, node: Node) -> bool:
        """Whether a tool's span lies in another of the same call; spans between them that name no tool are the framework's own."""
        for above in self.above(node):
            if above.reading.kind == "tool":
                if _same_tool(above, node):
                    return True
                if above.reading.tool_name or above.reading.arguments is not None:
                    return False
            elif above.reading.kind in WALLS or above.reading.kind == "model":
                return False
        return False

    def _sums_up(self, node: Node) -> bool:
        """Whether what no convention knows only sounds like a model call.

        There are calls below it, or others that a convention does know, or it tells nothing of an answer while others do.
        """
        told_by = node.reading.provenance.get("kind", "")
        if not told_by.startswith((BY_WORDS, BY_EVIDENCE)):
            return False
        if self._answering and not _answered(node) and not node.failed and node.reading.model is None:
            return True
        return any(below.reading.kind == "model" for below in self.below(node)) or (told_by.startswith(BY_EVIDENCE) and self._models_known)

    def _prepares(self, node: Node) -> bool:
        """Whether a span only gets a call ready: it tells nothing of an answer, under another name than those beside it that do.

        Beside one that failed it tells nothing of a question either, and was over before; a call that was fallen back on comes after.
        """
        if not node.span.parent_span_id or _answered(node) or node.failed:
            return False
        answering, failing = self._answering.get(node.span.scope, frozenset()), self._failing.get(node.span.scope, frozenset())
        if node.span.name in answering | failing:
            return False
        beside = self._models_below[self._parents[node.key]]
        if any(one.span.name in answering for one in beside):
            return True
        asks_nothing = not node.reading.messages and node.span.end_ns is not None
        return asks_nothing and any(one.span.name in failing and (one.span.start_ns or 0) >= (node.span.end_ns or 0) for one in beside)

    @cached_property
    def _models_below(self) -> dict[Key, list[Node]]:
        """The model spans right below each span, whether that was recorded or not."""
        found: dict[Key, list[Node]] = defaultdict(list)
        for node in self.nodes.values():
            if node.reading.kind == "model":
                found[self._parents[node.key]].append(node)
        return found

    @cached_property
    def _answering(self) -> dict[str | None, frozenset[str]]:
        """The names of the model spans that tell of an answer, by the instrumentor that made them."""
        found: dict[str | None, set[str]] = defaultdict(set)
        for node in self.nodes.values():
            if node.reading.kind == "model" and _answered(node):
                found[node.span.scope].add(node.span.name)
        return {scope: frozenset(names) for scope, names in found.items()}

    @cached_property
    def _failing(self) -> dict[str | None, frozenset[str]]:
        """The names of the model spans that failed and tell what they were asked, by the instrumentor that made them."""
        found: dict[str | None, set[str]] = defaultdict(set)
        for node in self.nodes.values():
            if node.reading.kind == "model" and node.failed and node.reading.messages:
                found[node.span.scope].add(node.span.name)
        return {scope: frozenset(names) for scope, names in found.items()}

    @cached_property
    def _models_known(self) -> bool:
        """Whether a convention knows of a model call here."""
        models = (node.reading.provenance.get("kind", "") for node in self.nodes.values() if node.reading.kind == "model")
        return any(told_by and not told_by.startswith((BY_WORDS, BY_EVIDENCE)) for told_by in models)

    @cached_property
    def agents(self) -> frozenset[str]:
        """The names of the agents as a tool's name would hold them: lower case, words joined by underscores."""
        return frozenset(slug(node.reading.agent) for node in self.nodes.values() if node.reading.agent)

    @cached_property
    def delegates(self) -> frozenset[Key]:
        """The tool calls that ran an agent: it lies below them, or (some hang every agent on the root) it ran within their time."""
        found: set[Key] = set()
        for node in self.nodes.values():
            if node.reading.kind == "agent" and (tool := self._tool_around(node, found)) is not None:
                found.add(tool.key)
        return frozenset(found)

    def _tool_around(self, agent: Node, taken: set[Key]) -> Node | None:
        tool = next((above for above in self.above(agent) if above.reading.kind == "tool"), None)
        if tool is not None:
            return tool
        parent = self.parent(agent)
        beside = [
            node
            for node in self.calls
            if node.reading.kind == "tool" and node.span.trace_id == agent.span.trace_id and _within(agent.span, node.span) and self._is_above(parent, node)
        ]
        free = [node for node in beside if node.key not in taken]
        return (free or beside)[-1] if beside else None

    def _is_above(self, parent: Node | None, node: Node) -> bool:
        """Whether a span hangs somewhere below this one; at the top every span has the same nothing above it."""
        return parent is None or any(above.key == parent.key for above in self.above(node))

    def described_again(self, node: Node) -> Iterator[Node]:
        """The model spans below a model span that describe the same call."""
        waiting = list(self.children[node.key])
        while waiting:
            current = waiting.pop()
            if current.reading.kind in WALLS:
                continue
            if current.reading.kind == "model":
                yield current
            waiting.extend(self.children[current.key])

    def same_tools(self, node: Node) -> list[Node]:
        """The tool spans below a tool's that describe the same call, oldest first."""
        inner = [below for below in self.below(node) if below.reading.kind == "tool" and self._repeats(below) and _same_tool(node, below)]
        return sorted(inner, key=lambda below: below.span.start_ns or 0)

    def descriptions(self, node: Node) -> list[Reading]:
        """All readings of one call, the call's own first: what its own span doesn't say, a wrapper may."""
        found = [node.reading, *(self.nodes[twin].reading for twin in self._twins_of.get(node.key, ()))]
        if node.reading.kind == "tool":
            return [*found, *(child.reading for child in self.same_tools(node))]
        for above in self.above(node):
            if above.reading.kind in WALLS:
                break
            if above.reading.kind == "model" and len(list(self.described_again(above))) == 1:
                found.append(above.reading)
        return found

    @cached_property
    def by_task(self) -> dict[str, list[Node]]:
        """The outermost spans of each LangGraph task, oldest first; a task that ran twice has two."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes.values():
            task = task_of(node.reading.namespace)
            if task and not any(task_of(above.reading.namespace) == task for above in self.above(node)):
                found[task].append(node)
        return found


def climb(parents: Mapping[Key, Key], key: Key) -> Iterator[Key]:
    """The spans above one, nearest first, up to one that has no parent here; no tower is climbed beyond 500 floors."""
    for _ in range(MAX_ANCESTORS):
        key = parents.get(key, TOP)
        if key == TOP or key not in parents:
            return
        yield key


def without_circles(parents: dict[Key, Key]) -> dict[Key, Key]:
    """The links from span to parent, less those that would lead back to where one came from."""
    kept = dict(parents)
    done: set[Key] = set()
    for start in parents:
        path: dict[Key, None] = {}
        current = start
        while current in kept and current not in done and current not in path:
            path[current] = None
            current = kept[current]
        if current in path:
            kept[current] = TOP
        done.update(path)
    return kept


def slug(name: str) -> str:
    """A name in lower case, its words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def begun_after(other: Node, node: Node) -> bool:
    """Whether a span of the same trace began once this one had ended."""
    return other.span.trace_id == node.span.trace_id and (other.span.start_ns or 0) >= (node.span.end_ns or 0)


def _waiting(node: Node) -> Node:
    return node._replace(reading=node.reading.model_copy(update={"interrupted": True}))


def _within(inner: Span, outer: Span) -> bool:
    """Whether a span ran in another's time; False where a time was not recorded."""
    if None in (inner.start_ns, inner.end_ns, outer.start_ns, outer.end_ns):
        return False
    return (outer.start_ns or 0) <= (inner.start_ns or 0) and (inner.end_ns or 0) <= (outer.end_ns or 0)


def _is_around(outer: Node, inner: Node) -> bool:
    same_trace = outer.span.trace_id == inner.span.trace_id
    one, other = outer.reading.tokens, inner.reading.tokens
    return same_trace and (one.input, one.output) == (other.input, other.output) and _within(inner.span, outer.span) and not _within(outer.span, inner.span)


def overlap(one: Span, other: Span) -> bool:
    """Whether two spans ran at the same time; False where a time was not recorded."""
    if None in (one.start_ns, one.end_ns, other.start_ns, other.end_ns):
        return False
    return (one.start_ns or 0) < (other.end_ns or 0) and (other.start_ns or 0) < (one.end_ns or 0)


def _twins_among(nodes: Sequence[Node]) -> dict[Key, Key]:
    """The calls' spans, of those given in order, that another instrumentor's span beside them describes too, each with that one.

    Both were at the same time and are alike in what they tell of the call; each span has at most one such twin of another instrumentor.
    """
    scopes: dict[str, set[str | None]] = defaultdict(set)
    for node in nodes:
        scopes[node.reading.kind].add(node.span.scope)
    alike: dict[tuple[Json, ...], list[Node]] = defaultdict(list)
    found: dict[Key, Key] = {}
    taken: set[tuple[Key, str | None]] = set()
    for node in (node for node in nodes if len(scopes[node.reading.kind]) > 1):
        marks = [(by, node.reading.kind, None if by in (ANSWER_ID, ELSEWHERE) else node.span.trace_id, *told) for by, *told in _marks(node)]
        beside = ((one, mark[0]) for mark in marks for one in alike[mark])
        own = next((one for one, by in beside if (one.key, node.span.scope) not in taken and _describe_one(one, node, by)), None)
        if own is not None:
            found[node.key] = own.key
            taken.add((own.key, node.span.scope))
            continue
        for mark in marks:
            alike[mark] = [*(other for other in alike[mark] if overlap(other.span, node.span)), node]
    return found


def _marks(node: Node) -> Iterator[tuple[Json, ...]]:
    """What a call's span tells of it that another span of the same call would tell too, the surest first."""
    if node.reading.call_id:
        yield "call", node.reading.call_id
    if node.reading.kind == "tool" and node.reading.tool_name:
        if node.reading.arguments is not None:
            yield "arguments", node.reading.tool_name, canonical(node.reading.arguments)
        yield BESIDE, node.reading.tool_name
    if node.reading.kind in ("model", "embedding"):
        yield from _marks_of_answer(node)
        if node.reading.model:
            yield BESIDE, node.span.parent_span_id, node.reading.model.lower()


def _marks_of_answer(node: Node) -> Iterator[tuple[Json, ...]]:
    reading = node.reading
    if reading.response_id:
        yield ANSWER_ID, reading.response_id
    tokens = reading.tokens
    if tokens.input and tokens.output:
        yield "tokens", tokens.input, tokens.output
        if cached := (tokens.cache_read or 0) + (tokens.cache_write or 0):  # some count the cached among the input, some beside it
            yield "tokens", tokens.input - cached, tokens.output
        yield ELSEWHERE, tokens.input, tokens.output
    if reading.output is not None and (calls := tuple(call.call_id for call in reading.output.tool_calls if call.call_id)):
        yield "calls", *calls
    if reading.output is not None and not reading.output.tool_calls and reading.output.content.strip():
        yield "text", reading.output.content.strip()
    if node.failed:
        yield ("failed",)


def _describe_one(outer: Node, inner: Node, mark: Json) -> bool:
    """Whether two spans that are alike by a mark are one call's: two instrumentors' at the same time, that nowhere tell of two calls or answers."""
    if mark in (BESIDE, ELSEWHERE) and not _within(inner.span, outer.span):
        return False
    if mark == ELSEWHERE and (inner.span.parent_span_id is not None or outer.span.parent_span_id is None or inner.span.trace_id == outer.span.trace_id):
        return False
    if outer.span.scope == inner.span.scope or not overlap(outer.span, inner.span):
        return False
    if outer.reading.kind == "model" and outer.failed != inner.failed:
        return False
    ids = outer.reading.response_id, inner.reading.response_id
    if None not in ids:
        return ids[0] == ids[1]
    told = ((reading.tokens.output, reading.call_id, reading.arguments) for reading in (outer.reading, inner.reading))
    return all(one is None or other is None or one == other for one, other in zip(*told, strict=True))


def _answered(node: Node) -> bool:
    """Whether a model span tells anything of an answer."""
    return node.reading.tokens != NO_TOKENS or node.reading.output is not None or node.reading.response_id is not None


def _same_tool(outer: Node, inner: Node) -> bool:
    one, other = outer.reading, inner.reading
    tasks = task_of(one.namespace), task_of(other.namespace)
    if None not in tasks and tasks[0] != tasks[1]:  # an agent in the tool's body, whose calls may well be numbered as those outside are
        return False
    if one.call_id and other.call_id:
        return one.call_id == other.call_id
    same_arguments = one.arguments is None or other.arguments is None or one.arguments == other.arguments
    return same_arguments and (one.tool_name or outer.span.name) == (other.tool_name or inner.span.name)
