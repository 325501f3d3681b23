"""Operators tell one another where they are: one bootstrap that is up is enough to find all the others.

Our own addresses are announced when we start, to each peer that connects, and every ten minutes; what others
announced is passed on to each peer that connects. Who passes on a forgery pays: it could have looked.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog
import trio

from consensus.errors import Reason, Refused
from consensus.types import NetworkId
from node.gossip.addresses import AddressBook, Announcement, announce, encode_announcement, require_signed
from node.gossip.frames import Kind
from node.gossip.identity import Identity
from node.gossip.transport import Addresses, PeerId, Received

REPEAT_SECONDS = 600.0
MAX_SEQUENCE = 2**64 - 1

_log = structlog.get_logger("gossip")


class AddressExchange:
    """One node's part in it.

    Args:
        identity: signs our own announcement.
        network_id: announcements for another network are refused.
        addresses: ours; none where nobody can dial us, and then nothing is announced.
        sequence: the first number of our announcements: higher than in any run before, such as the unix time
            in milliseconds.
        publish: tells every operator.
        push: tells one.
        learn: where a peer can be dialed from now on.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        network_id: NetworkId,
        addresses: Addresses,
        sequence: int,
        publish: Callable[[Kind, bytes], Awaitable[None]],
        push: Callable[[PeerId, Kind, bytes], Awaitable[None]],
        learn: Callable[[PeerId, Addresses], None],
    ) -> None:
        self._identity = identity
        self._network_id = network_id
        self._addresses = addresses
        self._sequence = sequence
        self._publish = publish
        self._push = push
        self._learn = learn
        self._book = AddressBook()

    def keep_only(self, members: Iterable[PeerId]) -> None:
        """Whose announcements count."""
        self._book.keep_only(members)

    async def run(self) -> None:
        """Announce until cancelled."""
        while True:
            await self._announce()
            await trio.sleep(REPEAT_SECONDS)

    async def greet(self, peer_id: PeerId) -> None:
        """Tell a peer that has just connected what we know, ourselves first."""
        for each in (*self._own(), *self._book.all()):
            if each.peer_id != peer_id:
                await self._push(peer_id, Kind.ADDRESS, encode_announcement(each))

    async def take(self, announcement: Announcement, _received: Received) -> None:
        """Keep what is newer. Raises Refused."""
        if announcement.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this is network {self._network_id.hex()}, came {announcement.network_id.hex()}",
            )
        if announcement.peer_id == self._identity.peer_id:
            await self._outbid(announcement)
        elif self._book.take(announcement):
            _log.info("peer.moved", peer_id=announcement.peer_id, addresses=announcement.addresses)
            self._learn(announcement.peer_id, announcement.addresses)

    async def _outbid(self, announcement: Announcement) -> None:
        """Another announcement of ours is about, from a clock that was ahead: go beyond its number."""
        is_ours_of_now = (announcement.sequence, announcement.addresses) == (self._sequence, self._addresses)
        if announcement.sequence < self._sequence or is_ours_of_now:
            return
        require_signed(announcement)
        if announcement.sequence < MAX_SEQUENCE:
            self._sequence = announcement.sequence + 1
            await self._announce()

    async def _announce(self) -> None:
        for each in self._own():
            await self._publish(Kind.ADDRESS, encode_announcement(each))

    def _own(self) -> tuple[Announcement, ...]:
        if not self._addresses:
            return ()
        return (
            announce(self._identity, self._network_id, sequence=self._sequence, addresses=self._addresses),
        )
