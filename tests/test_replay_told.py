"""What models are given: each message is read once and told once, and what was told is read back whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from workbench.model import Json, canonical
from workbench.replay.channel import ChannelError
from workbench.replay.fence.journal import Journal, Seen
from workbench.replay.recording.given import MESSAGES
from workbench.replay.recording.history import History
from workbench.replay.recording.tape import Call
from workbench.replay.told import Told, read

HISTORY: list[BaseMessage] = [
    HumanMessage("Kyoto"),
    AIMessage("", tool_calls=[{"name": "book", "args": {"city": "Kyoto"}, "id": "call-1"}]),
    ToolMessage("booked", tool_call_id="call-1", artifact={"seats": 1}),
]


def tell(path: Path, calls: list[list[BaseMessage]]) -> Journal:
    """Tell of model calls that were given these messages, as a re-run does; each line is kept at the path."""
    history, told = History(), Told(path)
    journal = Journal("fork", tell=lambda said: told.hear(json.loads(json.dumps(said))), clock=lambda: 1)
    for messages in calls:
        given = history.read(messages)
        seen = Seen(Call("model", "gpt-5", "agent", given.meant, text=given.text), "agent:1", "agent", None, 1, given=given)
        journal.note(seen, "served", from_step=1)
    assert told.records == journal.records
    assert told.spans == journal.spans
    told.close()
    return journal


def test_a_message_is_told_once_however_often_it_is_given(tmp_path: Path) -> None:
    """Of calls that are each given the history so far, every message is told once, and the calls and spans that are read back are those that were noted."""
    journal = tell(tmp_path / "told.jsonl", [HISTORY[:1], HISTORY[:2], HISTORY])
    again = read(tmp_path / "told.jsonl")
    assert (again.records, again.spans) == (journal.records, journal.spans)
    assert len(again.messages) == len(HISTORY)
    assert (tmp_path / "told.jsonl").read_text("utf-8").count("seats") == 1
    assert [len(json.loads(one.attributes[MESSAGES])) for one in again.spans] == [1, 2, 3]


def test_a_call_that_names_a_message_nobody_told_of_is_refused(tmp_path: Path) -> None:
    """A line that names a message which was not told of is an error that says so, as is all that no re-run of ours says."""
    record: Json = {"kind": "model", "name": "gpt-5", "answer": "served"}
    with pytest.raises(ChannelError, match=r"makes no sense: '0\.7'"):
        Told(tmp_path / "told.jsonl").take_in({"record": record, "given": ["0.7"]})


@pytest.mark.parametrize("change", [{"artifact": {"seats": True}}, {"content": "full"}, {"status": "error"}])
def test_a_message_that_was_changed_in_place_is_read_again(change: dict[str, Any]) -> None:
    """A message whose fields were changed since it was read is read anew, also where Python calls the new value equal to the old one."""
    history, message = History(), ToolMessage("booked", tool_call_id="call-1", artifact={"seats": 1})
    before = history.read([message])
    vars(message).update(change)
    after = history.read([message])
    assert json.loads(after.shown)[0] == message.model_dump(mode="json")
    assert after.shown != before.shown
    assert history.read([message]).messages[0] is after.messages[0]


def test_what_is_compared_is_the_canonical_text_of_what_was_meant() -> None:
    """The text by which calls are found is that of their arguments, with the messages put together from one text each."""
    given = History().read(HISTORY)
    assert given.text == canonical(given.meant)
    assert Call("model", "gpt-5", "", given.meant, text=given.text).sha256 == Call("model", "gpt-5", "", given.meant).sha256
