"""Utilisation shift: more and more of what was supplied is lent out, and it does not come back.

`borrowed` and `supplied` are in one unit, `references` are utilisations of other markets in basis points.
Utilisation in basis points, less its robust baseline and what the references explain, goes into a
one-sided CUSUM; the score is the sum in millionths of a usual residual, from `interval` usual residuals
on. `least_deviation` is in basis points, `slack_bps` in basis points of a usual residual. Above
`most_bps`, which the policy states, no past is asked.

Cost: two divisions. Misses: one block's jump that goes back at once, which trace detectors see.
"""

from __future__ import annotations

from typing import ClassVar

from consensus.types import Bps
from node.detect.scale import WHOLE_BPS
from node.detect.series.cusum import Side
from node.detect.series.detector import REFERENCES, Reading, Role
from node.detect.series.finding import Finding
from node.detect.series.shift import ShiftDetector


class UtilisationShift(ShiftDetector):
    """Speaks of a utilisation that rises, or that passes a stated bound."""

    name: ClassVar[str] = "utilisation_shift"
    roles: ClassVar[tuple[Role, ...]] = (
        Role(name="borrowed", least=1, most=1),
        Role(name="supplied", least=1, most=1),
        REFERENCES,
    )
    side: ClassVar[Side] = Side.UP

    def observe(self, reading: Reading) -> Finding | None:
        utilisation = compute_utilisation(reading.one("borrowed"), reading.one("supplied"))
        score = self._shift.next_score(reading, utilisation)
        if utilisation > self._most_bps:
            return self.stated(
                utilisation,
                f"{utilisation} basis points of what was supplied are lent out; the policy allows "
                f"{self._most_bps}",
            )
        if not score:
            return None
        return self.learned(
            score,
            f"utilisation rises since block {self._shift.since}: {utilisation} basis points, usually "
            f"{self._shift.usual}",
        )


def compute_utilisation(borrowed: int, supplied: int) -> Bps:
    """What is lent out of what was supplied, in basis points; of nothing supplied it is nothing lent or
    all."""
    if supplied <= 0:
        return Bps(WHOLE_BPS if borrowed > 0 else 0)
    return Bps(max(0, borrowed) * WHOLE_BPS // supplied)
