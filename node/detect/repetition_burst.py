"""Repetition burst: one function is called more often in one transaction than ever before.

Some flaws pay a little each time and are called in a loop. The score is the largest number of writing calls
of one function of one contract, where it is above `least_calls` and at least twice the learned maximum.
Cost: one count for each frame. Not enough alone: honest batches exist.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, count
from node.detect.shape import Count, parse
from node.trace import Account, TransactionTrace


class RepetitionBurst(Detector):
    """Remembers the largest number of repetitions."""

    name: ClassVar[str] = "repetition_burst"
    family: ClassVar[Family] = Family.FLOW
    parameters: ClassVar[tuple[Parameter, ...]] = (count("least_calls"),)

    def __init__(self, *, least_calls: int) -> None:
        self._least = least_calls
        self._most = 0

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        counted = _count_calls(transaction)
        if not counted:
            return None
        (contract, selector), calls = max(counted.items(), key=lambda item: (item[1], item[0]))
        if calls < self._least or calls < 2 * self._most:
            return None
        return self.found(
            calls, f"{calls} calls of {selector} of {shown(contract)}; at most {self._most} were seen"
        )

    def learn(self, transaction: TransactionTrace) -> None:
        self._most = max(self._most, *_count_calls(transaction).values(), 0)

    def state(self) -> State:
        return self._most

    def restore(self, state: object) -> None:
        self._most = parse(state, Count)


def _count_calls(transaction: TransactionTrace) -> Counter[tuple[Account, str]]:
    return Counter(
        (transaction.frames[place].contract, transaction.frames[place].selector)
        for place in transaction.writing_frames
    )
