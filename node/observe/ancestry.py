"""Which block came before which, by parent hash, of those that were seen lately."""

from __future__ import annotations

from collections import OrderedDict

from consensus.types import BlockHash
from node.chain.types import BlockRef

MAX_BLOCKS = 1024  # four times the look-back of the deepest rule, so that branches do not push each other out


class Ancestry:
    """Blocks of one chain by hash, those of abandoned branches too; the oldest make room for the newest."""

    def __init__(self, *, max_blocks: int = MAX_BLOCKS) -> None:
        self._max_blocks = max_blocks
        self._blocks: OrderedDict[BlockHash, BlockRef] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, ref: BlockRef) -> None:
        """Remember a block that was agreed on."""
        self._blocks[ref.hash] = ref
        self._blocks.move_to_end(ref.hash)
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)

    def get(self, block_hash: BlockHash) -> BlockRef | None:
        """The block with this hash, where it is still remembered."""
        return self._blocks.get(block_hash)
