"""Histories of durable engines as runs: each engine's traps, and real histories where they stand beside the repository."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import pickle
import sqlite3
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.postgres import PASSWORD, Server
from workbench.collection import ingest
from workbench.database import Database, location
from workbench.model import Json, Message, Run, Skip
from workbench.plugins import accepting, collectors
from workbench.reading.exchanges import exchange_of
from workbench.reading.histories import Failure, History, Operation, moment, words_of
from workbench.reading.pickles import PickleError, plain_data
from workbench.source import Source, SourceError
from workbench.store import Store
from workbench.summary import of_run

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "spans"
HOUR = "2026-03-01T09:00"


def read(tmp_path: Path, document: Json, engine: str, name: str = "history.json") -> tuple[list[Run], list[Skip]]:
    """The runs and skips that the one collector which accepts a document makes of it."""
    path = tmp_path / name
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    source = Source(path)
    assert [one.name for one in collectors().values() if one.accepts(source)] == [engine]
    records = list(collectors()[engine].collect(source))
    return [one for one in records if isinstance(one, Run)], [one for one in records if isinstance(one, Skip)]


def only(tmp_path: Path, document: Json, engine: str) -> Run:
    """The one run of a document that is read without a skip."""
    runs, skips = read(tmp_path, document, engine)
    assert skips == []
    assert len(runs) == 1
    return runs[0]


def told(run: Run, *keys: str) -> Json:
    """Some of what `runs --json` says of a run, without the numbers of steps."""
    summary = of_run(run)
    for error in summary["errors"]:
        del error["step"]
    return summary[keys[0]] if len(keys) == 1 else [summary[key] for key in keys]


# ---- Temporal


def temporal(number: int, kind: str, **attributes: Json) -> dict[str, Json]:
    """An event as the command line writes it."""
    words = kind.lower().split("_")
    key = words[0] + "".join(word.title() for word in words[1:]) + "EventAttributes"
    return {"eventId": str(number), "eventTime": f"{HOUR}:{number:02}Z", "eventType": f"EVENT_TYPE_{kind}", key: attributes}


def payload(*values: Json, encoding: str = "json/plain") -> dict[str, Json]:
    """Payloads as Temporal keeps them: base64 with the encoding beside it, in base64 too."""
    metadata = {"encoding": base64.b64encode(encoding.encode()).decode()}
    return {"payloads": [{"metadata": metadata, "data": base64.b64encode(json.dumps(value).encode()).decode()} for value in values]}


STARTED = temporal(1, "WORKFLOW_EXECUTION_STARTED", workflowType={"name": "Booking"}, workflowId="b-1", originalExecutionRunId="r-1")


def activity(number: int, name: str, result: Json = None, *, asked: Json = None, attempt: int = 1) -> list[dict[str, Json]]:
    """The three events of an activity that was completed."""
    return [
        temporal(number, "ACTIVITY_TASK_SCHEDULED", activityType={"name": name}, input=payload(asked)),
        temporal(number + 1, "ACTIVITY_TASK_STARTED", scheduledEventId=str(number), attempt=attempt),
        temporal(number + 2, "ACTIVITY_TASK_COMPLETED", scheduledEventId=str(number), result=payload(result)),
    ]


def test_a_failed_workflow_names_the_activity_that_failed_it(tmp_path: Path):
    """The failure is told once, by its innermost cause, at the activity and not at the workflow; one that the workflow caught is recovered."""
    cause = {"message": "card declined", "applicationFailureInfo": {"type": "PaymentError"}}
    failed = {"message": "Activity task failed", "cause": cause, "activityFailureInfo": {"scheduledEventId": "5"}}
    events = [
        STARTED,
        temporal(2, "ACTIVITY_TASK_SCHEDULED", activityType={"name": "search"}),
        temporal(3, "ACTIVITY_TASK_STARTED", scheduledEventId="2", attempt=2, lastFailure={"message": "503"}),
        temporal(4, "ACTIVITY_TASK_TIMED_OUT", scheduledEventId="2", failure={"timeoutFailureInfo": {"timeoutType": "TIMEOUT_TYPE_START_TO_CLOSE"}}),
        temporal(5, "ACTIVITY_TASK_SCHEDULED", activityType={"name": "pay"}),
        temporal(6, "ACTIVITY_TASK_STARTED", scheduledEventId="5", attempt=3),
        temporal(7, "ACTIVITY_TASK_FAILED", scheduledEventId="5", failure={"message": "card declined", "applicationFailureInfo": {"type": "PaymentError"}}),
        *activity(8, "refund"),
        temporal(11, "WORKFLOW_EXECUTION_FAILED", failure=failed),
    ]
    run = only(tmp_path, {"events": events}, "temporal")
    assert (run.run_id, run.conversation_id, run.root_name, run.status) == ("r-1", "b-1", "Booking", "error")
    assert told(run, "errors", "retries") == [
        [
            {"where": "search", "message": "Timeout: timed out (start-to-close)", "recovered": True},
            {"where": "pay", "message": "PaymentError: card declined", "recovered": False},
        ],
        [{"tool": "search", "attempts": 2, "reasons": ["503"]}, {"tool": "pay", "attempts": 3}],
    ]


def test_a_nexus_operation_is_a_step(tmp_path: Path):
    """With what it was given and gave back, which are one payload each; one that failed is what a failed workflow names as the cause."""
    nexus = {"endpoint": "billing", "service": "invoices", "operation": "issue", "input": payload({"n": 1})["payloads"][0]}
    failure = {"message": "nexus operation failed", "nexusOperationExecutionFailureInfo": {"scheduledEventId": "4"}, "cause": {"message": "no such account"}}
    events = [
        temporal(1, "WORKFLOW_EXECUTION_STARTED", originalExecutionRunId="r-1", workflowType={"name": "Order"}),
        temporal(2, "NEXUS_OPERATION_SCHEDULED", **nexus),
        temporal(3, "NEXUS_OPERATION_COMPLETED", scheduledEventId="2", result=payload({"invoice": 7})["payloads"][0]),
        temporal(4, "NEXUS_OPERATION_SCHEDULED", **nexus),
        temporal(5, "NEXUS_OPERATION_FAILED", scheduledEventId="4", failure=failure),
        temporal(6, "WORKFLOW_EXECUTION_FAILED", failure=failure),
    ]
    run = only(tmp_path, {"events": events}, "temporal")
    assert [(step.name, step.status, step.tool_call and step.tool_call.arguments, step.result) for step in run.steps] == [
        ("issue", "ok", {"n": 1}, {"invoice": 7}),
        ("issue", "error", {"n": 1}, None),
    ]
    assert told(run, "errors") == [{"where": "issue", "message": "no such account", "recovered": False}]


def test_a_workflow_that_fails_by_itself_is_one_error(tmp_path: Path):
    """Where no operation failed, the workflow's own failure is told at a step of its name."""
    events = [STARTED, *activity(2, "search"), temporal(5, "WORKFLOW_EXECUTION_FAILED", failure={"message": "no seats"})]
    run = only(tmp_path, events, "temporal")
    assert told(run, "errors") == [{"where": "Booking", "message": "no seats", "recovered": False}]


def test_an_older_history_of_events_with_other_spellings_is_read(tmp_path: Path):
    """Types in camel case, numbers as numbers, an envelope named history, attributes under one key: all are Temporal."""
    events = [
        {"eventId": 1, "eventTime": f"{HOUR}:00.123456789Z", "eventType": "WorkflowExecutionStarted", "attributes": {"workflowType": {"name": "Booking"}}},
        {"eventId": 2, "eventType": "ActivityTaskScheduled", "attributes": {"activityType": {"name": "pay"}, "input": {"payloads": [{"amount": 5}]}}},
        {"eventId": 3, "eventType": "ActivityTaskCompleted", "attributes": {"scheduledEventId": 2}},
        {"eventId": 4, "eventType": "WorkflowExecutionContinuedAsNew", "attributes": {"newExecutionRunId": "r-2"}},
    ]
    run = only(tmp_path, {"history": {"events": events}}, "temporal")
    assert [(step.name, step.status, step.tool_call and step.tool_call.arguments) for step in run.steps] == [("pay", "ok", {"amount": 5})]
    assert (run.status, run.started_ns, run.notes) == ("ok", 1_772_355_600_123_456_789, ("continued as new, as run r-2",))
    assert run.outcome == "continued as r-2"


def test_signals_answer_what_waited_and_messages_are_a_persons_word(tmp_path: Path):
    """A decision is an approval with its answer; words sent to the agent are what the person said, and no approval."""
    update = {"meta": {"updateId": "u"}, "input": {"name": "ask", "args": payload({"user_input": "Book NH 11", "chat_length": 0})}}
    events = [
        STARTED,
        temporal(2, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", acceptedRequest=update),
        temporal(3, "WORKFLOW_EXECUTION_SIGNALED", signalName="approve", input=payload({"approved": False, "by": "lee"})),
        temporal(4, "WORKFLOW_EXECUTION_SIGNALED", signalName="confirm"),
        temporal(5, "WORKFLOW_EXECUTION_CANCELED"),
    ]
    run = only(tmp_path, {"events": events}, "temporal")
    assert [step.output.content for step in run.of_kind("human") if step.output] == ["Book NH 11"]
    assert told(run, "approvals", "status") == [
        [{"tool": "approve", "decision": {"approved": False, "by": "lee"}}, {"tool": "confirm", "decision": None}],
        "cancelled",
    ]


def test_payloads_of_other_encodings_stay_closed(tmp_path: Path):
    """An encrypted payload is not guessed at: it is None and counted; binary/null is simply nothing."""
    events = [STARTED, *activity(2, "search")[:2]]
    events.append(temporal(4, "ACTIVITY_TASK_COMPLETED", scheduledEventId="2", result=payload("secret", encoding="binary/encrypted")))
    events.append(temporal(5, "WORKFLOW_EXECUTION_COMPLETED", result=payload(None, encoding="binary/null")))
    (run,), (skip,) = read(tmp_path, {"events": events}, "temporal")
    assert run.steps[0].result is None
    assert (skip.reason, skip.count) == ("payloads not decoded: their encoding is binary/encrypted", 1)


def test_tools_a_model_asked_for_are_found_as_activities_and_inside_the_workflow(tmp_path: Path):
    """An activity of the tool's name becomes its call; a call that a later request answers ran inside the workflow; one nobody answered never ran."""
    asked = [{"type": "function_call", "name": name, "arguments": '{"city": "Oslo"}', "call_id": f"c-{name}"} for name in ("weather", "time", "never")]
    usage = {"input_tokens": 7, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}
    question = [{"role": "user", "content": "Weather and time?"}]
    answers = [
        {"type": "function_call_output", "call_id": "c-weather", "output": "rain"},
        {"type": "function_call_output", "call_id": "c-time", "output": '{"hour": 9}'},
    ]
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Rain at nine."}]}
    model = "invoke_model_activity"
    events = [
        STARTED,
        *activity(2, model, {"output": asked, "usage": usage}, asked={"model_name": "m", "input": question, "system_instructions": "Help."}),
        *activity(5, "weather", {"sky": "rain"}, asked='{"city": "Oslo"}', attempt=2),
        *activity(8, model, {"output": [said], "usage": usage}, asked={"model_name": "m", "input": [*question, *asked, *answers]}),
    ]
    run = only(tmp_path, {"events": events}, "temporal")
    calls = [{key: call[key] for key in ("name", "arguments", "call_id", "status", "result")} for call in told(run, "tool_calls")]
    assert calls == [
        {"name": "time", "arguments": {"city": "Oslo"}, "call_id": "c-time", "status": "ok", "result": {"hour": 9}},
        {"name": "weather", "arguments": {"city": "Oslo"}, "call_id": "c-weather", "status": "ok", "result": {"sky": "rain"}},
    ]
    assert told(run, "model_calls", "models", "retries") == [2, ["m"], [{"tool": "weather", "attempts": 2}]]
    assert (run.tokens.input, run.tokens.output, run.tokens.reasoning) == (14, 4, 2)
    assert [message.role for message in next(run.of_kind("model")).messages] == ["system", "user"]


def test_a_child_that_tells_its_failure_is_not_told_by_its_parent_again(tmp_path: Path):
    """Where a file holds parent and child, the child's failure is one error; the parent's status says that it failed with it."""
    child = [{**STARTED, "workflowExecutionStartedEventAttributes": {"workflowType": {"name": "Pay"}, "workflowId": "p-1", "originalExecutionRunId": "r-2"}}]
    child.append(temporal(2, "WORKFLOW_EXECUTION_FAILED", failure={"message": "declined"}))
    parent = [
        STARTED,
        temporal(2, "START_CHILD_WORKFLOW_EXECUTION_INITIATED", workflowType={"name": "Pay"}, workflowId="p-1"),
        temporal(3, "CHILD_WORKFLOW_EXECUTION_FAILED", initiatedEventId="2", failure={"message": "declined"}),
        temporal(4, "WORKFLOW_EXECUTION_FAILED", failure={"message": "declined"}),
    ]
    runs, _ = read(tmp_path, {"parent": {"events": parent}, "child": {"events": child}}, "temporal")
    assert [(run.status, told(run, "errors")) for run in runs] == [
        ("error", []),
        ("error", [{"where": "Pay", "message": "declined", "recovered": False}]),
    ]


# ---- AWS


def states(number: int, kind: str, before: int | None = None, **given: Json) -> dict[str, Json]:
    """An event of Step Functions."""
    details = "stateEntered" if kind.endswith("Entered") else "stateExited" if kind.endswith("Exited") else kind[:1].lower() + kind[1:]
    event = {"id": number, "previousEventId": number - 1 if before is None else before, "type": kind, "timestamp": 1_772_355_600.5 + number}
    return event | ({f"{details}EventDetails": given} if given else {})


def test_interleaved_map_items_are_told_by_their_tree(tmp_path: Path):
    """Two items of a map that interleave are two steps below it, each with its own attempts and outcome; the failed one fails the map once."""
    events = [
        states(1, "ExecutionStarted", input="{}"),
        states(2, "MapStateEntered", name="Each"),
        states(3, "MapStateStarted", length=2),
        states(4, "MapIterationStarted", 3, name="Each", index=0),
        states(5, "MapIterationStarted", 3, name="Each", index=1),
        states(6, "TaskStateEntered", 4, name="Pay", input='"a"'),
        states(7, "TaskStateEntered", 5, name="Pay", input='"b"'),
        states(8, "TaskScheduled", 7, resourceType="lambda", resource="invoke"),
        states(9, "TaskScheduled", 6, resourceType="lambda", resource="invoke"),
        states(10, "TaskFailed", 8, error="Declined", cause="no money"),
        states(11, "TaskSucceeded", 9, output='"paid"'),
        states(12, "TaskScheduled", 10, resourceType="lambda", resource="invoke"),
        states(13, "TaskTimedOut", 12, error="States.Timeout"),
        states(14, "TaskStateExited", 11, name="Pay", output='"paid"'),
        states(15, "MapIterationFailed", 13, name="Each", index=1),
        states(16, "MapStateFailed", 15, error="States.Timeout"),
        states(17, "ExecutionFailed", 16, error="States.Timeout"),
    ]
    run = only(tmp_path, {"events": events}, "step-functions")
    assert [(step.name, step.depth, step.status, step.attempts, step.result) for step in run.steps] == [
        ("Each", 0, "error", None, None),
        ("Pay", 1, "ok", 1, "paid"),
        ("Pay", 1, "error", 2, None),
    ]
    assert told(run, "errors", "retries") == [[{"where": "Pay", "message": "States.Timeout", "recovered": False}], [{"tool": "Pay", "attempts": 2}]]


def test_a_caught_failure_is_recovered_and_a_task_token_is_a_person(tmp_path: Path):
    """A state that failed and was left was caught; a task that waits for a token is an approval with what was sent back; a Fail state is the failure."""
    events = [
        states(1, "ExecutionStarted"),
        states(2, "TaskStateEntered", name="Ask"),
        states(3, "TaskScheduled", resourceType="sqs", resource="sendMessage.waitForTaskToken", parameters='{"MessageBody": "ok?"}'),
        states(4, "TaskSucceeded", output='{"approved": false}'),
        states(5, "TaskStateExited", name="Ask", output="{}"),
        states(6, "TaskStateEntered", name="Refund"),
        states(7, "LambdaFunctionScheduled", input="{}"),
        states(8, "LambdaFunctionFailed", error="Gone", cause='{"errorMessage": "no such order"}'),
        states(9, "TaskStateExited", name="Refund", output="{}"),
        states(10, "FailStateEntered", name="Refused"),
        states(11, "ExecutionFailed", error="Refused", cause="the person said no"),
    ]
    run = only(tmp_path, {"events": events}, "step-functions")
    assert told(run, "approvals", "errors") == [
        [{"tool": "Ask", "decision": {"approved": False}}],
        [
            {"where": "Refund", "message": "Gone: no such order", "recovered": True},
            {"where": "Refused", "message": "Refused: the person said no", "recovered": False},
        ],
    ]


def test_a_bedrock_task_is_a_model_call(tmp_path: Path):
    """A task whose output has the shape of a model's answer is a model call, with the model it was asked of and its tokens."""
    answer = {
        "Body": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 1}}
    }
    asked = {"ModelId": "anthropic.claude", "Body": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}}
    events = [
        states(1, "ExecutionStarted"),
        states(2, "TaskStateEntered", name="Ask"),
        states(3, "TaskScheduled", resourceType="bedrock", resource="invokeModel", parameters=json.dumps(asked)),
        states(4, "TaskSucceeded", output=json.dumps(answer)),
        states(5, "TaskStateExited", name="Ask"),
        states(6, "ExecutionSucceeded"),
    ]
    run = only(tmp_path, {"events": events}, "step-functions")
    assert told(run, "model_calls", "outcome") == [1, "Hi"]
    assert (run.tokens.input, [message.content for message in run.steps[0].messages]) == (3, ["Hello"])


def test_the_example_history_of_an_execution_that_runs_has_no_error(tmp_path: Path):
    """A step that waits for its next attempt has not failed yet."""
    event = {"EventId": 1, "Id": "1", "EventTimestamp": f"{HOUR}:00Z", "EventType": "StepFailed", "Name": "book"}
    details = {"Error": {"Payload": {"ErrorMessage": "busy"}}, "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 1}}
    run = only(tmp_path, [event | {"StepFailedDetails": details}], "lambda-durable")
    assert told(run, "status", "errors") == ["running", []]
    assert (run.steps[0].status, run.steps[0].notes) == ("running", ("failed before: busy",))


def test_a_failed_context_passes_on_what_failed_inside(tmp_path: Path):
    """A parallel branch that fails with its step, and the execution with it, are one error: the step's."""

    def event(number: int, kind: str, identity: str, **more: Json) -> dict[str, Json]:
        return {"EventId": number, "EventType": kind, "Id": identity, "EventTimestamp": f"{HOUR}:{number:02}Z", **more}

    error = {"Error": {"Payload": {"ErrorMessage": "busy", "ErrorType": "StepError"}}}
    events = [
        event(1, "ExecutionStarted", "e", ExecutionStartedDetails={}),
        event(2, "ContextStarted", "1", SubType="Parallel", Name="both"),
        event(3, "StepStarted", "2", ParentId="1", Name="book"),
        event(4, "StepFailed", "2", ParentId="1", StepFailedDetails=error),
        event(5, "ContextFailed", "1", ContextFailedDetails=error),
        event(6, "ExecutionFailed", "e", ExecutionFailedDetails=error),
    ]
    run = only(tmp_path, {"Events": events}, "lambda-durable")
    assert told(run, "errors") == [{"where": "book", "message": "StepError: busy", "recovered": False}]


# ---- DBOS


def dbos(path: Path, workflows: list[tuple[str, str]], steps: list[tuple[Json, ...]]) -> bytes:
    """A database with these workflows (id, status) and steps (workflow, number, name, output, error, child)."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE workflow_status (workflow_uuid TEXT, status TEXT, name TEXT, created_at INTEGER, error TEXT)")
        columns = "workflow_uuid TEXT, function_id INTEGER, function_name TEXT, output TEXT, error TEXT, child_workflow_id TEXT"
        database.execute(f"CREATE TABLE operation_outputs ({columns})")
        error = pickled(ValueError("boom"))
        rows = [(identity, status, "agent", number, error if status == "ERROR" else None) for number, (identity, status) in enumerate(workflows)]
        database.executemany("INSERT INTO workflow_status VALUES (?, ?, ?, ?, ?)", rows)
        database.executemany("INSERT INTO operation_outputs VALUES (?, ?, ?, ?, ?, ?)", steps)
        database.commit()
    return path.read_bytes()


def pickled(value: Json) -> str:
    """A pickle in base64, as DBOS writes it."""
    return base64.b64encode(pickle.dumps(value)).decode()


def moved(source: bytes, folder: Path, postgres: Server, *schemas: str) -> Database:
    """The tables of a SQLite database in these schemas of a new one on a server, with the types DBOS gives them there."""
    database = location(postgres.create())
    path = folder / "moved.sqlite"
    path.write_bytes(source)
    with contextlib.closing(sqlite3.connect(path)) as given, psycopg.connect(database.url, password=PASSWORD) as server:
        tables = [name for (name,) in given.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
        for schema, table in itertools.product(schemas, tables):
            columns = [f'"{name}" {"BIGINT" if kind == "INTEGER" else "TEXT"}' for _, name, kind, *_ in given.execute(f"PRAGMA table_info({table})")]
            quoted = sql.Identifier(schema, table).as_string(server)
            server.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            server.execute(f"CREATE TABLE {quoted} ({', '.join(columns)})")
            for row in given.execute(f"SELECT * FROM {table}"):
                server.execute(f"INSERT INTO {quoted} VALUES ({', '.join(['%s'] * len(row))})", row)
    return database


def test_workflows_are_the_same_from_a_server(tmp_path: Path, postgres: Server):
    """DBOS's tables in PostgreSQL give the runs that those in SQLite give, from every schema that holds them, also beside LangGraph's."""
    steps = [("a", 1, "book", pickled({"ok": 1}), None, None), ("a", 2, "boom", None, pickled(ValueError("boom")), None)]
    content = dbos(tmp_path / "new.db", [("a", "ERROR"), ("c", "PENDING")], steps)
    database = moved(content, tmp_path, postgres, "dbos", 'odd "name')
    with psycopg.connect(database.url, password=PASSWORD, autocommit=True) as server:
        server.execute(collectors()["langgraph-postgres"].examples[0].content)
    (tmp_path / "a.sqlite").write_bytes(content)
    runs = list(collectors()["dbos"].collect(Source(tmp_path / "a.sqlite")))
    assert list(collectors()["dbos-postgres"].collect(database)) == runs * 2
    assert [one.name for one in accepting(database)] == ["dbos-postgres", "langgraph-postgres"]


def test_values_that_are_too_long_are_not_fetched(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch):
    """Of a value beyond the limit comes as much as shows that it is too long, and that is counted; a table of something else is no DBOS."""
    monkeypatch.setattr("collectors.dbos_postgres.MAX_VALUE_CHARACTERS", 100)
    monkeypatch.setattr("workbench.reading.dbos.MAX_VALUE_CHARACTERS", 100)
    database = moved(dbos(tmp_path / "new.db", [("a", "SUCCESS")], [("a", 1, "book", "x" * 500, None, None)]), tmp_path, postgres, "dbos")
    run, skip = collectors()["dbos-postgres"].collect(database)
    assert (run.steps[0].result, skip.reason) == (None, "values not decoded: more than 100 characters")
    other = location(postgres.create("CREATE TABLE operation_outputs (x TEXT)"))
    assert list(accepting(other)) == []
    with pytest.raises(SourceError, match="no DBOS system database: public: its table workflow_status has no name, status, workflow_uuid"):
        list(collectors()["dbos-postgres"].collect(other))


def test_the_steps_of_a_workflow_go_by_their_number(tmp_path: Path):
    """Rows are written as steps end; they are told as steps were begun. A parent doesn't tell its child's error again."""
    steps = [
        ("a", 2, "DBOS.sleep", "1", None, None),
        ("a", 1, "book", pickled({"ok": 1}), None, None),
        ("a", 3, "DBOS.getResult", None, pickled(ValueError("boom")), "b"),
    ]
    content = dbos(tmp_path / "new.db", [("a", "ERROR"), ("b", "ERROR"), ("c", "PENDING")], [*steps, ("b", 1, "bad", None, pickled(ValueError("boom")), None)])
    runs, skips = read(tmp_path, content, "dbos", "dbos.sqlite")
    assert skips == []
    assert [step.name for step in runs[0].steps] == ["book", "timer", "DBOS.getResult"]
    assert runs[0].steps[0].result == {"ok": 1}
    assert [(run.run_id, run.status, told(run, "errors")) for run in runs] == [
        ("a", "error", []),
        ("b", "error", [{"where": "bad", "message": "ValueError: boom", "recovered": False}]),
        ("c", "running", []),
    ]


class Marker:
    """An object whose pickle calls what writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Json, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_is_read_and_never_run(tmp_path: Path):
    """A hostile pickle becomes a description of what it would have called; it calls nothing, in every protocol."""
    trap = tmp_path / "called"
    for protocol in range(6):
        content = pickle.dumps({"booked": [1, 2.5, None, True, "é"], "trap": Marker(trap)}, protocol)
        found = plain_data(content)
        assert found["booked"] == [1, 2.5, None, True, "é"]
        assert "touch" in json.dumps(found["trap"]) or "getattr" in json.dumps(found["trap"])
        assert not trap.exists()
    pickle.loads(content)
    assert trap.exists()


def test_a_small_pickle_that_stands_for_a_huge_value_is_refused():
    """Shared parts are counted each time they would be written out: a bomb is an error, and so is what refers to itself."""
    bomb: list[Json] = []
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(PickleError, match="more than 200,000 values"):
        plain_data(pickle.dumps(bomb))
    loop: list[Json] = []
    loop.append(loop)
    with pytest.raises(PickleError, match="more than 100 levels deep"):
        plain_data(pickle.dumps(loop))


@settings(derandomize=True, max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_data_or_a_pickle_error(content: bytes):
    """Whatever the bytes, reading them as a pickle gives JSON or PickleError."""
    with contextlib.suppress(PickleError):
        json.dumps(plain_data(b"\x80\x04" + content))


@settings(derandomize=True, max_examples=100)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))
def test_plain_values_survive_their_pickle(value: Json):
    """JSON values come out of their pickle as they went in."""
    assert plain_data(pickle.dumps(value)) == json.loads(json.dumps(value).encode("utf-8", "replace"))


# ---- Restate, Inngest, Azure, GCP


def test_tables_in_files_of_their_own_are_read_together(tmp_path: Path):
    """Whichever of the three files is read, its siblings complete the run; ingesting all of them makes one run."""
    (example,) = (one for one in collectors()["restate"].examples if one.name == "tables.json")
    for table, rows in json.loads(example.content).items():
        (tmp_path / f"{table}.json").write_text(json.dumps(rows))
    with Store.open(tmp_path / "store.db") as store:
        ingest(store, [tmp_path / f"{table}.json" for table in ("sys_journal_events", "sys_journal", "sys_invocation")])
        (run,) = store.runs()
    assert told(run, "status", "retries", "approvals") == [
        "ok",
        [{"tool": "book", "attempts": 2, "reasons": ["try later"]}],
        [{"tool": "approval", "decision": {"approved": True}}],
    ]


def test_a_handler_that_failed_outside_of_any_command_is_retried_itself(tmp_path: Path):
    """A transient error that names no command counts for the handler; a terminal failure is told once."""
    error = {"ty": "TransientError", "error_code": 500, "error_message": "oops"}
    tables = {
        "sys_invocation": [
            {"id": "inv_1", "target": "Agent/run", "target_service_name": "Agent", "status": "completed", "completion_result": "failure"}
            | {"completion_failure": "[500] no seats", "completion_failure_code": 500}
        ],
        "sys_journal_events": [{"id": "inv_1", "after_journal_entry_index": 0, "event_type": "TransientError", "event_json": json.dumps(error)}] * 2,
    }
    run = only(tmp_path, tables, "restate")
    assert told(run, "status", "retries", "errors") == [
        "error",
        [{"tool": "Agent/run", "attempts": 3, "reasons": ["oops"]}],
        [{"where": "Agent/run", "message": "[500] no seats", "recovered": False}],
    ]


def test_an_awakeable_is_a_person_and_the_engines_signal_is_none(tmp_path: Path):
    """A signal with an index of its own answers an awakeable; the one that cancels is a note."""

    def signal(index: int, number: int, value: Json) -> dict[str, Json]:
        body = {"Notification": {"Signal": {"id": {"Index": number}, "result": {"Success": list(json.dumps(value).encode())}}}}
        return {"id": "inv_1", "index": index, "entry_type": "Notification: Signal", "entry_json": json.dumps(body)}

    run = only(tmp_path, [signal(1, 17, {"approved": True}), signal(2, 1, None)], "restate")
    assert told(run, "approvals") == [{"tool": "awakeable", "decision": {"approved": True}}]
    assert len(run.notes) == 1


def test_a_journal_of_restate_1_7_names_what_it_called(tmp_path: Path):
    """Rows as a server of version 1.7 gives them: what was called stands in the request alone, and an error in an event that names its command."""

    def row(index: int, sort: str, kind: str, body: Json, name: str | None = "") -> dict[str, Json]:
        inner = {"Completion": {kind: body}} if sort == "Notification" else {kind: body}
        return {"id": "inv_1", "index": index, "entry_type": f"{sort}: {kind}", "name": name, "version": 2, "entry_json": json.dumps({sort: inner})}

    def success(number: int, value: Json) -> dict[str, Json]:
        return {"completion_id": number, "result": {"Success": list(json.dumps(value).encode())}}

    target = {"VirtualObject": {"name": "Tools", "key": "k", "handler": "getWeather", "scope": None}}
    request = {"invocation_id": "inv_2", "invocation_target": target, "parameter": list(b'"Paris"')}
    error = {"ty": "TransientError", "error_message": "warehouse unreachable", "related_command_index": 2, "related_command_name": "ship_order"}
    tables = {
        "sys_journal": [
            row(0, "Command", "Input", {"payload": list(b"{}"), "name": ""}),
            row(1, "Command", "Call", {"request": request, "invocation_id_completion_id": 1, "result_completion_id": 2, "name": ""}),
            row(2, "Notification", "CallInvocationId", {"completion_id": 1, "invocation_id": "inv_2"}, None),
            row(3, "Notification", "Call", success(2, "sunny"), None),
            row(4, "Command", "Run", {"completion_id": 3, "name": "ship_order"}, "ship_order"),
            row(5, "Notification", "Run", success(3, "shipped"), None),
        ],
        "sys_journal_events": [{"id": "inv_1", "after_journal_entry_index": 4, "event_type": "TransientError", "event_json": json.dumps(error)}],
    }
    run = only(tmp_path, tables, "restate")
    assert [(step.name, step.result) for step in run.steps] == [("Tools/k/getWeather", "sunny"), ("ship_order", "shipped")]
    assert told(run, "retries") == [{"tool": "ship_order", "attempts": 2, "reasons": ["warehouse unreachable"]}]


def test_the_attempts_of_an_inngest_step_are_one_step(tmp_path: Path):
    """A step that failed three times failed once, with its attempts; the function's failure is that of the step."""

    def item(number: int, kind: str, group: str, attempt: int = 0, step: str | None = "step") -> dict[str, Json]:
        return {"id": str(number), "createdAt": f"{HOUR}:{number:02}Z", "groupID": group, "type": kind, "attempt": attempt, "stepName": step}

    items = [
        item(1, "FunctionStarted", "a", step=None),
        item(2, "StepStarted", "a"),
        item(3, "StepCompleted", "a", step="First"),
        *(item(4 + 2 * n, "StepStarted", "b", n) for n in range(3)),
        *(item(5 + 2 * n, "StepErrored" if n < 2 else "StepFailed", "b", n) for n in range(3)),
        item(12, "FunctionFailed", "b", 2, None),
    ]
    run = only(tmp_path, sorted(items, key=lambda one: int(one["id"])), "inngest")
    assert told(run, "status", "retries", "errors") == [
        "error",
        [{"tool": "step", "attempts": 3}],
        [{"where": "step", "message": "failed", "recovered": False}],
    ]


def test_an_inngest_trace_joins_the_spans_of_a_step(tmp_path: Path):
    """The span around a step's attempts and those of each attempt are one step; spans without a step are the engine's own."""

    def span(name: str, status: str, attempts: int, step: str | None, op: str | None, info: Json = None) -> dict[str, Json]:
        times = {"startedAt": f"{HOUR}:0{attempts}Z", "endedAt": f"{HOUR}:1{attempts}.36Z"}
        return {"name": name, "status": status, "attempts": attempts, "stepID": step, "stepOp": op, "stepInfo": info, "childrenSpans": [], **times}

    reference = base64.b64encode(b'{"rid": "01RUN"}').decode()
    children = [
        span("book", "COMPLETED", 1, "s", "RUN"),
        span("book", "FAILED", 0, "s", "RUN"),
        span("book", "COMPLETED", 1, "s", "RUN"),
        span("approved", "COMPLETED", 0, "w", "WAIT_FOR_EVENT", {"eventName": "booking/approved", "timedOut": True}),
        span("Finalization", "COMPLETED", 0, None, None),
    ]
    trace = {"name": "Run", "isUserland": False, "status": "COMPLETED", "outputID": reference, "childrenSpans": children}
    run = only(tmp_path, {"run": {"status": "COMPLETED", "trace": trace}}, "inngest")
    assert (run.run_id, run.conversation_id) == ("01RUN", None)
    assert told(run, "retries", "errors", "approvals") == [
        [{"tool": "book", "attempts": 2}],
        [],
        [{"tool": "booking/approved", "decision": None}],
    ]


def test_rows_of_one_dynamic_span_are_one_span(tmp_path: Path):
    """Later rows extend a span; output that holds an error is the failure of its step."""
    row = {"run_id": "01R", "trace_id": "t", "start_time": f"{HOUR}:00Z"}
    step = {"_inngest.step.id": "1", "_inngest.step.name": "pay", "_inngest.step.op": "StepRun", "_inngest.step.attempt": "1"}
    rows = [
        row | {"name": "executor.run", "dynamic_span_id": "r", "attributes": {"_inngest.run.id": "01R", "_inngest.function.slug": "app-book"}},
        row | {"name": "executor.step", "dynamic_span_id": "s", "attributes": json.dumps(step)},
        row
        | {
            "name": "EXTEND",
            "dynamic_span_id": "s",
            "attributes": {"_inngest.dynamic.status": "Failed"},
            "output": '{"error": {"name": "E", "message": "no"}}',
        },
        row | {"name": "EXTEND", "dynamic_span_id": "r", "attributes": {"_inngest.dynamic.status": "Failed", "_inngest.ended_at": "1772355609000"}},
    ]
    run = only(tmp_path, rows, "inngest")
    assert (run.run_id, run.root_name, run.status, run.ended_ns) == ("01R", "app-book", "error", 1_772_355_609_000_000_000)
    assert told(run, "errors", "retries") == [[{"where": "pay", "message": "E: no", "recovered": False}], [{"tool": "pay", "attempts": 2}]]


def durable(number: int, **event: Json) -> dict[str, Json]:
    """A protobuf event, stamped 1970 as most are."""
    return {"eventId": number, "timestamp": "1970-01-01T00:00:00Z", **event}


def test_a_reused_event_id_is_a_retry_and_1970_is_no_time(tmp_path: Path):
    """The second TaskScheduled with an id is the second attempt; an activity that failed for good and was caught is recovered."""
    failure = {"errorType": "ValueError", "errorMessage": "busy"}
    events = [
        {"eventId": -1, "timestamp": f"{HOUR}:00Z", "orchestratorStarted": {}},
        durable(-1, executionStarted={"name": "book", "orchestrationInstance": {"instanceId": "i-1"}}),
        durable(1, taskScheduled={"name": "flaky"}),
        durable(-1, taskFailed={"taskScheduledId": 1, "failureDetails": failure}),
        durable(2, timerCreated={"fireAt": f"{HOUR}:01Z"}),
        durable(-1, timerFired={"timerId": 2}),
        durable(1, taskScheduled={"name": "flaky"}),
        durable(-1, taskCompleted={"taskScheduledId": 1, "result": '"ok"'}),
        durable(3, taskScheduled={"name": "bad", "input": {"value": '{"n": 1}'}}),
        durable(-1, taskFailed={"taskScheduledId": 3, "failureDetails": failure}),
        durable(-1, eventRaised={"name": "approval", "input": '{"approved": true}'}),
        durable(4, executionCompleted={"orchestrationStatus": "ORCHESTRATION_STATUS_COMPLETED", "result": '"done"'}),
    ]
    runs, skips = read(tmp_path, {"retry": events, "again": events}, "azure-durable")
    assert skips == []
    assert [(run.run_id, run.conversation_id) for run in runs] == [("i-1", "retry"), ("i-1/again", "again")]
    run = runs[0]
    assert run.started_ns == run.ended_ns == 1_772_355_600_000_000_000
    assert {step.started_ns for step in run.steps} == {None}
    assert told(run, "errors", "retries", "approvals") == [
        [{"where": "bad", "message": "ValueError: busy", "recovered": True}],
        [{"tool": "flaky", "attempts": 2}],
        [{"tool": "approval", "decision": {"approved": True}}],
    ]
    assert run.steps[2].tool_call is not None
    assert run.steps[2].tool_call.arguments == {"n": 1}


def test_a_status_query_with_its_history_is_read(tmp_path: Path):
    """The HTTP interface tells only ends, with names and no ids: failures, retries and the run's own status are read all the same."""
    shown = {
        "name": "Booking",
        "instanceId": "i-9",
        "runtimeStatus": "Failed",
        "output": "Orchestrator function 'Booking' failed: declined",
        "historyEvents": [
            {"EventType": "ExecutionStarted", "FunctionName": "Booking", "Timestamp": f"{HOUR}:00Z"},
            {"EventType": "TaskFailed", "FunctionName": "Pay", "Reason": "declined", "ScheduledTime": f"{HOUR}:01Z", "Timestamp": f"{HOUR}:02Z"},
            {"EventType": "TimerFired", "FireAt": f"{HOUR}:03Z", "Timestamp": f"{HOUR}:03Z"},
            {"EventType": "TaskFailed", "FunctionName": "Pay", "Reason": "declined", "ScheduledTime": f"{HOUR}:03Z", "Timestamp": f"{HOUR}:04Z"},
            {"EventType": "ExecutionCompleted", "OrchestrationStatus": "Failed", "Result": "declined", "Timestamp": f"{HOUR}:05Z"},
        ],
    }
    run = only(tmp_path, shown, "azure-durable")
    assert (run.run_id, run.root_name, run.steps[0].started_ns) == ("i-9", "Booking", 1_772_355_601_000_000_000)
    assert told(run, "status", "errors", "retries") == [
        "error",
        [{"where": "Pay", "message": "declined", "recovered": False}],
        [{"tool": "Pay", "attempts": 2}],
    ]


def test_a_history_table_is_told_by_instance(tmp_path: Path):
    """Rows of several orchestrations that stand mixed in one table are one run each, under the instance's id; one that continued as new has several."""

    def row(instance: str, execution: str, number: int, kind: str, **given: Json) -> dict[str, Json]:
        event = {"EventType": kind, "EventId": number, "_Timestamp": f"{HOUR}:{number:02}Z", "Timestamp": f"{HOUR}:59Z", **given}
        return {"PartitionKey": instance, "RowKey": f"{number:016X}", "ExecutionId": execution, **event}

    def whole(instance: str, execution: str, result: str) -> list[dict[str, Json]]:
        scheduled = row(instance, execution, 1, "TaskScheduled", Name="Charge")
        done = row(instance, execution, 2, "TaskCompleted", TaskScheduledId=1, Result='"paid"')
        return [
            row(instance, execution, 0, "ExecutionStarted", Name="Refund"),
            scheduled,
            done,
            row(instance, execution, 3, "ExecutionCompleted", Result=result),
        ]

    rows = [one for pair in zip(whole("a", "e1", '"first"'), whole("b", "e2", '{"n": 2}'), strict=True) for one in pair] + whole("a", "e3", '"again"')
    rows.insert(0, {"PartitionKey": "a", "RowKey": "sentinel", "ExecutionId": "e3", "IsCheckpointComplete": True})
    lines = b"\n".join(json.dumps(one).encode() for one in rows)
    told = [("again", "a", 1, 1), ("first", "a", 1, 1), ('{"n":2}', "b", 1, 1)]
    for runs, skips in (read(tmp_path, lines, "azure-durable", "table.jsonl"), read(tmp_path, {"value": rows[::-1]}, "azure-durable")):
        assert skips == []
        assert sorted((run.outcome, run.conversation_id, len(run.steps), run.steps[0].attempts) for run in runs) == told
        assert len({run.run_id for run in runs}) == len(told)
        assert {run.run_id for run in runs} > {"a", "b"}
        assert {run.started_ns for run in runs} == {1_772_355_600_000_000_000}


def test_the_result_that_an_engine_recorded_is_the_outcome(tmp_path: Path):
    """It is told as it was recorded, also where a model had the last word before; it is found by searching, and a failed run is told by its failure."""
    path = tmp_path / "history.json"
    path.write_bytes(next(one.content for one in collectors()["temporal"].examples if one.name == "history.json"))
    with Store.open(tmp_path / "w.db") as store:
        ingest(store, [path])
        (run,) = store.runs()
        assert (run.outcome, run.result, of_run(run)["result"]) == ("done", "done", "done")
        assert [(hit.run_id, hit.step) for hit in store.search("done")] == [(run.run_id, run.steps[-1].index)]
    words = Operation("ask", "model", output=Message(role="assistant", content="The model's words"))
    history = History("an engine", "here", run_id="r", operations=[words])
    history.end(1, "ok")
    assert history.run().outcome == "The model's words"
    history.end(1, "ok", result={"booked": [1]})
    assert history.run().outcome == '{"booked":[1]}'
    history.end(1, "error", result="half", failure=Failure("declined"))
    assert history.run().outcome == "error: declined"


def test_one_page_of_a_history_is_said_to_be_one(tmp_path: Path):
    """A history whose answer names a next page is read as far as it goes, and what is missing is a skip."""
    page = json.loads(next(one.content for one in collectors()["step-functions"].examples if one.content.startswith(b"{")))
    runs, skips = read(tmp_path, page | {"nextToken": "AAA"}, "step-functions")
    assert len(runs) == 1
    assert [skip.reason.partition(":")[0] for skip in skips] == ["one page of several"]
    assert read(tmp_path, page | {"nextToken": None}, "step-functions")[1] == []


def test_a_try_block_that_caught_its_step_is_recovered(tmp_path: Path):
    """A step that failed in a try whose except went on is a recovered error, told once although its block failed too."""

    def entry(number: int, step: str, kind: str, state: str = "SUCCEEDED", parents: tuple[str, ...] = ()) -> dict[str, Json]:
        name = f"projects/p/locations/l/workflows/booking/executions/x1/stepEntries/{number}"
        wrong = {"exception": {"payload": '{"message": "declined", "tags": ["HttpError"]}'}} if state == "FAILED" else {}
        return {"name": name, "step": step, "stepType": kind, "state": f"STATE_{state}", "navigationInfo": {"parents": list(parents)}, **wrong}

    entries = [
        entry(1, "safely", "STEP_TRY_RETRY_EXCEPT"),
        entry(2, "try", "STEP_TRY", "FAILED", ("1",)),
        entry(3, "pay", "STEP_CALL", "FAILED", ("1", "2")),
        entry(4, "except", "STEP_EXCEPT", parents=("1",)),
        entry(5, "end", "STEP_RETURN"),
    ]
    run = only(tmp_path, {"stepEntries": entries[::-1]}, "gcp-workflows")
    assert (run.run_id, run.root_name) == ("x1", "booking")
    assert told(run, "status", "errors") == ["ok", [{"where": "pay", "message": "HttpError: declined", "recovered": True}]]


# ---- what they share


@pytest.mark.parametrize("engine", ["azure-durable", "gcp-workflows", "inngest", "lambda-durable", "restate", "step-functions", "temporal"])
def test_an_event_a_line_is_one_history(engine: str, tmp_path: Path):
    """The first list of events among an engine's examples gives the same steps when each event stands on a line of its own."""
    (example, *_) = (
        one for one in collectors()[engine].examples if (one.content.lstrip().startswith(b"[") and "Skip" not in one.yields) or one.name == "sys_journal.json"
    )
    held = json.loads(example.content)
    rows = held["rows"] if isinstance(held, dict) else held
    (whole, *_), _ = read(tmp_path, held, engine)
    (lined,), skips = read(tmp_path, "\n".join(json.dumps(row) for row in rows).encode(), engine, "lines.jsonl")
    assert skips == []
    assert lined.steps == whole.steps


def test_a_history_that_goes_on_is_the_same_run(tmp_path: Path):
    """A history exported again under its name, longer now, is the same run with more steps."""
    events = [states(1, "ExecutionStarted", input="{}"), states(2, "TaskStateEntered", name="Pay"), states(3, "TaskStateExited", name="Pay")]
    with Store.open(tmp_path / "store.db") as store:
        for length in (2, 3):
            (tmp_path / "history.json").write_text(json.dumps({"events": events[:length]}))
            ingest(store, [tmp_path / "history.json"])
        (run,) = store.runs()
    assert [step.status for step in run.steps] == ["ok"]


def test_a_cycle_of_parents_in_a_history_ends(tmp_path: Path):
    """Operations that name each other as parents are told, each in what began before it."""
    event = {"EventTimestamp": f"{HOUR}:00Z", "EventType": "ContextStarted"}
    run = only(tmp_path, [event | {"Id": "a", "ParentId": "b"}, event | {"Id": "b", "ParentId": "a"}], "lambda-durable")
    assert [step.depth for step in run.steps] == [0, 1]


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("2026-03-01T09:00:00.123456789Z", 1_772_355_600_123_456_789),
        ("2026-03-01T09:00:00.5-04:00", 1_772_370_000_500_000_000),
        ({"seconds": "1772355600", "nanos": 5}, 1_772_355_600_000_000_005),
        ("1772355600000", 1_772_355_600_000_000_000),
        ("1970-01-01T00:00:00Z", None),
        ("soon", None),
        (None, None),
    ],
)
def test_times_of_every_spelling_are_moments(value: Json, nanoseconds: int | None):
    """Times keep their nanoseconds; 1970 and what is no time are not recorded."""
    assert moment(value) == nanoseconds


def test_a_decision_is_told_from_a_message():
    """Yes, no and objects that decide are no words; a sentence and an object with a message are."""
    assert [words_of(value) for value in ("yes", "Approved", {"approved": True, "message": "fine"}, True, None)] == [None] * 5
    assert [words_of(value) for value in ("Book me a flight", {"user_input": "Hi", "n": 0})] == ["Book me a flight", "Hi"]


@pytest.mark.parametrize(
    ("answered", "content", "calls"),
    [
        ({"choices": [{"message": {"role": "assistant", "content": "Hi"}}], "usage": {"prompt_tokens": 3}}, "Hi", ()),
        ({"output": {"message": {"role": "assistant", "content": [{"toolUse": {"name": "t", "input": {}}}]}}, "stopReason": "tool_use"}, "", ("t",)),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}, {"functionCall": {"name": "t", "args": {}}}]}}]}, "Hi", ("t",)),
        ({"kind": "response", "parts": [{"part_kind": "text", "content": "Hi"}, {"part_kind": "tool-call", "tool_name": "t", "args": "{}"}]}, "Hi", ("t",)),
        ({"content": [{"type": "text", "text": "Hi"}, {"type": "tool-call", "toolName": "t", "input": "{}"}], "finishReason": "stop"}, "Hi", ("t",)),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "t", "input": {}}], "stop_reason": "tool_use"}, "", ("t",)),
    ],
)
def test_answers_of_every_provider_are_model_calls(answered: Json, content: str, calls: tuple[str, ...]):
    """The shape of an answer says that a model gave it, whichever provider's it is."""
    found = exchange_of({"messages": [{"role": "user", "content": "Hello"}]}, answered)
    assert found is not None
    assert (found.output.content, tuple(call.name for call in found.output.tool_calls)) == (content, calls)


@pytest.mark.parametrize(
    "answered", [None, "text", {"output": [1]}, {"output": [{"a": 1}]}, {"tool": "t", "usage": {"input_tokens": 4}}, {"role": "assistant", "content": "Hi"}]
)
def test_other_results_are_no_model_calls(answered: Json):
    """A result that merely looks a little like an answer stays what it is."""
    assert exchange_of({"messages": []}, answered) is None


def test_a_failure_that_no_operation_explains_is_told_at_the_run():
    """Where the run's failure is none of its operations', each of those is recovered and the run tells its own."""
    history = History("Engine", "here", "r", "flow", status="error", failure=Failure("out of memory"))
    history.add(Operation("pay", status="error", failure=Failure("declined")))
    assert told(history.run(), "errors") == [
        {"where": "pay", "message": "declined", "recovered": True},
        {"where": "flow", "message": "out of memory", "recovered": False},
    ]


# ---- real histories


def corpus(name: str) -> Path:
    """A folder of the corpus beside the repository; the test is skipped, visibly, where it isn't there."""
    folder = SHARED / name / "raw"
    if not folder.is_dir():
        pytest.skip(f"no {name} beside the repository")
    return folder


def test_a_real_agent_on_temporal_is_read():
    """A customer service agent with handoffs and tools inside its workflow: every model call, every person's word, every tool."""
    path = corpus("temporal-openai-agents") / "customer-service-workflow-history.json"
    (run,) = (one for one in collectors()["temporal"].collect(Source(path)) if isinstance(one, Run))
    assert [step.output.content for step in run.of_kind("human") if step.output] == ["Hello", "Book me a flight to PDX", "11111", "Any window seat"]
    assert [(call["name"], call["status"]) for call in told(run, "tool_calls")] == [("transfer_to_seat_booking_agent", "handoff"), ("update_seat", "ok")]
    assert told(run, "status", "model_calls") == ["cancelled", 6]


def test_real_lambda_histories_are_read():
    """Waits, map items, parallel branches and steps are all there; six attempts are one step."""
    folder = corpus("aws-lambda-durable")
    (run,) = (one for one in collectors()["lambda-durable"].collect(Source(folder / "comprehensive-operations.history.json")) if isinstance(one, Run))
    kinds = [note for step in run.steps for note in step.notes]
    assert (kinds.count("MapIteration"), kinds.count("ParallelBranch"), kinds.count("timer"), sum(step.attempts == 1 for step in run.steps)) == (5, 3, 1, 9)
    (failed,) = (one for one in collectors()["lambda-durable"].collect(Source(folder / "steps-with-retry.history.json")) if isinstance(one, Run))
    status, (retry,) = told(failed, "status", "retries")
    assert (status, retry["attempts"], len(retry["reasons"])) == ("error", 6, 5)
    assert retry["reasons"][3] == "Error: Random failure"


def test_a_real_dbos_database_is_read():
    """All fifteen steps of four workflows are there in their order, and both approvals with their answers."""
    runs = [one for one in collectors()["dbos"].collect(Source(corpus("dbos-sqlite") / "dbos.sqlite")) if isinstance(one, Run)]
    assert sum(len(run.steps) for run in runs) == 15
    assert [step.name for step in runs[0].steps] == ["call_model", "get_weather", "DBOS.setEvent", "approval", "timer", "timer", "call_model"]
    assert [approval["decision"]["by"] for run in runs for approval in told(run, "approvals")] == ["dana", "lee"]


def test_a_real_dbos_database_reads_the_same_from_a_server(tmp_path: Path, postgres: Server):
    """What DBOS itself wrote gives the same runs when it lies in PostgreSQL."""
    path = corpus("dbos-sqlite") / "dbos.sqlite"
    there = [one for one in collectors()["dbos-postgres"].collect(moved(path.read_bytes(), tmp_path, postgres, "dbos")) if isinstance(one, Run)]
    here = [one for one in collectors()["dbos"].collect(Source(path)) if isinstance(one, Run)]
    assert sorted(there, key=lambda run: run.run_id) == sorted(here, key=lambda run: run.run_id)
