"""Where LangChain makes vectors of texts: the one place to note them, or to give recorded ones. Embeddings have no callbacks, so the methods are wrapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from langchain_core.embeddings import Embeddings

METHODS = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
PATCHED = "_workbench_original"
Answer = Callable[[Any, str, Any, Callable[[], Any]], Any]
"""Given the embeddings, the method (without its `a`), the texts and the original call, returns the vectors, or an awaitable of them."""

_answer: Answer | None = None


def listen(answer: Answer | None) -> None:
    """Let this function stand for each method that makes vectors, of every class that is loaded by now; None for the methods themselves."""
    global _answer  # noqa: PLW0603  # process-global, as the fence is
    _answer = answer
    for kind in _loaded() if answer is not None else ():
        for name in METHODS:
            original = vars(kind).get(name)
            if original is not None and not hasattr(original, PATCHED):
                wrapper = _later(original, name) if name.startswith("a") else _at_once(original, name)
                setattr(wrapper, PATCHED, original)
                setattr(kind, name, wrapper)


def _loaded() -> Iterable[type[Embeddings]]:
    """Every class of embeddings but the abstract one, whose methods only hand on to theirs."""
    waiting = list(Embeddings.__subclasses__())
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


def _at_once(original: Any, name: str) -> Any:
    def embed(self: Any, texts: Any, *args: Any, **kwargs: Any) -> Any:
        call = partial(original, self, texts, *args, **kwargs)
        return call() if _answer is None else _answer(self, name, texts, call)

    return embed


def _later(original: Any, name: str) -> Any:
    async def embed(self: Any, texts: Any, *args: Any, **kwargs: Any) -> Any:
        call = partial(original, self, texts, *args, **kwargs)
        found = call() if _answer is None else _answer(self, name.removeprefix("a"), texts, call)
        return await found if hasattr(found, "__await__") else found

    return embed
