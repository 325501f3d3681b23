"""Drift: a signal's baseline no longer fits, because life has changed; somebody should learn it anew.

`value` is any series. A baseline is learned from the first `warmup` points and then stands; the residuals
from it, clipped to four usual ones, go through ADWIN (Bifet, Gavaldà 2007), which keeps a window of them
and cuts it where its two parts have different means, with a chance of `delta_ppm` to be wrong. After a
drift the baseline is learned anew. `least_deviation` is in the series' units.

ADWIN is river's and computes with floats, so that this gives a hint, which no certificate is made of. Its
window is no part of the state that is hashed. Cost: some microseconds a point. Misses: a rhythm that the
window averages away.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.detect.detector import State
from node.detect.parameter import Parameter
from node.detect.series.baseline import RobustEwma
from node.detect.series.detector import ONE_VALUE, Reading, Role, SeriesDetector
from node.detect.series.finding import Hint
from node.detect.series.fixed import ONE
from node.detect.series.follower import CLIP
from node.detect.shape import Count, parse

_WHOLE_PPM: Final = 1_000_000


class Drift(SeriesDetector):
    """A baseline that stands, and ADWIN over what is left of it."""

    name: ClassVar[str] = "drift"
    roles: ClassVar[tuple[Role, ...]] = (ONE_VALUE,)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="warmup", least=2, most=1_000_000),
        Parameter(name="least_deviation", least=1, most=10**18),
        Parameter(name="delta_ppm", least=1, most=_WHOLE_PPM - 1),
    )

    def __init__(self, *, warmup: int, least_deviation: int, delta_ppm: int) -> None:
        self._warmup = warmup
        self._least_deviation = least_deviation
        self._delta_ppm = delta_ppm
        self._learn_anew()

    def observe(self, reading: Reading) -> Hint | None:
        value = reading.one("value")
        residual = self._baseline.deviation_of(value)
        if residual is None:
            self._baseline.learn(value)
            self._learned_until = reading.block_number
            return None
        bound = CLIP * ONE
        # into [0, 1], which ADWIN's bound is stated for
        self._adwin.update((max(-bound, min(bound, residual)) + bound) / (2 * bound))
        if not self._adwin.drift_detected:
            return None
        hint = Hint(
            detector=self.name,
            summary=f"what was learned until block {self._learned_until} no longer fits: usual was "
            f"{self._baseline.mean}, now {value}; learn the baseline anew",
        )
        self._learn_anew()
        return hint

    def state(self) -> State:
        return [*self._baseline.state(), self._learned_until]

    def restore(self, state: object) -> None:
        *baseline, until = parse(state, tuple[int, int, int, Count])
        self._baseline.restore(baseline)
        self._learned_until = BlockNumber(until)

    def _learn_anew(self) -> None:
        self._baseline = RobustEwma(
            memory=self._warmup, clip=CLIP, least_deviation=self._least_deviation, warmup=self._warmup
        )
        self._learned_until = BlockNumber(0)
        self._adwin = _make_adwin(self._delta_ppm / _WHOLE_PPM)


def _make_adwin(delta: float) -> Any:
    try:
        from river.drift import ADWIN
    except ImportError:
        raise Refused(
            Reason.EXTRA_MISSING,
            "the detector drift needs river; install Tocsin with its extra: pip install 'tocsin[backtest]'",
        ) from None
    make: Any = ADWIN  # river has no types for what it compiled
    return make(delta=delta)
