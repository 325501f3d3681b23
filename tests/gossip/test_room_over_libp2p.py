"""The room on real hosts: honest attestations arrive, two floods that only the room or its caller can see."""

from dataclasses import replace

import trio
from libp2p.network.stream.exceptions import StreamError

from consensus.alert import Alert
from consensus.attestation import Attestation, encode
from consensus.errors import Reason
from consensus.operators import OperatorSet
from consensus.types import OperatorIndex, Seconds
from node.gossip.host import Libp2pTransport, addresses_by_peer
from node.gossip.push import PUSH_PROTOCOLS, encode_frame
from node.gossip.room import GossipRoom
from tests.consensus.factories import (
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_operator_set,
    make_signature,
    make_slot,
)
from tests.gossip.harness import (
    Attacker,
    address_of,
    attacker_peer_id,
    eventually,
    open_attacker,
    open_hosts,
)

ATTACKER = OperatorIndex(2)


def make_members(hosts: list[Libp2pTransport]) -> OperatorSet:
    """Operators 0 and 1 are the hosts, operator 2 the attacker."""
    peer_ids = [*(host.peer_id for host in hosts), attacker_peer_id()]
    members = make_operator_set((1_000,) * 3)
    operators = tuple(
        replace(operator, peer_id=peer_id)
        for operator, peer_id in zip(members.operators, peer_ids, strict=True)
    )
    return replace(members, operators=operators)


def make_nth_alert(members: OperatorSet, number: int) -> Alert:
    return make_alert(members, slot=make_slot(anchor_number=number))


class Node:
    """A room on a host."""

    def __init__(self, transport: Libp2pTransport) -> None:
        incoming, self.incoming = trio.open_memory_channel[Attestation](1_000)
        self.outgoing, self.outgoing_end = trio.open_memory_channel[Attestation](10)
        self.room = GossipRoom(
            transport=transport, network_id=NETWORK_ID, incoming=incoming, now=lambda: Seconds(NOW)
        )

    async def assert_hears(self, other: "Node", attestation: Attestation) -> None:
        await other.outgoing.send(attestation)
        with trio.fail_after(10):
            async for heard in self.incoming:
                if heard == attestation:
                    return


async def _open_nodes(
    hosts: list[Libp2pTransport], members: OperatorSet, nursery: trio.Nursery
) -> tuple[Node, Node]:
    book = addresses_by_peer(f"{address_of(host)}/p2p/{host.peer_id}" for host in hosts)
    nodes = Node(hosts[0]), Node(hosts[1])
    for node in nodes:
        await node.room.use_operator_sets([members], book)
        nursery.start_soon(node.room.run, node.outgoing_end)
    return nodes


async def _push(attacker: Attacker, victim: Libp2pTransport, payloads: list[bytes]) -> None:
    """Push as a registered operator would, until the victim cuts us off."""
    await attacker.connect(victim)
    stream = await attacker.open_stream(victim, PUSH_PROTOCOLS[2])
    for payload in payloads:
        try:
            await stream.write(encode_frame(payload))
        except StreamError:
            return
        await trio.lowlevel.checkpoint()


async def test_attestations_of_all_members_arrive_over_real_hosts() -> None:
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}) as hosts,
        trio.open_nursery() as nursery,
    ):
        members = make_members(hosts)
        first, second = await _open_nodes(hosts, members, nursery)

        for number in range(20):
            alert = make_nth_alert(members, number)
            await second.assert_hears(first, make_attestation(alert, operator_index=0))
            await first.assert_hears(second, make_attestation(alert, operator_index=1))

        assert first.room.statistics().refused == {}
        nursery.cancel_scope.cancel()


async def test_flood_of_1000_invalid_messages_is_cut_off_and_cheap() -> None:
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}) as hosts,
        open_attacker() as attacker,
        trio.open_nursery() as nursery,
    ):
        members = make_members(hosts)
        first, second = await _open_nodes(hosts, members, nursery)

        await _push(
            attacker, hosts[0], [b"no attestation" + bytes([n % 256, n // 256]) for n in range(1_000)]
        )

        await eventually(lambda: attacker.peer_id in hosts[0].statistics().banned)
        await eventually(lambda: not attacker.is_connected(hosts[0]))
        await first.assert_hears(second, make_attestation(make_nth_alert(members, 1), operator_index=1))
        nursery.cancel_scope.cancel()


async def test_flood_of_1000_bad_signatures_ends_with_the_third_that_the_tally_reports() -> None:
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}) as hosts,
        open_attacker() as attacker,
        trio.open_nursery() as nursery,
    ):
        members = make_members(hosts)
        first, second = await _open_nodes(hosts, members, nursery)
        forged = make_signature(6, make_alert(members).digest())  # another operator's, over another alert
        payloads = [
            encode(
                Attestation(alert=make_nth_alert(members, number), operator_index=ATTACKER, signature=forged)
            )
            for number in range(1_000)
        ]

        async def blame_each_forgery() -> None:
            async for attestation in first.incoming.clone():
                if attestation.operator_index == ATTACKER:
                    await first.room.blame(attestation, Reason.BAD_SIGNATURE)

        with trio.CancelScope() as tally:
            async with trio.open_nursery() as inner:
                inner.start_soon(blame_each_forgery)
                await _push(attacker, hosts[0], payloads)
                await eventually(lambda: attacker.peer_id in hosts[0].statistics().banned)
                await eventually(lambda: not attacker.is_connected(hosts[0]))
                tally.cancel()

        assert hosts[1].peer_id not in hosts[0].statistics().banned
        await first.assert_hears(second, make_attestation(make_nth_alert(members, 1), operator_index=1))
        nursery.cancel_scope.cancel()
