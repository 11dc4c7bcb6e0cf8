"""Looks in the loaded program for names that a fork was asked for and that the recording has not: one that neither has is misspelt, and nothing runs."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel

from workbench.replay.fence.alterations import model_name
from workbench.replay.fence.graphs import GraphError, inner_graphs, sources
from workbench.replay.nearest import instead
from workbench.replay.protocol import Unknown

OURS = "workbench_"
"""How the names begin of what the fence tries itself on."""


def check(graph: Pregel[Any, Any, Any, Any], asked: Sequence[Unknown], name: str) -> None:
    """GraphError for a name that the program has not either, with the nearest there is. What code makes as it runs is known by the word in its source."""
    for one in asked:
        there = {found for found in _names(graph, one.kind) if not found.startswith(OURS)} | {*one.known}
        if one.name not in there and not _written(one.name):
            raise GraphError(f"{one.asked}: neither the recording nor {name} has a {one.kind} {one.name!r}{instead(one.name, sorted(there))}")


def _names(graph: Pregel[Any, Any, Any, Any], kind: str) -> Iterator[str]:
    """What the loaded program has of a kind: tools, models and retrievers wherever it keeps them, nodes of the graph and its subgraphs."""
    if kind == "node":
        for one in (graph, *inner_graphs(graph).values()):
            yield from one.nodes
        yield from (str(one.name) for one in _alive(BaseTool))
    elif kind == "model":
        yield from map(model_name, _alive(BaseChatModel))
    else:
        yield from (str(one.name) for one in _alive(BaseTool))
    if kind == "call":
        yield from (one.get_name() for one in _alive(BaseRetriever))


def _alive(kind: type) -> Iterable[Any]:
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def _written(name: str) -> bool:
    """Whether the name stands in the program's own source, as that of a tool does which a node makes when it runs."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    return any(word.search(text) for text in sources())
