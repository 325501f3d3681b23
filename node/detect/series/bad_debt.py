"""Bad debt: what is owed beyond what its collateral would bring, of all that was supplied.

`bad_debt` is Σ max(0, debt - collateral · liquidation threshold) over positions (`compute_bad_debt`),
`supplied` what lenders put in, both in one unit. It speaks where the share stays above `most_bps` for
`points` points in a row: in a crash liquidators need some blocks, and the debts of those blocks are not
lost. There is nothing to learn, since the bound is the policy's. The score is the share in basis points.

Cost: one division, beside reading the positions. Misses: what is lost by a wrong price, until the price
is right again; `oracle_deviation` sees that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from consensus.types import BlockNumber, Bps
from node.detect.detector import State
from node.detect.parameter import Parameter, bps, count
from node.detect.scale import WHOLE_BPS
from node.detect.series.detector import Reading, Role, SeriesDetector
from node.detect.series.finding import Finding
from node.detect.shape import Count, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One borrower's debt and collateral, both valued in one unit."""

    debt: int
    collateral: int
    threshold_bps: Bps
    """How much of the collateral's value counts."""


class BadDebt(SeriesDetector):
    """Counts for how many readings the share has been too large."""

    name: ClassVar[str] = "bad_debt"
    roles: ClassVar[tuple[Role, ...]] = (
        Role(name="bad_debt", least=1, most=1),
        Role(name="supplied", least=1, most=1),
    )
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("most_bps"), count("points"))

    def __init__(self, *, most_bps: Bps, points: int) -> None:
        self._most_bps = most_bps
        self._points = points
        self._run = 0
        self._since = BlockNumber(0)

    def observe(self, reading: Reading) -> Finding | None:
        owed, supplied = max(0, reading.one("bad_debt")), max(0, reading.one("supplied"))
        if owed * WHOLE_BPS <= supplied * self._most_bps:
            self._run = 0
            return None
        if self._run == 0:
            self._since = reading.block_number
        self._run += 1
        if self._run < self._points:
            return None
        share = min(WHOLE_BPS, owed * WHOLE_BPS // max(1, supplied))
        return self.stated(
            max(1, share),
            f"{owed} of {supplied} supplied is owed without collateral, since block {self._since}; the "
            f"policy allows {self._most_bps} basis points",
        )

    def resume(self) -> None:
        self._run = 0

    def state(self) -> State:
        return [self._run, self._since if self._run else 0]

    def restore(self, state: object) -> None:
        self._run, since = parse(state, tuple[Count, Count])
        self._since = BlockNumber(since)


def compute_bad_debt(positions: Iterable[Position]) -> int:
    """Σ max(0, debt - collateral · threshold), collateral rounded down."""
    return sum(max(0, each.debt - each.collateral * each.threshold_bps // WHOLE_BPS) for each in positions)
