"""What every series detector is: something that is shown one reading after the other, and says what is
strange.

`observe` judges a reading by those before it and then takes it in, in this order. Numbers are integers, and
`state` is everything that the next judgement depends on, as plain JSON values. A series has gaps: after one,
`resume` is called before the next reading, and what counts blocks that follow each other begins anew, while
baselines stay. A reorg needs nothing here: the watch goes back to a copy (`node/detect/series/watch.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from consensus.types import BlockNumber, Seconds
from node.detect.detector import State
from node.detect.parameter import Parameter
from node.detect.series.finding import Basis, Finding, Hint, Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a detector wants to be shown: so many series, in the units that its module names."""

    name: str
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The values of a detector's series at one block, by role."""

    block_number: BlockNumber
    timestamp: Seconds
    values: Mapping[str, tuple[int, ...]]

    def one(self, role: str) -> int:
        """The value of a role that one series fills."""
        (value,) = self.values[role]
        return value

    def every(self, role: str) -> tuple[int, ...]:
        """The values of a role, in the policy's order; none where it was left out."""
        return self.values.get(role, ())


ONE_VALUE = Role(name="value", least=1, most=1)
REFERENCES = Role(name="references", least=0, most=16)


class SeriesDetector(ABC):
    """Base of all series detectors; takes its parameters by name when it is made."""

    name: ClassVar[str]
    roles: ClassVar[tuple[Role, ...]]
    parameters: ClassVar[tuple[Parameter, ...]] = ()

    @abstractmethod
    def observe(self, reading: Reading) -> Finding | Hint | Proposal | None:
        """Judge the next reading, then learn from it. A `Proposal` is given at every reading, whatever its
        step."""

    def resume(self) -> None:  # noqa: B027 (a detector may count nothing that follows)
        """Forget what counted blocks that follow each other: some are missing."""

    def reset(self) -> None:  # noqa: B027 (a detector may gather nothing)
        """Begin to gather anew: what was gathered so far has raised the hardest level it could."""

    @abstractmethod
    def state(self) -> State:
        """All that the next judgement depends on, beside the parameters."""

    @abstractmethod
    def restore(self, state: object) -> None:
        """Take over what `state` gave, into a detector that has seen nothing. Raises `ValueError` with the
        place that has another shape."""

    def learned(self, score: int, summary: str) -> Finding:
        """A finding to be weighed by the past."""
        return Finding(detector=self.name, basis=Basis.LEARNED, score=score, summary=summary)

    def stated(self, score: int, summary: str) -> Finding:
        """A finding by a bound that the policy states."""
        return Finding(detector=self.name, basis=Basis.STATED, score=score, summary=summary)
