"""Two instrumentors that share no trace: the calls of a model's client belong to the agent's run whose answers they tell of, in whichever order they come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from workbench.collection import add_live, catch_up, renormalise
from workbench.database import Location
from workbench.model import Run, Span
from workbench.store import Origin, Store
from workbench.store.schema import TABLES

ORIGIN = Origin(Path("spans.jsonl"), "00" * 32, "otlp")
T0, MS = 1_795_000_000_000_000_000, 1_000_000
AGENT, CLIENT, OTHER_CLIENT = "a" * 32, "c" * 32, "e" * 32


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "workbench.db") as opened:
        yield opened


def span(trace: str, number: int, ms: tuple[int, int], parent: int | None = None, scope: str = "agent", **attributes: object) -> Span:
    above = None if parent is None else f"{parent:016x}"
    values = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_span_id=above,
        name="s",
        start_ns=T0 + ms[0] * MS,
        end_ns=T0 + ms[1] * MS,
        scope=scope,
        attributes={"gen_ai." + key: value for key, value in values.items()},
    )


def call(trace: str, number: int, ms: tuple[int, int], answer: str, parent: int | None = None, scope: str = "agent") -> Span:
    """A model call that tells what the provider called its answer."""
    return span(trace, number, ms, parent, scope, operation__name="chat", request__model="m-1", response__id=answer, usage__input_tokens=7)


def agent(answers: Sequence[str] = ("chatcmpl-1", "chatcmpl-2"), conversation: str | None = None) -> list[Span]:
    """An agent's trace: its root, a tool, and a model call each 100 ms."""
    named = {} if conversation is None else {"conversation__id": conversation}
    root = span(AGENT, 1, (0, 1000), operation__name="invoke_agent", agent__name="desk", **named)
    tool = span(AGENT, 2, (90, 95), 1, operation__name="execute_tool", tool__name="weigh")
    return [root, tool, *(call(AGENT, 10 + n, (n * 100, n * 100 + 50), answer, 1) for n, answer in enumerate(answers))]


CLIENTS = [call(CLIENT, 1, (10, 40), "chatcmpl-1", scope="client"), call(OTHER_CLIENT, 1, (110, 140), "chatcmpl-2", scope="client")]


def told(store: Store, *batches: Sequence[Span]) -> list[Run]:
    """The runs after batches that come one after the other."""
    for batch in batches:
        add_live(store, ORIGIN, batch)
        catch_up(store)
    return list(store.runs())


def models(run: Run) -> int:
    return len(list(run.of_kind("model")))


@pytest.mark.parametrize(
    "batches", [*itertools.permutations([agent(), *([one] for one in CLIENTS)]), [[*CLIENTS, *agent()]], [agent()[:3], CLIENTS, agent()[3:]]]
)
def test_a_clients_calls_are_the_agents_in_whichever_order_they_come(store: Store, batches: Sequence[Sequence[Span]]):
    """Calls that stood as runs of their own until the agent's trace came are none any more, and each call is counted once."""
    (run,) = told(store, *batches)
    assert (run.run_id, run.agent, run.span_count, models(run)) == (AGENT, "desk", 6, 2)


def test_the_same_again_changes_nothing(store: Store):
    """Spans that come once more leave the run's revision as it is."""
    told(store, CLIENTS, agent())
    add_live(store, ORIGIN, [*agent(), *CLIENTS])
    assert catch_up(store) == []


def test_a_thread_takes_in_its_clients_calls(store: Store):
    """Where the agent's trace names a conversation, the client's calls are part of that run."""
    (run,) = told(store, CLIENTS, agent(conversation="t-1"))
    assert (run.run_id, run.span_count, models(run)) == ("t-1", 6, 2)


@pytest.mark.parametrize(
    "other",
    [
        call(CLIENT, 1, (60, 80), "chatcmpl-1", scope="client"),
        call(CLIENT, 1, (10, 40), "chatcmpl-1"),
        call(CLIENT, 1, (10, 40), "chatcmpl-9", scope="client"),
    ],
    ids=["at another time", "by the same instrumentor", "another answer"],
)
def test_calls_that_may_be_others_stay_runs_of_their_own(store: Store, other: Span):
    """A cache gives an answer again under its id: only the same answer at the same time, told by another instrumentor, is the same call."""
    assert {run.run_id: models(run) for run in told(store, agent(), [other])} == {AGENT: 2, CLIENT: 1}


def counted(trace: str, number: int, ms: tuple[int, int], tokens: tuple[int, int], parent: int | None = None, scope: str = "agent") -> Span:
    """A model call that tells its tokens and nothing that names its answer."""
    return span(trace, number, ms, parent, scope, operation__name="chat", request__model="m-1", usage__input_tokens=tokens[0], usage__output_tokens=tokens[1])


UNNAMED = [*agent(()), counted(AGENT, 10, (0, 50), (100, 20), 1), counted(AGENT, 11, (100, 150), (110, 21), 1)]
MADE = [counted(CLIENT, 1, (10, 40), (100, 20), scope="client"), counted(OTHER_CLIENT, 1, (110, 140), (110, 21), scope="client")]


@pytest.mark.parametrize("batches", [*itertools.permutations([UNNAMED, *([one] for one in MADE)]), [[*MADE, *UNNAMED]]])
def test_calls_that_nobody_named_are_known_by_their_tokens(store: Store, batches: Sequence[Sequence[Span]]):
    """A call within the agent's, with the same tokens, in the same process, is the agent's."""
    (run,) = told(store, *batches)
    assert (run.run_id, run.span_count, models(run), run.tokens.total) == (AGENT, 6, 2, 251)


OTHER_AGENT = [span("b" * 32, 1, (0, 1000), operation__name="invoke_agent"), counted("b" * 32, 2, (5, 45), (100, 20), 1)]


@pytest.mark.parametrize(
    "others",
    [
        [counted(CLIENT, 1, (10, 60), (100, 20), scope="client")],
        [counted(CLIENT, 1, (10, 40), (100, 21), scope="client")],
        [counted(CLIENT, 1, (10, 40), (100, 20))],
        [counted(CLIENT, 1, (10, 40), (100, 20), scope="client").model_copy(update={"resource": {"service.name": "other"}})],
        [counted(CLIENT, 1, (10, 40), (100, 20), scope="client"), *OTHER_AGENT],
    ],
    ids=["ends later", "other tokens", "by the same instrumentor", "in another process", "another agent's as well"],
)
def test_tokens_that_may_be_of_others_join_nothing(store: Store, others: Sequence[Span]):
    """Only a call within one agent's alone, told by another instrumentor of the same process, is that agent's."""
    assert {run.run_id: models(run) for run in told(store, [*UNNAMED, *others])}.items() >= {AGENT: 2, CLIENT: 1}.items()


def test_traces_that_begin_with_each_others_calls_are_one_run(store: Store):
    """Two traces whose first call stands in the other are told once, under the first of their ids."""
    one = [call(AGENT, 1, (0, 100), "r-1", scope="x"), call(AGENT, 2, (10, 90), "r-2", 1, scope="x")]
    other = [call(CLIENT, 1, (5, 95), "r-2", scope="y"), call(CLIENT, 2, (12, 80), "r-1", 1, scope="y")]
    (run,) = told(store, one, other)
    assert (run.run_id, run.span_count) == (AGENT, 4)


def test_deleting_the_run_deletes_the_clients_spans_too(where: Location):
    """Nothing is left of any of the traces, nor of what their answers were called, in a file and on a server."""
    with Store.open(where) as store:
        (run,) = told(store, CLIENTS, agent())
        store.delete(run.run_id)
        with store._engine.connect() as connection:
            left = {name: connection.execute(select(func.count()).select_from(TABLES[name])).scalar_one() for name in ("span", "answer", "payload", "run")}
        assert left == {"span": 0, "answer": 0, "payload": 0, "run": 0}
        assert store.verify() == []


def test_a_store_from_before_learns_the_answers_when_it_is_renormalised(store: Store):
    """What an older workbench stored, and took for runs of their own, is joined by `renormalise`."""
    add_live(store, ORIGIN, [*agent(), *CLIENTS])
    with store._writing() as connection:
        connection.execute(delete(TABLES["answer"]))
    catch_up(store)
    assert len(store.run_ids()) == 3
    assert renormalise(store).retired == (CLIENT, OTHER_CLIENT)
    assert store.run_ids() == [AGENT]


def test_a_run_whose_conversation_is_named_late_leaves_none_behind(store: Store):
    """A trace that was a run by itself until its root came is that of its conversation alone."""
    (run,) = told(store, agent(conversation="t-1")[1:], agent(conversation="t-1"))
    assert (run.run_id, run.span_count) == ("t-1", 4)
