"""Follows the head of one chain: every block once, in order, over gaps, outages and reorgs.

                      wakes up                        agreed on by m of n
    websocket heads ───────────► one loop that asks ◄──────────────────── ChainReader
    poll interval   ───────────►        │
                                        ▼
                      HeadEvent: EXTENDED | REORGED | RESUMED

What a websocket says only wakes the loop: no block gets out that the reader did not agree on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import trio

from consensus.errors import Unavailable
from consensus.types import BlockHash, BlockNumber
from node.chain.parse import octets
from node.chain.reader import ChainReader
from node.chain.types import BlockRef, Endpoint
from node.observe.ancestry import Ancestry
from node.observe.orphans import Orphans
from node.observe.subscription import MAX_FRUITLESS, Topic, listen

MAX_BRANCH = (
    256  # blocks of the branch that are kept: the deepest reorg that is followed, the longest catch-up
)
LONGEST_STRIDE = 16  # blocks asked for at once while catching up
FIRST_RETRY_SECONDS = 0.02  # after a wake-up whose block too few endpoints have yet


class HeadKind(StrEnum):
    """How a block follows what was emitted before it."""

    EXTENDED = "extended"
    """Its parent is the block emitted before it."""
    REORGED = "reorged"
    """Its parent was emitted earlier; whatever was emitted at its number and above no longer holds."""
    RESUMED = "resumed"
    """Nothing that was emitted leads to it: the first block ever, or the first after an outage, or a reorg,
    too long to fill; whatever was emitted at its number and above no longer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEvent:
    """One block of the chain, in order."""

    ref: BlockRef
    kind: HeadKind
    skipped: int = 0
    """How many blocks before it were never emitted; only when RESUMED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadStatistics:
    """How following has gone so far."""

    head: BlockRef | None
    emitted: int
    reorgs: int
    deepest_reorg: int
    skipped: int
    unavailable: int
    announcements: int
    reconnects: int
    last_unavailable: str | None


class HeadFollower:
    """Follows one chain from its newest block on, or from after `start`."""

    def __init__(
        self,
        reader: ChainReader,
        *,
        poll_seconds: float,
        websockets: tuple[Endpoint, ...] = (),
        ancestry: Ancestry | None = None,
        max_catch_up: int = MAX_BRANCH,
    ) -> None:
        self._reader = reader
        self._poll_seconds = poll_seconds
        self._websockets = websockets
        self._ancestry = Ancestry() if ancestry is None else ancestry
        self._orphans = Orphans()
        self._max_catch_up = max_catch_up
        self._branch: list[BlockRef] = []
        self._stride = 1
        self._awake = trio.Event()
        self._announced: BlockHash | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._fruitless = 0
        self._emitted = self._reorgs = self._deepest_reorg = self._skipped = 0
        self._unavailable = self._announcements = self._reconnects = 0
        self._last_unavailable: str | None = None

    @property
    def ancestry(self) -> Ancestry:
        """The blocks that were emitted lately, for views to look back by."""
        return self._ancestry

    def look_now(self) -> None:
        """Ask for the head without waiting for the poll interval: somebody says that there is news."""
        self._awake.set()

    @property
    def orphans(self) -> Orphans:
        """The blocks that were emitted and replaced, known as soon as this node knows."""
        return self._orphans

    def statistics(self) -> HeadStatistics:
        """What following has come to so far."""
        return HeadStatistics(
            head=self._branch[-1] if self._branch else None,
            emitted=self._emitted,
            reorgs=self._reorgs,
            deepest_reorg=self._deepest_reorg,
            skipped=self._skipped,
            unavailable=self._unavailable,
            announcements=self._announcements,
            reconnects=self._reconnects,
            last_unavailable=self._last_unavailable,
        )

    async def follow(self, send: trio.MemorySendChannel[HeadEvent], *, start: BlockRef | None = None) -> None:
        """Emit heads into `send` until cancelled; full means wait: no block is ever dropped.

        `start` is the last block that was dealt with: what came after it is emitted.
        """
        if start is not None:
            self.begin_after(start)
        async with trio.open_nursery() as nursery:
            for endpoint in self._websockets:
                nursery.start_soon(
                    partial(listen, endpoint, Topic.HEADS, hear=self._hear, broke=self._look_after_break)
                )
            await self._loop(send)

    def begin_after(self, start: BlockRef) -> None:
        """Emit what comes after this block, which was dealt with."""
        self._remember(start)

    async def _loop(self, send: trio.MemorySendChannel[HeadEvent]) -> None:
        while True:
            self._awake = trio.Event()
            events = await self._advance_or_count()
            for event in events:
                await send.send(event)
            if events:
                self._fruitless = 0
                continue
            with trio.move_on_after(self._next_pause()):
                await self._awake.wait()

    def _next_pause(self) -> float:
        """The poll interval; shorter, and growing, while too few endpoints have what was announced."""
        pause_seconds = self._retry_seconds
        self._retry_seconds *= 2
        if (
            self._announced is None
            or self._is_on_branch(self._announced)
            or pause_seconds > self._poll_seconds
        ):
            self._announced = None
            return self._poll_seconds
        return pause_seconds

    async def _advance_or_count(self) -> list[HeadEvent]:
        try:
            return await self.advance()
        except Unavailable as error:
            self._unavailable += 1
            self._last_unavailable = str(error)
            return []

    async def advance(self) -> list[HeadEvent]:
        """The events that lead from what was emitted to what the chain is now; a bounded part of them, none
        where it is there.

        For who takes blocks at a pace of its own instead of being sent them. Raises `Unavailable`.
        """
        if not self._branch:
            return self._resume(await self._reader.latest(), skipped=0)
        head = self._branch[-1]
        numbers = [BlockNumber(head.number + ahead) for ahead in range(self._stride + 1)]
        at_head, *ahead = await self._reader.blocks_by_number(numbers)
        if isinstance(at_head, Unavailable):
            raise at_head
        if at_head is None:
            return await self._look_below(head)
        if at_head != head:
            return await self._switch(at_head)
        return await self._extend(head, ahead)

    async def _extend(
        self, head: BlockRef, ahead: Iterable[BlockRef | Unavailable | None]
    ) -> list[HeadEvent]:
        events: list[HeadEvent] = []
        for ref in ahead:
            if ref is None or isinstance(ref, Unavailable) or ref.parent_hash != head.hash:
                if isinstance(ref, Unavailable) and not events:
                    raise ref
                self._stride = 1
                return events
            events.append(self._emit(ref, HeadKind.EXTENDED))
            head = ref
        if self._stride == LONGEST_STRIDE:
            return events + await self._skip_ahead(head)
        self._stride = min(self._stride * 2, LONGEST_STRIDE)
        return events

    async def _skip_ahead(self, head: BlockRef) -> list[HeadEvent]:
        """Give up what lies too far behind: a brake on a state that is hours old helps nobody."""
        latest = await self._reader.latest_number()
        if latest - head.number <= self._max_catch_up:
            return []
        resumed = await self._reader.block_by_number(BlockNumber(latest - self._max_catch_up + 1))
        return self._resume(resumed, skipped=resumed.number - head.number - 1)

    async def _look_below(self, head: BlockRef) -> list[HeadEvent]:
        """Nothing stands at our head's number: the endpoints lag, or the chain went to a shorter branch."""
        lowest = self._branch[0].number
        for top in range(head.number - 1, lowest - 1, -LONGEST_STRIDE):
            numbers = [BlockNumber(n) for n in range(top, max(top - LONGEST_STRIDE, lowest - 1), -1)]
            for ref in await self._reader.blocks_by_number(numbers):
                if isinstance(ref, BlockRef):
                    return [] if self._is_on_branch(ref.hash) else await self._switch(ref)
        return []

    async def _switch(self, tip: BlockRef) -> list[HeadEvent]:
        """The chain left our branch: walk back from `tip` to the fork, and emit the new branch from there."""
        fresh = [tip]
        kind = HeadKind.REORGED
        while not self._is_on_branch(fresh[-1].parent_hash):
            if fresh[-1].number <= self._branch[0].number or len(fresh) >= MAX_BRANCH:
                kind = HeadKind.RESUMED  # deeper than what we remember
                break
            fresh.append(await self._parent(fresh[-1]))
        first = fresh.pop()
        self._reorgs += 1
        self._deepest_reorg = max(self._deepest_reorg, self._branch[-1].number - first.number + 1)
        self._stride = 1
        self._branch = [ref for ref in self._branch if ref.number < first.number and kind is HeadKind.REORGED]
        return [
            self._emit(first, kind),
            *(self._emit(ref, HeadKind.EXTENDED) for ref in reversed(fresh)),
        ]

    async def _parent(self, ref: BlockRef) -> BlockRef:
        parent = await self._reader.block_by_hash(ref.parent_hash)
        if parent.number != ref.number - 1:
            raise Unavailable(
                f"{ref} names {parent} as its parent, whose number does not fit; ask again later"
            )
        return parent

    def _resume(self, ref: BlockRef, *, skipped: int) -> list[HeadEvent]:
        self._branch = []
        self._stride = 1
        self._skipped += skipped
        return [self._emit(ref, HeadKind.RESUMED, skipped=skipped)]

    def _emit(self, ref: BlockRef, kind: HeadKind, *, skipped: int = 0) -> HeadEvent:
        self._remember(ref)
        self._emitted += 1
        return HeadEvent(ref=ref, kind=kind, skipped=skipped)

    def _remember(self, ref: BlockRef) -> None:
        self._orphans.follow(ref)
        self._ancestry.add(ref)
        self._branch.append(ref)
        del self._branch[:-MAX_BRANCH]

    def _is_on_branch(self, block_hash: BlockHash) -> bool:
        return any(known.hash == block_hash for known in reversed(self._branch))

    def _look_after_break(self) -> None:
        self._reconnects += 1
        self._awake.set()  # a head may have come while nobody listened

    def _hear(self, header: Any) -> bool:
        """A websocket announces this head; gives whether it is new to us."""
        try:
            announced = BlockHash(octets(header["hash"], 32))
        except (KeyError, TypeError, ValueError):
            return False
        if announced == self._announced or self._is_on_branch(announced):
            return False
        self._announcements += 1
        if self._fruitless < MAX_FRUITLESS:
            self._fruitless += 1
            self._announced = announced
            self._retry_seconds = FIRST_RETRY_SECONDS
            self._awake.set()
        return True
