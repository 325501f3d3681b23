"""The libp2p transport: Noise over TCP, yamux, one push stream per operator, gossipsub as the safety net.

`open_host` is the whole life: listening when it is entered, every socket closed when it is left. One task
tends one operator: it connects (the lower peer id dials, the higher one after a while), opens the push
stream, writes until that breaks, and begins again.
"""

import random
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
import trio
from libp2p import new_host
from libp2p.abc import IHost, INetConn, INetStream, INetwork, INotifee
from libp2p.custom_types import TProtocol
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from consensus.errors import Reason, Unavailable
from node.gossip import hardening
from node.gossip.budgets import Budgets, Limits, Rate
from node.gossip.door import Door
from node.gossip.frames import (
    MAX_FRAME_BYTES,
    MAX_SPREAD_BYTES,
    NEWEST_VERSION,
    OLDEST_VERSION,
    to_version_1,
)
from node.gossip.hardening import GuardedPubsub, close_connection, peer_name
from node.gossip.identity import SEED_BYTES, Identity
from node.gossip.push import PUSH_PROTOCOLS, SendQueue, read_frames, write_frames
from node.gossip.redial import Backoff, resolve
from node.gossip.transport import Addresses, Path, PeerId, Received, TransportStatistics

INBOX_PAYLOADS = 2_048
"""An incident's burst by both paths; at 16 KiB each it is 32 MiB at worst."""
JOINED_EVENTS = 256
PUBSUB_QUEUE_HIGH = 24
"""The library drops in silence at 32 waiting frames per peer; we pause below that."""
PUBSUB_PAUSE_SECONDS = 0.002
DIRECT_HEAD_START_SECONDS = 0.03
"""Pubsub costs every node several times what a push does; the pushes of an incident go first."""
PUBSUB_PATIENCE_SECONDS = 0.5
"""How long one frozen peer may hold up the safety net for each message, until its pings are missed."""

_log = structlog.get_logger("gossip")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """How one host listens and how patient it is. Times in seconds.

    Args:
        seed: 32 bytes of the ed25519 identity.
        listen: multiaddr such as /ip4/0.0.0.0/tcp/4001; port 0 takes a free one.
        announce: multiaddrs that peers are told instead of `listen`; empty for none.
        topic: pubsub topic; `room.compute_topic` names the network in it, so that two never mix.
        older_topic: the topic on which peers of wire version 1 are, in their version; empty to leave them
            alone.
        wire_version: the newest that is spoken. 1 makes a peer as it was before version 2, for tests.
        max_payload_bytes: longer payloads are neither sent nor taken.
        max_spread_bytes: the same for what goes by pubsub.
    """

    seed: bytes = field(repr=False)
    listen: str
    topic: str
    older_topic: str = ""
    wire_version: int = NEWEST_VERSION
    max_payload_bytes: int = MAX_FRAME_BYTES
    max_spread_bytes: int = MAX_SPREAD_BYTES
    announce: Addresses = ()
    limits: Limits = field(default_factory=Limits)
    connections: Rate = hardening.CONNECTIONS
    send_queue_payloads: int = 1_024
    send_queue_bytes: int = 1024 * 1024
    pubsub_backlog_payloads: int = 1_024
    dial_seconds: float = 10.0
    redial_first_seconds: float = 1.0
    redial_longest_seconds: float = 60.0
    higher_peer_waits_seconds: float = 5.0
    write_seconds: float = 10.0
    frame_seconds: float = 10.0
    ping_interval_seconds: float = 10.0
    ping_timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise ValueError(f"HostConfig: expected a seed of {SEED_BYTES} bytes, got {len(self.seed)}")
        if self.max_payload_bytes < 1 or self.send_queue_payloads < 1 or self.pubsub_backlog_payloads < 1:
            raise ValueError("HostConfig: expected payload and queue limits of at least 1")
        if not OLDEST_VERSION <= self.wire_version <= NEWEST_VERSION:
            raise ValueError(
                f"HostConfig: expected a wire version from {OLDEST_VERSION} to {NEWEST_VERSION}, "
                f"got {self.wire_version}"
            )

    @property
    def topics(self) -> frozenset[str]:
        """All topics that are served."""
        return frozenset({self.topic, self.older_topic} - {""})


def peer_id_of_seed(seed: bytes) -> PeerId:
    """The peer id that an operator registers for this identity."""
    return Identity(seed).peer_id


def addresses_by_peer(multiaddrs: Iterable[str]) -> dict[PeerId, Addresses]:
    """Group multiaddrs that end in /p2p/<peer id> by that id.

    Raises ValueError for one that is no multiaddr, or names no peer.
    """
    grouped: dict[PeerId, Addresses] = {}
    for text in multiaddrs:
        address, _, peer = text.rpartition("/p2p/")
        try:
            Multiaddr(address)
            peer_id = peer_name(ID.from_string(peer))
        except Exception as error:  # multiaddr and base58 raise trees of their own
            raise ValueError(
                f"expected a multiaddr ending in /p2p/<peer id>, got {text!r}: {error}"
            ) from error
        grouped[peer_id] = (*grouped.get(peer_id, ()), address)
    return grouped


def _is_peer_id(text: str) -> bool:
    """Whether this names a peer. Operators register what they like, which must not stop the others."""
    try:
        return peer_name(ID.from_base58(text)) == text and bool(ID.from_base58(text).extract_public_key())
    except Exception as error:  # noqa: BLE001 - base58, multihash and key parsers each raise in their own way
        _log.warning("peer.id_invalid", peer_id=text, error=repr(error))
        return False


def _version_of(stream: INetStream) -> int:
    """The wire version that a push stream's two ends agreed on."""
    return next(version for version, name in PUSH_PROTOCOLS.items() if name == stream.get_protocol())


@dataclass(slots=True)
class _Link:
    """All that we hold of one registered operator."""

    peer: ID
    addresses: Addresses
    queue: SendQueue
    scope: trio.CancelScope
    is_relay: bool = False
    learned: Addresses = ()  # in the operator's own words, which are newer than our configuration
    came: trio.Event = field(default_factory=trio.Event)  # set when a connection to it appears
    is_open: bool = False
    wire_version: int = NEWEST_VERSION  # what its open stream agreed on
    next_address: int = 0


class Libp2pTransport:
    """A running host; made by `open_host`, and used through `GossipTransport`."""

    def __init__(
        self,
        config: HostConfig,
        *,
        host: IHost,
        nursery: trio.Nursery,
        clock: Callable[[], float],
        jitter: random.Random,
    ) -> None:
        inbox, self._received = trio.open_memory_channel[Received](INBOX_PAYLOADS)
        self._joins, self._joined = trio.open_memory_channel[PeerId](JOINED_EVENTS)
        self._inbox = inbox
        self._config = config
        self._host = host
        self._swarm = cast(Swarm, host.get_network())
        self._nursery = nursery
        self._jitter = jitter
        self._links: dict[PeerId, _Link] = {}
        self._sent_direct = 0
        self._sent_pubsub = 0
        self.door = Door(
            max_payload_bytes=config.max_payload_bytes,
            budgets=Budgets(config.limits, clock),
            inbox=inbox,
            on_ban=self._on_ban,
        )
        self._backlog = SendQueue(
            max_payloads=config.pubsub_backlog_payloads,
            max_bytes=config.pubsub_backlog_payloads * config.max_spread_bytes,
            on_drop=lambda: self.door.count(Reason.PUBSUB_BACKLOG_FULL),
        )
        self._spreading = trio.CancelScope()
        self._reading: dict[PeerId, INetStream] = {}
        self.router = hardening.gossipsub()
        self.pubsub = GuardedPubsub(
            host, self.router, topics=config.topics, max_payload_bytes=config.max_spread_bytes, door=self.door
        )
        hardening.leave_dialing_to_us(self._swarm)
        hardening.admit_only(self._swarm, self.door)
        hardening.plug_inbound_leak(self._swarm, self.door, config.connections)
        hardening.guard_streams(self._swarm, self.door)
        for protocol in self._protocols:
            host.set_stream_handler(protocol, self._on_push_stream)
        self._swarm.register_notifee(_Watch(self))

    # --- GossipTransport

    @property
    def peer_id(self) -> PeerId:
        return peer_name(self._host.get_id())

    @property
    def received(self) -> trio.MemoryReceiveChannel[Received]:
        return self._received

    @property
    def joined(self) -> trio.MemoryReceiveChannel[PeerId]:
        return self._joined

    @property
    def listening_on(self) -> Addresses:
        """The addresses that are really listened on, the port filled in."""
        return tuple(str(address) for address in self._host.get_transport_addrs())

    @property
    def connected(self) -> tuple[PeerId, ...]:
        return self._open_links(are_relays=False)

    async def publish(self, payload: bytes) -> None:
        self._require_sendable(payload, self._config.max_spread_bytes)
        for link in self._links.values():
            if not link.is_relay:
                self._enqueue(link, payload)
        self._backlog.put_nowait(payload)
        await trio.lowlevel.checkpoint()

    async def push(self, peer_id: PeerId, payload: bytes) -> None:
        self._require_sendable(payload, self._config.max_payload_bytes)
        link = self._links.get(peer_id)
        if link is None:
            self.door.count(Reason.UNREGISTERED_PEER)
        else:
            self._enqueue(link, payload)
        await trio.lowlevel.checkpoint()

    def learn(self, peer_id: PeerId, addresses: Addresses) -> None:
        link = self._links.get(peer_id)
        if link is not None and link.learned != addresses:
            link.learned = addresses
            link.next_address = 0
            link.came.set()  # whoever waits to dial again dials now, where nobody could be dialed before

    async def register(
        self, peers: Mapping[PeerId, Addresses], *, relays: frozenset[PeerId] = frozenset()
    ) -> None:
        wanted = {
            peer_id: addresses
            for peer_id, addresses in (dict.fromkeys(relays, ()) | dict(peers)).items()
            if peer_id != self.peer_id and _is_peer_id(peer_id)
        }
        self.door.register([*wanted, self.peer_id])
        for peer_id in self._links.keys() - wanted.keys():
            self._links.pop(peer_id).scope.cancel()
            self._nursery.start_soon(self._disconnect, ID.from_base58(peer_id))
        for peer_id, addresses in wanted.items():
            link = self._links.get(peer_id)
            if link is not None:
                link.addresses, link.is_relay = addresses, peer_id not in peers
                continue
            link = self._links[peer_id] = _Link(
                peer=ID.from_base58(peer_id),
                addresses=addresses,
                queue=SendQueue(
                    max_payloads=self._config.send_queue_payloads,
                    max_bytes=self._config.send_queue_bytes,
                    on_drop=lambda: self.door.count(Reason.SEND_QUEUE_FULL),
                ),
                scope=trio.CancelScope(),
                is_relay=peer_id not in peers,
            )
            self._nursery.start_soon(self._tend, link)
        await trio.lowlevel.checkpoint()

    async def strike(self, peer_id: PeerId, points: int, *, reason: Reason) -> None:
        self.door.strike(peer_id, points, reason=reason)
        await trio.lowlevel.checkpoint()

    def charge_verification(self, peer_id: PeerId, microseconds: int) -> bool:
        return self.door.charge_verification(peer_id, microseconds)

    def statistics(self) -> TransportStatistics:
        return TransportStatistics(
            registered=sum(not link.is_relay for link in self._links.values()),
            connected=self.connected,
            older=tuple(
                peer_id for peer_id in self.connected if self._links[peer_id].wire_version < NEWEST_VERSION
            ),
            relays=self._open_links(are_relays=True),
            banned=self.door.banned(),
            sent_direct=self._sent_direct,
            sent_pubsub=self._sent_pubsub,
            received_direct=self.door.accepted(Path.DIRECT),
            received_pubsub=self.door.accepted(Path.PUBSUB),
            send_backlog=sum(len(link.queue) for link in self._links.values()) + len(self._backlog),
            inbox_backlog=self._inbox.statistics().current_buffer_used,
            drops=self.door.drops,
        )

    def stop_tending(self) -> None:
        """Redial nobody and send nothing more, as the host closes."""
        self._spreading.cancel()
        for link in self._links.values():
            link.scope.cancel()

    # --- pushing

    def _open_links(self, *, are_relays: bool) -> tuple[PeerId, ...]:
        return tuple(
            sorted(
                peer_id
                for peer_id, link in self._links.items()
                if link.is_open and link.is_relay is are_relays
            )
        )

    @property
    def _protocols(self) -> list[TProtocol]:
        """The push protocols that are spoken, the one we prefer first."""
        return [name for version, name in PUSH_PROTOCOLS.items() if version <= self._config.wire_version]

    def _require_sendable(self, payload: bytes, limit: int) -> None:
        if not 0 < len(payload) <= limit:
            raise ValueError(
                f"expected a payload of 1 to {limit} bytes, got {len(payload)}; "
                f"peers refuse it, so it must not be sent"
            )

    def _enqueue(self, link: _Link, payload: bytes) -> None:
        if not link.is_open:
            self.door.count(Reason.NOT_CONNECTED)
            return
        spoken = to_version_1(payload) if link.wire_version < NEWEST_VERSION else payload
        if spoken is None:
            self.door.count(Reason.NOT_IN_ITS_VERSION)
            return
        link.queue.put_nowait(spoken)
        self._sent_direct += 1

    async def _tend(self, link: _Link) -> None:
        """Keep one operator connected and its push stream open, until it leaves the set."""
        backoff = Backoff(
            first_seconds=self._config.redial_first_seconds,
            longest_seconds=self._config.redial_longest_seconds,
            jitter=self._jitter,
        )
        with link.scope:
            if self._dials_second(link):
                await self._wait_for_connection(link, self._config.higher_peer_waits_seconds)
            while True:
                if self._is_connected(link) or await self._dial(link):
                    began = trio.current_time()
                    await self._push_over_one_stream(link)
                    if trio.current_time() - began >= self._config.redial_first_seconds:
                        backoff.reset()
                        if self._dials_second(link):
                            await self._wait_for_connection(link, self._config.higher_peer_waits_seconds)
                await self._wait_for_connection(link, backoff.next_seconds())

    def _dials_second(self, link: _Link) -> bool:
        """The lower peer id dials, so that dials do not cross; the higher one steps in when that fails."""
        return peer_name(link.peer) < self.peer_id

    def _is_connected(self, link: _Link) -> bool:
        return any(not connection.is_closed for connection in self._swarm.get_connections(link.peer))

    async def _wait_for_connection(self, link: _Link, seconds: float) -> None:
        link.came = trio.Event()
        with trio.move_on_after(seconds):
            await link.came.wait()

    async def _dial(self, link: _Link) -> bool:
        """Try one address of the operator, the next one next time."""
        known = (*link.learned, *(each for each in link.addresses if each not in link.learned))
        if not known or not self.door.is_welcome(peer_name(link.peer)):
            return False
        address = known[link.next_address % len(known)]
        link.next_address += 1
        # After one failure the library refuses to dial for a minute, and it prefers addresses that peers told
        # it.
        self._swarm._negative_peer_cache.evict(str(link.peer))
        self._host.get_peerstore().clear_addrs(link.peer)
        try:
            with trio.fail_after(self._config.dial_seconds):
                await self._host.connect(PeerInfo(link.peer, [Multiaddr(await resolve(address))]))
        except Exception as error:  # noqa: BLE001 - each way for a dial to fail has the same answer: later again
            _log.debug("peer.dial_failed", peer_id=peer_name(link.peer), error=repr(error))
            return False
        return True

    async def _push_over_one_stream(self, link: _Link) -> None:
        """Open the push stream and write until it breaks; a peer that takes nothing loses its connection."""
        peer_id = peer_name(link.peer)
        try:
            with trio.fail_after(self._config.dial_seconds):
                stream = await self._host.new_stream(link.peer, self._protocols)
            try:
                link.queue.clear()
                link.wire_version = _version_of(stream)
                link.is_open = True
                self._tell_joined(peer_id)
                await self._write_until_broken(stream, link)
            finally:
                link.is_open = False
                await hardening.close_quietly(stream.reset)
        except trio.TooSlowError:
            _log.info("peer.frozen", peer_id=peer_id)
            await self._disconnect(link.peer)
        except Exception as error:  # noqa: BLE001 - a broken stream is opened anew, whatever broke it
            _log.debug("peer.stream_broken", peer_id=peer_id, error=repr(error))

    async def _write_until_broken(self, stream: INetStream, link: _Link) -> None:
        """Write, and watch for the peer's reset: an idle writer would not notice that its stream is gone."""

        async def watch(ended: trio.CancelScope) -> None:
            try:
                await stream.read(1)
            except Exception as error:  # noqa: BLE001 - every end of the stream is the same news
                _log.debug("peer.stream_ended", peer_id=peer_name(link.peer), error=repr(error))
            ended.cancel()

        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            try:
                await write_frames(stream, link.queue, timeout_seconds=self._config.write_seconds)
            except Exception as error:  # noqa: BLE001 - raised below, outside the nursery, so that it stays bare
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _tell_joined(self, peer_id: PeerId) -> None:
        _log.info("peer.joined", peer_id=peer_id)
        try:
            self._joins.send_nowait(peer_id)
        except trio.WouldBlock:
            # Nobody listens just now: what is open is published again every few seconds anyway.
            _log.debug("peer.joined_unheard", peer_id=peer_id)

    async def _on_push_stream(self, stream: INetStream) -> None:
        """Read a peer's push stream; a peer has one, so a newer stream replaces the older."""
        peer_id = peer_name(stream.muxed_conn.peer_id)
        earlier, self._reading[peer_id] = self._reading.get(peer_id), stream
        if earlier is not None:
            await hardening.close_quietly(earlier.reset)
        try:
            await read_frames(
                stream, peer_id=peer_id, door=self.door, timeout_seconds=self._config.frame_seconds
            )
        finally:
            if self._reading.get(peer_id) is stream:
                del self._reading[peer_id]
            await hardening.close_quietly(stream.reset)

    # --- pubsub

    async def spread(self) -> None:
        """Publish the backlog by pubsub, no faster than the peers' queues drain."""
        with self._spreading:
            await self._spread()

    async def _spread(self) -> None:
        while True:
            was_idle = not len(self._backlog)
            payload = await self._backlog.take()
            if was_idle:
                await trio.sleep(DIRECT_HEAD_START_SECONDS)
            with trio.move_on_after(PUBSUB_PATIENCE_SECONDS):
                while self._pubsub_is_behind():  # noqa: ASYNC110 - the library tells nobody when a queue drains
                    await trio.sleep(PUBSUB_PAUSE_SECONDS)
            for topic, spoken in self._spoken_by_topic(payload):
                try:
                    await self.pubsub.publish(topic, spoken)
                    self._sent_pubsub += 1
                except Exception as error:  # noqa: BLE001 - the safety net may tear; direct push does not depend on it
                    self.door.count(Reason.CRASHED_HANDLER)
                    _log.warning("pubsub.publish_failed", error=repr(error))

    def _spoken_by_topic(self, payload: bytes) -> Iterator[tuple[str, bytes]]:
        """On which topics a payload goes out, in which version: the older one costs only while somebody needs
        it.
        """
        older = to_version_1(payload)
        if self._config.wire_version < NEWEST_VERSION:
            if older is not None:
                yield self._config.topic, older
            return
        yield self._config.topic, payload
        on_older = self.pubsub.peer_topics.get(self._config.older_topic, set())
        if older is not None and on_older - self.pubsub.peer_topics.get(self._config.topic, set()):
            yield self._config.older_topic, older

    def _pubsub_is_behind(self) -> bool:
        return any(len(queue) > PUBSUB_QUEUE_HIGH for queue in self.pubsub.peer_queues.values())

    # --- connections

    def on_connected(self, connection: INetConn) -> None:
        """The newest connection to a peer is the one: an older one may be dead without knowing."""
        peer = connection.muxed_conn.peer_id
        older = [other for other in self._swarm.get_connections(peer) if other is not connection]
        for other in older:
            self._nursery.start_soon(close_connection, other)
        self.pubsub.forget_streams_beside(connection)
        link = self._links.get(peer_name(peer))
        if link is not None:
            link.came.set()

    def _on_ban(self, peer_id: PeerId) -> None:
        self._nursery.start_soon(self._disconnect, ID.from_base58(peer_id))

    async def _disconnect(self, peer: ID) -> None:
        for connection in list(self._swarm.get_connections(peer)):
            await close_connection(connection)


class _Watch(INotifee):
    """Tells the transport of new connections; libp2p asks for the other five methods too."""

    def __init__(self, transport: Libp2pTransport) -> None:
        self._transport = transport

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self._transport.on_connected(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """The push stream's end is what `_tend` goes by."""

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Not needed."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Not needed."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Not needed."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Not needed."""


@asynccontextmanager
async def open_host(
    config: HostConfig, *, clock: Callable[[], float] = trio.current_time, jitter: random.Random | None = None
) -> AsyncIterator[Libp2pTransport]:
    """Listen, and keep up the connections that `register` asks for, until the block is left.

    Raises:
        Broken: another libp2p than the audited one is installed.
        Unavailable: the address cannot be listened on.
    """
    hardening.require_audited_version()
    hardening.quiet_library()
    _require_free(config.listen)
    key_pair = Identity(config.seed).key_pair
    host: Any = new_host(
        key_pair=key_pair,
        sec_opt=hardening.noise_only(key_pair),
        muxer_opt=hardening.yamux_only(),
        connection_config=hardening.connection_config(
            ping_interval_seconds=config.ping_interval_seconds,
            ping_timeout_seconds=config.ping_timeout_seconds,
        ),
        resource_manager=hardening.resource_manager(),
        announce_addrs=[Multiaddr(address) for address in config.announce] or None,
        disable_identify_address_discovery=True,
    )
    async with trio.open_nursery() as nursery:
        transport = Libp2pTransport(
            config, host=host, nursery=nursery, clock=clock, jitter=jitter or random.Random()
        )
        async with (
            host.run(listen_addrs=[Multiaddr(config.listen)]),
            hardening.closing_host(host),
            background_trio_service(transport.router),
            background_trio_service(transport.pubsub),
        ):
            if not transport.listening_on:
                raise Unavailable(
                    f"cannot listen on {config.listen}; choose another address or free this one"
                )
            await transport.pubsub.wait_until_ready()
            for topic in sorted(config.topics):
                await transport.pubsub.subscribe(topic)
            nursery.start_soon(transport.spread)
            _log.info("host.listening", peer_id=transport.peer_id, addresses=transport.listening_on)
            try:
                yield transport
            finally:
                # Not the nursery's scope: what awaits on the way out would raise Cancelled in place of the
                # block's own error, and the nursery would swallow both.
                transport.stop_tending()
        nursery.cancel_scope.cancel()


def _require_free(listen: str) -> None:
    """Refuse a port that another process has: libp2p listens with SO_REUSEPORT, and two nodes would share it.

    Raises Unavailable.
    """
    address = Multiaddr(listen)
    port = int(address.value_for_protocol("tcp") or 0)
    protocols = {protocol.name for protocol in address.protocols()}
    family, name = (socket.AF_INET6, "ip6") if "ip6" in protocols else (socket.AF_INET, "ip4")
    if port == 0:
        return
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.value_for_protocol(name), port))
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {listen}: {error}. Another process has the port; stop it or choose another"
            ) from error
