"""Oracle deviation: the price that a protocol uses is not the price elsewhere, and stays so.

`price` and `references` are prices of one thing in one unit, from sources that do not feed each other.
The deviation is |price - median of the references| in basis points of that median; it speaks where the
deviation was above `most_bps` in `least_points` of the last `points` points, this one among them.
Persistence is what makes it useful: a bare range raised false alarms on 22 % of transactions (Trace2Inv).
The bound is the policy's, so there is nothing to learn; the score is the deviation. Choose `most_bps`
above the feed's own threshold of deviation.

Cost: a median. Misses: a price that is wrong within one block only, which trace detectors and a
comparison of spot with time-weighted price see, and one that is wrong everywhere.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Literal

from consensus.types import Bps
from node.detect.detector import State
from node.detect.parameter import Parameter, bps, count
from node.detect.scale import HIGHEST_BPS, WHOLE_BPS
from node.detect.series.detector import Reading, Role, SeriesDetector
from node.detect.series.finding import Finding
from node.detect.series.fixed import compute_median
from node.detect.shape import parse


class OracleDeviation(SeriesDetector):
    """Remembers which of the last points deviated."""

    name: ClassVar[str] = "oracle_deviation"
    roles: ClassVar[tuple[Role, ...]] = (
        Role(name="price", least=1, most=1),
        Role(name="references", least=1, most=16),
    )
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("most_bps"), count("least_points"), count("points"))

    def __init__(self, *, most_bps: Bps, least_points: int, points: int) -> None:
        self._most_bps = most_bps
        self._least_points = least_points
        self._deviated: deque[int] = deque(maxlen=points)

    def observe(self, reading: Reading) -> Finding | None:
        price, median = reading.one("price"), compute_median(reading.every("references"))
        deviation = compute_deviation(price, median)
        self._deviated.append(int(deviation > self._most_bps))
        if not self._deviated[-1] or sum(self._deviated) < self._least_points:
            return None
        return self.stated(
            deviation,
            f"the price {price} is {deviation} basis points off the median {median} of "
            f"{len(reading.every('references'))} others, in {sum(self._deviated)} of the last "
            f"{len(self._deviated)} points; the policy allows {self._most_bps}",
        )

    def resume(self) -> None:
        self._deviated.clear()

    def state(self) -> State:
        return list(self._deviated)

    def restore(self, state: object) -> None:
        self._deviated.extend(parse(state, list[Literal[0, 1]]))


def compute_deviation(price: int, median: int) -> Bps:
    """|price - median| in basis points of the median, at most a thousand times the whole; any price is off a
    median of nothing."""
    if median <= 0:
        return Bps(0 if price == median else HIGHEST_BPS)
    return Bps(min(HIGHEST_BPS, abs(price - median) * WHOLE_BPS // median))
