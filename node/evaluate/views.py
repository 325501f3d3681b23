"""What evaluation may ask of a block, as a Protocol.

`BlockView` of node/observe satisfies it, and so does a recording. Evaluation imports no socket and no chain
client; everything it learns comes through here, pinned to one block by its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus.types import Address, BlockHash, BlockNumber, ChainId, Seconds

Call = tuple[Address, bytes]
"""Target and calldata of one `eth_call`."""


Slot = tuple[Address, int]
"""A contract and the number of one slot of its storage."""
Topic = tuple[Address, bytes]
"""A contract and the first topic of its events: the hash of their signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """Reads of one block that are to be fetched together."""

    calls: tuple[Call, ...] = ()
    slots: tuple[Slot, ...] = ()
    balances: tuple[Address, ...] = ()
    events: tuple[Topic, ...] = ()

    def __or__(self, other: Wants) -> Wants:
        return Wants(
            calls=self.calls + other.calls,
            slots=self.slots + other.slots,
            balances=self.balances + other.balances,
            events=self.events + other.events,
        )

    def __len__(self) -> int:
        return len(self.calls) + len(self.slots) + len(self.balances) + len(self.events)


class Event(Protocol):
    """One log of a block; `Log` of node/chain satisfies it."""

    @property
    def address(self) -> Address: ...
    @property
    def topics(self) -> tuple[bytes, ...]: ...
    @property
    def data(self) -> bytes: ...


class Creation(Protocol):
    """A contract that a transaction created and did not undo; `Creation` of node/observe satisfies it."""

    @property
    def sender(self) -> Address:
        """Who sent the transaction."""
        ...

    @property
    def creator(self) -> Address:
        """Who created the contract: the sender, or a contract that was called."""
        ...

    @property
    def contract(self) -> Address: ...


class Block(Protocol):
    """The place that a view is pinned to; `BlockRef` of node/chain satisfies it."""

    @property
    def chain_id(self) -> ChainId: ...
    @property
    def number(self) -> BlockNumber: ...
    @property
    def hash(self) -> BlockHash: ...
    @property
    def parent_hash(self) -> BlockHash: ...
    @property
    def timestamp(self) -> Seconds: ...


class View(Protocol):
    """Reads of one block, by hash.

    A read raises `Unavailable` when the sources gave no answer that can be checked (it may come later), and
    `Refused` (CALL_REVERTED) when the chain itself says no: the call reverts there, for every watcher alike.
    """

    @property
    def ref(self) -> Block: ...

    async def eth_call(self, to: Address, data: bytes) -> bytes:
        """What the contract returns at this block."""
        ...

    async def storage(self, account: Address, slot: int) -> bytes:
        """One 32-byte word of a contract's storage."""
        ...

    async def balance(self, account: Address) -> int:
        """Native coin in wei."""
        ...

    async def logs(
        self, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> Sequence[Event]:
        """The events of this block, in the order of their index."""
        ...

    async def code(self, account: Address) -> bytes:
        """The account's code at this block, empty where it has none."""
        ...

    async def creations(self) -> Sequence[Creation]:
        """The contracts that this block's transactions created and did not undo, in order. Raises
        `Unavailable` where no traces tell."""
        ...

    async def prefetch_codes(self, accounts: Sequence[Address]) -> None:
        """Fetch several accounts' code in one round trip, so that it is answered from memory."""
        ...

    async def nonce(self, account: Address) -> int:
        """How many transactions the account has sent up to this block, this one included."""
        ...

    async def prefetch_nonces(self, accounts: Sequence[Address]) -> None:
        """Fetch several accounts' nonces in one round trip, so that they are answered from memory."""
        ...

    async def run_trap(self, data: bytes) -> bytes:
        """What the runner of traps answers to `data` at this block (`traps.py`)."""
        ...

    async def prefetch(
        self,
        calls: Sequence[Call],
        *,
        slots: Sequence[Slot] = (),
        balances: Sequence[Address] = (),
        events: Sequence[Topic] = (),
    ) -> None:
        """Fetch several reads in one round trip, so that they are answered from memory."""
        ...

    async def ancestor(self, k: int) -> View:
        """The view of the block k before this one, found by parent hashes; k = 0 is this view."""
        ...
