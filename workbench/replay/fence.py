"""The fence: every call of a tool or chat model in this process is answered from the tape, edited, let through to a live model, or halted.

The public entry points of langchain-core's two base classes are patched. Each call runs on a shallow twin of the tool or model whose private
method is replaced, so that callbacks, validation, formatting and streaming stay as they are. The session is global to the process, not bound to
a context: a thread that the agent started itself would otherwise find no fence. After a divergence nothing is answered any more, and a
divergence that somebody's thread swallowed still fails the run.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.tools.base import _get_runnable_config_param
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, interrupt

from workbench import vectors, wire
from workbench.model import Cassette, Interaction, Json, Tokens
from workbench.replay import answers, nodes
from workbench.replay.alterations import AlterationError, Alterations, model_name, raised
from workbench.replay.budget import Meter, OverBudgetError
from workbench.replay.captured import COMMAND
from workbench.replay.cassette import Call, CutOff, Divergence, Served, Tape, Unanswered, canonical_messages
from workbench.replay.history import History
from workbench.replay.identities import aligned
from workbench.replay.journal import Journal, Seen, place, step_of
from workbench.replay.nodes import Nodes, current_task
from workbench.replay.reach import Reach, chunk_of, declared
from workbench.replay.services import Web, documents

TWIN = "_workbench_twin"
TOOL_METHODS = ("run", "arun")
MODEL_METHODS = ("generate", "agenerate", "stream", "astream", "_chat_model_stream_v3", "_achat_model_stream_v3")
RETRIEVER_METHODS = ("invoke", "ainvoke")
RETRIEVER_HOOKS = ("_get_relevant_documents", "_aget_relevant_documents")
BY_NODE = frozenset(("http", "embedding", "retrieval"))
"""Kinds of calls that not every recorder captures: where none was in a node, what the node wrote is served in their place."""
MODEL_HOOKS = ("_generate", "_agenerate", "_stream", "_astream", "_stream_chat_model_events", "_astream_chat_model_events")


class FenceError(RuntimeError):
    """The fence can't be put up, so nothing may run. The message says which hook failed."""


@dataclass
class Session:
    """One re-run: its tape, its journal, and what may go live. `edited` is the step whose recorded result was replaced."""

    tape: Tape
    journal: Journal
    models_live: bool = False
    edited: int | None = None
    opened: frozenset[int] = frozenset()
    """The tool calls whose code runs, since something inside them was changed."""
    stale_answers: bool = False
    altered: Alterations = field(default_factory=Alterations)
    reach: Reach = field(default_factory=Reach)
    meter: Meter = field(default_factory=Meter)
    divergence: Divergence | None = None
    cut_off: tuple[Seen, CutOff] | None = None
    notes: list[str] = field(default_factory=list)
    nodes: Nodes | None = None
    history: History = field(default_factory=History)

    def served(self, seen: Seen) -> Served:
        """The recorded answer to a call. Raises Divergence where there is none, and for every call after one."""
        self.check(seen)
        try:
            with _ours(str(seen.call)):
                return self.tape.take(seen.call)
        except CutOff as stop:
            self.cut_off = seen, stop
            raise
        except Divergence as divergence:
            self._leave_to_node(seen, divergence)
            raise self.halt(seen, divergence) from None

    def _leave_to_node(self, seen: Seen, divergence: Divergence) -> None:
        """Give a call up that nobody recorded, in favour of what its node wrote, which somebody did."""
        task = current_task()
        if self.nodes is not None and task and seen.call.kind in BY_NODE and self.nodes.can_stand_in(task) and not self.tape.knows(seen.call):
            self.nodes.unanswered.setdefault(task, []).append(str(seen.call))
            raise Unanswered(str(divergence)) from None

    def free(self) -> None:
        """Something was changed or went live: what was recorded after it no longer stands by itself."""
        self.tape.free()
        if self.nodes is not None:
            self.nodes.leave("")

    def check(self, seen: Seen) -> None:
        """Raise the divergence there was, if any: nothing is answered after the first halt, nor after a cut-off that the agent swallowed."""
        self.settle()
        if self.divergence is not None:
            self.journal.note(seen, "halted", says="nothing is answered after the first halt")
            raise self.divergence
        with self.within(seen):
            self.meter.step()

    @contextmanager
    def within(self, seen: Seen) -> Iterator[None]:
        """Let the re-run end where its budget does."""
        try:
            yield
        except OverBudgetError as error:
            raise self.halt(seen, Divergence(str(error))) from None

    def thinks(self, model: BaseChatModel) -> bool:
        """Whether a model's calls are live, inside the sandbox or outside."""
        return self.models_live or self.reach.takes("model", model_name(model)) or bool(self.altered.asked.settings and self.reach.names)

    def settle(self) -> None:
        """Take a cut-off that did not end the run for what it is: a call without a recording."""
        if self.cut_off is not None:
            (seen, stop), self.cut_off = self.cut_off, None
            self.halt(seen, Divergence(stop.miss))

    def halt(self, seen: Seen, divergence: Divergence) -> Divergence:
        """Let the re-run end here: nothing is answered any more. Returns the divergence, to be raised."""
        self.divergence = divergence
        self.journal.note(seen, "halted", says=str(divergence), error=f"halted: {str(divergence).partition(chr(10))[0]}")
        return divergence

    def fault(self, what: str, error: Exception) -> Divergence:
        """The fence failed where it was to answer: let the re-run end here. Returns the divergence, to be raised."""
        divergence = Divergence(f"the fence failed at {what}: {type(error).__name__}: {error}; nothing was executed")
        around = Seen(call=Call("fence", what, "", None), namespace="", node=None, thread_id=None, started_ns=self.journal.clock())
        return self.halt(around, divergence)

    def note(self, seen: Seen, served: Served, *, output: Json = None, error: BaseException | None = None) -> None:
        """Write down a served call."""
        step = served.interaction.step
        answer: Literal["edited", "served"] = "edited" if step == self.edited and self.altered.asked.fault is None else "served"
        if answer == "edited":
            self.free()
        self.journal.note(seen, answer, from_step=step, says="; ".join(served.notes), output=output, error=error)


_session: Session | None = None


def session() -> Session:
    """The session of this process. FenceError when a call comes before there is one."""
    if _session is None:
        raise FenceError("a call was made before the fence had a session")
    return _session


def put_up(new: Session) -> None:
    """Patch langchain-core for good and let this session answer. A second call only changes the session."""
    global _session  # noqa: PLW0603  # process-global on purpose: see the module's docstring
    _session = new
    for owner, names, enter in (
        (BaseTool, TOOL_METHODS, tool_twin),
        (BaseChatModel, MODEL_METHODS, model_twin),
        (BaseRetriever, RETRIEVER_METHODS, retriever_twin),
    ):
        for name in names:
            original = getattr(owner, name, None)
            if original is None:
                raise FenceError(f"langchain-core has no {owner.__name__}.{name} any more")
            if not hasattr(original, TWIN):
                setattr(owner, name, _patched(original, enter))
    try:
        wire.listen(Web(_ask))
        nodes.put_up(new.nodes)
    except LookupError as error:
        raise FenceError(str(error)) from None
    vectors.listen(_embedded)


def overridden() -> list[str]:
    """Loaded tools and models that bypass the patched methods by having their own."""
    found = []
    for owner, names in ((BaseTool, TOOL_METHODS), (BaseChatModel, MODEL_METHODS)):
        found += [f"{kind.__module__}.{kind.__qualname__}.{name}" for kind in _below(owner) for name in names if name in vars(kind)]
    return sorted(found)


@contextmanager
def _ours(what: str) -> Iterator[None]:
    """Halt where the fence itself fails at a call. An Exception would be taken for the tool's or the model's own, and might be swallowed."""
    try:
        yield
    except Exception as error:
        raise session().fault(what, error) from error


def _below(kind: type) -> set[type]:
    found: set[type] = set(kind.__subclasses__())
    return found.union(*(_below(one) for one in found)) if found else found


def _patched(original: Callable[..., Any], enter: Callable[..., Any]) -> Callable[..., Any]:
    """The method, called on a twin. It is no coroutine or generator itself: what the original returns is handed on."""
    signature = inspect.signature(original)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if TWIN in vars(self):
            return original(self, *args, **kwargs)
        bound = signature.bind_partial(self, *args, **kwargs).arguments
        with _ours(f"{type(self).__name__}.{original.__name__}"):
            twin = enter(self, bound)
        return original(twin, *args, **kwargs)

    setattr(call, TWIN, original)
    return call


# ---- tools


def tool_twin(tool: BaseTool, bound: dict[str, Any]) -> BaseTool:
    """A copy of a tool for one call, whose body is the tape."""
    _ = tool._injected_args_keys  # noqa: SLF001  # worked out from the real body, and kept in the copy
    twin = copy.copy(tool)
    tool_call_id = bound.get("tool_call_id")
    seen = _seen(
        Call("tool", tool.name, "", _arguments(tool, bound.get("tool_input"))),
        bound.get("config"),
        bound.get("metadata"),
        call_id=tool_call_id,
        declared=declared(tool),
    )

    def run(*args: Any, **kwargs: Any) -> Any:
        _pause(session().altered.pause(seen.call))
        if (opened := _opened(seen)) is None:
            return _answered_tool(tool, seen, tool_call_id)
        with _body(seen, opened) as body:
            body.came = tool._run(*args, **_configured(tool._run, kwargs))  # noqa: SLF001  # this is the body
        return body.came

    async def arun(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(session().altered.pause(seen.call))
        if (opened := _opened(seen)) is None:
            return _answered_tool(tool, seen, tool_call_id)
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
    now = session()
    now.check(seen)
    recorded = now.tape.take_one_of(None, seen.call)
    if recorded is None:
        now.journal.note(seen, "served", says="the tool's own schema refused the arguments", error=error)
    else:
        now.note(seen, recorded, error=error)


# ---- tools whose code runs, since something inside them was changed


@dataclass
class _Body:
    """What a tool's code came to."""

    came: Any = None


def _opened(seen: Seen) -> Served | None:
    """The recording of a call whose code is to run; None for any other."""
    now = session()
    if not now.opened or now.altered.fault(seen.call) is not None or now.reach.takes("tool", seen.call.name):
        return None
    with _ours(str(seen.call)):
        found = now.tape.take_one_of(now.opened, seen.call)
    if found is not None:
        now.check(seen)
    return found


@contextmanager
def _body(seen: Seen, served: Served) -> Iterator[_Body]:
    """Write down what a tool's code came to."""
    now, body = session(), _Body()
    ran = Served(served.interaction, ("its code ran, and its calls were answered", *served.notes))
    try:
        yield body
    except BaseException as error:
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


def _answered_tool(tool: BaseTool, seen: Seen, tool_call_id: str | None) -> Any:
    """What a call comes to: the fault that was asked for, else what was recorded."""
    now = session()
    fault = now.altered.fault(seen.call)
    if fault is None:
        if not now.reach.takes("tool", tool.name):
            return _served_tool(tool, seen, tool_call_id)
        now.check(seen)
        return now.reach.tool(now, tool, seen, tool_call_id)
    now.check(seen)
    now.free()
    error = raised(fault)
    now.journal.note(seen, "edited", from_step=now.edited, says=f"injected: {fault.kind}", output="" if error is None else None, error=error)
    if error is not None:
        raise error
    return answers.paired("", tool)


def _served_tool(tool: BaseTool, seen: Seen, tool_call_id: str | None) -> Any:
    now = session()
    served = now.served(seen)
    if served.interaction.interrupted or served.asked is not None:
        _ask_again(now, seen, served)
        if now.stale_answers:
            raise now.halt(seen, Divergence(f"{seen.call} was recorded after another answer of the person, so what it returned then is not served now"))
    try:
        result = _in_state(answers.tool_result(served.interaction, tool, tool_call_id))
    except Exception as error:
        if served.interaction.error is None:
            raise now.fault(str(seen.call), error) from error
        now.note(seen, served, error=error)
        raise
    raised = served.interaction.error
    now.note(seen, served, output=_output(result, served.interaction), error=None if raised is None else answers.exception(raised))
    return result


def _in_state(result: Any) -> Any:
    """What a tool returned, with the messages that it takes from the state under the ids which they have there now."""
    read = (ensure_config().get("configurable") or {}).get(nodes.READ)
    return aligned(result, read) if isinstance(result, Command) and read is not None else result


def _ask_again(now: Session, seen: Seen, served: Served) -> None:
    """Stop to ask what the tool's body stopped to ask, and count the answer as used where it goes on."""
    question = (served.asked or served.interaction).result
    try:
        interrupt(question)
    except GraphBubbleUp as stop:
        now.note(seen, served, error=stop)
        raise


def _output(result: Any, interaction: Interaction) -> Json:
    """What the span shows as the result: the recorded one, or what took its place."""
    shown = interaction.result if interaction.result is not None else result
    shown = shown[COMMAND] if isinstance(shown, dict) and shown.keys() == {COMMAND} else shown
    return shown if isinstance(shown, str | int | float | bool | list | dict) or shown is None else str(getattr(shown, "content", shown))


# ---- retrievers, embeddings, HTTP


def retriever_twin(retriever: BaseRetriever, bound: dict[str, Any]) -> BaseRetriever:
    """A copy of a retriever for one call, whose body is the tape."""
    twin = copy.copy(retriever)
    seen = _seen(Call("retrieval", retriever.get_name(), "", {"query": bound.get("input")}), bound.get("config"), None)

    def find(*_args: Any, **_kwargs: Any) -> list[Document]:
        return _found(seen)

    async def afind(*_args: Any, **_kwargs: Any) -> list[Document]:
        return _found(seen)

    vars(twin).update({**dict(zip(RETRIEVER_HOOKS, (find, afind), strict=True)), TWIN: True})
    return twin


def _found(seen: Seen) -> list[Document]:
    now = session()
    served = now.served(seen)
    try:
        found = documents(served.interaction)
    except Exception as error:
        if served.interaction.error is None:
            raise now.fault(str(seen.call), error) from error
        now.note(seen, served, error=error)
        raise
    now.note(seen, served, output=served.interaction.result)
    return found


def _ask(kind: str, name: str, arguments: Json) -> Served:
    """The tape's answer to a call that is no step of the run."""
    now, seen = session(), _seen(Call(kind, name, "", arguments), None, None)
    served = now.served(seen)
    now.note(seen, served)
    return served


def _embedded(embeddings: Any, method: str, texts: Any, _: Any) -> Any:
    return _ask("embedding", type(embeddings).__name__, {"method": method, "texts": texts}).interaction.result


# ---- chat models


def model_twin(model: BaseChatModel, bound: dict[str, Any]) -> BaseChatModel:
    """A copy of a chat model for one call, whose private methods answer from the tape, or go to the real ones where models are live."""
    twin = copy.copy(model)
    calls = _Live(model, bound) if session().thinks(model) else _Recorded(model, bound)
    vars(twin).update({name: getattr(calls, name, None) for name in MODEL_HOOKS})
    vars(twin).update({"cache": False, "rate_limiter": None, TWIN: True})
    return twin


@dataclass(frozen=True)
class _Given:
    """What one model call was given, after the fork's change."""

    seen: Seen
    model: BaseChatModel
    messages: list[BaseMessage]
    options: dict[str, Any]
    pause: float


@dataclass
class _Calls:
    """The private methods of one model call's twin."""

    model: BaseChatModel
    bound: dict[str, Any]

    def given(self, messages: list[BaseMessage], options: dict[str, Any]) -> _Given:
        """The call as it is to be made, by the fork's change. Raises Divergence where the change doesn't fit the agent."""
        altered, before = session().altered, self._seen(self.model, messages, options)
        path = before.call.node_path
        try:
            model, said, chosen = altered.model(self.model, path), altered.messages(messages, path), altered.options(options, path)
        except AlterationError as error:
            raise session().halt(before, Divergence(str(error))) from None
        same = model is self.model and said is messages and chosen is options
        if not same:
            session().free()
        seen = before if same else self._seen(model, said, chosen)
        return _Given(seen, session().reach.model(session(), model, self.model, seen), said, chosen, altered.pause(seen.call))

    def _seen(self, model: BaseChatModel, messages: list[BaseMessage], options: dict[str, Any]) -> Seen:
        name = model_name(model)
        with _ours(f"a call of {name}"):
            shown, meant = session().history.read(messages)
        call = Call("model", name, "", meant)
        return _seen(call, self.bound.get("config"), self.bound.get("metadata"), model=name, messages=shown, offered=plain(options.get("tools")))


def _faulted(seen: Seen) -> AIMessage | None:
    """The empty answer that a fault asks for, None where there is no fault. Raises what the fault raises."""
    now = session()
    fault = now.altered.fault(seen.call)
    if fault is None:
        return None
    now.free()
    error, message = raised(fault), AIMessage("")
    output = message.model_dump(mode="json") if error is None else None
    now.journal.note(seen, "edited", from_step=now.edited, says=f"injected: {fault.kind}", output=output, error=error)
    if error is not None:
        raise error
    return message


class _Recorded(_Calls):
    def answer(self, given: _Given) -> AIMessage:
        now, seen = session(), given.seen
        if (empty := _faulted(seen)) is not None:
            return empty
        served = now.served(seen)
        if served.interaction.error is not None:
            failure = answers.exception(served.interaction.error)
            now.note(seen, served, error=failure)
            raise failure
        with _ours(str(seen.call)):
            message = answers.ai_message(served.interaction)
        now.note(seen, served, output=message.model_dump(mode="json"))
        return message

    def _now(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        given = self.given(messages, options)
        _pause(given.pause)
        return self.answer(given)

    async def _later(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        given = self.given(messages, options)
        await asyncio.sleep(given.pause)
        return self.answer(given)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return _result(self._now(messages, options))

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return _result(await self._later(messages, options))

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[ChatGenerationChunk]:
        yield chunk_of(self._now(messages, options))

    async def _astream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield chunk_of(await self._later(messages, options))


class _Live(_Calls):
    """Hands each call to the real model, and writes down what it said. What it reaches for is up to the sandbox."""

    def note(self, seen: Seen, message: BaseMessage | None, error: BaseException | None = None) -> None:
        """Write down what a live call came to, and what it took."""
        now = session()
        now.meter.came(seen.call.name, failed=error is not None)
        now.meter.used(seen.call.name, tokens_of(message))
        now.journal.note(seen, "live", output=None if message is None else message.model_dump(mode="json"), error=error)

    def start(self, given: _Given) -> AIMessage | None:
        """Let a call go out, or answer it emptily where a fault asks for that."""
        now = session()
        now.free()
        now.check(given.seen)
        if (empty := _faulted(given.seen)) is not None:
            return empty
        with now.within(given.seen):
            now.meter.model_call(given.seen.call.name)
        return None

    @contextmanager
    def noted(self, seen: Seen) -> Iterator[None]:
        """Write down what a live call raises."""
        try:
            yield
        except BaseException as error:
            self.note(seen, None, error)
            raise

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        given = self.given(messages, options)
        _pause(given.pause)
        if (empty := self.start(given)) is not None:
            return _result(empty)
        with self.noted(given.seen), wire.aside():
            result = given.model._generate(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
        self.note(given.seen, result.generations[0].message)
        return result

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        given = self.given(messages, options)
        await asyncio.sleep(given.pause)
        if (empty := self.start(given)) is not None:
            return _result(empty)
        with self.noted(given.seen), wire.aside():
            result = await given.model._agenerate(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
        self.note(given.seen, result.generations[0].message)
        return result

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[ChatGenerationChunk]:
        given, whole = self.given(messages, options), None
        _pause(given.pause)
        if (empty := self.start(given)) is not None:
            yield chunk_of(empty)
            return
        with self.noted(given.seen):
            chunks = given.model._stream(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
            while (chunk := _outside(chunks)) is not None:
                whole = chunk if whole is None else whole + chunk
                yield chunk
        self.note(given.seen, whole.message if whole else None)

    async def _astream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        given, whole = self.given(messages, options), None
        await asyncio.sleep(given.pause)
        if (empty := self.start(given)) is not None:
            yield chunk_of(empty)
            return
        with self.noted(given.seen):
            chunks = given.model._astream(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
            while (chunk := await _outside_later(chunks)) is not None:
                whole = chunk if whole is None else whole + chunk
                yield chunk
        self.note(given.seen, whole.message if whole else None)


def _outside(chunks: Iterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
    """The next chunk of a live model, whose requests are its own; None at the end."""
    with wire.aside():
        return next(chunks, None)


async def _outside_later(chunks: AsyncIterator[ChatGenerationChunk]) -> ChatGenerationChunk | None:
    with wire.aside():
        return await anext(chunks, None)


def _pause(seconds: float) -> None:
    if seconds:  # even a sleep of no time hands the processor to somebody else
        time.sleep(seconds)


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def tokens_of(message: BaseMessage | None) -> Tokens:
    """The tokens that a model's answer says it took."""
    usage = getattr(message, "usage_metadata", None) or {}
    return Tokens(input=usage.get("input_tokens"), output=usage.get("output_tokens"), total=usage.get("total_tokens"))


# ---- where a call was made


def _seen(call: Call, config: Any, metadata: Any, **fields: Any) -> Seen:
    """A call with its place in the graph, from the config it was given or else from the one in force."""
    around = ensure_config(config)
    known = {**(around.get("metadata") or {}), **(metadata or {})}
    configurable = around.get("configurable") or {}
    namespace, node, path = place({"checkpoint_ns": configurable.get("checkpoint_ns"), **known})
    thread = known.get("thread_id") or configurable.get("thread_id")
    placed = Call(call.kind, call.name, path, call.arguments)
    return Seen(call=placed, place=step_of(known), namespace=namespace, node=node, thread_id=thread, started_ns=time.time_ns(), **fields)


def plain(value: Any) -> Json:
    """A value as JSON holds it; what JSON has no form for is its text."""
    return json.loads(json.dumps(value, default=str)) if value else None


# ---- proof that it stands


class _ProbeTool(BaseTool):
    name: str = "workbench_probe"
    description: str = "Must never run."

    def _run(self, **_: Any) -> str:
        raise FenceError("a tool's body ran behind the fence")


class _ProbeModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "workbench-probe"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        raise FenceError("a model's body ran behind the fence")


def prove() -> None:
    """Call a tool and a model that must not run, in every way there is. FenceError when one does, or when the fence did not see a call."""
    asked = canonical_messages(answers.recorded_messages([HumanMessage("probe")]))
    tool, model = _ProbeTool(), _ProbeModel()
    recorded = [Interaction(kind="tool", name=tool.name, node_path="", arguments={}, result="recorded", step=step) for step in (0, 1)]
    recorded.append(Interaction(kind="model", name="probe", node_path="", arguments=asked, result={"role": "assistant", "content": "recorded"}, step=2))
    journal = Journal("probe")
    put_up(Session(Tape(Cassette(run_id="probe", interactions=tuple(recorded))), journal))

    async def later() -> list[Any]:
        streamed = [chunk.text async for chunk in model.astream("probe")]
        return [await tool.ainvoke({}), (await model.ainvoke("probe")).text, "".join(streamed)]

    heard = [tool.invoke({}), model.invoke("probe").text, "".join(chunk.text for chunk in model.stream("probe")), *asyncio.run(later())]
    if heard != ["recorded"] * 6 or len(journal.records) != len(heard):
        raise FenceError(f"langchain-core's hooks moved: probes got {heard}, the fence saw {len(journal.records)} of {len(heard)} calls")
    if (seen := nodes.probe()) != len(nodes.HOOKS):
        raise FenceError(f"langgraph's task runner moved: of {len(nodes.HOOKS)} probes the fence saw {seen}")
    if strays := [name for name in overridden() if not name.startswith("langchain_core.")]:
        raise FenceError(f"these replace the methods that the fence patches, so their calls would pass it: {', '.join(strays)}")
