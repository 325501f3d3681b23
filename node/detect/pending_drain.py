"""Pending drain: a pending transaction would take a large part of what a watched contract holds.

Needs nothing learned: the simulation says what the contract holds before and after. The score is the largest
loss of one token in basis points of what was there, where that is at least `least_bps` of at least
`least_units`. Beside it stands what the sender's side would gain. Cost: one step for each balance. Misses:
drains in small steps, and whatever a simulation cannot tell. An owner who moves everything looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consensus.errors import Reason, Refused
from consensus.types import Bps
from node.detect.detector import shown
from node.detect.evidence import Evidence, Family
from node.detect.scale import WHOLE_BPS
from node.pending import HoldingChange, Simulation
from node.trace import Token, TokenUnits

NAME = "pending_drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDrain:
    """Judges simulations. `least_units` is by token; a token that is not in it counts from one unit on."""

    least_bps: Bps
    least_units: Mapping[Token, TokenUnits]

    def __post_init__(self) -> None:
        if not 1 <= self.least_bps <= WHOLE_BPS:
            raise Refused(
                Reason.OUT_OF_RANGE,
                f"least_bps of {NAME} lies between 1 and {WHOLE_BPS}, came {self.least_bps}",
            )

    def judge(self, simulation: Simulation) -> Evidence | None:
        """What is strange about it; None: nothing, or it would fail."""
        if not simulation.succeeded:
            return None
        scored = [(self._score(change), change) for change in simulation.changes]
        score, worst = max(scored, key=lambda each: each[0], default=(0, None))
        if worst is None or score < self.least_bps:
            return None
        token, holder = worst.holding
        gains = ", ".join(
            f"{change.after - change.before} of {shown(change.holding[0])} to {shown(change.holding[1])}"
            for change in simulation.profit
            if change.after > change.before
        )
        return Evidence(
            detector=NAME,
            family=Family.VALUE,
            score=score,
            summary=f"pending {simulation.transaction.hash[:10]}… would take {worst.before - worst.after} of "
            f"the {worst.before} that {shown(holder)} holds of {shown(token)}; its sender's side would gain "
            f"{gains or 'nothing that it holds itself'}",
        )

    def _score(self, change: HoldingChange) -> int:
        if change.before < self.least_units.get(change.holding[0], TokenUnits(1)):
            return 0
        return max(0, (change.before - change.after) * WHOLE_BPS // change.before)
