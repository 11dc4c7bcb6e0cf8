"""Chat models behind the fence: each call runs on a copy of its model, whose private methods answer from the tape or go to a live model."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from workbench.model import Tokens
from workbench.replay.fence import answers
from workbench.replay.fence.alterations import AlterationError, model_name, raised
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.playback import TWIN, guarded, pause, plain, playing, seen_here
from workbench.replay.fence.reach import chunk_of
from workbench.replay.recording.tape import Call, Divergence, Served
from workbench.taps import wire

MODEL_HOOKS = ("_generate", "_agenerate", "_stream", "_astream", "_stream_chat_model_events", "_astream_chat_model_events")


def model_twin(model: BaseChatModel, bound: dict[str, Any]) -> BaseChatModel:
    """A copy of a chat model for one call, whose private methods answer from the tape, or go to the real ones where models are live."""
    _ = model._serialized  # noqa: SLF001  # worked out once, and kept in the copy: callbacks are told it at each call
    twin = copy.copy(model)
    calls = _Live(model, bound) if playing().thinks(model) else _Recorded(model, bound)
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
        altered, before = playing().altered, self._seen(self.model, messages, options)
        path = before.call.node_path
        try:
            model, said, chosen = altered.model(self.model, path), altered.messages(messages, path), altered.options(options, path)
        except AlterationError as error:
            raise playing().halt(before, Divergence(str(error))) from None
        same = model is self.model and said is messages and chosen is options
        if not same:
            playing().free(before)
        seen = before if same else self._seen(model, said, chosen)
        return _Given(seen, playing().reach.model(playing(), model, self.model, seen), said, chosen, altered.pause(seen.call))

    def _seen(self, model: BaseChatModel, messages: list[BaseMessage], options: dict[str, Any]) -> Seen:
        name = model_name(model)
        with guarded(f"a call of {name}"):
            given = playing().history.read(messages)
        call = Call("model", name, "", given.meant, text=given.text)
        return seen_here(call, self.bound.get("config"), self.bound.get("metadata"), model=name, given=given, offered=plain(options.get("tools")))


def _faulted(seen: Seen) -> AIMessage | None:
    """The empty answer that a fault asks for, None where there is no fault. Raises what the fault raises."""
    now = playing()
    fault = now.altered.fault(seen.call)
    if fault is None:
        return None
    now.free(seen)
    error, message = raised(fault), AIMessage("")
    output = message.model_dump(mode="json") if error is None else None
    now.journal.note(seen, "edited", from_step=now.edited, says=f"injected: {fault.kind}", output=output, error=error)
    if error is not None:
        raise error
    return message


def _recorded(seen: Seen, served: Served) -> AIMessage:
    """A recorded answer, written down as served. Raises what the recorded call raised."""
    now = playing()
    if served.interaction.error is not None:
        failure = answers.exception(served.interaction.error)
        now.note(seen, served, error=failure)
        raise failure
    with guarded(seen.call):
        message = answers.ai_message(served.interaction)
    now.note(seen, served, output=message.model_dump(mode="json"))
    return message


class _Recorded(_Calls):
    def answer(self, given: _Given) -> AIMessage:
        now, seen = playing(), given.seen
        if (empty := _faulted(seen)) is not None:
            return empty
        return _recorded(seen, now.served(seen))

    def _now(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        given = self.given(messages, options)
        pause(given.pause)
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
        now = playing()
        now.meter.came(seen.call.name, failed=error is not None)
        now.meter.used(seen.call.name, tokens_of(message))
        now.journal.note(seen, "live", output=None if message is None else message.model_dump(mode="json"), error=error)

    def start(self, given: _Given) -> AIMessage | None:
        """Let a call go out, or answer it: emptily where a fault asks for that, as recorded where it came before the fork's own step."""
        now = playing()
        if (earlier := now.earlier(given.seen)) is not None:
            return _recorded(given.seen, earlier)
        now.free(given.seen)
        now.check(given.seen)
        if (empty := _faulted(given.seen)) is not None:
            return empty
        with now.within(given.seen):
            now.meter.model_call(given.seen.call.name)
        return None

    @contextmanager
    def noted(self, seen: Seen) -> Iterator[None]:
        """Write down what a live call raises; one that was halted stands there as that."""
        try:
            yield
        except Divergence:  # nothing went out, or what did is noted
            raise
        except BaseException as error:
            self.note(seen, None, error)
            raise

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        given = self.given(messages, options)
        pause(given.pause)
        if (instead := self.start(given)) is not None:
            return _result(instead)
        with self.noted(given.seen), wire.aside():
            result = given.model._generate(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
        self.note(given.seen, result.generations[0].message)
        return result

    async def _agenerate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        given = self.given(messages, options)
        await asyncio.sleep(given.pause)
        if (instead := self.start(given)) is not None:
            return _result(instead)
        with self.noted(given.seen), wire.aside():
            result = await given.model._agenerate(given.messages, stop=stop, run_manager=run_manager, **given.options)  # noqa: SLF001  # this is the hook
        self.note(given.seen, result.generations[0].message)
        return result

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any) -> Iterator[ChatGenerationChunk]:
        given, whole = self.given(messages, options), None
        pause(given.pause)
        if (instead := self.start(given)) is not None:
            yield chunk_of(instead)
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
        if (instead := self.start(given)) is not None:
            yield chunk_of(instead)
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


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def tokens_of(message: BaseMessage | None) -> Tokens:
    """The tokens that a model's answer says it took."""
    usage = getattr(message, "usage_metadata", None) or {}
    return Tokens(input=usage.get("input_tokens"), output=usage.get("output_tokens"), total=usage.get("total_tokens"))
