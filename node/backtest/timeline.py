"""A line through a history of any length, in bounded memory: neighbours are merged, and extremes are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from node.backtest.report import Point

MAX_POINTS: Final = 4_096  # wider than any screen


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Points in order of time. Each stands for `width` transactions, the last for as many as came since."""

    points: list[Point] = field(default_factory=list)
    width: int = 1
    in_last: int = 0
    """How many transactions the last point stands for."""

    def add(self, point: Point) -> None:
        """Take in the next transaction. Attack and benign are never merged."""
        if self.points and self.in_last < self.width and self.points[-1].is_attack is point.is_attack:
            self.points[-1] = _merge(self.points[-1], point)
            self.in_last += 1
            return
        if len(self.points) >= MAX_POINTS:
            self._halve()
        self.points.append(point)
        self.in_last = 1

    def _halve(self) -> None:
        merged: list[Point] = []
        waiting: Point | None = None
        for point in self.points:
            if waiting is not None and waiting.is_attack is point.is_attack:
                merged.append(_merge(waiting, point))
                waiting = None
                continue
            if waiting is not None:
                merged.append(waiting)
            waiting = point
        if waiting is not None:
            merged.append(waiting)
        self.points = merged
        self.width *= 2


def _merge(first: Point, second: Point) -> Point:
    stranger = min(first, second, key=lambda point: point.strangeness)
    return Point(
        block_number=stranger.block_number,
        strangeness=stranger.strangeness,
        outflow_bps=max(first.outflow_bps, second.outflow_bps),
        is_attack=first.is_attack,
    )
