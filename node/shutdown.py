"""Ends a watcher when the system asks: SIGTERM or SIGINT cancel the rooms, and each leaves in its own order.

The tree of nurseries does the rest, from the inside out: rooms stop, the gossip host closes its sockets, the
journal's database is closed, the connections to endpoints last.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

_log = structlog.get_logger("watcher")


async def until_told(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it ends or a signal asks it to."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                async for number in signals:
                    _log.info("watcher.stopping", signal=signal.Signals(number).name)
                    nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            await work()
            nursery.cancel_scope.cancel()
