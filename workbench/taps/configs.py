"""What a graph is configured with at one start, written down: checkpoints keep no tags and no limit, and of the rest what is text, a number or a boolean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph._internal._config import ensure_config
from langgraph._internal._constants import CONFIG_KEY_TASK_ID
from langgraph.pregel import Pregel

from workbench.taps.contexts import kept_and_lost

VALUE, LOST = "workbench.config.value", "workbench.config.lost"
PARTS = ("configurable", "metadata")
"""The parts of a config that hold values by names of the user's own."""
OURS = frozenset(("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "run_id"))
"""What among these says where a graph runs, not how."""


def written(graph: Pregel[Any, Any, Any, Any], config: RunnableConfig | None) -> dict[str, str]:
    """The attributes that tell how a start is configured: its parts as JSON, and the types of those values that can't be written down, by part and name.

    Empty for a graph that another one's task started, which hands its own on.
    """
    given: Mapping[str, Any] = ensure_config(graph.config, config)
    if CONFIG_KEY_TASK_ID in given["configurable"]:
        return {}
    kept: dict[str, Any] = {"tags": given["tags"], "recursion_limit": given["recursion_limit"]}
    lost: dict[str, dict[str, str]] = {}
    for part in PARTS:
        kept[part], types = kept_and_lost(_of_the_user(given.get(part) or {}))
        lost |= {part: types} if types else {}
    return {VALUE: json.dumps(kept)} | ({LOST: json.dumps(lost)} if lost else {})


def _of_the_user(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a config without what LangGraph puts there."""
    return {str(name): value for name, value in part.items() if name not in OURS and not str(name).startswith(("__", "langgraph_"))}
