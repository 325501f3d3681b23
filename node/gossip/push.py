"""Direct push: one long-lived stream to each operator, u32 length and payload, frame after frame.

The stream goes one way: who opens it writes, who accepts it reads. A frame's length is checked before its
bytes are read, a begun frame must be finished in time, and what a slow peer has not taken stays in a bounded
queue whose oldest payload gives way: in an incident the newest attestation matters most.
"""

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol

from consensus.errors import Reason
from node.gossip.door import Door
from node.gossip.hardening import BufferedReader
from node.gossip.transport import Path, PeerId

PUSH_PROTOCOLS: Mapping[int, TProtocol] = MappingProxyType(
    {2: TProtocol("/tocsin/push/2"), 1: TProtocol("/tocsin/attest/1")}
)
"""By wire version, the newest first: what two peers agree on when a stream is opened is what they speak."""
LENGTH_BYTES = 4
BATCH_BYTES = 64 * 1024
"""Frames that wait together leave in one write: Noise and yamux cost per write, not per byte."""


class SendQueue:
    """Payloads that wait for one writer; when full, the oldest give way and are counted."""

    def __init__(self, *, max_payloads: int, max_bytes: int, on_drop: Callable[[], None]) -> None:
        self._payloads: deque[bytes] = deque()
        self._size_bytes = 0
        self._max_payloads = max_payloads
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._payloads)

    def put_nowait(self, payload: bytes) -> None:
        while self._payloads and (
            len(self._payloads) >= self._max_payloads or self._size_bytes + len(payload) > self._max_bytes
        ):
            self._pop()
            self._on_drop()
        self._payloads.append(payload)
        self._size_bytes += len(payload)
        self._filled.set()

    def clear(self) -> None:
        self._payloads.clear()
        self._size_bytes = 0

    async def take(self) -> bytes:
        """The oldest payload; waits for one."""
        while not self._payloads:
            self._filled = trio.Event()
            await self._filled.wait()
        return self._pop()

    async def take_batch(self, max_bytes: int) -> list[bytes]:
        """The oldest payload and those behind it that fit into `max_bytes` with it; waits for the first."""
        batch = [await self.take()]
        size_bytes = len(batch[0])
        while self._payloads and size_bytes + len(self._payloads[0]) <= max_bytes:
            batch.append(self._pop())
            size_bytes += len(batch[-1])
        return batch

    def _pop(self) -> bytes:
        payload = self._payloads.popleft()
        self._size_bytes -= len(payload)
        return payload


def encode_frame(payload: bytes) -> bytes:
    """u32 big-endian length, then the payload."""
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


async def write_frames(stream: INetStream, queue: SendQueue, *, timeout_seconds: float) -> None:
    """Write what the queue holds, for as long as the stream lives.

    Raises trio.TooSlowError when the peer takes nothing for `timeout_seconds`: it is frozen, and the
    connection should go.
    """
    while True:
        batch = await queue.take_batch(BATCH_BYTES)
        with trio.fail_after(timeout_seconds):
            await stream.write(b"".join(encode_frame(payload) for payload in batch))


async def read_frames(stream: INetStream, *, peer_id: PeerId, door: Door, timeout_seconds: float) -> None:
    """Hand each frame to the door until the stream ends, or until the peer breaks the protocol.

    Returns after a fault (counted, struck); the caller resets the stream.
    """
    reader = BufferedReader(stream)
    while True:
        first = await reader.read(1)
        if not first:
            return
        with trio.move_on_after(timeout_seconds) as patience:
            rest = await reader.read_exactly(LENGTH_BYTES - 1)
            size_bytes = int.from_bytes(first + rest, "big")
            if not 0 < size_bytes <= door.max_payload_bytes:
                door.refuse(peer_id, Reason.OVERSIZED if size_bytes else Reason.MALFORMED)
                return
            payload = await reader.read_exactly(size_bytes)
        if patience.cancelled_caught:
            door.refuse(peer_id, Reason.STALLED_FRAME)
            return
        if door.charge_link(peer_id, LENGTH_BYTES + size_bytes):
            door.take(peer_id=peer_id, payload=payload, path=Path.DIRECT)
        await trio.lowlevel.checkpoint()  # a flood from one peer must leave turns to the others
