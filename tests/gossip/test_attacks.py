"""Each attack that was measured to work on the bare library, performed against our host.

The victim has one honest operator beside it; the attacker is registered unless the test says otherwise. An
attack has failed when the honest operator still gets through and the attacker has paid.
"""

import os
from collections.abc import AsyncIterator

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF, StreamError, StreamReset
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from multiaddr import Multiaddr

from consensus.errors import Broken, Reason
from node.gossip import hardening
from node.gossip.budgets import Limits, Rate
from node.gossip.host import Libp2pTransport
from node.gossip.push import PUSH_PROTOCOLS, encode_frame
from node.gossip.transport import PeerId
from tests.gossip.harness import (
    ATTACKER_SEED,
    MAX_PAYLOAD_BYTES,
    Attacker,
    address_of,
    assert_serves,
    attacker_peer_id,
    encode_rpc,
    eventually,
    make_seed,
    open_attacker,
    open_hosts,
)


class Scene:
    """One victim, one honest operator, one attacker that is connected to the victim."""

    def __init__(self, victim: Libp2pTransport, honest: Libp2pTransport, attacker: Attacker) -> None:
        self.victim = victim
        self.honest = honest
        self.attacker = attacker

    def dropped(self, reason: Reason) -> int:
        return self.victim.statistics().drops.get(reason, 0)

    async def assert_survived(self) -> None:
        await assert_serves(self.victim, self.honest, b"after the attack")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}, frame_seconds=0.3) as (victim, honest),
        open_attacker() as attacker,
    ):
        await attacker.connect(victim)
        yield Scene(victim, honest, attacker)


# --- the pubsub stream


async def test_frame_that_is_no_protobuf_does_not_end_the_process(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)

    await stream.write(b"\x05\xff\xff\xff\xff\xff")

    await eventually(lambda: scene.dropped(Reason.MALFORMED) == 1)
    await scene.assert_survived()


async def test_message_with_unparsable_key_does_not_end_the_process(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    rsa_style_id = b"\x12\x20" + b"\x07" * 32  # a hash: the key must be read from the message
    await scene.victim.register(
        {
            scene.honest.peer_id: (),
            scene.attacker.peer_id: (),
        }
    )
    scene.victim.door.register([*scene.victim.door.registered, _name(rsa_style_id)])
    message = scene.attacker.message(b"x", number=1, from_id=rsa_style_id, key=b"\xff not a key")

    await stream.write(encode_rpc(rpc_pb2.RPC(publish=[message])))

    await eventually(lambda: scene.dropped(Reason.FORGED_AUTHOR) == 1)
    await scene.assert_survived()


def _name(peer_id: bytes) -> PeerId:
    return hardening.peer_name(ID(peer_id))


async def test_handler_that_raises_ends_only_the_stream(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)

    def raising(**_: object) -> bool:
        raise RuntimeError("a bug of ours, reached by a peer's message")

    with monkeypatch.context() as patch:
        patch.setattr(scene.victim.door, "take", raising)
        message = scene.attacker.message(b"x", number=1)
        await stream.write(encode_rpc(rpc_pb2.RPC(publish=[message])))
        await eventually(lambda: scene.dropped(Reason.MALFORMED) == 1)

    await scene.assert_survived()


async def test_oversized_pubsub_frame_is_refused_before_it_is_read(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)

    await stream.write(b"\x80\x80\x80\x01" + b"\x00" * 1_000)  # announces 2 MiB

    await eventually(lambda: scene.dropped(Reason.OVERSIZED) == 1)
    await scene.assert_survived()


async def test_oversized_message_in_a_fitting_frame_is_refused(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    message = scene.attacker.message(bytes(MAX_PAYLOAD_BYTES + 1), number=1)

    await stream.write(encode_rpc(rpc_pb2.RPC(publish=[message])))

    await eventually(lambda: scene.dropped(Reason.OVERSIZED) == 1)
    await scene.assert_survived()


async def test_flood_of_forged_signatures_bans_the_forwarder(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    honest = scene.honest._host.get_id().to_bytes()

    await _write_until_cut(
        stream,
        [
            encode_rpc(rpc_pb2.RPC(publish=[scene.attacker.message(b"lie", number=number, from_id=honest)]))
            for number in range(1_000)
        ],
    )

    await eventually(lambda: scene.attacker.peer_id in scene.victim.statistics().banned)
    await eventually(lambda: not scene.attacker.is_connected(scene.victim))
    assert (
        scene.dropped(Reason.FORGED_AUTHOR) <= 20
    )  # not one of the thousand cost us more once it was banned
    assert scene.honest.peer_id not in scene.victim.statistics().banned
    await scene.assert_survived()


async def test_flood_over_the_authors_budget_is_dropped_and_banned(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    rate, began = scene.victim._config.limits.author, trio.current_time()

    await _write_until_cut(
        stream,
        [
            encode_rpc(
                rpc_pb2.RPC(
                    publish=[
                        scene.attacker.message(os.urandom(64), number=100 * frame + number)
                        for number in range(100)
                    ]
                )
            )
            for frame in range(20)
        ],
    )

    await eventually(lambda: scene.attacker.peer_id in scene.victim.statistics().banned)
    refilled = rate.messages_per_second * (trio.current_time() - began)
    assert scene.victim.statistics().received_pubsub <= rate.message_burst + refilled + 1
    await scene.assert_survived()


async def test_message_of_a_stranger_is_not_passed_on(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    async with open_attacker(make_seed(99)) as stranger:
        message = stranger.message(b"from nowhere", number=1)

    await stream.write(encode_rpc(rpc_pb2.RPC(publish=[message])))

    await eventually(lambda: scene.dropped(Reason.STRANGER_AUTHOR) == 1)
    assert scene.attacker.peer_id not in scene.victim.statistics().banned  # it may know a newer operator set
    await scene.assert_survived()


async def test_subscription_flood_is_refused_and_holds_no_memory(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    many = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"t{number}") for number in range(4_900)]
    few = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"t{number}") for number in range(10)]

    await stream.write(encode_rpc(rpc_pb2.RPC(subscriptions=few)))
    for start in range(0, len(many), 1_000):
        await stream.write(encode_rpc(rpc_pb2.RPC(subscriptions=many[start : start + 1_000])))

    await eventually(lambda: scene.dropped(Reason.WRONG_TOPIC) == 5)
    assert set(scene.victim.pubsub.peer_topics) <= {scene.victim._config.topic}
    await scene.assert_survived()


async def test_control_flood_in_one_frame_is_refused(scene: Scene) -> None:
    stream = await scene.attacker.open_pubsub(scene.victim)
    wants = rpc_pb2.ControlIWant(messageIDs=[b"aa"] * 5_000)

    await stream.write(encode_rpc(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=[wants]))))

    await eventually(lambda: scene.dropped(Reason.MALFORMED) == 1)
    await scene.assert_survived()


# --- the push stream


async def test_oversized_push_frame_is_refused_before_it_is_read(scene: Scene) -> None:
    stream = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])

    await stream.write((MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big"))

    await eventually(lambda: scene.dropped(Reason.OVERSIZED) == 1)
    await scene.assert_survived()


async def test_empty_push_frame_is_refused(scene: Scene) -> None:
    stream = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])

    await stream.write(bytes(4))

    await eventually(lambda: scene.dropped(Reason.MALFORMED) == 1)
    await scene.assert_survived()


async def test_push_frame_that_is_never_finished_is_given_up(scene: Scene) -> None:
    stream = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])

    await stream.write(encode_frame(b"half of it")[:-5])

    await eventually(lambda: scene.dropped(Reason.STALLED_FRAME) == 1)
    await scene.assert_survived()


async def test_push_flood_over_the_authors_budget_is_dropped_and_banned(scene: Scene) -> None:
    stream = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])

    await _write_until_cut(stream, [encode_frame(bytes(16)) * 500 for _ in range(10)])

    await eventually(lambda: scene.attacker.peer_id in scene.victim.statistics().banned)
    assert scene.victim.statistics().received_direct <= 1_000 + 400
    await scene.assert_survived()


async def test_second_push_stream_of_a_peer_replaces_the_first(scene: Scene) -> None:
    first = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])
    await first.write(encode_frame(b"one"))
    second = await scene.attacker.open_stream(scene.victim, PUSH_PROTOCOLS[2])
    await second.write(encode_frame(b"two"))

    await eventually(lambda: scene.victim.statistics().received_direct == 2)
    with trio.fail_after(5), pytest.raises((StreamReset, StreamEOF)):
        await first.read(1)  # reset by the victim

    assert len(scene.victim._reading) <= 2


# --- streams and connections


async def test_protocol_name_that_is_no_text_does_not_end_the_process(scene: Scene) -> None:
    stream = await scene.attacker.swarm.new_stream(scene.victim._host.get_id())

    await stream.write(b"\x13/multistream/1.0.0\n" + b"\x04\xff\xfe\xfd\n")

    await eventually(lambda: scene.dropped(Reason.CRASHED_HANDLER) == 1)
    await scene.assert_survived()


async def test_streams_of_one_peer_are_bounded(scene: Scene) -> None:
    for _ in range(hardening.MAX_STREAMS_PER_PEER + 5):
        await scene.attacker.swarm.new_stream(scene.victim._host.get_id())

    await eventually(lambda: scene.dropped(Reason.TOO_MANY_STREAMS) >= 5)
    await scene.assert_survived()


async def test_plaintext_dialer_is_refused() -> None:
    key_pair = create_new_key_pair(ATTACKER_SEED)
    plaintext = {PLAINTEXT_PROTOCOL_ID: InsecureTransport(key_pair)}
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}) as (victim, honest),
        open_attacker(security=plaintext) as attacker,
    ):
        with pytest.raises(SwarmException):
            await attacker.connect(victim)

        assert not victim._swarm.get_connections(attacker.host.get_id())
        await assert_serves(victim, honest, b"after the attack")


async def test_unregistered_peer_is_refused_after_noise() -> None:
    async with open_hosts(2) as (victim, honest), open_attacker() as stranger:
        with pytest.raises(SwarmException):
            await stranger.connect(victim)

        assert victim.statistics().drops[Reason.UNREGISTERED_PEER] >= 1
        await assert_serves(victim, honest, b"after the attack")


OFTEN = Rate(messages_per_second=10_000, message_burst=10_000, bytes_per_second=0, byte_burst=0)


async def test_connections_from_one_address_are_bounded_before_any_handshake() -> None:
    few = Rate(messages_per_second=0, message_burst=20, bytes_per_second=0, byte_burst=0)
    async with open_hosts(2, connections=few) as (victim, honest), open_attacker() as stranger:
        for _ in range(40):
            with pytest.raises(SwarmException):
                await stranger.swarm._dial_addr_single_attempt(_address(victim), victim._host.get_id())

        drops = victim.statistics().drops
        assert drops[Reason.UNREGISTERED_PEER] <= 20
        assert drops[Reason.TOO_MANY_CONNECTIONS] >= 20
        await assert_serves(victim, honest, b"after the attack")


async def test_300_connects_by_a_stranger_leave_every_slot_free() -> None:
    async with open_hosts(2, connections=OFTEN) as (victim, honest), open_attacker() as stranger:
        slots_before = victim._swarm._inbound_limiter.borrowed_tokens
        connections_before = victim._swarm._resource_manager._current_connections

        async def knock(times: int) -> None:
            for _ in range(times):
                upgrade = stranger.swarm._dial_addr_single_attempt
                with pytest.raises(SwarmException):
                    await upgrade(_address(victim), victim._host.get_id())

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(knock, 50)

        assert victim.statistics().drops[Reason.UNREGISTERED_PEER] >= 290
        await eventually(lambda: victim._swarm._inbound_limiter.borrowed_tokens == slots_before)
        assert victim._swarm._resource_manager._current_connections == connections_before
        await assert_serves(victim, honest, b"after the attack")


async def test_connections_that_ended_leave_their_slots_free() -> None:
    # In the bare library each inbound connection holds its slot for ever: 300 reconnects, and nobody gets in.
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}) as (victim, honest),
        open_attacker() as attacker,
    ):
        slots_before = victim._swarm._inbound_limiter.borrowed_tokens

        for _ in range(8):
            await attacker.connect(victim)
            await attacker.swarm.close_peer(victim._host.get_id())

        await eventually(lambda: victim._swarm._inbound_limiter.borrowed_tokens == slots_before)
        await assert_serves(victim, honest, b"after the attack")


async def test_handshakes_that_one_address_leaves_open_are_bounded() -> None:
    async with open_hosts(2) as (victim, honest):
        _, _, host, _, port = str(_address(victim)).split("/")
        sockets = [await trio.open_tcp_stream(host, int(port)) for _ in range(40)]

        await eventually(
            lambda: (
                victim.statistics().drops.get(Reason.TOO_MANY_HANDSHAKES, 0)
                == 40 - hardening.MAX_HANDSHAKES_PER_ADDRESS
            )
        )

        await assert_serves(victim, honest, b"after the attack")
        for each in sockets:
            await each.aclose()


def _address(victim: Libp2pTransport) -> object:
    return Multiaddr(address_of(victim))


async def test_banned_peer_comes_back_when_the_ban_has_expired() -> None:
    limits = Limits(ban_seconds=0.5)
    async with (
        open_hosts(2, extra={attacker_peer_id(): ()}, limits=limits) as (victim, _honest),
        open_attacker() as attacker,
    ):
        await attacker.connect(victim)
        await victim.strike(attacker.peer_id, 100, reason=Reason.BAD_SIGNATURE)
        await eventually(lambda: not attacker.is_connected(victim))
        assert victim.statistics().banned == (attacker.peer_id,)

        await eventually(lambda: victim.statistics().banned == ())

        await attacker.connect(victim)
        assert attacker.is_connected(victim)


def test_other_libp2p_version_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "version", lambda _name: "0.9.0")

    with pytest.raises(Broken, match=r"libp2p 0\.9\.0 is installed"):
        hardening.require_audited_version()


async def _write_until_cut(stream: INetStream, frames: list[bytes]) -> None:
    """Write all frames, or until the victim has had enough."""
    try:
        for frame in frames:
            await stream.write(frame)
    except StreamError:
        return  # cut off, as it should be
