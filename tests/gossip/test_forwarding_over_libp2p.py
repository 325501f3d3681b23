"""Merged certificates between real hosts: six of them, in levels of two, come to a quorum."""

from dataclasses import replace

import trio
import trio.testing

from consensus.operators import OperatorSet
from node.gossip.host import Libp2pTransport
from tests.consensus.factories import make_alert, make_operator_set
from tests.gossip.harness import book_of, eventually, open_hosts
from tests.gossip.test_forwarding import Node

HOSTS = 6


def make_members(hosts: list[Libp2pTransport]) -> OperatorSet:
    members = make_operator_set((1_000,) * HOSTS)
    return replace(
        members,
        operators=tuple(
            replace(operator, peer_id=host.peer_id)
            for operator, host in zip(members.operators, hosts, strict=True)
        ),
    )


async def test_hosts_in_levels_of_two_come_to_a_quorum_by_sums() -> None:
    async with open_hosts(HOSTS) as hosts, trio.open_nursery() as nursery:
        members = make_members(hosts)
        alert = make_alert(members)
        nodes = [
            Node(number, host, members, radix=2, direct_up_to=2)  # type: ignore[arg-type] # a real one
            for number, host in enumerate(hosts)
        ]
        for node in nodes:
            nursery.start_soon(node.run, book_of(hosts))
        await trio.testing.wait_all_tasks_blocked(0.05)

        for node in nodes:
            await node.sign(alert)
        await eventually(lambda: all(node.has_quorum(alert) for node in nodes))

        assert all(node.forwarding.statistics().received > 0 for node in nodes)
        assert all(node.room.statistics().refused == {} for node in nodes)
        nursery.cancel_scope.cancel()
