"""The travel company's API on a loopback port, with the faults an incident asks for and a ledger of everything it really did.

The ledger is a file outside the agent's process, one JSON object a line, only ever appended to. What does not stand there did not happen:
that is how a re-run proves that it touched nothing.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

Json = Any
FARES = {"NH": ("NH 204", 842), "LH": ("LH 716", 915)}
REFUND_PROGRESS = (("queued", 0), ("processing", 20), ("processing", 55), ("processing", 90), ("paid out", 100))
HANG_UP_S = 30


@dataclass(frozen=True)
class Faults:
    """What goes wrong: the first `late_bookings` bookings are made but never answered; receipt `kill_at_receipt` ends the client's process."""

    late_bookings: int = 0
    kill_at_receipt: int | None = None


NO_FAULTS = Faults()


class NoAnswerError(Exception):
    """The request was taken, and the client will wait for an answer in vain."""


class World:
    """The company behind the API: its bookings, mails and refunds. Every change is written to the ledger before it is answered."""

    def __init__(self, ledger: Path, faults: Faults, kill: Callable[[], None]) -> None:
        self.ledger = ledger
        self.faults = faults
        self.kill = kill
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.bookings: list[str] = []
        self.by_key: dict[str, dict[str, Json]] = {}

    def answer(self, route: str, fields: dict[str, Json]) -> Json:
        """What the API says to one request such as `GET /fares`. KeyError for an unknown route, NoAnswerError when it will never answer."""
        with self.lock:
            self.asked[route] += 1
            return ROUTES[route](self, fields)

    def record(self, act: str, **fields: Json) -> None:
        """Append one act to the ledger."""
        with self.ledger.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"act": act, **fields}) + "\n")

    def book(self, fields: dict[str, Json]) -> Json:
        """Book a flight. With an idempotency key that was seen before, the first booking is confirmed again and nothing is booked."""
        key = fields.pop("idempotency_key", None)
        if key in self.by_key:
            return self.by_key[key]
        number = f"BK-{1001 + len(self.bookings)}"
        self.bookings.append(number)
        self.record("book_flight", booking_id=number, charged_usd=fields["fare_usd"], flight=fields["flight"], idempotency_key=key)
        reply = {"booking_id": number, "status": "confirmed", "charged_usd": fields["fare_usd"], "bookings_on_card": list(self.bookings)}
        if key:
            self.by_key[key] = reply
        if len(self.bookings) <= self.faults.late_bookings:
            raise NoAnswerError
        return reply

    def send_itinerary(self, fields: dict[str, Json]) -> Json:
        """Mail an itinerary."""
        self.record("send_itinerary", to=fields["to"], flight=fields["flight"])
        return {"status": "sent", "to": fields["to"]}

    def send_followup(self, fields: dict[str, Json]) -> Json:
        """Mail a follow-up; nobody has answered yet."""
        self.record("send_followup", to=fields["to"], text=fields["text"])
        return {"status": "sent", "awaiting": f"reply from {fields['to']}"}

    def receipt(self, fields: dict[str, Json]) -> Json:
        """One expense receipt: number n is over 10 n + 7 dollars."""
        if self.asked["GET /receipts"] == self.faults.kill_at_receipt:
            self.kill()
            raise NoAnswerError
        number = int(fields["number"])
        return {"receipt": number, "usd": 10 * number + 7}

    def fare(self, fields: dict[str, Json]) -> Json:
        """An airline's best fare."""
        flight, usd = FARES[fields["airline"]]
        return {"flight": flight, "route": fields["route"], "date": fields["date"], "usd": usd}

    def flights(self, _: dict[str, Json]) -> Json:
        """The flights of the day; only the time of asking moves on, seven seconds a question."""
        minute, second = divmod(7 * self.asked["GET /flights"], 60)
        return {"flights": [{"flight": "NH 204", "usd": 842}], "checked_at": f"2026-03-02T03:{minute:02}:{second:02}Z"}

    def refund(self, _: dict[str, Json]) -> Json:
        """How far a refund is: one stage further at each question."""
        status, percent = REFUND_PROGRESS[min(self.asked["GET /refunds"], len(REFUND_PROGRESS)) - 1]
        return {"status": status, "percent": percent}


ROUTES: dict[str, Callable[[World, dict[str, Json]], Json]] = {
    "POST /bookings": World.book,
    "POST /itineraries": World.send_itinerary,
    "POST /followups": World.send_followup,
    "GET /fares": World.fare,
    "GET /flights": World.flights,
    "GET /receipts": World.receipt,
    "GET /refunds": World.refund,
    "GET /hotels": lambda _, __: [],
    "GET /sights": lambda _, fields: {"city": fields["city"], "day": int(fields["day"]), "sights": ["castle", "museum"]},
    "GET /visas": lambda _, fields: {"passport": fields["passport"], "country": fields["country"], "visa": "not needed", "days": 90},
    "GET /weather": lambda _, fields: {"city": fields["city"], "date": fields["date"], "sky": "clear", "high_c": 14},
}


class Handler(BaseHTTPRequestHandler):
    """One request: its query or JSON body goes to the world, the world's answer goes back as JSON."""

    world: ClassVar[World]

    def do_GET(self) -> None:  # noqa: D102  # named by http.server
        self._answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:  # noqa: D102  # named by http.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Idempotency-Key")
        self._answer({**body, "idempotency_key": key} if key else body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the ledger is the log."""

    def _answer(self, fields: dict[str, Json]) -> None:
        route = f"{self.command} {urlsplit(self.path).path}"
        if route not in ROUTES:
            self.send_error(404, f"no {route}; there are {', '.join(sorted(ROUTES))}")
            return
        try:
            content = json.dumps(self.world.answer(route, fields)).encode()
        except NoAnswerError:
            self._wait_for_hang_up()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _wait_for_hang_up(self) -> None:
        """Hold the connection until the client has given up or died, so that no clock decides who was first."""
        self.connection.settimeout(HANG_UP_S)
        with contextlib.suppress(OSError):  # a killed client resets the connection: that is a hang-up too
            self.connection.recv(1)
        self.close_connection = True


def no_kill() -> None:
    """Stands where an incident kills nobody."""
    raise RuntimeError("this world was asked to kill its client, but was not told how")


@contextlib.contextmanager
def serve(ledger: Path, faults: Faults = NO_FAULTS, kill: Callable[[], None] = no_kill) -> Iterator[str]:
    """Run the API on a free loopback port; gives its base URL for `TRAVEL_API_URL`. `kill` ends the client's process when a fault asks for it."""
    handler = type("WorldHandler", (Handler,), {"world": World(ledger, faults, kill)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def acts(ledger: Path) -> list[Json]:
    """What the ledger says was done, oldest first; nothing where there is no ledger yet."""
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()] if ledger.exists() else []
