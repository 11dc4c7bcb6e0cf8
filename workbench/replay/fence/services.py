"""What a plain node calls besides tools and models, answered from the tape: HTTP services (httpx, requests), embeddings and retrievers."""

from __future__ import annotations

import copy
import json
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from workbench.model import Interaction, Json
from workbench.replay.fence import answers
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.playback import TWIN, playing, seen_here
from workbench.replay.recording.captured import http_arguments, http_name
from workbench.replay.recording.tape import Call, Served
from workbench.taps.wire import Answered, Asked, bytes_of, text_of

RETRIEVER_HOOKS = ("_get_relevant_documents", "_aget_relevant_documents")


def ask(kind: str, name: str, arguments: Json) -> Served:
    """The tape's answer to a call that is no step of the run."""
    now, seen = playing(), seen_here(Call(kind, name, "", arguments), None, None)
    served = now.served(seen)
    now.note(seen, served)
    return served


def embedded(embeddings: Any, method: str, texts: Any, _: Any) -> Any:
    """What a model of embeddings gave for these texts; see `workbench.taps.vectors.listen`."""
    return ask("embedding", type(embeddings).__name__, {"method": method, "texts": texts}).interaction.result


class Web:
    """Answers HTTP requests from the tape; see `workbench.taps.wire.Listener`."""

    def listens(self) -> bool:
        """Always: no request goes out past the fence."""
        return True

    def answer(self, asked: Asked) -> Answered:
        """The recorded answer to a request."""
        arguments = http_arguments(asked.method, asked.url, text_of(asked.body))
        recorded = ask("http", http_name(asked.method, asked.url), arguments).interaction
        headers = tuple((str(name), str(value)) for name, value in recorded.result["headers"])
        return Answered(recorded.result["status"], headers, bytes_of(recorded.result["body"]), recorded.error)

    def heard(self, asked: Asked, answered: Answered) -> None:
        """Nothing is heard: no request goes out."""


# ---- retrievers


def retriever_twin(retriever: BaseRetriever, bound: dict[str, Any]) -> BaseRetriever:
    """A copy of a retriever for one call, whose body is the tape."""
    twin = copy.copy(retriever)
    seen = seen_here(Call("retrieval", retriever.get_name(), "", {"query": bound.get("input")}), bound.get("config"), None)

    def find(*_args: Any, **_kwargs: Any) -> list[Document]:
        return _found(seen)

    async def afind(*_args: Any, **_kwargs: Any) -> list[Document]:
        return _found(seen)

    vars(twin).update({**dict(zip(RETRIEVER_HOOKS, (find, afind), strict=True)), TWIN: True})
    return twin


def _found(seen: Seen) -> list[Document]:
    now = playing()
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
