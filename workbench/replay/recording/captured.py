"""What only spans tell of a run's calls: the HTTP exchanges and embeddings of plain nodes, which are no steps, and what a retrieval was asked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence

from workbench.model import Interaction, Json, Run, Span, Step, digest
from workbench.normalise.unrecorded import question_in
from workbench.reading import kinds
from workbench.reading.documents import parse_json
from workbench.reading.serde import UndecodedError, decode_json
from workbench.replay.recording.place import node_path
from workbench.semconv import read

METHOD = ("http.request.method", "http.method")
URL = ("url.full", "http.url")
STATUS = ("http.response.status_code", "http.status_code")
REQUEST_BODY = ("workbench.http.request.body", "http.request.body.text", "http.request.body.content", "http.request.body")
RESPONSE_BODY = ("workbench.http.response.body", "http.response.body.text", "http.response.body.content", "http.response.body")
RESPONSE_HEADERS = "workbench.http.response.headers"
GENERATIONS = '{"generations"'
"""How what LangChain's own tracer keeps of a model's answer begins."""
COMMAND, COMMAND_FIELDS = "$command", frozenset(("graph", "update", "resume", "goto"))
EMBEDDED, VECTORS, EMBEDDING = "workbench.embedding.texts", "workbench.embedding.vectors", "workbench.embedding.name"


def unwrapped(result: Json) -> Json:
    """A tool's recorded result as it is shown: of a Command its fields."""
    return result[COMMAND] if isinstance(result, dict) and result.keys() == {COMMAND} else result


def hands_over_to(result: Json) -> list[Json]:
    """Where the graph goes on by a tool's recorded result, if that is a Command which says so; else empty."""
    command = unwrapped(result)
    goto = command.get("goto") if command is not result else None
    return goto if isinstance(goto, list) else [goto] if goto else []


class Captured:
    """The spans of a run that hold such calls."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = {(span.trace_id, span.span_id): span for span in spans}

    def retrieval(self, step: Step) -> Interaction | str:
        """A retrieval's interaction, or why there is none."""
        span = self.spans.get((step.trace_id or "", step.span_id or ""))
        asked = step.tool_call.raw if step.tool_call else read(span).raw_arguments if span else None
        if asked is None:
            return "what was searched for was not captured"
        if step.result is None and not step.error:
            return "the documents found were not captured"
        path = node_path(step.namespace, step.node)
        return Interaction(
            kind="retrieval",
            name=step.name,
            node_path=path,
            arguments={"query": asked},
            result=step.result,
            returned=self.returned(step),
            error=step.error,
            step=step.index,
            task_id=step.task_id,
            sources={"asked": "span", "answered": "span"},
        )

    def question(self, step: Step) -> Json:
        """What a tool's call stopped to ask, as its span tells it: of several calls of one task, the checkpoint keeps the question of one. None without."""
        span = self.spans.get((step.trace_id or "", step.span_id or ""))
        return question_in(span) if span else None

    def returned(self, step: Step) -> dict[str, Json]:
        """What a call returned with its types, as our own recorder wrote it down."""
        span = self.spans.get((step.trace_id or "", step.span_id or ""))
        value, lost = (span.attributes.get(name) if span else None for name in (kinds.VALUE, kinds.LOST))
        if isinstance(value, str):
            with contextlib.suppress(ValueError, RecursionError):
                return {"value": json.loads(value)}
        return {"lost": lost} if isinstance(lost, str) else {"text": True} if span and kinds.TEXT in span.attributes else {}

    def said(self, step: Step) -> Json:
        """The message that a model answered with all its fields, such as what it took, where its span holds LangChain's own account of it. None without."""
        span = self.spans.get((step.trace_id or "", step.span_id or ""))
        text = span.attributes.get("output.value") if span else None
        if not isinstance(text, str) or not text.startswith(GENERATIONS):
            return None
        with contextlib.suppress(UndecodedError, LookupError, TypeError):
            message = decode_json(text).value["generations"][0][0]["message"]
            return message if isinstance(message, dict) and "content" in message else None
        return None

    def command(self, step: Step) -> Json:
        """The Command that a tool returned, as its span tells it: what it wrote to the state beside its message, and where it went. None without."""
        span = self.spans.get((step.trace_id or "", step.span_id or ""))
        text = span.attributes.get("output.value") if span else None
        try:
            found = parse_json(text) if isinstance(text, str) and text.startswith("{") else None
        except ValueError:
            return None
        return {COMMAND: found} if isinstance(found, dict) and found.keys() == COMMAND_FIELDS else None

    def exchanges(self, run: Run) -> Iterator[Interaction]:
        """HTTP exchanges and embeddings, in time order, each with the step in whose task it was made."""
        made = []
        for span in sorted(self.spans.values(), key=lambda span: span.start_ns or 0):
            asked = _http(span) or _embedding(span)
            if asked is not None:
                namespace = read(span).namespace
                step = _step(run, namespace)
                path = node_path(namespace, None) if step is None else node_path(step.namespace, step.node)
                place = _begun(run, span) if step is None else step.index
                made.append((span, asked.model_copy(update={"node_path": path, "step": place, "task_id": _task(namespace)})))
        unsure = _at_once(made)
        yield from (one.model_copy(update={"at_once": number in unsure}) for number, (_, one) in enumerate(made))


def _at_once(made: Sequence[tuple[Span, Interaction]]) -> set[int]:
    """Of calls in time order, the numbers of those that one task made while it waited for the answer to the same, and whose answers differ."""
    waiting: dict[tuple[str, str | None, str], tuple[int, dict[int, str]]] = {}
    every = []
    for number, (span, one) in enumerate(made):
        same = one.kind, one.task_id, digest(one.arguments)
        until, answers = waiting.get(same, (0, {}))
        if (span.start_ns or 0) >= until:
            answers = {}
            every.append(answers)
        answers[number] = digest([one.error, {**one.result, "headers": None} if one.kind == "http" else one.result])  # headers tell the time
        waiting[same] = max(until, span.end_ns or 0), answers
    return {number for answers in every if len(set(answers.values())) > 1 for number in answers}


def _http(span: Span) -> Interaction | None:
    """A recorded exchange; None for any other span, and for one that carries no body, which can't be served."""
    method, url, body = (_first(span, names) for names in (METHOD, URL, RESPONSE_BODY))
    error = next((f"{one.attributes.get('exception.type')}: {one.attributes.get('exception.message')}" for one in span.events if one.name == "exception"), None)
    if method is None or url is None or (body is None and error is None):
        return None
    headers = span.attributes.get(RESPONSE_HEADERS)
    result = {"status": int(_first(span, STATUS) or 0), "headers": parse_json(headers) if isinstance(headers, str) else [], "body": str(body or "")}
    return _interaction("http", http_name(str(method), str(url)), http_arguments(str(method), str(url), str(_first(span, REQUEST_BODY) or "")), result, error)


def _embedding(span: Span) -> Interaction | None:
    texts, vectors = span.attributes.get(EMBEDDED), span.attributes.get(VECTORS)
    if not isinstance(texts, str) or not isinstance(vectors, str):
        return None
    return _interaction("embedding", str(span.attributes.get(EMBEDDING)), parse_json(texts), parse_json(vectors), None)


def _interaction(kind: str, name: str, arguments: Json, result: Json, error: str | None) -> Interaction:
    sources = {"asked": "span", "answered": "span"}
    return Interaction.model_validate(
        {"kind": kind, "name": name, "node_path": "", "arguments": arguments, "result": result, "error": error, "step": 0, "sources": sources}
    )


def _first(span: Span, names: tuple[str, ...]) -> Json:
    return next((span.attributes[name] for name in names if span.attributes.get(name) is not None), None)


def _step(run: Run, namespace: str | None) -> Step | None:
    """The first step of the task that a namespace ends in."""
    task = _task(namespace)
    return next((step for step in run.steps if task and step.task_id == task), None)


def _task(namespace: str | None) -> str | None:
    return (namespace or "").rpartition("|")[2].rpartition(":")[2] or None


def _begun(run: Run, span: Span) -> int:
    """The last step that had begun when a span did."""
    return max((step.index for step in run.steps if step.started_ns is not None and step.started_ns <= (span.start_ns or 0)), default=0)


# ---- how an exchange is written


def http_name(method: str, url: str) -> str:
    """What an exchange is called: the method and the URL without its query."""
    return f"{method} {url.partition('?')[0]}"


def http_arguments(method: str, url: str, body: str) -> dict[str, Json]:
    """What makes two exchanges the same: method, URL and body, JSON by its value."""
    try:
        return {"method": method, "url": url, "body": parse_json(body) if body else None}
    except ValueError:
        return {"method": method, "url": url, "body": body}
