"""Tools behind the fence: each call runs on a copy of its tool, whose body is the tape, a live call outside, a fault, or its own code."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import ensure_config
from langchain_core.runnables.config import set_config_context
from langchain_core.tools import BaseTool
from langchain_core.tools.base import _get_runnable_config_param
from langgraph._internal._constants import CONFIG_KEY_SCRATCHPAD
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, interrupt

from workbench.analysis.effects import ACTING, classify
from workbench.model import Interaction, Json
from workbench.replay.fence import answers, nodes, wholes
from workbench.replay.fence.alterations import raised
from workbench.replay.fence.answers import UNTOLD
from workbench.replay.fence.graphs import only_async_tool
from workbench.replay.fence.injected import reads_context
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.playback import TWIN, Playback, pause, playing, seen_here
from workbench.replay.fence.reach import declared
from workbench.replay.fence.states import read_otherwise
from workbench.replay.recording.captured import hands_over_to, unwrapped
from workbench.replay.recording.identities import aligned
from workbench.replay.recording.numbering import calling
from workbench.replay.recording.tape import UNTYPED, Call, Divergence, Served

ONLY_ASYNC = "its code only runs in an event loop, and this graph was run without one"


def tool_twin(tool: BaseTool, bound: dict[str, Any]) -> BaseTool:
    """A copy of a tool for one call, whose body is the tape."""
    _ = tool._injected_args_keys  # noqa: SLF001  # worked out from the real body, and kept in the copy
    twin = copy.copy(tool)
    given, tool_call_id = bound.get("tool_input"), bound.get("tool_call_id")
    seen = seen_here(
        Call("tool", tool.name, "", _arguments(tool, given)),
        bound.get("config"),
        bound.get("metadata"),
        call_id=tool_call_id,
        declared=declared(tool),
    )

    def run(*args: Any, **kwargs: Any) -> Any:
        pause(playing().altered.pause(seen.call))
        if (opened := _opened(tool, seen, given)) is None:
            return _answered_tool(tool, seen, tool_call_id, given)
        if only_async_tool(tool):
            raise playing().halt(seen, Divergence(f"{seen.call}: {ONLY_ASYNC}"))
        with _body(seen, opened) as body:
            body.came = tool._run(*args, **_configured(tool._run, kwargs))  # noqa: SLF001  # this is the body
        return body.came

    async def arun(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(playing().altered.pause(seen.call))
        if (opened := _opened(tool, seen, given)) is None:
            return _answered_tool(tool, seen, tool_call_id, given)
        with _body(seen, opened) as body:
            body.came = await tool._arun(*args, **_configured(tool._arun, kwargs))  # noqa: SLF001  # this is the body
        return body.came

    def parse(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool._parse_input(*args, **kwargs)  # noqa: SLF001  # what comes before the body
        except Exception as error:
            _note_unfit(seen, error)
            raise

    vars(twin).update({"_run": run, "_arun": arun, "_parse_input": parse, TWIN: True})
    return twin


def _note_unfit(seen: Seen, error: Exception) -> None:
    """Write down a call whose arguments the tool's own schema refuses: its body is never asked, in the recording neither."""
    now = playing()
    now.check(seen)
    recorded = now.tape.take_one_of(None, seen.call)
    if recorded is None:
        now.journal.note(seen, "served", says="the tool's own schema refused the arguments", error=error)
    else:
        now.note(seen, recorded, error=error)


# ---- tools whose code runs, since something inside them was changed


RAN_ANEW = "it reads what is otherwise now"
"""The note of a call whose code ran for that."""


@dataclass
class _Body:
    """What a tool's code came to."""

    came: Any = None


def _opened(tool: BaseTool, seen: Seen, given: Any) -> Served | None:
    """The recording of a call whose code is to run; None for any other."""
    now = playing()
    if now.altered.meets(seen.call) or now.reach.takes("tool", seen.call.name):
        return None
    return now.one_of(now.opened, seen) or _run_anew(now, tool, seen, given)


def _run_anew(now: Playback, tool: BaseTool, seen: Seen, given: Any) -> Served | None:
    """The recording of a call that would not be served, for its code reads something else now, and whose code may run instead; None for any other.

    That is a tool which was named for it, and in a sandbox one that hands over to another agent: like a node it says where the graph goes on and with what
    of the state, and like a node's code it can do nothing there that outlasts it.
    """
    place = None if now.on_course else now.tape.expects(seen.call)
    if place is None or {tool.name, "tool"} & now.tape.stale:
        return None
    recorded = now.tape.cassette.interactions[place]
    does = now.declared.get(tool.name) or seen.declared or classify(tool.name)
    hands_over = now.sandboxed and hands_over_to(recorded.result) and does not in ACTING
    if recorded.step == now.edited or recorded.interrupted or recorded.questions or not (hands_over or tool.name in now.execute):
        return None
    reads = [one for one in (_context(now, tool), read_otherwise(now, tool, given, recorded.step)) if one]
    found = now.one_of({recorded.step}, seen) if reads else None
    if found is None:
        return None
    now.opened |= {recorded.step}
    why = "as asked for" if tool.name in now.execute else "it hands over to another agent, and nothing that it does there lasts"
    now.notes.append(f"{seen.call} ran its code in the sandbox, in place of what it returned then, for it reads {' and '.join(reads)}; {why}")
    return replace(found, notes=(*found.notes, RAN_ANEW))


@contextmanager
def _body(seen: Seen, served: Served) -> Iterator[_Body]:
    """Write down what a tool's code came to."""
    now, body = playing(), _Body()
    ran = Served(served.interaction, ("its code ran, and its calls were answered", *served.notes))
    try:
        with calling(served.interaction.step):
            yield body
    except BaseException as error:
        if isinstance(error, GraphBubbleUp) and served.interaction.questions:
            now.tape.give_back([served.interaction.step])
        if isinstance(error, Exception) and not isinstance(error, GraphBubbleUp) and RAN_ANEW in served.notes:
            why = f"its code ran in the sandbox, since it reads what is otherwise now, and failed there: {type(error).__name__}: {error}"
            raise now.halt(seen, Divergence(f"{seen.call}: {why}: {'; '.join(_instead(now, seen.call.name, served))}")) from error
        now.note(seen, ran, error=error)
        raise
    now.note(seen, ran, output=_output(body.came, served.interaction.model_copy(update={"result": None})))


def _configured(body: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What the body is given, with the config that LangChain would have handed to it."""
    name = _get_runnable_config_param(body)
    return {**kwargs, name: ensure_config()} if name else kwargs


def _arguments(tool: BaseTool, given: Any) -> Json:
    """What the model gave to a tool, without what the graph injects. A lone text stands for the tool's first argument."""
    if isinstance(given, dict):
        return tool._filter_injected_args(given)  # noqa: SLF001  # the very filter that recorded inputs went through
    return {next(iter(tool.args), "input"): given}


def _answered_tool(tool: BaseTool, seen: Seen, tool_call_id: str | None, given: Any) -> Any:
    """What a call comes to: the fault that was asked for, else what was recorded, or what it comes to live."""
    now = playing()
    fault = now.altered.fault(seen.call)
    if fault is None:
        if not now.reach.takes("tool", tool.name):
            return _served_tool(tool, seen, tool_call_id, now.served(seen), given)
        if (earlier := now.earlier(seen)) is not None:
            return _served_tool(tool, seen, tool_call_id, earlier, given)
        now.check(seen)
        return now.reach.tool(now, tool, seen, tool_call_id, given)
    now.check(seen)
    now.free(seen)
    error = raised(fault)
    now.journal.note(seen, "edited", from_step=now.edited, says=f"injected: {fault.kind}", output="" if error is None else None, error=error)
    if error is not None:
        raise error
    return answers.paired("", tool)


def _served_tool(tool: BaseTool, seen: Seen, tool_call_id: str | None, recorded: Served, given: Any) -> Any:
    now = playing()
    _heard(now, seen, recorded)
    served = _as_then(now, tool, seen, recorded, given)
    if lacking := wholes.untold(now, tool, served.interaction, tool_call_id):
        served = replace(served, notes=(*served.notes, f"{UNTYPED}: {lacking}"))
    if served.interaction.interrupted:
        _stop_again(now, seen, served)
    try:
        result = _in_state(_result(now, tool, seen, tool_call_id, served))
    except Exception as error:
        if served.interaction.error is None:
            raise now.fault(str(seen.call), error) from error
        now.note(seen, served, error=error)
        now.let_begin(served.interaction.step)
        raise
    now.note(seen, served, output=_output(result, served.interaction), error=served.interaction.error)  # handled before it was recorded: none is raised
    return result


def _result(now: Playback, tool: BaseTool, seen: Seen, tool_call_id: str | None, served: Served) -> Any:
    """What the tool returned, with its types."""
    one = served.interaction
    if tool_call_id and one.message is not None and one.message.get("artifact") is None:
        return answers.tool_result(one, tool, tool_call_id)  # its message says all there is
    kept = (wholes.message(now, one) if one.message is not None else None) or UNTOLD
    return answers.tool_result(one, tool, tool_call_id, wholes.returned(now, seen, one) if kept is UNTOLD and not one.error else kept)


def _as_then(now: Playback, tool: BaseTool, seen: Seen, served: Served, given: Any) -> Served:
    """A recorded answer that was made of what the call would read now too, or is served as stale. Raises Divergence for one that was not."""
    reads = (
        []
        if served.interaction.step == now.edited
        else [one for one in (_answer(now, served), _context(now, tool), read_otherwise(now, tool, given, served.interaction.step)) if one]
    )
    if not reads:
        return served
    why = f"its code reads {' and '.join(reads)}"
    if not {seen.call.name, "tool"} & now.tape.stale:
        instead = "; ".join(_instead(now, tool.name, served))
        raise now.halt(seen, Divergence(f"{seen.call}: {why}, so what it returned then is not served now: {instead}"))
    return replace(served, notes=(*served.notes, f"stale: {why}"))


def _instead(now: Playback, name: str, served: Served) -> Iterator[str]:
    """What can be done about a recorded answer that is not served. A tool that asks a person in its body can't go live."""
    asks = served.interaction.step in now.asked_otherwise
    runs = f"run its code in the sandbox, where it {'is given this answer' if asks else 'reads that'} (execute={[name]}, --execute {name})"
    if asks:
        yield runs
    yield f"put a result in its place ({f'at step {served.interaction.step}, ' if asks else ''}tool_result=…, --tool-result)"
    if not asks and RAN_ANEW not in served.notes:
        yield runs
    yield f"serve it as stale (stale={[name]}, --serve-stale {name})" + ("" if asks else f", or call it for real (tool:{name})")


def _answer(now: Playback, served: Served) -> str:
    """What a tool was told by a person that is another answer now, in words; empty for nothing."""
    return "a person's answer, which was another when it was recorded" if served.interaction.step in now.asked_otherwise else ""


def _context(now: Playback, tool: BaseTool) -> str:
    """What a tool reads of the run's context that is another than recorded, in words; empty for nothing."""
    other = now.other_context if reads_context(tool) else ()
    return f"the run's context, of which {', '.join(other)} was recorded with another value" if other else ""


def _in_state(result: Any) -> Any:
    """What a tool returned, with the messages that it takes from the state under the ids which they have there now."""
    read = (ensure_config().get("configurable") or {}).get(nodes.READ)
    return aligned(result, read) if isinstance(result, Command) and read is not None else result


def _heard(now: Playback, seen: Seen, served: Served) -> None:
    """Take the answers to what the tool's body asked before it came to where it is served. What only the task tells of is asked in turn.

    There an attempt that stopped is none of the recorded steps, and none here: what completes the call stays for the next one.
    """
    alone = served.interaction.questions
    try:
        for question in (*served.asked, *alone[nodes.asked_here() if alone else 0 :]):
            interrupt(question)
    except GraphBubbleUp as stop:
        if alone:
            now.tape.give_back([served.interaction.step])
        else:
            now.note(seen, served, error=stop)
        raise


def _stop_again(now: Playback, seen: Seen, served: Served) -> None:
    """Stop to ask where the tool's body did."""
    now.let_begin(served.interaction.step)
    try:
        _stop(served.interaction.result)
    except GraphBubbleUp as stop:
        now.note(seen, served, error=stop)
        raise


def _stop(question: Json) -> None:
    """Stop to ask, whatever was answered to the calls beside this one: of several in one task, LangGraph gives the answer to the one that asks first."""
    config = ensure_config()
    around = config["configurable"]
    deaf = replace(around[CONFIG_KEY_SCRATCHPAD], interrupt_counter=lambda: len(around[CONFIG_KEY_SCRATCHPAD].resume), get_null_resume=lambda *_: None)
    with set_config_context({**config, "configurable": {**around, CONFIG_KEY_SCRATCHPAD: deaf}}) as context:
        context.run(interrupt, question)


def _output(result: Any, interaction: Interaction) -> Json:
    """What the span shows as the result: the recorded one, or what took its place."""
    shown = unwrapped(interaction.result if interaction.result is not None else answers.described(result))
    return shown if isinstance(shown, str | int | float | bool | list | dict) or shown is None else str(getattr(shown, "content", shown))
