"""Pending transactions that may still come, and which of them is run next at a block.

At each new block all of them are run again, new ones first, since what a transaction does depends on the
state. Whoever floods a mempool must pay for being run: among the new, those that name what is watched come
first, then those that pay more. What is not reached before the next block is passed over, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from consensus.types import BlockHash
from node.chain.signed import SignedTransaction
from node.chain.types import BlockRef
from node.trace import Account

MAX_HELD: Final = 4_096
MAX_HELD_BYTES: Final = 16 * 2**20
MAX_RUN_PER_BLOCK: Final = 256
"""Some seconds of an endpoint's time, a fraction of one in process."""
MAX_AGE_BLOCKS: Final = 64
"""What no block took for so long is forgotten; it comes again when it is sent again."""

_Rank = tuple[bool, bool, int, bytes]


@dataclass(slots=True)
class _Held:
    signed: SignedTransaction
    names_watched: bool
    since: int
    was_run: bool = False
    run_at: BlockHash | None = None

    def rank(self) -> _Rank:
        """Those that come first are smallest."""
        return (self.was_run, not self.names_watched, -self.signed.max_fee_wei, self.signed.hash)


@dataclass(slots=True)
class PendingPool:
    """Bounded in number and bytes; when it is full, what ranks last makes room."""

    watched: frozenset[Account]
    passed_over: int = 0
    """Transactions that were held, and not run before the next block came."""
    forgotten: int = 0
    """For want of room, or too old."""
    _held: dict[bytes, _Held] = field(default_factory=dict)
    _bytes: int = 0
    _at: BlockRef | None = None
    _left: int = MAX_RUN_PER_BLOCK
    _queue: list[tuple[_Rank, bytes]] = field(default_factory=list)
    """What is to be run at this block, by rank; what was dropped meanwhile is passed by."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, transactions: Iterable[SignedTransaction]) -> None:
        """Take in what a mempool shows."""
        for each in transactions:
            if each.hash in self._held:
                continue
            since = 0 if self._at is None else self._at.number
            held = self._held[each.hash] = _Held(each, self._names_watched(each), since)
            self._bytes += len(each.raw)
            heappush(self._queue, (held.rank(), each.hash))
        self._make_room()

    def get(self, subject: bytes) -> SignedTransaction | None:
        """The transaction with this hash, where it is held."""
        held = self._held.get(subject)
        return None if held is None else held.signed

    def drop(self, subject: bytes) -> None:
        """It will not come any more."""
        held = self._held.pop(subject, None)
        if held is not None:
            self._bytes -= len(held.signed.raw)

    def take_next(self, at: BlockRef) -> SignedTransaction | None:
        """What is run next at this block; None: nothing more."""
        if self._at != at:
            self._turn_to(at)
        while self._queue and self._left:
            chosen = self._held.get(heappop(self._queue)[1])
            if chosen is not None and chosen.run_at != at.hash:
                self._left -= 1
                chosen.was_run, chosen.run_at = True, at.hash
                return chosen.signed
        return None

    def _turn_to(self, at: BlockRef) -> None:
        if self._at is not None:
            self.passed_over += sum(each.run_at != self._at.hash for each in self._held.values())
        self._at, self._left = at, MAX_RUN_PER_BLOCK
        for each in list(self._held.values()):
            if each.since == 0:
                each.since = at.number
            if at.number - each.since > MAX_AGE_BLOCKS:
                self.drop(each.signed.hash)
                self.forgotten += 1
        self._queue = [(each.rank(), subject) for subject, each in self._held.items()]
        heapify(self._queue)

    def _make_room(self) -> None:
        if len(self._held) <= MAX_HELD and self._bytes <= MAX_HELD_BYTES:
            return
        for last in sorted(self._held.values(), key=_Held.rank, reverse=True):
            if len(self._held) <= MAX_HELD and self._bytes <= MAX_HELD_BYTES:
                return
            self.drop(last.signed.hash)
            self.forgotten += 1

    def _names_watched(self, signed: SignedTransaction) -> bool:
        """Whether it calls a watched contract, or has one's address in its data."""
        to = None if signed.to is None else signed.to.lower()
        return to in self.watched or any(bytes.fromhex(each[2:]) in signed.data for each in self.watched)
