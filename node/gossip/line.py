"""One kind of frame as a value: told to one or to all, and taken from others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from node.gossip.frames import Kind
from node.gossip.room import GossipRoom
from node.gossip.transport import PeerId, Received

T = TypeVar("T")


class Line(Generic[T]):
    """A kind with its codec, over one room."""

    def __init__(
        self, room: GossipRoom, kind: Kind, *, encode: Callable[[T], bytes], decode: Callable[[bytes], T]
    ) -> None:
        self._room = room
        self._kind = kind
        self._encode = encode
        self._decode = decode

    async def tell_all(self, value: T) -> None:
        """Tell every operator once."""
        await self._room.publish(self._kind, self._encode(value))

    async def tell(self, peer_id: str, value: T) -> None:
        """Tell one operator, when it is connected."""
        await self._room.push(PeerId(peer_id), self._kind, self._encode(value))

    def listen(self, take: Callable[[T, str], Awaitable[None]]) -> None:
        """Hand what comes to `take`, with the peer that answers for it; once, before the room runs."""

        async def take_received(value: T, received: Received) -> None:
            await take(value, received.peer_id)

        self._room.serve(self._kind, decode=self._decode, take=take_received)
