"""Agent runs as OTLP protobuf, length-prefixed as the OpenTelemetry Collector writes them; made by a seed, so that two runs read the same.

Where the shared generator lies beside the repository it is used, since its figures can be compared with others'; else a small one here.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "checks" / "generate_spans.py"
WORDS = ("flight", "hotel", "search", "result", "price", "city", "date", "order", "error", "retry", "plan", "tool", "answer", "page", "table", "total")
HISTORY = 12
CALLS_A_RUN = 12
START_NS = 1_780_000_000_000_000_000


def write_spans(folder: Path, count: int, seed: int = 7) -> Path:
    """A file of about so many spans."""
    if SHARED.exists():
        command = [sys.executable, SHARED, "--spans", str(count), "--seed", str(seed), "--history", str(HISTORY), "--formats", "pb", "--out", folder / "spans"]
        subprocess.run(command, check=True, capture_output=True)
        return folder / "spans.pb"
    print(f"no {SHARED}: measuring with a small generator of our own, whose figures compare with nobody's")
    path, rng = folder / "spans.pb", random.Random(seed)
    with path.open("wb") as stream:
        for number in range(count // (2 * CALLS_A_RUN)):
            message = _run(number, rng).SerializeToString()
            stream.write(len(message).to_bytes(4, "big") + message)
    return path


def _run(number: int, rng: random.Random) -> ExportTraceServiceRequest:
    """One run: a model call that repeats the last messages, then a tool call, again and again."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    messages = [{"role": "user", "parts": [{"type": "text", "content": _text(rng)}]}]
    for turn in range(CALLS_A_RUN):
        answer = {"role": "assistant", "parts": [{"type": "text", "content": _text(rng)}]}
        asked, said = (json.dumps(part, separators=(",", ":")) for part in (messages[-HISTORY:], [answer]))
        chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small", "gen_ai.input.messages": asked, "gen_ai.output.messages": said}
        found = _text(rng)
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.result": found}
        for offset, attributes in enumerate((chat, tool)):
            index = number * 2 * CALLS_A_RUN + 2 * turn + offset
            span = scope.spans.add(trace_id=(number + 1).to_bytes(16, "big"), span_id=(index + 1).to_bytes(8, "big"), name="call")
            span.start_time_unix_nano = START_NS + index * 1_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 900_000
            for key, value in {**attributes, "gen_ai.conversation.id": f"thread-{number}"}.items():
                span.attributes.add(key=key).value.string_value = value
        messages += [answer, {"role": "tool", "parts": [{"type": "tool_call_response", "content": found}]}]
    return request


def _text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(60, 400)))
