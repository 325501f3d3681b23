"""Depeg: everybody swaps one of a pool's coins for the others, long before its price gives way.

`balances` are what the pool holds of each coin, in one unit of value at par. A pool whose coins are worth
the same holds about as much of each; the entropy of the shares, 1 where they are equal, falls as one coin
is dumped (Curvemetrics, arXiv 2306.10612, where it rang five hours before USDC left 0.99). Entropy in
millionths, less its robust baseline, goes into a CUSUM downwards. The score is the sum in millionths of a
usual residual, from `interval` usual residuals on. `least_deviation` is in millionths of entropy,
`slack_bps` in basis points of a usual residual. Where one coin has more than `most_bps` of the pool, no
past is asked.

Cost: a logarithm a coin. Misses: a pool so large that nobody moves it, and a depeg that trades elsewhere.
"""

from __future__ import annotations

from typing import ClassVar

from node.detect.scale import WHOLE_BPS
from node.detect.series.cusum import Side
from node.detect.series.detector import Reading, Role
from node.detect.series.finding import Finding
from node.detect.series.fixed import compute_entropy
from node.detect.series.shift import ShiftDetector


class Depeg(ShiftDetector):
    """Speaks of an entropy that falls, or of a share that passes a stated bound."""

    name: ClassVar[str] = "depeg"
    roles: ClassVar[tuple[Role, ...]] = (Role(name="balances", least=2, most=8),)
    side: ClassVar[Side] = Side.DOWN

    def observe(self, reading: Reading) -> Finding | None:
        balances = [max(0, balance) for balance in reading.every("balances")]
        total = sum(balances)
        if total == 0:  # an empty pool says nothing of what its coins are worth
            return None
        score = self._shift.next_score(reading, compute_entropy(balances))
        share = max(balances) * WHOLE_BPS // total
        coin = f"coin {balances.index(max(balances)) + 1} of {len(balances)}"
        if share > self._most_bps:
            return self.stated(
                share, f"{coin} is {share} basis points of the pool; the policy allows {self._most_bps}"
            )
        if not score:
            return None
        return self.learned(
            score,
            f"the pool has filled with one coin since block {self._shift.since}: {coin} is {share} basis "
            "points of it",
        )
