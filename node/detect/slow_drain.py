"""Slow drain: a watched contract loses a large part of a token over some blocks, in several transactions.

For each holding the balance is known at the start of the last 5, 50 and 300 blocks (one minute, ten, an
hour). The score is what is gone since, in basis points of what was there, at most 10 000, where it is at
least `least_bps`: the largest of the three windows. Only a transaction that takes from the holding is
judged, and only where it was not alone: what one transaction takes is `balance_drain`'s. A balance below
`dust_bps` of what it once was does not count. How strange a drain is depends on the protocol: its own
history says so.

Cost: one step for each transfer, and a search among at most 300 balances for each holding that loses.
Misses: drains over more than 300 blocks (a signal over time finds those, `node/detect/series/`), and
tokens whose balances change without a transfer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import ClassVar, Final

from consensus.types import BlockNumber, Bps
from node.detect.books import Books, BooksState
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps
from node.detect.scale import WHOLE_BPS
from node.detect.shape import Count, Pair, as_holding, parse
from node.trace import Holding, TransactionTrace

WINDOWS: Final = (5, 50, 300)


class _State(BooksState):
    starts: dict[Pair, list[tuple[Count, Count]]]


class SlowDrain(Detector):
    """Keeps books, and what each holding was at the start of each recent block."""

    name: ClassVar[str] = "slow_drain"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), bps("dust_bps"))

    def __init__(self, *, least_bps: Bps, dust_bps: Bps) -> None:
        self._least_bps = least_bps
        self._books = Books(dust_bps=dust_bps)
        self._starts: dict[Holding, deque[tuple[BlockNumber, int]]] = {}
        """The blocks in which a holding changed, each with the balance before its first change."""

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        drains = [
            (lost, window, holding)
            for holding, gained in transaction.net.items()
            if gained < 0 and self._books.is_watched(holding[1], transaction)
            for window in WINDOWS
            if (lost := self._lost_bps(holding, gained, transaction.block_number, window)) is not None
        ]
        if not drains:
            return None
        # of equal losses the shortest window is the worst
        lost, window, holding = max(drains, key=lambda drain: (drain[0], -drain[1], drain[2]))
        if lost < self._least_bps:
            return None
        token, holder = holding
        return self.found(
            lost,
            f"{shown(holder)} has lost {lost} basis points of token {shown(token)} within {window} blocks",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        for holding, gained in transaction.net.items():
            if gained:
                self._remember(holding, transaction.block_number)
        self._books.follow(transaction)

    def state(self) -> State:
        return {
            **self._books.state(),
            "starts": {
                f"{token} {holder}": [list(start) for start in starts]
                for (token, holder), starts in sorted(self._starts.items())
            },
        }

    def restore(self, state: object) -> None:
        parsed: _State = parse(state, _State)
        self._books.restore(parsed)
        for pair, starts in parsed["starts"].items():
            self._starts[as_holding(pair)] = deque((BlockNumber(block), before) for block, before in starts)

    def _remember(self, holding: Holding, block_number: BlockNumber) -> None:
        starts = self._starts.setdefault(holding, deque())
        if not starts or starts[-1][0] != block_number:
            starts.append((block_number, self._books.balance(holding)))
        while starts[0][0] <= block_number - WINDOWS[-1]:
            starts.popleft()

    def _lost_bps(self, holding: Holding, gained: int, block_number: BlockNumber, window: int) -> Bps | None:
        """What was lost since the window's start; None where this transaction is alone, or it is dust."""
        now = self._books.balance(holding)
        starts = self._starts.get(holding, deque())
        first = bisect_right(starts, block_number - window, key=lambda start: start[0])
        before = starts[first][1] if first < len(starts) else now
        if before <= now or self._books.is_dust(holding, before):
            return None
        return Bps(min(WHOLE_BPS, (before - now - gained) * WHOLE_BPS // before))
