"""Partial certificates in and out: the forwarder's clock and its way to the transport.

Inwards a partial certificate is checked to be for this network, of a kept epoch and by members alone, and
handed to the tally, which verifies it; only what the tally holds is ever merged and passed on. Whoever handed
over one that does not verify pays for it: an honest forwarder looks first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
import trio

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.partial import Contribution, PartialCertificate, check_signers, encode_partial, indices_of
from consensus.types import Digest, Epoch, NetworkId, OperatorIndex, Seconds
from node.gossip.budgets import LONE_VERIFICATION_US
from node.gossip.faults import STRIKES
from node.gossip.forwarder import Forwarder, ForwarderStatistics, Parcel
from node.gossip.frames import Kind, encode_frame
from node.gossip.seen import SeenPayloads
from node.gossip.transport import GossipTransport, PeerId, Received

MAX_SEEN = 8_192
"""32 bytes each; twenty alerts with all that can be told of them in a set of the largest size."""

_log = structlog.get_logger("gossip")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingStatistics:
    """Since the start; `refused` by reason, in partial certificates."""

    received: int
    duplicates: int
    refused: Mapping[Reason, int]
    forwarder: ForwarderStatistics


class Forwarding:
    """One node's part in passing merged certificates on.

    Args:
        forwarder: says what is sent to whom, and when.
        transport: carries the bytes.
        network_id: partial certificates of another network are refused.
        incoming: the tally's door; when it is full, a partial certificate is refused and counted.
        index_of: our own place in an epoch's set, None where we are no member.
        alert_of: the alert behind a digest that the tally counts.
        now: unix time, by which alerts expire.
    """

    def __init__(
        self,
        forwarder: Forwarder,
        *,
        transport: GossipTransport,
        network_id: NetworkId,
        incoming: trio.MemorySendChannel[Contribution],
        index_of: Callable[[Epoch], OperatorIndex | None],
        alert_of: Callable[[Digest], Alert | None],
        now: Callable[[], Seconds],
    ) -> None:
        self._forwarder = forwarder
        self._transport = transport
        self._network_id = network_id
        self._incoming = incoming
        self._index_of = index_of
        self._alert_of = alert_of
        self._now = now
        self._sets: dict[Epoch, OperatorSet] = {}
        self._seen = SeenPayloads(MAX_SEEN)
        self._woken = trio.Event()
        self._received = self._duplicates = 0
        self._refused: Counter[Reason] = Counter()

    def use_operator_sets(self, operator_sets: Iterable[OperatorSet]) -> None:
        """Replace the epochs whose alerts are forwarded."""
        self._sets = {each.epoch: each for each in operator_sets}

    def first_peers(self, attestation: Attestation) -> tuple[PeerId, ...] | None:
        """Whom our own attestation goes to first; None for everybody.

        Peers of an older wire version are among them: they know no partial certificates and do not compare.
        """
        alert = attestation.alert
        operator_set = self._sets.get(alert.epoch)
        if operator_set is None or not self._forwarder.forwards_in(operator_set):
            return None
        group = self._forwarder.group(alert, operator_set, attestation.operator_index)
        peers = [PeerId(operator_set.by_index(index).peer_id) for index in group]
        return tuple(dict.fromkeys((*peers, *self._transport.statistics().older)))

    def learned(self, digest: Digest) -> None:
        """The tally holds more over this digest than before."""
        alert = self._alert_of(digest)
        operator_set = None if alert is None else self._sets.get(alert.epoch)
        me = None if alert is None else self._index_of(alert.epoch)
        if alert is None or operator_set is None or me is None:
            return
        self._forwarder.learned(alert, operator_set, me, at=trio.current_time())
        self._woken.set()

    async def take(self, partial: PartialCertificate, received: Received) -> None:
        """Hand a peer's partial certificate to the tally, and answer it. Raises Refused."""
        payload = received.payload
        if payload in self._seen:
            self._duplicates += 1
        else:
            self._check(partial)
            if not self._transport.charge_verification(received.peer_id, LONE_VERIFICATION_US):
                raise Refused(
                    Reason.VERIFICATION_OVER_BUDGET,
                    f"{received.peer_id} has no time left to be checked; wait",
                )
            try:
                self._incoming.send_nowait(partial)
            except trio.WouldBlock:
                raise Refused(
                    Reason.INBOX_FULL, "the tally does not keep up; it will be told again"
                ) from None
            self._seen.add(payload, received.peer_id)
            self._received += 1
        operator_set = self._sets.get(partial.alert.epoch)
        operator = None if operator_set is None else operator_set.by_peer_id(received.peer_id)
        if operator is not None:
            for parcel in self._forwarder.heard(partial, operator.index):
                await self._send(parcel)

    async def blame(self, partial: PartialCertificate, reason: Reason) -> None:
        """Charge the peer that handed over a partial certificate which does not verify.

        Everything else that a tally refuses follows from what else it holds: no fault of a forwarder's, and
        it may come again.
        """
        self._refused[reason] += 1
        payload = _payload_of(partial)
        sender = self._seen.sender_of(payload)
        if reason is not Reason.BAD_SIGNATURE:
            self._seen.forget(payload)
        elif sender is not None:
            await self._transport.strike(sender, STRIKES[reason], reason=reason)

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            due_at = self._forwarder.next_due_at()
            with trio.CancelScope(deadline=float("inf") if due_at is None else due_at):
                await self._woken.wait()
            self._woken = trio.Event()
            self._forwarder.prune(self._now())
            for parcel in self._forwarder.take_due(at=trio.current_time()):
                await self._send(parcel)
            await trio.lowlevel.checkpoint()

    def statistics(self) -> ForwardingStatistics:
        return ForwardingStatistics(
            received=self._received,
            duplicates=self._duplicates,
            refused=dict(self._refused),
            forwarder=self._forwarder.statistics(),
        )

    def _check(self, partial: PartialCertificate) -> None:
        if partial.alert.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this is network {self._network_id.hex()}, came {partial.alert.network_id.hex()}",
            )
        check_signers(partial, self._sets)

    async def _send(self, parcel: Parcel) -> None:
        partial = parcel.partial
        operator_set = self._sets.get(partial.alert.epoch)
        if operator_set is None:
            return  # its epoch went while the alert was on its way
        peer_id = operator_set.by_index(parcel.to).peer_id
        _log.debug("partial.sent", digest=partial.digest(), operators=indices_of(partial.signers), to=peer_id)
        await self._transport.push(PeerId(peer_id), _payload_of(partial))


def _payload_of(partial: PartialCertificate) -> bytes:
    return encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(partial))
