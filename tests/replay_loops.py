"""Agents with tools that only run in an event loop, or otherwise there than elsewhere, to record and fork in tests."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.types import interrupt

from tests.replay_agents import really
from tests.replay_asking import Sending


async def _wired(to: str, how: str) -> str:
    said = interrupt({"wire to": to})
    await asyncio.sleep(0)
    really(f"wire to {to}") if said == "yes" else None
    return f"{how} {to}: {said}"


@tool
async def wire(to: str) -> str:
    """Wire money once a person allows it."""
    return await _wired(to, "wired to")


class Refusing(BaseTool):
    """Refuses to be called directly."""

    name: str = "wire"
    description: str = "Wire money once a person allows it."

    def _run(self, to: str) -> str:
        raise NotImplementedError("call it asynchronously")

    async def _arun(self, to: str) -> str:
        return await _wired(to, "wired to")


def _directly(to: str) -> str:
    """Wire money."""
    return f"wired without a loop to {to}: {interrupt({'wire to': to})}"


async def _in_a_loop(to: str) -> str:
    return await _wired(to, "wired in a loop to")


@wrap_model_call
def plainly(request: Any, handler: Any) -> Any:
    """Does nothing, and does not run asynchronously."""
    return handler(request)


either = StructuredTool.from_function(_directly, _in_a_loop, name="wire")
coroutine = create_agent(Sending(), [wire])
refusing = create_agent(Sending(), [Refusing()])
both = create_agent(Sending(), [either])
beside = create_agent(Sending(tool="wire_plainly"), [StructuredTool.from_function(_directly, name="wire_plainly"), wire], middleware=[plainly])
