"""Plays a recorded history to the detectors: learns on its first half, judges the second, counts.

      first half            second half
    ├─────────────────┼───────────────────────────┬──────────────┬─────────►
      learned            benign: every alarm        set aside      exploit, and what follows it
                         here is a false one        as attack

An attack does not begin with the transaction that gave it its name: contracts are deployed and first steps
tried some blocks before. The rows of the exploit's block and of the `QUARANTINE_BLOCKS` before it are
therefore judged, but are not benign; nor is anything after the exploit. Transactions of which nothing was
recorded are left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.detect.evidence import PPB_IN_PPM, Judgement
from node.detect.policy import DetectionPolicy
from node.detect.watch import Watch
from node.observe.history import RecordedHistory
from node.trace import TransactionTrace

# Ten minutes of Ethereum; chosen before any history was scored, and the same for all.
QUARANTINE_BLOCKS: Final = 50


class Outcome(StrEnum):
    """Where the exploit was flagged, at level limit or higher."""

    BEFORE = "before"
    """At a transaction that was set aside as attack, ahead of the exploit."""
    AT = "at"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A judgement that reached a level."""

    judgement: Judgement
    level: Level
    is_attack: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a backtest came to. The counts of alerts, limits and pauses are of benign transactions, and each
    holds those of the harder levels."""

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
    benign_evidence: tuple[tuple[str, int, int], ...]
    """For each detector in how many benign transactions it found anything, and in how many of those what it
    found was strange enough for an alert by itself."""
    seconds: float
    policy_hash: bytes
    state_hash: bytes
    """Of everything learned, when scoring began."""

    def count(self, level: Level) -> int:
        """How many benign transactions reached at least this level."""
        return sum(not alarm.is_attack and alarm.level >= level for alarm in self.alarms)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values, without the single alarms."""
        return {
            "history": self.history,
            "scored": self.scored,
            "benign": self.benign,
            "exploit": None if self.exploit is None else self.exploit.value,
            "level": None if self.level is None else self.level.name.lower(),
            "detectors": list(self.detectors),
            "alerts": self.count(Level.ALERT),
            "limits": self.count(Level.LIMIT),
            "pauses": self.count(Level.PAUSE),
            "seconds": round(self.seconds, 3),
            "learned": self.learned,
            "benign_evidence": {
                name: {"found": found, "strange": strange} for name, found, strange in self.benign_evidence
            },
            "policy_hash": f"0x{self.policy_hash.hex()}",
            "state_hash": f"0x{self.state_hash.hex()}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a history is split: known before the first transaction is learned from."""

    to_learn: int
    """How many transactions, from the first on, are learned from."""
    to_score: int
    exploit_hash: str | None
    exploit_block: BlockNumber | None

    def is_attack(self, transaction: TransactionTrace) -> bool:
        """Whether it belongs to the attack, or comes after it."""
        first = None if self.exploit_block is None else self.exploit_block - QUARANTINE_BLOCKS
        return first is not None and transaction.block_number >= first


@dataclass(slots=True)
class _Tally:
    """What has been counted so far."""

    scored: int = 0
    benign: int = 0
    alarms: list[Alarm] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    strange: Counter[str] = field(default_factory=Counter)
    strongest: Alarm | None = None
    """The hardest alarm of the attack up to the exploit, of equals the first."""
    exploit: Outcome | None = None
    is_over: bool = False
    """The exploit has been judged."""


def make_plan(history: RecordedHistory, exploit_hash: str | None) -> Plan:
    """Split a history in the middle of its transactions.

    Raises `Refused` (HISTORY_INVALID; LABEL_INVALID where the exploit is not in the history, or in the half
    that is learned from).
    """
    exploit_hash = None if exploit_hash is None else exploit_hash.lower()
    exploit_block: BlockNumber | None = None
    blocks: list[BlockNumber] = []
    for row in history.outline():
        if row.is_empty:
            continue
        blocks.append(row.block_number)
        if row.hash == exploit_hash:
            exploit_block = row.block_number
    if exploit_hash is not None and exploit_block is None:
        raise Refused(
            Reason.LABEL_INVALID,
            f"{history.name} recorded nothing of a transaction {exploit_hash[:80]!r}; give the hash as it "
            "stands in the history",
        )
    to_learn = len(blocks) // 2
    if exploit_block is not None and to_learn and blocks[to_learn - 1] >= exploit_block - QUARANTINE_BLOCKS:
        raise Refused(
            Reason.LABEL_INVALID,
            f"the exploit's block {exploit_block}, or one of the {QUARANTINE_BLOCKS} before it, lies in the "
            "half that is learned from, and what was learned from is not scored; give a longer history",
        )
    return Plan(
        to_learn=to_learn,
        to_score=len(blocks) - to_learn,
        exploit_hash=exploit_hash,
        exploit_block=exploit_block,
    )


def run_backtest(
    history: RecordedHistory,
    policy: DetectionPolicy,
    *,
    exploit_hash: str | None,
    advance: Callable[[int, int], None] | None = None,
) -> Report:
    """Learn on the first half of a history's transactions and judge the second.

    `advance` is told how many are done, of how many. Raises as `make_plan` does.
    """
    began = time.perf_counter()
    plan = make_plan(history, exploit_hash)
    watch = Watch(policy)
    rows = _told(history, plan, advance)
    for transaction in islice(rows, plan.to_learn):
        watch.learn(transaction)
    state_hash = watch.state_hash()
    tally = _Tally()
    for transaction in rows:
        judgement = watch.judge(transaction)
        _count(tally, plan, transaction, judgement)
        if not plan.is_attack(transaction):
            _count_evidence(tally, policy, judgement)
    strongest = tally.strongest
    return Report(
        history=history.name,
        learned=plan.to_learn,
        scored=tally.scored,
        benign=tally.benign,
        exploit=None if plan.exploit_hash is None else tally.exploit or Outcome.MISSED,
        level=strongest.level if strongest else None,
        detectors=_detectors_behind(strongest),
        alarms=tuple(tally.alarms),
        benign_evidence=tuple((name, tally.found[name], tally.strange[name]) for name in policy.detectors),
        seconds=time.perf_counter() - began,
        policy_hash=policy.hash,
        state_hash=state_hash,
    )


def _told(
    history: RecordedHistory, plan: Plan, advance: Callable[[int, int], None] | None
) -> Iterator[TransactionTrace]:
    """The transactions that are not empty; `advance` hears of each."""
    rows = (transaction for transaction in history.transactions() if not transaction.is_empty)
    for done, transaction in enumerate(rows, start=1):
        yield transaction
        if advance is not None:
            advance(done, plan.to_learn + plan.to_score)


def _count(tally: _Tally, plan: Plan, transaction: TransactionTrace, judgement: Judgement) -> None:
    is_attack = plan.is_attack(transaction)
    is_exploit = transaction.hash == plan.exploit_hash
    tally.scored += 1
    tally.benign += not is_attack
    if judgement.level is not None:
        alarm = Alarm(judgement=judgement, level=judgement.level, is_attack=is_attack)
        tally.alarms.append(alarm)
        if is_attack and not tally.is_over:
            _count_of_attack(tally, alarm, is_exploit=is_exploit)
    tally.is_over |= is_exploit


def _count_evidence(tally: _Tally, policy: DetectionPolicy, judgement: Judgement) -> None:
    within = policy.rule(Level.ALERT).alone_ppm * PPB_IN_PPM
    tally.found.update(each.evidence.detector for each in judgement.evidence)
    tally.strange.update(each.evidence.detector for each in judgement.evidence if each.p_value <= within)


def _count_of_attack(tally: _Tally, alarm: Alarm, *, is_exploit: bool) -> None:
    if tally.strongest is None or alarm.level > tally.strongest.level:
        tally.strongest = alarm
    if alarm.level >= Level.LIMIT and tally.exploit is None:
        tally.exploit = Outcome.AT if is_exploit else Outcome.BEFORE


def _detectors_behind(alarm: Alarm | None) -> tuple[str, ...]:
    if alarm is None:
        return ()
    return tuple(each.evidence.detector for each in alarm.judgement.evidence)
