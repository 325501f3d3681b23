"""Novel control flow: the writing calls of a transaction follow each other as they never did before.

After CrossGuard (ICSE 2026). Each frame that writes is an edge from what it follows: the frame around it;
or the frame before it, when it reads what that one wrote; or the start, when it depends on nothing before
it. That last point is what keeps batches of unrelated calls from looking new. Contracts are named by the
order in which they appear, so that the second vault of a kind is as well known as the first. The score is
the number of distinct edges that were never learned.

Cost: one step for each frame, and the storage accesses of the writing frames where there are two or more.
Misses: an attack by calls in a usual order with unusual arguments; `value` and `state` detectors see those.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

import msgspec

from node.detect.detector import Detector, State
from node.detect.evidence import Evidence, Family
from node.detect.shape import parse
from node.trace import Account, Slot, TransactionTrace

Edge = tuple[str, str, str]
"""Relation, the node it leads from, the node it leads to; a node is `selector@role`."""

START: Final = "start"

_Written = Annotated[str, msgspec.Meta(pattern=r"^(holds|then) [!-~]{1,96} [!-~]{1,96}\Z")]


class NovelFlow(Detector):
    """Remembers every edge of every learned transaction."""

    name: ClassVar[str] = "novel_flow"
    family: ClassVar[Family] = Family.FLOW

    def __init__(self) -> None:
        self._known: dict[Edge, None] = {}

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        new = [edge for edge in compute_edges(transaction) if edge not in self._known]
        if not new:
            return None
        first = ", ".join(f"{source} {relation} {target}" for relation, source, target in new[:3])
        return self.found(len(new), f"{len(new)} steps never seen before: {first}")

    def learn(self, transaction: TransactionTrace) -> None:
        self._known.update(dict.fromkeys(compute_edges(transaction)))

    def state(self) -> State:
        return [" ".join(edge) for edge in sorted(self._known)]

    def restore(self, state: object) -> None:
        for written in parse(state, list[_Written]):
            relation, source, target = written.split(" ")
            self._known[(relation, source, target)] = None


def compute_edges(transaction: TransactionTrace) -> tuple[Edge, ...]:
    """The distinct edges between a transaction's writing frames, in the order in which they occur."""
    places = transaction.writing_frames
    roles: dict[Account, int] = {}
    nodes: dict[int, str] = {}
    edges: dict[Edge, None] = {}
    last_within: dict[int | None, int] = {}
    for place in places:
        frame = transaction.frames[place]
        nodes[place] = f"{frame.selector}@{roles.setdefault(frame.contract, len(roles))}"
        around = _writing_parent(transaction, place, nodes)
        before = last_within.get(around)
        last_within[around] = place
        if around is not None:
            edges[("holds", nodes[around], nodes[place])] = None
        if before is not None and _depends(transaction, place, before):
            edges[("then", nodes[before], nodes[place])] = None
        elif around is None:
            edges[("then", START, nodes[place])] = None
    return tuple(edges)


def _writing_parent(transaction: TransactionTrace, place: int, nodes: dict[int, str]) -> int | None:
    parent = transaction.frames[place].parent
    while parent is not None and parent not in nodes:
        parent = transaction.frames[parent].parent
    return parent


def _depends(transaction: TransactionTrace, later: int, earlier: int) -> bool:
    """Whether the later frame reads what the earlier one wrote."""
    return not _touched(transaction, earlier, is_write=True).isdisjoint(
        _touched(transaction, later, is_write=False)
    )


def _touched(transaction: TransactionTrace, place: int, *, is_write: bool) -> set[tuple[Account, Slot]]:
    return {
        (contract, access.slot)
        for contract, done in transaction.frames[place].accesses.items()
        for access in done
        if access.is_write is is_write
    }
