"""Whose code is running, in a node's own threads too: a plain thread knows nothing of the node that started it, so what it asks would be nobody's.

A thread is the business of the node whose code started it, what is handed to an executor that of the node which handed it in, whoever started the
executor's threads. All that goes along is a reference to the config that LangChain keeps beside a node's code, and it goes in a variable of our own:
put back in LangChain's place, it would make the agent act otherwise where somebody listens (a graph called in a thread would become a subgraph).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from threading import Thread
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from workbench.taps import wire

_inherited: ContextVar[RunnableConfig | None] = ContextVar("workbench_inherited", default=None)
_patches: list[tuple[type, str, Any, Any]] = []
"""Of each method that is patched now: its class, its name, what stands there and what stood there before."""


def around() -> RunnableConfig | None:
    """The config of the runnable whose code is running here, or started this thread; None outside of any. It is not ours to change."""
    return var_child_runnable_config.get() or _inherited.get()


def in_a_loop() -> bool:
    """Whether an event loop runs in this thread, as in a notebook's kernel: nothing may wait here, and a second loop can't run inside it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def begin() -> None:
    """Let threads that are started from now on know whose they are. Does nothing where they do."""
    if not _patches:
        for owner, name, patched in ((Thread, "start", _starting), (ThreadPoolExecutor, "submit", _submitting)):
            original = vars(owner)[name]
            wrapper = patched(original)
            setattr(owner, name, wrapper)
            _patches.append((owner, name, wrapper, original))


def end() -> None:
    """Put back what stood there before; what somebody else has put over it since is left alone."""
    while _patches:
        owner, name, wrapper, original = _patches.pop()
        if vars(owner)[name] is wrapper:
            setattr(owner, name, original)


def _handed_on() -> RunnableConfig | None:
    """What a thread that is started here inherits. A tool's or a live model's own threads are nobody's business, as their requests are not."""
    return None if wire.is_aside() else around()


def _starting(original: Callable[[Thread], None]) -> Callable[[Thread], None]:
    def start(thread: Thread) -> None:
        if (config := _handed_on()) is not None:
            vars(thread)["run"] = partial(_run, thread, thread.run, config)  # not in `run` of the class, which `Timer` and others have their own of
        original(thread)

    return start


def _run(thread: Thread, run: Callable[[], None], config: RunnableConfig) -> None:
    """What a thread does, in the context that it has for itself. The thread is not to be kept alive by what it does."""
    vars(thread).pop("run", None)
    _inherited.set(config)
    run()


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(pool: ThreadPoolExecutor, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if (config := _handed_on()) is None:
            return original(pool, work, *args, **kwargs)
        with wire.aside():  # the thread that this may start works for others too
            return original(pool, partial(_work, config, work), *args, **kwargs)

    return submit


def _work(config: RunnableConfig, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """A piece of work, in the thread that came to do it."""
    token = _inherited.set(config)
    try:
        return work(*args, **kwargs)
    finally:
        _inherited.reset(token)
