"""Real hosts on loopback, an attacker that speaks raw libp2p, and one way to wait for a condition."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.swarm import Swarm
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from node.gossip.frames import MAX_FRAME_BYTES
from node.gossip.hardening import GOSSIPSUB_PROTOCOL, noise_only, quiet_library, yamux_only
from node.gossip.host import HostConfig, Libp2pTransport, open_host, peer_id_of_seed
from node.gossip.transport import Addresses, PeerId, Received

TOPIC = "tocsin/test"
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES
ATTACKER_SEED = b"\xaa" * 32
PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.01


async def eventually(holds: Callable[[], bool], *, within_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds.

    The only polling in these tests: libp2p tells nobody when a connection, mesh or counter changes, and it
    runs on the real clock, so that neither events nor a MockClock can stand in.
    """
    with trio.fail_after(within_seconds):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(POLL_SECONDS)


def make_seed(number: int) -> bytes:
    return bytes([number + 1]) * 32


def make_config(number: int = 0, **changes: Any) -> HostConfig:
    """A host with test-sized patience; redials after 50 ms, or the tests would wait for it."""
    settings: dict[str, Any] = {
        "seed": make_seed(number),
        "listen": "/ip4/127.0.0.1/tcp/0",
        "topic": TOPIC,
        "max_payload_bytes": MAX_PAYLOAD_BYTES,
        "max_spread_bytes": MAX_PAYLOAD_BYTES,
        "redial_first_seconds": 0.05,
        "redial_longest_seconds": 0.5,
        "higher_peer_waits_seconds": 0.5,
    }
    return HostConfig(**(settings | changes))


def address_of(transport: Libp2pTransport) -> str:
    return transport.listening_on[0].partition("/p2p/")[0]


def book_of(transports: Sequence[Libp2pTransport]) -> dict[PeerId, Addresses]:
    return {each.peer_id: (address_of(each),) for each in transports}


def is_joined(transports: Sequence[Libp2pTransport]) -> bool:
    """Everybody pushes to everybody, and everybody is in everybody's mesh."""
    others = len(transports) - 1
    return all(
        len(each.statistics().connected) >= others and len(each.router.mesh.get(TOPIC, ())) >= others
        for each in transports
    )


@asynccontextmanager
async def open_hosts(
    count: int, *, extra: dict[PeerId, Addresses] | None = None, **changes: Any
) -> AsyncIterator[list[Libp2pTransport]]:
    """So many connected hosts; `extra` peers are registered with each of them too."""
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(open_host(make_config(number, **changes)))
            for number in range(count)
        ]
        for host in hosts:
            await host.register(book_of(hosts) | (extra or {}))
        await eventually(lambda: is_joined(hosts))
        yield hosts


async def receive(transport: Libp2pTransport, payload: bytes) -> Received:
    """Wait for this payload, and pass over others."""
    with trio.fail_after(PATIENCE_SECONDS):
        async for received in transport.received:
            if received.payload == payload:
                return received
    raise AssertionError("the transport closed before the payload came")


async def assert_serves(victim: Libp2pTransport, honest: Libp2pTransport, payload: bytes) -> None:
    """An honest operator still gets through to the victim."""
    await honest.publish(payload)
    assert (await receive(victim, payload)).peer_id == honest.peer_id


class Attacker:
    """A bare libp2p host that writes whatever bytes it likes."""

    def __init__(self, host: Any, seed: bytes) -> None:
        self.host = host
        self.key_pair = create_new_key_pair(seed)
        self.peer_id = PeerId(host.get_id().to_base58())

    @property
    def swarm(self) -> Swarm:
        return cast(Swarm, self.host.get_network())

    async def connect(self, victim: Libp2pTransport) -> None:
        info = PeerInfo(victim._host.get_id(), [Multiaddr(address_of(victim))])
        self.swarm._negative_peer_cache.clear()
        await self.host.connect(info)

    async def open_stream(self, victim: Libp2pTransport, protocol: str) -> Any:
        return await self.host.new_stream(victim._host.get_id(), [protocol])

    async def open_pubsub(self, victim: Libp2pTransport) -> Any:
        return await self.open_stream(victim, GOSSIPSUB_PROTOCOL)

    def is_connected(self, victim: Libp2pTransport) -> bool:
        return any(not each.is_closed for each in self.swarm.get_connections(victim._host.get_id()))

    def message(self, data: bytes, *, number: int, topic: str = TOPIC, **changes: bytes) -> Any:
        """A pubsub message of the attacker's own, properly signed unless `changes` say otherwise."""
        message = rpc_pb2.Message(
            data=data,
            topicIDs=[topic],
            from_id=self.host.get_id().to_bytes(),
            seqno=number.to_bytes(8, "big"),
        )
        signed = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
        message.signature = self.key_pair.private_key.sign(signed)
        message.key = self.key_pair.public_key.serialize()
        for name, value in changes.items():
            setattr(message, name, value)
        return message


def attacker_peer_id(seed: bytes = ATTACKER_SEED) -> PeerId:
    return peer_id_of_seed(seed)


def encode_rpc(rpc: Any) -> bytes:
    """A pubsub frame: varint length, protobuf."""
    return encode_varint_prefixed(rpc.SerializeToString())


@asynccontextmanager
async def open_attacker(
    seed: bytes = ATTACKER_SEED, *, security: dict[Any, Any] | None = None
) -> AsyncIterator[Attacker]:
    """A host outside our guards; `security` replaces Noise."""
    quiet_library()
    key_pair = create_new_key_pair(seed)
    host: Any = new_host(key_pair=key_pair, sec_opt=security or noise_only(key_pair), muxer_opt=yamux_only())
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        try:
            yield Attacker(host, seed)
        finally:
            with trio.move_on_after(5) as scope:
                scope.shield = True
                await host.close()
