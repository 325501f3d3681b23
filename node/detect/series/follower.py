"""A signal's residual: beyond its baseline, and beyond what its references explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.detect.detector import State
from node.detect.parameter import Parameter, count
from node.detect.series.baseline import RobustEwma
from node.detect.series.fixed import Micro
from node.detect.series.reference import Reference
from node.detect.shape import parse

CLIP: Final = 4  # usual residuals; of normal noise 1 value in 700 lies beyond 3.2 standard deviations

BASELINE_PARAMETERS: Final = (
    count("memory"),
    Parameter(name="warmup", least=2, most=1_000_000),
    Parameter(name="least_deviation", least=1, most=10**18),
)
"""How many points a baseline remembers, after how many it may speak, and what residual is nothing, in the
units of what it follows."""


class Follower:
    """Follows a signal and, where it has some, its references, in the same units."""

    def __init__(self, *, memory: int, warmup: int, least_deviation: int) -> None:
        settings = {"memory": memory, "clip": CLIP, "least_deviation": least_deviation, "warmup": warmup}
        self._reference = Reference(**settings)
        self._left = RobustEwma(**settings)

    def next_residual(self, signal: int, references: Sequence[int]) -> Micro | None:
        """How far the value is from usual, in usual residuals; None while the baseline is learned."""
        left, is_learned = signal, True
        if references:
            left = self._reference.explain(signal, references)
            is_learned = self._reference.learn(signal, references)
        residual = self._left.deviation_of(left)
        if is_learned:
            self._left.learn(left)
        return residual

    @property
    def usual(self) -> int:
        """The usual value, the references' moves left out."""
        return self._left.mean

    def state(self) -> State:
        """The reference's state, then the baseline's."""
        return [self._reference.state(), self._left.state()]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        reference, left = parse(state, tuple[list[int], list[int]])
        self._reference.restore(reference)
        self._left.restore(left)
