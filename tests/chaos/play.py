"""One run: bring a network up, play a plan's rounds, and judge each and the whole.

A round: a fault, an attack while it lasts, the fault mended, a second attack. While more than two thirds are
honest and connected the first must be answered at once; otherwise when the fault is over. The second must be
answered and signed by every honest watcher: that is what recovery means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from consensus.errors import TocsinError
from tests.chaos.field import Field, Skipped, open_field
from tests.chaos.plan import Fault, FaultKind, Plan
from tests.chaos.verdicts import (
    RECOVERY_TARGET_SECONDS,
    RESIDENT_BOUND_BYTES,
    Violation,
    check_equivocation,
    check_memory,
    check_proofs,
    check_thresholds,
)

ANSWER_SECONDS = 90.0  # what a failing run waits; a busy machine may need many times what an idle one does
RECOVERY_SECONDS = 150.0
ATTACK_AGAIN_SECONDS = 10.0
LAST_LINES_SECONDS = 0.5  # what the watchers wrote as they ended is read a poll later
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How one round went. Seconds; None for what was not asked for."""

    fault: Fault
    skipped: str | None
    answered_seconds: float | None
    recovered_seconds: float | None
    resident_bytes: dict[str, int]
    violations: tuple[Violation, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a JSON line."""
        recovered = self.recovered_seconds
        return {
            "line": "verdict",
            "round": self.fault.round,
            "kind": self.fault.kind.value,
            "skipped": self.skipped,
            "answered_seconds": _rounded(self.answered_seconds),
            "recovered_seconds": _rounded(recovered),
            "within_target": None if recovered is None else recovered <= RECOVERY_TARGET_SECONDS,
            "resident_mib": {name: size // 2**20 for name, size in self.resident_bytes.items()},
            "violations": [f"{each.property}: {each.detail}" for each in self.violations],
        }


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The whole run."""

    plan: Plan
    rounds: list[Round] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    acts: int = 0
    signatures: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.violations

    def as_dict(self) -> dict[str, Any]:
        """The last JSON line."""
        recovered = sorted(each.recovered_seconds for each in self.rounds if each.recovered_seconds)
        return {
            "line": "outcome",
            "seed": self.plan.seed,
            "nodes": self.plan.nodes,
            "conduct": [how.value for how in self.plan.conduct],
            "rounds": len(self.rounds),
            "faults_made": sum(each.skipped is None for each in self.rounds),
            "acts": self.acts,
            "honest_signatures": self.signatures,
            "recovered_seconds_p50": _rounded(recovered[len(recovered) // 2]) if recovered else None,
            "recovered_seconds_max": _rounded(recovered[-1]) if recovered else None,
            "recovery_target_seconds": RECOVERY_TARGET_SECONDS,
            "resident_mib_max": max(
                (size for each in self.rounds for size in each.resident_bytes.values()), default=0
            )
            // 2**20,
            "resident_mib_bound": RESIDENT_BOUND_BYTES // 2**20,
            "violations": [f"{each.property}: {each.detail}" for each in self.violations],
        }


async def play(
    plan: Plan,
    *,
    directory: Path,
    rounds: int | None = None,
    seconds: float | None = None,
    tell: Tell = lambda _: None,
) -> Outcome:
    """Play the first `rounds` of a plan, or as many as begin within `seconds`; one of the two is given."""
    planned = plan.first(rounds if rounds is not None else len(plan.kinds) * 50)
    outcome = Outcome(plan=plan)
    tell({"line": "plan", "seed": plan.seed, "nodes": plan.nodes, "conduct": [c.value for c in plan.conduct]})
    ends_at = None if seconds is None else time.monotonic() + seconds
    async with open_field(plan, planned, directory) as network:
        tell({"line": "ready", "watchers": list(plan.names), "honest": list(plan.honest)})
        for fault in planned:
            if ends_at is not None and time.monotonic() >= ends_at:
                break
            played = await _play_round(network, fault, tell)
            outcome.rounds.append(played)
            tell(played.as_dict())
        outcome.violations += [each for played in outcome.rounds for each in played.violations]
        outcome.violations += await judge_whole(network)
        outcome.acts = len(network.acts)
        outcome.signatures = sum(len(network.record.own[name]) for name in plan.honest)
    tell(outcome.as_dict())
    return outcome


async def judge_whole(network: Field) -> list[Violation]:
    """Stop every watcher, open the journals, and hold everything that was signed and done against them."""
    await network.remember_acts()
    async with trio.open_nursery() as nursery:
        for watcher in network.network.watchers.values():
            nursery.start_soon(watcher.stop)
    await trio.sleep(LAST_LINES_SECONDS)
    record, plan = network.record, network.plan
    return [
        *check_equivocation(plan.honest, signed=record.signed, journals=network.journals()),
        *check_proofs(plan.honest, proven=record.proven, index_of=record.index_of),
        *check_thresholds(
            list(network.acts.values()),
            signed=record.signed,
            names=plan.names,
            honest=plan.honest,
            total_weight=max((total for _, total in record.certified.values()), default=0),
        ),
    ]


async def _play_round(network: Field, fault: Fault, tell: Tell) -> Round:
    tell({"line": "fault", **fault.as_dict(), "answerable": network.plan.is_answerable(fault)})
    violations: list[Violation] = []
    skipped = answered = recovered = None
    try:
        skipped, answered = await _under_fault(network, fault, tell, violations)
        recovered = await _recover(network, fault, tell, violations)
    except TocsinError as error:
        violations.append(Violation(property="the network lives", detail=str(error)))
    resident = network.resident_bytes()
    violations += check_memory(resident)
    violations += check_equivocation(network.plan.honest, signed=network.record.signed, journals={})
    return Round(
        fault=fault,
        skipped=skipped,
        answered_seconds=answered,
        recovered_seconds=recovered,
        resident_bytes=resident,
        violations=tuple(violations),
    )


async def _under_fault(
    network: Field, fault: Fault, tell: Tell, violations: list[Violation]
) -> tuple[str | None, float | None]:
    """The fault, and an attack while it lasts; a reorg comes when the attack is answered."""
    skipped = None
    is_reorg = fault.kind is FaultKind.REORG
    try:
        if not is_reorg:
            await network.inflict(fault)
    except Skipped as why:
        skipped = str(why)
    began = time.monotonic()
    await network.trip()
    tell({"line": "attack", "round": fault.round, "during": fault.kind.value})
    if not network.plan.is_answerable(fault) and skipped is None:
        await trio.sleep(fault.hold_seconds)
        return skipped, None
    if not await network.wait_paused(ANSWER_SECONDS):
        violations.append(_unanswered(fault, "although more than two thirds are honest and connected"))
        return skipped, None
    answered = time.monotonic() - began
    tell({"line": "answered", "round": fault.round, "seconds": _rounded(answered)})
    if is_reorg:
        await network.inflict(fault)
    return skipped, answered


async def _recover(network: Field, fault: Fault, tell: Tell, violations: list[Violation]) -> float | None:
    """Mend it; what is open must be answered now, and then another attack, by every honest watcher."""
    await network.mend(fault)
    tell({"line": "mended", "round": fault.round})
    began = time.monotonic()
    if not network.plan.is_answerable(fault) and not await network.wait_paused(ANSWER_SECONDS):
        violations.append(_unanswered(fault, "although its fault is over"))
    honest, record = network.plan.honest, network.record
    before = {name: frozenset(record.own[name]) for name in honest}
    with trio.move_on_after(RECOVERY_SECONDS):
        await record.wait_until(lambda: record.ready >= set(honest), RECOVERY_SECONDS)
        await network.rearm()
        before = {name: frozenset(record.own[name]) for name in honest}
        await network.trip()
        while not await record.wait_until(
            lambda: any(_shared_news(record.own, before, honest)), ATTACK_AGAIN_SECONDS
        ):
            await network.rearm()  # a reorg, or a watcher that was behind, may have left this attack unseen
            await network.trip()
        if await network.wait_paused(ANSWER_SECONDS):
            recovered = time.monotonic() - began
            tell({"line": "recovered", "round": fault.round, "seconds": _rounded(recovered)})
            await network.rearm()
            return recovered
    late = sorted(name for name in honest if not record.own[name] - before[name])
    violations.append(
        Violation(
            property="recovery",
            detail=f"after {fault.kind} of round {fault.round} not everybody signs within "
            f"{RECOVERY_SECONDS} s: {late or honest}",
        )
    )
    return None


def _shared_news(
    own: dict[str, set[str]], before: dict[str, frozenset[str]], honest: tuple[str, ...]
) -> Iterator[str]:
    """The digests that every honest watcher signed since."""
    yield from set.intersection(*(own[name] - before[name] for name in honest))


def _unanswered(fault: Fault, although: str) -> Violation:
    return Violation(
        property="every real incident is answered",
        detail=f"the attack of round {fault.round} ({fault.kind}) is not, {although}",
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
