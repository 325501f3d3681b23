"""Books over the watched contracts: who holds how much of each token, as the recorded transfers tell it.

A recording that begins in mid-life has books that are too low, since nobody saw what came in before; an
account is never taken to hold less than nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TypedDict

from consensus.types import Bps
from node.detect.detector import State
from node.detect.scale import WHOLE_BPS
from node.detect.shape import Count, Name, Pair, as_holding, parse
from node.trace import Account, Holding, Token, TransactionTrace


class _Balances(TypedDict):
    watched: list[Name]
    balances: dict[Pair, Count]


class BooksState(TypedDict):
    """The shape of what `Books.state` gives."""

    watched: list[Name]
    balances: dict[Pair, tuple[Count, Count]]


class Balances:
    """The balance of every holding, and which contracts are watched."""

    def __init__(self) -> None:
        self._watched: dict[Account, None] = {}
        self._balances: Counter[Holding] = Counter()

    def balance(self, holding: Holding) -> int:
        """What is held, in the token's units."""
        return self._balances[holding]

    def is_watched(self, holder: Account, transaction: TransactionTrace) -> bool:
        """Whether the holder is a contract that was watched before, or is in this transaction."""
        return holder in self._watched or holder in transaction.watched

    def follow(self, transaction: TransactionTrace) -> None:
        """Book a transaction."""
        self._watched.update(dict.fromkeys(transaction.watched))
        for holding, gained in transaction.net.items():
            # Below zero means that something came in unseen; from zero on the books are right again.
            self._balances[holding] = max(0, self._balances[holding] + gained)

    def state(self) -> dict[str, State]:
        """All of it, as plain JSON values."""
        return {
            "watched": sorted(self._watched),
            "balances": {
                f"{token} {holder}": units
                for (token, holder), units in sorted(self._balances.items())
                if units
            },
        }

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        parsed: _Balances = parse(state, _Balances)
        self._watched = dict.fromkeys(Account(each) for each in parsed["watched"])
        self._balances.update({as_holding(pair): units for pair, units in parsed["balances"].items()})


class Books(Balances):
    """The balances, and the highest that each has been."""

    def __init__(self, *, dust_bps: Bps) -> None:
        super().__init__()
        self._dust_bps = dust_bps
        self._peaks: Counter[Holding] = Counter()

    def all_held(self) -> dict[str, int]:
        """What the watched contracts hold of each token, all together, in its units."""
        held: dict[str, int] = {}
        for (token, holder), units in self._balances.items():
            if units and holder in self._watched:
                held[token] = held.get(token, 0) + units
        return held

    def worst_drain(self, transaction: TransactionTrace) -> tuple[int, Holding] | None:
        """The largest share that leaves a watched contract's holding, in basis points of the balance before;
        None where nothing leaves. A balance that is dust beside its peak does not count."""
        return max(self._drains(transaction), default=None)

    def is_dust(self, holding: Holding, units: int) -> bool:
        """Whether so much of a holding is a remainder beside its peak."""
        return units * WHOLE_BPS <= self._peaks[holding] * self._dust_bps

    def outflows(self, transaction: TransactionTrace) -> Counter[Token]:
        """What leaves the watched contracts in all, by token, in its units; below zero where more comes
        in."""
        left: Counter[Token] = Counter()
        for (token, holder), gained in transaction.net.items():
            if self.is_watched(holder, transaction):
                left[token] -= gained
        return left

    def follow(self, transaction: TransactionTrace) -> None:
        """Book a transaction."""
        super().follow(transaction)
        for holding in transaction.net:
            self._peaks[holding] = max(self._peaks[holding], self._balances[holding])

    def state(self) -> dict[str, State]:
        """All of it, as plain JSON values."""
        return {
            "watched": sorted(self._watched),
            "balances": {
                f"{token} {holder}": [self._balances[(token, holder)], peak]
                for (token, holder), peak in sorted(self._peaks.items())
                if peak
            },
        }

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        parsed: BooksState = parse(state, BooksState)
        self._watched = dict.fromkeys(Account(each) for each in parsed["watched"])
        for pair, (balance, peak) in parsed["balances"].items():
            self._balances[as_holding(pair)] = balance
            self._peaks[as_holding(pair)] = peak

    def _drains(self, transaction: TransactionTrace) -> list[tuple[int, Holding]]:
        drains = []
        for holding, gained in transaction.net.items():
            before = self._balances[holding]
            is_loss = gained < 0 and self.is_watched(holding[1], transaction)
            if is_loss and not self.is_dust(holding, before):
                drains.append((min(WHOLE_BPS, -gained * WHOLE_BPS // before), holding))
        return drains
