"""What a series detector says: evidence that may brake, a hint that may only ring, a proposal, or nothing
known.

They are different types because they may lead to different things, and a mix-up would be signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from consensus.alert import Level
from consensus.types import BlockNumber
from node.detect.evidence import Ppb


class Basis(StrEnum):
    """Why a finding is one."""

    STATED = "stated"
    """A bound that the policy states was passed; no past is asked."""
    LEARNED = "learned"
    """A score, to be weighed by the series' own past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Evidence in whole numbers. `score` is positive, larger is stranger, and compares with scores of the
    same detector and basis alone."""

    detector: str
    basis: Basis
    score: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What was computed with floats, or learned without a published hash: it rings for a person, and has no
    level to be signed with."""

    detector: str
    summary: str
    level: ClassVar[Literal[Level.ALERT]] = Level.ALERT


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """How many of its bounded steps a parameter should be tightened by now; 0 is the usual setting. It goes
    the slow way of level limit and never pauses."""

    detector: str
    step: int
    most_steps: int
    summary: str
    level: ClassVar[Literal[Level.LIMIT]] = Level.LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """A signal of which nothing can be said at this block."""

    signal: str
    missing: tuple[str, ...]
    """The series that have no value here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedFinding:
    """A finding of a signal, with how often its past scored as high; a stated one is certain by itself."""

    signal: str
    finding: Finding
    p_value: Ppb | None
    """None for a stated finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleJudgement:
    """What one rule's signals together say at one block."""

    rule: str
    block_number: BlockNumber
    level: Level | None
    """The level that is newly reached; None where nothing is, or as much was within the cooldown."""
    strangeness: Ppb
    """The learned findings' p-values as one."""
    findings: tuple[WeighedFinding, ...]
    hints: tuple[Hint, ...]
    proposals: tuple[Proposal, ...]
    """Those whose step is another than at the block before."""
    unjudged: tuple[Unjudged, ...]
    reason: str
    """Why this level, in a sentence for people; empty without one."""
