"""Round trip: in one transaction a token goes into a watched contract and comes out of it again, as more.

The shape of an atomic profit: deposit and withdraw, swap and swap back, borrow and repay too little. It
counts when the contract gains no other token for it: then nothing was sold. The score is the loss in basis
points of the balance before, at most 10 000, where it is at least `least_bps`. Honest round trips pay for
the way, and leave the contract no poorer. Cost: one step for each transfer. Misses: a profit in another
token, and one that is covered by a worthless token paid in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from consensus.types import Bps
from node.detect.books import Balances
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps
from node.detect.scale import WHOLE_BPS
from node.trace import Holding, TransactionTrace


class RoundTrip(Detector):
    """Keeps the balance of every token that a watched contract holds."""

    name: ClassVar[str] = "round_trip"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"),)

    def __init__(self, *, least_bps: Bps) -> None:
        self._least_bps = least_bps
        self._balances = Balances()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        came, left = transaction.came, transaction.left
        net = transaction.net
        losses = [
            (min(WHOLE_BPS, -net[holding] * WHOLE_BPS // before), holding)
            for holding in came
            if 0 < came[holding] < left[holding]
            and self._balances.is_watched(holding[1], transaction)
            and not _sold(holding, net, came)
            and (before := self._balances.balance(holding))
        ]
        if not losses or max(losses)[0] < self._least_bps:
            return None
        bps, holding = max(losses)
        token, holder = holding
        return self.found(
            bps,
            f"{came[holding]} of token {shown(token)} go into {shown(holder)} and {left[holding]} come out",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._balances.follow(transaction)

    def state(self) -> State:
        return self._balances.state()

    def restore(self, state: object) -> None:
        self._balances.restore(state)


def _sold(holding: Holding, net: Mapping[Holding, int], came: Mapping[Holding, int]) -> bool:
    """Whether the holder gained another token. One that came in the same amount is the same movement, told a
    second time by the code behind a token's proxy."""
    return any(
        gained > 0 and other[1] == holding[1] and came[other] != came[holding]
        for other, gained in net.items()
    )
