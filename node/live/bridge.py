"""Keeps a bridge's book up with both chains: the span that is looked back over at once, then block by block.

    burns chain ────► heads, logs ─┐
                                   ├─► BridgeBook ─► a block is known ─► rules that wait for it
    releases chain ─► heads, logs ─┘

Each side is followed by a follower of its own, whose reorgs take events back. Where a side cannot be read,
what comes after waits for it, unknown; where it is too far ahead, the span is read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, ChainId, Seconds
from node.chain.reader import ChainReader
from node.chain.types import BlockRef, Log
from node.detect.bridge_book import MARGIN_SECONDS, BridgeEvent, BridgeValues
from node.live.row import JudgedBlock
from node.observe.bridge_logs import EventReader
from node.observe.heads import MAX_BRANCH, HeadEvent, HeadFollower, HeadKind

POLL_SECONDS: Final = 1.0
RANGE_BLOCKS: Final = 2_000
LEAST_RANGE_BLOCKS: Final = 125
"""What endpoints refuse in one piece is asked for in halves, down to this."""
BEFORE_EVERYTHING: Final = Seconds(-(2**62))
"""Since when a chain is told that was read from its first block on."""
MAX_WAITING: Final = 256
"""Blocks that wait for the other chain; beyond it the oldest are given up as unknown."""

_log = structlog.get_logger("bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSight:
    """How a bridge stands to its chains."""

    burns: int
    releases: int
    burns_until: BlockNumber | None
    releases_until: BlockNumber | None
    waiting: int
    given_up: int
    refused: int
    """Logs of the bridge's contracts that did not decode."""


@dataclass(slots=True)
class _Followed:
    """One side: how it is read, and what waits to be read."""

    name: str
    reader: ChainReader
    events: EventReader
    follower: HeadFollower
    ahead: deque[HeadEvent] = field(default_factory=deque)
    is_unread: bool = False


class LiveBridge:
    """Fills the book of one signal until it is cancelled, and tells which blocks can be judged."""

    def __init__(
        self,
        values: BridgeValues,
        readers: Mapping[ChainId, ChainReader],
        judged: trio.MemorySendChannel[JudgedBlock],
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Raises `Refused` (BAD_CONFIG, POLICY_INVALID) for a chain without a reader, or an event without
        meaning."""
        policy = values.policy
        self._book = values.book
        self._judged = judged
        self._poll_seconds = poll_seconds
        self._waiting: deque[BlockRef] = deque()
        self._given_up = 0
        self._awake = trio.Event()
        for shape in (policy.burns, policy.releases):
            if shape.chain_id not in readers:
                raise Refused(
                    Reason.BAD_CONFIG,
                    f"bridge {policy.name} is on chain {shape.chain_id} too, and no [[chains]] table has "
                    f"that id; configured are {sorted(readers)}",
                )
        burns, releases = EventReader(policy.burns, policy.tokens), EventReader(policy.releases)
        self._burns = self._open("burns", readers[policy.burns.chain_id], burns)
        self._releases = self._open("releases", readers[policy.releases.chain_id], releases)

    def _open(self, name: str, reader: ChainReader, events: EventReader) -> _Followed:
        follower = HeadFollower(reader, poll_seconds=self._poll_seconds)
        return _Followed(name=name, reader=reader, events=events, follower=follower)

    def wake(self) -> None:
        """A head has come."""
        self._awake.set()

    def sight(self) -> BridgeSight:
        """How it stands now."""
        burns, releases = self._book.burns, self._book.releases
        return BridgeSight(
            burns=len(burns),
            releases=len(releases),
            burns_until=None if burns.last is None else burns.last.number,
            releases_until=None if releases.last is None else releases.last.number,
            waiting=len(self._waiting),
            given_up=self._given_up,
            refused=self._burns.events.refused + self._releases.events.refused,
        )

    async def run(self) -> None:
        """Follow both chains until cancelled."""
        while True:
            self._awake = trio.Event()
            for side in (self._burns, self._releases):
                await self._keep_up(side)
            await self._tell_known()
            with trio.move_on_after(self._poll_seconds):
                await self._awake.wait()

    # --- reading

    async def _keep_up(self, side: _Followed) -> None:
        """Read what came since. What cannot be read is asked for again the next time, and said once."""
        try:
            while True:
                events = await side.follower.advance()
                for event in events:
                    self._queue(side, event)
                while side.ahead:
                    await self._take(side, side.ahead[0])
                    side.ahead.popleft()
                side.is_unread = False
                if not events:
                    return
        except (Unavailable, Refused) as error:
            if not side.is_unread:
                side.is_unread = True
                _log.warning(
                    "bridge.unread", side=side.name, chain_id=side.reader.chain_id, detail=str(error)
                )
            if len(side.ahead) > MAX_BRANCH:  # too far behind: the span is read anew from the newest block
                side.ahead.clear()
                side.follower = HeadFollower(side.reader, poll_seconds=self._poll_seconds)

    def _queue(self, side: _Followed, event: HeadEvent) -> None:
        while side.ahead and side.ahead[-1].ref.number >= event.ref.number:
            left = side.ahead.pop()  # the chain left it before it was read
            if left.kind is not HeadKind.EXTENDED:
                event = HeadEvent(ref=event.ref, kind=left.kind, skipped=left.skipped)
        side.ahead.append(event)

    async def _take(self, side: _Followed, event: HeadEvent) -> None:
        ref = event.ref
        if event.kind is HeadKind.RESUMED:
            await self._read_span(side, ref)
        logs = await side.reader.get_logs(ref, addresses=(side.events.contract,), topics=(side.events.topic,))
        found = self._decode(side, logs, {ref.number: ref.timestamp})
        is_burns = side is self._burns
        book = self._book.burns if is_burns else self._book.releases
        if event.kind is HeadKind.REORGED and is_burns:
            self._book.retract_burns(ref.number)
        elif event.kind is HeadKind.REORGED:
            book.retract(ref.number)
            self._waiting = deque(each for each in self._waiting if each.number < ref.number)
        if is_burns:
            self._book.add_burns(found)
        else:
            book.add(found)
            self._wait(ref)
        book.reach(ref)
        if ref.number % MAX_BRANCH == 0:
            self._book.prune()

    async def _read_span(self, side: _Followed, ref: BlockRef) -> None:
        """Everything of the span before this block, by number: settled but for what a reorg takes back."""
        since = Seconds(ref.timestamp - self._book.lookback_seconds - MARGIN_SECONDS)
        first = await self._find_first(side.reader, ref, since)
        _log.info(
            "bridge.reading",
            side=side.name,
            chain_id=side.reader.chain_id,
            first_block=first,
            last_block=ref.number,
        )
        found: list[BridgeEvent] = []
        start, size = first, RANGE_BLOCKS
        while start < ref.number:
            end = BlockNumber(min(start + size, ref.number) - 1)
            try:
                logs = await side.reader.get_logs_between(
                    side.events.contract, (side.events.topic,), start, end
                )
            except Unavailable:
                if size <= LEAST_RANGE_BLOCKS:
                    raise
                size //= 2
                continue
            found += self._decode(side, logs, await self._times(side.reader, logs))
            start = BlockNumber(end + 1)
        if first == 0:
            since = BEFORE_EVERYTHING
        if side is self._burns:
            self._book.begin_burns(since)
            self._book.add_burns(found)
        else:
            self._book.releases.begin(since)
            self._book.releases.add(found)
            self._waiting.clear()

    async def _find_first(self, reader: ChainReader, ref: BlockRef, since: Seconds) -> BlockNumber:
        """The first block at or after this time, by halving."""
        low, high = 0, int(ref.number)
        while low < high:
            middle = (low + high) // 2
            if (await reader.block_by_number(BlockNumber(middle))).timestamp < since:
                low = middle + 1
            else:
                high = middle
        return BlockNumber(low)

    async def _times(self, reader: ChainReader, logs: Sequence[Log]) -> dict[BlockNumber, Seconds]:
        numbers = sorted({log.block_number for log in logs})
        times: dict[BlockNumber, Seconds] = {}
        for number, ref in zip(numbers, await reader.blocks_by_number(numbers), strict=True):
            if not isinstance(ref, BlockRef):
                raise ref or Unavailable(f"block {number} is not there any more")
            times[number] = ref.timestamp
        return times

    def _decode(
        self, side: _Followed, logs: Sequence[Log], times: Mapping[BlockNumber, Seconds]
    ) -> list[BridgeEvent]:
        return [
            BridgeEvent(
                claim=claim,
                number=log.block_number,
                block_hash=log.block_hash,
                at=times[log.block_number],
                reference=f"0x{log.transaction_hash.hex()}",
            )
            for log, claim in side.events.claims_of(logs)
        ]

    # --- telling

    def _wait(self, ref: BlockRef) -> None:
        self._waiting.append(ref)
        while len(self._waiting) > MAX_WAITING:
            given_up = self._waiting.popleft()
            if not self._given_up:  # once: the count says how many
                _log.warning(
                    "bridge.given_up",
                    chain_id=given_up.chain_id,
                    block_number=given_up.number,
                    detail=f"{MAX_WAITING} blocks wait for the chain of the burns; the oldest stay unknown",
                )
            self._given_up += 1

    async def _tell_known(self) -> None:
        """In order: whether a rule fires at a block depends on the block before it."""
        while self._waiting and self._book.knows(self._waiting[0]):
            await self._judged.send(JudgedBlock(ref=self._waiting.popleft(), is_live=True))
