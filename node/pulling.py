"""What operators hold, pulled by a peer that says nothing: certificates as they grow, votes for handovers.

For relays. Operators that name this peer in `gossip.relays` let it compare what it holds with them and pull
what is missing; votes come to it by pubsub. It counts for itself, with the same tally as a watcher's, and it
publishes nothing: a relay that spoke would be banned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
import trio

from consensus.attestation import Attestation
from consensus.certificate import Certificate
from consensus.errors import Reason
from consensus.partial import Contribution, PartialCertificate, decode_partial
from consensus.succession import HandoverVote, Succession, decode_vote
from consensus.tally import Tally
from consensus.types import PolicyHash, Seconds
from node.chain.clock import HeadClock
from node.evaluate.findings import Question
from node.gossip.forwarder import Forwarder
from node.gossip.forwarding import Forwarding
from node.gossip.frames import Kind
from node.gossip.holdings import TallyHoldings
from node.gossip.room import GossipRoom
from node.gossip.transport import Addresses, GossipTransport, PeerId, Received
from node.members import Members
from node.succession import SuccessionRoom
from node.tallying import Tallying

CONTRIBUTIONS = 1_024
CERTIFICATES = 256
UNSERVED = (Kind.EVIDENCE, Kind.RETRACTION, Kind.ADDRESS)
"""What operators tell one another besides, and a relay has no use for."""

_log = structlog.get_logger("relay")


class Pulling:
    """The rooms of a peer that only pulls.

    `certificates` gets those over alerts of `policies`, and `votes` those for handovers.
    """

    def __init__(
        self,
        *,
        transport: GossipTransport,
        addresses: Mapping[PeerId, Addresses],
        members: Members,
        clock: HeadClock,
        confirmations: int,
        policies: frozenset[PolicyHash],
        now: Callable[[], Seconds],
        certificates: trio.MemorySendChannel[Certificate],
    ) -> None:
        self._addresses = addresses
        self._members = members
        self._policies = policies
        self._certificates = certificates
        self._grown_in, self._grown = trio.open_memory_channel[Certificate](CERTIFICATES)
        self._incoming_in, self._incoming = trio.open_memory_channel[Contribution](CONTRIBUTIONS)
        self._tally = Tally(members.network_id)
        self._forwarding = Forwarding(
            Forwarder(self._tally),
            transport=transport,
            network_id=members.network_id,
            incoming=self._incoming_in.clone(),
            index_of=lambda _epoch: None,
            alert_of=self._tally.alert,
            now=now,
        )
        self._gossip = GossipRoom(
            transport=transport,
            network_id=members.network_id,
            incoming=self._incoming_in.clone(),
            now=now,
            holdings=TallyHoldings(self._tally),
        )
        self._gossip.serve(Kind.PARTIAL_CERTIFICATE, decode=decode_partial, take=self._forwarding.take)
        self._gossip.serve(Kind.HANDOVER, decode=decode_vote, take=self._take_vote)
        for kind in UNSERVED:
            self._gossip.serve(kind, decode=bytes, take=_pass_over)
        questions, _ = trio.open_memory_channel[Question](0)  # no policy is evaluated here: none is asked
        self._tallying = Tallying(
            self._tally,
            now=now,
            policies=frozenset(),
            certificates=self._grown_in,
            questions=questions,
            blame=self._blame,
            learned=self._forwarding.learned,
            settled=self._gossip.settled,
            accuse=self._gossip.accuse,
        )
        self.votes = Succession(members.network_id)
        self._succession = SuccessionRoom(
            self.votes,
            signer=None,
            index_of=lambda _epoch: None,
            sets=lambda: members.operator_sets,
            registry=members.registry,
            clock=clock,
            confirmations=confirmations,
            publish=_say_nothing,
        )

    async def run(self) -> None:
        """Pull until cancelled; the epochs that are known must have been read."""
        await self.enter_epochs()
        outgoing_in, outgoing = trio.open_memory_channel[Attestation](0)
        outgoing_in.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._gossip.run, outgoing)
            nursery.start_soon(self._tallying.run, self._incoming)
            nursery.start_soon(self._succession.run)
            nursery.start_soon(self._hand_on)

    async def enter_epochs(self) -> None:
        """Let in the operators of the epochs that are known now; call when they change."""
        sets = self._members.operator_sets
        for each in sets:
            self._tally.add_operator_set(each)
        self._forwarding.use_operator_sets(sets)
        await self._gossip.use_operator_sets(sets, self._addresses)

    async def _hand_on(self) -> None:
        async for certificate in self._grown:
            if certificate.alert.slot.policy_hash in self._policies:  # for the others somebody else may pay
                await self._certificates.send(certificate)

    async def _take_vote(self, vote: HandoverVote, _received: Received) -> None:
        await self._succession.take(vote)

    async def _blame(self, contribution: Contribution, reason: Reason) -> None:
        if isinstance(contribution, PartialCertificate):
            await self._forwarding.blame(contribution, reason)
        else:
            await self._gossip.blame(contribution, reason)


async def _say_nothing(_vote: HandoverVote) -> None:
    return


async def _pass_over(_body: bytes, _received: Received) -> None:
    return
