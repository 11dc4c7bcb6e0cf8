"""Costs are estimated from a dated table, and never passed off as recorded."""

from __future__ import annotations

import pytest

from workbench import summary
from workbench.model import Run, Step, Tokens
from workbench.prices import estimate, price_of, prices
from workbench.report.quantities import spent_by
from workbench.sketch import model, sketch, tool


def call(name: str | None, tokens: Tokens, cost: float | None = None):
    return sketch(model("ok")).steps[0].model_copy(update={"model": name, "tokens": tokens, "cost_usd": cost})


def of_calls(*steps: Step) -> Run:
    return sketch(model("ok")).model_copy(update={"steps": steps})


def test_each_type_of_token_has_its_own_price():
    """Cached input is taken out of the input and priced by itself."""
    tokens = Tokens(input=1_000_000, cache_read=400_000, output=100_000)
    assert estimate(call("gpt-5", tokens)) == pytest.approx(0.6 * 1.25 + 0.4 * 0.125 + 0.1 * 10)


def test_cache_writes_cost_more_than_input():
    """A provider that bills writing to its cache is billed so."""
    assert estimate(call("claude-sonnet-4-5", Tokens(input=1_000_000, cache_write=1_000_000, output=0))) == pytest.approx(3.75)


def test_cached_tokens_counted_beside_the_input_are_added_to_it():
    """More cached tokens than input means that the source counts them apart."""
    assert estimate(call("gpt-5", Tokens(input=1_000_000, cache_read=2_000_000, output=0))) == pytest.approx(1.25 + 2 * 0.125)


@pytest.mark.parametrize("name", ["gpt-5", "gpt-5-2025-08-07", "openai/gpt-5", "GPT-5", "azure/gpt-5-2025-08-07"])
def test_dated_versions_and_prefixes_are_seen_through(name: str):
    """A gateway's spelling of a model has that model's price."""
    assert price_of(name).model == "gpt-5"


@pytest.mark.parametrize(("name", "known"), [
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
    ("bedrock/global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
    ("us.amazon.nova-pro-v1:0", "nova-pro"),
    ("models/gemini-2.5-flash", "gemini-2.5-flash"),
    ("gemini-2.0-flash-001", "gemini-2.0-flash"),
])  # fmt: skip
def test_a_clouds_spelling_has_the_models_price(name: str, known: str):
    """So has a cloud's, with region and revision."""
    assert price_of(name).model == known


@pytest.mark.parametrize(("name", "input_usd", "output_usd"), [
    ("gpt-5.4-mini-2026-03-17", 0.75, 4.5),
    ("gpt-5.5-2026-04-23", 5.0, 30.0),
    ("gpt-6-sol", 2.0, 10.0),
    ("o1-2024-12-17", 15.0, 60.0),
    ("claude-opus-4-7", 5.0, 25.0),
    ("claude-opus-5-5", 4.0, 20.0),
    ("claude-3-haiku-20240307", 0.25, 1.25),
    ("gemini-3.1-pro-preview", 2.0, 12.0),
    ("mistral-large-2512", 0.5, 1.5),
    ("codestral-latest", 0.3, 0.9),
    ("xai/grok-4.7", 2.0, 6.0),
    ("amazon.nova-micro-v1:0", 0.035, 0.14),
    ("command-r-08-2024", 0.15, 0.6),
])  # fmt: skip
def test_models_in_use_have_the_price_of_their_name(name: str, input_usd: float, output_usd: float):
    """Of every provider, under a dated name as under its own."""
    assert (price_of(name).input, price_of(name).output) == (input_usd, output_usd)


def test_a_dated_version_that_costs_something_else_has_its_own_price():
    """The name with its date is looked for first."""
    assert price_of("gpt-4o-2024-05-13").input == 5.0
    assert price_of("gpt-4o-2024-08-06").input == 2.5


@pytest.mark.parametrize("name", [
    "gpt-5.5-turbo", "gpt-5.40", "gpt-4-turbo-imaginary", "claude-opus-4-6-fast", "claude-opus-45", "gemini-3.5-flash-image", "mistral-large-2402", "grok-4.70",
    "cohere.command-r-v1:0", "nova-pro-2",
])  # fmt: skip
def test_a_model_that_merely_begins_like_a_known_one_has_no_price(name: str):
    """Nor has another version, which costs something else."""
    assert price_of(name) is None


@pytest.mark.parametrize("name", [
    "deepseek-chat", "deepseek-v4-pro", "gpt-5.6-luna", "gpt-5.6-sol", "claude-haiku-5-5", "claude-sonnet-5-5", "gemini-3.8-flash", "mistral-large-latest",
    "grok-4-fast",
])  # fmt: skip
def test_a_model_without_one_price_has_none(name: str):
    """Whose price depends on the hour or the prompt, or changed under the same name: one figure would be wrong for many of its calls."""
    assert price_of(name) is None


@pytest.mark.parametrize("name", [None, "", "gpt-5-turbo-imaginary", "gpt-50", "llama-3", "my-gpt-5"])
def test_a_model_that_merely_begins_alike_has_no_price(name: str | None):
    """Unknown is unknown."""
    assert price_of(name) is None
    assert estimate(call(name, Tokens(input=1, output=1))) is None


@pytest.mark.parametrize("tokens", [Tokens(), Tokens(input=5), Tokens(output=5), Tokens(total=9)])
def test_half_recorded_tokens_have_no_cost(tokens: Tokens):
    """Half a cost would be taken for a whole one."""
    assert estimate(call("gpt-5", tokens)) is None


def test_a_recorded_cost_wins():
    """What was recorded is not estimated again, neither for a call nor for its run."""
    recorded = call("gpt-5", Tokens(input=1, output=1), cost=0.5)
    run = sketch(model("ok")).model_copy(update={"steps": (recorded,)})
    assert estimate(recorded) is None
    told = summary.of_run(run)
    assert (told["cost_usd"], told["cost_estimated_usd"]) == (0.5, None)
    assert (told["cost_unrecorded_calls"], told["cost_unpriced_calls"]) == (0, 0)


def test_an_estimate_is_told_apart_from_a_recorded_cost():
    """`cost_usd` holds recorded costs only; the estimate stands in its own field."""
    run = sketch(model("ok"), tool("t")).model_copy(update={"steps": (call("gpt-5", Tokens(input=1_000_000, output=0)),)})
    told = summary.of_run(run)
    assert (told["cost_usd"], told["cost_estimated_usd"]) == (None, pytest.approx(1.25))


@pytest.mark.parametrize("other", [call("unheard-of", Tokens(input=1, output=1)), call("gpt-5", Tokens())], ids=["unknown model", "no tokens"])
def test_a_run_with_a_call_of_unknown_price_has_no_estimate(other: Step):
    """A sum that leaves a call out would be too low without saying so: how many calls lack a price is told."""
    told = summary.of_run(of_calls(call("gpt-5", Tokens(input=1, output=1)), other))
    assert (told["cost_estimated_usd"], told["cost_unpriced_calls"], told["cost_unrecorded_calls"]) == (None, 1, 2)


def test_a_recorded_cost_that_leaves_calls_out_says_so():
    """Wherever a run's spending is shown; not where nothing was recorded, which says so itself, nor of calls that failed without any tokens."""
    paid, failed = call("gpt-5", Tokens(input=1, output=1), cost=0.5), call("gpt-5", Tokens()).model_copy(update={"status": "error"})
    assert spent_by(of_calls(paid, call("unheard-of", Tokens(input=1, output=1)))) == "4 tokens, $0.5000 without 1 of 2 model calls, not recorded"
    assert spent_by(of_calls(paid, failed)) == "2 tokens, $0.5000"
    assert spent_by(of_calls(failed)) == "tokens not recorded, cost not recorded"
    assert summary.of_run(of_calls(paid, failed))["cost_unpriced_calls"] == 0


def test_every_price_has_a_source_and_a_date():
    """No price without saying whose it is and since when."""
    for price in prices().values():
        assert len(price.source) > 20
        assert price.dated.year >= 2026
        assert 0 < price.input < price.output
        assert price.cached is None or price.cached < price.input
