"""One small agent for each shape a LangGraph program takes. What they do for real is noted in the ledger, which no re-run may touch."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, TypedDict

import httpx
import requests
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    ToolCallLimitMiddleware,
    after_model,
    before_model,
    dynamic_prompt,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode, ToolRuntime, tools_condition
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, StateSnapshot, interrupt
from pydantic import BaseModel

from tests.replay_agents import really


class State(TypedDict, total=False):
    """State of most shapes."""

    messages: Annotated[list[AnyMessage], add_messages]
    cities: Annotated[list[str], operator.add]
    url: str
    said: str
    city: str


class Scripted(BaseChatModel):
    """Asks for the calls it was made with, in turns, and then sums up what they brought."""

    turns: tuple[list[tuple[str, dict[str, Any]]], ...] = ()

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Offer tools, as a hosted model does."""
        return self.bind(tools=[getattr(one, "name", str(one)) for one in tools])

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._say(messages))])

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        really("model")
        turn = sum(isinstance(one, AIMessage) for one in messages)
        if turn >= len(self.turns):
            return AIMessage("; ".join(str(one.content) for one in messages if isinstance(one, ToolMessage | HumanMessage)))
        return AIMessage("", tool_calls=[{"name": name, "args": given, "id": f"call-{turn}-{n}"} for n, (name, given) in enumerate(self.turns[turn])])


class Streaming(Scripted):
    """Says the same, word by word."""

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        whole = self._say(messages)
        for call in whole.tool_calls:
            yield ChatGenerationChunk(
                message=AIMessageChunk(
                    "",
                    tool_call_chunks=[
                        {"name": call["name"], "args": str(call["args"]).replace("'", '"'), "id": call["id"], "index": 0, "type": "tool_call_chunk"}
                    ],
                )
            )
        for word in whole.text.split(" ") if whole.text else ():
            chunk = ChatGenerationChunk(message=AIMessageChunk(word + " "))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


# ---- tools


@tool
def book(city: str) -> str:
    """Book a room."""
    really(f"book {city}")
    return f"booked {city}"


@tool
def when(city: str, at: str) -> str:
    """Look up a time."""
    really(f"when {city}")
    return f"{city} is open"


@tool
async def book_later(city: str) -> str:
    """Book a room, asynchronously."""
    really(f"book_later {city}")
    await asyncio.sleep(0)
    return f"booked {city} later"


@tool
def seats(city: str) -> str:
    """Always full."""
    really(f"seats {city}")
    raise ValueError(f"{city} is full")


@tool
def confirm(city: str) -> str:
    """Ask a person inside the tool."""
    answer = interrupt({"really": city})
    really(f"confirm {city}")
    return f"confirmed {answer}"


MEETING = threading.Barrier(2, timeout=60)


@tool
def agree(city: str) -> str:
    """Asks a person once another such call is under way too: which of the two asks first is left to chance."""
    MEETING.wait()
    answer = interrupt({"really": city})
    really(f"agree {city}")
    return f"agreed {answer}"


@tool
def remember(city: str, state: Annotated[dict[str, Any], InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
    """Reads the state it is given."""
    really(f"remember {city}")
    return f"{city} beside {len(state['messages'])} messages, as {tool_call_id}"


@tool
def who(city: str, runtime: ToolRuntime) -> str:
    """Reads the runtime it is given."""
    really(f"who {city}")
    return f"{city} for {(runtime.config.get('configurable') or {}).get('user')}"


@tool
def move(city: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Writes to the state by a Command."""
    really(f"move {city}")
    return Command(update={"city": city, "messages": [ToolMessage(f"moved to {city}", tool_call_id=tool_call_id)]})


@tool(response_format="content_and_artifact")
def chart(city: str) -> tuple[str, dict[str, Any]]:
    """Returns an artifact beside its text."""
    really(f"chart {city}")
    return f"chart of {city}", {"points": [1, 2, 3]}


# ---- loops of a model and its tools


def looping(*turns: list[tuple[str, dict[str, Any]]], tools: Any = (book,), model: type[Scripted] = Scripted, handle: Any = True) -> Any:
    brain = model(turns=turns).bind_tools(list(tools))

    def think(state: State) -> State:
        return {"messages": [brain.invoke(state["messages"])]}

    return _looped(think, tools, handle)


def _looped(think: Any, tools: Any, handle: Any = True) -> Any:
    builder = StateGraph(State)
    builder.add_node("think", think)
    builder.add_node("tools", ToolNode(list(tools), handle_tool_errors=handle))
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", tools_condition)
    builder.add_edge("tools", "think")
    return builder.compile()


def _later() -> Any:
    brain = Scripted(turns=([("book_later", {"city": "Kyoto"})],)).bind_tools([book_later])

    async def think(state: State) -> State:
        return {"messages": [await brain.ainvoke(state["messages"])]}

    return _looped(think, [book_later])


def _streamed() -> Any:
    brain = Streaming(turns=([("book", {"city": "Kyoto"})],))

    async def think(state: State) -> State:
        whole = None
        async for chunk in brain.astream(state["messages"]):
            whole = chunk if whole is None else whole + chunk
        return {"messages": [whole]}

    return _looped(think, [book])


def chained(*nodes: Any, retry: RetryPolicy | None = None, state: Any = State) -> Any:
    """A graph of these nodes, one after the other."""
    builder = StateGraph(state)
    names = [getattr(node, "__name__", f"node{number}") for number, node in enumerate(nodes)]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node, retry_policy=retry)
    for one, following in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(one, following)
    return builder.compile()


# ---- Sends and subgraphs


def fan(state: State) -> list[Send]:
    return [Send("visit", {"city": city}) for city in ("Kyoto", "Nara", "Osaka")]


def visit(state: State) -> State:
    time.sleep(0.03 if state["city"] == "Kyoto" else 0)
    return {"cities": [book.invoke({"city": state["city"]})]}


def stroll(state: State) -> State:
    """Does something real itself, so that only its recorded writes can stand for it."""
    really(f"stroll {state['city']}")
    time.sleep(0.03 if state["city"] == "Kyoto" else 0)
    return {"cities": [f"strolled {state['city']} {uuid.uuid4()}"]}


def _fanned(work: Any, retry: RetryPolicy | None = None) -> Any:
    builder = StateGraph(State)
    builder.add_node("visit", work, retry_policy=retry)
    builder.add_node("gather", lambda state: {"said": " and ".join(state["cities"])})
    builder.add_conditional_edges(START, fan, ["visit"])
    builder.add_edge("visit", "gather")
    return builder.compile()


def note(state: State) -> State:
    """A node that nobody can look into."""
    really("note")
    return {"said": f"noted {uuid.uuid4()} at {time.time()}"}


def _nested() -> Any:
    inner = chained(note, visit)
    builder = StateGraph(State)
    builder.add_node("left", inner)
    builder.add_node("right", inner)
    builder.add_node("by_hand", lambda state: {"cities": inner.invoke({"city": "Nara"})["cities"]})
    builder.add_edge(START, "left")
    builder.add_edge("left", "right")
    builder.add_edge("right", "by_hand")
    return builder.compile()


def _nested_parallel() -> Any:
    inner = chained(note, stroll)
    builder = StateGraph(State)
    builder.add_node("visit", lambda state: {"cities": inner.invoke({"city": state["city"]})["cities"]})
    builder.add_conditional_edges(START, fan, ["visit"])
    return builder.compile()


# ---- plain nodes


def over_http(state: State) -> State:
    """Calls a service with both clients, by GET and POST, once in vain."""
    with httpx.Client() as client:
        first = client.get(f"{state['url']}/weather", params={"city": "Kyoto", "at": time.time()}).json()
        missing = client.get(f"{state['url']}/missing").status_code
    second = requests.post(f"{state['url']}/book", json={"city": "Nara"}, timeout=5).json()
    return {"said": f"{first} {missing} {second}"}


async def over_http_later(state: State) -> State:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{state['url']}/book", json={"city": "Uji"})
    return {"said": f"{answer.json()} {answer.headers['x-kind']}"}


def refused_connection(state: State) -> State:
    try:
        httpx.get("http://127.0.0.1:9/", timeout=1)
    except httpx.ConnectError:
        return {"said": "nobody there"}
    return {"said": "somebody there"}


def thinks_and_notes(state: State) -> State:
    """Makes a recorded call, and something real that nobody recorded."""
    answer = Scripted().invoke(state["messages"])
    really("thought")
    return {"messages": [answer], "said": f"thought at {time.time()}"}


def around_the_tool(state: State) -> State:
    """Calls a tool's function past the tool."""
    return {"said": book.func("Kyoto")}


def asks(state: State) -> State:
    really("before asking")
    return {"said": interrupt({"question": "Really?"})}


def asks_twice(state: State) -> State:
    really("asks_twice")
    first = interrupt("One?")
    return {"said": f"{first} {interrupt('Two?')}"}


class Pairs(TypedDict, total=False):
    """State of tuples, which the schema names here and does not there."""

    found: Annotated[list, operator.add]
    named: Annotated[list[tuple[str, int]], operator.add]
    said: str


def tallies(state: Pairs) -> Pairs:
    book.invoke({"city": "Kyoto"})
    return {"found": [("Kyoto", 2)], "named": [("Kyoto", 2)]}


def guesses(state: Pairs) -> Pairs:
    really("guesses")
    return {"found": [("Nara", 1)], "named": [("Nara", 1)]}


def ranks(state: Pairs) -> Pairs:
    """Needs tuples to be tuples: a list has no order beside one, and is no key."""
    return {"said": ", ".join(name for name, _ in (*sorted(state["found"]), *sorted({*state["named"]})))}


def _paired() -> Any:
    builder = StateGraph(Pairs)
    for node in (tallies, guesses, ranks):
        builder.add_node(node.__name__, node)
    for node in (tallies, guesses):
        builder.add_edge(START, node.__name__)
        builder.add_edge(node.__name__, "ranks")
    return builder.compile()


def in_threads(state: State) -> State:
    """Tools called from threads that know the context."""
    with ContextThreadPoolExecutor(3) as pool:
        return {"cities": list(pool.map(lambda city: book.invoke({"city": city}), ["Kyoto", "Nara", "Osaka"]))}


def in_own_threads(state: State) -> State:
    """Tools called from threads that know nothing."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda city=city: found.append(book.invoke({"city": city}))) for city in ("Kyoto", "Nara")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"said": " ".join(sorted(found))}


FAILURES = {"left": 2}


def flaky(state: State) -> State:
    """Fails twice, then does it."""
    really("flaky")
    if FAILURES["left"]:
        FAILURES["left"] -= 1
        raise ConnectionError("no answer")
    return {"said": f"third time {uuid.uuid4()}"}


def broken(state: State) -> State:
    really("broken")
    raise LookupError("the shelf is empty")


def goes(state: State) -> Command[Any]:
    really("goes")
    return Command(update={"said": f"went {uuid.uuid4()}"}, goto="note")


def _going() -> Any:
    builder = StateGraph(State)
    builder.add_node("goes", goes, destinations=("note", "visit"))
    builder.add_node("note", note)
    builder.add_node("visit", visit)
    builder.add_edge(START, "goes")
    return builder.compile()


class Shelf(BaseRetriever):
    """Finds a document."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        really(f"retrieve {query}")
        return [Document(f"all about {query}", metadata={"page": 7})]


class Numbers(Embeddings):
    """Makes numbers of texts."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Of many."""
        really(f"embed {len(texts)}")
        return [[float(len(text)), 0.5] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Of one."""
        really(f"embed {text}")
        return [float(len(text))]


def reads(state: State) -> State:
    found = Shelf().invoke("Kyoto")
    thought = Scripted().invoke([HumanMessage(found[0].page_content)])
    return {"said": f"{thought.text} on page {found[0].metadata['page']}"}


async def reads_later(state: State) -> State:
    found = await Shelf().ainvoke("Nara")
    return {"said": found[0].page_content, "messages": [await Scripted().ainvoke([HumanMessage("hello")])]}


def embeds(state: State) -> State:
    thought = Scripted().invoke([HumanMessage("hello")])
    vectors = Numbers().embed_documents(["a", "bc"]), Numbers().embed_query("abc")
    return {"said": f"{vectors} {thought.text}"}


def timed(state: State) -> State:
    """Gives a tool the time and an id of its own, and the model too."""
    found = when.invoke({"city": "Kyoto", "at": f"2026-11-23T03:00:{time.time() % 60:09.6f}Z"})
    return {"messages": [Scripted().invoke([HumanMessage(f"{found}, request {uuid.uuid4()}")])]}


# ---- functional


@task
def fetch(city: str) -> str:
    really(f"fetch {city}")
    return f"fetched {city} {uuid.uuid4()}"


@task
def booking(city: str) -> str:
    return str(book.invoke({"city": city}))


@entrypoint()
def functional(state: dict[str, Any]) -> dict[str, Any]:
    found = [fetch(city) for city in ("Kyoto", "Nara")]
    booked = booking("Osaka").result()
    answer = interrupt("go on?")
    return {"said": [one.result() for one in found], "booked": booked, "answer": answer}


@task
async def fetch_later(city: str) -> str:
    really(f"fetch_later {city}")
    return f"fetched {city} {uuid.uuid4()}"


@entrypoint()
async def functional_later(state: dict[str, Any]) -> dict[str, Any]:
    return {"said": await asyncio.gather(*(fetch_later(city) for city in ("Kyoto", "Nara"))), "booked": await booking("Uji")}


# ---- create_agent


class Watching(AgentMiddleware[Any, Any]):
    """Wraps calls of models and tools, and does something real around them."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        """Around the model."""
        return handler(request)

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Around a tool."""
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Around the model."""
        return await handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Around a tool."""
        return await handler(request)


class WatchingLater(AgentMiddleware[Any, Any]):
    """Knows no synchronous way."""

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        """Around the model."""
        return await handler(request)


@before_model
def look(state: Any, runtime: Any) -> None:
    really("look")


@after_model
def look_back(state: Any, runtime: Any) -> dict[str, Any] | None:
    return None


@dynamic_prompt
def prompt(request: Any) -> str:
    return f"You have {len(request.messages)} messages."


def created(*turns: list[tuple[str, dict[str, Any]]], tools: Any = (book,), middleware: Any = ()) -> Any:
    return create_agent(Scripted(turns=turns), list(tools), middleware=list(middleware))


class Plan(BaseModel):
    """What an agent answers with, of a type of its own that no schema of the state names."""

    city: str
    nights: int = 2


class Recalling(Scripted):
    """Makes a plan, in a shape of its own, once what was said before has been summed up."""

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        if not any("summary of the conversation" in one.text for one in messages):
            return super()._say(messages)
        really("model")
        return AIMessage("", tool_calls=[{"name": "Plan", "args": {"city": "Kyoto"}, "id": "call-plan"}])


def summarising() -> Any:
    """An agent whose middleware removes all messages and writes the last of them again, behind a summary."""
    forgets_early = SummarizationMiddleware(model=Scripted(), trigger=("messages", 5), keep=("messages", 2))
    return create_agent(Recalling(turns=([KYOTO], [NARA])), [book], response_format=ToolStrategy(Plan), middleware=[forgets_early])


@tool
def ask_agent(city: str) -> str:
    """An agent that is a tool."""
    return str(created([("book", {"city": city})]).invoke({"messages": [("user", city)]})["messages"][-1].text)


@tool
def ask_beside(city: str) -> str:
    """An agent that is a tool, under way at the same time as another where BESIDE is set."""
    if "BESIDE" in os.environ:
        TOGETHER.wait(30)
    said = str(ask_agent.func(city))  # type: ignore[attr-defined]  # its code, not a call of the tool
    if "BESIDE" in os.environ:
        TOGETHER.wait(30)
    return said


TOGETHER = threading.Barrier(2)


@tool
def ask_model(city: str) -> str:
    """A tool that asks a model itself, and does something real."""
    really(f"ask_model {city}")
    return str(Scripted().invoke([HumanMessage(f"{city}?")]).text)


@tool
def hand_over(city: str, state: Annotated[dict[str, Any], InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Goes on with another agent, which is given all that was said."""
    really("hand_over")
    told = [*state["messages"], ToolMessage("handed over", tool_call_id=tool_call_id)]
    return Command(goto="second", graph=Command.PARENT, update={"messages": told})


def _handing_over() -> Any:
    builder = StateGraph(State)
    builder.add_node("first", created([("hand_over", {"city": "Nara"})], tools=(hand_over,)), destinations=("second",))
    builder.add_node("second", created([], [KYOTO]))
    builder.add_edge(START, "first")
    return builder.compile()


@tool
def hand_back(city: str, state: Annotated[dict[str, Any], InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Goes on with the agent that handed over, which is given all that was said."""
    really("hand_back")
    told = [*state["messages"], ToolMessage("handed back", tool_call_id=tool_call_id)]
    return Command(goto="first", graph=Command.PARENT, update={"messages": told})


def _handing_back() -> Any:
    turns = [("hand_over", {"city": "Nara"})], [KYOTO], [("hand_back", {"city": "Nara"})]
    builder = StateGraph(State)
    builder.add_node("first", created(*turns, tools=(hand_over,)), destinations=("second",))
    builder.add_node("second", created(*turns, tools=(book, hand_back)), destinations=("first",))
    builder.add_edge(START, "first")
    return builder.compile()


def leaves(state: State) -> Command[Any]:
    """Ends the graph that it is in, for a node of the one around."""
    really("leaves")
    return Command(goto="note", update={"said": "left"}, graph=Command.PARENT)


def _leaving() -> Any:
    builder = StateGraph(State)
    builder.add_node("inner", chained(leaves), destinations=("note",))
    builder.add_node("note", note)
    builder.add_edge(START, "inner")
    return builder.compile()


def forgets(state: State) -> State:
    """Removes all but the last two messages, by the ids that LangGraph made up for them."""
    return {"messages": [RemoveMessage(id=str(one.id)) for one in state["messages"][:-2]]}


def _forgetful() -> Any:
    def think(state: State) -> State:
        return {"messages": [Scripted(turns=([KYOTO],)).invoke(state["messages"])]}

    builder = StateGraph(State)
    for name, node in {"think": think, "tools": ToolNode([book]), "forgets": forgets}.items():
        builder.add_node(name, node)
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", lambda state: "tools" if state["messages"][-1].tool_calls else "forgets")
    builder.add_edge("tools", "think")
    return builder.compile()


def counts(state: State) -> State:
    return {"cities": [Scripted().invoke([HumanMessage(f"after {len(state.get('cities', []))}")]).text]}


def _nested_keeping(checkpointer: bool) -> Any:
    """A subgraph that keeps its state from one time to the next, or has none."""
    builder = StateGraph(State)
    for name, node in {"counts": counts, "asks": asks}.items() if checkpointer else [("counts", counts)]:
        builder.add_node(name, node)
    builder.add_edge(START, "counts")
    if checkpointer:
        builder.add_edge("counts", "asks")
    outer = StateGraph(State)
    outer.add_node("inner", builder.compile(checkpointer=checkpointer))
    outer.add_edge(START, "inner")
    return outer.compile()


def again(state: State) -> State:
    """Fails the first time it is at a city, each of which it writes down before it calls a tool."""
    really(f"again {state['city']}")
    if state["city"] not in SEEN:
        SEEN.add(state["city"])
        raise ConnectionError("no answer")
    return {"cities": [book.invoke({"city": state["city"]})]}


SEEN: set[str] = set()


def _deferring() -> Any:
    builder = StateGraph(State)
    for name in ("left", "right", "right2"):
        builder.add_node(name, lambda state, name=name: {"cities": [book.invoke({"city": name})]})
    builder.add_node("gather", lambda state: {"said": " ".join(state["cities"])}, defer=True)
    for one, following in ((START, "left"), (START, "right"), ("right", "right2"), ("left", "gather"), ("right2", "gather")):
        builder.add_edge(one, following)
    return builder.compile()


def dated(state: State) -> State:
    """Tells the model what day it is."""
    return {"messages": [Scripted().invoke([HumanMessage(f"Today is {datetime.now():%A, %B %d, %Y, %H:%M:%S}.")])]}  # as agents do


@dataclass
class Guest:
    """What a run is started with."""

    name: str
    since: date
    lock: Any = None


def greets(state: State, runtime: Runtime[Guest]) -> State:
    """Tells the model for whom it works, as a date and a name that only the context holds, where it was given a lock under that."""
    with runtime.context.lock or contextlib.nullcontext():
        pass
    return {"messages": [Scripted(turns=([("serve", {"city": "Kyoto"})],)).invoke(f"{runtime.context.name}, here for {runtime.context.since:%j} days")]}


@tool
def serve(city: str, runtime: ToolRuntime[Guest, Any]) -> str:
    """Serves who the run was started for."""
    really(f"serve {runtime.context.name} in {city}")
    return f"served {runtime.context.name}"


def asks_for_its_guest(state: State, runtime: Runtime[Guest]) -> State:
    """Asks in the name of whom the run was started for."""
    return {"said": interrupt({"question": "Really?", "for": runtime.context.name})}


def _asking_for_its_guest() -> Any:
    builder = StateGraph(State, context_schema=Guest)
    builder.add_sequence([note, asks_for_its_guest])
    builder.add_edge(START, "note")
    return builder.compile()


def _hosted() -> Any:
    builder = StateGraph(State, context_schema=Guest)
    for name, node in {"asks": asks, "greets": greets, "tools": ToolNode([serve])}.items():
        builder.add_node(name, node)
    for one, following in ((START, "asks"), ("asks", "greets"), ("greets", "tools")):
        builder.add_edge(one, following)
    return builder.compile()


@task
def think_of(text: str) -> str:
    return str(Scripted().invoke(text).text)


@entrypoint()
def functional_talk(state: dict[str, Any]) -> dict[str, Any]:
    """Thinks, asks, thinks of the answer, asks again, books."""
    first = think_of("one").result()
    second = think_of(f"two {interrupt({'approve': first})}").result()
    return {"booked": book.invoke({"city": str(interrupt({"approve": second}))})}


@task
def hold(city: str) -> str:
    """Books in a task of its own."""
    return str(book.invoke({"city": city}))


@entrypoint()
def functional_hold(state: dict[str, Any]) -> dict[str, Any]:
    """Books and thinks, each in a task that ends before a person is asked."""
    thought = think_of(hold("Kyoto").result()).result()
    return {"said": f"{thought} {interrupt({'approve': thought})}"}


def _agent_after(first: Any) -> Any:
    """An agent as a subgraph, after a node."""
    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("agent", created([KYOTO], [NARA]))
    builder.add_edge(START, "first")
    builder.add_edge("first", "agent")
    return builder.compile()


def thinks_and_asks(state: State) -> State:
    """Makes a recorded call before each of two questions, and something real that nobody recorded."""
    first = Scripted().invoke([HumanMessage("shall I?")]).text
    really("thought")
    return {"said": f"{first} {interrupt('One?')} {interrupt('Two?')}"}


def asks_inside(state: State) -> State:
    """Runs a graph of its own, which asks twice."""
    return {"said": chained(asks_twice).invoke({"city": "Uji"})["said"]}


def asks_beside(state: State) -> State:
    """Makes a recorded call, and asks twice."""
    return {"cities": [Scripted().invoke([HumanMessage("shall I?")]).text, interrupt("One?"), interrupt("Two?")]}


def _asking_beside() -> Any:
    """Two tasks that ask the very same two questions at the same time, in a subgraph."""
    builder = StateGraph(State)
    for name in ("left", "right"):
        builder.add_node(name, asks_beside)
        builder.add_edge(START, name)
    return chained(builder.compile(), note)


def _asking_otherwise() -> Any:
    """A subgraph in which a tool's question stands beside a node that asks twice."""
    builder = StateGraph(State)
    for name, node in {"agent": created([CONFIRM], tools=(confirm,)), "asks_beside": asks_beside}.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return chained(builder.compile(), note)


class Insistent(Scripted):
    """Books until that has not failed. It writes no ledger, so that it may go live in a fork."""

    def _say(self, messages: list[BaseMessage]) -> AIMessage:
        answers = [one for one in messages if isinstance(one, ToolMessage)]
        if answers and answers[-1].status != "error":
            return AIMessage("Booked at last.")
        return AIMessage("", tool_calls=[{"name": "book", "args": {"city": "Kyoto"}, "id": f"call-{len(answers)}"}])


def approves(state: State) -> State:
    """Asks a person, and touches nothing."""
    return {"said": interrupt("Is that all?")}


def concludes(state: State) -> State:
    """Asks the model once more."""
    return {"said": Insistent().invoke(state["messages"]).text}


def _insisting() -> Any:
    """An agent that goes on until it has booked, and then a subgraph that asks a person."""
    builder = _booking()
    builder.add_node("review", chained(approves, concludes))
    builder.add_conditional_edges("think", tools_condition, {"tools": "tools", END: "review"})
    return builder.compile()


def _insisting_inside() -> Any:
    """The same agent in a graph of its own, without what comes after it."""
    builder = _booking()
    builder.add_conditional_edges("think", tools_condition)
    return chained(builder.compile())


def _booking() -> StateGraph[State]:
    builder = StateGraph(State)
    brain = Insistent().bind_tools([book])
    builder.add_node("think", lambda state: {"messages": [brain.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([book], handle_tool_errors=True))
    builder.add_edge(START, "think")
    builder.add_edge("tools", "think")
    return builder


def calls_an_agent(state: State) -> State:
    """Calls an agent that is a tool without any model having asked for it."""
    return {"cities": [ask_agent.invoke({"city": city}) for city in ("Kyoto", "Nara")]}


def _agents_beside() -> Any:
    """A subgraph in which an agent of several turns stands beside one that answers at once."""
    builder = StateGraph(State)
    for name, agent in {"long": created([KYOTO], [NARA]), "short": created()}.items():
        builder.add_node(name, agent)
        builder.add_edge(START, name)
    return chained(builder.compile(), note)


# ---- the shapes


@dataclass(frozen=True)
class Shape:
    """A graph, what it is given, in what way it is driven, and how many recorded calls it makes."""

    graph: Any
    given: tuple[Any, ...] = ()
    way: str = "invoke"
    fails: bool = False
    context: Any = None

    async def record(self, graph: Any, config: RunnableConfig) -> None:
        """Drive the graph as a user would, one input after the other; a function makes one of the state that the graph stopped in."""
        for one in self.given or ({"messages": [("user", "Kyoto, please")], "city": "Kyoto", "url": os.environ["SERVICE"]},):
            try:
                await self._drive(graph, one(graph.get_state(config)) if callable(one) else one, config)
            except Exception:
                if not self.fails:
                    raise

    async def _drive(self, graph: Any, one: Any, config: RunnableConfig) -> None:
        if self.way == "invoke":
            graph.invoke(one, config, context=self.context)
        elif self.way == "stream":
            for _ in graph.stream(one, config, stream_mode=["messages", "updates", "custom"]):
                pass
        elif self.way == "ainvoke":
            await graph.ainvoke(one, config, context=self.context)
        else:
            async for _ in graph.astream(one, config, stream_mode=["messages", "values"]):
                pass


ASKED: dict[str, Any] = {"messages": [("user", "Kyoto, please")], "city": "Kyoto"}
YES = Command(resume="yes")


def one_word_each(stopped: StateSnapshot) -> Command[Any]:
    """Another answer to each of several questions."""
    return Command(resume={one.id: f"number {number}" for number, one in enumerate(stopped.interrupts)})


def other_words(stopped: StateSnapshot) -> Command[Any]:
    """Still others."""
    return Command(resume={one.id: f"letter {number}" for number, one in enumerate(stopped.interrupts)})


CONFIRM, AGREE = ("confirm", {"city": "Kyoto"}), ("agree", {"city": "Kyoto"})
KYOTO, NARA = ("book", {"city": "Kyoto"}), ("book", {"city": "Nara"})
APPROVED = Command(resume={"decisions": [{"type": "approve"}]})
REJECTED = Command(resume={"decisions": [{"type": "approve"}, {"type": "reject", "message": "too far"}]})
EDITED = Command(resume={"decisions": [{"type": "edit", "edited_action": {"name": "book", "args": {"city": "Uji"}}}]})


def _handling() -> Any:
    """Nodes that fail, sent and not, whose error handlers go on; the last one's stands for every node that has none."""

    def seat(given: State) -> Any:
        return {"said": seats.invoke({"city": given["city"]})}

    def books_instead(given: State, error: NodeError) -> Any:
        instead = when.invoke({"city": given["city"], "at": "noon"})
        return Command(goto="plain", update={"cities": [f"{error.node}: {error.error!r}, {error.error}: {instead}"]})

    def plain(_: State) -> Any:
        raise KeyError("Uji")

    def shrugs(_: State, error: NodeError) -> Any:
        return {"said": f"{error.node}: {error.error!r}, {error.error}"}

    builder = StateGraph(State)
    builder.add_node("seat", seat, error_handler=books_instead)
    builder.add_node("plain", plain)
    builder.set_node_defaults(error_handler=shrugs)
    builder.add_conditional_edges(START, lambda _: [Send("seat", {"city": city}) for city in ("Kyoto", "Nara")], ["seat"])
    return builder.compile()


SHAPES: dict[str, Callable[[], Shape]] = {
    "handling": lambda: Shape(_handling(), given=({"city": "Kyoto"},)),
    "sync": lambda: Shape(looping([KYOTO], [NARA])),
    "async": lambda: Shape(_later(), way="ainvoke"),
    "streaming": lambda: Shape(looping([KYOTO], model=Streaming), way="stream"),
    "streaming_async": lambda: Shape(_streamed(), way="astream"),
    "parallel_tools": lambda: Shape(looping([KYOTO, NARA, KYOTO])),
    "sends": lambda: Shape(_fanned(visit)),
    "opaque_sends": lambda: Shape(_fanned(stroll)),
    "subgraphs": lambda: Shape(_nested()),
    "subgraphs_in_parallel": lambda: Shape(_nested_parallel()),
    "injected": lambda: Shape(looping([("remember", {"city": "Kyoto"}), ("who", {"city": "Nara"})], tools=(remember, who))),
    "commands": lambda: Shape(looping([("move", {"city": "Nara"})], tools=(move,))),
    "artifacts": lambda: Shape(looping([("chart", {"city": "Nara"})], tools=(chart,))),
    "tool_errors": lambda: Shape(looping([("seats", {"city": "Nara"})], tools=(seats,))),
    "tool_arguments_refused": lambda: Shape(looping([("book", {"town": "Nara"})])),
    "tool_errors_raised": lambda: Shape(looping([("seats", {"city": "Nara"})], tools=(seats,), handle=False), fails=True),
    "interrupt": lambda: Shape(chained(asks, note), (ASKED, YES)),
    "interrupts_in_turn": lambda: Shape(chained(asks_twice), (ASKED, YES, Command(resume="no"))),
    "interrupt_in_a_tool": lambda: Shape(looping([("confirm", {"city": "Nara"})], tools=(confirm,)), (ASKED, YES)),
    "agent": lambda: Shape(created([KYOTO, NARA], middleware=[look, look_back, prompt, Watching(), ToolCallLimitMiddleware(run_limit=5)])),
    "agent_async": lambda: Shape(created([KYOTO], middleware=[WatchingLater()]), way="ainvoke"),
    "human_in_the_loop": lambda: Shape(created([KYOTO], middleware=[HumanInTheLoopMiddleware({"book": True})]), (ASKED, APPROVED)),
    "human_rejects": lambda: Shape(created([KYOTO, NARA], middleware=[HumanInTheLoopMiddleware({"book": True})]), (ASKED, REJECTED)),
    "human_edits": lambda: Shape(created([KYOTO], middleware=[HumanInTheLoopMiddleware({"book": True})]), (ASKED, EDITED)),
    "functional": lambda: Shape(functional, ({"city": "Kyoto"}, YES)),
    "functional_async": lambda: Shape(functional_later, ({"city": "Kyoto"},), way="ainvoke"),
    "threads": lambda: Shape(chained(in_threads)),
    "own_threads": lambda: Shape(chained(in_own_threads)),
    "http": lambda: Shape(chained(over_http, refused_connection)),
    "http_async": lambda: Shape(chained(over_http_later), way="ainvoke"),
    "opaque": lambda: Shape(chained(note, around_the_tool)),
    "opaque_after_a_call": lambda: Shape(chained(thinks_and_notes)),
    "opaque_command": lambda: Shape(_going()),
    "opaque_retries": lambda: Shape(chained(flaky, retry=RetryPolicy(initial_interval=0.001, jitter=False))),
    "opaque_failure": lambda: Shape(chained(note, broken), fails=True),
    "retriever": lambda: Shape(chained(reads)),
    "retriever_async": lambda: Shape(chained(reads_later), way="ainvoke"),
    "embeddings": lambda: Shape(chained(embeds)),
    "times_and_ids": lambda: Shape(chained(timed)),
    "agent_as_a_tool": lambda: Shape(created([("ask_agent", {"city": "Kyoto"})], tools=(ask_agent,))),
    "agents_side_by_side": lambda: Shape(looping([("ask_beside", {"city": "Kyoto"}), ("ask_beside", {"city": "Nara"})], tools=(ask_beside,))),
    "model_in_a_tool": lambda: Shape(looping([("ask_model", {"city": "Kyoto"})], tools=(ask_model,))),
    "hand_back": lambda: Shape(_handing_back(), (ASKED,)),
    "hand_over": lambda: Shape(_handing_over(), (ASKED,)),
    "leaving_a_subgraph": lambda: Shape(_leaving()),
    "redacting": lambda: Shape(created([KYOTO], middleware=[PIIMiddleware("email")]), ({"messages": [("user", "mail ada@example.com")]},)),
    "forgetting": lambda: Shape(_forgetful(), (ASKED, {"messages": [("user", "and Nara")]}, {"messages": [("user", "and Uji")]})),
    "structured": lambda: Shape(create_agent(Scripted(turns=([KYOTO], [("Plan", {"city": "Kyoto"})])), [book], response_format=ToolStrategy(Plan))),
    "summarising": lambda: Shape(summarising(), (ASKED,)),
    "subgraph_that_keeps": lambda: Shape(_nested_keeping(True), (ASKED, YES, {"messages": [("user", "again")]}, YES)),
    "subgraph_without_checkpoints": lambda: Shape(_nested_keeping(False), (ASKED, {"messages": [("user", "again")]})),
    "sends_that_retry": lambda: Shape(_fanned(again, RetryPolicy(initial_interval=0.001, jitter=False))),
    "deferred": lambda: Shape(_deferring()),
    "functional_talk": lambda: Shape(functional_talk, ({"city": "Kyoto"}, YES, Command(resume="Nara"))),
    "functional_hold": lambda: Shape(functional_hold, ({"city": "Kyoto"}, YES)),
    "context": lambda: Shape(_hosted(), (ASKED, YES), context=Guest("Ada", date(2026, 11, 23))),
    "context_asked": lambda: Shape(_asking_for_its_guest(), (ASKED, YES), context=Guest("Ada", date(2026, 11, 23))),
    "dated": lambda: Shape(chained(dated)),
    "agent_after_a_question": lambda: Shape(_agent_after(asks), (ASKED, YES)),
    "agents_beside_each_other": lambda: Shape(_agents_beside()),
    "questions_after_a_call": lambda: Shape(chained(thinks_and_asks, note), (ASKED, YES, Command(resume="no"))),
    "questions_inside_a_node": lambda: Shape(chained(asks_inside, note), (ASKED, YES, Command(resume="no"))),
    "agent_called_by_a_node": lambda: Shape(chained(calls_an_agent)),
    "questions_of_one_task": lambda: Shape(looping([AGREE, ("agree", {"city": "Nara"})], tools=(agree,)), (ASKED, YES)),
    "questions_of_one_task_in_turn": lambda: Shape(looping([AGREE, ("agree", {"city": "Nara"})], tools=(agree,)), (ASKED, YES, YES)),
    "equal_questions": lambda: Shape(chained(created([CONFIRM, CONFIRM], tools=(confirm,)), note), (ASKED, one_word_each)),
    "questions_beside_each_other": lambda: Shape(_asking_beside(), (ASKED, one_word_each, other_words)),
    "question_of_a_tool_beside": lambda: Shape(_asking_otherwise(), (ASKED, one_word_each, YES)),
    "questions_of_two_nodes": lambda: Shape(chained(asks_beside, asks_twice), (ASKED, YES, Command(resume="no"), Command(resume="well"), YES)),
    "question_inside": lambda: Shape(chained(created([KYOTO], [NARA], middleware=[HumanInTheLoopMiddleware({"book": True})]), note), (ASKED, *[APPROVED] * 2)),
    "insisting": lambda: Shape(_insisting(), (ASKED, YES)),
    "insisting_inside": lambda: Shape(_insisting_inside(), (ASKED,)),
    "tuples": lambda: Shape(_paired(), ({"said": ""},)),
    "several_inputs": lambda: Shape(looping([KYOTO]), (ASKED, {"messages": [("user", "and now Nara")]})),
}


def __getattr__(name: str) -> Any:
    """The graph of a shape, made when it is asked for: `tests.replay_shapes:shape_sync`."""
    if name.startswith("shape_") and name.removeprefix("shape_") in SHAPES:
        return SHAPES[name.removeprefix("shape_")]().graph
    raise AttributeError(name)
