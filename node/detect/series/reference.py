"""What the market explains of a signal: judged is what is left.

Volume everywhere grows tenfold when prices fall; a pool's own volume is strange only where it grows beyond
that. `Reference` follows a signal and the median of its reference signals, so that one of them alone moves
nothing, and learns the slope of the signal upon it: exponentially weighted covariance over variance, with
moves clipped like those of the baseline.

A slope that was learned from calm days is too small for a crash: on a calm day most of a signal's movement is
its own (attenuation). So the reference may explain anything between the learned slope and its own whole move,
and what lies outside of that is left. The reference's move is explained in its direction only: a market
that falls does not excuse a signal that rises.

While the references are further from usual than `STRESSED` of their usual residuals, one point in
`LEARNED_IN_STRESS` is learned: a crash must not become what is usual while it lasts, for then its end would
look strange; a market that stays elsewhere is learned in the end.

Cost: a median and a few multiplications a point. Misses: an attack no larger than the market's own move, and
one who moves more than half of the references. The owner chooses references that the protocol does not
feed itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.detect.series.baseline import RobustEwma
from node.detect.series.fixed import ONE, Micro, compute_median
from node.detect.shape import Count, parse

STEEPEST: Final = 3
"""The slope at most; liquidations follow a price more than once over, but not without end."""

STRESSED: Final = 3
LEARNED_IN_STRESS: Final = 16


class Reference:
    """The slope of one signal upon the median of others; all in the same units, such as log-volumes."""

    def __init__(self, *, memory: int, clip: int, least_deviation: int, warmup: int) -> None:
        self._memory = memory
        self._clip = clip
        self._signal = RobustEwma(memory=memory, clip=clip, least_deviation=least_deviation, warmup=warmup)
        self._market = RobustEwma(memory=memory, clip=clip, least_deviation=least_deviation, warmup=warmup)
        self._covariance = 0
        self._variance = 0
        self._stressed = 0

    @property
    def slope(self) -> Micro:
        """How much of the market's move the signal usually follows, from 0 to `STEEPEST`."""
        if self._variance == 0:
            return Micro(0)
        return Micro(max(0, min(STEEPEST * ONE, self._covariance * ONE // self._variance)))

    def explain(self, signal: int, references: Sequence[int]) -> int:
        """The signal without what the references' move explains of its own move: during the warm-up
        nothing."""
        middle = compute_median(references)
        if self._market.deviation_of(middle) is None:
            return signal
        market = middle - self._market.mean
        move = signal - self._signal.mean
        low, high = sorted((market * self.slope // ONE, market))
        return signal - max(low, min(high, move))

    def learn(self, signal: int, references: Sequence[int]) -> bool:
        """Take in the next values, if they are to be learned from; gives whether they were."""
        middle = compute_median(references)
        if self._is_passed_over(middle):
            return False
        moves = (
            self._clipped(self._signal, signal),
            self._clipped(self._market, middle),
        )
        self._signal.learn(signal)
        self._market.learn(middle)
        self._covariance += (moves[0] * moves[1] - self._covariance) // self._memory
        self._variance += (moves[1] * moves[1] - self._variance) // self._memory
        return True

    def state(self) -> list[int]:
        """Both baselines, covariance and variance, for how many points there has been stress."""
        return [
            *self._signal.state(),
            *self._market.state(),
            self._covariance,
            self._variance,
            self._stressed,
        ]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        numbers = parse(state, tuple[int, int, int, int, int, int, int, Count, Count])
        self._signal.restore(numbers[:3])
        self._market.restore(numbers[3:6])
        self._covariance, self._variance, self._stressed = numbers[6:]

    def _is_passed_over(self, middle: int) -> bool:
        deviation = self._market.deviation_of(middle)
        is_stressed = deviation is not None and abs(deviation) > STRESSED * ONE
        self._stressed = self._stressed + 1 if is_stressed else 0
        return self._stressed % LEARNED_IN_STRESS != 0

    def _clipped(self, baseline: RobustEwma, value: int) -> int:
        """The move in units of the signal's usual one, so that both are alike; none before the warm-up."""
        if baseline.deviation_of(value) is None:
            return 0
        bound = self._clip * baseline.usual_residual
        return max(-bound, min(bound, value - baseline.mean))
