"""Flash-loan pattern: somebody lends a token and has it back within the transaction, and a watched
contract lost.

A lender is any account from which a token goes out first and to which it comes back in the same amount or
a little more, at most `fee_bps`: a pool's flash loan, a flash swap repaid in kind. Lending is no crime,
so a watched holding, other than what was lent, must have lost in the same transaction. The score is that
loss in basis points of the balance before, at most 10 000, where it is at least `least_bps`.

Cost: one step for each transfer. Noisy alone, so that by itself it asks for no more than an alert:
liquidators and arbitrageurs borrow the same way. Misses: loans in a coin without transfers (ether), loans
of a token whose transfers were not recorded, and profits in what was lent.
"""

from __future__ import annotations

from typing import ClassVar

from consensus.types import Bps
from node.detect.books import Balances
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps
from node.detect.scale import WHOLE_BPS
from node.trace import ZERO_ACCOUNT, Holding, TransactionTrace


class FlashLoan(Detector):
    """Keeps the balance of every token that a watched contract holds."""

    name: ClassVar[str] = "flash_loan"
    family: ClassVar[Family] = Family.VALUE
    brakes_alone: ClassVar[bool] = False
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("fee_bps"), bps("least_bps"))

    def __init__(self, *, fee_bps: Bps, least_bps: Bps) -> None:
        self._fee_bps = fee_bps
        self._least_bps = least_bps
        self._balances = Balances()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        lent = find_loans(transaction, self._fee_bps)
        if not lent:
            return None
        losses = [
            (min(WHOLE_BPS, -gained * WHOLE_BPS // before), holding)
            for holding, gained in transaction.net.items()
            if gained < 0
            and self._balances.is_watched(holding[1], transaction)
            and (before := self._balances.balance(holding))
        ]
        if not losses or max(losses)[0] < self._least_bps:
            return None
        lost_bps, (token, holder) = max(losses)
        loan, lender = lent[0]
        return self.found(
            lost_bps,
            f"{transaction.left[(loan, lender)]} of token {shown(loan)} are lent by {shown(lender)} and come "
            f"back, and {shown(holder)} loses {lost_bps} basis points of token {shown(token)}",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._balances.follow(transaction)

    def state(self) -> State:
        return self._balances.state()

    def restore(self, state: object) -> None:
        self._balances.restore(state)


def find_loans(transaction: TransactionTrace, fee_bps: Bps) -> tuple[Holding, ...]:
    """The holdings that went out first and came back whole, with at most `fee_bps` more; the largest loan
    first.

    Minting and burning is no lending, and neither is sending in a circle what one had just been sent.
    """
    seen: dict[Holding, None] = {}
    lenders: dict[Holding, None] = {}
    for transfer in transaction.transfers:
        out, into = (transfer.token, transfer.sender), (transfer.token, transfer.receiver)
        if out not in seen and transfer.sender not in {ZERO_ACCOUNT, transfer.receiver}:
            lenders[out] = None
        seen[out] = seen[into] = None
    left, came = transaction.left, transaction.came
    loans = [
        each
        for each in lenders
        if 0 < left[each] <= came.get(each, 0)
        and (came[each] - left[each]) * WHOLE_BPS <= left[each] * fee_bps
    ]
    return tuple(sorted(loans, key=lambda each: (-left[each], each)))
