"""A person's answer is carried over to the same question alone; to one whose words were lost, only where nothing was changed before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.test_replay_endings import ANSWERS, ITEM, graph_of, recorded, step_of
from workbench.replay.recording.cassette import record
from workbench.replay.recording.tape import Call, Divergence, Tape
from workbench.report.cassettes import cassette_text
from workbench.sketch import approval, sketch

DRAFT = {"send this?": "draft on tea"}
FIRED = {"index": 0, "content": "you are fired"}


@pytest.fixture(scope="module", params=[True, False], ids=["spans", "checkpoints"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bool, wb.RecordedRun]]:
    """A run one task of which asked two questions, read from spans and checkpoints or from checkpoints alone, and which of the two."""
    folder = tmp_path_factory.mktemp("asked")
    with pytest.MonkeyPatch.context() as during:
        during.setenv("LEDGER", str(folder / "ledger"))
        with recorded(folder, "graph", ITEM, *ANSWERS, spans=request.param) as run:
            during.undo()
            yield request.param, run


def test_each_question_has_its_own_words(asked: tuple[bool, wb.RecordedRun]) -> None:
    """Spans tell the words of each question of a task; checkpoints those of the last, and the cassette says that of the other they are lost."""
    spans, run = asked
    questions = [step.tool_call.arguments for step in run.steps if step.kind == "human" and step.tool_call]
    assert questions == [{"question": DRAFT if spans else None}, {"question": "to whom?"}]
    cassette = record(run.run)
    told = cassette_text(cassette).splitlines()
    assert ("of them only where nothing was changed before" in told[0]) is not spans
    lost = step_of(run, "human")
    line = f"  only unchanged: step {lost} approval: what was asked was not captured, so its answer is carried over to no question of a fork"
    assert (line in told) is not spans
    assert [one.step for one in cassette.unworded] == ([] if spans else [lost])


def test_an_unchanged_replay_gives_each_answer(asked: tuple[bool, wb.RecordedRun], ledger: Path) -> None:
    """Where nothing was changed both questions are answered as people had, and it is said of which the words were lost."""
    spans, run = asked
    fork = run.fork(step_of(run, "human"), graph=graph_of("graph"), trust=True)
    assert [row for row in wb.compare(run, fork).comparison.rows if row.relation != "same"] == []
    assert (fork.receipt.calls.answered, fork.receipt.clean, ledger.read_text()) == (2, True, "")
    assert [note for note in fork.receipt.notes if "human" in note] == ([] if spans else ["1 answers were given by place: human interrupt"])


def test_an_approval_is_not_carried_over(asked: tuple[bool, wb.RecordedRun], ledger: Path) -> None:
    """After a change a question that is another one, or may be one, has no recorded answer: the fork asks, and nothing is sent."""
    spans, run = asked
    change: dict[str, Any] = {"message": FIRED} if spans else {"state": {"item": "you are fired"}}
    live: dict[str, Any] = {"live": ["model", "tool:send"], "approve": ["send"]}
    at = step_of(run, "human") - 1
    assert [one.step for one in run.foresee(at, live=live["live"], **change).forecast.of("stops")] == ([] if spans else [at + 1])
    fork = run.fork(at, graph=graph_of("graph"), trust=True, **change, **live)
    assert (fork.run.status, fork.receipt.calls.answered, ledger.read_text()) == ("interrupted", 0, "")
    assert any("an approval is never carried over to another question" in note for note in fork.receipt.notes)


def test_an_answer_to_lost_words() -> None:
    """An answer to a question whose words were lost goes, on the recorded course, to the task that was given it, and to nothing else."""
    lost = approval("", "yes").model_copy(update={"task_id": "one"})
    lost = lost.model_copy(update={"tool_call": lost.tool_call.model_copy(update={"arguments": {"question": None}})}) if lost.tool_call else lost
    cassette = record(sketch(lost))

    def take(question: str | None, task: str | None, *, on_course: bool) -> str:
        return str(Tape(cassette).take(Call("human", "interrupt", "", question, task), on_course=on_course).interaction.result)

    assert (take("send this?", "one", on_course=True), take(None, "one", on_course=True)) == ("yes", "yes")
    for question, task, on_course in (("send this?", "one", False), (None, "one", False), ("send this?", "other", True), ("send this?", None, True)):
        with pytest.raises(Divergence, match="what was asked at step 0 was not recorded: that answer is given only where nothing was changed before it"):
            take(question, task, on_course=on_course)


def test_an_edited_answer_keeps_its_question(asked: tuple[bool, wb.RecordedRun], ledger: Path) -> None:
    """A fork that changes the first answer tells its question as it is known."""
    _, run = asked
    at = step_of(run, "human")
    fork = run.fork(at, answer="no", graph=graph_of("graph"), trust=True)
    assert (fork.step(at).result, fork.step(at).tool_call.arguments) == ("no", run.step(at).tool_call.arguments)  # type: ignore[union-attr]  # both are questions
    assert ledger.read_text() == ""
