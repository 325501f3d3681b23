"""Merged certificates on their way: real rooms and tallies, the in-memory twin, a clock that jumps."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus.alert import Alert, Level
from consensus.attestation import Attestation
from consensus.certificate import Certificate, encode_certificate, verify_certificate
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.partial import (
    Contribution,
    PartialCertificate,
    compute_signers,
    decode_partial,
    encode_partial,
    merge,
)
from consensus.tally import Tally
from consensus.types import Bps, NetworkId, OperatorIndex
from node.evaluate.findings import Question
from node.gossip.forwarder import DIRECT_UP_TO, LEVEL_SECONDS, MAX_ANSWERS, Forwarder
from node.gossip.forwarding import Forwarding
from node.gossip.frames import Kind, encode_frame
from node.gossip.holdings import TallyHoldings
from node.gossip.memory import MemoryNetwork, MemoryTransport
from node.gossip.room import GossipRoom
from node.gossip.transport import Addresses, Path, PeerId, Received
from node.tallying import Tallying
from tests.consensus.factories import (
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_operator_set,
    make_signature,
)

LARGE = make_operator_set((1_000,) * 24)
ALERT = make_alert(LARGE)


class Node:
    """Gossip, forwarding and tally of one operator, wired as in the pipeline."""

    def __init__(
        self,
        number: int,
        transport: MemoryTransport,
        operator_set: OperatorSet,
        *,
        is_comparing: bool = False,
        **shape: int,
    ) -> None:
        self.number = number
        self.transport = transport
        self.tally = Tally(NETWORK_ID)
        self.tally.add_operator_set(operator_set)
        self.operator_set = operator_set
        self.contributions, incoming = trio.open_memory_channel[Contribution](1_024)
        self.outgoing, self._outgoing_end = trio.open_memory_channel[Attestation](16)
        self._incoming = incoming
        certificates_in, self.certificates = trio.open_memory_channel[Certificate](1_024)
        questions_in, self._questions = trio.open_memory_channel[Question](16)
        self.forwarding = Forwarding(
            Forwarder(self.tally, **shape),
            transport=self.transport,
            network_id=NETWORK_ID,
            incoming=self.contributions.clone(),
            index_of=lambda _epoch: OperatorIndex(number),
            alert_of=self.tally.alert,
            now=lambda: NOW,
        )
        self.room = GossipRoom(
            transport=self.transport,
            network_id=NETWORK_ID,
            incoming=self.contributions.clone(),
            now=lambda: NOW,
            first_peers=self.forwarding.first_peers,
            holdings=TallyHoldings(self.tally) if is_comparing else None,
        )
        self.room.serve(Kind.PARTIAL_CERTIFICATE, decode=decode_partial, take=self.forwarding.take)
        self.tallying = Tallying(
            self.tally,
            now=lambda: NOW,
            policies=frozenset(),
            certificates=certificates_in,
            questions=questions_in,
            blame=self._blame,
            learned=self.forwarding.learned,
            settled=self.room.settled,
        )

    async def _blame(self, contribution: Contribution, reason: Reason) -> None:
        if isinstance(contribution, PartialCertificate):
            await self.forwarding.blame(contribution, reason)
        else:
            await self.room.blame(contribution, reason)

    async def run(self, addresses: Mapping[PeerId, Addresses] | None = None) -> None:
        await self.room.use_operator_sets([self.operator_set], addresses or {})
        self.forwarding.use_operator_sets([self.operator_set])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.room.run, self._outgoing_end)
            nursery.start_soon(self.forwarding.run)
            nursery.start_soon(self.tallying.run, self._incoming)

    async def sign(self, alert: Alert = ALERT) -> None:
        attestation = make_attestation(alert, self.number)
        await self.contributions.send(attestation)
        await self.outgoing.send(attestation)

    def has_quorum(self, alert: Alert = ALERT) -> bool:
        return Level.PAUSE in self.tally.levels(alert.digest())

    def sent(self) -> int:
        return self.transport.statistics().sent_direct


@asynccontextmanager
async def open_nodes(
    operator_set: OperatorSet = LARGE,
    *,
    network: MemoryNetwork | None = None,
    silent: Collection[int] = (),
    is_comparing: bool = False,
) -> AsyncIterator[list[Node]]:
    network = network or MemoryNetwork()
    count = len(operator_set.operators)
    nodes = [
        Node(number, network.transport(PeerId(f"peer-{number}")), operator_set, is_comparing=is_comparing)
        for number in range(count)
        if number not in silent
    ]
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        await wait_all_tasks_blocked()
        yield nodes
        nursery.cancel_scope.cancel()


async def test_a_large_set_reaches_quorum_by_a_few_messages_each(autojump_clock: MockClock) -> None:
    async with open_nodes() as nodes:
        for node in nodes:
            await node.sign()
        await trio.sleep(3 * LEVEL_SECONDS)

        assert all(node.has_quorum() for node in nodes)
        assert max(node.sent() for node in nodes) <= 18, "two levels of seven, and some for uneven parts"
        for node in nodes:
            certificate = node.tally.certificate(ALERT.digest())
            assert certificate is not None
            verify_certificate(
                encode_certificate(certificate),
                digest=ALERT.digest(),
                epoch=LARGE.epoch,
                header_hash=LARGE.header_hash(),
                threshold_bps=Bps(6_667),
            )


async def test_one_signature_reaches_everybody_and_costs_each_message_once(autojump_clock: MockClock) -> None:
    async with open_nodes() as nodes:
        await nodes[0].sign()
        await trio.sleep(2.5)

        assert all(node.tally.covered(ALERT.digest()) == 1 for node in nodes)
        assert sum(node.sent() for node in nodes) <= 3 * len(nodes)


async def test_a_peer_of_the_older_version_hears_everybodys_own_signature(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    async with open_nodes(network=network, silent=[23]) as nodes:
        older = Node(23, network.transport(PeerId("peer-23"), wire_version=1), LARGE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(older.run)
            await wait_all_tasks_blocked()
            for node in nodes:
                await node.sign()
            await trio.sleep(2.5)

            assert older.has_quorum()
            assert older.forwarding.statistics().received == 0
            nursery.cancel_scope.cancel()


async def test_a_small_set_tells_everybody_at_once(autojump_clock: MockClock) -> None:
    small = make_operator_set((1_000,) * DIRECT_UP_TO)
    async with open_nodes(small) as nodes:
        attestation = make_attestation(make_alert(small), 0)
        await nodes[0].outgoing.send(attestation)
        await wait_all_tasks_blocked()

        assert nodes[0].sent() == DIRECT_UP_TO - 1
        assert all(node.forwarding.statistics().forwarder.courses == 0 for node in nodes)


async def test_silence_of_nearly_a_third_is_gone_around(autojump_clock: MockClock) -> None:
    silent = range(0, 21, 3)  # 7 of 24
    async with open_nodes(silent=silent) as nodes:
        for node in nodes:
            await node.sign()
        await trio.sleep(2.5)  # before anything is repeated to everybody

        assert all(node.has_quorum() for node in nodes)
        assert sum(node.forwarding.statistics().forwarder.asked for node in nodes) > 0


async def test_without_asking_around_silence_leaves_some_behind(autojump_clock: MockClock) -> None:
    """The twin of the test before: it is the asking that helps."""
    silent = range(0, 21, 3)
    async with open_nodes(silent=silent) as nodes:
        for node in nodes:
            node.forwarding._forwarder._asks_allowed = lambda *_: 0  # type: ignore[method-assign]
            await node.sign()
        await trio.sleep(2.5)

        assert not all(node.has_quorum() for node in nodes)


async def test_the_loss_of_every_fifth_message_only_delays(autojump_clock: MockClock) -> None:
    count = 0

    def loses_every_fifth(_sender: PeerId, _receiver: PeerId, _path: Path) -> bool:
        nonlocal count
        count += 1
        return count % 5 == 0

    async with open_nodes(network=MemoryNetwork(loses=loses_every_fifth), is_comparing=True) as nodes:
        for node in nodes:
            await node.sign()
        await trio.sleep(15)

        assert all(node.has_quorum() for node in nodes)


async def test_who_hands_over_a_forged_sum_is_struck_and_at_last_banned(autojump_clock: MockClock) -> None:
    async with open_nodes() as (victim, forger, *_):
        for number in range(3):
            signers = compute_signers(range(number, 20))
            forged = PartialCertificate(
                alert=ALERT, signers=signers, signature=make_signature(99, ALERT.digest())
            )
            payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(forged))
            await forger.transport.push(victim.transport.peer_id, payload)
            await wait_all_tasks_blocked()

        assert victim.forwarding.statistics().refused == {Reason.BAD_SIGNATURE: 3}
        assert forger.transport.peer_id in victim.transport.statistics().banned
        assert victim.tally.covered(ALERT.digest()) == 0


async def test_who_passes_on_what_liars_signed_is_not_charged_for_their_lies(
    autojump_clock: MockClock,
) -> None:
    claims = [make_alert(LARGE, evidence_hash=bytes([number]) * 32) for number in range(1, 4)]
    async with open_nodes() as (victim, honest, *_):
        for claim in claims:
            lie = merge([make_attestation(claim, 20), make_attestation(claim, 21)])
            payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(lie))
            await honest.transport.push(victim.transport.peer_id, payload)
            await wait_all_tasks_blocked()

        assert victim.forwarding.statistics().refused == {Reason.EQUIVOCATION: 1}
        banned = victim.transport.statistics().banned
        assert honest.transport.peer_id not in banned


async def test_a_sum_for_another_network_or_with_a_stranger_never_reaches_the_tally(
    autojump_clock: MockClock,
) -> None:
    foreign = make_alert(LARGE, network_id=NetworkId(bytes(32)))
    sums = [
        merge([make_attestation(foreign, 1), make_attestation(foreign, 2)]),
        replace(merge([make_attestation(ALERT, 1)]), signers=compute_signers([1, 24])),
    ]
    async with open_nodes() as (victim, sender, *_):
        for partial in sums:
            payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(partial))
            await sender.transport.push(victim.transport.peer_id, payload)
        await wait_all_tasks_blocked()

        refused = victim.room.statistics().refused
        assert refused == {Reason.WRONG_NETWORK: 1, Reason.NOT_A_MEMBER: 1}
        assert victim.forwarding.statistics().received == 0


async def test_what_the_tally_has_no_room_or_we_no_time_for_is_refused_and_welcome_later(
    autojump_clock: MockClock,
) -> None:
    partial = merge([make_attestation(ALERT, index) for index in (1, 2)])
    payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(partial))
    received = Received(peer_id=PeerId("peer-1"), payload=payload, path=Path.DIRECT)
    async with open_nodes() as (node, *_):
        node.forwarding._incoming, end = trio.open_memory_channel[Contribution](0)
        with pytest.raises(Refused) as full:
            await node.forwarding.take(partial, received)

        node.transport.charge_verification = lambda *_: False  # type: ignore[method-assign]
        with pytest.raises(Refused) as spent:
            await node.forwarding.take(partial, received)

        del node.transport.charge_verification
        node.forwarding._incoming = node.contributions
        await node.forwarding.take(partial, received)
        await wait_all_tasks_blocked()

        assert (full.value.reason, spent.value.reason) == (
            Reason.INBOX_FULL,
            Reason.VERIFICATION_OVER_BUDGET,
        )
        assert node.tally.covered(ALERT.digest()) == partial.signers
        end.close()


async def test_who_has_a_quorum_answers_who_has_none_a_bounded_number_of_times(
    autojump_clock: MockClock,
) -> None:
    async with open_nodes() as nodes:
        for node in nodes:
            await node.sign()
        await trio.sleep(2.5)
        knowing, asking = nodes[0], nodes[1]
        asking.transport.door.take = lambda **_: True  # type: ignore[method-assign]
        before = knowing.forwarding.statistics().forwarder.answered

        lonely = merge([make_attestation(ALERT, asking.number)])
        payload = encode_frame(Kind.PARTIAL_CERTIFICATE, encode_partial(lonely))
        for _ in range(20):
            await asking.transport.push(knowing.transport.peer_id, payload)
            await wait_all_tasks_blocked()

        assert 1 <= knowing.forwarding.statistics().forwarder.answered - before <= MAX_ANSWERS
