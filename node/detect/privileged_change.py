"""Privileged change: words of storage that were set once, long ago, are written again.

Owner, implementation, fee and token addresses are written when a contract is set up and hardly ever after.
They stand at plain places: a small slot number, or one of those that ERC-1967 fixes for proxies; what
belongs to users stands at hashed ones. A slot is cold when at most one in `cold_calls` of its contract's
transactions ever wrote it, the last `cold_calls` left it alone, and such a silence never ended in a write
before; so a total that changes now and then is not cold in between. The score is the number of cold slots
that a transaction writes: an owner changes one, a second initialisation all, and fewer than `least_slots`
are an owner at work. Cost: one step for each storage access. Misses: contracts younger than that, settings
in mappings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Final, TypedDict

from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, count
from node.detect.shape import Count, Name, Place, as_place, parse
from node.trace import Account, Slot, TransactionTrace

PLAIN_SLOTS: Final = 1 << 16
ERC1967_SLOTS: Final = frozenset(
    {
        0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC,  # implementation
        0xB53127684A568B3173AE13B9F8A6016E243E63B6E8EE1178D6A717850B5D6103,  # admin
        0xA3F0AD74E5423AEBFD80D3EF4346578335A9A72AEAEE59FF6CB3582B35133D50,  # beacon
    }
)


class _State(TypedDict):
    calls: dict[Name, Count]
    written_at: dict[Place, tuple[Count, Count, Count]]


class PrivilegedChange(Detector):
    """Remembers of each plain slot when it was last written, and the longest it was left alone before that;
    both in transactions that wrote to its contract."""

    name: ClassVar[str] = "privileged_change"
    family: ClassVar[Family] = Family.STATE
    parameters: ClassVar[tuple[Parameter, ...]] = (count("cold_calls"), count("least_slots"))

    def __init__(self, *, cold_calls: int, least_slots: int) -> None:
        self._least_slots = least_slots
        self._cold_calls = cold_calls
        self._calls: Counter[Account] = Counter()
        self._written_at: dict[tuple[Account, Slot], int] = {}
        self._writes: Counter[tuple[Account, Slot]] = Counter()
        self._longest: dict[tuple[Account, Slot], int] = {}

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        cold = sorted(
            {
                (contract, slot)
                for contract, slot, is_write in _plain_accesses(transaction)
                if is_write and self._is_cold(contract, slot)
            }
        )
        if len(cold) < self._least_slots:
            return None
        contract, slot = cold[0]
        age = self._calls[contract] - self._written_at[(contract, slot)]
        return self.found(
            len(cold),
            f"{len(cold)} settings are written that had long been left alone, such as slot {slot:#x} of "
            f"{shown(contract)} after {age} transactions",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        accesses = list(_plain_accesses(transaction))
        self._calls.update(
            {transaction.frames[place].contract for place in transaction.writing_frames}
            | {contract for contract, _, is_write in accesses if is_write}
        )
        for contract, slot, is_write in accesses:
            place = (contract, slot)
            if is_write and self._written_at.get(place) != self._calls[contract]:
                age = self._calls[contract] - self._written_at.get(place, self._calls[contract])
                self._longest[place] = max(age, self._longest.get(place, 0))
                self._written_at[place] = self._calls[contract]
                self._writes[place] += 1
            elif not is_write:
                # Read before it was ever seen written: it was set before the recording began.
                self._written_at.setdefault(place, 0)

    def state(self) -> State:
        return {
            "calls": dict(sorted(self._calls.items())),
            "written_at": {
                f"{contract} {slot:#x}": [
                    *(at, self._writes[(contract, slot)], self._longest.get((contract, slot), 0)),
                ]
                for (contract, slot), at in sorted(self._written_at.items())
            },
        }

    def restore(self, state: object) -> None:
        parsed = parse(state, _State)
        self._calls.update({Account(contract): calls for contract, calls in parsed["calls"].items()})
        for written, (at, writes, longest) in parsed["written_at"].items():
            place = as_place(written)
            self._written_at[place] = at
            self._writes[place] = writes
            self._longest[place] = longest

    def _is_cold(self, contract: Account, slot: Slot) -> bool:
        written_at = self._written_at.get((contract, slot))
        if written_at is None:
            return False
        age = self._calls[contract] - written_at
        is_rare = self._writes[(contract, slot)] * self._cold_calls <= self._calls[contract]
        return is_rare and age >= self._cold_calls > self._longest.get((contract, slot), 0)


def _plain_accesses(transaction: TransactionTrace) -> Iterator[tuple[Account, Slot, bool]]:
    for contract, access in transaction.watched_accesses:
        if access.slot < PLAIN_SLOTS or access.slot in ERC1967_SLOTS:
            yield contract, access.slot, access.is_write
