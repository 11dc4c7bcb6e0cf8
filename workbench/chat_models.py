"""Chat models by name, such as `openai:gpt-5-mini`, for what may ask one: simulations and judges.

Keys come from the environment, as the provider reads them.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class ModelError(ValueError):
    """A chat model that can't be made. The message says what is missing."""


def chat_model(name: str) -> BaseChatModel:
    """The chat model `provider:name`, made by LangChain's `init_chat_model`. ModelError for another spelling, and when a package or key is missing."""
    provider, _, model = name.partition(":")
    if not provider or not model:
        raise ModelError(f"{name!r} names no chat model: write provider:name, such as openai:gpt-5-mini")
    if find_spec("langchain") is None:
        raise ModelError("chat models by name need langchain: pip install 'replay-workbench[models]', and the provider's package")
    from langchain.chat_models import init_chat_model  # noqa: PLC0415  # an extra, and slow to import

    try:
        return init_chat_model(model, model_provider=provider)
    except Exception as error:  # every provider's client has its own for what it lacks
        raise ModelError(f"{name} can't be used: {error}") from error


def name_of(model: BaseChatModel) -> str:
    """What a chat model calls itself, for its price; its class's name where it says nothing."""
    names = (getattr(model, field, None) for field in ("model_name", "model"))
    return next((name for name in names if isinstance(name, str) and name), type(model).__name__)
