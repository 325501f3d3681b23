"""Gives the worker's EVM the state that it asks for: JSON-RPC over HTTP on a loopback port.

Only our own worker knows the path, which is drawn at random for each block that is opened; a request for a
block that is not open any more is refused, so that two blocks' states never mix. What the state does not know
is answered with an error, which ends the transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import trio

from consensus.errors import Unavailable
from node.simulate.state import AccountState, StateSource, require_runnable
from node.trace import Account

MAX_HEAD_BYTES: Final = 8_192
MAX_BODY_BYTES: Final = 65_536
_END_OF_HEAD: Final = b"\r\n\r\n"


class _Request(msgspec.Struct):
    """Typed, so that nothing which is nested deeper is ever built: any process here can reach the port."""

    id: int
    method: str
    params: list[str | bool | dict[str, str]]


class StateServer:
    """Answers for the state that was opened last, at most `misses` questions between two `refill`s."""

    def __init__(self, misses: int) -> None:
        self._most_misses = misses
        self._misses_left = misses
        self._state: StateSource | None = None
        self._path = ""
        self._listeners: Sequence[trio.SocketListener] = ()
        self.port = 0
        self.asked = 0
        """Requests that came."""

    def open(self, state: StateSource) -> str:
        """Serve this state; the URL under which it is found."""
        self._state = state
        self._path = f"/{secrets.token_hex(16)}"
        return f"http://127.0.0.1:{self.port}{self._path}"

    def refill(self, misses: int | None = None) -> None:
        """Allow so many questions again: a transaction that reads on and on must not ask for ever."""
        self._misses_left = self._most_misses if misses is None else misses

    async def listen(self) -> None:
        """Take a free port; `serve` answers on it."""
        self._listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = self._listeners[0].socket.getsockname()[1]

    async def serve(self) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._converse, self._listeners)

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffer = b""
        with suppress(
            trio.BrokenResourceError, trio.ClosedResourceError, ValueError, IndexError, RecursionError
        ):
            while True:
                while _END_OF_HEAD not in buffer and len(buffer) <= MAX_HEAD_BYTES:
                    buffer += await _receive(stream)
                head, _, buffer = buffer.partition(_END_OF_HEAD)
                length = _content_length(head)
                while len(buffer) < length:
                    buffer += await _receive(stream)
                body, buffer = buffer[:length], buffer[length:]
                path = head.split(b" ", 2)[1].decode("ascii", "replace")
                request = msgspec.json.decode(body, type=_Request)
                answer = msgspec.json.encode(await self._answer(path, request))
                await stream.send_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
                    + str(len(answer)).encode("ascii")
                    + _END_OF_HEAD
                    + answer
                )

    async def _answer(self, path: str, request: _Request) -> dict[str, Any]:
        self.asked += 1
        answer = {"jsonrpc": "2.0", "id": request.id}
        try:
            return answer | {"result": await self._value(self._admit(path), request)}
        except Unavailable as error:
            return answer | {"error": {"code": -32000, "message": str(error)}}

    def _admit(self, path: str) -> StateSource:
        if self._state is None or not secrets.compare_digest(path, self._path):
            raise Unavailable("this block is not open any more")
        if self._misses_left <= 0:
            raise Unavailable(f"it asks for more than {self._most_misses} values")
        self._misses_left -= 1
        return self._state

    async def _value(self, state: StateSource, request: _Request) -> str:
        method, parameters = request.method, [each for each in request.params if isinstance(each, str)]
        if method == "eth_getStorageAt":
            word = await state.word(Account(parameters[0].lower()), int(parameters[1], 16))
            return f"0x{word:064x}"
        if method not in {"eth_getBalance", "eth_getTransactionCount", "eth_getCode"}:
            raise Unavailable(f"{method} is not known here")
        account = Account(parameters[0].lower())
        found = await state.account(account)
        require_runnable(account, found)
        return _field(method, found)


def _field(method: str, found: AccountState) -> str:
    if method == "eth_getBalance":
        return hex(found.balance_wei)
    return hex(found.nonce) if method == "eth_getTransactionCount" else f"0x{found.code.hex()}"


async def _receive(stream: trio.SocketStream) -> bytes:
    received = await stream.receive_some()
    if not received:
        raise trio.ClosedResourceError
    return bytes(received)


def _content_length(head: bytes) -> int:
    """Raises ValueError for what our worker would never send."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
            if 0 < length <= MAX_BODY_BYTES:
                return length
    raise ValueError("a request without a body, or with one that is too long")
