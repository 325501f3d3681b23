"""A network in which some speak only wire version 1: nobody is cut off, nobody is misunderstood."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus.attestation import Attestation, decode, encode
from consensus.errors import Reason
from consensus.types import Digest
from node.gossip.frames import Kind, encode_attestation, encode_frame
from node.gossip.host import Libp2pTransport, open_host
from node.gossip.memory import MemoryNetwork
from node.gossip.transport import GossipTransport, Path, PeerId
from tests.consensus.factories import make_attestation
from tests.gossip.harness import book_of, eventually, make_config
from tests.gossip.test_room import Member, make_operator_set, peer

NEWER, OLDER = "tocsin/test", "tocsin/test/1"


class OldNode:
    """What a build before version 2 does: it parses version 1, and bans who sends anything else."""

    def __init__(self, transport: GossipTransport) -> None:
        self.transport = transport
        self.heard: dict[Path, list[Attestation]] = {path: [] for path in Path}

    async def run(self) -> None:
        async for received in self.transport.received:
            self.heard[received.path].append(
                decode(received.payload)
            )  # raises on anything newer: a failed test

    def has_heard(self, digest: Digest, path: Path) -> bool:
        return any(each.digest() == digest for each in self.heard[path])


def frame_of(attestation: Attestation) -> bytes:
    return encode_frame(Kind.ATTESTATION, encode_attestation(attestation))


async def test_members_of_both_versions_hear_each_other(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    old = OldNode(network.transport(peer(0), wire_version=1))
    new = [Member(number, network) for number in (1, 2)]
    members = make_operator_set()
    ours, theirs = make_attestation(operator_index=1), make_attestation(operator_index=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(old.run)
        for member in new:
            await member.room.use_operator_sets((members,), {})
            nursery.start_soon(member.run)
        await old.transport.register({peer(1): (), peer(2): ()})

        await new[0].outgoing.send(ours)
        await old.transport.publish(encode(theirs))
        await wait_all_tasks_blocked()

        assert new[0].taken() == [theirs]
        assert sorted(each.operator_index for each in new[1].taken()) == [0, 1]
        assert all(old.has_heard(ours.digest(), path) for path in Path)
        assert new[0].room.statistics().transport.older == (peer(0),)
        nursery.cancel_scope.cancel()


async def test_frames_that_version_1_has_no_words_for_are_kept_from_its_peers(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    old = OldNode(network.transport(peer(0), wire_version=1))
    new = Member(1, network)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(old.run)
        await old.transport.register({peer(1): ()})
        await new.room.use_operator_sets((make_operator_set(),), {})

        await new.room.push(peer(0), Kind.WANT, b"\x90")
        await wait_all_tasks_blocked()

        assert new.room.statistics().transport.drops == {Reason.NOT_IN_ITS_VERSION: 1}
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_mixed() -> AsyncIterator[tuple[Libp2pTransport, Libp2pTransport, OldNode]]:
    """Two hosts of this build and one of before, all connected, in each other's meshes."""
    async with AsyncExitStack() as stack:
        newer = [
            await stack.enter_async_context(open_host(make_config(number, topic=NEWER, older_topic=OLDER)))
            for number in (0, 1)
        ]
        old = await stack.enter_async_context(open_host(make_config(2, topic=OLDER, wire_version=1)))
        for host in (*newer, old):
            await host.register(book_of([*newer, old]))
        await eventually(lambda: all(len(host.statistics().connected) == 2 for host in (*newer, old)))
        await eventually(lambda: len(newer[0].router.mesh.get(NEWER, ())) == 1)
        await eventually(lambda: all(len(host.router.mesh.get(OLDER, ())) == 2 for host in (*newer, old)))
        yield newer[0], newer[1], OldNode(old)


async def test_both_versions_meet_over_real_hosts_by_both_ways() -> None:
    ours, theirs = make_attestation(operator_index=0), make_attestation(operator_index=2)
    async with open_mixed() as (first, second, old), trio.open_nursery() as nursery:
        nursery.start_soon(old.run)
        heard: set[tuple[bytes, PeerId, Path]] = set()

        async def listen() -> None:
            async for received in second.received:
                heard.add((received.payload, received.peer_id, received.path))

        nursery.start_soon(listen)
        assert first.statistics().older == (old.transport.peer_id,)

        await first.publish(frame_of(ours))
        await first.push(old.transport.peer_id, encode_frame(Kind.WANT, b"\x90"))
        await old.transport.publish(frame_of(theirs))

        await eventually(lambda: all(old.has_heard(ours.digest(), path) for path in Path))
        await eventually(
            lambda: (
                {(frame_of(ours), first.peer_id, path) for path in Path} <= heard
                and {(encode(theirs), old.transport.peer_id, path) for path in Path} <= heard
            )
        )
        assert first.statistics().drops.get(Reason.NOT_IN_ITS_VERSION) == 1
        assert old.transport.statistics().drops == {}
        nursery.cancel_scope.cancel()


async def test_the_older_topic_is_quiet_where_all_speak_the_newest_version() -> None:
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(open_host(make_config(number, topic=NEWER, older_topic=OLDER)))
            for number in (0, 1)
        ]
        for host in hosts:
            await host.register(book_of(hosts))
        await eventually(lambda: all(len(host.router.mesh.get(NEWER, ())) == 1 for host in hosts))
        await eventually(lambda: all(len(host.router.mesh.get(OLDER, ())) == 1 for host in hosts))

        await hosts[0].publish(frame_of(make_attestation()))
        await eventually(lambda: hosts[1].statistics().received_pubsub == 1)

        assert hosts[0].statistics().sent_pubsub == 1


@pytest.mark.parametrize("version", [0, 3])
def test_a_version_that_is_not_spoken_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match="wire version"):
        make_config(wire_version=version)
