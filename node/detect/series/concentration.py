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

from node.detect.scale import WHOLE_BPS
from node.detect.series.cusum import Side
from node.detect.series.detector import Reading, Role
from node.detect.series.finding import Finding
from node.detect.series.shift import ShiftDetector


class Concentration(ShiftDetector):
    """Speaks of a largest share that grows, or that passes a stated bound."""

    name: ClassVar[str] = "concentration"
    roles: ClassVar[tuple[Role, ...]] = (
        Role(name="holders", least=1, most=64),
        Role(name="total", least=1, most=1),
    )
    side: ClassVar[Side] = Side.UP

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
