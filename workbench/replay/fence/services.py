"""What a plain node calls besides tools and models, answered from the tape: HTTP services (httpx, requests), embeddings and retrievers."""

from __future__ import annotations

import copy
import json
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from workbench.model import Interaction, Json
from workbench.replay.fence import answers, wholes
from workbench.replay.fence.answers import UNTOLD
from workbench.replay.fence.journal import Seen
from workbench.replay.fence.playback import TWIN, Playback, playing, seen_here
from workbench.replay.protocol import Fault
from workbench.replay.recording.captured import http_arguments, http_name
from workbench.replay.recording.tape import Call, Served
from workbench.taps import threads
from workbench.taps.wire import Answered, Asked, bytes_of, text_of

RETRIEVER_HOOKS = ("_get_relevant_documents", "_aget_relevant_documents")


def ask(kind: str, name: str, arguments: Json) -> Served:
    """The tape's answer to a call that is no step of the run."""
    now, seen = playing(), seen_here(Call(kind, name, "", arguments), threads.around(), None)
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
        now, arguments = playing(), http_arguments(asked.method, asked.url, text_of(asked.body))
        seen = seen_here(Call("http", http_name(asked.method, asked.url), "", arguments), threads.around(), None)
        late, fault = now.altered.pause(seen.call), now.altered.fault(seen.call)
        if fault is not None:
            return _instead(now, seen, fault)
        if asked.patience is not None and late > asked.patience:
            return _too_late(now, seen, asked.patience)
        served = now.served(seen)
        now.note(seen, served)
        return _answered(served.interaction.result, served.interaction.error, late)

    def heard(self, asked: Asked, answered: Answered) -> None:
        """Nothing is heard: no request goes out."""


def _answered(recorded: Json, error: str | None, late: float = 0.0) -> Answered:
    """An answer, as it was recorded or is given by a change."""
    headers = tuple((str(name), str(value)) for name, value in recorded["headers"])
    return Answered(recorded["status"], headers, bytes_of(recorded["body"]), error, late)


def _too_late(now: Playback, seen: Seen, patience: float) -> Answered:
    """What a client gets that does not wait as long: its own time-out. The recorded answer is left for its next attempt."""
    now.check(seen)
    now.free(seen)
    error = f"ReadTimeout: no answer within {patience:g} s (injected by the fork)"
    now.journal.note(seen, "edited", says=f"injected: slow, and the client waits {patience:g} s")
    return Answered(0, error=error, late=patience)


def _instead(now: Playback, seen: Seen, fault: Fault) -> Answered:
    """What the change gives an HTTP call. Another answer takes the place of the recorded one; after a fault that one is served to the next attempt."""
    now.check(seen)
    now.free(seen)
    if fault.kind == "answer":
        now.tape.take_one_of(None, seen.call)
    status = "" if fault.answer is None else f"status {fault.answer['status']}"
    says = f"answered by the change: {status}" if fault.kind == "answer" else f"injected: {', '.join(filter(None, (fault.kind, status)))}"
    now.journal.note(seen, "edited", from_step=fault.step, says=says)
    return _answered(fault.answer, None) if fault.answer is not None else Answered(0, error=fault.message)


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
        told = wholes.returned(now, seen, served.interaction)
        found = told if told is not UNTOLD else [wholes.document(now, served.interaction, one) for one in documents(served.interaction)]
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
