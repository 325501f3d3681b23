"""Deep nesting: calls into the watched contracts lie within each other deeper than they ever did.

The score is by how many levels the old record is passed, where it is at least `least_levels`. Cost: one step
for each frame. Misses: anything that stays as flat as usual.
"""

from __future__ import annotations

from typing import ClassVar

from node.detect.detector import Detector, State
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, count
from node.detect.shape import Count, parse
from node.trace import TransactionTrace


class DeepNesting(Detector):
    """Remembers how deep calls have nested."""

    name: ClassVar[str] = "deep_nesting"
    family: ClassVar[Family] = Family.NESTING
    parameters: ClassVar[tuple[Parameter, ...]] = (count("least_levels"),)

    def __init__(self, *, least_levels: int) -> None:
        self._least_levels = least_levels
        self._deepest = 0

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        beyond = compute_depth(transaction) - self._deepest
        if beyond < self._least_levels:
            return None
        return self.found(
            beyond, f"calls nest {self._deepest + beyond} deep; at most {self._deepest} ever did"
        )

    def learn(self, transaction: TransactionTrace) -> None:
        self._deepest = max(self._deepest, compute_depth(transaction))

    def state(self) -> State:
        return self._deepest

    def restore(self, state: object) -> None:
        self._deepest = parse(state, Count)


def compute_depth(transaction: TransactionTrace) -> int:
    """How many frames lie around each other at most; 0 without frames."""
    depths: list[int] = []
    for frame in transaction.frames:
        depths.append(1 + (0 if frame.parent is None else depths[frame.parent]))
    return max(depths, default=0)
