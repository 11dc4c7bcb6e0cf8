"""Lines of code that views offer: each made here, whatever a recording calls its runs, and a recording never more in it than a string."""

from __future__ import annotations


def literal(text: str) -> str:
    """Text as a Python literal in double quotes where that needs no escapes, else as `ascii` has it: pasted, it is always just a string."""
    return f'"{text}"' if is_plain(text) else ascii(text)


def is_plain(text: str) -> bool:
    """Whether double quotes around a text are all it takes to make a literal of it."""
    return text.isprintable() and not {'"', "\\"} & set(text)


def opening(run_id: str) -> str:
    """The beginning of the call that opens a run's view: `bench.run("r1").view(`."""
    return f"bench.run({literal(run_id)}).view("
