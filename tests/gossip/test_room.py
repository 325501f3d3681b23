"""The room over the in-memory twin, under a clock that jumps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus.attestation import Attestation, encode
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import Epoch, NetworkId, OperatorIndex, Seconds
from node.gossip import room as room_module
from node.gossip.frames import Kind
from node.gossip.memory import MemoryConfig, MemoryNetwork, MemoryTransport
from node.gossip.room import GossipRoom
from node.gossip.transport import Path, PeerId, Received
from tests.consensus.factories import (
    EXPIRES_AT,
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_operator,
    make_operator_set,
    make_signature,
    make_slot,
)

ALL = tuple(range(7))


def peer(number: int) -> PeerId:
    return PeerId(f"peer-{number}")


class Member:
    """One operator's room, its transport and both ends of its channels."""

    def __init__(
        self, number: int, network: MemoryNetwork, *, inbox: int = 100, max_waiting: int = 100
    ) -> None:
        self.number = number
        self.transport: MemoryTransport = network.transport(peer(number))
        self.outgoing, self._outgoing_end = trio.open_memory_channel[Attestation](100)
        incoming, self.incoming = trio.open_memory_channel[Attestation](inbox)
        self.now = NOW
        self.room = GossipRoom(
            transport=self.transport,
            network_id=NETWORK_ID,
            incoming=incoming,
            now=lambda: self.now,
            max_waiting=max_waiting,
        )

    async def run(self) -> None:
        await self.room.run(self._outgoing_end)

    def taken(self) -> list[Attestation]:
        taken = []
        while True:
            try:
                taken.append(self.incoming.receive_nowait())
            except trio.WouldBlock:
                return taken

    def refused(self, reason: Reason) -> int:
        return self.room.statistics().refused.get(reason, 0)


@asynccontextmanager
async def open_members(
    *numbers: int,
    network: MemoryNetwork | None = None,
    sets: tuple[OperatorSet, ...] | None = None,
    inbox: int = 100,
    max_waiting: int = 100,
) -> AsyncIterator[list[Member]]:
    network = network or MemoryNetwork()
    members = [Member(number, network, inbox=inbox, max_waiting=max_waiting) for number in numbers]
    async with trio.open_nursery() as nursery:
        for member in members:
            await member.room.use_operator_sets(sets or (make_operator_set(),), {})
            nursery.start_soon(member.run)
        await wait_all_tasks_blocked()
        yield members
        nursery.cancel_scope.cancel()


async def test_attestation_reaches_every_member_once_though_it_comes_by_both_paths(
    autojump_clock: MockClock,
) -> None:
    attestation = make_attestation(operator_index=0)
    async with open_members(*ALL) as (first, *others):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()

        for other in others:
            assert other.taken() == [attestation]
            assert other.room.statistics().duplicates == 1
        assert first.taken() == []


@pytest.mark.parametrize("lost", list(Path))
async def test_one_path_is_enough(lost: Path, autojump_clock: MockClock) -> None:
    network = MemoryNetwork(loses=lambda _sender, _receiver, path: path is lost)
    async with open_members(0, 1, network=network) as (first, second):
        await first.outgoing.send(make_attestation(operator_index=0))
        await wait_all_tasks_blocked()

        assert len(second.taken()) == 1


async def test_lost_attestation_is_repeated_until_it_arrives(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(loses=lambda *_: trio.current_time() < 20)
    async with open_members(0, 1, network=network) as (first, second):
        await first.outgoing.send(make_attestation(operator_index=0))

        with trio.fail_after(60):
            assert await second.incoming.receive() == make_attestation(operator_index=0)

        assert trio.current_time() >= 20
        assert first.room.statistics().repeated >= 2


async def test_settled_attestation_is_not_repeated(autojump_clock: MockClock) -> None:
    attestation = make_attestation(operator_index=0)
    async with open_members(0, 1) as (first, _second):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()

        first.room.settled(attestation.digest())
        await trio.sleep(300)

        assert first.room.statistics().repeated == 0
        assert first.room.statistics().open == 0


async def test_expired_attestation_is_not_repeated(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, _second):
        await first.outgoing.send(make_attestation(operator_index=0))
        await wait_all_tasks_blocked()

        first.now = Seconds(EXPIRES_AT + 1)
        await trio.sleep(300)

        assert first.room.statistics().repeated == 0


@pytest.mark.parametrize("is_settled", [False, True])
async def test_late_peer_is_told_what_is_open_and_what_is_settled(
    is_settled: bool, autojump_clock: MockClock
) -> None:
    attestation = make_attestation(operator_index=0)
    network = MemoryNetwork()
    network.cut(peer(0), peer(1))
    async with open_members(0, 1, network=network) as (first, second):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()
        if is_settled:
            first.room.settled(attestation.digest())
        assert second.taken() == []

        network.heal(peer(0), peer(1))
        await wait_all_tasks_blocked()

        assert second.taken() == [attestation]


async def test_garbage_is_refused_and_its_sender_banned(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, second):
        for number in range(10):
            await first.transport.publish(b"garbage" + bytes([number]))
        await wait_all_tasks_blocked()

        assert second.taken() == []
        assert second.room.statistics().transport.banned == (peer(0),)
        await first.outgoing.send(make_attestation(operator_index=0))
        await wait_all_tasks_blocked()
        assert second.taken() == []


async def test_attestation_in_anothers_name_is_refused(autojump_clock: MockClock) -> None:
    forged = make_attestation(operator_index=2)
    async with open_members(0, 1, 2) as (first, second, third):
        await first.transport.publish(encode(forged))
        await wait_all_tasks_blocked()

        assert second.taken() == third.taken() == []
        assert second.refused(Reason.NOT_ITS_OWN) == 2


async def test_attestation_of_an_unknown_epoch_is_refused_and_welcome_once_the_set_is_known(
    autojump_clock: MockClock,
) -> None:
    newer = make_operator_set(epoch=2)
    attestation = make_attestation(make_alert(newer), operator_index=0)
    async with open_members(0, 1) as (first, second):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()
        assert second.taken() == []
        assert second.refused(Reason.UNKNOWN_EPOCH) == 2

        await second.room.use_operator_sets((make_operator_set(), newer), {})
        with trio.fail_after(10):
            assert await second.incoming.receive() == attestation  # its repetition

        assert second.room.statistics().transport.banned == ()


async def test_attestation_for_another_network_is_refused(autojump_clock: MockClock) -> None:
    alien = make_attestation(make_alert(network_id=NetworkId(b"\7" * 32)))
    async with open_members(0, 1) as (first, second):
        await first.outgoing.send(alien)
        await wait_all_tasks_blocked()

        assert second.taken() == []
        assert second.refused(Reason.WRONG_NETWORK) == 2


async def test_index_beyond_the_set_is_refused(autojump_clock: MockClock) -> None:
    beyond = replace(make_attestation(), operator_index=OperatorIndex(7))
    async with open_members(0, 1) as (first, second):
        await first.outgoing.send(beyond)
        await wait_all_tasks_blocked()

        assert second.refused(Reason.NOT_A_MEMBER) == 2


async def test_full_tally_refuses_and_the_repetition_gets_through(autojump_clock: MockClock) -> None:
    attestations = [make_attestation(make_alert(slot=make_slot(anchor_number=n))) for n in range(4)]
    async with open_members(0, 1, inbox=1, max_waiting=1) as (first, second):
        for attestation in attestations:  # one in the channel, one on its way into it, one that waits
            await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()
        assert second.refused(Reason.INBOX_FULL) >= 1

        with trio.fail_after(20):
            taken = [await second.incoming.receive() for _ in range(4)]
        assert taken[0] == attestations[0]
        assert {each.digest() for each in taken} == {each.digest() for each in attestations}


async def test_third_bad_signature_bans_its_sender_until_the_ban_expires(autojump_clock: MockClock) -> None:
    alerts = [make_alert(slot=make_slot(anchor_number=number)) for number in range(3)]
    bad = [
        Attestation(alert=alert, operator_index=OperatorIndex(0), signature=make_signature(6, alert.digest()))
        for alert in alerts
    ]
    async with open_members(0, 1, 2) as (first, second, third):
        for attestation in bad:
            assert second.room.statistics().transport.banned == ()
            await first.outgoing.send(attestation)
            await wait_all_tasks_blocked()
            assert second.taken() == [attestation]
            await second.room.blame(attestation, Reason.BAD_SIGNATURE)

        assert second.room.statistics().transport.banned == (peer(0),)
        assert second.refused(Reason.BAD_SIGNATURE) == 3
        await third.outgoing.send(make_attestation(operator_index=2))
        await wait_all_tasks_blocked()
        assert len(second.taken()) == 1  # the others are heard as before

        await trio.sleep(301)
        assert second.room.statistics().transport.banned == ()


async def test_blame_falls_on_the_sender_and_not_on_a_copied_peer_id(autojump_clock: MockClock) -> None:
    # Operator 0 registers peer-5, which is operator 5's, in the next epoch.
    copied = replace(make_operator(0), peer_id=peer(5))
    newer = replace(
        make_operator_set(epoch=2),
        operators=(copied, *make_operator_set(epoch=2).operators[1:]),
        epoch=Epoch(2),
    )
    attestation = make_attestation(operator_index=0)
    async with open_members(0, 1, sets=(make_operator_set(), newer)) as (first, second):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()

        for _ in range(3):
            await second.room.blame(attestation, Reason.BAD_SIGNATURE)

        assert second.room.statistics().transport.banned == (peer(0),)


async def test_blame_for_what_may_befall_the_honest_costs_nothing(autojump_clock: MockClock) -> None:
    attestation = make_attestation(operator_index=0)
    async with open_members(0, 1) as (first, second):
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()

        for _ in range(100):
            await second.room.blame(attestation, Reason.ALERT_EXPIRED)

        assert second.room.statistics().transport.banned == ()


async def test_flood_of_one_member_leaves_the_others_heard(autojump_clock: MockClock) -> None:
    async with open_members(0, 1, 2) as (flooder, victim, honest):
        for number in range(1_000):
            await flooder.transport.publish(b"junk" + number.to_bytes(4, "big"))
        await honest.outgoing.send(make_attestation(operator_index=2))
        await wait_all_tasks_blocked()

        assert [each.operator_index for each in victim.taken()] == [2]
        assert victim.room.statistics().transport.banned == (peer(0),)


async def test_stopped_member_hears_of_open_attestations_after_its_restart(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    attestation = make_attestation(operator_index=0)
    async with open_members(0, 1, network=network) as (first, _second):
        network.stop(peer(1))
        await first.outgoing.send(attestation)
        await wait_all_tasks_blocked()

        async with open_members(1, network=network) as (restarted,):
            await wait_all_tasks_blocked()
            assert restarted.taken() == [attestation]


async def test_end_of_our_own_attestations_leaves_the_others_heard(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, second):
        await first.outgoing.aclose()
        await wait_all_tasks_blocked()

        await second.outgoing.send(make_attestation(operator_index=1))
        await wait_all_tasks_blocked()

        assert len(first.taken()) == 1


def test_repeats_stay_below_a_peers_budget() -> None:
    author = MemoryConfig().limits.author

    assert (
        room_module.MAX_REPEATS_PER_TICK * len(Path) / room_module.TICK_SECONDS < author.messages_per_second
    )


async def test_a_kind_that_is_served_reaches_its_taker_and_what_is_taken_once_does_not_come_again(
    autojump_clock: MockClock,
) -> None:
    async with open_members(0, 1) as (first, second):
        taken: list[tuple[bytes, PeerId]] = []

        async def take(body: bytes, received: Received) -> None:
            taken.append((body, received.peer_id))

        second.room.serve(Kind.RETRACTION, decode=bytes.upper, take=take)
        await first.room.publish(Kind.RETRACTION, b"body")
        await wait_all_tasks_blocked()

        assert taken == [(b"BODY", peer(0))]
        assert second.room.statistics().duplicates == 1


async def test_a_kind_that_is_not_spread_is_pushed_alone(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, second):
        taken: list[Path] = []

        async def take(_body: bytes, received: Received) -> None:
            taken.append(received.path)

        second.room.serve(Kind.EVIDENCE, decode=bytes, take=take)
        await first.room.publish(Kind.EVIDENCE, b"body")
        await wait_all_tasks_blocked()

        assert taken == [Path.DIRECT]


async def test_what_a_taker_refuses_costs_what_its_reason_costs_and_may_come_again(
    autojump_clock: MockClock,
) -> None:
    async with open_members(0, 1) as (first, second):

        async def refuse(_body: bytes, _received: Received) -> None:
            raise Refused(Reason.BAD_SIGNATURE, "not signed")

        second.room.serve(Kind.RETRACTION, decode=bytes, take=refuse)
        await first.room.publish(Kind.RETRACTION, b"body")
        await wait_all_tasks_blocked()
        assert second.refused(Reason.BAD_SIGNATURE) == 2
        assert second.room.statistics().transport.banned == ()

        await first.room.publish(Kind.RETRACTION, b"body")
        await wait_all_tasks_blocked()
        assert second.room.statistics().transport.banned == (peer(0),)


async def test_a_kind_that_nobody_serves_is_counted_and_costs_nothing(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, second):
        for number in range(50):
            await first.room.publish(Kind.EVIDENCE, bytes([number]))
        await wait_all_tasks_blocked()

        assert second.refused(Reason.UNSERVED_KIND) == 50
        assert second.room.statistics().transport.banned == ()


async def test_a_kind_that_does_not_exist_is_counted_and_costs(autojump_clock: MockClock) -> None:
    async with open_members(0, 1) as (first, second):
        for _ in range(20):
            await first.transport.push(peer(1), b"\x93\x02\x63\x90")
        await wait_all_tasks_blocked()

        assert second.refused(Reason.UNKNOWN_KIND) >= 10
        assert second.room.statistics().transport.banned == (peer(0),)


async def test_a_kind_has_one_taker(autojump_clock: MockClock) -> None:
    async with open_members(0) as (first,):

        async def take(_body: bytes, _received: Received) -> None:
            return

        with pytest.raises(ValueError, match="served already"):
            first.room.serve(Kind.ATTESTATION, decode=bytes, take=take)
