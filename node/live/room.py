"""What the rules of one chain wait for: detections and series that are kept up, and contracts that each block
creates.

    head ─► see ─┬─► LiveDetection, LiveSeries … ─► judged, when its number is known
                 └─► judged, at once, for rules that only take long to read

A rule that reads what a block created asks the view, which reads the block's calls (`TraceReader`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog
import trio

from consensus.types import ChainId
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.detect.bridge_book import BridgeValues
from node.detect.levels import Levels
from node.detect.new_contract_scores import NewContractScores
from node.detect.series.levels import SeriesLevels
from node.live.bridge import BridgeSight, LiveBridge
from node.live.detection import LiveDetection
from node.live.row import JudgedBlock, LiveRow, RowSight
from node.live.series import LiveSeries
from node.observe.ancestry import Ancestry
from node.observe.traces import TraceReader
from node.observe.view import BlockView
from node.trace import Account

_log = structlog.get_logger("live")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatistics:
    """What it has come to so far."""

    rows: tuple[RowSight, ...]
    skipped: int
    """Blocks that rules which take long to read were not judged at, since earlier ones took too long."""
    bridges: tuple[BridgeSight, ...] = ()


class LiveRoom:
    """Tells when a block can be judged by the rules that wait. `values` are what they read; others than ours
    may be among them."""

    def __init__(
        self,
        *,
        values: Iterable[object],
        pool: RpcPool,
        ancestry: Ancestry,
        judged: trio.MemorySendChannel[JudgedBlock],
        is_ready: Callable[[BlockRef], bool],
        readers: Mapping[ChainId, ChainReader] = MappingProxyType({}),
    ) -> None:
        """`readers` are those of every chain, for bridges; `is_ready` says whether a rule waits for nothing
        that is yet to come. Raises `Refused` for a bridge whose other chain is not among them."""
        values = tuple(values)
        self._reader = ChainReader(pool)
        self._ancestry = ancestry
        self._row_ancestry = Ancestry()
        self._judged = judged
        self._is_ready = is_ready
        self._detections = [
            LiveDetection(each, self._reader, TraceReader(pool, each.watched), judged.send)
            for each in values
            if isinstance(each, Levels)
        ]
        self._series = [
            LiveSeries(each, self._reader, self._open_past, judged.send)
            for each in values
            if isinstance(each, SeriesLevels)
        ]
        self._bridges = [
            LiveBridge(each, readers, judged) for each in values if isinstance(each, BridgeValues)
        ]
        protected = {
            Account(address.lower())
            for each in values
            if isinstance(each, NewContractScores)
            for address in each.contracts.values()
        }
        self._tracer = TraceReader(pool, tuple(sorted(protected))) if protected else None
        self._skipped = 0

    def statistics(self) -> LiveStatistics:
        """What it has come to so far."""
        return LiveStatistics(
            rows=tuple(each.sight() for each in self._rows()),
            skipped=self._skipped,
            bridges=tuple(each.sight() for each in self._bridges),
        )

    def view(self, ref: BlockRef) -> BlockView:
        """A block for the rules that wait: with what it created, where one of them asks for that."""
        return BlockView(ref, self._reader, self._ancestry, tracer=self._tracer)

    def see(self, ref: BlockRef) -> None:
        """A head has come."""
        for row in self._rows():
            row.wake()
        for bridge in self._bridges:
            bridge.wake()
        if not self._is_ready(ref):
            return
        try:
            self._judged.send_nowait(JudgedBlock(ref=ref, is_live=True))
        except trio.WouldBlock:  # heads do not wait for rules that take long
            self._skipped += 1
            _log.warning("block.skipped", chain_id=ref.chain_id, block_number=ref.number)

    async def run(self) -> None:
        """Keep detections and series up until cancelled."""
        async with trio.open_nursery() as nursery:
            for row in self._rows():
                nursery.start_soon(row.run)
            for bridge in self._bridges:
                nursery.start_soon(bridge.run)

    def _rows(self) -> tuple[LiveRow[Any], ...]:
        return (*self._detections, *self._series)

    def _open_past(self, ref: BlockRef) -> BlockView:
        """A block of a row of its own, which may be far behind the heads."""
        self._row_ancestry.add(ref)
        return BlockView(ref, self._reader, self._row_ancestry)
