"""Approvals that stand in a conversation itself, as parts of its messages: a call that waits for a person's word, and the word.

The AI SDK's `tool-approval-request` and `-response`, OpenAI's `mcp_approval_request` and `_response`, Agent Framework's `function_approval_request`
and `_response`, and ADK's call of `adk_request_confirmation` with its answer.
"""

from __future__ import annotations

from workbench.model import Approval, Json
from workbench.reading.documents import parse_json

Fields = dict[str, Json]

REQUESTS = frozenset({"tool-approval-request", "mcp_approval_request", "function_approval_request"})
ANSWERS = frozenset({"tool-approval-response", "mcp_approval_response", "function_approval_response"})
PARTS = REQUESTS | ANSWERS
CONFIRMATION = "adk_request_confirmation"
CALLS = frozenset({"tool_call", "function_call"})
ORIGINAL = ("originalFunctionCall", "original_function_call")
IDS = ("approvalId", "approval_request_id", "approval_id", "id")
VERDICTS = ("approved", "approve", "confirmed")


def type_of(block: Json) -> str:
    """What a block says it is (LlamaIndex's by `block_type`), empty where it doesn't; whatever stands there, it comes as text."""
    return str(block.get("type") or block.get("block_type") or "") if isinstance(block, dict) else ""


def is_approval(block: Json) -> bool:
    """Whether a block of a message is a question to a person or the answer, and so no call and no text."""
    return isinstance(block, dict) and (type_of(block) in PARTS or block.get("name") == CONFIRMATION)


def approval_of(block: Json) -> Approval | None:
    """What a block asks or answers; None for any other block, and for an answer that doesn't say which question."""
    if not isinstance(block, dict) or not is_approval(block):
        return None
    identity = next((str(block[key]) for key in IDS if block.get(key)), None)
    if identity is None:
        return None
    if block.get("name") == CONFIRMATION:
        return _confirmation(identity, block)
    call = block.get("function_call") or block.get("toolCall") or block
    call_id = block.get("toolCallId") or (call.get("call_id") if isinstance(call, dict) else None)
    known = _call(call if isinstance(call, dict) else {}) | {"call_id": None if call_id is None else str(call_id)}
    return Approval(approval_id=identity, approved=_verdict(block) if type_of(block) in ANSWERS else None, reason=_reason(block), **known)


def _confirmation(identity: str, block: Fields) -> Approval:
    """ADK asks by a call of a tool of its own, whose argument is the call that waits, and is answered by that tool's response."""
    if type_of(block) in CALLS:
        given = _object(block.get("args", block.get("arguments")))
        original: Fields = next((given[key] for key in ORIGINAL if isinstance(given.get(key), dict)), {})
        call_id = original.get("id")
        return Approval(approval_id=identity, **_call(original), call_id=None if call_id is None else str(call_id))
    answer = _object(block.get("response", block.get("result")))
    answer = _object(answer.get("response")) or answer
    return Approval(approval_id=identity, approved=_verdict(answer), reason=_reason(answer))


def _call(call: Fields) -> Fields:
    name = call.get("name") or call.get("toolName")
    given = next((call[key] for key in ("arguments", "args", "input") if call.get(key) is not None), None)
    return {"tool": name if isinstance(name, str) and name != CONFIRMATION else None, "arguments": _object(given) or None}


def _verdict(fields: Fields) -> bool | None:
    found = next((fields[key] for key in VERDICTS if key in fields), None)
    return found if isinstance(found, bool) else None


def _reason(fields: Fields) -> str | None:
    return fields["reason"] if isinstance(fields.get("reason"), str) and fields["reason"] else None


def _object(value: Json) -> Fields:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parse_json(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
