"""Guards around libp2p 0.8.1, each against one attack that was measured to work on the bare library.

Every guard takes hold of a named place inside that version, so another version is refused at start: read
these places again, run `pytest tests/gossip` (which performs the attacks), and only then raise the number
here and in pyproject.toml. This module knows libp2p and nothing of attestations; whom to let in and what to
count comes from `node.gossip.door`.
"""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from ipaddress import IPv6Network
from typing import Any, cast

import structlog
import trio
from libp2p.abc import IHost, IMuxedConn, INetConn, INetStream, IRawConnection, ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import Reader, ReadWriteCloser
from libp2p.io.exceptions import IncompleteReadError, MessageTooLarge
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamError, StreamReset
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.validators import signature_validator
from libp2p.rcmgr import new_resource_manager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from consensus.errors import Broken, Reason
from node.gossip.budgets import Bucket, Rate
from node.gossip.door import Door
from node.gossip.transport import Path, PeerId

AUDITED_VERSION = "0.8.1"
GOSSIPSUB_PROTOCOL = TProtocol("/meshsub/1.1.0")

MAX_CONNECTIONS = 300
"""All other operators of the largest set, and some that come with the next one or only pull."""
MAX_STREAMS_PER_PEER = 32
"""Long-lived ones are two (pubsub, direct) each way; ping and identify come and go."""
MAX_HANDSHAKES_PER_ADDRESS = 16
MAX_HANDSHAKES = 64
"""Of all addresses together; each is 10 ms of work that a stranger can ask for."""
CONNECTIONS = Rate(messages_per_second=4, message_burst=256, bytes_per_second=0, byte_burst=0)
"""Connections that one address may open, before any cryptography; a fleet behind one fits into its burst."""
MAX_ADDRESSES_REMEMBERED = 4_096
HANDSHAKE_SECONDS = 5.0
CLOSE_SECONDS = 1.0
READ_CHUNK_BYTES = 64 * 1024
MAX_SUBSCRIPTIONS_PER_RPC = 16
MAX_CONTROL_ENTRIES_PER_RPC = 256
SEEN_SECONDS = 120

_QUIET_ENDS = (StreamEOF, StreamClosed, StreamReset, StreamError, IncompleteReadError)

_log = structlog.get_logger("gossip")


def peer_name(peer: ID) -> PeerId:
    """The base58 form by which operators register."""
    return PeerId(peer.to_base58())


def require_audited_version() -> None:
    """Refuse to start on a libp2p that the attack tests were not run against.

    Raises:
        Broken: another version is installed.
    """
    installed = version("libp2p")
    if installed != AUDITED_VERSION:
        raise Broken(
            f"libp2p {installed} is installed, the guards in node/gossip/hardening.py were audited for "
            f"{AUDITED_VERSION}. Install libp2p=={AUDITED_VERSION}, or re-read each guard's place, run the "
            f"attacks in tests/gossip and raise AUDITED_VERSION."
        )


def quiet_library() -> None:
    """Keep the library's own log lines, tracebacks included, from strangers' reach: one each would fill a
    disk.

    What matters is counted by reason and logged by this room.
    """
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)


def noise_only(key_pair: KeyPair) -> dict[TProtocol, NoiseTransport]:
    """Security options. The default also offers plaintext: anybody could then claim any peer id."""
    noise_key = new_x25519_key_pair().private_key
    return {NOISE_PROTOCOL_ID: NoiseTransport(key_pair, noise_privkey=noise_key)}


def yamux_only() -> dict[TProtocol, type[Yamux]]:
    """Muxer options: one muxer is one parser to attack."""
    return {TProtocol(YAMUX_PROTOCOL_ID): Yamux}


def connection_config(*, ping_interval_seconds: float, ping_timeout_seconds: float) -> ConnectionConfig:
    """Connection limits; peers are dialed by our own loop, and a peer that no longer answers pings is
    dropped.

    Without the pings a frozen peer (cable pulled, process stopped) is never noticed.
    """
    return ConnectionConfig(
        max_connections=MAX_CONNECTIONS,
        high_watermark=MAX_CONNECTIONS,
        low_watermark=0,
        min_connections=0,
        inbound_upgrade_timeout=HANDSHAKE_SECONDS,
        outbound_upgrade_timeout=HANDSHAKE_SECONDS,
        enable_health_monitoring=True,
        health_initial_delay=ping_interval_seconds,
        health_check_interval=ping_interval_seconds,
        health_warmup_window=min(5.0, ping_interval_seconds),
        ping_timeout=ping_timeout_seconds,
        abort_connection_on_ping_failure=True,
    )


def resource_manager() -> Any:
    """The library's limits without its circuit breaker: a stranger's failures could open it for everybody."""
    return new_resource_manager(enable_circuit_breaker=False, enable_graceful_degradation=False)


def _replace(owner: object, name: str, guard: object) -> None:
    """Put a guard in a method's place; the name must exist, so that a renamed one is noticed at start."""
    if not hasattr(owner, name):
        raise Broken(f"libp2p's {type(owner).__name__} has no {name} to guard; see AUDITED_VERSION")
    setattr(owner, name, guard)


def leave_dialing_to_us(swarm: Swarm) -> None:
    """Switch off what dials behind our back.

    The auto-connector aims for half of the watermarks even when they are zero, with addresses that peers told
    us; and a dial's own retries would keep our loop from trying the next address.
    """

    async def start_nothing(*_: object) -> None:
        return None

    swarm.retry_config = RetryConfig(max_retries=0)
    _replace(swarm.auto_connector, "run_background_task", start_nothing)
    _replace(swarm, "_schedule_auto_connect", lambda: None)


def admit_only(swarm: Swarm, door: Door) -> None:
    """Let in registered peers only, by the peer id that Noise has just proven.

    Attack: any stranger that completes Noise may open streams, publish and hold slots. The library's gate
    knows addresses only. The check sits before the muxer is negotiated, so that a stranger costs one
    handshake and no resource scope (a refusal in `add_conn` would leak the scope that was opened just
    before).
    """
    upgrade_security = swarm.upgrader.upgrade_security

    async def upgrade_registered(
        raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        secure_conn = await upgrade_security(raw_conn, is_initiator, peer_id)
        remote = peer_name(secure_conn.get_remote_peer())
        if not door.is_welcome(remote):
            door.count(Reason.UNREGISTERED_PEER)
            await close_quietly(secure_conn.close)
            raise SecurityUpgradeFailure(f"peer {remote} is not a registered operator, or is banned")
        return secure_conn

    _replace(swarm.upgrader, "upgrade_security", upgrade_registered)


def plug_inbound_leak(swarm: Swarm, door: Door, connections: Rate) -> None:
    """End each inbound handler with *its* connection.

    Attack: the library's handler waits for the swarm to end and holds its slot until then; after 300 inbound
    connections in a lifetime, each long closed, the listener refuses everybody for ever. A member that
    reconnects does it in a minute, an honest fleet in some weeks. Three more bounds stand before the
    handshake: how often one address connects, and how many handshakes it and all together keep open.
    """
    handshakes: Counter[str] = Counter()
    arrivals: OrderedDict[str, Bucket] = OrderedDict()

    def may_connect(address: str) -> bool:
        """Charge one connection to the address it comes from; the longest silent address is forgotten."""
        now = trio.current_time()
        bucket = arrivals.pop(address, None) or Bucket.full(connections, now)
        arrivals[address] = bucket
        if len(arrivals) > MAX_ADDRESSES_REMEMBERED:
            arrivals.popitem(last=False)
        return bucket.take(0, now)

    async def handle_one(stream: ReadWriteCloser, listen_addr: Multiaddr, _failure: object) -> None:
        remote = swarm._build_remote_multiaddr(stream)
        if remote is None or not await swarm.connection_gate.is_allowed(remote):
            await close_quietly(stream.close)
            return
        address = _place_of(remote)
        if not may_connect(address):
            door.count(Reason.TOO_MANY_CONNECTIONS)
            await close_quietly(stream.close)
            return
        if handshakes[address] >= MAX_HANDSHAKES_PER_ADDRESS or handshakes.total() >= MAX_HANDSHAKES:
            door.count(Reason.TOO_MANY_HANDSHAKES)
            await close_quietly(stream.close)
            return
        raw_conn = RawConnection(stream, False)
        try:
            muxed_conn = await _upgrade_counted(raw_conn, listen_addr, handshakes, address)
            await _closed(swarm, muxed_conn)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's handshake raises ends here, not the node
            _log.debug("peer.handshake_failed", error=repr(error))
        finally:
            await close_quietly(raw_conn.close)

    async def _upgrade_counted(
        raw_conn: RawConnection, listen_addr: Multiaddr, pending: Counter[str], address: str
    ) -> IMuxedConn:
        pending[address] += 1
        try:
            return await swarm.upgrade_inbound_raw_conn(raw_conn, listen_addr)
        finally:
            pending[address] -= 1
            if not pending[address]:
                del pending[address]

    _replace(swarm, "_do_handle_inbound_connection", handle_one)


def _place_of(remote: Multiaddr) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 customer has."""
    kind, host = str(remote).split("/")[1:3]
    return str(IPv6Network((host, 64), strict=False)) if kind == "ip6" else host


async def _closed(swarm: Swarm, muxed_conn: IMuxedConn) -> None:
    """Wait until this connection has ended."""
    for connection in swarm.get_connections(muxed_conn.peer_id):
        if connection.muxed_conn is muxed_conn:
            await cast(SwarmConn, connection).event_closed.wait()
            return


def guard_streams(swarm: Swarm, door: Door) -> None:
    """Keep what a stream handler raises inside its stream, and bound a peer's open streams.

    Attack: the library runs inbound streams in the connection's nursery, so an exception takes the process
    down. A protocol name that is not UTF-8 is enough (`MultiselectCommunicator.read` decodes it outside its
    `try`).
    """
    handler = swarm.common_stream_handler
    open_streams: Counter[ID] = Counter()

    async def handle_guarded(stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if open_streams[peer] >= MAX_STREAMS_PER_PEER:
            door.refuse(peer_name(peer), Reason.TOO_MANY_STREAMS)
            await close_quietly(stream.reset)
            return
        open_streams[peer] += 1
        try:
            await handler(stream)
        except _QUIET_ENDS:
            await close_quietly(stream.reset)
        except Exception as error:  # noqa: BLE001 - the attack above: nothing that a peer sends may end the node
            _log.warning("stream.failed", peer_id=peer_name(peer), error=repr(error))
            door.refuse(peer_name(peer), Reason.CRASHED_HANDLER)
            await close_quietly(stream.reset)
        finally:
            open_streams[peer] -= 1
            if not open_streams[peer]:
                del open_streams[peer]

    swarm.set_stream_handler(handle_guarded)


class BufferedReader(Reader):
    """Serves small reads from memory.

    The library reads length prefixes byte by byte, and each such read sends a yamux WINDOW_UPDATE: a fifth of
    the cost of a message (measured). Holds at most one chunk more than was asked for.
    """

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Up to n bytes; waits for the first."""
        if not self._buffer:
            chunk = await self._stream.read(READ_CHUNK_BYTES)
            if n is None or len(chunk) <= n:
                return bytes(chunk)
            self._buffer += chunk
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    async def read_exactly(self, n: int) -> bytes:
        """n bytes, or IncompleteReadError at the stream's end."""
        parts = bytearray()
        while len(parts) < n:
            part = await self.read(n - len(parts))
            if not part:
                raise IncompleteReadError(
                    "stream ended inside a frame", expected_bytes=n, received_bytes=len(parts)
                )
            parts += part
        return bytes(parts)


class GuardedPubsub(Pubsub):
    """Pubsub that no peer's frame can end, that charges before it parses, and hands payloads to the door.

    Attacks on the bare class, each of which ended the process: a frame that is no protobuf, a message whose
    key does not parse, a validator that raises. Forged signatures, floods and foreign topics cost their
    sender nothing there. This class replaces the read loop: one message is finished before the next is read,
    so a flooder meets back-pressure instead of spawning a task per message.
    """

    def __init__(
        self, host: IHost, router: GossipSub, *, topics: frozenset[str], max_payload_bytes: int, door: Door
    ) -> None:
        # Two payloads and their envelopes fit into a frame; peers split larger answers (see
        # _handle_new_peer).
        max_frame_bytes = 2 * max_payload_bytes + 32 * 1024
        super().__init__(
            host,
            router,
            strict_signing=True,
            seen_ttl=SEEN_SECONDS,
            max_inbound_rpc_size=max_frame_bytes,
            max_subscriptions_per_rpc=MAX_SUBSCRIPTIONS_PER_RPC,
            allowed_topics=set(topics),
        )
        self._topics = topics
        self._max_payload_bytes = max_payload_bytes
        self._door = door
        self._max_frame_bytes = max_frame_bytes
        self._reading: dict[ID, INetStream] = {}
        # The library starts its message numbers at time() in seconds: after a restart, numbers of the run
        # before would come again and peers would drop them as seen.
        self.counter = time.time_ns()

    async def stream_handler(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        earlier, self._reading[peer] = self._reading.get(peer), stream
        if earlier is not None:  # a peer has one pubsub stream to us; after its restart the new one counts
            await close_quietly(earlier.reset)
        try:
            await self.continuously_read_stream(stream)
        except _QUIET_ENDS:
            await close_quietly(stream.reset)
        except MessageTooLarge:
            self._expel(peer, Reason.OVERSIZED)
            await close_quietly(stream.reset)
        except Exception as error:  # noqa: BLE001 - the attacks above: no frame may end the node
            _log.warning("stream.failed", peer_id=peer_name(peer), error=repr(error))
            self._expel(peer, Reason.MALFORMED)
            await close_quietly(stream.reset)
        finally:
            if self._reading.get(peer) is stream:
                del self._reading[peer]

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        reader = BufferedReader(stream)
        while self.manager.is_running:
            frame = await read_varint_prefixed_bytes_limited(reader, self.max_inbound_rpc_size)
            if self._door.charge_link(peer_name(peer), len(frame)):
                rpc = rpc_pb2.RPC()
                rpc.ParseFromString(frame)
                await self._obey(peer, rpc)
            await trio.lowlevel.checkpoint()  # a flood from one peer must leave turns to the others

    async def _obey(self, peer: ID, rpc: Any) -> None:
        """Do what one frame asks. The sender's signed record is ignored: addresses come from our config."""
        if len(rpc.subscriptions) <= self.max_subscriptions_per_rpc:
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer, subscription)
        else:
            self._door.refuse(peer_name(peer), Reason.WRONG_TOPIC)
        for message in rpc.publish:
            await self._receive(peer, message)
        if rpc.HasField("control"):
            rpc.ClearField("senderRecord")
            if _control_entries(rpc.control) > MAX_CONTROL_ENTRIES_PER_RPC:
                self._door.refuse(peer_name(peer), Reason.MALFORMED)
                return
            await self.router.handle_rpc(rpc, peer)

    async def _receive(self, forwarder: ID, message: Any) -> None:
        """Check one message in the order of cost, hand it to the door, pass it on."""
        neighbour = peer_name(forwarder)
        if len(message.topicIDs) != 1 or message.topicIDs[0] not in self._topics:
            self._door.refuse(neighbour, Reason.WRONG_TOPIC)
            return
        if len(message.data) > self._max_payload_bytes:
            self._door.refuse(neighbour, Reason.OVERSIZED)
            return
        author = ID(message.from_id)
        if self._is_msg_seen(message) or author == self.my_id:
            return
        if not self._door.is_registered(peer_name(author)):
            # The forwarder may know a newer operator set than we do: not its fault.
            self._door.count(Reason.STRANGER_AUTHOR)
            return
        if not _is_signed(message):
            self._door.refuse(neighbour, Reason.FORGED_AUTHOR)
            return
        # From here on the author answers: its budget, its ban. An unsigned claim could drain a victim's
        # budget.
        self._mark_msg_seen(message)
        if self._door.take(peer_id=peer_name(author), payload=message.data, path=Path.PUBSUB):
            await self.router.publish(forwarder, message)

    def notify_subscriptions(self, publish_message: Any) -> None:
        """Nothing: subscriptions hold 32 messages and drop the rest in silence; `_receive` hands over."""

    async def _handle_new_peer(self, peer_id: ID) -> None:
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is not None:
            queue.max_message_size = self._max_frame_bytes  # the peer refuses more than that

    def forget_streams_beside(self, connection: INetConn) -> None:
        """Open our pubsub stream to a peer anew when it runs over another connection than this newest one.

        Without this, a peer that restarts within moments stays half meshed in silence until somebody
        publishes: the library keeps the stream of the dead connection as long as any connection to the peer
        is alive, and never tells the restarted peer what we subscribe to.
        """
        peer = connection.muxed_conn.peer_id
        stream = self.peers.get(peer)
        if stream is not None and stream.muxed_conn is not connection.muxed_conn:
            self._handle_dead_peer(peer)

    def _expel(self, peer: ID, reason: Reason) -> None:
        self._door.refuse(peer_name(peer), reason)
        self._handle_dead_peer(peer)


def _is_signed(message: Any) -> bool:
    """Whether the author signed; a key that does not parse is a no (the library re-raises: attack)."""
    try:
        return bool(signature_validator(message))
    except Exception:  # noqa: BLE001 - any failure to read a stranger's key means that nobody has signed
        return False


def _control_entries(control: Any) -> int:
    """How many things one control message asks for; each costs a lookup or an answer."""
    return (
        sum(1 + len(entry.messageIDs) for entry in control.ihave)
        + sum(1 + len(entry.messageIDs) for entry in control.iwant)
        + len(control.graft)
        + len(control.prune)
    )


def gossipsub() -> GossipSub:
    """The router: heartbeat each second (default 120), limits of our own instead of its silent ten per
    second.

    `degree_high` is above any number of connections, because pruned peers are left out of the mesh *and* of
    IHAVE for a minute. Its scoring stays off: it cannot tell an author from a forwarder, our budgets can.
    """
    return GossipSub(
        protocols=[GOSSIPSUB_PROTOCOL],
        degree=8,
        degree_low=6,
        degree_high=MAX_CONNECTIONS,
        heartbeat_initial_delay=0.5,
        heartbeat_interval=1,
        prune_back_off=2,
        unsubscribe_back_off=2,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        do_px=False,
    )


async def close_connection(connection: INetConn) -> None:
    """Close a connection for good, also one whose peer has stopped reading.

    A polite close writes a farewell first and waits behind a writer that the frozen peer blocks for ever; so
    when it does not end in time the socket goes.
    """
    with trio.move_on_after(CLOSE_SECONDS) as patience:
        await connection.close()
    if not patience.cancelled_caught:
        return
    socket_stream = _socket_of(connection)
    if socket_stream is not None:
        await trio.aclose_forcefully(socket_stream)


def _socket_of(connection: INetConn) -> trio.abc.AsyncResource | None:
    """The TCP stream beneath mux, Noise and framing, by the names that 0.8.1 gives to the layers."""
    layer: Any = connection.muxed_conn
    for _ in range(8):
        if isinstance(layer, trio.SocketStream):
            return layer
        layer = next(
            (
                getattr(layer, name)
                for name in ("secured_conn", "conn", "read_writer", "read_write_closer", "stream")
                if hasattr(layer, name)
            ),
            None,
        )
    return None


async def close_quietly(close: Callable[[], Awaitable[object]]) -> None:
    """Close something that may be broken already, within a second even when we are being cancelled."""
    with trio.move_on_after(CLOSE_SECONDS) as scope:
        scope.shield = True
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - it was to go away; that it had gone is no news
            _log.debug("stream.closed_already", error=repr(error))


@asynccontextmanager
async def closing_host(host: IHost) -> AsyncIterator[None]:
    """Close the host at the end under a shield: leaving `host.run()` by cancellation leaks its sockets."""
    try:
        yield
    finally:
        with trio.move_on_after(5 * CLOSE_SECONDS) as scope:
            scope.shield = True
            await host.close()
