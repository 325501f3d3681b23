"""Which blocks a chain has left: what this node followed, and what it then saw replaced.

Pure and bounded. It knows what its own followed branch says and nothing beyond: a block of a height that was
never followed is not called orphaned.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from consensus.types import BlockHash, BlockNumber
from node.chain.types import BlockRef

MAX_REMEMBERED: Final = 1_024
"""Heights of the followed branch, and blocks that were left, each."""


class Orphans:
    """One chain's branch by height, and the blocks that were on it."""

    def __init__(self) -> None:
        self._branch: OrderedDict[BlockNumber, BlockRef] = OrderedDict()
        self._left: OrderedDict[BlockHash, BlockRef] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def follow(self, ref: BlockRef) -> tuple[BlockRef, ...]:
        """The chain's next block: nothing that was followed at its height or above holds any more.

        What was left by this, lowest first.
        """
        left = [self._branch.pop(n) for n in sorted(self._branch) if n >= ref.number]
        parent = self._branch.get(BlockNumber(ref.number - 1))
        if parent is None or parent.hash != ref.parent_hash:
            # not by a way that was followed: the parent's twin is gone, of what lies below nothing is known
            left[:0] = [] if parent is None else [parent]
            self._branch.clear()
        self._branch[ref.number] = ref
        self._left |= {each.hash: each for each in left}
        self._left.pop(ref.hash, None)
        _bound(self._branch)
        _bound(self._left)
        return tuple(each for each in left if each.hash != ref.hash)

    def has_left(self, number: BlockNumber, block_hash: BlockHash) -> bool:
        """Whether the chain, as it was followed last, has another block there, or none any more."""
        followed = self._branch.get(number)
        return block_hash in self._left or (followed is not None and followed.hash != block_hash)


def _bound(known: OrderedDict[BlockNumber, BlockRef] | OrderedDict[BlockHash, BlockRef]) -> None:
    while len(known) > MAX_REMEMBERED:
        known.popitem(last=False)
