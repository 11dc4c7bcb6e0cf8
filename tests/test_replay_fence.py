"""The fence around langchain-core, the answers it gives back, and the environment it stands in."""

from __future__ import annotations

import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from tests.replay_agents import OutOfSeats, book, seats
from workbench.model import Interaction
from workbench.replay.fence.answers import ai_message, as_returned, exception, tool_result
from workbench.replay.process.parent import WITHHELD, environment
from workbench.replay.recording.history import History

PROBE = """
from langchain_core.tools import BaseTool
from langgraph.pregel import _runner
from workbench.replay.fence import fence
{before}
try:
    fence.prove()
except fence.FenceError as error:
    print("refused:", error)
else:
    print("stands")
"""


def prove(before: str = "") -> str:
    done = subprocess.run([sys.executable, "-c", PROBE.format(before=before)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_proof() -> None:
    """The fence proves that every way to call a tool or model goes through it."""
    assert prove() == "stands"


def test_hooks_moved() -> None:
    """Where langchain-core no longer goes through a patched method, the fence refuses to stand."""
    assert prove("BaseTool.invoke = lambda self, given, config=None: 'ran'").startswith("refused: langchain-core's hooks moved: probes got ['ran'")


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("fence.TOOL_METHODS = ('gone',)", "langchain-core has no BaseTool.gone any more"),
        ("del _runner.run_with_retry", "langgraph has no langgraph.pregel._runner.run_with_retry any more"),
        ("fence.RETRIEVER_METHODS = ('gone',)", "langchain-core has no BaseRetriever.gone any more"),
        ("import httpx; del httpx.HTTPTransport.handle_request", "httpx has no HTTPTransport.handle_request any more"),
    ],
)
def test_hooks_gone(before: str, says: str) -> None:
    """Where LangGraph, langchain-core or a client of HTTP lacks what is patched, the fence refuses to stand, and names it."""
    assert prove(before) == f"refused: {says}"


def test_body_behind_the_fence() -> None:
    """A hook that does not keep a body from running is found out."""
    assert prove("fence.tool_twin = lambda tool, bound: (vars(tool).update({fence.TWIN: True}), tool)[1]").startswith("refused: a tool's body ran")


def test_stray() -> None:
    """A tool class that replaces a patched method would pass the fence, so nothing may run."""
    stray = "class Stray(BaseTool):\n    name: str = 's'\n    description: str = ''\n    def run(self, *a, **k): return 1\n    def _run(self): return 1"
    assert prove(stray) == "refused: these replace the methods that the fence patches, so their calls would pass it: __main__.Stray.run"


class Odd(Exception):  # noqa: N818  # as some are called
    """Says something of itself that its arguments don't tell."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def __str__(self) -> str:
        return f"{self.left} left"

    def __repr__(self) -> str:
        return f"Odd(left={self.left})"


@pytest.mark.parametrize("text", ["TimeoutError: no answer after 1 s", "TimeoutError('no answer after 1 s')", "builtins.TimeoutError: no answer after 1 s"])
def test_builtin_exception(text: str) -> None:
    """A recorded builtin error is raised again as itself."""
    raised = exception(text)
    assert (type(raised), str(raised)) == (TimeoutError, "no answer after 1 s")


@pytest.mark.parametrize("error", [KeyError("a"), KeyError(1), KeyError("it's"), ValueError("a", 1), ValueError(), FileNotFoundError(2, "none", "x"), Odd(3)])
def test_an_exception_says_what_it_said(error: Exception) -> None:
    """Whoever handles a recorded error finds what was found then: its type, and its text as it was written down, be that its own or its repr."""
    told = exception(f"{type(error).__name__}: {error}")
    assert (type(told).__name__, str(told), isinstance(told, type(error))) == (type(error).__name__, str(error), True)
    shown = exception(repr(error))
    assert (type(shown).__name__, repr(shown), isinstance(shown, type(error))) == (type(error).__name__, repr(error), True)


def test_loaded_exception() -> None:
    """An error of a class that the agent has loaded is of that class, made without running its constructor."""
    raised = exception("OutOfSeats: NH 1 has 0 seats")
    assert type(raised) is OutOfSeats
    assert str(raised) == "NH 1 has 0 seats"


def test_an_exception_that_shows_its_argument_as_code_writes_it() -> None:
    """Its argument is what was written so, and the error is told in the same words again."""
    raised = exception("KeyError: 'Atlantis'")
    assert (raised.args, str(raised), exception("KeyError: no literal").args) == (("Atlantis",), "'Atlantis'", ("no literal",))


def test_look_alike_exception() -> None:
    """An error of a class that is not loaded is a look-alike of the same name; nothing is imported for it."""
    assert "xmlrpc.client" not in sys.modules
    raised = exception("xmlrpc.client.Fault: nobody there")
    assert (type(raised).__name__, str(raised)) == ("Fault", "nobody there")
    assert "xmlrpc.client" not in sys.modules
    assert type(raised) is type(exception("Fault: again"))
    assert type(exception("it just failed")) is RuntimeError


def test_no_code_in_arguments() -> None:
    """What stands in a recorded error's brackets is read as literals, or kept as text, and never evaluated."""
    assert exception("ValueError(__import__('os').getpid())").args == ("__import__('os').getpid()",)


def test_as_returned() -> None:
    """A result that is an object comes as JSON text from a tool declared to return text, and as it is from others."""
    assert as_returned({"id": 7}, book) == '{"id": 7}'
    assert as_returned({"id": 7}, seats) == {"id": 7}
    assert as_returned("text", book) == "text"


def test_tool_message() -> None:
    """A call from a model gets the message as it stood in the state, its status included; a direct call gets the error itself."""
    message = {"content": "Error: full", "status": "error", "name": "book", "artifact": None}
    recorded = Interaction(kind="tool", name="book", node_path="", arguments={}, result="Error: full", error="ValueError: full", message=message, step=0)
    answer = tool_result(recorded, book, "call-7")
    assert (answer.content, answer.status, answer.tool_call_id) == ("Error: full", "error", "call-7")
    with pytest.raises(ValueError, match="full"):
        tool_result(recorded, book, None)


def test_model_answer() -> None:
    """A served model answer has the recorded calls with their ids; calls whose arguments were no JSON stay invalid."""
    calls = [{"name": "book", "arguments": {"flight": "NH 1"}, "call_id": "7"}, {"name": "book", "raw": "{oops"}]
    result = {"role": "assistant", "content": "so", "tool_calls": calls}
    answer = ai_message(Interaction(kind="model", name="m", node_path="", arguments=[], result=result, step=3))
    assert [(call["name"], call["args"], call["id"]) for call in answer.tool_calls] == [("book", {"flight": "NH 1"}, "7")]
    assert [call["args"] for call in answer.invalid_tool_calls] == ["{oops"]


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are withheld but named, exporters are off, everything else stays."""
    for name, value in {"OPENAI_API_KEY": "sk-1", "DATABASE_URL": "postgres://u:p@h", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "CITY": "Kyoto"}.items():
        monkeypatch.setenv(name, value)
    found = environment("folder")
    assert (found["OPENAI_API_KEY"], found["DATABASE_URL"], found["CITY"], found["HOME"]) == (WITHHELD, WITHHELD, "Kyoto", "folder")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in found
    assert (found["LANGSMITH_TRACING"], found["OTEL_SDK_DISABLED"], found["LANGGRAPH_STRICT_MSGPACK"]) == ("false", "true", "true")


def test_history_changed_in_place() -> None:
    """A message that was changed in place since it was read is read again; one that was not is the same value."""
    history, asked, answer = History(), HumanMessage("Kyoto?"), AIMessage("yes")
    before = history.read([asked, answer]).meant
    asked.content = "Nara?"
    given = history.read([asked, answer])
    assert [one["content"] for one in given.meant] == ["Nara?", "yes"]
    assert "Nara?" in given.shown
    assert "Kyoto?" not in given.shown
    assert given.meant[1] is before[1]


def test_history_of_no_utf8() -> None:
    """A message that JSON in UTF-8 can't hold is read all the same."""
    meant = History().read([HumanMessage("half a pair: \ud800")]).meant
    assert meant == [{"role": "user", "content": "half a pair: \ud800"}]
