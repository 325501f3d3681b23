"""A lasting shift of a signal: residual into CUSUM, and the sum as a score."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from consensus.types import BlockNumber, Bps
from node.detect.detector import State
from node.detect.parameter import Parameter, bps, count
from node.detect.scale import WHOLE_BPS
from node.detect.series.cusum import Cusum, Side
from node.detect.series.detector import Reading, SeriesDetector
from node.detect.series.fixed import ONE, Micro
from node.detect.series.follower import BASELINE_PARAMETERS, Follower
from node.detect.shape import parse

SHIFT_PARAMETERS: Final = (bps("slack_bps"), count("interval"))
"""What part of a usual residual a shift must exceed to add up, and from which sum on, in usual residuals, it
is worth a word."""


class Shift:
    """A follower with a CUSUM over its residuals."""

    def __init__(
        self,
        *,
        memory: int,
        warmup: int,
        least_deviation: int,
        slack_bps: Bps,
        interval: int,
        side: Side,
    ) -> None:
        self._follower = Follower(memory=memory, warmup=warmup, least_deviation=least_deviation)
        self._cusum = Cusum(slack=Micro(slack_bps * ONE // WHOLE_BPS), side=side)
        self._interval = interval * ONE

    def next_score(self, reading: Reading, signal: int) -> Micro:
        """The sum of shifts with this value, in millionths of a usual residual; 0 below the interval."""
        residual = self._follower.next_residual(signal, reading.every("references"))
        if residual is None:
            return Micro(0)
        total = self._cusum.add(residual, reading.block_number)
        return total if total >= self._interval else Micro(0)

    @property
    def usual(self) -> int:
        """The signal's usual value."""
        return self._follower.usual

    @property
    def since(self) -> BlockNumber:
        """Where the shift probably began."""
        return self._cusum.since

    def reset(self) -> None:
        """Begin to sum anew."""
        self._cusum.reset()

    def state(self) -> State:
        """The follower's state, then the sums."""
        return [self._follower.state(), self._cusum.state()]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        follower, cusum = parse(state, tuple[Any, Any])
        self._follower.restore(follower)
        self._cusum.restore(cusum)


class ShiftDetector(SeriesDetector):
    """Speaks of a signal that shifts to `side`, or that passes a bound that the policy states."""

    side: ClassVar[Side]
    parameters: ClassVar[tuple[Parameter, ...]] = (*BASELINE_PARAMETERS, *SHIFT_PARAMETERS, bps("most_bps"))

    def __init__(
        self, *, memory: int, warmup: int, least_deviation: int, slack_bps: Bps, interval: int, most_bps: Bps
    ) -> None:
        self._most_bps = most_bps
        self._shift = Shift(
            memory=memory,
            warmup=warmup,
            least_deviation=least_deviation,
            slack_bps=slack_bps,
            interval=interval,
            side=self.side,
        )

    def resume(self) -> None:
        self._shift.reset()

    def reset(self) -> None:
        self._shift.reset()

    def state(self) -> State:
        return self._shift.state()

    def restore(self, state: object) -> None:
        self._shift.restore(state)
