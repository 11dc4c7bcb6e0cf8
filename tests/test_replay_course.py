"""Which tasks of a re-run a change reaches."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.replay.recording.course import Course

PULL, CALLED = ("__pregel_pull", "node"), ("__pregel_push", ("__pregel_pull", "flow"), 0)
BEGUN: list[tuple[str, Any, int]] = [
    ("plan:1", PULL, 1),
    ("left:2", PULL, 2),
    ("left:2|draws:3", PULL, 1),
    ("left:2|beside:4", PULL, 1),
    ("left:2|after:5", PULL, 2),
    ("left:2|1|again:6", PULL, 1),
    ("right:7", PULL, 2),
    ("right:7|draws:8", PULL, 5),
    ("sums_up:9", PULL, 3),
    ("flow:10", PULL, 1),
    ("flow:10|first:11", CALLED, 4),
    ("flow:10|second:12", CALLED, 4),
]


@pytest.fixture
def course() -> Course:
    """A re-run whose tasks have all begun."""
    found = Course()
    for namespace, path, step in BEGUN:
        found.begin(namespace, path, step)
    return found


LATER = {"right:7", "right:7|draws:8", "sums_up:9"}
IN_LEFT = {"left:2", "left:2|draws:3", "left:2|beside:4", "left:2|after:5", "left:2|1|again:6"}


@pytest.mark.parametrize(
    ("left", "reached"),
    [
        ("plan:1", {"plan:1"} | IN_LEFT | LATER),
        ("left:2|draws:3", IN_LEFT - {"left:2|beside:4"} | {"sums_up:9"}),
        ("right:7|draws:8", LATER),
        ("flow:10|first:11", {"flow:10", "flow:10|first:11", "flow:10|second:12"} | IN_LEFT | LATER),
    ],
)
def test_reach(course: Course, left: str, reached: set[str]) -> None:
    """A change reaches its own task, those around it, and what comes later in any graph around it, but nothing beside it in the same step."""
    assert all(course.holds(namespace) for namespace, _, _ in BEGUN)
    course.leave(left)
    assert {namespace for namespace, _, _ in BEGUN if not course.holds(namespace)} == reached
    assert not course.holds(None)


@pytest.mark.parametrize("course", [Course(lost=True)])
def test_lost_from_the_start(course: Course) -> None:
    """Of a re-run that goes another way from the start, nothing stands."""
    assert not course.holds("any:1")
    assert not course.holds(None)


def test_left_nobody_knows_where(course: Course) -> None:
    """What was changed in a thread of the agent's own may reach anything."""
    assert course.holds(None)
    course.leave(None)
    assert not any(course.holds(namespace) for namespace, _, _ in BEGUN)
