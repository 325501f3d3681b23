"""The send queue and the frame reader, without a network."""

import random

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import IncompleteReadError

from consensus.errors import Reason
from node.gossip.budgets import Budgets, Limits
from node.gossip.door import Door
from node.gossip.hardening import BufferedReader
from node.gossip.push import SendQueue, encode_frame, read_frames
from node.gossip.redial import Backoff
from node.gossip.transport import Path, PeerId, Received

PEER = PeerId("peer")


class ScriptedStream:
    """Yields these chunks, then ends (or hangs)."""

    def __init__(self, *chunks: bytes, hangs: bool = False) -> None:
        self._chunks = list(chunks)
        self._hangs = hangs

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._chunks:
            return self._chunks.pop(0)
        if self._hangs:
            await trio.sleep_forever()
        return b""


def make_door(inbox_payloads: int = 100) -> tuple[Door, trio.MemoryReceiveChannel[Received]]:
    inbox, received = trio.open_memory_channel[Received](inbox_payloads)
    door = Door(
        max_payload_bytes=100,
        budgets=Budgets(Limits(), lambda: 0.0),
        inbox=inbox,
        on_ban=lambda _peer: None,
    )
    door.register([PEER])
    return door, received


async def _read(door: Door, stream: ScriptedStream) -> None:
    await read_frames(stream, peer_id=PEER, door=door, timeout_seconds=5)  # type: ignore[arg-type]


async def test_frames_arrive_however_the_bytes_are_cut() -> None:
    payloads = [bytes([number]) * (1 + number) for number in range(50)]
    wire = b"".join(encode_frame(payload) for payload in payloads)
    cuts = sorted(random.Random(7).sample(range(1, len(wire)), 40))
    chunks = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    door, received = make_door()

    await _read(door, ScriptedStream(*chunks))

    assert [received.receive_nowait().payload for _ in payloads] == payloads


async def test_length_above_the_limit_is_refused_without_reading_on() -> None:
    door, _ = make_door()

    await _read(door, ScriptedStream((101).to_bytes(4, "big"), hangs=True))

    assert door.drops == {Reason.OVERSIZED: 1}


async def test_stream_that_ends_inside_a_frame_is_an_error() -> None:
    door, _ = make_door()

    with pytest.raises(IncompleteReadError):
        await _read(door, ScriptedStream(encode_frame(b"half")[:-1]))


async def test_frame_that_stalls_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    door, _ = make_door()

    await _read(door, ScriptedStream(b"\0", hangs=True))

    assert door.drops == {Reason.STALLED_FRAME: 1}
    assert trio.current_time() == 5


async def test_full_inbox_refuses_and_counts() -> None:
    door, received = make_door(inbox_payloads=1)

    await _read(door, ScriptedStream(encode_frame(b"one") + encode_frame(b"two")))

    assert received.receive_nowait() == Received(peer_id=PEER, payload=b"one", path=Path.DIRECT)
    assert door.drops == {Reason.INBOX_FULL: 1}


async def test_stranger_is_refused_at_the_door() -> None:
    door, _ = make_door()

    assert not door.take(peer_id=PeerId("stranger"), payload=b"x", path=Path.PUBSUB)

    assert door.drops == {Reason.STRANGER_AUTHOR: 1}


async def test_banned_peer_is_refused_at_the_door() -> None:
    door, _ = make_door()
    door.strike(PEER, 100, reason=Reason.BAD_SIGNATURE)

    assert not door.take(peer_id=PEER, payload=b"x", path=Path.PUBSUB)

    assert door.drops == {Reason.PEER_BANNED: 1}


async def test_full_queue_gives_up_the_oldest_and_counts() -> None:
    dropped: list[None] = []
    queue = SendQueue(max_payloads=2, max_bytes=100, on_drop=lambda: dropped.append(None))

    for payload in (b"1", b"2", b"3"):
        queue.put_nowait(payload)

    assert await queue.take_batch(100) == [b"2", b"3"]
    assert len(dropped) == 1


async def test_a_queue_is_full_by_its_bytes_too() -> None:
    dropped: list[None] = []
    queue = SendQueue(max_payloads=10, max_bytes=10, on_drop=lambda: dropped.append(None))

    for payload in (b"1234", b"5678", b"90", b"abcdef", b"longer than all of it"):
        queue.put_nowait(payload)

    assert len(dropped) == 4
    assert await queue.take() == b"longer than all of it"
    queue.put_nowait(b"0123456789")
    queue.clear()
    for payload in (b"12345", b"67890"):
        queue.put_nowait(payload)
    assert await queue.take_batch(100) == [b"12345", b"67890"]


async def test_batch_stays_within_its_bytes() -> None:
    queue = SendQueue(max_payloads=10, max_bytes=1_000, on_drop=lambda: None)
    for payload in (b"aaaa", b"bbbb", b"cccc"):
        queue.put_nowait(payload)

    assert await queue.take_batch(8) == [b"aaaa", b"bbbb"]
    assert await queue.take_batch(1) == [b"cccc"]


async def test_take_waits_for_a_payload() -> None:
    queue = SendQueue(max_payloads=10, max_bytes=1_000, on_drop=lambda: None)
    taken: list[bytes] = []

    async def take() -> None:
        taken.append(await queue.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        assert taken == []
        queue.put_nowait(b"late")

    assert taken == [b"late"]


async def test_buffered_reader_keeps_what_was_not_asked_for() -> None:
    reader = BufferedReader(ScriptedStream(b"abcdef", b"g"))  # type: ignore[arg-type]

    assert await reader.read(1) == b"a"
    assert await reader.read_exactly(6) == b"bcdefg"
    assert await reader.read(1) == b""


def test_backoff_doubles_to_its_longest_and_resets() -> None:
    backoff = Backoff(first_seconds=1, longest_seconds=60, jitter=random.Random(1))

    delays = [backoff.next_seconds() for _ in range(10)]

    for delay, whole in zip(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert whole / 2 <= delay <= whole
    backoff.reset()
    assert backoff.next_seconds() <= 1
