"""Where a chain stands, for whoever has to wait for its next block."""

from __future__ import annotations

import trio

from consensus.types import BlockNumber
from node.chain.types import BlockRef


class HeadClock:
    """The latest head of one chain, and the wait for a later one. Time here is counted in blocks.

    Only `age_seconds` knows another clock, for people.
    """

    def __init__(self) -> None:
        self._latest: BlockRef | None = None
        self._came_at: float | None = None
        self._moved = trio.Event()

    @property
    def latest(self) -> BlockRef | None:
        """The newest head that was announced, None before the first."""
        return self._latest

    @property
    def age_seconds(self) -> float | None:
        """Since the newest head came, by a clock that nobody sets; None before the first."""
        return None if self._came_at is None else trio.current_time() - self._came_at

    def advance(self, head: BlockRef) -> None:
        """Announce a head; a reorganisation may announce a lower one."""
        self._latest = head
        self._came_at = trio.current_time()
        self._moved.set()
        self._moved = trio.Event()

    async def wait_beyond(self, number: BlockNumber | None) -> BlockRef:
        """The first head above `number` (any head for None), waiting for it when it is not there yet."""
        while self._latest is None or (number is not None and self._latest.number <= number):
            await self._moved.wait()
        return self._latest

    async def wait_other(self, head: BlockRef) -> BlockRef:
        """The first head that is not `head`: a later one, or another after a reorganisation."""
        while self._latest is None or self._latest.hash == head.hash:
            await self._moved.wait()
        return self._latest
