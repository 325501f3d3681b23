"""Concentration: one holder gathers votes, pool shares or debt.

`holders` are holdings of the accounts that are followed, one series each or one for a cluster of
accounts, and `total` is the supply, in one unit. The largest share in basis points goes, less its robust
baseline, into a one-sided CUSUM: buying a little in each block adds up. The score is the sum in
millionths of a usual residual, from `interval` usual residuals on. `least_deviation` is in basis points,
`slack_bps` in basis points of a usual residual. Above `most_bps`, which the policy states, such as just
below a quorum of votes, no past is asked.

Cost: one maximum. Misses: holdings spread over accounts that nobody joined to a cluster, and votes that are
borrowed, used and given back in one block.
"""

from __future__ import annotations

from typing import ClassVar

from consensus.types import Bps
from node.detect.detector import State
from node.detect.parameter import Parameter, bps
from node.detect.scale import WHOLE_BPS
from node.detect.series.cusum import Side
from node.detect.series.detector import Reading, Role, SeriesDetector
from node.detect.series.finding import Finding
from node.detect.series.follower import BASELINE_PARAMETERS
from node.detect.series.shift import SHIFT_PARAMETERS, Shift


class Concentration(SeriesDetector):
    """Speaks of a largest share that grows, or that passes a stated bound."""

    name: ClassVar[str] = "concentration"
    roles: ClassVar[tuple[Role, ...]] = (
        Role(name="holders", least=1, most=64),
        Role(name="total", least=1, most=1),
    )
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
            side=Side.UP,
        )

    def observe(self, reading: Reading) -> Finding | None:
        holders = reading.every("holders")
        largest = max(0, *holders)
        share = largest * WHOLE_BPS // max(1, reading.one("total"))
        score = self._shift.next_score(reading, share)
        who = f"holder {holders.index(largest) + 1} of {len(holders)}" if largest else "nobody"
        if share > self._most_bps:
            return self.stated(
                share, f"{who} has {share} basis points of the total; the policy allows {self._most_bps}"
            )
        if not score:
            return None
        return self.learned(
            score,
            f"{who} gathers since block {self._shift.since}: {share} basis points of the total, usually "
            f"{self._shift.usual}",
        )

    def resume(self) -> None:
        self._shift.reset()

    def reset(self) -> None:
        self._shift.reset()

    def state(self) -> State:
        return self._shift.state()
