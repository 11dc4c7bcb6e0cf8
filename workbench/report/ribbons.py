"""A flow between columns (plotly's Sankey) as ribbons: as wide as many went that way, in the order and the columns the figure gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from workbench.model import Json
from workbench.report.canvas import LETTER_PX, WIDTH, written
from workbench.report.markup import Markup, element

NODE_PX, PAD_PX, TOP = 10, 13, 34
BESIDE = 6


class Node(NamedTuple):
    """A node's left edge, top and height, and its label."""

    x: float
    y: float
    height: float
    label: str
    colour: str


def ribbons(trace: Json, height: float) -> Iterator[Markup]:
    """The ribbons, then the nodes with their labels on top."""
    nodes = _nodes(trace, height)
    yield from _links(trace, nodes, _unit(trace, height))
    last = max((node.x for node in nodes), default=0)
    for node in nodes:
        yield element("rect", x=node.x, y=round(node.y, 2), width=NODE_PX, height=round(max(1, node.height), 2), fill=node.colour)
        before = node.x == last
        if node.label:
            text = _cut(node.label, int(_room(nodes) / LETTER_PX))
            x, side = (node.x - BESIDE, "end") if before else (node.x + NODE_PX + BESIDE, "start")
            yield written(text, x, node.y + node.height / 2 + 4, side)


def _cut(label: str, letters: int) -> str:
    """A label that fits, "name (count)": the count goes first, then the end of the name."""
    name = label if len(label) <= letters else label.rpartition(" (")[0] or label
    return name if len(name) <= letters else name[: max(1, letters - 1)] + "…"


def _room(nodes: list[Node]) -> float:
    """How wide a label may be: to the next column."""
    columns = sorted({one.x for one in nodes})
    return (columns[1] - columns[0] - NODE_PX - 2 * BESIDE) if len(columns) > 1 else WIDTH / 2


def _flows(trace: Json) -> list[float]:
    """How much goes through each node."""
    links, count = trace["link"], len(trace["node"]["label"])
    out, into = [0.0] * count, [0.0] * count
    for source, target, value in zip(links["source"], links["target"], links["value"], strict=True):
        out[source] += value
        into[target] += value
    return [max(pair) for pair in zip(out, into, strict=True)]


def _columns(trace: Json) -> dict[float, list[int]]:
    """The nodes of each column, from the top."""
    found: dict[float, list[int]] = defaultdict(list)
    for number, x in enumerate(trace["node"]["x"]):
        found[x].append(number)
    return {x: sorted(those, key=lambda one: trace["node"]["y"][one]) for x, those in sorted(found.items())}


def _unit(trace: Json, height: float) -> float:
    """How many pixels one run is wide, so that the fullest column fits."""
    flows = _flows(trace)
    fits = [(height - TOP - PAD_PX * len(those)) / (sum(flows[one] for one in those) or 1) for those in _columns(trace).values()]
    return max(0.01, min(fits, default=1))


def _nodes(trace: Json, height: float) -> list[Node]:
    flows, unit = _flows(trace), _unit(trace, height)
    placed: dict[int, Node] = {}
    for x, those in _columns(trace).items():
        y = float(TOP)
        for one in those:
            tall = flows[one] * unit
            placed[one] = Node(round(x * (WIDTH - NODE_PX), 2), y, tall, trace["node"]["label"][one], trace["node"]["color"][one])
            y += tall + PAD_PX
    return [placed[number] for number in range(len(placed))]


def _links(trace: Json, nodes: list[Node], unit: float) -> Iterator[Markup]:
    """Each link leaves its node below the one before it, and arrives so."""
    links = trace["link"]
    rows = list(zip(links["source"], links["target"], links["value"], links["color"], strict=True))
    out, into = [node.y for node in nodes], [node.y for node in nodes]
    for source, target, value, colour in sorted(rows, key=lambda row: (nodes[row[0]].y, nodes[row[1]].y)):
        wide = value * unit
        yield _ribbon(
            (nodes[source].x + NODE_PX, out[source]), (nodes[target].x, into[target]), wide, colour, f"{nodes[source].label} → {nodes[target].label}: {value:g}"
        )
        out[source] += wide
        into[target] += wide


def _ribbon(start: tuple[float, float], end: tuple[float, float], wide: float, colour: str, says: str) -> Markup:
    (x, y), (to_x, to_y) = start, end
    middle = (x + to_x) / 2
    there = f"M{x:.1f},{y:.1f}C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}v{wide:.1f}"
    back = f"C{middle:.1f},{to_y + wide:.1f} {middle:.1f},{y + wide:.1f} {x:.1f},{y + wide:.1f}z"
    return element("path", element("title", says), d=there + back, fill=colour)
