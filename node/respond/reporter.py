"""Brings proof of equivocation to the registry, which takes the stake of whoever signed twice.

A slot that an operator signed with two digests needs no judge: the two sums of signatures are the proof, and
the registry checks them itself. The reporter earns the share that the registry fixed, so anyone may; the
watchers take turns, so that one transaction is sent. What is proven and not yet punished is kept in memory
alone: peers hold the signatures, and tell them again while the alerts are open.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from consensus.equivocation import EquivocationEvidence
from consensus.errors import Refused, Unavailable
from consensus.operators import Operator, OperatorSet
from consensus.types import Address, BlockNumber, Digest, Epoch, SlotId
from node.chain.clock import HeadClock
from node.chain.types import BlockRef, Receipt
from node.respond.schedule import compute_order, compute_turn

MAX_OPEN: Final = 64  # a slot each; whoever signs twice does so seldom, and loses its seat with the first
MAX_TRIES: Final = 5  # reports that the registry refused or that reverted: evidence expires

_log = structlog.get_logger("reporter")


class FaultsPort(Protocol):
    """The registry's book of faults. Reads raise `Unavailable`, refusals `Refused`."""

    async def unpunished(
        self, evidence: EquivocationEvidence, operators: Sequence[Operator]
    ) -> tuple[Operator, ...]:
        """Those of them that have not paid for this fault yet."""
        ...

    async def simulate(
        self, evidence: EquivocationEvidence, operator_set: OperatorSet, accused: Sequence[Operator]
    ) -> None: ...

    async def report(
        self, evidence: EquivocationEvidence, operator_set: OperatorSet, accused: Sequence[Operator]
    ) -> Receipt: ...


@dataclass(slots=True)
class _Case:
    """One proof, and how far it has come."""

    evidence: EquivocationEvidence
    ready_at: BlockNumber | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterStatistics:
    """Counts since the start."""

    open: int
    reported: int
    dropped: int


class Reporter:
    """The room: `operators` share the work, and `set_of` names an epoch's set, None where it is not kept."""

    def __init__(
        self,
        *,
        me: Address,
        operators: Callable[[], Sequence[Address]],
        set_of: Callable[[Epoch], OperatorSet | None],
        faults: FaultsPort,
        clock: HeadClock,
    ) -> None:
        self._me = me
        self._operators = operators
        self._set_of = set_of
        self._faults = faults
        self._clock = clock
        self._cases: OrderedDict[tuple[Epoch, SlotId], _Case] = OrderedDict()
        self._reported = self._dropped = 0

    def statistics(self) -> ReporterStatistics:
        return ReporterStatistics(open=len(self._cases), reported=self._reported, dropped=self._dropped)

    def note(self, evidence: EquivocationEvidence) -> None:
        """Take up a proof; of one slot the one with most signers. The oldest goes where they are too many."""
        key = (evidence.epoch, evidence.slot_id)
        known = self._cases.get(key)
        if known is not None and len(known.evidence.operators) >= len(evidence.operators):
            return
        self._cases[key] = _Case(evidence)
        while len(self._cases) > MAX_OPEN:
            self._cases.popitem(last=False)
            self._dropped += 1

    async def run(self) -> None:
        """Look at every head of the home chain, until cancelled."""
        head = await self._clock.wait_beyond(None)
        while True:
            await self.look(head)
            head = await self._clock.wait_other(head)

    async def look(self, head: BlockRef) -> None:
        """Do what can be done at this head about each open case."""
        for key, case in list(self._cases.items()):
            try:
                is_closed = await self._advance(case, head)
            except Unavailable as unavailable:
                _log.warning("equivocation.unreported", slot_id=key[1], detail=str(unavailable))
                continue
            except Refused as refused:
                case.tries += 1
                _log.warning("equivocation.unreported", slot_id=key[1], detail=str(refused))
                is_closed = case.tries >= MAX_TRIES
                self._dropped += is_closed
            if is_closed and self._cases.get(key) is case:
                del self._cases[key]

    async def _advance(self, case: _Case, head: BlockRef) -> bool:
        """Whether nothing is left to do."""
        evidence = case.evidence
        operator_set = self._set_of(evidence.epoch)
        if operator_set is None:
            self._dropped += 1
            return True
        signers = [operator_set.by_index(index) for index in evidence.operators]
        accused = await self._faults.unpunished(evidence, signers)
        if not accused:
            return True
        if case.ready_at is None:
            case.ready_at = head.number
        if head.number < self._compute_turn(case, case.ready_at):
            return False
        await self._faults.simulate(evidence, operator_set, accused)
        landed = await self._faults.report(evidence, operator_set, accused)
        _log.info(
            "equivocation.reported",
            slot_id=evidence.slot_id,
            operators=[operator.address for operator in accused],
            transaction=landed.transaction_hash,
            succeeded=landed.succeeded,
        )
        self._reported += landed.succeeded
        case.tries += not landed.succeeded
        return case.tries >= MAX_TRIES  # else the next head says whether they are punished

    def _compute_turn(self, case: _Case, ready_at: BlockNumber) -> BlockNumber:
        operators = self._operators()
        order = compute_order(Digest(case.evidence.slot_id), operators)
        return compute_turn(order, self._me, ready_at=ready_at, signed=frozenset(operators))
