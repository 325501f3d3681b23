"""Counts what a watch says of a history, one judgement after the other.

A tally holds plain values only, so that a checkpoint can keep it. It counts the recording as it is: what
would have happened had somebody braked is never played, only estimated from what followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from consensus.alert import Level
from consensus.types import BlockNumber
from node.backtest.plan import Plan
from node.backtest.report import Alarm, Flag, HoldBlocks, Outcome, Point, TokenLoss
from node.backtest.timeline import Timeline
from node.detect.books import Books
from node.detect.evidence import PPB_IN_PPM, Judgement
from node.detect.policy import DetectionPolicy
from node.trace import Account, Token, TransactionTrace

MAX_ALARMS_KEPT: Final = 500  # with their evidence, of benign transactions and of the attack each


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been counted so far; all amounts in a token's smallest units, by token."""

    scored: int = 0
    benign: int = 0
    alarms: list[Alarm] = field(default_factory=list)
    kept_benign: int = 0
    alarms_left_out: int = 0
    false_alarms: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """By level; each counts at its own alone."""
    found: dict[str, int] = field(default_factory=dict)
    strange: dict[str, int] = field(default_factory=dict)
    strongest: Alarm | None = None
    """The hardest alarm of the attack up to the exploit, of equals the first."""
    exploit: Outcome | None = None
    is_over: bool = False
    """The exploit has been judged."""
    first_attack_block: BlockNumber | None = None
    flag: Flag | None = None
    held_until: list[int] = field(default_factory=lambda: [-1, -1, -1, -1])
    """By level, the last block of the restriction that a false alarm would have set."""
    held_up: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    held_units: dict[str, int] = field(default_factory=dict)
    """Just before the exploit."""
    lost_units: dict[str, int] = field(default_factory=dict)
    left_units: dict[str, int] = field(default_factory=dict)
    moved_after_flag_units: dict[str, int] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)

    def losses(self) -> tuple[TokenLoss, ...]:
        """Each token that the exploit took, or that left after the flag."""
        tokens = {token for token, units in self.lost_units.items() if units > 0}
        tokens |= {token for token, units in self.moved_after_flag_units.items() if units > 0}
        return tuple(
            TokenLoss(
                token=Token(Account(token)),
                held_units=self.held_units.get(token, 0),
                lost_units=max(0, self.lost_units.get(token, 0)),
                moved_after_flag_units=max(0, self.moved_after_flag_units.get(token, 0)),
                left_units=self.left_units.get(token, 0),
            )
            for token in sorted(tokens)
        )


class Counter:
    """Counts into a tally. `count` comes before `books` hears of the transaction."""

    def __init__(
        self, tally: Tally, *, plan: Plan, policy: DetectionPolicy, books: Books, hold_blocks: HoldBlocks
    ) -> None:
        self._tally = tally
        self._plan = plan
        self._books = books
        self._hold_blocks = hold_blocks
        self._strange_ppb = policy.rule(Level.ALERT).alone_ppm * PPB_IN_PPM

    def count(self, transaction: TransactionTrace, judgement: Judgement) -> None:
        """Take in a scored transaction."""
        tally = self._tally
        is_attack = self._plan.is_attack(transaction)
        tally.scored += 1
        self._draw(transaction, judgement, is_attack=is_attack)
        alarm = _alarm_of(judgement, is_attack=is_attack)
        if is_attack:
            self._count_attack(transaction, alarm)
        else:
            tally.benign += 1
            self._count_held_up(transaction)
            self._count_evidence(judgement)
        if alarm is not None:
            self._count_alarm(alarm)

    def count_booked(self, transaction: TransactionTrace) -> None:
        """Take in what is left, once `books` has heard of the transaction."""
        if transaction.hash == self._plan.exploit_hash:
            self._tally.left_units = self._books.all_held()

    def _draw(self, transaction: TransactionTrace, judgement: Judgement, *, is_attack: bool) -> None:
        drain = self._books.worst_drain(transaction)
        self._tally.timeline.add(
            Point(
                block_number=transaction.block_number,
                strangeness=judgement.strangeness,
                outflow_bps=0 if drain is None else drain[0],
                is_attack=is_attack,
            )
        )

    def _count_alarm(self, alarm: Alarm) -> None:
        tally = self._tally
        if not alarm.is_attack:
            tally.false_alarms[alarm.level] += 1
            until = alarm.judgement.block_number + self._hold_blocks.of(alarm.level)
            tally.held_until[alarm.level] = max(tally.held_until[alarm.level], until)
        kept = tally.kept_benign if not alarm.is_attack else len(tally.alarms) - tally.kept_benign
        if kept >= MAX_ALARMS_KEPT:
            tally.alarms_left_out += 1
            return
        tally.alarms.append(alarm)
        tally.kept_benign += not alarm.is_attack

    def _count_held_up(self, transaction: TransactionTrace) -> None:
        held = self._tally.held_until
        level = max((each for each in Level if held[each] >= transaction.block_number), default=Level.ALERT)
        if level > Level.ALERT:
            self._tally.held_up[level] += 1

    def _count_evidence(self, judgement: Judgement) -> None:
        for each in judgement.evidence:
            detector = each.evidence.detector
            self._tally.found[detector] = self._tally.found.get(detector, 0) + 1
            if each.p_value <= self._strange_ppb:
                self._tally.strange[detector] = self._tally.strange.get(detector, 0) + 1

    def _count_attack(self, transaction: TransactionTrace, alarm: Alarm | None) -> None:
        tally = self._tally
        is_exploit = transaction.hash == self._plan.exploit_hash
        outflows = self._books.outflows(transaction)
        if tally.first_attack_block is None:
            tally.first_attack_block = transaction.block_number
        # A response is a transaction too: the earliest block that it can change is the one after the flag's.
        if tally.flag is not None and transaction.block_number > tally.flag.block_number:
            _add(tally.moved_after_flag_units, outflows)
        if alarm is not None and not tally.is_over:
            self._count_flag(alarm, is_exploit=is_exploit)
        if is_exploit:
            tally.held_units = self._books.all_held()
            _add(tally.lost_units, outflows)
            tally.is_over = True

    def _count_flag(self, alarm: Alarm, *, is_exploit: bool) -> None:
        tally = self._tally
        if tally.strongest is None or alarm.level > tally.strongest.level:
            tally.strongest = alarm
        if alarm.level < Level.LIMIT or tally.flag is not None:
            return
        tally.exploit = Outcome.AT if is_exploit else Outcome.BEFORE
        block_number = alarm.judgement.block_number
        first = block_number if tally.first_attack_block is None else tally.first_attack_block
        tally.flag = Flag(
            transaction_hash=alarm.judgement.transaction_hash,
            block_number=block_number,
            level=alarm.level,
            transactions_late=tally.scored - tally.benign - 1,
            blocks_late=block_number - first,
        )


def _alarm_of(judgement: Judgement, *, is_attack: bool) -> Alarm | None:
    if judgement.level is None:
        return None
    return Alarm(judgement=judgement, level=judgement.level, is_attack=is_attack)


def _add(sums: dict[str, int], more: Mapping[Token, int]) -> None:
    for token, units in more.items():
        sums[token] = sums.get(token, 0) + units
