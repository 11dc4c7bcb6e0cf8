"""Spans of no convention known here.

`unfamiliar.json` holds invented dialects, in the shape of the corpus in `conventions/`; and each convention there has to get along without its own file,
well enough never to count a call twice and never to call a success an error.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_conventions import CASES as FAMILIAR
from tests.test_conventions import differences, span_of
from workbench import semconv, summary
from workbench.model import Json, Span
from workbench.normalise import normalise
from workbench.reading.leaves import leaves_of, words_of
from workbench.reading.unfamiliar import kind_of

CASES = json.loads(Path(__file__).with_suffix("").with_name("unfamiliar.json").read_text("utf-8"))
KEPT = frozenset(("plumbing", "langgraph", "workbench"))
"""What is no vendor's: HTTP, LangGraph's own exceptions and metadata, and the recorder's additions."""
FAILURES_TOLD_TWICE = frozenset(("honeyhive", "beeai"))
"""Dialects that tell of a failed call in a second span like the first: only their convention knows that it is none."""
CACHES = (semconv._by_heads, semconv._shape, semconv._signals)


@pytest.fixture
def no_vendor(monkeypatch):
    """No convention is known but those of no vendor."""
    kept = tuple(one for one in semconv.conventions() if one.name in KEPT)
    _forget()
    monkeypatch.setattr(semconv, "conventions", cache(lambda: kept))
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for known in CACHES:
        known.cache_clear()


def runs_of(case: dict[str, Any]) -> list[dict[str, Json]]:
    return [summary.of_run(run) for run in normalise([span_of(number, drawn) for number, drawn in enumerate(case["spans"])], ())]


@pytest.mark.parametrize("case", [pytest.param(case, id=str(number)) for number, case in enumerate(CASES)])
def test_an_unfamiliar_dialect_makes_the_run_it_tells_of(case: dict[str, Any]):
    """Each entry says in a sentence of its own what it shows."""
    (run,) = runs_of(case)
    assert not list(differences(case["run"], run)), case["says"]


def test_no_call_is_counted_twice_without_the_conventions_of_the_vendors(no_vendor):
    """Whatever the dialect, there are never more model or embedding calls than there were."""
    for name, number, case in FAMILIAR:
        runs = runs_of(case)
        for what in ("model_calls", "embedding_calls"):
            assert sum(run[what] for run in runs) <= case["run"].get(what, 99), (name, number, what)


def test_nothing_is_called_an_error_without_the_conventions_of_the_vendors(no_vendor):
    """Pauses, handoffs and successes stay what they are in a dialect nobody knows."""
    for name, number, case in FAMILIAR:
        wanted = case["run"].get("errors", [] if case["run"].get("status", "ok") != "error" else None)
        assert wanted is None or name in FAILURES_TOLD_TWICE or len(runs_of(case)[0]["errors"]) <= len(wanted), (name, number)


def test_half_of_the_conventions_corpus_is_read_whole_without_the_conventions(no_vendor):
    """What words alone tell is most of what the vendors' own files tell."""
    whole = [name for name, _, case in FAMILIAR if not list(differences(case["run"], runs_of(case)[0]))]
    assert len(whole) * 2 >= len(FAMILIAR), whole


def test_what_words_told_is_marked_in_the_provenance():
    """Whoever asks where a field came from is told that no convention said so."""
    found = semconv.read(span_of(0, CASES[0]["spans"][1]))
    assert found.provenance["kind"] == "its words: acme.kind"
    assert found.provenance["tokens.input"] == "its words: acme.usage.promptTokens"
    assert semconv.read(span_of(0, CASES[1]["spans"][1])).provenance["kind"] == "what it has: llm.model"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *((value, "model") for value in ("LLM", "llm_call", "ChatCompletion", "generation", "MODEL", "ai.generateText.doGenerate", "OpenAIChatGenerator")),
        *((value, "tool") for value in ("TOOL", "tool-execution", "ToolCall", "function_call", "ai.toolCall")),
        *((value, "agent") for value in ("agent", "AgentRun", "invoke_agent")),
        *((value, "other") for value in ("llm_evaluation", "tool_definitions", "RERANKER")),
        *((value, None) for value in ("internal", "client", "GET", "", "the user asked for a very long tool call")),
    ],
)
def test_a_word_for_a_kind_is_understood_in_any_spelling(value: str, kind: str | None):
    """What else the word says, such as that the call is judged, counts before the call."""
    assert kind_of(value) == kind


@pytest.mark.parametrize("name", ["promptTokens", "prompt_tokens", "prompt-tokens", "PROMPT_TOKENS", "prompt.tokens", "PromptTokens"])
def test_a_name_has_the_same_words_however_it_is_spelled(name: str):
    """Case, hyphens, dots and underscores all only part words."""
    assert words_of(name) == ("prompt", "tokens")


def test_what_is_nested_and_what_is_flattened_have_the_same_leaves():
    """A name with a value of its own and names below it loses neither."""
    flat = Span(trace_id="a" * 32, span_id="b" * 16, name="x", attributes={"a.model": "m", "a.model.size": 3, "a.list[0].role": "user"})
    nested = flat.model_copy(update={"attributes": {"a": json.dumps({"model": {"": "m", "size": 3}, "list": [{"role": "user"}]})}})
    found = [{(leaf.words, str(leaf.value)) for leaf in leaves_of(span) if not isinstance(leaf.value, dict)} for span in (flat, nested)]
    assert found[0] == found[1]
    assert (("a", "model"), "m") in found[0]


NAMES = st.sampled_from(
    ["kind", "type", "model", "tool", "name", "input", "output", "usage", "tokens", "messages", "arguments", "result", "error", "status", "session.id", "0"]
)
VALUES = st.recursive(
    st.sampled_from(["llm", "tool", "agent", "{", '{"role": "user"}', "[[]]", "", -1, 10**30, 1.5, True, None, "error", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(".".join), VALUES, max_size=8))
def test_any_attributes_at_all_make_a_run(attributes: dict[str, Json]):
    """Hostile names and values are read as far as they go, and break nothing."""
    span = Span(trace_id="a" * 32, span_id="b" * 16, name="x", attributes=attributes)
    assert len(normalise([span], ())) == 1
