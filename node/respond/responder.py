"""From a growing certificate to a verified effect, on every chain that the alert names.

One task an action. It waits until the certificate is good for what the guardian's owner asked, waits for
this watcher's turn, looks whether somebody else was faster, tries the call without sending it, sends it, and
reads the target back. Delivery on the second chain is the same task with another chain: no message passes
between chains, the certificate is the message.

An effect is looked at until it has stood for the chain's confirmations. Where a reorganisation took it back
the task begins again; where the owner lifted, the guardian itself refuses the old certificate. All of this
is read from the chain, so a watcher that restarts goes on once peers have told it of the alert again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
import trio

from consensus.alert import Action
from consensus.certificate import Certificate, meets
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockNumber, ChainId, Digest
from node.chain.types import BlockRef, Receipt
from node.respond.schedule import compute_order, compute_turn
from node.respond.types import AnsweringChain, Effect, GuardianPort, Simulation, Standing, Terms

MAX_OPEN_INCIDENTS = 256  # certificates need a third of the stake, so only a quorum of liars could fill this
MAX_REMEMBERED = 4_096  # answered alerts; forgetting one costs a look at what is in force by then
MAX_SUBMISSIONS = 5  # reverted ones; each costs gas, and what five did not do the sixth will not
BPS = 10_000

_log = structlog.get_logger()


@dataclass(slots=True)
class _Incident:
    """The best certificate of one alert so far, and the tasks' wait for a better one."""

    certificate: Certificate
    grown: trio.Event = field(default_factory=trio.Event)

    def grow(self, certificate: Certificate) -> None:
        if certificate.signed_weight > self.certificate.signed_weight:
            self.certificate = certificate
            self.grown.set()
            self.grown = trio.Event()


@dataclass(slots=True, kw_only=True)
class _Course:
    """How far one action of one incident has come on its chain."""

    incident: _Incident
    action: Action
    chain: AnsweringChain
    guardian: GuardianPort
    log: structlog.stdlib.BoundLogger
    turn: BlockNumber | None = None
    submissions: int = 0
    sent: Receipt | None = None
    held_since: BlockNumber | None = None
    """The block of the effect, while it stands."""
    lost_at: BlockNumber | None = None
    """Where an effect that had been reported was found gone."""

    def lose(self, head: BlockRef) -> None:
        """The effect is gone: everything begins again, with turns of its own."""
        self.turn = self.sent = self.held_since = None
        self.lost_at = head.number


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderStatistics:
    """Counts since the start."""

    open_incidents: int
    effects: int
    confirmed: int
    vanished: int
    submissions: int
    refused: int


class Responder:
    """The room: certificates in, effects out.

    `me` is this operator's address: it has a place in the order.
    """

    def __init__(self, *, me: Address, chains: Mapping[ChainId, AnsweringChain]) -> None:
        self._me = me
        self._chains = chains
        self._incidents: dict[Digest, _Incident] = {}
        self._answered: OrderedDict[Digest, None] = OrderedDict()
        self._effects = self._confirmed = self._vanished = self._submissions = self._refused = 0

    def statistics(self) -> ResponderStatistics:
        return ResponderStatistics(
            open_incidents=len(self._incidents),
            effects=self._effects,
            confirmed=self._confirmed,
            vanished=self._vanished,
            submissions=self._submissions,
            refused=self._refused,
        )

    async def run(
        self, certificates: trio.MemoryReceiveChannel[Certificate], effects: trio.MemorySendChannel[Effect]
    ) -> None:
        """Answer every certificate until the channel closes; then finish what is open."""
        async with effects, trio.open_nursery() as nursery:
            async for certificate in certificates:
                digest = certificate.alert.digest()
                if digest in self._answered:
                    continue  # it grew after its effect: nothing is left to do, even if the owner lifted
                if digest in self._incidents:
                    self._incidents[digest].grow(certificate)
                elif len(self._incidents) >= MAX_OPEN_INCIDENTS:
                    self._refused += 1
                    _log.error("response.refused", digest=digest, reason=Reason.TOO_MANY_INCIDENTS)
                else:
                    self._incidents[digest] = _Incident(certificate)
                    nursery.start_soon(self._answer_all, digest, effects)

    async def _answer_all(self, digest: Digest, effects: trio.MemorySendChannel[Effect]) -> None:
        incident = self._incidents[digest]
        try:
            async with trio.open_nursery() as nursery:
                for action in incident.certificate.alert.actions:
                    if action.chain_id in self._chains:
                        nursery.start_soon(self._answer, incident, action, effects)
        finally:
            del self._incidents[digest]
            self._answered[digest] = None
            while len(self._answered) > MAX_REMEMBERED:
                self._answered.popitem(last=False)

    async def _answer(
        self, incident: _Incident, action: Action, effects: trio.MemorySendChannel[Effect]
    ) -> None:
        """See one action through, or give it up when the alert has expired on that chain."""
        chain, alert = self._chains[action.chain_id], incident.certificate.alert
        course = _Course(
            incident=incident,
            action=action,
            chain=chain,
            guardian=chain.guardian(action.guardian),
            log=_log.bind(
                digest=alert.digest(),
                chain_id=action.chain_id,
                guardian=action.guardian,
                action=action.action_id,
            ),
        )
        head = await chain.clock.wait_beyond(None)
        while head.timestamp <= alert.expires_at:
            grown = incident.grown
            try:
                if await self._advance(course, head, effects):
                    return
            except Unavailable as unavailable:
                course.log.warning("response.unavailable", detail=str(unavailable))
            except Refused as refused:  # an action that the owner never set, a fee above the cap: may change
                self._refused += 1
                course.log.warning("response.refused", reason=refused.reason, detail=refused.message)
                if _is_over(course, head):
                    course.log.info("response.ended", block_number=head.number)
                    return
            head = await self._wait_for_growth_or_block(course, grown, head)
        course.log.warning("response.expired", block_number=head.number)

    async def _advance(
        self, course: _Course, head: BlockRef, effects: trio.MemorySendChannel[Effect]
    ) -> bool:
        """Do what can be done at this head. True when nothing is left: the effect has stood long enough."""
        guardian, action = course.guardian, course.action
        while True:
            terms = await guardian.terms(action.action_id)
            if not _is_good_for(course.incident.certificate, terms):
                return False
            if course.turn is None:
                course.turn = self._compute_turn(course.incident.certificate, head.number)
            standing = await guardian.standing(action.action_id)
            if standing.in_force(head.timestamp):
                return await self._hold(course, head, terms, standing, effects)
            if course.held_since is not None:
                self._vanished += 1
                course.log.warning("response.vanished", block_number=head.number)
                course.lose(head)
                continue
            if head.number < course.turn or course.submissions >= MAX_SUBMISSIONS:
                return False
            landed = await self._submit(course)
            if landed is None:
                return False
            course.submissions += 1
            if not landed.succeeded:
                return False
            course.sent = landed  # and read the effect back at once

    async def _hold(
        self,
        course: _Course,
        head: BlockRef,
        terms: Terms,
        standing: Standing,
        effects: trio.MemorySendChannel[Effect],
    ) -> bool:
        """The action is in force: say so once. True when it has been so for the chain's confirmations."""
        if course.held_since is None:
            sent = course.sent
            course.held_since = sent.block_number if sent else head.number
            self._effects += 1
            await effects.send(
                Effect(
                    digest=course.incident.certificate.digest(),
                    chain_id=course.action.chain_id,
                    guardian=course.action.guardian,
                    action_id=course.action.action_id,
                    level=terms.level,
                    transaction=sent.transaction_hash if sent else None,
                    block_number=course.held_since,
                    restricted_until=standing.restricted_until,
                )
            )
        if head.number < course.held_since + course.chain.confirmations:
            return False
        self._confirmed += 1
        course.log.info("response.confirmed", block_number=head.number, held_since=course.held_since)
        return True

    async def _submit(self, course: _Course) -> Receipt | None:
        """Try without sending, then send.

        None when there is nothing to send now; the next block may differ.
        """
        certificate, log = course.incident.certificate, course.log
        simulated = await course.guardian.simulate(certificate, course.action)
        log.info("response.simulated", outcome=simulated)
        if simulated is Simulation.ALREADY_ACTIVE:
            return None
        self._submissions += 1
        log.info("response.sending", weight=certificate.signed_weight, total_weight=certificate.total_weight)
        landed = await course.guardian.submit(certificate, course.action)
        log.info(
            "response.landed",
            transaction=landed.transaction_hash,
            block_number=landed.block_number,
            succeeded=landed.succeeded,
            gas_used=landed.gas_used,
        )
        return landed

    async def _wait_for_growth_or_block(self, course: _Course, grown: trio.Event, head: BlockRef) -> BlockRef:
        """Return at the next block, or before the turn at a better certificate; the newest head."""
        clock = course.chain.clock
        if course.turn is not None:
            return await clock.wait_other(head)
        async with trio.open_nursery() as nursery:

            async def until_block() -> None:
                await clock.wait_other(head)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_block)
            await grown.wait()
            nursery.cancel_scope.cancel()
        return clock.latest or head

    def _compute_turn(self, certificate: Certificate, ready_at: BlockNumber) -> BlockNumber:
        signed = [operator.address for operator in certificate.present]
        everybody = signed + [operator.address for operator in certificate.absent]
        order = compute_order(certificate.digest(), everybody)
        return compute_turn(order, self._me, ready_at=ready_at, signed=frozenset(signed))


def _is_over(course: _Course, head: BlockRef) -> bool:
    """Whether an effect that had been seen is gone for good: the guardian has refused for long enough."""
    return course.lost_at is not None and head.number >= course.lost_at + course.chain.confirmations


def _is_good_for(certificate: Certificate, terms: Terms) -> bool:
    return meets(certificate.signed_weight, certificate.total_weight, terms.threshold_bps, BPS)
