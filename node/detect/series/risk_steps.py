"""Risk steps: when a price becomes restless, propose tighter caps and margins; relax by themselves later.

`price` is any positive price. The risk is the volatility of the last `fast` points over the usual one:
the root of the exponentially weighted mean of squared log-moves (RiskMetrics 1996), over that of the last
`slow` points, in which a move counts for at most four usual ones. Each `step_bps` that it exceeds the
usual by is one step, up to `most_steps`; 10 000 means that twice the usual is one step and three times
two. A step up is proposed at once, a step down for each `calm_points` points in a row that would do with
less.

It gives a proposal and no finding: what a step means is the policy's, within the bounds of a
`StepAdapter`. It goes the slow way of level limit, and never pauses. Cost: one logarithm. Misses: losses
that no restless price announces.
"""

from __future__ import annotations

from math import isqrt
from typing import ClassVar

from consensus.types import Bps
from node.detect.detector import State
from node.detect.parameter import Parameter, bps, count
from node.detect.scale import HIGHEST_BPS, WHOLE_BPS
from node.detect.series.detector import Reading, Role, SeriesDetector
from node.detect.series.finding import Proposal
from node.detect.series.fixed import ONE, compute_log2
from node.detect.series.follower import CLIP
from node.detect.shape import Count, parse


class RiskSteps(SeriesDetector):
    """Keeps two means of squared moves and the step that is proposed now."""

    name: ClassVar[str] = "risk_steps"
    roles: ClassVar[tuple[Role, ...]] = (Role(name="price", least=1, most=1),)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        count("fast"),
        count("slow"),
        count("warmup"),
        bps("step_bps"),
        Parameter(name="most_steps", least=1, most=16),
        count("calm_points"),
    )

    def __init__(
        self, *, fast: int, slow: int, warmup: int, step_bps: Bps, most_steps: int, calm_points: int
    ) -> None:
        self._fast_memory = fast
        self._slow_memory = slow
        self._warmup = warmup
        self._step_bps = step_bps
        self._most_steps = most_steps
        self._calm_points = calm_points
        self._last: int | None = None
        self._moves = 0
        self._fast = 0
        self._slow = 0
        self._step = 0
        self._calm = 0

    def observe(self, reading: Reading) -> Proposal | None:
        price = reading.one("price")
        logarithm = compute_log2(price) if price > 0 else None
        last, self._last = self._last, logarithm
        if last is None or logarithm is None:
            return None
        risk_bps = self._take_in((logarithm - last) * ONE)
        if self._moves <= self._warmup:
            return None
        self._follow(self._demanded(risk_bps))
        return Proposal(
            detector=self.name,
            step=self._step,
            most_steps=self._most_steps,
            summary=f"the price {price} moves {risk_bps} basis points of its usual amount: step {self._step} "
            f"of {self._most_steps}",
        )

    def resume(self) -> None:
        self._last = None

    def state(self) -> State:
        return [
            -1 if self._last is None else self._last,
            self._moves,
            self._fast,
            self._slow,
            self._step,
            self._calm,
        ]

    def restore(self, state: object) -> None:
        last, self._moves, self._fast, self._slow, self._step, self._calm = parse(
            state, tuple[int, Count, Count, Count, Count, Count]
        )
        self._last = None if last == -1 else last

    def _take_in(self, move: int) -> Bps:
        """The volatility of late over the usual one, in basis points."""
        square = move * move
        bound = CLIP * CLIP * max(1, self._slow)
        self._moves += 1
        self._fast += (square - self._fast) // min(self._moves, self._fast_memory)
        usual = square if self._moves <= self._warmup else min(square, bound)
        self._slow += (usual - self._slow) // min(self._moves, self._slow_memory)
        return Bps(min(HIGHEST_BPS, isqrt(self._fast) * WHOLE_BPS // max(1, isqrt(self._slow))))

    def _demanded(self, risk_bps: Bps) -> int:
        return max(0, min(self._most_steps, (risk_bps - WHOLE_BPS) // self._step_bps))

    def _follow(self, demanded: int) -> None:
        if demanded >= self._step:
            self._step, self._calm = demanded, 0
            return
        self._calm += 1
        if self._calm >= self._calm_points:
            self._step, self._calm = self._step - 1, 0
