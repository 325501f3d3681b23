"""Balance drain: one transaction takes a large part of a token that a watched contract holds.

Balances are kept from the recorded transfers. The score is the net outflow in basis points of the balance
before, at most 10 000, where it is at least `least_bps`. A balance below `dust_bps` of what it once was
does not count: the last depositor of an old pool takes all of nothing. How strange a drain is depends on
the protocol, since in a young one every withdrawal is large: its own history says so. Cost: one step for
each transfer. Misses: drains in many small steps, and tokens whose balances change without a transfer.
"""

from __future__ import annotations

from typing import ClassVar

from consensus.types import Bps
from node.detect.books import Books
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps
from node.trace import TransactionTrace


class BalanceDrain(Detector):
    """Keeps the balance of every token that a watched contract holds, and the highest it has been."""

    name: ClassVar[str] = "balance_drain"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), bps("dust_bps"))

    def __init__(self, *, least_bps: Bps, dust_bps: Bps) -> None:
        self._least_bps = least_bps
        self._books = Books(dust_bps=dust_bps)

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        worst = self._books.worst_drain(transaction)
        if worst is None or worst[0] < self._least_bps:
            return None
        bps, (token, holder) = worst
        left = -transaction.net[(token, holder)]
        return self.found(
            bps,
            f"{left} of token {shown(token)} leave {shown(holder)}, which held "
            f"{self._books.balance((token, holder))}: {bps} basis points",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._books.follow(transaction)

    def state(self) -> State:
        return self._books.state()

    def restore(self, state: object) -> None:
        self._books.restore(state)
