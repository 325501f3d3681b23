"""Storage record: a number in a contract's storage goes far above anything it ever was.

The data-flow caps of Trace2Inv (17 of 27 hacks at 1.6 %), on what is written instead of on arguments: a
share price, a total, a debt that jumps. Only plain slots are looked at, since each holds one thing; what
stands there is compared with the largest value written before, in `least_writes` learned transactions or
more. The score is the record in basis points of the old one, where it is at least `least_bps`. A word above
2**128 holds flags, an address or several numbers, and says nothing. Cost: one step for each storage access.
Misses: mappings, packed words, and numbers that are manipulated within their usual range. Its family is
that of the token movements: a large deposit sets records on both sides, and must not count as two.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from consensus.types import Bps
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps, count
from node.detect.privileged_change import PLAIN_SLOTS
from node.detect.scale import HIGHEST_BPS, SMALL, WHOLE_BPS
from node.detect.shape import Count, as_place, parse
from node.detect.shape import Place as WrittenPlace
from node.trace import Account, Slot, TransactionTrace

Place = tuple[Account, Slot]


class StorageRecord(Detector):
    """Remembers of each plain slot the largest number, and how many transactions wrote it."""

    name: ClassVar[str] = "storage_record"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), count("least_writes"))

    def __init__(self, *, least_bps: Bps, least_writes: int) -> None:
        self._least_bps = least_bps
        self._least_writes = least_writes
        self._largest: Counter[Place] = Counter()
        self._writes: Counter[Place] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        records = [
            (min(HIGHEST_BPS, value * WHOLE_BPS // self._largest[place]), place, value)
            for place, value in largest_written(transaction).items()
            if self._writes[place] >= self._least_writes and self._largest[place]
        ]
        bps, (contract, slot), value = max(records, default=(0, (Account(""), Slot(0)), 0))
        if bps < self._least_bps:
            return None
        return self.found(
            bps,
            f"slot {slot:#x} of {shown(contract)} becomes {value}; it was at most "
            f"{self._largest[(contract, slot)]}",
        )

    def learn(self, transaction: TransactionTrace) -> None:
        for place, value in largest_written(transaction).items():
            self._largest[place] = max(self._largest[place], value)
            self._writes[place] += 1

    def state(self) -> State:
        return {
            f"{contract} {slot:#x}": [self._largest[(contract, slot)], writes]
            for (contract, slot), writes in sorted(self._writes.items())
        }

    def restore(self, state: object) -> None:
        for written, (largest, writes) in parse(state, dict[WrittenPlace, tuple[Count, Count]]).items():
            self._largest[as_place(written)] = largest
            self._writes[as_place(written)] = writes


def largest_written(transaction: TransactionTrace) -> dict[Place, int]:
    """The largest number that each plain slot of the watched contracts takes on, at any time within."""
    largest: dict[Place, int] = {}
    for contract, access in transaction.watched_accesses:
        if access.is_write and access.slot < PLAIN_SLOTS and access.value < SMALL:
            place = (contract, access.slot)
            largest[place] = max(largest.get(place, 0), access.value)
    return largest
