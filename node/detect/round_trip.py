"""Round trip: in one transaction a token goes into a watched contract and comes out of it again, as more.

The shape of an atomic profit: deposit and withdraw, swap and swap back, borrow and repay too little. The score is
the loss in basis points of the balance before, plus one, at most 10 001. Honest round trips pay for the way
and leave the contract no poorer. Cost: one step for each transfer. Misses: a profit in another token.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from node.detect.balance_drain import WHOLE_BPS
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.movements import Holding, compute_gross, compute_net
from node.trace import Account, TransactionTrace


class RoundTrip(Detector):
    """Keeps the balance of every token that a watched contract holds."""

    name: ClassVar[str] = "round_trip"
    family: ClassVar[Family] = Family.VALUE

    def __init__(self) -> None:
        self._watched: dict[Account, None] = {}
        self._balances: Counter[Holding] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        came, left = compute_gross(transaction.transfers)
        losses = [
            (min(WHOLE_BPS, (left[holding] - came[holding]) * WHOLE_BPS // before), holding)
            for holding in came
            if 0 < came[holding] < left[holding]
            and holding[1] in self._watched
            and (before := self._balances[holding])
        ]
        if not losses:
            return None
        bps, holding = max(losses)
        token, holder = holding
        return self.found(
            bps + 1,
            f"{came[holding]} of token {shown(token)} go into {shown(holder)} and {left[holding]} come out",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._watched.update(dict.fromkeys(frame.contract for frame in transaction.frames))
        for holding, gained in compute_net(transaction.transfers).items():
            self._balances[holding] = max(0, self._balances[holding] + gained)

    def state(self) -> State:
        return {
            "watched": list(sorted(self._watched)),
            "balances": {
                f"{token} {holder}": units for (token, holder), units in sorted(self._balances.items()) if units
            },
        }
