"""What is told of a fork before it is made, held against what the fork then does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.replay_recording import Recording, record
from workbench.model import Change
from workbench.replay.effects.broker import Terms
from workbench.replay.forecast import Forecast, foresee
from workbench.replay.wishes import Wish, checked
from workbench.report.forecasts import Foreseen

FLIGHT = Change(kind="tool_result", value="no seat")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A run that booked two flights at once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("recorded")
        (folder / "ledger.txt").touch()
        patch.setenv("LEDGER", str(folder / "ledger.txt"))
        return record(folder, "graph", [["book", {"flight": "NH 1"}], ["book", {"flight": "NH 2"}]])


def forecast(recording: Recording, at: int, change: Change | None = None, *live: str, **declared: Any) -> Forecast:
    """The forecast of a fork of this recording."""
    wanted = change or Change()
    step = checked(recording.run, at, wanted, live)
    return foresee(Wish(recording.run, step, wanted, "", live, "fork", 0.0, Terms(declared=declared), execute=("*",)), [recording.database])


@pytest.mark.parametrize(
    ("change", "live", "hows"),
    [
        (Change(), (), {"served"}),
        (FLIGHT, (), {"edited", "served", "halts"}),
        (FLIGHT, ("model",), {"edited", "served", "live"}),
        (Change(kind="fault", value="slow"), (), {"served"}),
        (Change(kind="system", value="Be brief."), (), {"halts", "unreached"}),
    ],
)
def test_the_fork_does_what_was_foreseen(recording: Recording, tmp_path: Path, change: Change, live: tuple[str, ...], hows: set[str]) -> None:
    """Each call of a fork is answered as its forecast says: how many are served, edited and live, and where it halts."""
    at = recording.step("book", 1) if change.kind != "system" else 0
    told = forecast(recording, at, change, *live)
    done = recording.fork(at, change, live=live, scratch=tmp_path / "fork.sqlite")
    calls = [one for one in told.steps if one.how != "stands"]
    assert {one.how for one in calls} == hows
    words = {"halts": "halted"}
    assert Counter(words.get(one.how, one.how) for one in calls if one.how != "unreached") == Counter(one.answer for one in done.receipt.records)
    assert told.kept == done.prefix
    assert told.level == done.receipt.isolation_asked


def test_what_reads_the_state_is_foreseen(recording: Recording) -> None:
    """After a change, a tool is served where it is asked for alike, unless its code reads what differs: which that is, is not known beforehand."""
    says = {one.says for one in forecast(recording, 0, Change(kind="state", value={"budget": 1}), "model").steps if one.kind == "tool"}
    assert says == {
        "where it is asked for again in the same words; any other call halts, and so does one whose code reads state, store or context that differs"
    }
    assert {one.says for one in forecast(recording, 0).steps if one.kind == "tool"} == {""}


def test_tools_are_told_with_their_class(recording: Recording) -> None:
    """A tool that acts is told as blocked with its class, a guess as a guess; declared to read only, or named as live, it is not."""
    told = forecast(recording, 0)
    assert [(one.name, one.effect, one.guessed, one.recorded) for one in told.blocked] == [("book", "effect", True, 2)]
    assert forecast(recording, 0, book="read-only").blocked == []
    live = forecast(recording, 0, None, "tool:book")
    assert (live.blocked, [one.how for one in live.steps if one.name == "book"], live.risk) == ([], ["asks", "asks"], "critical")


def test_names_that_nothing_has_are_foreseen(recording: Recording) -> None:
    """What was asked for by a name that the recording has not is told before the fork is made, as its receipt tells it after."""
    told = forecast(recording, 0, None, "tool:boook").notes
    assert [one.partition("? ")[0] for one in told] == [
        "live tool:boook (--live) may do nothing: nothing in the recording is a tool 'boook'; did you mean book"
    ]
    assert told[0] in str(Foreseen(forecast(recording, 0, None, "tool:boook")))


def test_a_forecast_is_shown_as_text_and_as_inert_html(recording: Recording) -> None:
    """The table names what halts and why, and which tools are never called; hostile names stay text."""
    told = forecast(recording, recording.step("book"), FLIGHT)
    text = repr(Foreseen(told))
    assert "halts there" in text
    assert "name the model as live" in text
    assert "never called: book (effect, a guess)" in text
    hostile = told.model_copy(update={"run_id": "<img src=x onerror=alert(1)>"})
    assert "<img" not in Foreseen(hostile)._repr_html_()
