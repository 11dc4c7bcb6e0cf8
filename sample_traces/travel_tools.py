"""The travel agent's tools: each asks the travel API named by the environment variable TRAVEL_API_URL and returns its JSON text.

A booking waits one second for its answer. A time-out is raised as TimeoutError: whether the flight was booked is then unknown.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx
from langchain_core.tools import BaseTool, tool
from langgraph.types import interrupt

BOOKING_TIMEOUT_S = 1.0
TIMEOUT_S = 20.0
LONGEST_PAUSE_S = 1.0


def ask(method: str, path: str, *, timeout_s: float = TIMEOUT_S, headers: dict[str, str] | None = None, **fields: Any) -> str:
    """One request to the travel API: the text of its answer. TimeoutError, httpx.HTTPStatusError, or RuntimeError when no API is named."""
    url = os.environ.get("TRAVEL_API_URL")
    if not url:
        raise RuntimeError("TRAVEL_API_URL is not set: it names the travel API, such as http://127.0.0.1:8080")
    content: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
    try:
        with httpx.Client(base_url=url, timeout=timeout_s, trust_env=False) as client:
            answer = client.request(method, path, headers=headers, **content)
    except httpx.TimeoutException as error:
        raise TimeoutError(f"{method} {path} timed out after {timeout_s:g} s") from error
    answer.raise_for_status()
    return answer.text


@tool
def search_fare(airline: str, route: str, date: str) -> str:
    """Find an airline's best fare."""
    return ask("GET", "/fares", airline=airline, route=route, date=date)


@tool
def check_visa(passport: str, country: str) -> str:
    """Check whether a passport needs a visa."""
    return ask("GET", "/visas", passport=passport, country=country)


@tool
def book_flight(flight: str, date: str, passenger: str, fare_usd: int, idempotency_key: str | None = None) -> str:
    """Book a flight and charge the card on file."""
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    return ask("POST", "/bookings", timeout_s=BOOKING_TIMEOUT_S, headers=headers, flight=flight, date=date, passenger=passenger, fare_usd=fare_usd)


@tool
def send_itinerary(to: str, flight: str, date: str) -> str:
    """Mail the traveller the itinerary."""
    return ask("POST", "/itineraries", to=to, flight=flight, date=date)


@tool
def search_flights(route: str, date: str) -> str:
    """List the flights of a day."""
    return ask("GET", "/flights", route=route, date=date)


@tool
def fetch_receipt(report: str, number: int) -> str:
    """Fetch one receipt of an expense report."""
    return ask("GET", "/receipts", report=report, number=number)


@tool
def send_followup(to: str, text: str) -> str:
    """Mail a follow-up."""
    return ask("POST", "/followups", to=to, text=text)


@tool
def await_answer(sender: str, about: str) -> str:
    """Stop until someone has answered."""
    return json.dumps({"from": sender, "answer": interrupt({"waiting_for": sender, "about": about})})


@tool
def check_refund(refund_id: str, airline: str) -> str:
    """Ask how far a refund is."""
    return ask("GET", "/refunds", refund_id=refund_id, airline=airline)


@tool
def pause(seconds: float, reason: str) -> str:
    """Wait a moment before asking again, one second at most."""
    time.sleep(min(seconds, LONGEST_PAUSE_S))
    return json.dumps({"waited_s": seconds, "reason": reason})


@tool
def search_hotels(city: str, nights: int, limit_usd: int) -> str:
    """Find hotels with free rooms."""
    return ask("GET", "/hotels", city=city, nights=nights, limit_usd=limit_usd)


@tool
def check_weather(city: str, date: str) -> str:
    """Forecast for a day."""
    return ask("GET", "/weather", city=city, date=date)


@tool
def list_sights(city: str, day: int) -> str:
    """Sights for one day of a stay."""
    return ask("GET", "/sights", city=city, day=day)


DESKS: dict[str, list[BaseTool]] = {
    "booking": [book_flight, send_itinerary],
    "expenses": [fetch_receipt],
    "hotels": [search_hotels, check_weather, list_sights],
    "mail": [send_followup, await_answer],
    "prices": [search_flights],
    "refunds": [check_refund, pause],
}
"""The tools that each desk of the agency is offered."""
