"""What a backtest came to: one history's report, and the types in it.

A report holds counts and facts of the recording. What is derived from them, such as rates, stands in
`node/backtest/figures.py`; how they are shown, in `text.py` and `page.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consensus.alert import Level
from consensus.types import BlockNumber
from node.detect.evidence import Judgement, Ppb
from node.trace import Token


class Outcome(StrEnum):
    """Where the exploit was flagged, at level limit or higher."""

    BEFORE = "before"
    """At a transaction that was set aside as attack, ahead of the exploit."""
    AT = "at"
    MISSED = "missed"


ACTIONS: Final[Mapping[Level, str]] = MappingProxyType(
    {
        Level.ALERT: "call a person",
        Level.LIMIT: "lower the limits",
        Level.FREEZE: "freeze what takes value out",
        Level.PAUSE: "pause the protocol",
    }
)
"""What the ladder would have done at each level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldBlocks:
    """How long the ladder's restrictions last, in blocks from the flagged transaction on."""

    limit: int = 1_800
    freeze: int = 1_800
    pause: int = 1_800

    def of(self, level: Level) -> int:
        """The blocks of a level; an alert restricts nothing."""
        return (0, self.limit, self.freeze, self.pause)[level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A judgement that reached a level."""

    judgement: Judgement
    level: Level
    is_attack: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """The first set-aside transaction that reached level limit or higher, the exploit's at the latest."""

    transaction_hash: str
    block_number: BlockNumber
    level: Level
    transactions_late: int
    """How many set-aside transactions came before it."""
    blocks_late: int
    """Blocks since the first transaction that was set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLoss:
    """What became of one token of the watched contracts, in its smallest units, as far as it was recorded."""

    token: Token
    held_units: int
    """What they held before the exploit's transaction."""
    lost_units: int
    """What that transaction took, net; 0 where it took none."""
    moved_after_flag_units: int
    """What left in set-aside transactions of later blocks than the flag's: a pause at the flag saves it."""
    left_units: int
    """What they held after the exploit's transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A scored transaction, or the strangest and the largest of several that follow each other."""

    block_number: BlockNumber
    strangeness: Ppb
    outflow_bps: int
    """The largest share of a holding that left."""
    is_attack: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a backtest came to. Counts of alerts, limits and pauses are of benign transactions."""

    history: str
    learned: int
    scored: int
    benign: int
    exploit: Outcome | None
    """None: no exploit was named."""
    level: Level | None
    """The hardest level up to the exploit's transaction; None: nothing was flagged, or no exploit was
    named."""
    detectors: tuple[str, ...]
    """Whose evidence stood behind that level."""
    alarms: tuple[Alarm, ...]
    """In order of time, benign and attack; of a flood only the first."""
    alarms_left_out: int
    false_alarms: tuple[int, int, int, int]
    """Benign transactions that reached exactly this level, by level."""
    benign_evidence: tuple[tuple[str, int, int], ...]
    """For each detector in how many benign transactions it found anything, and in how many of those what it
    found was strange enough for an alert by itself."""
    exploit_block: BlockNumber | None
    first_attack_block: BlockNumber | None
    """Of the first transaction that was set aside."""
    flag: Flag | None
    losses: tuple[TokenLoss, ...]
    hold_blocks: HoldBlocks
    held_up: tuple[int, int, int, int]
    """Benign transactions that came while a false alarm's restriction of this level lasted, by level; under
    several, they count for the hardest."""
    timeline: tuple[Point, ...]
    level_lines: tuple[tuple[Level, int, int], ...]
    """Of the policy: each level, with the strangeness in parts per million that it asks of agreeing families
    and of one alone."""
    played: int
    """How many transactions were read and taken in, in `seconds`."""
    seconds: float
    policy_hash: bytes
    state_hash: bytes
    """Of everything learned, when scoring began."""

    def count(self, level: Level) -> int:
        """How many benign transactions reached at least this level."""
        return sum(self.false_alarms[level:])
