"""A TCP proxy between two peers that can be slow, lossy, cut or silent.

Two hosts on one machine have no network between them that could fail; here is one, without rights and on any
kernel. What is lost on TCP is sent again: to those who use it, loss is a pause and nothing else.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from enum import Enum

import trio

CHUNK_BYTES = 65_536
CHUNKS_IN_FLIGHT = 64  # 4 MiB each way: more than a second of anything a watcher says
RETRANSMISSION_SECONDS = 0.2
DRAWN_LOSSES = 5  # of one chunk in a row, at most


class State(Enum):
    """What a link does with bytes."""

    OPEN = "open"
    SILENT = "silent"
    """Connections stay and nothing comes through: a cable is out."""
    CUT = "cut"
    """Connections break and none is taken: the other side is known to be gone."""


class Link:
    """One direction of dialing: `port` leads to `target_port`, both on loopback."""

    def __init__(self, *, target_port: int, chance: random.Random) -> None:
        self.port = 0
        self.latency_seconds = 0.0
        self.loss_percent = 0
        self._target_port = target_port
        self._chance = chance
        self._state = State.OPEN
        self._opened = trio.Event()
        self._opened.set()
        self._connections: set[trio.CancelScope] = set()

    def open(self) -> None:
        """Let everything through; what waited comes now."""
        self._state = State.OPEN
        self._opened.set()

    def silence(self) -> None:
        """Let nothing through, and tell nobody."""
        self._state = State.SILENT
        self._opened = trio.Event()

    def cut(self) -> None:
        """Break what is connected and take nothing new."""
        self._state = State.CUT
        self._opened.set()
        for scope in tuple(self._connections):
            scope.cancel()

    async def serve(self, near: trio.SocketStream) -> None:
        """One connection through the link."""
        if self._state is State.CUT:
            await trio.aclose_forcefully(near)
            return
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                async with (
                    near,
                    await trio.open_tcp_stream("127.0.0.1", self._target_port) as far,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._carry, near, far, scope)
                    nursery.start_soon(self._carry, far, near, scope)
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # an end is gone: so is the link
            finally:
                self._connections.discard(scope)

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        chunks_in, chunks = trio.open_memory_channel[tuple[float, bytes]](CHUNKS_IN_FLIGHT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, chunks, sink)
            async with chunks_in:
                while data := await source.receive_some(CHUNK_BYTES):
                    await chunks_in.send((trio.current_time() + self._draw_delay(), data))
        scope.cancel()

    async def _deliver(
        self, chunks: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream
    ) -> None:
        async for due, data in chunks:
            await trio.sleep_until(due)
            await self._opened.wait()
            await sink.send_all(data)

    def _draw_delay(self) -> float:
        """The latency, and for each time in a row that the chunk is lost the pause until it is sent again."""
        losses = 0
        while losses < DRAWN_LOSSES and self._chance.randrange(100) < self.loss_percent:
            losses += 1
        return self.latency_seconds + RETRANSMISSION_SECONDS * (math.pow(2, losses) - 1)


async def open_links(
    nursery: trio.Nursery, wanted: Mapping[tuple[str, str], int], seed: int
) -> dict[tuple[str, str], Link]:
    """A link for each (who dials, who is dialed), to that port, for as long as the nursery lives."""
    links = {}
    for (dialing, dialed), port in wanted.items():
        link = Link(target_port=port, chance=random.Random(f"{seed}/{dialing}/{dialed}"))
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        link.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, link.serve, [listener])
        links[dialing, dialed] = link
    return links
