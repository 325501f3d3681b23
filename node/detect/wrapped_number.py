"""Wrapped number: a word of storage falls below zero and comes out just below 2**256.

A write counts when the same transaction read less than 2**128 from the slot before and writes 2**256 -
2**128 or more. The largest value itself does not count: it is how people approve without a limit. Contracts
that keep signed numbers, or wrap by design, do so in daily use: the score is the number of wraps in
contracts that were never learned to do so. Cost: one step for each storage access. Misses: numbers that
share a word with others.
"""

from __future__ import annotations

from typing import ClassVar, Final

from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.scale import SMALL
from node.detect.shape import Name, parse
from node.trace import Account, Slot, TransactionTrace

LARGEST: Final = (1 << 256) - 1


class WrappedNumber(Detector):
    """Remembers which contracts keep numbers below zero."""

    name: ClassVar[str] = "wrapped_number"
    family: ClassVar[Family] = Family.STATE

    def __init__(self) -> None:
        self._wrapping: dict[Account, None] = {}

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        new = [wrap for wrap in find_wraps(transaction) if wrap[0] not in self._wrapping]
        if not new:
            return None
        contract, slot = new[0]
        return self.found(
            len(new), f"slot {slot:#x} of {shown(contract)} goes below zero and wraps; none of it ever did"
        )

    def learn(self, transaction: TransactionTrace) -> None:
        self._wrapping.update((contract, None) for contract, _ in find_wraps(transaction))

    def state(self) -> State:
        return sorted(self._wrapping)

    def restore(self, state: object) -> None:
        self._wrapping = dict.fromkeys(Account(each) for each in parse(state, list[Name]))


def find_wraps(transaction: TransactionTrace) -> tuple[tuple[Account, Slot], ...]:
    """The slots of watched contracts that wrap, each once."""
    wraps: dict[tuple[Account, Slot], None] = {}
    known: dict[tuple[Account, Slot], int] = {}
    for contract, access in transaction.watched_accesses:
        place = (contract, access.slot)
        if access.is_write and LARGEST - SMALL < access.value < LARGEST and known.get(place, SMALL) < SMALL:
            wraps[place] = None
        known[place] = access.value
    return tuple(sorted(wraps))
