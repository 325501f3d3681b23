"""What a detector says of one transaction, and what all of them together come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from consensus.alert import Level
from consensus.types import BlockNumber

Ppb = NewType("Ppb", int)
"""A probability in parts per billion, rounded up: 1_000_000_000 is certain. Never zero."""

CERTAIN: Final = Ppb(1_000_000_000)
PPB_IN_PPM: Final = 1_000


class Family(StrEnum):
    """Which side of a transaction a detector looks at. Two detectors of one family often see the same thing,
    so only the strongest of a family counts; agreement is agreement between families."""

    FLOW = "flow"
    """Which calls, from whom, how often."""
    NESTING = "nesting"
    """A call within a call that had not ended."""
    VALUE = "value"
    """Sizes: of what left, came or appeared."""
    STATE = "state"
    """Words of storage that should not change, or not in such a way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One detector's finding. `score` is a positive integer, larger is stranger, and compares only with
    scores of the same detector."""

    detector: str
    family: Family
    score: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Evidence with its p-value: how often benign transactions here scored as high."""

    evidence: Evidence
    p_value: Ppb


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What all detectors together say of one transaction. `level` is None where they ask for nothing."""

    transaction_hash: str
    block_number: BlockNumber
    level: Level | None
    strangeness: Ppb
    """The families' p-values as one; small is strange."""
    evidence: tuple[Weighed, ...]
    reason: str
    """Why this level, in a sentence for people; empty without one."""
