"""A chain in memory whose blocks hold traces; it can be extended, reorganised, and refuse to be traced."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.errors import Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.types import BlockRef
from node.observe.traces import GapKind, TraceGap
from node.trace import TransactionTrace

CHAIN_ID = ChainId(1)


class MemoryChain:
    """Stands for a `ChainReader` and a `TraceReader` of one chain."""

    def __init__(self) -> None:
        self.chain_id = CHAIN_ID
        self.blocks: list[BlockRef] = []
        self.traces: dict[BlockHash, tuple[TransactionTrace, ...]] = {}
        self.known: dict[BlockHash, BlockRef] = {}
        self.without_traces: set[int] = set()
        self.is_blind = False
        self.asked: list[int] = []
        self._made = 0
        self.extend(())

    @property
    def head(self) -> BlockRef:
        return self.blocks[-1]

    def extend(self, *blocks: Sequence[TransactionTrace]) -> BlockRef:
        """A block for each of these; the last of them."""
        for traces in blocks:
            self._made += 1
            number = len(self.blocks)
            ref = BlockRef(
                chain_id=CHAIN_ID,
                number=BlockNumber(number),
                hash=BlockHash(self._made.to_bytes(32, "big")),
                parent_hash=self.blocks[-1].hash if self.blocks else BlockHash(bytes(32)),
                timestamp=Seconds(1_000 + number),
            )
            assert all(each.block_number == number for each in traces)
            self.blocks.append(ref)
            self.known[ref.hash] = ref
            self.traces[ref.hash] = tuple(traces)
        return self.head

    def leave(self, number: int) -> None:
        """The chain forgets this block and all after it."""
        del self.blocks[number:]

    # --- as ChainReader

    async def latest_number(self) -> BlockNumber:
        return self.head.number

    async def latest(self) -> BlockRef:
        return self.head

    async def block_by_number(self, number: BlockNumber) -> BlockRef:
        if number >= len(self.blocks):
            raise Unavailable(f"no block {number}")
        return self.blocks[number]

    async def block_by_hash(self, block_hash: BlockHash) -> BlockRef:
        return self.known[block_hash]

    async def blocks_by_number(
        self, numbers: Sequence[BlockNumber]
    ) -> tuple[BlockRef | Unavailable | None, ...]:
        return tuple(self.blocks[each] if each < len(self.blocks) else None for each in numbers)

    # --- as TraceReader

    async def read(self, ref: BlockRef) -> tuple[TransactionTrace, ...] | TraceGap:
        self.asked.append(ref.number)
        if self.is_blind or ref.number in self.without_traces or ref not in self.blocks:
            return TraceGap(ref=ref, kind=GapKind.NOT_OFFERED, watched=1, said="nobody traces it")
        return self.traces[ref.hash]
