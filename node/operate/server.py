"""The watcher's door for people and machines that look on: `/livez`, `/readyz`, `/status`, `/metrics`.

It gives and never takes: every path is read, nothing can be changed, and no secret is in a snapshot. It
listens where the configuration says, on loopback unless an operator decides otherwise.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consensus.errors import Reason, Refused
from node.operate.health import examine, is_ready
from node.operate.metrics import CONTENT_TYPE, render_metrics
from node.operate.snapshot import Snapshot
from node.operate.status import describe

_log = structlog.get_logger("operate")

GRACE_SECONDS = 1.0  # for answers that are on their way when the watcher ends


def build_app(take: Callable[[], Snapshot]) -> Starlette:
    """The door, as an ASGI application; `take` gives the watcher as it is now."""

    async def livez(_: Request) -> Response:
        return _json({"live": True})  # a loop that hangs does not answer

    async def readyz(_: Request) -> Response:
        problems = examine(take())
        ready = is_ready(problems)
        return _json(
            {"ready": ready, "problems": [each.as_dict() for each in problems]}, status=200 if ready else 503
        )

    async def status(_: Request) -> Response:
        return _json(describe(take()))

    async def metrics(_: Request) -> Response:
        return Response(render_metrics(take), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/status", status),
            Route("/metrics", metrics),
        ]
    )


@asynccontextmanager
async def open_server(listen: str, take: Callable[[], Snapshot]) -> AsyncIterator[str]:
    """Serve at `listen` (`host:port`; port 0 takes a free one) until the block ends; gives the address.

    Raises `Refused` (BAD_CONFIG) where that place cannot be had.
    """
    place = _take_place(listen)
    host, port = place.getsockname()[:2]
    config = HypercornConfig()
    config.bind = [f"fd://{place.detach()}"]
    config.graceful_timeout = GRACE_SECONDS
    config.errorlog = logging.getLogger("hypercorn")  # said in the form of all our lines
    config.include_server_header = False
    app: Any = build_app(take)  # the two libraries spell ASGI's types differently
    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, config, shutdown_trigger=ended.wait))
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            ended.set()


async def serve_watch(listen: str, take: Callable[[], Snapshot]) -> None:
    """Serve until cancelled."""
    async with open_server(listen, take) as address:
        _log.info("operate.listening", address=address)
        await trio.sleep_forever()


def _take_place(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        return socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if "[" in host else socket.AF_INET
        )
    except (OSError, OverflowError) as error:
        raise Refused(
            Reason.BAD_CONFIG,
            f"operate.listen is {listen}, where nothing can be served ({error}); give another port, or leave "
            "the key out",
        ) from error


def _json(content: dict[str, Any], *, status: int = 200) -> Response:
    return Response(
        json.dumps(content),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
