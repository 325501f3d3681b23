"""A link passes bytes in their order, and does what it is told: late, not at all, or broken."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.chaos.links import Link, open_links

PATIENCE_SECONDS = 10


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, trio.SocketStream]]:
    """A link to a server that says back what it hears, and a connection through it."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, echo, [listener])
            port = listener.socket.getsockname()[1]
            links = await open_links(nursery, {("a", "b"): port}, seed=1)
            link = links["a", "b"]
            async with await trio.open_tcp_stream("127.0.0.1", link.port) as stream:
                yield link, stream
            nursery.cancel_scope.cancel()


async def hear(stream: trio.SocketStream, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        data = await stream.receive_some()
        if not data:
            break
        heard += data
    return heard


async def test_bytes_come_through_whole_and_in_order_with_latency_and_loss() -> None:
    sent = random.Random(1).randbytes(300_000)
    async with linked() as (link, stream), trio.open_nursery() as nursery:
        link.latency_seconds, link.loss_percent = 0.002, 20

        nursery.start_soon(stream.send_all, sent)

        assert await hear(stream, len(sent)) == sent


async def test_a_silent_link_holds_what_is_said_until_it_opens() -> None:
    async with linked() as (link, stream):
        await stream.send_all(b"before")
        assert await hear(stream, 6) == b"before"

        link.silence()
        await stream.send_all(b"meanwhile")
        with trio.move_on_after(0.1) as waited:
            await stream.receive_some()
        assert waited.cancelled_caught, "a silent link passed something on"
        link.open()

        assert await hear(stream, 9) == b"meanwhile"


async def test_a_cut_link_breaks_what_is_connected_and_takes_nothing_new() -> None:
    async with linked() as (link, stream):
        await stream.send_all(b"before")
        assert await hear(stream, 6) == b"before"

        link.cut()
        await wait_all_tasks_blocked()

        assert await _is_broken(stream)
        async with await trio.open_tcp_stream("127.0.0.1", link.port) as another:
            assert await _is_broken(another)
        link.open()
        async with await trio.open_tcp_stream("127.0.0.1", link.port) as mended:
            await mended.send_all(b"after")
            assert await hear(mended, 5) == b"after"


async def _is_broken(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


def test_the_losses_of_a_link_follow_from_its_seed() -> None:
    def draw(seed: int) -> list[float]:
        link = Link(target_port=1, chance=random.Random(seed))
        link.loss_percent = 30
        return [link._draw_delay() for _ in range(50)]

    assert draw(1) == draw(1) != draw(2)
    assert max(draw(1)) > 0.0
    assert pytest.approx(0.0) == min(draw(1))
