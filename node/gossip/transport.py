"""The types of this room, and the one door to whatever carries bytes between operators.

`GossipTransport` is all that the room knows of libp2p: the quorum logic runs over the in-memory twin
(`node.gossip.memory`) under a clock that tests can jump, and a better transport can take libp2p's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

import trio

from consensus.errors import Reason

PeerId = NewType("PeerId", str)
"""An operator's libp2p peer id in its base58 form, as registered on chain."""

Addresses = tuple[str, ...]
"""Multiaddrs under which a peer can be dialed, without /p2p/…; none when only the peer can dial us."""


class Path(StrEnum):
    """By which way a payload came."""

    DIRECT = "direct"
    PUBSUB = "pubsub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Opaque bytes from a registered operator that has paid for them.

    `peer_id` is who answers for the payload: the other end of the stream (direct), or the author that signed
    the message (pubsub). Both were proven before this value was built.
    """

    peer_id: PeerId
    payload: bytes
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStatistics:
    """What the transport did since it started; `drops` holds only reasons that occurred.

    `older` are the connected operators that speak an older wire version than this build, `relays` the
    connected peers that only pull.
    """

    registered: int
    connected: tuple[PeerId, ...]
    older: tuple[PeerId, ...]
    relays: tuple[PeerId, ...]
    banned: tuple[PeerId, ...]
    sent_direct: int
    sent_pubsub: int
    received_direct: int
    received_pubsub: int
    send_backlog: int
    inbox_backlog: int
    drops: Mapping[Reason, int]


class GossipTransport(Protocol):
    """Bytes to all operators, and theirs to us. Delivery is likely, never promised."""

    @property
    def peer_id(self) -> PeerId: ...

    @property
    def received(self) -> trio.MemoryReceiveChannel[Received]:
        """What came in, by either path; the same payload usually comes by both."""
        ...

    @property
    def joined(self) -> trio.MemoryReceiveChannel[PeerId]:
        """Peers that can be pushed to from now on; each time that one (re)connects."""
        ...

    @property
    def connected(self) -> tuple[PeerId, ...]:
        """The operators that can be pushed to now, in order of their ids."""
        ...

    async def publish(self, payload: bytes) -> None:
        """Push to every connected operator, and spread by pubsub for the others. Does not wait for peers.

        A peer that speaks only wire version 1 gets the payload in that version, or not at all.

        Raises ValueError for a payload above the transport's limit: our own mistake, not a peer's.
        """
        ...

    async def push(self, peer_id: PeerId, payload: bytes) -> None:
        """Push to this operator alone, when it is connected."""
        ...

    async def register(
        self, peers: Mapping[PeerId, Addresses], *, relays: frozenset[PeerId] = frozenset()
    ) -> None:
        """Replace the set of operators that are let in; those that left are disconnected.

        `relays` are let in beside them, to pull: they are pushed to when they ask, and are in no `connected`.
        """
        ...

    def learn(self, peer_id: PeerId, addresses: Addresses) -> None:
        """Where a registered peer can be dialed, in its own words: tried before what `register` said."""
        ...

    async def strike(self, peer_id: PeerId, points: int, *, reason: Reason) -> None:
        """Count a fault that only the caller could see; enough of them ban the peer for a time."""
        ...

    def charge_verification(self, peer_id: PeerId, microseconds: int) -> bool:
        """Charge the time that checking what this peer sent will take; False: it has none left, so do not."""
        ...

    def statistics(self) -> TransportStatistics: ...
