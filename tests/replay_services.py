"""Agents whose plain nodes call services by httpx and requests, with retries and time limits of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import httpx
import requests
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

ATTEMPTS = 3
PATIENCE = 0.2
"""Seconds that the clients wait for an answer."""


class State(TypedDict, total=False):
    """What each node heard, and what the last one makes of it."""

    url: str
    weather: str
    booking: str
    polled: str
    said: str
    city: str


def attempts(ask: Callable[[], Any], errors: type[Exception]) -> str:
    """What a service answers, tried a few times; the names of what went wrong before it."""
    heard = []
    for _ in range(ATTEMPTS):
        try:
            answer = ask()
        except errors as error:
            heard.append(type(error).__name__)
            continue
        heard.append(f"{answer.status_code} {answer.text}")
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return ", ".join(heard)


def weather(state: State) -> State:
    with httpx.Client(timeout=PATIENCE) as client:
        there = client.get(f"{state['url']}/station").status_code
        said = attempts(lambda: client.get(f"{state['url']}/weather", params={"city": "Kyoto"}), httpx.TransportError)
    return {"weather": f"{there} {said}"}


def booking(state: State) -> State:
    return {"booking": attempts(lambda: requests.post(f"{state['url']}/book", json={"city": "Nara"}, timeout=(1, PATIENCE)), requests.RequestException)}


def poll(state: State) -> State:
    return {"polled": ", ".join(httpx.get(f"{state['url']}/poll").text for _ in range(3))}


def tell(state: State) -> State:
    return {"said": f"{state['weather']} | {state['booking']} | {state['polled']}"}


async def weather_later(state: State) -> State:
    heard = []
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        for _ in range(ATTEMPTS):
            try:
                answer = await client.get(f"{state['url']}/weather", params={"city": "Kyoto"})
            except httpx.TransportError as error:
                heard.append(type(error).__name__)
                continue
            heard.append(f"{answer.json()} {answer.headers['x-kind']}")
            break
    return {"said": ", ".join(heard)}


def visit(state: State) -> State:
    """The very same call from each of several tasks."""
    return {"said": httpx.get(f"{state['url']}/poll").text} if state["city"] == "Nara" else {"polled": httpx.get(f"{state['url']}/poll").text}


def _chained(*nodes: Any) -> Any:
    builder = StateGraph(State)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node)
    for one, following in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(one, following)
    return builder.compile()


def _fanned() -> Any:
    builder = StateGraph(State)
    builder.add_node("visit", visit)
    builder.add_conditional_edges(START, lambda state: [Send("visit", {"url": state["url"], "city": city}) for city in ("Kyoto", "Nara")], ["visit"])
    return builder.compile()


several = _chained(weather, booking, poll, tell)
later = _chained(weather_later)
beside = _fanned()
