"""Hourly volume: far more is traded than usually at this hour of the day, or of the week.

`value` is a volume, zero or more. Each hour of a season of `days` days, one or seven, has a robust baseline
of its own over log2(1 + volume), so that the rush of every morning is usual in the morning and not at night.
The score is what lies above the hour's baseline, in millionths of its usual residual. `memory` and `warmup`
count points of one hour; `least_deviation` is in millionths of a doubling.

Cost: one logarithm. Misses: the first days, until each hour has seen `warmup` points; rhythms that are not of
days, and whoever trades more at the busiest hour. `abnormal_volume` has references, this has none.
"""

from __future__ import annotations

from typing import ClassVar, Final

from node.detect.detector import State
from node.detect.parameter import Parameter
from node.detect.series.baseline import RobustEwma
from node.detect.series.detector import ONE_VALUE, Reading, Role, SeriesDetector
from node.detect.series.finding import Finding
from node.detect.series.fixed import ONE, compute_log2
from node.detect.series.follower import BASELINE_PARAMETERS, CLIP
from node.detect.shape import parse

HOUR_SECONDS: Final = 3_600
HOURS_OF_A_DAY: Final = 24


class HourlyVolume(SeriesDetector):
    """Speaks of volumes above the baseline of their hour only."""

    name: ClassVar[str] = "hourly_volume"
    roles: ClassVar[tuple[Role, ...]] = (ONE_VALUE,)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="days", least=1, most=7),
        *BASELINE_PARAMETERS,
    )

    def __init__(self, *, days: int, memory: int, warmup: int, least_deviation: int) -> None:
        self._hours = [
            RobustEwma(memory=memory, clip=CLIP, least_deviation=least_deviation, warmup=warmup)
            for _ in range(HOURS_OF_A_DAY * days)
        ]

    def observe(self, reading: Reading) -> Finding | None:
        volume = reading.one("value")
        logarithm = compute_log2(1 + max(0, volume))
        hour = reading.timestamp // HOUR_SECONDS % len(self._hours)
        baseline = self._hours[hour]
        residual = baseline.deviation_of(logarithm)
        baseline.learn(logarithm)
        if residual is None or residual <= 0:
            return None
        return self.learned(
            residual,
            f"a volume of {volume} at hour {hour} of {len(self._hours)}: {residual // ONE} times the usual "
            "deviation of that hour",
        )

    def state(self) -> State:
        return [each.state() for each in self._hours]

    def restore(self, state: object) -> None:
        hours = parse(state, list[list[int]])
        if len(hours) != len(self._hours):
            raise ValueError(f"expected {len(self._hours)} hours, came {len(hours)}")
        for baseline, each in zip(self._hours, hours, strict=True):
            baseline.restore(each)
