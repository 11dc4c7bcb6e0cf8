"""What a span of no known convention says, by the words in the names of its attributes.

Whoever traces agents has the same to say: which model, with which messages, how many tokens in and out; which tool, with which arguments, what came
back. Names differ in prefix, order and spelling, hardly in words. So a span that no convention can tell the kind of is read by its words: first its
kind, by a word that says it or by what only such a span has, then each field. What is read so is marked in the provenance (`its words: acme.toolName`),
and counts for less than what a convention says: a model call told by words alone that has others below it is taken for a sum of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from workbench.model import Json, Span
from workbench.reading.decoders import DECODERS
from workbench.reading.envelopes import LISTED, answer_in, failure_in, given_in, messages_in, returned_in
from workbench.reading.leaves import GENERAL, Leaf, ending, leaves_of, vocabulary, words_of
from workbench.reading.messages import arguments_of, count_of, tool_call_of

BY_WORDS, BY_EVIDENCE = "its words: ", "what it has: "
"""How the provenance of what is read so begins; a kind may also be told by what else the span has."""


@dataclass(frozen=True)
class Told:
    """What a span's words say: its kind and what told it, and candidates for its fields, the best first, each with its attribute."""

    kind: str
    told_by: str | None
    fields: tuple[tuple[str, Json, str], ...]


TELLING = vocabulary(
    "action agent approval assistant chat completion completions conversation embedding embeddings function generation input inputs kind llm "
    "message messages meta metadata metrics model operation output outputs prompt prompts request response retrieval retriever session span thread tool tools "
    "token tokens type usage"
)
"""A span none of whose attributes has one of these words is not looked at any further."""
KIND_KEYS = ("kind", "type", "subtype", "operation", "operation name", "operation id", "category", "event", "action type")
MARKS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "other",
        vocabulary("rerank reranker guardrail guardrails evaluator evaluation eval score scorer moderation definitions definition selection list"),
    ),
    ("human", vocabulary("approval hitl confirmation")),
    ("embedding", vocabulary("embed embedding embeddings embedder")),
    ("retrieval", vocabulary("retrieval retriever retrieve rag")),
    ("tool", vocabulary("tool tools handoff")),
    ("agent", vocabulary("agent agents assistant crew swarm")),
    ("node", vocabulary("chain workflow graph pipeline node step task")),
    ("model", vocabulary("llm generation generator generate chat completion completions inference")),
)
"""Words of a kind, the first that a value has telling it."""
EXACT = {
    **dict.fromkeys(("function", "function call", "action", "skill", "plugin", "plugin call"), "tool"),
    **dict.fromkeys(
        ("chat", "model", "model call", "model request", "model step", "model invoke", "model invocation", "chat model", "generate", "generate text"), "model"
    ),
    **dict.fromkeys(("human input", "human in the loop", "human review", "human feedback"), "human"),
    **dict.fromkeys(("stream text", "generate content", "text generation", "response", "responses"), "model"),
}
MOST_WORDS = 6
"""A value of more words than this is a sentence, no kind."""

NO_COUNT = vocabulary(
    "max limit budget per second rate cost price remaining estimated estimate logprobs logprob first time ms latency duration cumulative session "
    "conversation accumulated context window available"
)
TOKENS: tuple[tuple[str, Callable[[frozenset[str]], bool]], ...] = (
    ("tokens.reasoning", lambda words: bool(words & {"reasoning", "thinking", "thoughts"})),
    ("tokens.cache_write", lambda words: bool(words & {"cache", "cached", "caching"}) and bool(words & {"write", "written", "creation", "create", "created"})),
    ("tokens.cache_read", lambda words: bool(words & {"cache", "cached", "caching"})),
    ("tokens.input", lambda words: bool(words & {"input", "prompt", "in", "request", "prefill"})),
    ("tokens.output", lambda words: bool(words & {"output", "completion", "out", "response", "generated", "candidates"})),
    ("tokens.total", lambda words: "total" in words),
)
NUMBERS = frozenset(("token", "tokens", "usage", "cost", "count"))
FAILED = frozenset(("error", "failed", "failure"))
PAUSED = frozenset(
    ("waiting", "paused", "suspended", "interrupted", "requires action", "input required", "awaiting approval", "waiting for approval", "pending approval")
)
NOTHING = frozenset(("", "none", "null", "false", "0", "no", "ok", "success"))
LEAD = re.compile(r"^(execute[_ ]tool|invoke[_ ]agent|tool[_ ]call|call[_ ]tool|running tool|tool|agent|function)(?:[:\s]+|$)", re.IGNORECASE)
TAIL = re.compile(r"\.(tool|agent|_?\w*execute\w*|run|invoke|call)$")
"""What stands before and after the name in many a span's."""
PASSED = re.compile(r"^hand_?off(?:[:_\s]+to)?[:_\s]+(\S.*)$", re.IGNORECASE)


def may_tell(span: Span) -> bool:
    """Whether any attribute's name, or an event's, has a word that tells of agents."""
    return _telling(tuple(span.attributes)) or any(event.name != "exception" and not TELLING.isdisjoint(words_of(event.name)) for event in span.events)


@lru_cache(1024)
def _telling(keys: tuple[str, ...]) -> bool:
    return any(not TELLING.isdisjoint(words_of(key)) for key in keys if key.partition(".")[0] not in GENERAL)


def read_words(span: Span) -> Told | None:
    """What a span's words say; None for a span whose words tell neither its kind nor its conversation."""
    leaves = leaves_of(span)
    told = _kind(leaves)
    if told is None:
        thread = tuple((field, value, leaf.key) for field, value, leaf in _threads(leaves) if value is not None)
        return Told("other", None, thread[:1]) if thread else None
    fields = (*_of_every(leaves), *_of_events(span, leaves[0]), *OF_KIND.get(told[0], _of_nothing)(leaves))
    found = tuple((field, value, leaf.key) for field, value, leaf in fields if value is not None)
    return Told(*told, (*found, *_of_name(told[0], span)))


SAYING = {"model": frozenset(("messages", "output")), "tool": frozenset(("arguments", "raw_arguments", "result"))}
"""The fields that say what was said or given, by kind."""
SAYS = vocabulary(
    "answer args arguments completion completions input inputs message messages output outputs params parameters prompt prompts response result results"
)


def read_content(span: Span, kind: str) -> Iterator[tuple[str, Json, str]]:
    """What was said or given, by the words of a span of which a convention told the kind and had nothing for that: each field with its attribute."""
    if _saying(tuple(span.attributes)):
        fields = SAYING[kind]
        yield from ((field, value, leaf.key) for field, value, leaf in OF_KIND[kind](leaves_of(span)) if field in fields and value is not None)


@lru_cache(1024)
def _saying(keys: tuple[str, ...]) -> bool:
    return any(not SAYS.isdisjoint(words_of(key)[-1:]) for key in keys if key.partition(".")[0] not in GENERAL)


def _of_events(span: Span, about: Leaf) -> Iterator[tuple[str, Json, Leaf]]:
    """Messages told one event each, whose names say who speaks."""
    told = [{**event.attributes, "event.name": f"gen_ai.{role}.message"} for event in span.events if (role := _speaker(event.name)) is not None]
    messages = DECODERS["event messages"](told) if told else None
    if messages:
        answers = isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant"
        yield "messages", messages[:-1] if answers else messages, about
        yield "output", messages[-1] if answers else None, about


def _speaker(name: str) -> str | None:
    words = set(words_of(name))
    return next((role for role in ("system", "user", "assistant", "tool") if role in words and "message" in words), None)


def _of_name(kind: str, span: Span) -> Iterator[tuple[str, Json, str]]:
    """What a span is called names its tool or agent, where nothing else does; how it is called never tells what it is."""
    if kind in {"tool", "agent"} and (name := TAIL.sub("", LEAD.sub("", span.name))):
        yield ("tool_name" if kind == "tool" else "agent"), name, "@name"
    if kind == "tool" and (passed := PASSED.match(span.name)):
        yield "handoff", passed[1], "@name"


def _of_nothing(_: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    return iter(())


# ---- kinds


def _kind(leaves: list[Leaf]) -> tuple[str, str] | None:
    own = [leaf for leaf in leaves if not leaf.inside]
    for leaf in ending(own, *KIND_KEYS):
        if isinstance(leaf.value, str) and (kind := kind_of(leaf.value)):
            return kind, BY_WORDS + leaf.key
    known = _by_evidence(own)
    return known and (known[0], BY_EVIDENCE + known[1])


def kind_of(value: str) -> str | None:
    """The kind that a word for one means, such as LLM, `chat_completion`, ToolCall, `tool-execution`; None for one that means nothing here."""
    words = words_of(value)
    if not words or len(words) > MOST_WORDS:
        return None
    exact = EXACT.get(" ".join(words))
    return exact or next((kind for kind, marks in MARKS if not marks.isdisjoint(words)), None)


def _by_evidence(own: list[Leaf]) -> tuple[str, str] | None:
    """The kind by what only such a span has."""
    model = next((leaf for leaf in _models(own)), None)
    counts = [leaf for leaf in own if _count(leaf) in {"tokens.input", "tokens.output"}]
    said = [leaf for leaf in ending(own, "messages", "prompt", "prompts", "completion", "completions") if leaf.value]
    tool = next((leaf for leaf in _tool_names(own)), None)
    if any({"embedding", "embeddings"} & set(leaf.words) for leaf in own) and model and not any(_count(leaf) == "tokens.output" for leaf in own):
        return "embedding", model.key
    if counts and (model or said):
        return "model", (model or said[0]).key
    if asked := next((leaf for leaf in own if isinstance(leaf.value, dict) and "model" in leaf.value and leaf.value.keys() & set(LISTED)), None):
        return "model", asked.key
    if tool and not counts:
        return "tool", tool.key
    return ("model", model.key) if model and said else None


# ---- fields


def _threads(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside]
    for leaf in ending(own, "conversation id", "session id", "thread id", "chat id", "conversation uuid", "session uuid"):
        yield "conversation_id", _name(leaf.value), leaf


def _of_every(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside]
    yield from _threads(leaves)
    for leaf in ending(own, "agent name", "agent"):
        yield "agent", _name(leaf.value), leaf
    for leaf in ending(own, "status", "state"):
        if isinstance(leaf.value, str) and " ".join(words_of(leaf.value)) in PAUSED:
            yield "pause", leaf.value, leaf
    for leaf in ending(own, "handoff to", "handoff to agent", "handoff target", "handoff target agent"):
        yield "handoff", _name(leaf.value), leaf
    if any(isinstance(leaf.value, str) and "handoff" in words_of(leaf.value) for leaf in ending(own, *KIND_KEYS)):
        for leaf in ending(own, "to agent", "target agent", "target", "to"):
            yield "handoff", _name(leaf.value), leaf


def _of_model(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside and NUMBERS.isdisjoint(leaf.words)]
    for leaf in _models(leaves):
        yield "model", leaf.value, leaf
    for leaf in ending(leaves, "response id", "completion id"):
        yield "response_id", _name(leaf.value), leaf
    for leaf in ending(own, "system prompt", "system message", "system instructions", "system instruction", "instructions", "system"):
        yield "instructions", leaf.value if isinstance(leaf.value, str | list) else None, leaf
    for leaf in ending(own, "messages", "input", "inputs", "prompt", "prompts", "input messages", "request", "history", "query", "question"):
        if not {"output", "response", "system"} & set(leaf.words):
            yield "messages", messages_in(leaf.value), leaf
    answers = ending(own, "output", "outputs", "output messages", "response", "completion", "completions", "choices", "answer", "result", "generation", "reply")
    for leaf in answers:
        yield "output", answer_in(leaf.value), leaf
    for leaf in ending(own, "output messages", "response messages", "message"):
        yield "output", answer_in(leaf.value), leaf
    for leaf in ending(leaves, "tools", "tool definitions", "available tools", "functions", "function definitions"):
        yield "tools", leaf.value if isinstance(leaf.value, list) else None, leaf
    yield from _amounts(leaves)
    yield from _faults(own)


def _of_embedding(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    for leaf in ending(leaves, "response model", "model name", "model id", "model"):
        yield "model", _name(leaf.value), leaf
    yield from _amounts(leaves)
    yield from _faults([leaf for leaf in leaves if not leaf.inside])


def _of_tool(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside]
    whole = [(leaf, call) for leaf in ending(own, "tool call", "function call", "call") if (call := tool_call_of(leaf.value))]
    for leaf, call in whole:
        yield "tool_name", call.name, leaf
        yield "call_id", call.call_id, leaf
        yield "arguments", call.arguments, leaf
    for leaf in _tool_names(own):
        yield "tool_name", leaf.value, leaf
    for leaf in ending(own, "tool call id", "call id", "tool use id", "tool invocation id", "invocation id", "tool id"):
        yield "call_id", _name(leaf.value), leaf
    given = [*ending(own, "arguments", "args", "kwargs", "tool input", "input", "inputs", "input data")]
    for leaf in given or ending(own, "parameters", "params"):
        value = given_in(leaf.value)
        yield "arguments", arguments_of(value), leaf
        yield "raw_arguments", value if isinstance(value, str) else None, leaf
    for leaf in ending(own, "result", "results", "output", "outputs", "response", "return", "returned", "return value", "observation"):
        yield "error", failure_in(leaf.value), leaf
        yield "result", returned_in(leaf.value), leaf
    yield from _faults(own)
    for leaf in own:
        yield from _outcome(leaf)


def _of_retrieval(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside]
    for leaf in ending(own, "query", "question", "input", "inputs"):
        yield "raw_arguments", leaf.value if isinstance(leaf.value, str) else None, leaf
    for leaf in ending(own, "documents", "results", "result", "output", "outputs", "matches", "chunks"):
        yield "result", leaf.value, leaf


def _of_human(leaves: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    own = [leaf for leaf in leaves if not leaf.inside]
    for leaf in _tool_names(own):
        yield "tool_name", leaf.value, leaf
    for leaf in ending(own, "question", "request", "prompt", "input", "arguments"):
        yield "arguments", arguments_of(leaf.value), leaf
        yield "raw_arguments", leaf.value if isinstance(leaf.value, str) else None, leaf
    for leaf in ending(own, "decision", "approved", "answer", "response", "result", "output"):
        yield "result", leaf.value, leaf


OF_KIND: dict[str, Callable[[list[Leaf]], Iterator[tuple[str, Json, Leaf]]]] = {
    "model": _of_model,
    "embedding": _of_embedding,
    "tool": _of_tool,
    "retrieval": _of_retrieval,
    "human": _of_human,
    "agent": lambda leaves: _amounts(leaf for leaf in leaves if not leaf.inside),
}


def _name(value: Json) -> str | None:
    """A name or id: a text of one line, or a number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and 0 < len(text) <= 256 and "\n" not in text else None  # noqa: PLR2004  # longer is prose


def _models(leaves: list[Leaf]) -> Iterator[Leaf]:
    for leaf in ending(leaves, "response model", "model name", "model id", "model", "deployment name"):
        if isinstance(leaf.value, str) and _name(leaf.value) and "embedding" not in leaf.words[:-2]:
            yield leaf


def _tool_names(own: list[Leaf]) -> Iterator[Leaf]:
    for leaf in ending(own, "tool name", "function name", "action name", "tool call name", "tool call function name", "tool"):
        if isinstance(leaf.value, str) and _name(leaf.value):
            yield leaf


def _amounts(leaves: Iterator[Leaf] | list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    for leaf in leaves:
        if (field := _count(leaf)) is not None:
            yield field, count_of(leaf.value), leaf
        elif leaf.words[-2:] in {("total", "cost"), ("cost", "usd"), ("cost", "total")} or leaf.words[-1:] == ("cost",):
            own = not {"estimated", "estimate", "session", "cumulative", "budget", "input", "output", "prompt", "completion"} & set(leaf.words)
            yield "cost_usd", leaf.value if own and isinstance(leaf.value, int | float | str) else None, leaf


def _count(leaf: Leaf) -> str | None:
    """Which count of tokens a leaf is; None for any other number."""
    words = frozenset(leaf.words)
    about = {"token", "tokens"} & words or "usage" in leaf.words[-3:-1] or (leaf.words[-1:] in {("cached",), ("reasoning",)} and "usage" in words)
    if not about or words & NO_COUNT or count_of(leaf.value) is None:
        return None
    last = frozenset(leaf.words[-4:])
    return next((field for field, says in TOKENS if says(last)), None)


def _outcome(leaf: Leaf) -> Iterator[tuple[str, Json, Leaf]]:
    """What a tool's own word says of how it went."""
    last, value = leaf.words[-1:], str(leaf.value).lower()
    failed = last in {("status",), ("outcome",), ("state",)} and value in FAILED
    unsuccessful = last in {("success",), ("succeeded",), ("successful",)} and value == "false"
    if failed or unsuccessful or (leaf.words[-2:] in {("is", "error"), ("is", "failed")} and value == "true"):
        yield "status", "error", leaf


def _faults(own: list[Leaf]) -> Iterator[tuple[str, Json, Leaf]]:
    for leaf in ending(own, "error message", "error", "exception message", "failure reason"):
        value = leaf.value.get("message") if isinstance(leaf.value, dict) else leaf.value
        yield "error", value if isinstance(value, str) and value.strip().lower() not in NOTHING else None, leaf
