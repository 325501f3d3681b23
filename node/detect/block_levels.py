"""Numbers of recent blocks by their hash, as rules look them up; for `levels.py` and `series/levels.py`.

0 nothing, 1 alert, 2 limit, 3 freeze, 4 pause. What was learned from has no number for anybody; what was not
judged here is not known here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from consensus.errors import Reason, Unavailable
from consensus.types import BlockHash, BlockNumber
from node.evaluate.expressions import Undefined
from node.evaluate.views import Block, View

KEPT_BLOCKS: Final = 4_096
"""More than the deepest look-back and the longest cooldown of a rule come to, on several branches."""


class BlockLevels:
    """The level that each recent block reached."""

    def __init__(self, *, who: str, topic: str, learned_until: BlockNumber | None) -> None:
        """`who` judges, and `topic` is what its lines in the log begin with; without `learned_until` numbers
        begin where the first block is judged."""
        self._who, self._topic = who, topic
        self._is_learned = learned_until is not None
        self._levels: OrderedDict[BlockHash, int] = OrderedDict()
        # of blocks up to this one, what they hold was learned from or came before that: none has a number
        self._not_judged_until: int = -1 if learned_until is None else learned_until

    def put(self, block: Block, level: int) -> bool:
        """Keep a block's number; the oldest makes room. Whether the block is new here."""
        if not self._is_learned and not self._levels:
            self._not_judged_until = block.number - 1
        is_new = block.hash not in self._levels
        self._levels[block.hash] = level
        self._levels.move_to_end(block.hash)
        while len(self._levels) > KEPT_BLOCKS:
            self._levels.popitem(last=False)
        return is_new

    def knows(self, block: Block) -> bool:
        """Whether there is an answer for this block now."""
        return block.hash in self._levels or block.number <= self._not_judged_until

    async def read(self, view: View) -> int | Undefined:
        """The number of the view's block, as `at` gives it."""
        return self.at(view.ref)

    def at(self, block: Block) -> int | Undefined:
        """The number of this block; undefined up to the end of what was learned. Raises `Unavailable` where
        it was not judged here."""
        level = self._levels.get(block.hash)
        if level is not None:
            return level
        if block.number <= self._not_judged_until:
            return Undefined(
                Reason.HISTORY_TOO_SHORT,
                f"up to block {self._not_judged_until} blocks were learned from, which is not judged; came "
                f"block {block.number}",
            )
        raise Unavailable(
            f"{self._who} did not judge block {block.number} 0x{block.hash.hex()} here; the log says from "
            f"where on ({self._topic}.*)"
        )
