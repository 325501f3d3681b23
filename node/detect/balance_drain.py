"""Balance drain: one transaction takes a large part of a token that a watched contract holds.

Balances are kept from the recorded transfers. The score is the net outflow in basis points of the balance
before, at most 10 000, where it is at least `least_bps`. A balance below `dust_bps` of what it once was
does not count: the last depositor of an old pool takes all of nothing. How strange a drain is depends on
the protocol, since in a young one every withdrawal is large: its own history says so. Cost: one step for
each transfer. Misses: drains in many small steps, and tokens whose balances change without a transfer.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from consensus.types import Bps
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps
from node.detect.scale import WHOLE_BPS
from node.trace import Account, Holding, TransactionTrace


class BalanceDrain(Detector):
    """Keeps the balance of every token that a watched contract holds, and the highest it has been."""

    name: ClassVar[str] = "balance_drain"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), bps("dust_bps"))

    def __init__(self, *, least_bps: Bps, dust_bps: Bps) -> None:
        self._least_bps = least_bps
        self._dust_bps = dust_bps
        self._watched: dict[Account, None] = {}
        self._balances: Counter[Holding] = Counter()
        self._peaks: Counter[Holding] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        worst = max(self._drains(transaction), default=None)
        if worst is None or worst[0] < self._least_bps:
            return None
        bps, (token, holder) = worst
        left = -transaction.net[(token, holder)]
        return self.found(
            bps,
            f"{left} of token {shown(token)} leave {shown(holder)}, which held "
            f"{self._balances[(token, holder)]}: {bps} basis points",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._watched.update(dict.fromkeys(transaction.watched))
        for holding, gained in transaction.net.items():
            # Below zero means that something came in unseen; from zero on the books are right again.
            self._balances[holding] = max(0, self._balances[holding] + gained)
            self._peaks[holding] = max(self._peaks[holding], self._balances[holding])

    def state(self) -> State:
        return {
            "watched": sorted(self._watched),
            "balances": {
                f"{token} {holder}": [self._balances[(token, holder)], peak]
                for (token, holder), peak in sorted(self._peaks.items())
                if peak
            },
        }

    def _drains(self, transaction: TransactionTrace) -> list[tuple[int, Holding]]:
        drains = []
        for holding, gained in transaction.net.items():
            before = self._balances[holding]
            is_dust = before * WHOLE_BPS <= self._peaks[holding] * self._dust_bps
            is_watched = holding[1] in self._watched or holding[1] in transaction.watched
            if gained < 0 and is_watched and not is_dust:
                drains.append((min(WHOLE_BPS, -gained * WHOLE_BPS // before), holding))
        return drains
