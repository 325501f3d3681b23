"""Keeps numbers that rules look up with their chain: every block after what was learned, in order.

                     one after the other
    learned file ─► block, block, block … head ─► a number a block, by its hash ─► rules
                     └── catching up ───┘    └── as they come, reorgs taken back

The number of a block depends on every block since the file. So what comes after a block that cannot be read
waits, unknown, and it is asked for again with each head until it is there. A row that `passes_over` gives up
a block that could not be read while the chain grew by `PASS_OVER_BLOCKS`, if others can be read: it stays
unknown for good, a finding says so, and the others go on as if it had held nothing of ours. Else whoever
fills one block with calls, for the price of their gas, would blind every watcher from there on.

Whatever ends the row, such as a reorg below what is kept, is answered by beginning again at the file, where
the chain is still near enough; where it is not, or where what judges breaks at a transaction, a finding says
what is not covered, and the other rules go on.

What is read of a block and what is made of it is said by those that are such rows (`detection.py`,
`series.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import ClassVar, Final, Generic, TypeVar

import structlog
import trio

from consensus.errors import Broken, Refused, Unavailable
from consensus.types import BlockHash, BlockNumber
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.observe.heads import MAX_BRANCH, HeadEvent, HeadFollower, HeadKind

POLL_SECONDS: Final = 5.0  # beneath `wake`, which every head calls
MAX_CATCH_UP: Final = 50_400  # blocks, a week at 12 seconds; what was learned earlier is to be learned anew
STRIDE: Final = 16  # blocks that are read at once
MAX_AHEAD: Final = MAX_BRANCH  # blocks that wait to be read; no more are asked for beyond that
PASS_OVER_BLOCKS: Final = 64  # how long a block that cannot be read is waited for, by the chain's growth
PROGRESS_BLOCKS: Final = 1_000

Item = TypeVar("Item")


class Standing(StrEnum):
    """How a row stands to its chain."""

    STARTING = "starting"
    LEARNING = "learning"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    WAITING = "waiting"
    """A block cannot be read; nothing is known from it on."""
    LOST = "lost"
    """What was learned does not lead to this chain's head, or what judges broke: nothing will be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBlock:
    """A block whose number is known now."""

    ref: BlockRef
    is_live: bool
    """It came while the watcher ran; else it is one of those that were caught up with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where what was learned ends."""

    until_block: BlockNumber
    until_hash: BlockHash | None
    """None: whatever block has that number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A block that cannot be read for now, and why; for people."""

    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSight:
    """How a row goes, for who looks on."""

    topic: str
    """What kind of row it is."""
    policy: str
    """What the rule policy calls, or names, for it."""
    standing: Standing
    detail: str
    """Why, in words; empty before anything was said."""
    head: BlockRef | None
    """The last block that was dealt with."""
    blocks: int
    gaps: int
    """Rows of blocks that had to be waited for."""
    passed_over: int
    """Blocks that were given up."""
    restarts: int


class RowBrokenError(Exception):
    """Blocks that were taken in do not lead to the chain's head any more; never leaves this room."""


class LiveRow(ABC, Generic[Item]):
    """Reads an `Item` of each block and makes a number of it, until it is cancelled."""

    topic: ClassVar[str]
    """What its lines in the log begin with."""
    passes_over: ClassVar[bool] = False
    """Whether a block that cannot be read is given up in the end."""

    def __init__(
        self,
        reader: ChainReader,
        judged: Callable[[JudgedBlock], Awaitable[None]],
        *,
        origin: Origin | None,
        told: Mapping[str, object],
        poll_seconds: float,
        max_catch_up: int,
    ) -> None:
        """`judged` is told of every block, and again of one that the chain left and came back to; without an
        `origin` the row begins at the head. Lines in the log bear what is `told`."""
        self._reader = reader
        self._judged = judged
        self._origin = origin
        self._told = told
        self._poll_seconds = poll_seconds
        self._max_catch_up = max_catch_up
        self._log = structlog.get_logger(self.topic)
        self._awake = trio.Event()
        self._live_from: BlockNumber | None = None
        self._told_until = BlockNumber(0)  # where the row began anew: up to there only new blocks are told
        self._standing = Standing.STARTING
        self._detail = ""
        self._head: BlockRef | None = None
        self._ahead: deque[HeadEvent] = deque()
        self._holes: dict[
            BlockHash, BlockNumber
        ] = {}  # of those that wait: the chain's height when it was met
        self._blocks = self._gaps = self._restarts = self._passed_over = 0

    @abstractmethod
    def _begin(self) -> None:
        """Begin anew where what was learned ends, or at nothing."""

    @abstractmethod
    async def _read(self, ref: BlockRef) -> Item | Hole:
        """What there is to read of a block."""

    @abstractmethod
    def _take(self, event: HeadEvent, item: Item) -> bool | None:
        """Make a number of the next block. Whether the block is new; None where it was learned from. Raises
        `RowBrokenError`."""

    @abstractmethod
    def _learning(self) -> str | None:
        """How much is still learned before anything is judged; None once that is over."""

    def sight(self) -> RowSight:
        """How it goes."""
        return RowSight(
            topic=self.topic,
            policy=str(self._told.get("policy", "")),
            standing=self._standing,
            detail=self._detail,
            head=self._head,
            blocks=self._blocks,
            gaps=self._gaps,
            passed_over=self._passed_over,
            restarts=self._restarts,
        )

    def wake(self) -> None:
        """A head has come."""
        self._awake.set()

    async def run(self) -> None:
        """Keep up with the chain; begin again at what was learned wherever the row breaks."""
        while True:
            start = await self._find_start()
            if start is None:
                await trio.sleep_forever()  # the finding says what to do; the other rules go on
            self._head = start
            self._begin()
            try:
                await self._follow(start)
            except (Broken, Refused) as error:
                # a transaction that breaks a detector must not take the other rules down with it, and would
                # do so again after each start
                self._stand(Standing.LOST, f"stopped: {error}; the other rules go on")
                await trio.sleep_forever()
            self._told_until = BlockNumber(max(self._told_until, self._head.number))
            self._restarts += 1

    async def _find_start(self) -> BlockRef | None:
        """The last block that is dealt with already; None where the chain cannot be reached from there."""
        while True:
            try:
                newest = await self._reader.latest()
                if self._live_from is None:
                    self._live_from = newest.number
                if self._origin is None:
                    return await self._reader.block_by_hash(newest.parent_hash) if newest.number else newest
                return await self._find_learned(newest, self._origin)
            except Unavailable as error:
                self._stand(Standing.WAITING, f"the chain cannot be read: {error}")
                await self._pause()

    async def _find_learned(self, newest: BlockRef, origin: Origin) -> BlockRef | None:
        until = origin.until_block
        if newest.number - until > self._max_catch_up:
            self._stand(
                Standing.LOST,
                f"what was learned ends at block {until}, {newest.number - until} blocks before the newest, "
                f"and {self._max_catch_up} are caught up with; learn anew from a recording that ends later",
            )
            return None
        start = await self._reader.block_by_number(until)
        if origin.until_hash not in (None, start.hash):
            self._stand(
                Standing.LOST,
                f"block {until} is not the one up to which was learned: the recording is of a branch that "
                "the chain left, or of another chain; record settled blocks, and learn anew",
            )
            return None
        if newest.number > until:
            self._stand(Standing.CATCHING_UP, f"from block {until + 1} to {newest.number}")
        return start

    async def _follow(self, start: BlockRef) -> None:
        """Take block after block, until the row breaks."""
        follower = HeadFollower(
            self._reader, poll_seconds=self._poll_seconds, max_catch_up=self._max_catch_up
        )
        follower.begin_after(start)
        self._ahead.clear()
        try:
            while True:
                events = await self._advance(follower)
                has_taken = await self._take_all()
                if not events and not has_taken:
                    await self._pause()
        except RowBrokenError:
            return

    async def _advance(self, follower: HeadFollower) -> list[HeadEvent]:
        """What came since, put behind what waits already; nothing where too few endpoints answer."""
        ahead = self._ahead
        try:
            if len(ahead) >= MAX_AHEAD:
                if await self._reader.block_by_number(ahead[0].ref.number) != ahead[0].ref:
                    raise RowBrokenError
                return []
            events = await follower.advance()
        except Unavailable:
            return []
        for event in events:
            if event.kind is HeadKind.RESUMED:
                raise RowBrokenError
            while ahead and ahead[-1].ref.number >= event.ref.number:
                ahead.pop()
            ahead.append(event)
        return events

    async def _take_all(self) -> bool:
        """Take what waits, up to the first block that cannot be read. Whether any could be taken."""
        has_taken = False
        while self._ahead:
            refs = [event.ref for event in islice(self._ahead, STRIDE)]
            items = await self._read_all(refs)
            holes = [ref for ref, item in zip(refs, items, strict=True) if isinstance(item, Hole)]
            for item in items:
                if isinstance(item, Hole):
                    if not await self._is_given_up(holes, is_alone=len(holes) < len(items)):
                        self._gaps += self._standing is not Standing.WAITING
                        self._stand(Standing.WAITING, f"{item.said}; the blocks after it wait for it")
                        return has_taken
                    self._give_up(self._ahead.popleft(), item)
                    has_taken = True
                    break
                await self._take_one(self._ahead.popleft(), item)
                has_taken = True
        return has_taken

    async def _is_given_up(self, holes: Sequence[BlockRef], *, is_alone: bool) -> bool:
        """Whether the first of these has waited long enough, and the block is to blame and not its readers:
        of blocks that are caught up with, a node may have forgotten all; then none near can be read."""
        if not self.passes_over:
            return False
        try:
            newest = await self._reader.latest()
        except Unavailable:
            return False
        self._holes = {ref.hash: self._holes.get(ref.hash, newest.number) for ref in holes}
        if newest.number - self._holes[self._ahead[0].ref.hash] < PASS_OVER_BLOCKS:
            return False
        is_old = self._live_from is None or holes[0].number < self._live_from
        return is_alone if is_old else not isinstance(await self._read(newest), Hole)

    def _give_up(self, event: HeadEvent, hole: Hole) -> None:
        self._pass_over(event)
        self._head, self._passed_over = event.ref, self._passed_over + 1
        self._log.error(
            f"{self.topic}.passed_over",
            **self._told,
            block_number=event.ref.number,
            detail=f"{hole.said}; others can be read, so that this block is given up and stays unknown",
        )

    def _pass_over(self, event: HeadEvent) -> None:
        """Go on as if the block had held nothing. Only for rows that pass over. Raises `RowBrokenError`."""
        raise NotImplementedError(f"{self.topic} passes over nothing, came {event.ref}")

    async def _read_all(self, refs: Sequence[BlockRef]) -> list[Item | Hole]:
        seen: dict[BlockRef, Item | Hole] = {}

        async def read(ref: BlockRef) -> None:
            seen[ref] = await self._read(ref)

        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(read, ref)
        return [seen[ref] for ref in refs]

    async def _take_one(self, event: HeadEvent, item: Item) -> None:
        ref = event.ref
        is_new = self._take(event, item)
        self._head, self._blocks = ref, self._blocks + 1
        is_live = self._live_from is not None and ref.number >= self._live_from
        self._tell_standing(ref, is_live=is_live)
        if is_new is not None and (is_new or ref.number > self._told_until):
            await self._judged(JudgedBlock(ref=ref, is_live=is_live))

    async def _pause(self) -> None:
        with trio.move_on_after(self._poll_seconds):
            await self._awake.wait()
        self._awake = trio.Event()

    def _stand(self, standing: Standing, detail: str) -> None:
        """Say how it stands, once until that changes."""
        if standing is self._standing:
            return
        self._standing, self._detail = standing, detail
        is_well = standing in (Standing.LIVE, Standing.LEARNING, Standing.CATCHING_UP)
        say = self._log.info if is_well else self._log.warning
        say(f"{self.topic}.{standing.value}", **self._told, detail=detail)

    def _tell_standing(self, ref: BlockRef, *, is_live: bool) -> None:
        learning = self._learning()
        if learning is not None:
            self._stand(Standing.LEARNING, learning)
        elif is_live:
            self._stand(Standing.LIVE, f"every block from {ref.number} on is judged")
        else:
            self._stand(Standing.CATCHING_UP, f"from block {ref.number} on")
            if ref.number % PROGRESS_BLOCKS == 0:
                self._log.info(
                    f"{self.topic}.progress",
                    **self._told,
                    block_number=ref.number,
                    until_block=self._live_from,
                )
