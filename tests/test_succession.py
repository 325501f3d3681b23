"""When operators sign a handover, what they count, and how often they say it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
import trio
import trio.testing

from consensus.bls import Purpose, SecretKey, Signature, sign
from consensus.errors import Reason, Refused, Unavailable
from consensus.handover import Handover
from consensus.succession import HandoverVote, Side, Succession
from consensus.types import Epoch, HeaderHash, OperatorIndex
from node.attest.door import SigningDoor
from node.chain.clock import HeadClock
from node.chain.contracts import Registry
from node.succession import HURRIED_REPEATS, LATER_TICKS, REPEAT_SECONDS, SuccessionRoom
from tests.consensus.factories import (
    NETWORK_ID,
    make_bytes32,
    make_operator_set,
    make_secret,
    make_successor,
)
from tests.respond.stage import make_head

WEIGHTS = (1, 1, 1, 1)
FIRST = make_operator_set(WEIGHTS)
SECOND = make_successor(FIRST, first_key=1)  # operator 0 left, and 4 came
CONFIRMATIONS = 3
DEEP = SECOND.capture_block + CONFIRMATIONS


class KeyDouble:
    """A signing door without a journal, which says yes unless it was told otherwise."""

    def __init__(self, number: int) -> None:
        self._secret: SecretKey = make_secret(number)
        self.public_key = self._secret.public_key()
        self.signed: list[Handover] = []
        self.trouble: Exception | None = None

    async def hand_over(self, handover: Handover) -> Signature:
        await trio.lowlevel.checkpoint()
        if self.trouble is not None:
            raise self.trouble
        self.signed.append(handover)
        return sign(self._secret, Purpose.HANDOVER, handover.digest())


class RegistryDouble:
    """Says which header an epoch has."""

    def __init__(self) -> None:
        self.hashes = {each.epoch: each.header_hash() for each in (FIRST, SECOND)}
        self.trouble: Exception | None = None

    async def header_hash(self, epoch: Epoch, _at: object) -> HeaderHash:
        await trio.lowlevel.checkpoint()
        if self.trouble is not None:
            raise self.trouble
        return self.hashes[epoch]


class Network:
    """Rooms that hear each other, or do not."""

    def __init__(self) -> None:
        self.rooms: list[SuccessionRoom] = []
        self.said: list[HandoverVote] = []
        self.is_down = False

    def room(self, number: int, key: KeyDouble | None, registry: RegistryDouble, clock: HeadClock) -> Any:
        def index_of(epoch: Epoch) -> OperatorIndex | None:
            operators = {FIRST.epoch: FIRST, SECOND.epoch: SECOND}[epoch].operators
            own = make_secret(number).public_key()
            return next((each.index for each in operators if each.public_key == own), None)

        async def publish(vote: HandoverVote) -> None:
            self.said.append(vote)
            for other in () if self.is_down else self.rooms:
                if other is not made:
                    with suppress(Refused):  # it has not read the registry yet
                        await other.take(vote)

        made = SuccessionRoom(
            Succession(NETWORK_ID),
            signer=cast(SigningDoor | None, key),
            index_of=index_of,
            sets=lambda: (FIRST, SECOND),
            registry=cast(Registry, registry),
            clock=clock,
            confirmations=CONFIRMATIONS,
            publish=publish,
        )
        self.rooms.append(made)
        return made


@asynccontextmanager
async def running(room: SuccessionRoom) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run)
        yield
        nursery.cancel_scope.cancel()


def proof_of(room: SuccessionRoom) -> object:
    return room._succession.proof(FIRST.epoch)


async def test_two_sets_hand_over_once_the_capture_is_deep_enough() -> None:
    network, registry, clock = Network(), RegistryDouble(), HeadClock()
    keys = [KeyDouble(number) for number in range(5)]
    rooms = [network.room(number, key, registry, clock) for number, key in enumerate(keys)]
    async with trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(room.run)
        clock.advance(make_head(DEEP - 1))
        await trio.testing.wait_all_tasks_blocked()
        assert not any(key.signed for key in keys)
        assert rooms[0].newest == 0

        clock.advance(make_head(DEEP))
        await trio.testing.wait_all_tasks_blocked()
        for room in rooms:  # whoever was told before it knew is told again
            for vote in network.said:
                await room.take(vote)

        assert all(len(key.signed) == 1 for key in keys)
        assert all(proof_of(room) is not None for room in rooms)
        assert all(room.newest == SECOND.epoch for room in rooms)
        clock.advance(make_head(DEEP + 1))
        await trio.testing.wait_all_tasks_blocked()
        assert all(len(key.signed) == 1 for key in keys), "once an epoch"
        nursery.cancel_scope.cancel()


async def test_who_stands_in_both_sets_votes_on_both_sides_and_a_newcomer_on_one() -> None:
    for number, sides in ((0, [Side.OUTGOING]), (1, list(Side)), (4, [Side.INCOMING]), (9, [])):
        network, clock = Network(), HeadClock()
        key = KeyDouble(number)
        room = network.room(number, key, RegistryDouble(), clock)
        await room.look(make_head(DEEP))
        assert [vote.side for vote in network.said] == sides
        assert len(key.signed) == bool(sides), "a stranger signs nothing"


async def test_a_key_that_is_not_the_sets_signs_nothing() -> None:
    network = Network()
    key = KeyDouble(8)
    room = network.room(1, key, RegistryDouble(), HeadClock())  # operator 1 has rotated its key
    await room.look(make_head(DEEP))
    assert network.said == []
    assert key.signed == []


async def test_who_holds_no_key_counts_all_the_same() -> None:
    network, registry, clock = Network(), RegistryDouble(), HeadClock()
    relay = network.room(9, None, registry, clock)
    await relay.look(make_head(DEEP))
    for number in range(5):
        await network.room(number, KeyDouble(number), registry, clock).look(make_head(DEEP))
    assert proof_of(relay) is not None
    assert relay.statistics().signed == 0


async def test_a_header_that_the_registry_does_not_hold_any_more_is_not_signed() -> None:
    network, registry = Network(), RegistryDouble()
    key = KeyDouble(1)
    room = network.room(1, key, registry, HeadClock())
    registry.hashes[SECOND.epoch] = HeaderHash(make_bytes32("after a reorganisation"))
    await room.look(make_head(DEEP))
    assert key.signed == []
    assert room.newest == 0

    registry.hashes[SECOND.epoch] = SECOND.header_hash()
    await room.look(make_head(DEEP + 1))
    assert len(key.signed) == 1


@pytest.mark.parametrize("at", ["registry", "key"])
async def test_what_is_not_available_is_tried_again(at: str) -> None:
    network, registry, key = Network(), RegistryDouble(), KeyDouble(1)
    room = network.room(1, key, registry, HeadClock())
    (registry if at == "registry" else key).trouble = Unavailable("no answer")
    await room.look(make_head(DEEP))
    assert network.said == []

    registry.trouble = key.trouble = None
    await room.look(make_head(DEEP + 1))
    assert len(network.said) == 2


async def test_a_refusal_of_the_journal_is_final_and_others_votes_count_on() -> None:
    network, registry, key = Network(), RegistryDouble(), KeyDouble(1)
    room = network.room(1, key, registry, HeadClock())
    key.trouble = Refused(Reason.HANDOVER_ALREADY_SIGNED, "another set")
    await room.look(make_head(DEEP))
    key.trouble = None
    await room.look(make_head(DEEP + 1))
    assert key.signed == []

    await network.room(2, KeyDouble(2), registry, HeadClock()).look(make_head(DEEP))
    assert room.statistics().counted == 2


async def test_votes_are_repeated_often_until_the_proof_is_complete_and_then_seldom(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network, registry, clock = Network(), RegistryDouble(), HeadClock()
    network.is_down = True
    keys = [KeyDouble(number) for number in range(5)]
    rooms = [network.room(number, key, registry, clock) for number, key in enumerate(keys)]
    async with trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(room.run)
        clock.advance(make_head(DEEP))
        await trio.sleep(REPEAT_SECONDS / 2)
        assert not any(proof_of(room) for room in rooms)

        network.is_down = False  # all that was said so far was lost
        await trio.sleep(2 * REPEAT_SECONDS)
        assert all(proof_of(room) is not None for room in rooms)

        await trio.sleep((HURRIED_REPEATS + LATER_TICKS) * REPEAT_SECONDS)
        before = len(network.said)
        await trio.sleep(10 * LATER_TICKS * REPEAT_SECONDS)
        assert len(network.said) - before == 10 * 8, "eight votes a minute, for those who were away"
        nursery.cancel_scope.cancel()
