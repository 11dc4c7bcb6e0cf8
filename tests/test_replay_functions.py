"""A `@task` is a function of its arguments: after a change elsewhere it is served what it returned, where its code looks at nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from langgraph.types import Command

import workbench as wb
from tests.test_replay_endings import ITEM, graph_of, recorded, step_of
from workbench.model import RETURNED, Json, Run, canonical
from workbench.replay.fence.functions import SAME, same


def forked(run: wb.RecordedRun, name: str, answer: str) -> wb.RecordedRun:
    return run.fork(step_of(run, "human"), answer=answer, graph=graph_of(name), trust=True)


def verdict(fork: wb.RecordedRun, name: str) -> str:
    return next(one.verdict for one in fork.receipt.checks if one.name == name)


def test_calls_with_the_same_arguments_are_served(tmp_path: Path, ledger: Path) -> None:
    """In another order each has what it returned, and the receipt says by what; what was fetched once is not served twice."""
    with recorded(tmp_path, "reading", ITEM, Command(resume="ab")) as run:
        said, before = run.final_state()["__end__"]["said"], ledger.read_text()
        fork = forked(run, "reading", "ba")
        assert (fork.receipt.clean, fork.outcome) == (True, canonical({"said": said[::-1]}))
        assert [one.rpartition("): ")[2] for one in fork.receipt.divergences] == [SAME] * 2
        assert [one.name for one in fork.steps if SAME in one.notes] == ["fetched"] * 2
        twice = forked(run, "reading", "aa")
        assert (twice.receipt.clean, verdict(twice, "nothing blocked"), ledger.read_text()) == (False, "fail", before)


@pytest.mark.parametrize("name", ["reading_for", "reading_so", "reading_all"])
def test_what_more_than_its_arguments_may_tell_is_not_served(name: str, tmp_path: Path, ledger: Path) -> None:
    """A task that looks at the config, itself or in what it calls, or is given what a span does not tell exactly, has its code run, in the sandbox."""
    with recorded(tmp_path, name, ITEM, Command(resume="ab")) as run:
        before = ledger.read_text()
        fork = forked(run, name, "ba")
        assert (fork.receipt.clean, verdict(fork, "nothing blocked"), fork.receipt.divergences, ledger.read_text()) == (False, "fail", (), before)


def test_what_a_function_came_to(tmp_path: Path, ledger: Path) -> None:
    """The outcome of a functional run, and of a fork of it, is what the entrypoint returned, with spans or without."""
    for spans in (True, False):
        (folder := tmp_path / str(spans)).mkdir()
        with recorded(folder, "reading", ITEM, Command(resume="ab"), spans=spans) as run:
            assert run.outcome == canonical(run.final_state()["__end__"])
            assert run.fork(step_of(run, "human"), graph=graph_of("reading"), trust=True).outcome == run.outcome


def test_words_of_what_was_returned() -> None:
    """Of messages, or a state of nothing else, the last one's; else all of it."""
    said: list[Json] = [{"type": "human", "content": "hi"}, {"type": "ai", "content": "hello"}]
    results: list[Json] = [said[1], said, {"messages": said}, {"messages": said, "n": 1}, "so", 0, None]
    outcomes = [Run(run_id="one", status="ok", metadata={RETURNED: one}).outcome for one in results]
    assert outcomes == ["hello", "hello", "hello", canonical(results[3]), "so", "0", "ended without an answer"]


def test_the_same_arguments() -> None:
    """As a span tells them: a lone text bare, a lone `input` by its value, others by their names. No argument is nothing to go by."""
    assert same("a", {"name": "a"})
    assert same("[1]", {"input": [1]})
    assert same('{"b": null, "a": 1}', {"a": 1, "b": None})
    assert not same("1", {"name": 1})
    assert not same('{"name": "1"}', {"name": 1})
    assert not same("…", {"name": 1})
    assert not same(None, {"name": "a"})
    assert not same("{}", {})
