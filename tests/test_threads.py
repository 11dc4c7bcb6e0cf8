"""What a node's own threads do is the node's, and nothing else of the agent's is otherwise while that is noticed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor, var_child_runnable_config

from workbench.taps import threads, wire

Work = Callable[[], None]


@pytest.fixture
def noticed() -> Iterator[None]:
    """Threads know whose they are."""
    threads.begin()
    yield
    threads.end()


def in_node(name: str, code: Callable[[], Any]) -> Any:
    """What a node's code gives."""
    return RunnableLambda(lambda _: code()).invoke(None, RunnableConfig(metadata={"node": name}))


def whose() -> str | None:
    """The node that this is done for."""
    return ((threads.around() or {}).get("metadata") or {}).get("node")


def started(thread: threading.Thread) -> None:
    thread.start()
    thread.join(60)


class Own(threading.Thread):
    """A thread with a body of its own."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def run(self) -> None:
        """Do it."""
        self.work()


def pooled(work: Work, pool: type[Executor] = ThreadPoolExecutor) -> None:
    with pool() as executor:
        executor.submit(work).result(60)


def by_a_thread_of_a_thread(work: Work) -> None:
    started(threading.Thread(target=lambda: started(threading.Thread(target=work))))


async def in_a_loop(work: Work) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work)


WAYS: dict[str, Callable[[Work], None]] = {
    "thread": lambda work: started(threading.Thread(target=work)),
    "own": lambda work: started(Own(work)),
    "timer": lambda work: started(threading.Timer(0, work)),
    "pool": pooled,
    "context": lambda work: pooled(work, ContextThreadPoolExecutor),
    "pool in a thread": lambda work: started(threading.Thread(target=pooled, args=(work,))),
    "thread of a thread": by_a_thread_of_a_thread,
    "loop": lambda work: asyncio.run(in_a_loop(work)),
    "loop in a thread": lambda work: started(threading.Thread(target=lambda: asyncio.run(in_a_loop(work)))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("noticed")
def test_of_the_node_that_started_it(way: str) -> None:
    """Whatever thread a node's code starts, in whatever way, what is done there is the node's; outside of any it is nobody's."""
    found: list[str | None] = []
    in_node("one", lambda: WAYS[way](lambda: found.append(whose())))
    WAYS[way](lambda: found.append(whose()))
    assert found == ["one", None]


@pytest.mark.usefixtures("noticed")
def test_a_pool_for_several() -> None:
    """A pool whose thread one node's code started works for each that hands something in, under its name, and for those outside of any node."""
    with ThreadPoolExecutor(1) as pool:
        found: list[Future[str | None]] = [in_node(name, lambda: pool.submit(whose)) for name in ("one", "two")]
        assert [one.result(60) for one in (*found, pool.submit(whose))] == ["one", "two", None]


@pytest.mark.usefixtures("noticed")
def test_a_tools_own() -> None:
    """What a tool's or a live model's threads do is nobody's, as its requests are."""
    found: list[str | None] = []

    def aside() -> None:
        with wire.aside():
            started(threading.Thread(target=lambda: found.append(whose())))
            pooled(lambda: found.append(whose()))

    in_node("one", aside)
    assert found == [None, None]


@pytest.mark.usefixtures("noticed")
def test_the_agent_sees_nothing_of_it() -> None:
    """LangChain's own variable stays empty in a thread: a graph that is called there would be a subgraph otherwise, a model's tokens streamed to the caller."""
    found: list[Any] = []
    in_node("one", lambda: started(threading.Thread(target=lambda: found.append(var_child_runnable_config.get()))))
    in_node("one", lambda: pooled(lambda: found.append(var_child_runnable_config.get())))
    assert found == [None, None]


def test_put_back() -> None:
    """Afterwards all is as it was; what another library has put over it stays."""
    before = threading.Thread.start, ThreadPoolExecutor.submit
    threads.begin()
    threads.begin()
    assert threading.Thread.start is not before[0]
    threads.end()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
    threads.begin()
    ours = threading.Thread.start
    theirs = lambda thread: ours(thread)  # noqa: E731, PLW0108  # another function is what is wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", theirs)
        threads.end()
        assert threading.Thread.start is theirs
    threading.Thread.start = before[0]  # type: ignore[method-assign]


@pytest.mark.usefixtures("noticed")
def test_nothing_is_kept() -> None:
    """A thread that has ended refers neither to the node nor to itself."""
    thread = threading.Thread(target=lambda: None)
    in_node("one", lambda: started(thread))
    assert "run" not in vars(thread)
