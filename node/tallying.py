"""Feeds the tally: what came in since the last look is counted in one batch, and what follows is told on.

The tally itself is pure. Here are its clock (the chains' own time), its neighbours, and nothing of the
quorum rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
import trio

from consensus.alert import Level
from consensus.certificate import Certificate
from consensus.equivocation import EquivocationEvidence
from consensus.errors import Reason
from consensus.partial import Contribution, indices_of
from consensus.tally import Tally
from consensus.types import Digest, Epoch, OperatorIndex, PolicyHash, Seconds
from node.evaluate.findings import Question

MAX_BATCH = 256  # one verification then stays below a fifth of a second
MAX_REMEMBERED = 4_096
MAX_OPEN_QUESTIONS = 4  # of one operator: each costs us an evaluation, it one signature

_log = structlog.get_logger("tally")


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyingStatistics:
    """Counts since the start."""

    counted: int
    duplicates: int
    refused: int
    equivocations: int
    questions: int
    questions_dropped: int


async def _accuse_nobody(_epoch: Epoch, _operators: Iterable[OperatorIndex]) -> None:
    """For a tally that has no neighbours to keep out."""


class Tallying:
    """One task owns the tally.

    `policies` says which ones questions may be about; `heard` is told of every signature that was found good,
    `proven` of every proof that operators signed twice.
    """

    def __init__(
        self,
        tally: Tally,
        *,
        now: Callable[[], Seconds],
        policies: frozenset[PolicyHash],
        certificates: trio.MemorySendChannel[Certificate],
        questions: trio.MemorySendChannel[Question],
        blame: Callable[[Contribution, Reason], Awaitable[None]],
        learned: Callable[[Digest], None],
        settled: Callable[[Digest], None],
        heard: Callable[[Contribution], None] = lambda _: None,
        accuse: Callable[[Epoch, Iterable[OperatorIndex]], Awaitable[None]] = _accuse_nobody,
        proven: Callable[[EquivocationEvidence], None] = lambda _: None,
    ) -> None:
        self._proven = proven
        self._tally = tally
        self._now = now
        self._policies = policies
        self._certificates = certificates
        self._questions = questions
        self._blame = blame
        self._learned = learned
        self._settled = settled
        self._heard = heard
        self._accuse = accuse
        self._asked: OrderedDict[Digest, None] = OrderedDict()
        self._raised: OrderedDict[Digest, None] = OrderedDict()
        self._open: dict[Question, OperatorIndex] = {}
        self._counted = self._duplicates = self._refused = self._equivocations = 0
        self._questions_sent = self._questions_dropped = 0

    def statistics(self) -> TallyingStatistics:
        return TallyingStatistics(
            counted=self._counted,
            duplicates=self._duplicates,
            refused=self._refused,
            equivocations=self._equivocations,
            questions=self._questions_sent,
            questions_dropped=self._questions_dropped,
        )

    def raised_here(self, digest: Digest) -> None:
        """This watcher has seen it too: nobody needs to be asked."""
        _remember(self._raised, digest)

    def answered(self, question: Question) -> None:
        """The question has been looked into: whoever caused it may cause another."""
        self._open.pop(question, None)

    async def run(self, incoming: trio.MemoryReceiveChannel[Contribution]) -> None:
        """Count until the channel closes."""
        async for first in incoming:
            batch = [first]
            while len(batch) < MAX_BATCH:
                try:
                    batch.append(incoming.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    break
            await self._count(batch)

    async def _count(self, batch: list[Contribution]) -> None:
        now = self._now()
        self._tally.prune(now)
        outcome = self._tally.add(batch, now)
        self._counted += len(outcome.new)
        self._duplicates += len(outcome.duplicates)
        self._refused += len(outcome.refused)
        for digest in dict.fromkeys(each.digest() for each in outcome.new):
            self._learned(digest)
        for digest in outcome.grown:
            await self._tell_growth(digest)
        for contribution in outcome.new:
            self._heard(contribution)
            self._ask_about(contribution)
        for evidence in outcome.equivocations:
            self._equivocations += 1
            _log.error("equivocation.proven", operators=evidence.operators, slot_id=evidence.slot_id)
            self._proven(evidence)
            await self._accuse(evidence.epoch, evidence.operators)
        for contribution, refused in outcome.refused:
            _log.warning(
                "attestation.refused",
                digest=contribution.digest(),
                operators=indices_of(contribution.signers),
                reason=refused.reason,
                detail=refused.message,
            )
            await self._blame(contribution, refused.reason)

    async def _tell_growth(self, digest: Digest) -> None:
        certificate = self._tally.certificate(digest)
        if certificate is None:
            return
        levels = self._tally.levels(digest)
        _log.info(
            "certificate.grown",
            digest=digest,
            weight=certificate.signed_weight,
            total_weight=certificate.total_weight,
            levels=sorted(level.name.lower() for level in levels),
        )
        await self._certificates.send(certificate)
        if Level.PAUSE in levels:
            self._settled(digest)

    def _ask_about(self, contribution: Contribution) -> None:
        """Have our own view of the anchor evaluated, once, when members signed what we have not raised.

        Of several who signed together the first is the one that caused the question.
        """
        digest, slot, asker = (
            contribution.digest(),
            contribution.alert.slot,
            indices_of(contribution.signers)[0],
        )
        if digest in self._raised or digest in self._asked or slot.policy_hash not in self._policies:
            return
        question = Question(
            policy_hash=slot.policy_hash,
            rule_id=slot.rule_id,
            chain_id=slot.source_chain_id,
            anchor_number=slot.anchor_number,
            anchor_hash=slot.anchor_hash,
            subject=slot.subject,
            asked_by=(contribution.alert.epoch, asker),
        )
        if list(self._open.values()).count(asker) >= MAX_OPEN_QUESTIONS:
            self._questions_dropped += 1
            return
        try:
            self._questions.send_nowait(question)
        except trio.WouldBlock:
            # our own evaluation comes first: what cannot be looked into now is not looked into at all
            self._questions_dropped += 1
            return
        self._open[question] = asker
        _remember(self._asked, digest)
        self._questions_sent += 1
        _log.info(
            "question.asked",
            digest=digest,
            operator_index=asker,
            block_number=slot.anchor_number,
        )


def _remember(known: OrderedDict[Digest, None], digest: Digest) -> None:
    known[digest] = None
    while len(known) > MAX_REMEMBERED:
        known.popitem(last=False)
