"""One honest watcher: the real tally, forwarder, reconciler, frames and budgets, on a simulated clock.

What is played here is the wiring alone: the rooms' tasks become events, and the disk a dictionary that
outlives a crash. The journal's rule is the signer's: a digest is recorded for its slot before it is signed,
and another one is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from consensus.alert import Alert, Level
from consensus.attestation import Attestation, check_membership
from consensus.certificate import compute_levels
from consensus.errors import Reason, Refused
from consensus.partial import (
    Contribution,
    PartialCertificate,
    check_signers,
    compute_weight,
    decode_partial,
    encode_partial,
    verify_partial,
)
from consensus.reconciliation import (
    Signatures,
    decode_inventory,
    decode_signatures,
    decode_summary,
    decode_want,
)
from consensus.tally import MAX_PARTIALS, Tally
from consensus.types import Digest, OperatorIndex, SlotId
from node.gossip.budgets import Budgets, Limits
from node.gossip.faults import STRIKES
from node.gossip.forwarder import MAX_COURSES, Forwarder, Parcel
from node.gossip.frames import Kind, decode_attestation, encode_attestation, encode_frame, parse_frame
from node.gossip.holdings import TallyHoldings
from node.gossip.open_attestations import OpenAttestations
from node.gossip.reconciler import ROUND_SECONDS, Reconciler
from node.gossip.room import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MAX_OPEN,
    MAX_REPEATS_PER_TICK,
    MAX_SEEN_PAYLOADS,
)
from node.gossip.seen import SeenPayloads
from node.gossip.transport import Path, PeerId, Received
from node.tallying import MAX_BATCH
from tests.consensus.factories import NETWORK_ID, NOW
from tests.simulation.members import index_of, peer_of
from tests.simulation.world import Violation, World

TICK_MS = 1_000
PEERS_PER_ROUND = 3
"""Fewer than a real watcher compares with, so that what heals is not the number of tries."""

CRYPTO_MS = 2
"""What waits while the tally verifies: messages gather into batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the network passes things on, the same at every watcher."""

    radix: int
    direct_up_to: int


@dataclass(slots=True, kw_only=True)
class Disk:
    """What a crash leaves."""

    journal: dict[SlotId, Digest] = field(default_factory=dict)

    def allows(self, alert: Alert) -> bool:
        """Record the digest for its slot; False when another one stands there."""
        return self.journal.setdefault(alert.slot_id(), alert.digest()) == alert.digest()


class Watcher:
    """One operator. `view` says what it finds at a slot that others speak of, None for nothing."""

    def __init__(
        self,
        index: int,
        world: World,
        *,
        shape: Shape,
        liars: frozenset[int],
        view: Callable[[SlotId], Alert | None],
    ) -> None:
        self.index = OperatorIndex(index)
        self.disk = Disk()
        self.view = view
        self.accused = 0
        self.verified: Counter[str] = Counter()
        self.settled_at: dict[Digest, int] = {}
        self._world = world
        self._shape = shape
        self._liars = liars
        self._life = 0
        self.start()

    # --- life and death

    def start(self) -> None:
        """Come up with nothing but the disk."""
        self._life += 1
        self.tally = Tally(NETWORK_ID)
        self.tally.add_operator_set(self._world.operator_set)
        self.forwarder = Forwarder(self.tally, radix=self._shape.radix, direct_up_to=self._shape.direct_up_to)
        self._open = OpenAttestations(
            max_open=MAX_OPEN,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
        )
        self.budgets = Budgets(Limits(), self._seconds)
        self._seen = SeenPayloads(MAX_SEEN_PAYLOADS)
        self._inbox: list[Contribution] = []
        self._planned: int | None = None
        self._world.listen(self.index, self._receive)
        self._world.greeters[self.index] = self.greet
        offset = self._world.random.randrange(TICK_MS)
        self._again(TICK_MS, offset, self._repeat)
        self._reconciler = Reconciler(
            holdings=TallyHoldings(self.tally),
            push=self._push,
            connected=self._others,
            deliver=self._deliver,
            clock=self._seconds,
            jitter=self._world.random,
        )
        self._again(round(1_000 * ROUND_SECONDS), 2 * offset, self._compare)

    def stop(self) -> None:
        """Crash: all but the disk is gone, between any two events."""
        self._life += 1
        self._world.listen(self.index, None)

    def greet(self, other: int) -> None:
        """A connection (again): tell what is open, and compare."""
        if self._world.is_up(self.index):
            for payload in self._open.payloads():
                self._world.send(self.index, other, payload)
            _now(self._reconciler.compare_with(peer_of(other)))

    # --- what it sees and signs

    def observe(self, alert: Alert) -> None:
        """Its own evaluation raised this alert: journal, signature, tally, network."""
        if not self._world.is_up(self.index) or not self.disk.allows(alert):
            return
        attestation = self._world.sign(self.index, alert)
        payload = encode_frame(Kind.ATTESTATION, encode_attestation(attestation))
        self._open.add(attestation.digest(), payload, expires_at=alert.expires_at, at=self._seconds())
        self._enter(attestation)
        operator_set = self._world.operator_set
        if self.forwarder.forwards_in(operator_set):
            for to in self.forwarder.group(alert, operator_set, self.index):
                self._world.send(self.index, to, payload)
        else:
            self._tell_all(payload)

    # --- what it hears

    def _receive(self, sender: PeerId, payload: bytes) -> None:
        if self.budgets.is_banned(sender):
            return
        if not self.budgets.charge_author(sender, len(payload)):
            self._strike(sender, Reason.AUTHOR_OVER_BUDGET)
            return
        try:
            frame = parse_frame(payload)
            received = Received(peer_id=sender, payload=payload, path=Path.DIRECT)
            if frame.kind is Kind.ATTESTATION:
                self._take_attestation(decode_attestation(frame.body), sender, payload)
            elif frame.kind is Kind.PARTIAL_CERTIFICATE:
                self._take_partial(decode_partial(frame.body), sender, payload)
            elif frame.kind is Kind.SUMMARY:
                _now(self._reconciler.take_summary(decode_summary(frame.body), received))
            elif frame.kind is Kind.INVENTORY:
                _now(self._reconciler.take_inventory(decode_inventory(frame.body), received))
            elif frame.kind is Kind.WANT:
                _now(self._reconciler.take_want(decode_want(frame.body), received))
            elif frame.kind is Kind.SIGNATURES:
                _now(self._reconciler.take_signatures(decode_signatures(frame.body), received))
        except Refused as refused:
            self._strike(sender, refused.reason)

    def _take_attestation(self, attestation: Attestation, sender: PeerId, payload: bytes) -> None:
        if payload in self._seen:
            return
        operator = check_membership(attestation, {self._world.operator_set.epoch: self._world.operator_set})
        if operator.peer_id != sender:
            raise Refused(Reason.NOT_ITS_OWN, f"{operator.peer_id} signed, {sender} sent")
        self._seen.add(payload, sender)
        self._enter(attestation)

    def _take_partial(self, partial: PartialCertificate, sender: PeerId, payload: bytes) -> None:
        if payload not in self._seen:
            check_signers(partial, {self._world.operator_set.epoch: self._world.operator_set})
            self._seen.add(payload, sender)
            self._enter(partial)
        self._send(self.forwarder.heard(partial, index_of(sender)))

    def _deliver(self, answer: Signatures, sender: PeerId) -> None:
        """Signatures of others that this peer was asked for, and answers for."""
        for attestation in answer.read_attestations():
            payload = _payload_of(attestation)
            if payload not in self._seen:
                check_membership(attestation, {self._world.operator_set.epoch: self._world.operator_set})
                self._seen.add(payload, sender)
                self._enter(attestation)

    def _blame(self, contribution: Contribution, reason: Reason) -> None:
        """What the tally refused: as `GossipRoom.blame` and `Forwarding.blame` do."""
        payload = _payload_of(contribution)
        sender = self._seen.sender_of(payload)
        is_at_fault = reason is Reason.BAD_SIGNATURE or (
            reason is Reason.EQUIVOCATION
            and isinstance(contribution, Attestation)
            and sender == peer_of(contribution.operator_index)
        )
        if is_at_fault and sender is not None:
            self._strike(sender, reason)
        else:
            self._seen.forget(payload)
            self._reconciler.rest(contribution.digest(), contribution.signers)

    def _strike(self, sender: PeerId, reason: Reason) -> None:
        points = STRIKES.get(reason, 0)
        if points and self.budgets.strike(sender, points) and index_of(sender) not in self._liars:
            raise Violation(f"watcher {self.index} banned honest {sender} for {reason}")

    # --- what it counts

    def _enter(self, contribution: Contribution) -> None:
        if not self._inbox:
            self._soon(CRYPTO_MS, self._count)
        self._inbox.append(contribution)

    def _count(self) -> None:
        batch, self._inbox = self._inbox[:MAX_BATCH], self._inbox[MAX_BATCH:]
        if self._inbox:
            self._soon(CRYPTO_MS, self._count)
        outcome = self.tally.add(batch, NOW)
        self.verified["batches"] += 1
        self.verified["contributions"] += len(outcome.new) + len(outcome.refused)
        for contribution, refused in outcome.refused:
            self._blame(contribution, refused.reason)
        for evidence in outcome.equivocations:
            self.accused |= evidence.signers
            for index in evidence.operators:
                self._strike(peer_of(index), Reason.EQUIVOCATION)
        for digest in dict.fromkeys(each.digest() for each in outcome.new):
            self._learn(digest)

    def _learn(self, digest: Digest) -> None:
        alert = self.tally.alert(digest)
        assert alert is not None
        self._check_growth(digest)
        if Level.PAUSE in self.tally.levels(digest):
            self._open.settle(digest)
            self.settled_at.setdefault(digest, self._world.now)
        self.forwarder.learned(alert, self._world.operator_set, self.index, at=self._seconds())
        self._plan()
        mine = self.view(alert.slot_id())
        if mine is not None and alert.slot_id() not in self.disk.journal:
            self._soon(100, lambda: self.observe(mine))

    def _check_growth(self, digest: Digest) -> None:
        """No level without its true weight, and no certificate that a chain would refuse."""
        operator_set = self._world.operator_set
        true_weight = compute_weight(self._world.truth.signers[digest], operator_set)
        claimed = self.tally.levels(digest)
        if not claimed <= compute_levels(true_weight, operator_set.total_weight):
            levels = sorted(level.name for level in claimed)
            raise Violation(f"watcher {self.index} believes in {levels} of a weight of {true_weight}")
        merged = self.tally.merged(digest)
        if merged is None or not claimed:
            return
        if not verify_partial(merged, operator_set):
            raise Violation(
                f"watcher {self.index} holds a certificate over {digest.hex()[:8]} that does not verify"
            )
        if compute_weight(merged.signers, operator_set) != self.tally.weight(digest):
            raise Violation(f"watcher {self.index} counts another weight than its certificate holds")

    # --- what it passes on

    def _plan(self) -> None:
        due_at = self.forwarder.next_due_at()
        when = None if due_at is None else math.ceil(1_000 * due_at)
        if when is not None and (self._planned is None or when < self._planned):
            self._planned = when
            self._soon(max(1, when - self._world.now), self._forward)

    def _forward(self) -> None:
        if self._planned is not None and self._planned > self._world.now:
            return  # an earlier plan came between
        self._planned = None
        self._send(self.forwarder.take_due(at=self._seconds()))
        self._plan()

    def _send(self, parcels: tuple[Parcel, ...]) -> None:
        for parcel in parcels:
            self._world.send(self.index, parcel.to, _payload_of(parcel.partial))

    def _repeat(self) -> None:
        for payload in self._open.take_due(at=self._seconds(), max_payloads=MAX_REPEATS_PER_TICK):
            self._tell_all(payload)

    def _compare(self) -> None:
        peers = self._others()
        for peer_id in self._world.random.sample(peers, min(len(peers), PEERS_PER_ROUND)):
            _now(self._reconciler.compare_with(peer_id))

    async def _push(self, peer_id: PeerId, kind: Kind, body: bytes) -> None:
        self._world.send(self.index, index_of(peer_id), encode_frame(kind, body))

    def _others(self) -> tuple[PeerId, ...]:
        others = range(len(self._world.operator_set.operators))
        return tuple(
            peer_of(each)
            for each in others
            if each != self.index and not self.budgets.is_banned(peer_of(each))
        )

    def _tell_all(self, payload: bytes) -> None:
        for other in range(len(self._world.operator_set.operators)):
            if other != self.index:
                self._world.send(self.index, other, payload)

    # --- the clock

    def check_bounds(self) -> None:
        """What is kept is bounded, whatever came."""
        tally, slots = self.tally.statistics(), 16_384
        within = (
            tally.slots <= slots
            and tally.partials <= MAX_PARTIALS * tally.alerts
            and tally.signatures <= len(self._world.operator_set.operators) * tally.alerts
            and self.forwarder.statistics().courses <= MAX_COURSES
            and len(self._seen) <= MAX_SEEN_PAYLOADS
            and len(self._open) <= MAX_OPEN
        )
        if not within:
            raise Violation(f"watcher {self.index} keeps more than its bounds: {tally}")

    def _seconds(self) -> float:
        return self._world.now / 1_000

    def _soon(self, delay: int, event: Callable[[], None]) -> None:
        """Like `World.after`, unless this life has ended by then."""
        life = self._life
        self._world.after(delay, lambda: event() if self._life == life else None)

    def _again(self, period: int, offset: int, event: Callable[[], None]) -> None:
        def tick() -> None:
            event()
            self._soon(period, tick)

        self._soon(offset, tick)


def _now(step: Coroutine[object, None, None]) -> None:
    """Run what would only wait for the transport to its end: here nothing waits."""
    try:
        step.send(None)
    except StopIteration:
        return
    raise AssertionError("a step of the reconciler waited for something")


def _payload_of(contribution: Contribution) -> bytes:
    if isinstance(contribution, PartialCertificate):
        return encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(contribution))
    return encode_frame(Kind.ATTESTATION, encode_attestation(contribution))
