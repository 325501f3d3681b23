"""What a series usually is, and how far from that; both are learned slowly, and outliers move neither far.

Exponentially weighted mean of the value and of its absolute residual. A residual beyond `clip` usual ones is
taken as that large (Gelper, Fried, Croux 2010: robust exponential smoothing), so that one huge value moves
the mean by `clip / memory` of a usual residual and no more; a lasting change is learned all the same, at
that pace. During the first `memory` points the weight is 1 / n: a plain average.

Cost: a few multiplications a point. Misses: who raises a value patiently is followed.
"""

from __future__ import annotations

from node.detect.series.fixed import ONE, Micro
from node.detect.shape import Count, parse


class RobustEwma:
    """Judges before it learns: `deviation_of` looks, `learn` takes in."""

    def __init__(self, *, memory: int, clip: int, least_deviation: int, warmup: int) -> None:
        self._memory = memory
        self._clip = clip
        self._least_deviation = least_deviation * ONE
        self._warmup = warmup
        self._learned = 0
        self._mean = 0
        self._deviation = 0

    @property
    def mean(self) -> int:
        """The usual value, in the series' units."""
        return self._mean // ONE

    @property
    def usual_residual(self) -> int:
        """How far a value usually is from that, in the series' units, rounded up."""
        return -(-self._unit() // ONE)

    def deviation_of(self, value: int) -> Micro | None:
        """How far the value is from usual, in usual residuals; None before `warmup` points were learned."""
        if self._learned < self._warmup:
            return None
        return Micro((value * ONE - self._mean) * ONE // self._unit())

    def learn(self, value: int) -> None:
        """Take in the next value."""
        residual = value * ONE - self._mean if self._learned else 0
        if self._learned == 0:
            self._mean = value * ONE
        if self._learned >= self._warmup:
            bound = self._clip * self._unit()
            residual = max(-bound, min(bound, residual))
        self._learned += 1
        weight = min(self._learned, self._memory)
        self._mean += residual // weight
        self._deviation += (abs(residual) - self._deviation) // weight

    def state(self) -> list[int]:
        """How many were learned, the mean, the mean absolute residual; the last two in millionths."""
        return [self._learned, self._mean, self._deviation]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        self._learned, self._mean, self._deviation = parse(state, tuple[Count, int, Count])

    def _unit(self) -> int:
        return max(self._deviation, self._least_deviation, 1)
