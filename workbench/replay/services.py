"""What a plain node calls besides tools and models, answered from the tape: HTTP services (httpx, requests) and retrievers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from workbench.model import Interaction, Json
from workbench.replay import answers
from workbench.replay.captured import http_arguments, http_name
from workbench.wire import Answered, Asked, bytes_of, text_of

if TYPE_CHECKING:
    from workbench.replay.cassette import Served

Ask = Callable[[str, str, Json], "Served"]
"""Asks the tape: kind, name, arguments. It raises where there is no answer."""


class Web:
    """Answers HTTP requests from the tape; see `workbench.wire.Listener`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def listens(self) -> bool:
        """Always: no request goes out past the fence."""
        return True

    def answer(self, asked: Asked) -> Answered:
        """The recorded answer to a request."""
        arguments = http_arguments(asked.method, asked.url, text_of(asked.body))
        recorded = self._ask("http", http_name(asked.method, asked.url), arguments).interaction
        headers = tuple((str(name), str(value)) for name, value in recorded.result["headers"])
        return Answered(recorded.result["status"], headers, bytes_of(recorded.result["body"]), recorded.error)

    def heard(self, asked: Asked, answered: Answered) -> None:
        """Nothing is heard: no request goes out."""


# ---- retrievers


def documents(recorded: Interaction) -> list[Document]:
    """What a retriever found. Raises what it raised."""
    if recorded.error is not None:
        raise answers.exception(recorded.error)
    found = recorded.result.get("documents", []) if isinstance(recorded.result, dict) else recorded.result
    return [_document(one) for one in found or ()]


def _document(recorded: Json) -> Document:
    """A document as the conventions write it: under `document`, as LangChain dumps it, or as text."""
    inner = recorded.get("document", recorded) if isinstance(recorded, dict) else {"content": recorded}
    content = next((inner[key] for key in ("page_content", "content", "text") if inner.get(key) is not None), "")
    metadata = inner.get("metadata") or {}
    return Document(page_content=str(content), metadata=json.loads(metadata) if isinstance(metadata, str) else metadata, id=inner.get("id"))
