"""Many small steps in one direction: sums of residuals that only grow where they go on (Page 1954).

A sum gains each residual less the `slack`, and never falls below zero; so noise dies away and a lasting shift
of more than the slack adds up. Cost: two additions a point. Misses: shifts below the slack.
"""

from __future__ import annotations

from enum import StrEnum

from consensus.types import BlockNumber
from node.detect.series.fixed import Micro
from node.detect.shape import Count, parse


class Side(StrEnum):
    """Which way a shift must go to count."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Cusum:
    """One sum for each side that counts, in usual residuals."""

    def __init__(self, *, slack: Micro, side: Side) -> None:
        self._slack = slack
        self._signs = {Side.UP: (1,), Side.DOWN: (-1,), Side.BOTH: (1, -1)}[side]
        self._sums = [0 for _ in self._signs]
        self._since = [0 for _ in self._signs]

    def add(self, residual: Micro, block_number: BlockNumber) -> Micro:
        """Take in the next residual; gives the larger sum."""
        for place, sign in enumerate(self._signs):
            if self._sums[place] == 0:
                self._since[place] = block_number
            self._sums[place] = max(0, self._sums[place] + sign * residual - self._slack)
        return Micro(max(self._sums))

    @property
    def since(self) -> BlockNumber:
        """The block at which the larger sum last left zero: where the shift probably began."""
        return BlockNumber(self._since[self._sums.index(max(self._sums))])

    def reset(self) -> None:
        """Begin anew, after an alarm or a gap."""
        self._sums = [0 for _ in self._signs]
        self._since = [0 for _ in self._signs]

    def state(self) -> list[int]:
        """The sums, in millionths, and the blocks since which they grow."""
        return [*self._sums, *self._since]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        numbers, sides = parse(state, list[Count]), len(self._signs)
        if len(numbers) != 2 * sides:
            raise ValueError(f"expected {sides} sums and as many blocks, came {len(numbers)} numbers")
        self._sums, self._since = numbers[:sides], numbers[sides:]
