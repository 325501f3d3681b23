"""The room: attestations of ours out to every operator, and those of members in.

Outwards an attestation is encoded, pushed and spread, published again until it is settled or expired, and
told to each peer that connects late. Inwards, after the transport's door (size, registration, budget), a
payload's envelope is read, the payload is looked up among those seen, parsed by its kind's codec, and handed
to whoever serves that kind (`serve`). An attestation is checked to be a member's, sent by that member itself.
Whether it is signed at all is the tally's to find out, in batches; it reports back through `blame`, and
forgers are banned. What neither way brought is pulled: `reconciler` compares with peers every few seconds.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
import trio

from consensus.attestation import Attestation, check_membership
from consensus.errors import Reason, Refused
from consensus.operators import Operator, OperatorSet
from consensus.partial import compute_signers
from consensus.reconciliation import (
    Signatures,
    decode_inventory,
    decode_signatures,
    decode_summary,
    decode_want,
)
from consensus.types import Address, Digest, Epoch, NetworkId, OperatorIndex, Seconds
from node.gossip.addresses import decode_announcement
from node.gossip.budgets import JOINED_VERIFICATION_US, LONE_VERIFICATION_US
from node.gossip.exchange import AddressExchange
from node.gossip.faults import STRIKES
from node.gossip.frames import (
    SPREAD,
    Frame,
    Kind,
    decode_attestation,
    encode_attestation,
    encode_frame,
    parse_frame,
)
from node.gossip.holdings import Holdings
from node.gossip.identity import Identity
from node.gossip.intake import Intake
from node.gossip.open_attestations import OpenAttestations
from node.gossip.reconciler import Reconciler, ReconcilerStatistics
from node.gossip.seen import SeenPayloads
from node.gossip.transport import Addresses, GossipTransport, PeerId, Received, TransportStatistics

MAX_SEEN_PAYLOADS = 32_768
"""32 bytes each; 128 of every operator of the largest set."""
MAX_OPEN = 1_024
MAX_WAITING = 1_024
"""An incident's burst of 256 operators, four alerts."""
FIRST_PAUSE_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 30.0
TICK_SECONDS = 1.0
MAX_REPEATS_PER_TICK = 32
"""Keeps repeats below a third of an operator's budget at its peers (budgets.Limits.author)."""

PULLING: frozenset[Kind] = frozenset({Kind.SUMMARY, Kind.WANT})
"""What a relay may send."""

T = TypeVar("T")

_log = structlog.get_logger("gossip")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service(Generic[T]):
    """How one kind of frame is read, and who takes it."""

    decode: Callable[[bytes], T]
    take: Callable[[T, Received], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStatistics:
    """What the room did since it started; `refused` by reason, in frames. `received` are attestations."""

    published: int
    repeated: int
    open: int
    received: int
    duplicates: int
    refused: Mapping[Reason, int]
    reconciled: ReconcilerStatistics | None
    transport: TransportStatistics


def compute_topic(network_id: NetworkId) -> str:
    """The pubsub topic of one network, in the newest wire version."""
    return f"tocsin/frames/2/{network_id.hex()}"


def compute_older_topic(network_id: NetworkId) -> str:
    """The pubsub topic of one network on which peers of wire version 1 are."""
    return f"tocsin/attest/1/{network_id.hex()}"


class GossipRoom:
    """Between the pipeline's channels and a transport.

    Args:
        transport: carries the bytes (`host.open_host`, or `memory.MemoryNetwork.transport` in tests).
        network_id: attestations for another network are refused.
        incoming: where members' attestations go. Bounded by its maker; when it is full they wait here, and
            when that is full too, one is refused and counted, and comes again with its next repetition.
        now: unix time, by which our own attestations expire.
        first_peers: whom an attestation of ours goes to at first, None for everybody. Everybody is told when
            it is repeated, which it is unless its alert settles before.
        holdings: what peers may compare with and pull; without it nothing is compared.
        jitter: when and whom it is compared with.
        relays: peers beside the operators that may pull, and say nothing else.
        max_waiting: attestations that wait before `incoming`; beyond, the member with most for its stake
            gives way.
    """

    def __init__(
        self,
        *,
        transport: GossipTransport,
        network_id: NetworkId,
        incoming: trio.MemorySendChannel[Attestation],
        now: Callable[[], Seconds],
        first_peers: Callable[[Attestation], tuple[PeerId, ...] | None] = lambda _attestation: None,
        holdings: Holdings | None = None,
        jitter: random.Random | None = None,
        max_waiting: int = MAX_WAITING,
        relays: frozenset[PeerId] = frozenset(),
    ) -> None:
        self._first_peers = first_peers
        self._transport = transport
        self._network_id = network_id
        self._incoming = incoming
        self._now = now
        self._sets: dict[Epoch, OperatorSet] = {}
        self._peers_of: dict[Address, frozenset[str]] = {}
        self._seen = SeenPayloads(MAX_SEEN_PAYLOADS)
        self._holdings = holdings
        self._intake = Intake[Attestation](max_waiting)
        self._open = OpenAttestations(
            max_open=MAX_OPEN,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            longest_pause_seconds=LONGEST_PAUSE_SECONDS,
        )
        self._refused: Counter[Reason] = Counter()
        self._published = self._repeated = self._received = self._duplicates = 0
        self._services: dict[Kind, _Service[Any]] = {}
        self._relays = relays
        self._exchange: AddressExchange | None = None
        self.serve(Kind.ATTESTATION, decode=decode_attestation, take=self._take_attestation)
        self._reconciler = None if holdings is None else self._reconcile(holdings, jitter or random.Random())

    def serve(
        self, kind: Kind, *, decode: Callable[[bytes], T], take: Callable[[T, Received], Awaitable[None]]
    ) -> None:
        """Hand frames of this kind, decoded, to `take`; call before `run`.

        What `decode` refuses is garbage and costs its sender as such; what `take` refuses costs what
        `faults.STRIKES` says of its reason. Neither may raise anything else. `take` should not wait for long:
        all that peers send waits behind it. Of kinds that are spread, what was taken once does not come
        again.

        Raises ValueError for a kind that is served already.
        """
        if kind in self._services:
            raise ValueError(f"kind {kind.name} is served already; one taker a kind")
        self._services[kind] = _Service(decode=decode, take=take)

    def exchange_addresses(self, identity: Identity, *, addresses: Addresses, sequence: int) -> None:
        """Announce our addresses, and learn those of others; call before `run`. See `AddressExchange`."""
        self._exchange = AddressExchange(
            identity,
            network_id=self._network_id,
            addresses=addresses,
            sequence=sequence,
            publish=self.publish,
            push=self.push,
            learn=self._transport.learn,
        )
        self.serve(Kind.ADDRESS, decode=decode_announcement, take=self._exchange.take)

    async def publish(self, kind: Kind, body: bytes) -> None:
        """Tell every operator once; kinds in `frames.SPREAD` by pubsub too."""
        payload = encode_frame(kind, body)
        if kind in SPREAD:
            await self._transport.publish(payload)
            return
        for peer_id in self._transport.connected:
            await self._transport.push(peer_id, payload)

    async def push(self, peer_id: PeerId, kind: Kind, body: bytes) -> None:
        """Tell one operator, when it is connected."""
        await self._transport.push(peer_id, encode_frame(kind, body))

    async def run(self, outgoing: trio.MemoryReceiveChannel[Attestation]) -> None:
        """Publish what comes from `outgoing` and deliver what peers send, until cancelled.

        When `outgoing` ends, the rest goes on: others' attestations are still wanted.
        """
        async with self._incoming, trio.open_nursery() as nursery:
            nursery.start_soon(self._publish_all, outgoing)
            nursery.start_soon(self._repeat_open)
            nursery.start_soon(self._greet_joined)
            nursery.start_soon(self._receive_all)
            nursery.start_soon(self._feed_tally)
            if self._reconciler is not None:
                nursery.start_soon(self._reconciler.run)
            if self._exchange is not None:
                nursery.start_soon(self._exchange.run)

    async def use_operator_sets(
        self, operator_sets: Iterable[OperatorSet], addresses: Mapping[PeerId, Addresses]
    ) -> None:
        """Replace the epochs whose members may speak. Members of all of them are let in.

        `addresses` says where peers can be dialed; members without one are waited for.
        """
        self._sets = {each.epoch: each for each in operator_sets}
        members = [operator for each in self._sets.values() for operator in each.operators]
        peers_of: dict[Address, set[str]] = {}
        for operator in members:
            peers_of.setdefault(operator.address, set()).add(operator.peer_id)
        self._peers_of = {address: frozenset(peer_ids) for address, peer_ids in peers_of.items()}
        peer_ids = {PeerId(operator.peer_id) for operator in members if operator.peer_id}
        if self._exchange is not None:
            self._exchange.keep_only(peer_ids)
        dialed = {peer_id: addresses.get(peer_id, ()) for peer_id in peer_ids}
        await self._transport.register(dialed, relays=self._relays - peer_ids)

    def settled(self, digest: Digest) -> None:
        """The alert has its quorum here: our attestation need not be repeated any more."""
        self._open.settle(digest)

    async def blame(self, attestation: Attestation, reason: Reason) -> None:
        """Charge the peer that sent an attestation which passed here and failed later (a bad signature).

        Only what an honest operator never sends costs anything (`faults.STRIKES`); enough of it is a ban. Our
        own attestations, and those whose sender is forgotten, cost nobody anything.
        """
        self._refused[reason] += 1
        points = STRIKES.get(reason, 0)
        payload = _payload_of(attestation)
        sender = self._seen.sender_of(payload)
        if reason is Reason.EQUIVOCATION and sender not in self._peers_of_signer(attestation):
            points = 0  # handed over by one that holds other two of the equivocator's
        if points and sender is not None:
            await self._transport.strike(sender, points, reason=reason)
        if not points:
            # Not the sender's fault, so it may be of use later: when it comes again, or asked for in a while
            self._seen.forget(payload)
            if self._reconciler is not None:
                self._reconciler.rest(attestation.digest(), compute_signers([attestation.operator_index]))

    async def accuse(self, epoch: Epoch, operators: Iterable[OperatorIndex]) -> None:
        """Ban operators that are proven to have signed two alerts for one slot."""
        if epoch not in self._sets:
            return
        for index in operators:
            address = self._sets[epoch].by_index(index).address
            for peer_id in sorted(self._peers_of[address]):
                points = STRIKES[Reason.EQUIVOCATION]
                await self._transport.strike(PeerId(peer_id), points, reason=Reason.EQUIVOCATION)

    def statistics(self) -> RoomStatistics:
        return RoomStatistics(
            published=self._published,
            repeated=self._repeated,
            open=len(self._open),
            received=self._received,
            duplicates=self._duplicates,
            refused=dict(self._refused),
            reconciled=None if self._reconciler is None else self._reconciler.statistics(),
            transport=self._transport.statistics(),
        )

    # --- outwards

    async def _publish_all(self, outgoing: trio.MemoryReceiveChannel[Attestation]) -> None:
        async for attestation in outgoing:
            payload = _payload_of(attestation)
            self._open.add(
                attestation.digest(),
                payload,
                expires_at=attestation.alert.expires_at,
                at=trio.current_time(),
            )
            await self._publish_first(attestation, payload)
            self._published += 1
            _log.debug("attestation.published", digest=attestation.digest())

    async def _publish_first(self, attestation: Attestation, payload: bytes) -> None:
        first = self._first_peers(attestation)
        if first is None:
            await self._transport.publish(payload)
            return
        for peer_id in first:
            await self._transport.push(peer_id, payload)

    async def _repeat_open(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self._open.prune(self._now())
            for payload in self._open.take_due(at=trio.current_time(), max_payloads=MAX_REPEATS_PER_TICK):
                await self._transport.publish(payload)
                self._repeated += 1

    async def _greet_joined(self) -> None:
        async for peer_id in self._transport.joined:
            if self._only_pulls(peer_id):
                continue
            if self._exchange is not None:
                await self._exchange.greet(peer_id)
            for payload in self._open.payloads():
                await self._transport.push(peer_id, payload)
            if self._reconciler is not None:
                await self._reconciler.compare_with(peer_id)

    def _reconcile(self, holdings: Holdings, jitter: random.Random) -> Reconciler:
        reconciler = Reconciler(
            holdings=holdings,
            push=self.push,
            connected=lambda: self._transport.connected,
            deliver=self._deliver_answer,
            clock=trio.current_time,
            jitter=jitter,
        )
        self.serve(Kind.SUMMARY, decode=decode_summary, take=reconciler.take_summary)
        self.serve(Kind.INVENTORY, decode=decode_inventory, take=reconciler.take_inventory)
        self.serve(Kind.WANT, decode=decode_want, take=reconciler.take_want)
        self.serve(Kind.SIGNATURES, decode=decode_signatures, take=reconciler.take_signatures)
        return reconciler

    # --- inwards

    async def _receive_all(self) -> None:
        async for received in self._transport.received:
            await self._receive(received)
            await trio.lowlevel.checkpoint()

    async def _receive(self, received: Received) -> None:
        """Read one payload's envelope, pass over what was taken before, and hand it to its kind's service."""
        try:
            frame = parse_frame(received.payload)
        except Refused as error:
            await self._refuse(received, error, points=_price_of_garbage(error))
            return
        payload = frame.to_bytes()
        if self._only_pulls(received.peer_id) and frame.kind not in PULLING:
            spoke = Refused(Reason.RELAY_SPOKE, f"a relay may ask, and not send {frame.kind.name}")
            await self._refuse(received, spoke, points=STRIKES[Reason.RELAY_SPOKE])
        elif payload in self._seen:
            self._duplicates += 1
        elif await self._serve_frame(frame, received) and frame.kind in SPREAD:
            # Only now: what was refused may be welcome when it comes again.
            self._seen.add(payload, received.peer_id)

    def _only_pulls(self, peer_id: PeerId) -> bool:
        return peer_id in self._relays and not any(
            peer_id in peer_ids for peer_ids in self._peers_of.values()
        )

    async def _serve_frame(self, frame: Frame, received: Received) -> bool:
        """Decode and hand on; whether it was taken."""
        service = self._services.get(frame.kind)
        if service is None:
            unserved = Refused(Reason.UNSERVED_KIND, f"nobody here takes frames of kind {frame.kind.name}")
            await self._refuse(received, unserved, points=0)
            return False
        try:
            value = service.decode(frame.body)
        except Refused as error:
            await self._refuse(received, error, points=_price_of_garbage(error))
            return False
        try:
            await service.take(value, received)
        except Refused as error:
            await self._refuse(received, error, points=STRIKES.get(error.reason, 0))
            return False
        return True

    async def _take_attestation(self, attestation: Attestation, received: Received) -> None:
        """Hand an attestation on when it is a member's own. Raises Refused."""
        operator = self._check_sender(attestation, received.peer_id)
        self._hand_on(attestation, operator, received.peer_id)
        _log.info(
            "attestation.received",
            digest=attestation.digest(),
            slot_id=attestation.slot_id(),
            operator=operator.address,
            path=received.path.value,
        )

    def _deliver_answer(self, answer: Signatures, sender: PeerId) -> None:
        """Hand on others' attestations that we asked this peer for; it answers for them. Raises Refused.

        Who holds them has verified them, so an honest peer has nothing to fear from that.
        """
        for attestation in answer.read_attestations():
            payload = _payload_of(attestation)
            if payload in self._seen:
                continue
            self._require_network(attestation)
            operator = check_membership(attestation, self._sets)
            self._hand_on(attestation, operator, sender)
            self._seen.add(payload, sender)

    def _check_sender(self, attestation: Attestation, sender: PeerId) -> Operator:
        """The member that signed, which must be the one that sent. Raises Refused otherwise.

        Were others let to pass attestations on here, a forgery in an operator's name would get that operator
        banned. A member may send by the peer id of any epoch that is kept, as it may have changed it.
        """
        self._require_network(attestation)
        operator = check_membership(attestation, self._sets)
        if sender not in self._peers_of[operator.address]:
            raise Refused(
                Reason.NOT_ITS_OWN,
                f"operator {operator.address} sends from {sorted(self._peers_of[operator.address])}, "
                f"came from {sender}",
            )
        return operator

    def _require_network(self, attestation: Attestation) -> None:
        if attestation.alert.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this is network {self._network_id.hex()}, came {attestation.alert.network_id.hex()}",
            )

    def _hand_on(self, attestation: Attestation, operator: Operator, sender: PeerId) -> None:
        """Let it wait for the tally, within its sender's budget and its operator's share. Raises Refused."""
        is_joined = self._holdings is not None and self._holdings.signers(attestation.digest())
        cost = JOINED_VERIFICATION_US if is_joined else LONE_VERIFICATION_US
        if not self._transport.charge_verification(sender, cost):
            raise Refused(
                Reason.VERIFICATION_OVER_BUDGET,
                f"{sender} has no time left to be checked; wait for the repetition",
            )
        evicted = self._intake.put_nowait(attestation, member=operator.address, weight=operator.weight)
        if evicted is attestation:
            raise Refused(Reason.INBOX_FULL, "the tally does not keep up; wait for the repetition")
        if evicted is not None:
            self._refused[Reason.INBOX_FULL] += 1
            self._seen.forget(_payload_of(evicted))
        self._received += 1

    async def _feed_tally(self) -> None:
        while True:
            await self._incoming.send(await self._intake.take())

    def _peers_of_signer(self, attestation: Attestation) -> frozenset[str]:
        operator = check_membership(attestation, self._sets)
        return self._peers_of[operator.address]

    async def _refuse(self, received: Received, error: Refused, *, points: int) -> None:
        self._refused[error.reason] += 1
        _log.warning(
            "frame.refused",
            reason=error.reason.value,
            detail=error.message,
            peer_id=received.peer_id,
            path=received.path.value,
        )
        if points:
            await self._transport.strike(received.peer_id, points, reason=error.reason)


def _payload_of(attestation: Attestation) -> bytes:
    return encode_frame(Kind.ATTESTATION, encode_attestation(attestation))


def _price_of_garbage(error: Refused) -> int:
    """Whatever a codec says, no honest operator sends it: it costs the same."""
    return STRIKES[Reason.MALFORMED] if error.reason is not Reason.UNKNOWN_KIND else STRIKES[error.reason]
