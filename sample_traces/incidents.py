"""The recorded incidents and the healthy controls: what the user asked, what a person answered, what broke, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from sample_traces.travel_api import NO_FAULTS, Faults

LONGEST_LOOP = 73
"""Super-steps that the burned budget is allowed: the plan, then 36 thoughts and their searches."""


@dataclass(frozen=True)
class Say:
    """The user sends a message to the thread."""

    text: str


@dataclass(frozen=True)
class Resume:
    """A person answers what the run stopped to ask."""

    answer: str


@dataclass(frozen=True)
class Continue:
    """An operator lets the run go on from its last checkpoint."""


Act = Say | Resume | Continue


@dataclass(frozen=True)
class Incident:
    """One recording: a name, its story in five lines, the acts of each process in turn, the API's faults, and the agent's step limit.

    Each element of `lives` is one process. A process that the API kills ends there; the next one starts on the same thread.
    """

    name: str
    story: tuple[str, str, str, str, str]
    lives: tuple[tuple[Act, ...], ...]
    faults: Faults = NO_FAULTS
    recursion_limit: int = 200

    @property
    def thread_id(self) -> str:
        """The thread that the agent ran in."""
        return self.name.replace("_", "-")


BOOKING = "Book the cheaper of NH and LH from FRA to HND on 2026-04-03 for Ada, mail ada@example.com"
EXPENSES = "Sum up the 6 receipts of expense report EX-17."
HOTEL = "desk@aurora.example"

INCIDENTS = (
    Incident(
        "booked_twice",
        (
            "A traveller asks for a flight. Two airlines and the visa are looked up in parallel; a person approves NH 204 for 842 USD.",
            "The travel API books it (BK-1001) but its answer does not come within a second: the tool reports a time-out.",
            "The agent takes that for a failure and calls book_flight again with the same arguments and without an idempotency key.",
            "The second call books again (BK-1002). The card is charged twice; both numbers stand in the second result.",
            "The agent mails the itinerary and reports success.",
        ),
        ((Say(f"{BOOKING}."), Resume("yes")),),
        Faults(late_bookings=1),
    ),
    Incident(
        "progress_lost",
        (
            "The agent fetches six receipts one after the other, then sums them up.",
            "While it fetches the fourth, its process is killed (SIGKILL): no span is closed, the checkpoint of the third receipt stands.",
            "The service starts again and sends the same request to the same thread as a new message, instead of resuming it.",
            "The agent starts over: receipts 1 to 3 are fetched a second time.",
            "The run ends well, so nobody notices what was paid twice.",
        ),
        ((Say(EXPENSES),), (Say(EXPENSES),)),
        Faults(kill_at_receipt=4),
    ),
    Incident(
        "followed_up_47_times",
        (
            "A traveller wants to know about late check-in and asks the agent to keep at it until the hotel answers.",
            "The agent writes to the hotel. The result says that a reply is awaited; none can arrive while the agent is running.",
            "It does not stop to wait: it rereads only its newest mails, sees no answer, and writes again with another text.",
            "After 47 mails it gives up.",
            "Nothing failed and no two calls are the same.",
        ),
        ((Say(f"Ask {HOTEL} about late check-in and keep at it until they reply."),),),
    ),
    Incident(
        "budget_burned",
        (
            "A traveller asks for a flight under 500 USD. There is none.",
            "The agent searches again with the same arguments, and again.",
            "Each result is the same as the one before but for the time at which it was checked.",
            "Each thought reads all that came before, so each costs more tokens than the last.",
            "The step limit stops it after 36 searches, with an error and without an answer.",
        ),
        ((Say("Find a flight under 500 USD, FRA-HND on 2026-04-03."),),),
        recursion_limit=LONGEST_LOOP,
    ),
    Incident(
        "quietly_wrong",
        (
            "A traveller asks for a hotel room and a plan for six days.",
            "The hotel search returns an empty list: there is no room.",
            "The agent goes on as if there were one and looks up weather and sights for every day.",
            "Its confidence, read from the log-probabilities, sinks from .95 to .40 on the way.",
            "It ends with status ok and names a hotel that no tool ever returned.",
        ),
        ((Say("Find a hotel room in Matsumoto for 6 nights under 120 USD and plan the days."),),),
    ),
)

CONTROLS = (
    Incident(
        "healthy_booking",
        (
            "A traveller asks for a flight and gives a request number.",
            "Two airlines and the visa are looked up in parallel; a person approves NH 204.",
            "The agent books with the request number as idempotency key; the answer comes in time.",
            "One booking, one mail.",
            "Nothing is wrong here.",
        ),
        ((Say(f"{BOOKING}, request R-2041."), Resume("yes")),),
    ),
    Incident(
        "healthy_retry",
        (
            "As in the double booking, the API books and answers too late.",
            "The agent calls again, with the same idempotency key.",
            "The API knows the key and confirms the first booking again.",
            "One booking, one mail.",
            "Nothing is wrong here: this is how a retry should look.",
        ),
        ((Say(f"{BOOKING}, request R-2042."), Resume("yes")),),
        Faults(late_bookings=1),
    ),
    Incident(
        "healthy_waiting",
        (
            "A traveller wants to know about late check-in.",
            "The agent writes to the hotel once and then stops: an interrupt waits for the answer.",
            "The answer arrives and resumes the run.",
            "The agent passes it on.",
            "Nothing is wrong here.",
        ),
        ((Say(f"Ask {HOTEL} about late check-in and wait for their answer."), Resume("Yes, until 23:00.")),),
    ),
    Incident(
        "healthy_polling",
        (
            "A traveller wants to know when a refund is paid out.",
            "The agent asks the airline again and again with the same arguments.",
            "It pauses between, twice as long each time, and each answer is one stage further.",
            "The fifth answer is: paid out.",
            "Nothing is wrong here: polling is not a loop.",
        ),
        ((Say("Tell me when refund RF-88 is paid out."),),),
    ),
    Incident(
        "healthy_resume",
        (
            "The agent fetches six receipts one after the other, then sums them up.",
            "While it fetches the fourth, its process is killed (SIGKILL).",
            "The service starts again and resumes the thread from its last checkpoint.",
            "It goes on with the fourth receipt; the first three are not fetched again.",
            "Nothing is wrong here: this is how a restart should look.",
        ),
        ((Say(EXPENSES),), (Continue(),)),
        Faults(kill_at_receipt=4),
    ),
)

ALL = {incident.name: incident for incident in (*INCIDENTS, *CONTROLS)}
