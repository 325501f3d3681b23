"""Reentrancy: a writing call of a contract runs within another writing call of the same contract.

Between the two lies an external call, which is where an attacker gets to act on half-written state. Pairs
of functions that nest so in daily use are learned; the score is the number of distinct pairs that were not.
Delegate calls are left out, since they run in the frame around them. Cost: for each writing frame, the
frames around it. Misses: re-entry into another contract that shares state, and reads of half-written state
by others.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.shape import parse
from node.trace import TransactionTrace

Pair = tuple[str, str]
"""Selector of the outer frame, selector of the one within."""

_Written = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,64} [!-~]{0,64}\Z")]


class Reentrancy(Detector):
    """Remembers which functions nest."""

    name: ClassVar[str] = "reentrancy"
    family: ClassVar[Family] = Family.NESTING

    def __init__(self) -> None:
        self._known: dict[Pair, None] = {}

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        new = {
            pair: contract for pair, contract in find_pairs(transaction).items() if pair not in self._known
        }
        if not new:
            return None
        (outer, inner), contract = next(iter(new.items()))
        return self.found(
            len(new), f"{inner} of {shown(contract)} runs within its {outer}, which had not ended; never seen"
        )

    def learn(self, transaction: TransactionTrace) -> None:
        self._known.update(dict.fromkeys(find_pairs(transaction)))

    def state(self) -> State:
        return [" ".join(pair) for pair in sorted(self._known)]

    def restore(self, state: object) -> None:
        for written in parse(state, list[_Written]):
            outer, inner = written.split(" ")
            self._known[(outer, inner)] = None


def find_pairs(transaction: TransactionTrace) -> dict[Pair, str]:
    """Each pair of writing functions that nest, with the contract where they first do."""
    writing = transaction.writing_frames
    known = set(writing)
    pairs: dict[Pair, str] = {}
    for place in writing:
        frame = transaction.frames[place]
        parent = frame.parent
        while parent is not None:
            outer = transaction.frames[parent]
            if parent in known and outer.contract == frame.contract:
                pairs.setdefault((outer.selector, frame.selector), frame.contract)
            parent = outer.parent
    return pairs
