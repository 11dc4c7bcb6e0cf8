"""The incident card over 500 and 5,000 runs, against reading the same runs' rows once.

    python -m tests.bench.incidents [RUNS…]

One run in twenty books twice after a time-out, since a new version. The card is asked for by the store alone: what a notebook's first cell waits for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import workbench
from tests.bench.measuring import in_turns, told
from workbench.bench import Bench
from workbench.model import Run
from workbench.sketch import model, sketch, tool, user

COUNTS, ROUNDS, AFFECTED, SECOND = (500, 5_000), 5, 20, 1_000_000_000
TIMED_OUT = {"status": "error", "error": "TimeoutError: POST /bookings timed out after 1 s"}


def run_of(number: int, count: int) -> Run:
    """A booking; one in twenty of the second half is made twice."""
    booked = tool("book_flight", {"flight": "NH 204"}, {"booking_id": f"BK-{number}"})
    twice = number % AFFECTED == 0 and number > count // 2
    steps = (
        user("Book NH 204"),
        model("", calls=(("book_flight", {"flight": "NH 204"}),)),
        *((tool("book_flight", {"flight": "NH 204"}, **TIMED_OUT),) if twice else ()),
        booked,
    )
    made = sketch(*steps, model("It is booked."), run_id=f"run-{number:05}", agent="booker")
    version = "2" if number > count // 2 else "1"
    return made.model_copy(update={"started_ns": number * 60 * SECOND, "ended_ns": (number * 60 + 5) * SECOND, "metadata": {"service.version": version}})


def filled(path: Path, count: int) -> Bench:
    """A store with so many runs, examined."""
    bench = workbench.open(path)
    bench.store.save_runs(run_of(number, count) for number in range(count))
    bench.detect()
    return bench


def main(counts: tuple[int, ...]) -> None:
    """Print the ratio for each number of runs."""
    with tempfile.TemporaryDirectory(prefix="bench-incidents-") as folder:
        for count in counts:
            bench = filled(Path(folder) / f"{count}.db", count)
            rounds = in_turns(ROUNDS, lambda bench=bench: repr(bench.incident()), bench.runs)
            affected, seconds = len(bench.incident().incident.affected), min(card.cpu for card, _ in rounds)
            print(
                told(
                    f"the incident card of {count:,} runs, {affected:,} affected, {seconds:.2f} s of CPU, against their rows",
                    rounds,
                    "no more for 5,000 than for 500",
                )
            )
            bench.close()


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or COUNTS)
