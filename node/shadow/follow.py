"""Heads in, traces of each, and what the course makes of them out; until cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.live.course import Course, Line
from node.observe.heads import HeadEvent, HeadFollower
from node.observe.recording import read_patiently
from node.observe.traces import TraceReader

POLL_SECONDS: Final = 1.0  # beneath the subscription, and instead of it where there is none
HEADS: Final = 64  # a minute of a fast chain; more wait


async def follow_chain(
    pool: RpcPool,
    traces: TraceReader,
    course: Course,
    tell: Callable[[Line], None],
    *,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Take in every block from the newest on."""
    events_in, events = trio.open_memory_channel[HeadEvent](HEADS)
    follower = HeadFollower(ChainReader(pool), poll_seconds=poll_seconds, websockets=pool.websockets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.follow, events_in)
        async for event in events:
            for line in course.take(event, await read_patiently(traces, event.ref)):
                tell(line)
