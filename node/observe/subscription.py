"""What an endpoint announces over its websocket: connected again, with growing pauses, whenever it breaks.

An announcement is one endpoint's word and arrives when it likes: who hears it takes it as a reason to ask,
and polls beneath.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, NoReturn

import msgspec
import trio
import trio_websocket

from node.chain.types import Endpoint

FIRST_RECONNECT_SECONDS: Final = 0.2
LONGEST_RECONNECT_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 120.0
"""Nothing was announced for so long: the connection may be half open."""
MAX_FRUITLESS: Final = 16
"""Announcements in a row that led to nothing, until only the poll interval counts."""
MAX_WEBSOCKET_BYTES: Final = 256 * 1024  # a header is below 2 KiB
_ERRORS = (trio_websocket.HandshakeError, trio_websocket.ConnectionClosed, OSError, ssl.SSLError)


class Topic(StrEnum):
    """What can be subscribed to, as `eth_subscribe` names it."""

    HEADS = "newHeads"
    PENDING = "newPendingTransactions"


class _Params(msgspec.Struct):
    result: Any


class _Announcement(msgspec.Struct):
    params: _Params | None = None


_ANNOUNCEMENT = msgspec.json.Decoder(_Announcement)


async def listen(
    endpoint: Endpoint, topic: Topic, *, hear: Callable[[Any], bool], broke: Callable[[], None]
) -> NoReturn:
    """Hear one endpoint's announcements until cancelled.

    Args:
        hear: takes what is announced, plain JSON values of any shape, and says whether it was news: a
            connection that brought some is opened again without delay.
        broke: told each time that the connection ended, or could not be made.
    """
    assert endpoint.ws is not None
    logging.getLogger("trio-websocket").setLevel(logging.WARNING)  # it logs paths, which may hold keys
    pause_seconds = FIRST_RECONNECT_SECONDS
    has_news = False

    def take(message: str | bytes) -> None:
        nonlocal has_news
        try:
            announcement = _ANNOUNCEMENT.decode(message)
        except (msgspec.MsgspecError, ValueError):
            return
        if announcement.params is not None and hear(announcement.params.result):
            has_news = True

    while True:
        has_news = False
        with suppress(*_ERRORS):
            async with trio_websocket.open_websocket_url(
                endpoint.ws, max_message_size=MAX_WEBSOCKET_BYTES, connect_timeout=CONNECT_SECONDS
            ) as websocket:
                await _hear(websocket, topic, take)
        broke()
        if has_news:
            pause_seconds = FIRST_RECONNECT_SECONDS
        await trio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_RECONNECT_SECONDS)


async def _hear(
    websocket: trio_websocket.WebSocketConnection, topic: Topic, take: Callable[[str | bytes], None]
) -> None:
    """Until it breaks, or has said nothing for so long that it may be half open."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": [topic.value]}
    await websocket.send_message(msgspec.json.encode(request).decode())
    while True:
        with trio.move_on_after(SILENCE_SECONDS) as silence:
            take(await websocket.get_message())
        if silence.cancelled_caught:
            return
