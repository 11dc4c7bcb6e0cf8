"""A day of the travel agent in production, simulated: `python -m sample_traces.fleet FOLDER [--runs 500] [--seed 1]`.

The scripted model of the recorded incidents answers, the travel API of the recorded incidents acts, and a clock that is only counted passes; nobody
decides which run goes wrong. Two things happen on that day. The payment API is slow twice, so bookings are made and answered too late. And at noon
a new release of the booking form goes out to half of the traffic: it no longer sends a request number, from which the agent made its idempotency key.

`spans.otlp.jsonl` holds the spans of each run, by OpenTelemetry's GenAI conventions, `ledger.jsonl` what the API really did. Same seed, same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from sample_traces.otlp_json import attributes, filled
from sample_traces.script import ASSESS, DESK, PLAN
from sample_traces.scripted_chat import ScriptedChat
from sample_traces.travel_api import Faults, NoAnswerError, World, no_kill
from sample_traces.travel_tools import BOOKING_TIMEOUT_S, DESKS

Json = Any
SECOND_NS = 1_000_000_000
DAY_NS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * SECOND_NS
HOUR_S = 3600
SLOW_HOURS = ((9.0, 10.0), (15.0, 17.0))
RELEASE_HOUR = 12.0
OLD, NEW = "2026.2", "2026.3"
RELEASED, LATE, ROOMS = 0.5, 0.7, 0.9
"""Of the requests since the release, how many meet it; of bookings in slow hours, how many are answered too late; of hotel searches, how many find a room."""
USERS = 120
LONGEST_RUN = 60
MODEL = ScriptedChat()
ROUTE_OF = {
    "search_fare": "GET /fares",
    "check_visa": "GET /visas",
    "book_flight": "POST /bookings",
    "send_itinerary": "POST /itineraries",
    "fetch_receipt": "GET /receipts",
    "check_refund": "GET /refunds",
    "search_hotels": "GET /hotels",
    "check_weather": "GET /weather",
    "list_sights": "GET /sights",
}


@dataclass(frozen=True)
class Case:
    """One request of the day: when it came in, from whom, through which release of the form."""

    run_id: str
    at_s: float
    user: str
    version: str
    request: str

    @property
    def slow(self) -> bool:
        """Whether the payment API is slow at that time."""
        return any(begin <= self.at_s / HOUR_S < end for begin, end in SLOW_HOURS)


class Company(World):
    """The company behind the API, for one run; its ledger is kept in memory."""

    def __init__(self, faults: Faults, *, rooms: bool) -> None:
        super().__init__(Path(), faults, no_kill)
        self.acts: list[dict[str, Json]] = []
        self.rooms = rooms

    def record(self, act: str, **fields: Json) -> None:
        """Note one act."""
        self.acts.append({"act": act, **fields})

    def answer(self, route: str, fields: dict[str, Json]) -> Json:
        """What the API says; a hotel search finds a room where there is one."""
        if route == "GET /hotels" and self.rooms:
            return [{"hotel": "Ryokan Asama", "usd": 110}]
        return super().answer(route, dict(fields))


@dataclass
class Trace:
    """The spans of one run, on a clock that only moves when something takes time."""

    case: Case
    dice: random.Random
    now_ns: int = 0
    spans: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trace_id = hashlib.sha256(self.case.run_id.encode()).hexdigest()[:32]
        self.now_ns = DAY_NS + round(self.case.at_s * SECOND_NS)

    def add(self, name: str, took_s: float, said: dict[str, Json], error: str = "") -> None:
        """A span of a call that takes so long."""
        began, self.now_ns = self.now_ns, self.now_ns + round(took_s * SECOND_NS)
        self.spans.append(self._span(len(self.spans) + 2, name, began, said, error))

    def close(self, answer: str) -> Json:
        """The run as one ExportTraceServiceRequest, the agent's own span first."""
        said = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "travel-agent", "user.id": self.case.user}
        said |= {"gen_ai.input.messages": told([HumanMessage(self.case.request)]), "gen_ai.output.messages": told([AIMessage(answer)])}
        root = self._span(1, "invoke_agent travel-agent", DAY_NS + round(self.case.at_s * SECOND_NS), said)
        resource = {"service.name": "travel-agent", "service.version": self.case.version}
        return {
            "resourceSpans": [{"resource": {"attributes": attributes(resource)}, "scopeSpans": [{"scope": {"name": "fleet"}, "spans": [root, *self.spans]}]}]
        }

    def took(self, typical_s: float) -> float:
        """How long such a call takes this time: most take about as long as is typical, a few much longer."""
        return typical_s * self.dice.lognormvariate(0, 0.4)

    def _span(self, number: int, name: str, began: int, said: dict[str, Json], error: str = "") -> Json:
        shared = {"gen_ai.conversation.id": self.case.run_id}
        return filled(
            {
                "traceId": self.trace_id,
                "spanId": f"{number:016x}",
                "parentSpanId": f"{1:016x}" if number > 1 else "",
                "name": name,
                "kind": 1,
                "startTimeUnixNano": str(began),
                "endTimeUnixNano": str(self.now_ns),
                "attributes": attributes(shared | said),
                "status": filled({"code": 2 if error else 1, "message": error}),
            }
        )


class Agent:
    """The travel agent's graph, walked through by hand: plan, look up fares and visa, think, act."""

    def __init__(self, trace: Trace, company: Company) -> None:
        self.trace, self.company = trace, company

    def run(self) -> str:
        """From the request to the last word."""
        request = HumanMessage(self.trace.case.request)
        plan = json.loads(self.think([SystemMessage(PLAN), request]).text)
        facts = [self.quote(wanted) for wanted in plan.get("quotes", [])]
        if visa := plan.get("visa"):
            facts.append(f"Visa for {visa['country']}: {json.loads(self.act('check_visa', visa, 'visa').text)['visa']}")
        system = SystemMessage("\n".join([DESK.format(desk=plan["desk"]), *facts]))
        messages: list[AnyMessage] = [request]
        for _ in range(LONGEST_RUN):
            thought = self.think([system, *messages], [tool.name for tool in DESKS.get(plan["desk"], [])])
            messages.append(thought)
            if not thought.tool_calls:
                return thought.text
            messages += [self.act(call["name"], call["args"], str(call["id"])) for call in thought.tool_calls]
        return messages[-1].text

    def quote(self, wanted: dict[str, Json]) -> str:
        """An airline's fare in one line."""
        fare = self.act("search_fare", wanted, f"fare-{wanted['airline']}").text
        return self.think([SystemMessage(ASSESS), HumanMessage(fare)]).text

    def think(self, messages: list[AnyMessage], offered: list[str] | None = None) -> AIMessage:
        """Ask the scripted model, and note what it was told, what it said, and how sure it was."""
        thought = MODEL.invoke(messages)
        used, tokens = thought.usage_metadata, [one["logprob"] for one in thought.response_metadata["logprobs"]["content"]]
        said = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": MODEL.model_name,
            "gen_ai.input.messages": told(messages),
            "gen_ai.output.messages": told([thought]),
            "workbench.model.confidence": round(math.exp(sum(tokens) / len(tokens)), 3),
        }
        said |= {"gen_ai.usage.input_tokens": used["input_tokens"], "gen_ai.usage.output_tokens": used["output_tokens"]} if used else {}
        said |= {"workbench.model.tools": offered} if offered else {}
        self.trace.add(f"chat {MODEL.model_name}", self.trace.took(0.9), said)
        return thought

    def act(self, name: str, arguments: dict[str, Json], call_id: str) -> ToolMessage:
        """Call a tool, and note what came back; an answer that comes too late is a time-out, whatever was done."""
        said = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call_id,
            "gen_ai.tool.call.arguments": json.dumps(arguments),
        }
        try:
            result = json.dumps({"waited_s": arguments["seconds"]} if name == "pause" else self.company.answer(ROUTE_OF[name], arguments))
        except NoAnswerError:
            error = f"TimeoutError: {ROUTE_OF[name]} timed out after {BOOKING_TIMEOUT_S:g} s"
            self.trace.add(f"execute_tool {name}", BOOKING_TIMEOUT_S, said | {"error.type": "TimeoutError"}, error)
            return ToolMessage(error, tool_call_id=call_id, status="error")
        self.trace.add(f"execute_tool {name}", self.trace.took(0.2), said | {"gen_ai.tool.call.result": result})
        return ToolMessage(result, tool_call_id=call_id)


def told(messages: list[AnyMessage]) -> str:
    """Messages as JSON, in the form of OpenTelemetry's GenAI conventions."""
    roles = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}
    return json.dumps([{"role": roles[message.type], "parts": list(parts(message))} for message in messages])


def parts(message: AnyMessage) -> list[Json]:
    """What a message is made of: text, calls, or the answer to a call."""
    if isinstance(message, ToolMessage):
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}]
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    text = [{"type": "text", "content": message.text}] if message.text else []
    return [*text, *({"type": "tool_call", "id": call["id"], "name": call["name"], "arguments": call["args"]} for call in calls)]


def cases(runs: int, dice: random.Random) -> list[Case]:
    """The requests of the day, in the order in which they come in: few at night, most by day."""
    times = sorted(min(max(dice.gauss(13.5, 3.5), 0.1), 23.9) * HOUR_S for _ in range(runs))
    return [case(number, at_s, dice) for number, at_s in enumerate(times)]


def case(number: int, at_s: float, dice: random.Random) -> Case:
    """One request: most want a flight, some sum up receipts, ask for a refund, or plan a stay."""
    released = at_s >= RELEASE_HOUR * HOUR_S and dice.random() < RELEASED
    user = f"user-{dice.randrange(USERS):03}"
    booking = f"Book the cheaper of NH and LH from FRA to HND on 2026-04-{dice.randrange(1, 29):02} for Ada, mail {user}@example.com"
    request = dice.choices(
        (
            f"{booking}." if released else f"{booking}, request R-{2000 + number}.",
            f"Sum up the {dice.randrange(2, 7)} receipts of expense report EX-{dice.randrange(10, 99)}.",
            f"Tell me when refund RF-{dice.randrange(10, 99)} is paid out.",
            "Find a hotel room in Matsumoto for 6 nights under 120 USD and plan the days.",
        ),
        weights=(65, 15, 14, 6),
    )[0]
    return Case(f"run-{number:04}", at_s, user, NEW if released else OLD, request)


def play(one: Case, seed: int) -> tuple[Json, list[Json]]:
    """One run: its spans, and what the API really did."""
    dice = random.Random(f"{seed}/{one.run_id}")
    company = Company(Faults(late_bookings=int(one.slow and dice.random() < LATE)), rooms=dice.random() < ROOMS)
    trace = Trace(one, dice)
    return trace.close(Agent(trace, company).run()), [{"run_id": one.run_id, **act} for act in company.acts]


def write(folder: str | Path, runs: int = 500, seed: int = 1) -> Path:
    """Simulate a day into a folder, which is made; gives the file of spans."""
    made = Path(folder)
    made.mkdir(parents=True, exist_ok=True)
    spans, ledger = made / "spans.otlp.jsonl", made / "ledger.jsonl"
    with spans.open("w", encoding="utf-8") as recorded, ledger.open("w", encoding="utf-8") as really:
        for one in cases(runs, random.Random(seed)):
            request, acts = play(one, seed)
            recorded.write(json.dumps(request, separators=(",", ":")) + "\n")
            really.writelines(json.dumps(act) + "\n" for act in acts)
    return spans


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sample_traces.fleet", description="Simulate a day of the travel agent.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    print(f"wrote {write(chosen.folder, chosen.runs, chosen.seed)}")


if __name__ == "__main__":
    main()
