"""Evidence over the members' own wire: asked for, given, and refused when nobody asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from consensus.attestation import Attestation
from consensus.errors import Reason, Unavailable
from consensus.fields import keccak256
from consensus.pending_evidence import (
    MAX_TRANSACTION_BYTES,
    Given,
    PendingEvidence,
    decode_pending_evidence,
    encode_pending_evidence,
)
from consensus.types import Seconds
from node.foresight.evidence import EvidenceDesk
from node.gossip.frames import Kind
from node.gossip.memory import MemoryNetwork
from node.gossip.room import GossipRoom
from node.gossip.transport import PeerId, Received
from tests.consensus.factories import NETWORK_ID

RAW = b"\x02" + bytes(MAX_TRANSACTION_BYTES - 1)
"""As long as one may be."""
PEERS = tuple(PeerId(name) for name in ("ada", "bob", "eve"))


@dataclass(slots=True)
class Member:
    room: GossipRoom
    desk: EvidenceDesk


@asynccontextmanager
async def members() -> AsyncIterator[dict[str, Member]]:
    network = MemoryNetwork()
    made: dict[str, Member] = {}
    async with trio.open_nursery() as nursery:
        for peer_id in PEERS:
            incoming, _ = trio.open_memory_channel[Attestation](1)
            transport = network.transport(peer_id)
            room = GossipRoom(
                transport=transport, network_id=NETWORK_ID, incoming=incoming, now=lambda: Seconds(0)
            )
            made[peer_id] = Member(room, _open_desk(room))
            await transport.register(dict.fromkeys(PEERS, ()))
            _, outgoing = trio.open_memory_channel[Attestation](1)
            nursery.start_soon(room.run, outgoing)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


def _open_desk(room: GossipRoom) -> EvidenceDesk:
    """Wired as the pipeline does."""

    async def push(peer: str, what: PendingEvidence) -> None:
        await room.push(PeerId(peer), Kind.EVIDENCE, encode_pending_evidence(what))

    async def publish(what: PendingEvidence) -> None:
        await room.publish(Kind.EVIDENCE, encode_pending_evidence(what))

    async def take(what: PendingEvidence, received: Received) -> None:
        await desk.take(what, received.peer_id)

    desk = EvidenceDesk(push=push, publish=publish)
    room.serve(Kind.EVIDENCE, decode=decode_pending_evidence, take=take)
    return desk


@pytest.mark.parametrize("signer", ["bob", "eve", None])
async def test_the_longest_transaction_reaches_who_lacks_it_whoever_is_thought_to_have_it(
    autojump_clock: trio.testing.MockClock, signer: str | None
) -> None:
    async with members() as made:
        made["bob"].desk.hold(RAW)

        assert await made["ada"].desk.fetch(keccak256(RAW), signer) == RAW

        assert made["bob"].desk.statistics().given == 1
        assert made["eve"].desk.statistics().given == 0


async def test_who_sends_what_nobody_asked_for_is_struck_until_it_is_banned(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with members() as made:
        for number in range(10):
            body = encode_pending_evidence(Given(bytes([2, number])))
            await made["eve"].room.push(PeerId("ada"), Kind.EVIDENCE, body)
        await trio.testing.wait_all_tasks_blocked()

        statistics = made["ada"].room.statistics()
        assert statistics.refused[Reason.UNASKED_EVIDENCE] == 10
        assert "eve" in statistics.transport.banned
        assert made["ada"].desk.statistics().held == 0
        with pytest.raises(Unavailable):
            await made["ada"].desk.fetch(keccak256(bytes([2, 0])), "eve")
