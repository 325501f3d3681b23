"""Abnormal volume: far more is traded, deposited or withdrawn at a block than usual, and than elsewhere.

`value` is a volume, zero or more, in any unit; `references` are volumes of the market, each in any unit,
since only moves of the logarithm count. The score is log2(1 + volume) beyond a robust baseline and beyond
what the references explain, in millionths of a usual residual; peaks over a threshold weigh it (DSPOT,
Siffer and others 2017). `least_deviation` is in millionths of a doubling.

Cost: about one logarithm a series. Misses: attacks of usual size, and a surge no larger than the
market's. Of a series that is mostly zero it learns little: sum it over an hour first.
"""

from __future__ import annotations

from typing import ClassVar

from node.detect.detector import State
from node.detect.parameter import Parameter
from node.detect.series.detector import ONE_VALUE, REFERENCES, Reading, Role, SeriesDetector
from node.detect.series.finding import Finding
from node.detect.series.fixed import ONE, compute_log2
from node.detect.series.follower import BASELINE_PARAMETERS, Follower


class AbnormalVolume(SeriesDetector):
    """Speaks of volumes above the baseline only."""

    name: ClassVar[str] = "abnormal_volume"
    roles: ClassVar[tuple[Role, ...]] = (ONE_VALUE, REFERENCES)
    parameters: ClassVar[tuple[Parameter, ...]] = BASELINE_PARAMETERS

    def __init__(self, *, memory: int, warmup: int, least_deviation: int) -> None:
        self._follower = Follower(memory=memory, warmup=warmup, least_deviation=least_deviation)

    def observe(self, reading: Reading) -> Finding | None:
        volume = reading.one("value")
        usual = self._follower.usual
        residual = self._follower.next_residual(
            _log(volume), [_log(each) for each in reading.every("references")]
        )
        if residual is None or residual <= 0:
            return None
        beyond = " beyond what the market explains" if reading.every("references") else ""
        return self.learned(
            residual,
            f"a volume of {volume}, usually about {_shown(usual)}: {residual // ONE} times the "
            f"usual deviation{beyond}",
        )

    def state(self) -> State:
        return self._follower.state()

    def restore(self, state: object) -> None:
        self._follower.restore(state)


def _shown(logarithm: int) -> int:
    """About the volume that has this logarithm: exact at powers of two, and by a straight line between them,
    at most 9 % off."""
    whole, fraction = divmod(max(0, logarithm), ONE)
    return (1 << whole) * (ONE + fraction) // ONE


def _log(volume: int) -> int:
    """A volume cannot be negative; one that is counts as none."""
    return compute_log2(1 + max(0, volume))
