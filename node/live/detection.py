"""Keeps a signal of kind `detection` up with its chain: every block after what was learned, without holes.

                     one after the other, never past a gap
    learned file ─► block, block, block … head ─► Course ─► Levels, by block hash ─► rules
                     └── catching up ───┘    └── as they come, reorgs taken back

The number of a block depends on every block since the file. So a block without traces is not passed over:
what comes after it waits, unknown, and it is asked for again with each head until it is there. Whatever ends
the row for good, such as a reorg below what is kept, is answered by beginning again at the file, where the
chain is still near enough; where it is not, a finding says what is not covered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

import structlog
import trio

from consensus.errors import Unavailable
from consensus.types import BlockNumber
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect.levels import Levels
from node.live.course import Course, Finding, Restarted, Withdrawn
from node.observe.heads import MAX_BRANCH, HeadEvent, HeadFollower, HeadKind
from node.observe.recording import read_patiently
from node.observe.traces import TraceGap, TraceReader
from node.trace import TransactionTrace

POLL_SECONDS: Final = 5.0  # beneath `wake`, which every head calls
MAX_CATCH_UP: Final = 50_400  # blocks, a week at 12 seconds; what was learned earlier is to be learned anew
STRIDE: Final = 16  # blocks that are traced at once
MAX_AHEAD: Final = MAX_BRANCH  # blocks that wait for their traces; no more are asked for beyond that
PROGRESS_BLOCKS: Final = 1_000

_log = structlog.get_logger("detection")


class Standing(StrEnum):
    """How a detection stands to its chain."""

    STARTING = "starting"
    LEARNING = "learning"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    WAITING = "waiting"
    """A block has no traces; nothing is known from it on."""
    LOST = "lost"
    """What was learned does not lead to this chain's head; learn anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBlock:
    """A block whose number is known now."""

    ref: BlockRef
    is_live: bool
    """It came while the watcher ran; else it is one of those that were caught up with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionStatistics:
    """How a detection has gone so far."""

    standing: Standing
    head: BlockRef | None
    """The last block that was judged or learned from."""
    blocks: int
    findings: int
    withdrawn: int
    gaps: int
    """Rows of blocks that had to wait for traces."""
    ahead: int
    """Blocks that wait for their traces now."""
    restarts: int


class LiveDetection:
    """Fills the levels of one signal until it is cancelled."""

    def __init__(
        self,
        levels: Levels,
        reader: ChainReader,
        traces: TraceReader,
        judged: Callable[[JudgedBlock], Awaitable[None]],
        *,
        poll_seconds: float = POLL_SECONDS,
        max_catch_up: int = MAX_CATCH_UP,
        keep_blocks: int = MAX_BRANCH,
    ) -> None:
        """`traces` reads those of the levels' contracts; `judged` is told of every block, and again
        of one that the chain left and came back to."""
        self._levels = levels
        self._reader = reader
        self._traces = traces
        self._judged = judged
        self._poll_seconds = poll_seconds
        self._max_catch_up = max_catch_up
        self._keep_blocks = keep_blocks
        self._awake = trio.Event()
        self._live_from: BlockNumber | None = None
        self._told_until = BlockNumber(0)  # where the row began anew: up to there only new blocks are told
        self._standing = Standing.STARTING
        self._head: BlockRef | None = None
        self._course = self._make_course()
        self._ahead: deque[HeadEvent] = deque()
        self._blocks = self._findings = self._withdrawn = self._gaps = self._restarts = 0

    def wake(self) -> None:
        """A head has come."""
        self._awake.set()

    def statistics(self) -> DetectionStatistics:
        """What it has come to so far."""
        return DetectionStatistics(
            standing=self._standing,
            head=self._head,
            blocks=self._blocks,
            findings=self._findings,
            withdrawn=self._withdrawn,
            gaps=self._gaps,
            ahead=len(self._ahead),
            restarts=self._restarts,
        )

    async def run(self) -> None:
        """Keep up with the chain; begin again at what was learned wherever the row breaks."""
        while True:
            start = await self._find_start()
            if start is None:
                await trio.sleep_forever()  # the finding says what to do; the other rules go on
            self._course, self._head = self._make_course(), start
            await self._follow(start)
            self._told_until = BlockNumber(max(self._told_until, self._head.number))
            self._restarts += 1

    def _make_course(self) -> Course:
        levels = self._levels
        return Course(levels.make_watch, to_learn=levels.to_learn, keep_blocks=self._keep_blocks)

    async def _find_start(self) -> BlockRef | None:
        """The last block that is dealt with already; None where the chain cannot be reached from there."""
        while True:
            try:
                newest = await self._reader.latest()
                if self._live_from is None:
                    self._live_from = newest.number
                if self._levels.learned is None:
                    return await self._reader.block_by_hash(newest.parent_hash) if newest.number else newest
                return await self._find_learned(newest)
            except Unavailable as error:
                self._stand(Standing.WAITING, f"the chain cannot be read: {error}")
                await self._pause()

    async def _find_learned(self, newest: BlockRef) -> BlockRef | None:
        learned = self._levels.learned
        assert learned is not None
        assert learned.recorded is not None
        until = learned.recorded.until_block
        if newest.number - until > self._max_catch_up:
            self._stand(
                Standing.LOST,
                f"what was learned ends at block {until}, {newest.number - until} blocks before the newest, "
                f"and {self._max_catch_up} are caught up with; learn anew from a recording that ends later",
            )
            return None
        start = await self._reader.block_by_number(until)
        if learned.recorded.until_hash not in (None, start.hash):
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
        except _RowBrokenError:
            return

    async def _advance(self, follower: HeadFollower) -> list[HeadEvent]:
        """What came since, put behind what waits already; nothing where too few endpoints answer."""
        ahead = self._ahead
        try:
            if len(ahead) >= MAX_AHEAD:
                if await self._reader.block_by_number(ahead[0].ref.number) != ahead[0].ref:
                    raise _RowBrokenError
                return []
            events = await follower.advance()
        except Unavailable:
            return []
        for event in events:
            if event.kind is HeadKind.RESUMED:
                raise _RowBrokenError
            while ahead and ahead[-1].ref.number >= event.ref.number:
                ahead.pop()
            ahead.append(event)
        return events

    async def _take_all(self) -> bool:
        """Take what waits, up to the first block without traces. Whether any could be taken."""
        has_taken = False
        while self._ahead:
            refs = [event.ref for event in islice(self._ahead, STRIDE)]
            for traces in await self._read_all(refs):
                if isinstance(traces, TraceGap):
                    self._gaps += self._standing is not Standing.WAITING
                    self._stand(Standing.WAITING, f"{traces}; the blocks after it wait for it")
                    return has_taken
                await self._take(self._ahead.popleft(), traces)
                has_taken = True
        return has_taken

    async def _read_all(self, refs: Sequence[BlockRef]) -> list[tuple[TransactionTrace, ...] | TraceGap]:
        seen: dict[BlockRef, tuple[TransactionTrace, ...] | TraceGap] = {}

        async def read(ref: BlockRef) -> None:
            seen[ref] = await read_patiently(self._traces, ref)

        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(read, ref)
        return [seen[ref] for ref in refs]

    async def _take(self, event: HeadEvent, traces: tuple[TransactionTrace, ...]) -> None:
        ref, is_whole = event.ref, self._course.is_judging
        lines = self._course.take(event, traces)
        if any(isinstance(line, Restarted) for line in lines):
            raise _RowBrokenError
        found = [line for line in lines if isinstance(line, Finding)]
        for line in lines:
            if isinstance(line, Withdrawn):
                self._tell_withdrawn(line)
        for finding in found:
            self._tell_found(finding)
        self._head, self._blocks = ref, self._blocks + 1
        is_live = self._live_from is not None and ref.number >= self._live_from
        self._tell_standing(ref, is_live=is_live)
        if not is_whole:
            return  # some of its transactions were learned from, and not judged
        level = max((finding.level + 1 for finding in found), default=0)
        is_new = self._levels.put(ref, level)
        if is_new or ref.number > self._told_until:
            await self._judged(JudgedBlock(ref=ref, is_live=is_live))

    async def _pause(self) -> None:
        with trio.move_on_after(self._poll_seconds):
            await self._awake.wait()
        self._awake = trio.Event()

    def _stand(self, standing: Standing, detail: str) -> None:
        """Say how it stands, once until that changes."""
        if standing is self._standing:
            return
        self._standing = standing
        say = (
            _log.info
            if standing in (Standing.LIVE, Standing.LEARNING, Standing.CATCHING_UP)
            else _log.warning
        )
        say(
            f"detection.{standing.value}",
            policy=self._levels.policy.name,
            chain_id=self._levels.chain_id,
            contracts=sorted(self._levels.contracts),
            detail=detail,
        )

    def _tell_standing(self, ref: BlockRef, *, is_live: bool) -> None:
        if not self._course.is_judging:
            self._stand(Standing.LEARNING, f"from {self._levels.to_learn} transactions before any is judged")
        elif is_live:
            self._stand(Standing.LIVE, f"every block from {ref.number} on is judged")
        else:
            self._stand(Standing.CATCHING_UP, f"from block {ref.number} on")
            if ref.number % PROGRESS_BLOCKS == 0:
                _log.info(
                    "detection.progress",
                    policy=self._levels.policy.name,
                    chain_id=ref.chain_id,
                    block_number=ref.number,
                    until_block=self._live_from,
                )

    def _tell_found(self, finding: Finding) -> None:
        self._findings += 1
        judgement = finding.judgement
        _log.info(
            "detection.found",
            policy=self._levels.policy.name,
            chain_id=finding.ref.chain_id,
            block_number=finding.ref.number,
            transaction=judgement.transaction_hash,
            rung=finding.level.name.lower(),
            detail=judgement.reason,
            evidence=[each.evidence.summary for each in judgement.evidence],
        )

    def _tell_withdrawn(self, line: Withdrawn) -> None:
        self._withdrawn += 1
        _log.info(
            "detection.withdrawn",
            policy=self._levels.policy.name,
            chain_id=line.finding.ref.chain_id,
            block_number=line.finding.ref.number,
            transaction=line.finding.judgement.transaction_hash,
        )


class _RowBrokenError(Exception):
    """Blocks that were taken in do not lead to the chain's head any more; never leaves this module."""
