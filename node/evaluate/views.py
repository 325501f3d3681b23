"""What evaluation may ask of a block, as a Protocol.

`BlockView` of node/observe satisfies it, and so does a recording. Evaluation imports no socket and no chain
client; everything it learns comes through here, pinned to one block by its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from consensus.types import Address, BlockHash, BlockNumber, ChainId, Seconds

Call = tuple[Address, bytes]
"""Target and calldata of one `eth_call`."""


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

    async def prefetch(self, calls: Sequence[Call]) -> None:
        """Fetch several calls in one round trip, so that `eth_call` answers them from memory."""
        ...

    async def ancestor(self, k: int) -> View:
        """The view of the block k before this one, found by parent hashes; k = 0 is this view."""
        ...
