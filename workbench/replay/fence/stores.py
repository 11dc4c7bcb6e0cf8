"""The store of a re-run: what the graph's module puts there, and what the re-run itself does. What runs had put there was not recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import _get_all_injected_args
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, Op, PutOp, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from workbench.replay.fence.graphs import inner_graphs
from workbench.replay.fence.playback import playing

Graph = Pregel[Any, Any, Any, Any]
NAME = "store"


def store_of(graph: Graph) -> BaseStore | None:
    """The store that a graph is given: its own where that is in memory, as its module made it, else an empty one.

    One too where the module makes none and some tool can't be called without: production was given one, as a platform does.
    """
    if graph.store is None and not any(_get_all_injected_args(tool).store for tool in _tools(graph)):
        return None
    return Shelf(graph.store if isinstance(graph.store, InMemoryStore) else InMemoryStore())


def _tools(graph: Graph) -> Iterable[BaseTool]:
    """The tools that the nodes of a graph and its subgraphs call."""
    nodes = (node.bound for one in (graph, *inner_graphs(graph).values()) for node in one.nodes.values())
    return (tool for bound in nodes if isinstance(bound, ToolNode) for tool in bound.tools_by_name.values())


class Shelf(BaseStore):
    """A store in memory of which it is only known in part what the recorded one held: off the recorded course, whoever looks for the rest halts."""

    def __init__(self, inner: InMemoryStore) -> None:
        self.inner, self.supports_ttl, self.ttl_config = inner, inner.supports_ttl, inner.ttl_config
        self._known: set[tuple[tuple[str, ...], str]] = set()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """What the ops come to. Raises Divergence where that hangs on what was not recorded."""
        asked = list(ops)
        return self._held(asked, self.inner.batch(asked))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """The same where the graph runs asynchronously."""
        asked = list(ops)
        return self._held(asked, await self.inner.abatch(asked))

    def _held(self, ops: Sequence[Op], results: list[Result]) -> list[Result]:
        self._known |= {(one.namespace, one.key) for one in ops if isinstance(one, PutOp)}
        if any(self._unknown(one, result) for one, result in zip(ops, results, strict=True)):
            playing().has_in_part(NAME)
        return results

    def _unknown(self, op: Op, result: Result) -> bool:
        """Whether the recorded store may have held something else."""
        missed = isinstance(op, GetOp) and result is None and (op.namespace, op.key) not in self._known
        return missed or isinstance(op, SearchOp | ListNamespacesOp)
