"""What a series policy says of each block of a live chain, as the number of a signal (`row.py`).

A block's sample is read at that block alone (`sampling.py`), the blocks of a catch-up too: that needs a node
that still has their state, where what was learned ends more than some hundred blocks ago.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from consensus.errors import Refused, Unavailable
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect.series.finding import RuleJudgement
from node.detect.series.levels import SeriesLevels
from node.detect.series.sample import Sample
from node.evaluate.views import View
from node.live.row import (
    MAX_CATCH_UP,
    POLL_SECONDS,
    Hole,
    JudgedBlock,
    LiveRow,
    Origin,
    RowBrokenError,
)
from node.live.sampling import read_sample
from node.observe.heads import HeadEvent


class LiveSeries(LiveRow[Sample]):
    """Fills the levels of one signal until it is cancelled."""

    topic = "series"

    def __init__(
        self,
        levels: SeriesLevels,
        reader: ChainReader,
        open_view: Callable[[BlockRef], View],
        judged: Callable[[JudgedBlock], Awaitable[None]],
        *,
        poll_seconds: float = POLL_SECONDS,
        max_catch_up: int = MAX_CATCH_UP,
    ) -> None:
        """`open_view` gives the reads of a block that the signals' sources ask; `judged` is told of every
        block, and again of one that the chain left and came back to."""
        learned = levels.learned
        super().__init__(
            reader,
            judged,
            origin=None
            if learned is None
            else Origin(until_block=learned.last_block, until_hash=learned.last_hash),
            told={"policy": levels.policy.name, "chain_id": levels.chain_id},
            poll_seconds=poll_seconds,
            max_catch_up=max_catch_up,
        )
        self._levels = levels
        self._open_view = open_view
        self._begin()

    def _begin(self) -> None:
        self._watch = self._levels.make_watch()
        self._to_learn = self._levels.to_learn

    async def _read(self, ref: BlockRef) -> Sample | Hole:
        try:
            return await read_sample(self._open_view(ref), self._levels.sources)
        except (Refused, Unavailable) as error:
            return Hole(said=f"block {ref.number} could not be read: {error}")

    def _take(self, event: HeadEvent, item: Sample) -> bool | None:
        try:
            if self._to_learn:
                self._watch.learn(item)
                self._to_learn -= 1
                return None
            if item.block_number <= self._watch.last_block:
                self._watch.retract(item.block_number)
            judgements = self._watch.judge(item)
        except Refused as refused:  # a reorg below what is kept, or within what is learned
            raise RowBrokenError from refused
        for judgement in judgements:
            self._tell(judgement)
        return self._levels.put(event.ref, self._levels.level_of(judgements))

    def _learning(self) -> str | None:
        return f"from {self._to_learn} blocks more before any is judged" if self._to_learn else None

    def _tell(self, judgement: RuleJudgement) -> None:
        if judgement.level is None:
            return
        self._log.info(
            "series.found",
            **self._told,
            rule=judgement.rule,
            block_number=judgement.block_number,
            rung=judgement.level.name.lower(),
            detail=judgement.reason,
            evidence=[
                *(each.finding.summary for each in judgement.findings),
                *(each.summary for each in judgement.hints),
            ],
        )
