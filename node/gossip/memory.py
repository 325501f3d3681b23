"""The in-memory twin of the libp2p transport, for tests under a clock that jumps.

One `MemoryNetwork` stands for the internet between some operators. Loss and partitions are injected as plain
functions of who sends to whom by which path, so that a test states them and a run repeats. Every payload
passes the same `Door` as over libp2p: size, registration, budgets and bans behave alike.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import trio

from consensus.errors import Reason
from node.gossip.budgets import Budgets, Limits
from node.gossip.door import Door
from node.gossip.frames import MAX_FRAME_BYTES, NEWEST_VERSION, to_version_1
from node.gossip.transport import Addresses, Path, PeerId, Received, TransportStatistics

Loses = Callable[[PeerId, PeerId, Path], bool]
"""Whether a payload from the first peer to the second by this path gets lost."""


def _loses_nothing(_sender: PeerId, _receiver: PeerId, _path: Path) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """The bounds of each transport in a network."""

    max_payload_bytes: int = MAX_FRAME_BYTES
    inbox_payloads: int = 2_048
    limits: Limits = field(default_factory=Limits)


class MemoryNetwork:
    """Joins transports that live in one process; delivery is immediate and in order."""

    def __init__(self, config: MemoryConfig | None = None, *, loses: Loses = _loses_nothing) -> None:
        self.config = config or MemoryConfig()
        self.loses = loses
        self._transports: dict[PeerId, MemoryTransport] = {}
        self._cut: set[frozenset[PeerId]] = set()
        self._stopped: set[PeerId] = set()

    def transport(
        self,
        peer_id: PeerId,
        *,
        clock: Callable[[], float] = trio.current_time,
        wire_version: int = NEWEST_VERSION,
    ) -> "MemoryTransport":
        """A new transport of this peer; it takes the place of an earlier one (a restart)."""
        made = self._transports[peer_id] = MemoryTransport(
            self, peer_id, clock=clock, wire_version=wire_version
        )
        self._stopped.discard(peer_id)
        return made

    def cut(self, first: PeerId, second: PeerId) -> None:
        """Part two peers, in both directions."""
        self._cut.add(frozenset((first, second)))

    def heal(self, first: PeerId, second: PeerId) -> None:
        """Join two parted peers; both are told, as after a redial."""
        self._cut.discard(frozenset((first, second)))
        self.announce(first, second)

    def stop(self, peer_id: PeerId) -> None:
        """Take a peer off the network until it is given a new transport."""
        self._stopped.add(peer_id)

    def between(self, first: PeerId, second: PeerId) -> "MemoryTransport | None":
        """The second's transport, when both are up, know each other and nothing parts them."""
        ours, theirs = self._transports.get(first), self._transports.get(second)
        if ours is None or theirs is None or first == second or {first, second} & self._stopped:
            return None
        if frozenset((first, second)) in self._cut:
            return None
        if not (ours.door.is_welcome(second) and theirs.door.is_welcome(first)):
            return None
        return theirs

    def wire_version(self, peer_id: PeerId) -> int:
        """The newest version that this peer speaks."""
        return self._transports[peer_id].wire_version

    def announce(self, first: PeerId, second: PeerId) -> None:
        """Tell both that they are connected, when they are."""
        for here, there in ((first, second), (second, first)):
            if self.between(here, there) is not None:
                self._transports[here].tell_joined(there)


class MemoryTransport:
    """One peer's side of a `MemoryNetwork`; a `GossipTransport`."""

    def __init__(
        self, network: MemoryNetwork, peer_id: PeerId, *, clock: Callable[[], float], wire_version: int
    ) -> None:
        self._network = network
        self.wire_version = wire_version
        self._peer_id = peer_id
        self._inbox, self._received = trio.open_memory_channel[Received](network.config.inbox_payloads)
        self._joins, self._joined = trio.open_memory_channel[PeerId](network.config.inbox_payloads)
        self._sent: dict[Path, int] = dict.fromkeys(Path, 0)
        self._relays: frozenset[PeerId] = frozenset()
        self.learned: dict[PeerId, Addresses] = {}
        self.door = Door(
            max_payload_bytes=network.config.max_payload_bytes,
            budgets=Budgets(network.config.limits, clock),
            inbox=self._inbox,
            on_ban=lambda _peer_id: None,  # `between` asks the door each time: a banned peer is cut at once
        )

    @property
    def peer_id(self) -> PeerId:
        return self._peer_id

    @property
    def received(self) -> trio.MemoryReceiveChannel[Received]:
        return self._received

    @property
    def joined(self) -> trio.MemoryReceiveChannel[PeerId]:
        return self._joined

    @property
    def connected(self) -> tuple[PeerId, ...]:
        return self._reached(self.door.registered - {self._peer_id} - self._relays)

    def _reached(self, peers: Iterable[PeerId]) -> tuple[PeerId, ...]:
        return tuple(peer for peer in sorted(peers) if self._network.between(self._peer_id, peer) is not None)

    async def publish(self, payload: bytes) -> None:
        self._require_sendable(payload)
        for peer_id in sorted(self.door.registered - {self._peer_id}):
            for path in (Path.PUBSUB,) if peer_id in self._relays else Path:
                self._deliver(peer_id, payload, path)
        await trio.lowlevel.checkpoint()

    async def push(self, peer_id: PeerId, payload: bytes) -> None:
        self._require_sendable(payload)
        self._deliver(peer_id, payload, Path.DIRECT)
        await trio.lowlevel.checkpoint()

    async def register(
        self, peers: Mapping[PeerId, Addresses], *, relays: frozenset[PeerId] = frozenset()
    ) -> None:
        new = (peers.keys() | relays) - self.door.registered
        self._relays = relays - peers.keys()
        self.door.register([*peers, *relays, self._peer_id])
        for peer_id in sorted(new):
            self._network.announce(self._peer_id, peer_id)
        await trio.lowlevel.checkpoint()

    def learn(self, peer_id: PeerId, addresses: Addresses) -> None:
        self.learned[peer_id] = addresses

    async def strike(self, peer_id: PeerId, points: int, *, reason: Reason) -> None:
        self.door.strike(peer_id, points, reason=reason)
        await trio.lowlevel.checkpoint()

    def charge_verification(self, peer_id: PeerId, microseconds: int) -> bool:
        return self.door.charge_verification(peer_id, microseconds)

    def statistics(self) -> TransportStatistics:
        return TransportStatistics(
            registered=len(self.door.registered - {self._peer_id} - self._relays),
            connected=self.connected,
            older=tuple(peer for peer in self.connected if self._network.wire_version(peer) < NEWEST_VERSION),
            relays=self._reached(self._relays),
            banned=self.door.banned(),
            sent_direct=self._sent[Path.DIRECT],
            sent_pubsub=self._sent[Path.PUBSUB],
            received_direct=self.door.accepted(Path.DIRECT),
            received_pubsub=self.door.accepted(Path.PUBSUB),
            send_backlog=0,
            inbox_backlog=self._inbox.statistics().current_buffer_used,
            drops=self.door.drops,
        )

    def tell_joined(self, peer_id: PeerId) -> None:
        self._joins.send_nowait(peer_id)

    def _require_sendable(self, payload: bytes) -> None:
        limit = self._network.config.max_payload_bytes
        if not 0 < len(payload) <= limit:
            raise ValueError(f"expected a payload of 1 to {limit} bytes, got {len(payload)}")

    def _deliver(self, peer_id: PeerId, payload: bytes, path: Path) -> None:
        receiver = self._network.between(self._peer_id, peer_id)
        if receiver is None:
            self.door.count(Reason.NOT_CONNECTED)
            return
        is_older = min(self.wire_version, receiver.wire_version) < NEWEST_VERSION
        spoken = to_version_1(payload) if is_older else payload
        if spoken is None:
            self.door.count(Reason.NOT_IN_ITS_VERSION)
            return
        self._sent[path] += 1
        if not self._network.loses(self._peer_id, peer_id, path):
            receiver.door.take(peer_id=self._peer_id, payload=spoken, path=path)
