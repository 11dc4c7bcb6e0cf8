"""A chat model without a model: its answer is a function of the messages, so it thinks anew when a message changes, and needs no key or network.

Answers look like those of a hosted model: log-probabilities of the tokens, token counts, a model name, ids. All are functions of the messages too.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from sample_traces.script import Reply, answer

SPREAD = 0.5
CHARACTERS_PER_TOKEN = 4


class ScriptedChat(BaseChatModel):
    """Answers by `sample_traces.script.answer`."""

    model_name: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer these tools, in OpenAI's format; the script is free not to use them."""
        offered = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=offered, **({"tool_choice": tool_choice} if tool_choice else {}), **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._say(messages))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._say(messages))])

    def _say(self, messages: Sequence[BaseMessage]) -> AIMessage:
        reply, mark = answer(messages), fingerprint(messages)
        asked, said = sum(map(tokens, messages)), len(reply.text) // CHARACTERS_PER_TOKEN + 8 * len(reply.calls) + 1
        return AIMessage(
            id=f"ai-{mark[:12]}",
            content=reply.text,
            tool_calls=[
                {"name": name, "args": arguments, "id": f"call-{mark[:8]}-{number}", "type": "tool_call"}
                for number, (name, arguments) in enumerate(reply.calls)
            ],
            response_metadata={
                "model_name": self.model_name,
                "finish_reason": "tool_calls" if reply.calls else "stop",
                "logprobs": {"content": logprobs(reply)},
            },
            usage_metadata={"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said},
        )


def fingerprint(messages: Sequence[BaseMessage]) -> str:
    """SHA-256 of what was said, ids left out except those of tool calls: the same conversation always gets the same ids."""
    said = [[m.type, m.text, getattr(m, "tool_calls", None), getattr(m, "tool_call_id", None)] for m in messages]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def tokens(message: BaseMessage) -> int:
    """About how many tokens a message costs: four characters each, tool calls included, and four for its frame."""
    return (len(message.text) + len(json.dumps(getattr(message, "tool_calls", [])))) // CHARACTERS_PER_TOKEN + 4


def logprobs(reply: Reply) -> list[dict[str, Any]]:
    """One entry a word, in OpenAI's format; exp of their mean is the reply's confidence, the words swing evenly around it."""
    words = re.findall(r"\s*\S+", reply.text) or [name for name, _ in reply.calls]
    mean, last = math.log(reply.confidence), len(words) - 1
    swings = [0.0 if number == last and number % 2 == 0 else (SPREAD if number % 2 else -SPREAD) for number in range(len(words))]
    return [{"token": word, "logprob": round(mean * (1 + swing), 6)} for word, swing in zip(words, swings, strict=True)]
