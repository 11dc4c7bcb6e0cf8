"""Agents whose plain nodes call services by httpx and requests, with retries and time limits of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import httpx
import requests
from langchain_core.tools import tool
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


CITIES = ("Kyoto", "Nara", "Osaka", "Uji")


def guide(state: State) -> State:
    """Four different questions from a pool of its own, in no order."""
    with ThreadPoolExecutor(len(CITIES)) as pool:
        return {"weather": " ".join(pool.map(lambda city: httpx.get(f"{state['url']}/{city}").json()["path"], CITIES))}


def wait(state: State) -> State:
    """The same question from four threads at once, each answered otherwise."""
    heard: list[str] = []
    threads = [threading.Thread(target=lambda: heard.append(requests.get(f"{state['url']}/together", timeout=9).json())) for _ in CITIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"polled": ", ".join(sorted(heard))}


def sum_up(state: State) -> State:
    return {"said": f"{state['weather']} | {state['polled']}"}


LEFT: list[threading.Thread] = []
ENDED = threading.Event()


@tool
def forecast(city: str) -> str:
    """How the weather will be."""
    return f"rain in {city}"


def leave(state: State) -> State:
    """Leaves a thread behind that asks something once the node has ended."""
    ENDED.clear()
    late = os.environ["LATE"]
    LEFT.append(threading.Thread(target=lambda: ENDED.wait(60) and late and httpx.get(f"{state['url']}/{late}")))
    LEFT[-1].start()
    return {"weather": forecast.invoke({"city": "Kyoto"})}


def join(state: State) -> State:
    ENDED.set()
    LEFT.pop().join()
    return {"said": httpx.get(f"{state['url']}/weather").text}


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
in_threads = _chained(guide, wait, sum_up)
outlived = _chained(leave, join)
