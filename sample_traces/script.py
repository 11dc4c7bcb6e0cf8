"""What the scripted model answers. Each desk of the agency is one function of the turn so far: it looks at what its tools returned and goes on.

Nothing here knows which incident is being recorded. The double booking, the endless follow-ups and the confident guess come from what the
user asks, what the tools answer, and habits that look sensible one by one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

Json = Any
PLAN = "Name the desk for this request and what to look up first, as JSON."
ASSESS = "Sum up this fare in one line."
DESK = "You are the {desk} desk of a travel agency. Known so far:"
COUNTRY_OF = {"HND": "JP", "KIX": "JP"}
DESK_OF = {"book": "booking", "receipt": "expenses", "refund": "refunds", "hotel room": "hotels", "late check-in": "mail", "flight under": "prices"}
MOST_BOOKING_ATTEMPTS = 3
MOST_FOLLOWUPS = 47
MOST_MISSES = 3
MOST_QUESTIONS = 12
SURE, UNSURE, LOSS_PER_STEP = 0.95, 0.4, 0.042
MOST_SEARCHES = 60
ADDRESS = r"(\S+@[\w.-]+\w)"
TRIP_DAYS = ("2026-05-04", "2026-05-05", "2026-05-06", "2026-05-07", "2026-05-08", "2026-05-09")


@dataclass(frozen=True)
class Reply:
    """What the model says: text, the tools it asks for, and how sure it is (0 to 1)."""

    text: str
    calls: tuple[tuple[str, dict[str, Json]], ...] = ()
    confidence: float = 0.93


@dataclass(frozen=True)
class Done:
    """A tool call of this turn and what came back."""

    name: str
    arguments: dict[str, Json]
    text: str
    failed: bool

    @property
    def value(self) -> Json:
        """The result as JSON; its text where it is none, as in an error."""
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text

    @property
    def fields(self) -> dict[str, Json]:
        """The result's fields; none where it is an error, a list or plain text."""
        return self.value if isinstance(self.value, dict) else {}


@dataclass(frozen=True)
class Turn:
    """What the model sees of the current turn: its instructions, the user's last request, and every tool call since."""

    system: str
    request: str
    done: tuple[Done, ...]

    def of(self, tool: str) -> list[Done]:
        """The finished calls of one tool, oldest first."""
        return [done for done in self.done if done.name == tool]


def answer(messages: Sequence[BaseMessage]) -> Reply:
    """The model's next message. Depends on nothing but the messages."""
    turn = read(messages)
    if turn.system == PLAN:
        return steady(plan(turn.request))
    if turn.system == ASSESS:
        return steady(assess(json.loads(turn.request)))
    desk = turn.system.removeprefix("You are the ").split(" ", 1)[0]
    reply = HABITS.get(desk, greet)(turn)
    return reply if desk == "hotels" else steady(reply)


def read(messages: Sequence[BaseMessage]) -> Turn:
    """The turn that the last human message opened. A tool call whose result never came (the process died) is left out."""
    humans = [number for number, message in enumerate(messages) if isinstance(message, HumanMessage)]
    recent = messages[humans[-1] :] if humans else messages
    results = {message.tool_call_id: message for message in recent if isinstance(message, ToolMessage)}
    asked = [call for message in recent if isinstance(message, AIMessage) for call in message.tool_calls]
    done = tuple(
        Done(call["name"], call["args"], result.text, result.status == "error") for call in asked if (result := results.get(call["id"] or "")) is not None
    )
    return Turn(messages[0].text, recent[0].text if humans else "", done)


def steady(reply: Reply) -> Reply:
    """The same reply with an even confidence between .91 and .95, as a healthy model has it."""
    wobble = zlib.crc32(f"{reply.text}{reply.calls}".encode()) % 40
    return Reply(reply.text, reply.calls, 0.91 + wobble / 1000)


def plan(request: str) -> Reply:
    """Which desk it is for; for a booking also what to look up in parallel before anyone thinks further."""
    desk = next((desk for words, desk in DESK_OF.items() if words in request.lower()), "front")
    found: dict[str, Json] = {"desk": desk}
    if desk == "booking" and (trip := re.search(r"\b([A-Z]{2}) and ([A-Z]{2}) from ([A-Z]{3}) to ([A-Z]{3}) on (\S+)", request)):
        first, second, origin, target, date = trip.groups()
        found["quotes"] = [{"airline": airline, "route": f"{origin}-{target}", "date": date} for airline in (first, second)]
        found["visa"] = {"passport": "DE", "country": COUNTRY_OF[target]}
    return Reply(json.dumps(found))


def assess(fare: dict[str, Json]) -> Reply:
    """One line about a fare, in the form that the booking desk reads."""
    return Reply(f"{fare['flight']} on {fare['date']} costs {fare['usd']} USD")


def book(turn: Turn) -> Reply:
    """Book the cheapest known flight, try again when the answer fails to come, send the itinerary, report."""
    attempts = turn.of("book_flight")
    if not attempts:
        return propose(turn)
    last = attempts[-1]
    if last.failed and "declined" in last.text:
        return Reply("Then nothing was booked.")
    if last.failed and len(attempts) < MOST_BOOKING_ATTEMPTS:
        return Reply("The booking did not go through. Trying again.", (("book_flight", last.arguments),))
    if last.failed:
        return Reply(f"The booking failed {len(attempts)} times; please call the airline.")
    if not turn.of("send_itinerary"):
        to = find("mail " + ADDRESS, turn.request)
        return Reply("Booked. Sending the itinerary.", (("send_itinerary", {"to": to, "flight": last.arguments["flight"], "date": last.arguments["date"]}),))
    return report(last)


def propose(turn: Turn) -> Reply:
    """The first booking attempt, with the request's number as idempotency key if the user gave one."""
    fares = re.findall(r"([A-Z]{2} \d+) on (\S+) costs (\d+) USD", turn.system)
    if not fares:
        return Reply("No fare was found, so nothing was booked.")
    flight, date, usd = min(fares, key=lambda fare: int(fare[2]))
    arguments: dict[str, Json] = {"flight": flight, "date": date, "passenger": find(r"for (\w+)", turn.request), "fare_usd": int(usd)}
    if key := find(r"request (R-\d+)", turn.request):
        arguments["idempotency_key"] = key
    return Reply(f"{flight} is the cheapest at {usd} USD and no visa is needed.", (("book_flight", arguments),))


def report(booked: Done) -> Reply:
    """The last word on a booking: what was booked, and all that the card now shows."""
    flight, found = booked.arguments["flight"], booked.fields
    number, usd, on_card = found.get("booking_id"), found.get("charged_usd"), found.get("bookings_on_card", [])
    if len(on_card) > 1:
        return Reply(f"{flight} is booked as {number} for {usd} USD; your card shows {' and '.join(on_card)}. The itinerary is in your mail.")
    return Reply(f"{flight} is booked as {number}, charged once: {usd} USD. The itinerary is in your mail.")


def file_expenses(turn: Turn) -> Reply:
    """Fetch the receipts one after the other, then sum them up."""
    count, report_id = int(find(r"(\d+) receipts", turn.request) or 0), find(r"report (\w+-\d+)", turn.request)
    fetched = [done for done in turn.of("fetch_receipt") if "usd" in done.fields]
    if len(turn.of("fetch_receipt")) - len(fetched) >= MOST_MISSES:
        return Reply(f"The receipts of report {report_id} can't be read.")
    if len(fetched) < count:
        return Reply(f"Receipt {len(fetched) + 1} of {count}.", (("fetch_receipt", {"report": report_id, "number": len(fetched) + 1}),))
    total = sum(done.fields["usd"] for done in fetched)
    return Reply(f"Report {report_id} has {count} receipts over {total} USD.")


def follow_up(turn: Turn) -> Reply:
    """Write to the hotel. Told to wait, wait; told to keep at it, write again: it sees a mail sent, not an answer awaited."""
    to, sent = find(ADDRESS, turn.request), turn.of("send_followup")
    if answered := [done.fields["answer"] for done in turn.of("await_answer") if "answer" in done.fields]:
        return Reply(f"{to} says: {answered[-1]}")
    if sent and "reply" in sent[-1].fields:
        return Reply(f"{to} says: {sent[-1].fields['reply']}")
    if sent and "wait" in turn.request:
        return Reply("Sent. Waiting for the answer.", (("await_answer", {"sender": to, "about": "late check-in"}),))
    if not sent:
        return Reply("Asking.", (("send_followup", {"to": to, "text": "Is late check-in possible?"}),))
    mails = 1 + int(find(r"Reminder (\d+)", sent[-1].arguments["text"]) or 0)
    if mails >= MOST_FOLLOWUPS:
        return Reply(f"No answer from {to} after {mails} mails.")
    return Reply("No answer yet.", (("send_followup", {"to": to, "text": f"Reminder {mails}: late check-in?"}),))


def hunt(turn: Turn) -> Reply:
    """Look for a flight under the limit, and look again, as if the next look would find another."""
    limit, searches = int(find(r"under (\d+)", turn.request) or 0), turn.of("search_flights")
    flights = searches[-1].fields.get("flights", []) if searches else []
    if cheap := [flight for flight in flights if flight["usd"] < limit]:
        return Reply(f"{cheap[0]['flight']} costs {cheap[0]['usd']} USD.")
    if len(searches) >= MOST_SEARCHES:
        return Reply(f"Nothing under {limit} USD after {len(searches)} searches.")
    route, date = find(r"([A-Z]{3}-[A-Z]{3})", turn.request), find(r"on (\d[\d-]+)", turn.request)
    return Reply("Searching again." if searches else "Searching.", (("search_flights", {"route": route, "date": date}),))


def find_hotel(turn: Turn) -> Reply:
    """Plan a stay. An empty hotel search is passed over; every later step builds on it and is a little less sure."""
    city = find(r"in (\w+)", turn.request)
    steps: list[tuple[str, dict[str, Json]]] = [("search_hotels", {"city": city, "nights": len(TRIP_DAYS), "limit_usd": 120})]
    for number, date in enumerate(TRIP_DAYS, start=1):
        steps += [("check_weather", {"city": city, "date": date}), ("list_sights", {"city": city, "day": number})]
    place = len(turn.done)
    found = next((done.value for done in turn.of("search_hotels") if isinstance(done.value, list)), [])
    confidence = SURE if found else max(UNSURE, SURE - LOSS_PER_STEP * place)
    if place < len(steps):
        return Reply("Good, next." if place else "First a room.", (steps[place],), confidence)
    hotel = found[0].get("hotel") if found and isinstance(found[0], dict) else "Hotel Kikyo"
    return Reply(f"All set: {hotel} in {city} has a room for all {len(TRIP_DAYS)} nights under 120 USD, and every day is planned.", (), confidence)


def watch_refund(turn: Turn) -> Reply:
    """Ask how far a refund is until it is paid out, pausing twice as long each time."""
    refund, asked = find(r"(RF-\d+)", turn.request), turn.of("check_refund")
    question = ("check_refund", {"refund_id": refund, "airline": "NH"})
    if not asked:
        return Reply("Asking the airline.", (question,))
    latest = asked[-1].fields
    if latest.get("status") == "paid out" or len(asked) >= MOST_QUESTIONS:
        return Reply(f"Refund {refund}: {latest.get('status', 'unknown')}.")
    if turn.done[-1].name == "check_refund":
        seconds = 0.05 * 2 ** len(asked)
        return Reply(
            f"{latest.get('percent')} % done. Waiting {seconds:g} s.", (("pause", {"seconds": seconds, "reason": f"{refund} at {latest.get('percent')} %"}),)
        )
    return Reply("Asking again.", (question,))


def greet(_: Turn) -> Reply:
    """What is said to a request that no desk is for."""
    return Reply("I can book flights, find hotels, file expenses, follow up mails and watch refunds and prices.")


def find(pattern: str, text: str) -> str | None:
    """The first group of the first match."""
    match = re.search(pattern, text)
    return match.group(1) if match else None


HABITS: dict[str, Callable[[Turn], Reply]] = {
    "booking": book,
    "expenses": file_expenses,
    "hotels": find_hotel,
    "mail": follow_up,
    "prices": hunt,
    "refunds": watch_refund,
}
