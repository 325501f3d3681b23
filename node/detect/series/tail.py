"""How often a score so high comes about, beyond what was ever seen: peaks over a threshold.

Up to the threshold, the score that one point in fifty passes, a p-value is conformal
(`node/detect/calibration.py`). Above it the excesses follow a generalised Pareto law, whatever the scores
follow (Pickands 1975), which is what SPOT builds on (Siffer and others, KDD 2017): with N of n points
above the threshold t, p(x) = N / n · (1 + γ (x - t) / σ)^(-1/γ). On residuals of a moving baseline this
is their DSPOT. Shape and scale come from probability-weighted moments (Hosking, Wallis 1987): those are
sums of integers, and what follows is decimal arithmetic of fixed precision, so that every watcher gets
the same digits; a likelihood would need floats. The tests hold it against scipy's fit.

Scores of a series hang together: a sum that has grown is large for a while, so that fifty peaks may be one
event, and a past of n points is worth n over the usual length of a run of peaks (the runs estimator of the
extremal index, Smith, Weissman 1994). p-values are multiplied by that length. Two more cautions: a tail is
never taken to end (γ below zero counts as zero), and a past of n points says nothing smaller than one in
n · `FURTHEST`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from node.detect.calibration import Calibration, require_rising
from node.detect.detector import State
from node.detect.evidence import CERTAIN, Ppb
from node.detect.shape import parse

ABOVE_THRESHOLD: Final = 50  # one in so many points is a peak: SPOT's 98 % quantile
LEAST_PEAKS: Final = 30  # moments of fewer say little
FURTHEST: Final = 1_000

_CONTEXT: Final = Context(prec=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A fitted tail: `shape` is γ, `scale` is σ in the scores' units."""

    threshold: int
    peaks: int
    points: int
    shape: Decimal
    scale: Decimal

    def p_value(self, score: int) -> Ppb:
        """How often a point scores as high; `score` is above the threshold."""
        excess = _CONTEXT.divide(Decimal(score - self.threshold), self.scale)
        if self.shape == 0:
            exponent = -excess
        else:
            growth = _CONTEXT.ln(_CONTEXT.add(Decimal(1), _CONTEXT.multiply(self.shape, excess)))
            exponent = -_CONTEXT.divide(growth, self.shape)
        share = _CONTEXT.divide(Decimal(self.peaks * CERTAIN), Decimal(self.points))
        p_value = _CONTEXT.multiply(share, _CONTEXT.exp(exponent))
        return Ppb(max(1, int(p_value.to_integral_value(rounding=ROUND_CEILING))))


def fit_tail(peaks: Sequence[int], *, threshold: int, points: int) -> Tail:
    """The tail of which these are the peaks: at least two scores above the threshold, in ascending order.

    With a0 the mean excess and a1 = Σ (m - j) / (m - 1) · x_j / m over the m excesses, j from 1:
    γ = 2 - a0 / (a0 - 2 a1), σ = 2 a0 a1 / (a0 - 2 a1).
    """
    count = len(peaks)
    total = sum(peaks) - count * threshold
    weighted = sum((count - place) * (peak - threshold) for place, peak in enumerate(peaks, start=1))
    mean = _CONTEXT.divide(Decimal(total), Decimal(count))
    moment = _CONTEXT.divide(Decimal(weighted), Decimal(count * (count - 1)))
    spread = _CONTEXT.subtract(mean, _CONTEXT.multiply(Decimal(2), moment))
    shape, scale = Decimal(0), mean  # the exponential law, where the moments say that the tail ends
    if spread > 0:
        shape = _CONTEXT.subtract(Decimal(2), _CONTEXT.divide(mean, spread))
        scale = _CONTEXT.divide(_CONTEXT.multiply(_CONTEXT.multiply(Decimal(2), mean), moment), spread)
    if shape <= 0:
        shape, scale = Decimal(0), mean
    return Tail(threshold=threshold, peaks=count, points=points, shape=shape, scale=scale)


class TailPast:
    """The scores of the most recent `window` points, and how often one so high comes about."""

    def __init__(self, window: int) -> None:
        self._scores = Calibration(window)
        self._runs = Runs(window)

    def learn(self, score: int) -> None:
        """Take in a point's score, 0 for none."""
        self._runs.learn(is_peak=score > self._threshold())
        self._scores.learn(score)

    def p_value(self, score: int) -> Ppb:
        """The chance of a score as high, which is positive."""
        length, runs = self._runs.length()
        return Ppb(min(CERTAIN, -(-self._p_value_alone(score) * length // runs)))

    def state(self) -> State:
        """What p-values depend on."""
        return [self._runs.state(), self._scores.state()]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        runs, scores = parse(state, tuple[list[int], list[int]])
        self._runs.restore(runs)
        self._scores.restore(scores)

    def _p_value_alone(self, score: int) -> Ppb:
        """The chance if each point stood alone."""
        conformal = self._scores.p_value(score)
        points = self._scores.counted
        peaks = self._scores.largest(points // ABOVE_THRESHOLD + 1)
        if len(peaks) <= LEAST_PEAKS or score <= peaks[0] or peaks[-1] == peaks[0]:
            return conformal
        tail = fit_tail(peaks[1:], threshold=peaks[0], points=points)
        furthest = -(-CERTAIN // (points * FURTHEST))
        return Ppb(min(conformal, max(furthest, tail.p_value(score))))

    def _threshold(self) -> int:
        """The score that one point in fifty passes; 0 where fewer have any."""
        wanted = self._scores.counted // ABOVE_THRESHOLD + 1
        largest = self._scores.largest(wanted)
        return largest[0] if len(largest) == wanted else 0


class Runs:
    """How many of the most recent `window` points were peaks, and in how many runs they came."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._learned = 0
        self._peaks: deque[tuple[int, bool]] = deque()
        """The place of each peak, and whether it began a run."""
        self._began = 0

    def learn(self, *, is_peak: bool) -> None:
        """Take in the next point."""
        self._learned += 1
        if is_peak:
            begins = not self._peaks or self._peaks[-1][0] != self._learned - 1
            self._peaks.append((self._learned, begins))
            self._began += begins
        while self._peaks and self._peaks[0][0] <= self._learned - self._window:
            self._began -= self._peaks.popleft()[1]

    def length(self) -> tuple[int, int]:
        """The usual length of a run, at least 1, as a fraction."""
        runs = max(1, self._began)
        return max(len(self._peaks), runs), runs

    def state(self) -> list[int]:
        """How many points were learned, then the places of the peaks, those that began a run negative."""
        return [self._learned, *(-place if begins else place for place, begins in self._peaks)]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        learned, *places = parse(state, list[int])
        require_rising([abs(place) for place in places], within=(learned - self._window, learned))
        self._learned = learned
        self._peaks.extend((abs(place), place < 0) for place in places)
        self._began = sum(begins for _, begins in self._peaks)
