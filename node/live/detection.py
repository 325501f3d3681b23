"""What trace detectors say of each block of a live chain, as the number of a signal (`row.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect.levels import Levels
from node.live.course import Course, Finding, Restarted, Withdrawn
from node.live.row import (
    MAX_CATCH_UP,
    POLL_SECONDS,
    Hole,
    JudgedBlock,
    LiveRow,
    Origin,
    RowBrokenError,
    Standing,
)
from node.observe.heads import MAX_BRANCH, HeadEvent
from node.observe.recording import read_patiently
from node.observe.traces import TraceGap, TraceReader
from node.trace import TransactionTrace


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
    passed_over: int
    """Blocks that never had any."""
    ahead: int
    """Blocks that wait for their traces now."""
    restarts: int


class LiveDetection(LiveRow[tuple[TransactionTrace, ...]]):
    """Fills the levels of one signal until it is cancelled."""

    topic = "detection"
    passes_over = True

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
        recorded = None if levels.learned is None else levels.learned.recorded
        super().__init__(
            reader,
            judged,
            origin=None
            if recorded is None
            else Origin(until_block=recorded.until_block, until_hash=recorded.until_hash),
            told={
                "policy": levels.policy.name,
                "chain_id": levels.chain_id,
                "contracts": sorted(levels.contracts),
            },
            poll_seconds=poll_seconds,
            max_catch_up=max_catch_up,
        )
        self._levels = levels
        self._traces = traces
        self._keep_blocks = keep_blocks
        self._findings = self._withdrawn = 0
        self._begin()

    def statistics(self) -> DetectionStatistics:
        """What it has come to so far."""
        return DetectionStatistics(
            standing=self._standing,
            head=self._head,
            blocks=self._blocks,
            findings=self._findings,
            withdrawn=self._withdrawn,
            gaps=self._gaps,
            passed_over=self._passed_over,
            ahead=len(self._ahead),
            restarts=self._restarts,
        )

    def _begin(self) -> None:
        levels = self._levels
        levels.move_on()
        self._course = Course(levels.make_watch, to_learn=levels.to_learn, keep_blocks=self._keep_blocks)

    async def _read(self, ref: BlockRef) -> tuple[TransactionTrace, ...] | Hole:
        traces = await read_patiently(self._traces, ref)
        return Hole(said=str(traces)) if isinstance(traces, TraceGap) else traces

    def _take(self, event: HeadEvent, item: tuple[TransactionTrace, ...]) -> bool | None:
        is_whole = self._course.is_judging
        found = self._judge(event, item)
        if not is_whole:
            return None  # some of its transactions were learned from, and not judged
        is_new = self._levels.put(event.ref, max((finding.level + 1 for finding in found), default=0))
        self._levels.stand_at(event.ref, self._course.watch)
        return is_new

    def _pass_over(self, event: HeadEvent) -> None:
        self._judge(event, ())

    def _judge(self, event: HeadEvent, traces: tuple[TransactionTrace, ...]) -> list[Finding]:
        self._levels.move_on()
        lines = self._course.take(event, traces)
        if any(isinstance(line, Restarted) for line in lines):
            raise RowBrokenError
        found = [line for line in lines if isinstance(line, Finding)]
        for line in lines:
            if isinstance(line, Withdrawn):
                self._tell_withdrawn(line)
        for finding in found:
            self._tell_found(finding)
        return found

    def _learning(self) -> str | None:
        if self._course.is_judging:
            return None
        return f"from {self._levels.to_learn} transactions before any is judged"

    def _tell_found(self, finding: Finding) -> None:
        self._findings += 1
        judgement = finding.judgement
        self._log.info(
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
        self._log.info(
            "detection.withdrawn",
            policy=self._levels.policy.name,
            chain_id=line.finding.ref.chain_id,
            block_number=line.finding.ref.number,
            transaction=line.finding.judgement.transaction_hash,
        )
