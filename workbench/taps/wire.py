"""Where httpx and requests hand a request to the network: the one place to note what was asked and answered, or to answer from a recording.

Clients keep all that is theirs: authentication, redirects, hooks, decoding. A client that was given a transport of its own never comes by here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

HOOKS = {
    "httpx": (("HTTPTransport", "handle_request"), ("AsyncHTTPTransport", "handle_async_request")),
    "requests.adapters": (("HTTPAdapter", "send"),),
}
ENCODINGS = frozenset(("content-encoding", "content-length", "transfer-encoding", "connection"))
"""Response headers that speak of the bytes on the wire, which are kept decoded."""
EVENTS = "text/event-stream"
CONNECTION = {"ConnectError": "ConnectionError"}
"""What requests calls an error of httpx's."""
BINARY = "data:;base64,"
"""What stands before a body that is no text, where it is written down."""

_aside: contextvars.ContextVar[int] = contextvars.ContextVar("workbench_wire_aside", default=0)


@dataclass(frozen=True)
class Asked:
    """A request: method in capitals, the whole URL, its body, how many seconds its client waits for an answer (None: for ever), and when it was made."""

    method: str
    url: str
    body: bytes
    patience: float | None = None
    at_ns: int = field(default_factory=time.time_ns, compare=False)


@dataclass(frozen=True)
class Answered:
    """A response, its body decoded; or what the transport raised, as "ConnectError: no route"; `late` by some seconds."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str | None = None
    late: float = 0.0


class Listener(Protocol):
    """Who is told of each exchange."""

    def listens(self) -> bool:
        """Whether what is sent from here is this listener's business. If not, it is let pass untouched."""

    def answer(self, asked: Asked) -> Answered | None:
        """The answer to give in place of the network's; None to let the request go."""

    def heard(self, asked: Asked, answered: Answered) -> None:
        """What the network answered."""


_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Put this listener at the place, None to take it away. Only clients that are installed are patched. LookupError where one has changed."""
    global _listener  # noqa: PLW0603  # process-global: a thread of the agent's own must not go past it
    _listener = listener
    if listener is not None:
        for module, hooks in HOOKS.items():
            _patch(module, hooks)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What is sent in here is none of the listener's business: a live model's or tool's own request."""
    shift(1)
    try:
        yield
    finally:
        shift(-1)


def shift(by: int) -> None:
    """The same for callbacks, which begin (1) and end (-1) apart."""
    _aside.set(max(0, _aside.get() + by))


def is_aside() -> bool:
    """Whether what is sent from here is none of the listener's business."""
    return _aside.get() > 0


def _patch(module: str, hooks: tuple[tuple[str, str], ...]) -> None:
    try:
        home: Any = __import__(module, fromlist=["_"])
    except ImportError:
        return
    for owner, name in hooks:
        kind = getattr(home, owner, None)
        original = vars(kind).get(name) if kind else None
        if original is None:
            raise LookupError(f"{module} has no {owner}.{name} any more")
        if not hasattr(original, "workbench"):
            wrapper = _PATCHES[name](original)
            wrapper.workbench = original
            setattr(kind, name, wrapper)


def _active() -> Listener | None:
    return _listener if _listener is not None and not is_aside() and _listener.listens() else None


# ---- how a body is written down


def text_of(body: bytes) -> str:
    """A body as text; what is no text is given in base64."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return BINARY + base64.b64encode(body).decode("ascii")


def bytes_of(text: str) -> bytes:
    """The body that was written so."""
    return base64.b64decode(text.removeprefix(BINARY)) if text.startswith(BINARY) else text.encode("utf-8")


# ---- httpx


def _httpx(original: Any) -> Any:
    def handle_request(self: Any, request: Any) -> Any:
        listener = _active()
        if listener is None:
            return original(self, request)
        asked = Asked(request.method, str(request.url), request.read(), _patience(request))
        if (given := listener.answer(asked)) is not None:
            time.sleep(given.late)
            return _httpx_response(given, request)
        try:
            response = original(self, request)
        except Exception as error:
            listener.heard(asked, _failed(error))
            raise
        if response.headers.get("content-type", "").startswith(EVENTS):
            return response
        response.read()
        response.close()
        found = _httpx_heard(response)
        listener.heard(asked, found)
        return _httpx_response(found, request)

    return handle_request


def _httpx_later(original: Any) -> Any:
    async def handle_async_request(self: Any, request: Any) -> Any:
        listener = _active()
        if listener is None:
            return await original(self, request)
        asked = Asked(request.method, str(request.url), await request.aread(), _patience(request))
        if (given := listener.answer(asked)) is not None:
            await asyncio.sleep(given.late)
            return _httpx_response(given, request)
        try:
            response = await original(self, request)
        except Exception as error:
            listener.heard(asked, _failed(error))
            raise
        if response.headers.get("content-type", "").startswith(EVENTS):
            return response
        await response.aread()
        await response.aclose()
        found = _httpx_heard(response)
        listener.heard(asked, found)
        return _httpx_response(found, request)

    return handle_async_request


def _patience(request: Any) -> float | None:
    limit = (request.extensions.get("timeout") or {}).get("read")
    return None if limit is None else float(limit)


def _httpx_heard(response: Any) -> Answered:
    headers = tuple((name, value) for name, value in response.headers.multi_items() if name.lower() not in ENCODINGS)
    return Answered(response.status_code, headers, response.content)


def _httpx_response(given: Answered, request: Any) -> Any:
    import httpx  # noqa: PLC0415  # only where the agent uses it

    if given.error is not None:
        raise _httpx_error(given.error, request)
    return httpx.Response(given.status, headers=list(given.headers), content=given.body, request=request)


def _httpx_error(text: str, request: Any) -> Exception:
    import httpx  # noqa: PLC0415  # as above

    name, _, message = text.partition(": ")
    kind = getattr(httpx, name, None)
    known = isinstance(kind, type) and issubclass(kind, httpx.TransportError)
    return kind(message, request=request) if known and kind is not None else httpx.TransportError(text, request=request)


# ---- requests


def _requests(original: Any) -> Any:
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        listener = _active()
        body = _bytes(request.body)
        if listener is None or body is None:
            return original(self, request, *args, **kwargs)
        asked = Asked(request.method or "GET", request.url or "", body, _requests_patience(*args, **kwargs))
        if (given := listener.answer(asked)) is not None:
            time.sleep(given.late)
            return _requests_response(given, request)
        try:
            response = original(self, request, *args, **kwargs)
        except Exception as error:
            listener.heard(asked, _failed(error))
            raise
        if not response.headers.get("content-type", "").startswith(EVENTS):
            headers = tuple((name, value) for name, value in response.headers.items() if name.lower() not in ENCODINGS)
            listener.heard(asked, Answered(response.status_code, headers, response.content))
        return response

    return send


def _requests_patience(stream: bool = False, timeout: Any = None, *_: Any, **__: Any) -> float | None:
    """As `HTTPAdapter.send` is told. It is said as one number, as two (to connect, to read), or as an object of urllib3's."""
    limit = timeout[1] if isinstance(timeout, tuple) else getattr(timeout, "read_timeout", timeout)
    return float(limit) if isinstance(limit, int | float) else None


def _bytes(body: Any) -> bytes | None:
    """A request's body; None for one that is read from somewhere as it is sent."""
    return body.encode() if isinstance(body, str) else b"" if body is None else body if isinstance(body, bytes) else None


def _requests_response(given: Answered, request: Any) -> Any:
    import io  # noqa: PLC0415  # beside its one use

    import requests  # noqa: PLC0415  # only where the agent uses it
    from requests.structures import CaseInsensitiveDict  # noqa: PLC0415  # as above
    from requests.utils import get_encoding_from_headers  # noqa: PLC0415  # as above

    if given.error is not None:
        name, _, message = given.error.partition(": ")
        kind = getattr(requests.exceptions, CONNECTION.get(name, name), None)
        known = isinstance(kind, type) and issubclass(kind, requests.RequestException)
        raise kind(message, request=request) if known and kind is not None else requests.ConnectionError(given.error, request=request)
    response = requests.Response()
    response.status_code, response.url, response.request = given.status, request.url, request
    response.headers = CaseInsensitiveDict(given.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.raw = io.BytesIO(given.body)
    return response


def _failed(error: Exception) -> Answered:
    return Answered(0, error=f"{type(error).__name__}: {error}")


_PATCHES = {"handle_request": _httpx, "handle_async_request": _httpx_later, "send": _requests}
