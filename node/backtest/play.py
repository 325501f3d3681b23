"""Plays a recorded history to the detectors: learns, then judges, and counts.

How a history is split stands in `plan.py`, what is counted in `tally.py`. Each transaction takes one of three
ways, in this order: skipped, since a file of learned state knows it already; learned; judged. The books over
the contracts' balances follow all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber, Bps
from node.backtest.checkpoint import Checkpoint, CheckpointFile, Subject
from node.backtest.plan import QUARANTINE_BLOCKS, Plan, count_span, make_plan
from node.backtest.report import Alarm, HoldBlocks, Outcome, Report
from node.backtest.tally import Counter, Tally
from node.detect.books import Books
from node.detect.learned import Learned, RecordedSpan
from node.detect.policy import DetectionPolicy
from node.detect.watch import Position, Watch
from node.observe.history import RecordedHistory
from node.trace import TransactionTrace

__all__ = ["QUARANTINE_BLOCKS", "Alarm", "Outcome", "Report", "learn_history", "run_backtest"]

DUST_BPS = Bps(500)  # below a twentieth of its peak a balance is a remainder, and its drain is no outflow

Advance = Callable[[int, int], None]
"""Is told how many transactions are done, of how many."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """Everything that changes while a history is played."""

    watch: Watch
    books: Books = field(default_factory=lambda: Books(dust_bps=DUST_BPS))
    tally: Tally = field(default_factory=Tally)
    done: int = 0
    position: Position = (-1, -1)
    state_hash: bytes | None = None
    """Of everything learned; None until scoring began."""
    seconds_before: float = 0.0
    """What earlier processes spent on it."""


def run_backtest(
    history: RecordedHistory,
    policy: DetectionPolicy,
    *,
    exploit_hash: str | None,
    advance: Advance | None = None,
    learned: Learned | None = None,
    hold_blocks: HoldBlocks | None = None,
    checkpoints: CheckpointFile | None = None,
) -> Report:
    """Learn on the first half of a history's transactions, or start from `learned`; judge the rest.

    Raises as `make_plan` does, and `Refused` (STATE_FOREIGN, STATE_CORRUPT) for learned state or a checkpoint
    of another policy, history or version, or of none.
    """
    began = time.perf_counter()
    hold_blocks = hold_blocks or HoldBlocks()
    plan = make_plan(history, exploit_hash, learned=learned)
    subject = _subject(history, policy, plan, learned, hold_blocks) if checkpoints else None
    checkpoint = checkpoints.read(subject) if checkpoints and subject else None
    if checkpoint is None:
        run = _Run(watch=learned.make_watch(policy) if learned else Watch(policy))
        rows = _rows(history)
    else:
        run, rows = _restore(checkpoint, history, policy)
    counter = Counter(run.tally, plan=plan, policy=policy, books=run.books, hold_blocks=hold_blocks)
    for transaction in rows:
        _take(run, transaction, plan, counter)
        if advance is not None:
            advance(run.done, plan.total)
        if checkpoints and subject and run.done % checkpoints.every_transactions == 0:
            checkpoints.write(_checkpoint(run, subject, began))
    if run.state_hash is None:
        run.state_hash = run.watch.state_hash()
    if checkpoints and subject:
        checkpoints.write(_checkpoint(run, subject, began))
    return _report(
        run,
        history=history.name,
        plan=plan,
        policy=policy,
        hold_blocks=hold_blocks,
        learned=learned.transactions if learned else plan.to_learn,
        seconds=run.seconds_before + time.perf_counter() - began,
    )


def learn_history(
    history: RecordedHistory,
    policy: DetectionPolicy,
    *,
    until_block: int | None = None,
    advance: Advance | None = None,
) -> Learned:
    """Learn from a training span alone: up to a block, or the first half of all transactions.

    Raises `Refused` (HISTORY_INVALID; OUT_OF_RANGE where the span is empty).
    """
    count, rows_hash = count_span(history, until_block)
    watch = Watch(policy)
    for done, transaction in enumerate(_rows(history), start=1):
        watch.learn(transaction)
        if advance is not None:
            advance(done, count)
        if done == count:
            break
    return Learned(
        history=history.name,
        transactions=count,
        rows=rows_hash,
        last_position=watch.last_position,
        state=watch.state(),
        recorded=_recorded_span(history, until_block),
    )


def _recorded_span(history: RecordedHistory, until_block: int | None) -> RecordedSpan | None:
    """What the history says of the blocks up to `until_block`; half of all transactions may end
    within one."""
    recording = history.recording()
    if recording is None or until_block is None:
        return None
    return RecordedSpan(
        chain_id=recording.chain_id,
        contracts=recording.contracts,
        until_block=min(BlockNumber(until_block), recording.last),
        until_hash=recording.last_hash if until_block >= recording.last else None,
    )


def _rows(history: RecordedHistory, *, from_block: int = 0) -> Iterator[TransactionTrace]:
    """The transactions that are not empty."""
    return (each for each in history.transactions(from_block=from_block) if not each.is_empty)


def _take(run: _Run, transaction: TransactionTrace, plan: Plan, counter: Counter) -> None:
    """Skip, learn or judge the next transaction."""
    if plan.to_skip <= run.done < plan.to_skip + plan.to_learn:
        run.watch.learn(transaction)
    elif run.done >= plan.to_skip + plan.to_learn:
        if run.state_hash is None:
            run.state_hash = run.watch.state_hash()
        counter.count(transaction, run.watch.judge(transaction))
    run.books.follow(transaction)
    counter.count_booked(transaction)
    run.done += 1
    run.position = transaction.position


def _subject(
    history: RecordedHistory,
    policy: DetectionPolicy,
    plan: Plan,
    learned: Learned | None,
    hold_blocks: HoldBlocks,
) -> Subject:
    return Subject(
        policy=f"0x{policy.hash.hex()}",
        history=f"0x{history.fingerprint().hex()}",
        exploit=plan.exploit_hash or "",
        learned=learned.hash() if learned else "",
        hold_blocks=hold_blocks,
    )


def _checkpoint(run: _Run, subject: Subject, began: float) -> Checkpoint:
    return Checkpoint(
        subject=subject,
        done=run.done,
        position=run.position,
        milliseconds=round(1000 * (run.seconds_before + time.perf_counter() - began)),
        state_hash="" if run.state_hash is None else f"0x{run.state_hash.hex()}",
        watch=run.watch.state(),
        books=run.books.state(),
        tally=run.tally,
    )


def _restore(
    checkpoint: Checkpoint, history: RecordedHistory, policy: DetectionPolicy
) -> tuple[_Run, Iterator[TransactionTrace]]:
    """The run as it was, and the transactions that it has not seen."""
    # What waits to be learned came within the last blocks, and is read from there again.
    from_block = max(0, checkpoint.position[0] - policy.settle_blocks)
    rows = _rows(history, from_block=from_block)
    recent: dict[Position, TransactionTrace] = {}
    unseen: Iterator[TransactionTrace] = iter(())
    for transaction in rows:
        if transaction.position > checkpoint.position:
            unseen = chain([transaction], rows)
            break
        recent[transaction.position] = transaction
    run = _Run(
        watch=Watch(policy),
        tally=checkpoint.tally,
        done=checkpoint.done,
        position=checkpoint.position,
        state_hash=bytes.fromhex(checkpoint.state_hash[2:]) if checkpoint.state_hash else None,
        seconds_before=checkpoint.milliseconds / 1000,
    )
    run.watch.restore(checkpoint.watch, recent)
    try:
        run.books.restore(checkpoint.books)
    except ValueError as error:
        raise Refused(Reason.STATE_CORRUPT, f"checkpoint of {history.name}: books: {error}") from None
    return run, unseen


def _report(
    run: _Run,
    *,
    history: str,
    plan: Plan,
    policy: DetectionPolicy,
    hold_blocks: HoldBlocks,
    learned: int,
    seconds: float,
) -> Report:
    tally = run.tally
    strongest = tally.strongest
    return Report(
        history=history,
        learned=learned,
        scored=tally.scored,
        benign=tally.benign,
        exploit=None if plan.exploit_hash is None else tally.exploit or Outcome.MISSED,
        level=strongest.level if strongest else None,
        detectors=_detectors_behind(strongest),
        alarms=tuple(tally.alarms),
        alarms_left_out=tally.alarms_left_out,
        false_alarms=_by_level(tally.false_alarms),
        benign_evidence=tuple(
            (name, tally.found.get(name, 0), tally.strange.get(name, 0)) for name in policy.detectors
        ),
        exploit_block=plan.exploit_block,
        first_attack_block=tally.first_attack_block,
        flag=tally.flag,
        losses=tally.losses(),
        hold_blocks=hold_blocks,
        held_up=_by_level(tally.held_up),
        timeline=tuple(tally.timeline.points),
        level_lines=tuple((each.level, each.agreed_ppm, each.alone_ppm) for each in policy.levels),
        played=run.done,
        seconds=seconds,
        policy_hash=policy.hash,
        state_hash=run.state_hash or b"",
    )


def _by_level(counts: list[int]) -> tuple[int, int, int, int]:
    alerts, limits, freezes, pauses = (counts[level] for level in Level)
    return alerts, limits, freezes, pauses


def _detectors_behind(alarm: Alarm | None) -> tuple[str, ...]:
    if alarm is None:
        return ()
    return tuple(each.evidence.detector for each in alarm.judgement.evidence)
