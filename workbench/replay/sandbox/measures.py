"""What a sandbox says of itself: its walls, one by one, and whether they suffice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One wall: what it keeps out, whether it stands, and how, or why not."""

    keeps: str
    held: bool
    says: str


@dataclass(frozen=True)
class Isolation:
    """The walls around this process."""

    measures: tuple[Measure, ...]
    needed: tuple[str, ...] = ("no network", "writes only to scratch")

    @property
    def sandboxed(self) -> bool:
        """Whether every wall stands without which code could still touch something real."""
        return {measure.keeps for measure in self.measures if measure.held}.issuperset(self.needed)

    def __str__(self) -> str:
        held = ", ".join(f"{measure.keeps} ({measure.says})" for measure in self.measures if measure.held)
        lacks = "; ".join(f"{measure.keeps}: {measure.says}" for measure in self.measures if not measure.held)
        if self.sandboxed:
            return f"sandboxed: {held}" + (f"; without {lacks}" if lacks else "")
        return f"guarded, not sandboxed: {lacks}" + (f"; in force: {held}" if held else "")
