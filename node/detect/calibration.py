"""How unusual a score is, in the protocol's own benign history: a conformal p-value, in whole numbers.

For n benign transactions of which k scored as high, the p-value is (k + 1) / (n + 1): were the next one
benign and drawn like the others, the chance of so high a score would be at most that (Vovk, Gammerman,
Shafer 2005). Each score comes from judging a transaction *before* learning it. A short history cannot give
a small p-value, so that confidence grows with what was learned, without a rule for it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

from node.detect.evidence import CERTAIN, Ppb
from node.detect.shape import Count, parse


class Calibration:
    """Scores of the most recent `window` benign transactions; zero, which most have, is only counted."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._learned = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._sorted: list[int] = []

    @property
    def counted(self) -> int:
        """How many benign transactions stand behind a p-value."""
        return min(self._learned, self._window)

    def learn(self, score: int) -> None:
        """Take in a benign transaction's score, 0 for none."""
        self._learned += 1
        if score:
            self._recent.append((self._learned, score))
            insort(self._sorted, score)
        while self._recent and self._recent[0][0] <= self._learned - self._window:
            _, oldest = self._recent.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]

    def p_value(self, score: int) -> Ppb:
        """The share of benign transactions that score at least `score`, which is positive."""
        as_high = len(self._sorted) - bisect_left(self._sorted, score)
        return round_up((as_high + 1) * CERTAIN, self.counted + 1)

    def state(self) -> list[int]:
        """What p-values depend on: how many were learned, then the place and score of each that counts."""
        return [self._learned, *(number for pair in self._recent for number in pair)]

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError` with the place that has another shape."""
        numbers = parse(state, list[Count])
        if len(numbers) % 2 == 0:
            raise ValueError("expected how many were learned, then pairs of a place and a score")
        self._learned = numbers[0]
        self._recent.extend(zip(numbers[1::2], numbers[2::2], strict=True))
        require_rising(
            [place for place, _ in self._recent], within=(self._learned - self._window, self._learned)
        )
        self._sorted = sorted(score for _, score in self._recent)
        if self._sorted and not self._sorted[0]:
            raise ValueError("expected scores above zero, which is only counted")


def require_rising(places: Sequence[int], *, within: tuple[int, int]) -> None:
    """Raises `ValueError` unless each place is above the one before, above the first bound and at most at the
    last."""
    before, last = within
    for place in places:
        if not before < place <= last:
            raise ValueError(f"expected a place above {before} and at most {last}, came {place}")
        before = place


def round_up(numerator: int, denominator: int) -> Ppb:
    """The quotient, rounded up: a p-value may be too large, never too small."""
    return Ppb(-(-numerator // denominator))
