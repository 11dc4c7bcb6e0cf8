"""Graphs whose nodes go by what a start is configured with: in their prompts, in what they call, in how far they go."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph


class Hearing(BaseChatModel):
    """Says what it hears."""

    @property
    def _llm_type(self) -> str:
        return "hearing"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"heard {messages[-1].text}"))])


def prompt(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """Ask the model, with all that the start was configured with."""
    configurable, metadata = config["configurable"], config["metadata"]
    known = [configurable.get("tenant"), configurable.get("limits"), metadata.get("plan"), metadata.get("owner"), config.get("tags")]
    return {"messages": [Hearing().invoke([HumanMessage(" ".join(map(str, known)))])]}


def query(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """Ask a database that the start was given."""
    return {"messages": [Hearing().invoke([HumanMessage(config["configurable"]["database"].name)])]}


def _of(node: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("say", node)
    builder.add_edge(START, "say")
    return builder.compile()


prompting = _of(prompt)
bound = _of(prompt).with_config(tags=["bound"])
querying = _of(query)


class Work(TypedDict, total=False):
    """How much was done, and what was said of it."""

    done: Annotated[int, operator.add]
    said: Annotated[list[str], operator.add]


def work(state: Work) -> Work:
    """Do some of it."""
    return {"done": 1, "said": [Hearing().invoke([HumanMessage(str(state["done"]))]).text]}


def more(state: Work) -> str:
    return "work" if state["done"] < 6 else END


def _working() -> Any:
    builder = StateGraph(Work)
    builder.add_node(work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", more)
    return builder.compile()


def _around(inner: Any) -> Any:
    builder = StateGraph(Work)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    return builder.compile()


working = _working()
nesting = _around(_working())


def made(config: RunnableConfig) -> Any:
    """The graph that a platform makes for each start, by its config."""
    tenant = config["configurable"]["tenant"]
    return _of(lambda state: {"messages": [Hearing().invoke([HumanMessage(f"for {tenant}")])]})


acme = made({"configurable": {"tenant": "acme"}})
