"""Deriving runs anew: what a better convention makes of spans that were stored under a worse one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench import collection, semconv
from workbench.analysis.effects import effects_of, overwrites
from workbench.project import ProjectError
from workbench.store import Store

OLD = """
rank = 1
prefixes = ["gen_ai."]
[[kind]]
source = "gen_ai.operation.name"
values = { chat = "model" }
[model]
model = ["gen_ai.request.model"]
"""


def exported(trace: str, conversation: str) -> dict[str, object]:
    """One OTLP line: a chat call with a model, a conversation and tokens."""
    values = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.conversation.id": conversation}
    attributes: list[dict[str, object]] = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    attributes.append({"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}})
    span = {"traceId": trace * 32, "spanId": trace * 16, "name": "chat m-1", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": attributes}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def forget_shapes() -> None:
    """Have conventions looked up anew: a process knows only one set of them, and remembers which a span's shape speaks."""
    semconv._shape.cache_clear()


@pytest.fixture
def old_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store filled when only the model's name was understood: two traces, so two runs."""
    file = tmp_path / "spans.jsonl"
    file.write_text("".join(json.dumps(exported(trace, "c-1")) + "\n" for trace in "ab"), "utf-8")
    with Store.open(tmp_path / "workbench.db") as store:
        with monkeypatch.context() as patch:
            patch.setattr(semconv, "_by_heads", lambda: ((semconv.parse_convention("old.toml", OLD), frozenset({"gen_ai"})),))
            forget_shapes()
            collection.ingest(store, [file])
        forget_shapes()
        yield store


def test_a_better_convention_joins_and_completes_what_was_stored(old_store: Store):
    """Two runs by trace become one run by conversation, with the tokens that were not understood before; the spans are the same."""
    assert sorted(old_store.run_ids()) == ["a" * 32, "b" * 32]
    done = collection.renormalise(old_store)
    assert (done.runs, done.changed, done.retired) == (1, ("c-1",), ("a" * 32, "b" * 32))
    (run,) = old_store.runs()
    assert (run.run_id, run.conversation_id, run.tokens.input, len(list(run.of_kind("model")))) == ("c-1", "c-1", 14, 2)
    assert old_store.verify() == []


def test_what_is_stored_is_not_read_from_its_file_again(old_store: Store, tmp_path: Path):
    """The file may be gone; a second time nothing changes."""
    (tmp_path / "spans.jsonl").unlink()
    assert collection.renormalise(old_store).changed == ("c-1",)
    again = collection.renormalise(old_store)
    assert (again.runs, again.changed, again.retired) == (1, (), ())


def test_what_the_project_declares_of_a_tool_is_on_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A tool is what [tool.workbench.tools] says when its run is derived; a later declaration, or none, takes hold when runs are derived anew."""
    monkeypatch.chdir(tmp_path)
    project, file = tmp_path / "pyproject.toml", tmp_path / "spans.jsonl"
    values = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_paid", "gen_ai.conversation.id": "c-1"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    span = {"traceId": "a" * 32, "spanId": "a" * 16, "name": "execute_tool", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": attributes}
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}), "utf-8")
    project.write_text('[tool.workbench.tools]\nget_paid = "idempotent"\n')
    with Store.open(tmp_path / "workbench.db") as store:
        collection.ingest(store, [file])
        (effect,) = effects_of(next(store.runs()))
        assert (effect.tool, effect.guessed, effect.repeatable, overwrites(effect)) == ("get_paid", False, True, True)
        project.unlink()
        assert collection.renormalise(store).changed == ("c-1",)
        assert effects_of(next(store.runs())) == ()
        project.write_text('[tool.workbench.tools]\nget_paid = "idempotant"\n')
        with pytest.raises(ProjectError, match="declares the tool get_paid as 'idempotant': it should be read-only, idempotent, effect"):
            collection.renormalise(store)
