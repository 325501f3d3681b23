"""An endpoint between us and a real anvil that can lie, lag, limit, hang or be down, over real sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import h11
import httpx
import msgspec
import trio
import trio_websocket

from consensus.types import ChainId
from node.chain.rpc import RpcPool, open_pool
from node.chain.types import Endpoint
from node.devnet.anvil import Anvil
from node.devnet.operators import Home

TIMEOUT_SECONDS = 5.0
Lie = Callable[[str, list[Any], dict[str, Any]], dict[str, Any]]


def honest(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """The upstream's response, as it came."""
    return response


class EndpointDouble:
    """Forwards to anvil; each attribute is a way to misbehave, and may be changed at any time."""

    def __init__(self, name: str, upstream: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self.lie: Lie = honest
        self.rewrite: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.refused: dict[str, str] = {}
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.delay_seconds = 0.0
        self.hangs = False
        self.is_down = False
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self._upstream = upstream
        self._http = http
        self._asked_again = trio.Event()
        self._released = trio.Event()
        self.port = 0

    def release(self) -> None:
        """Answer what hangs, and hang no more."""
        self.hangs = False
        self._released.set()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(name=self.name, http=f"http://127.0.0.1:{self.port}/v2/s3cret-token")

    async def wait_asked(self, method: str, times: int = 1) -> None:
        """Until `method` has been asked for that often."""
        while self.asked[method] < times:
            await self._asked_again.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, kept alive."""
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                body = await _read_request(stream, connection)
                if body is None or self.is_down:
                    return
                await stream.send_all(await self._respond(connection, body))
                connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return
        finally:
            await trio.aclose_forcefully(stream)

    async def _respond(self, connection: h11.Connection, body: bytes) -> bytes:
        request = msgspec.json.decode(body)
        calls = request if isinstance(request, list) else [request]
        for call in calls:
            self.asked[call["method"]] += 1
        self._asked_again.set()
        self._asked_again = trio.Event()
        if self.hangs:
            await self._released.wait()
        await trio.sleep(self.delay_seconds)
        if self.status is not None:
            return _response(connection, self.status, b"{}", self.headers)
        if self.body is not None:
            return _response(connection, 200, self.body, self.headers)
        answers = [await self._answer(call) for call in calls]
        told = [self.lie(c["method"], c["params"], a) for c, a in zip(calls, answers, strict=True)]
        content = msgspec.json.encode(told if isinstance(request, list) else told[0])
        return _response(connection, 200, content, {})

    async def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """The upstream's answer, or the words with which this endpoint refuses to pass the method on."""
        if call["method"] in self.refused:
            error = {"code": -32000, "message": self.refused[call["method"]]}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        answer: dict[str, Any] = (await self._http.post(self._upstream, json=self.rewrite(call))).json()
        return answer


async def _read_request(stream: trio.SocketStream, connection: h11.Connection) -> bytes | None:
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return body
        elif isinstance(event, h11.ConnectionClosed):
            return None


def _response(connection: h11.Connection, status: int, content: bytes, headers: dict[str, str]) -> bytes:
    head = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    raw = connection.send(h11.Response(status_code=status, headers=list(head.items())))
    raw += connection.send(h11.Data(data=content)) + connection.send(h11.EndOfMessage())
    return bytes(raw)


@asynccontextmanager
async def doubles(anvil: Anvil, *names: str) -> AsyncIterator[tuple[EndpointDouble, ...]]:
    """One endpoint for each name, all before the same chain."""
    async with httpx.AsyncClient(timeout=None, trust_env=False) as http, trio.open_nursery() as nursery:
        yield await start_doubles(nursery, http, anvil, *names)
        nursery.cancel_scope.cancel()


async def start_doubles(
    nursery: trio.Nursery, http: httpx.AsyncClient, anvil: Anvil, *names: str
) -> tuple[EndpointDouble, ...]:
    """The same in a nursery of the caller's, for who learns of the chain only within another block."""
    made = tuple(EndpointDouble(name, anvil.http, http) for name in names)
    for double in made:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        double.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, double.serve, [listener])
    return made


@asynccontextmanager
async def pool_of(
    *endpoints: EndpointDouble,
    chain_id: int = 31337,
    agreement: int = 2,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> AsyncIterator[RpcPool]:
    """A pool over those endpoints."""
    async with open_pool(
        ChainId(chain_id),
        tuple(double.endpoint for double in endpoints),
        agreement=agreement,
        timeout_seconds=timeout_seconds,
    ) as pool:
        yield pool


class WebsocketDouble:
    """Takes subscriptions to heads and tells what the test says."""

    def __init__(self) -> None:
        self.subscribed = 0
        self.port = 0
        self._open: set[trio_websocket.WebSocketConnection] = set()
        self._changed = trio.Event()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def wait_subscribed(self, times: int) -> None:
        """Until that many subscriptions have come in, over all connections."""
        while self.subscribed < times:
            await self._changed.wait()

    async def announce(self, block_hash: str) -> None:
        """Tell every subscriber of a head."""
        await self.say(msgspec.json.encode({"params": {"result": {"hash": block_hash}}}).decode())

    async def say(self, message: str) -> None:
        """Send every subscriber a message."""
        for websocket in self._open:
            await websocket.send_message(message)

    async def drop(self) -> None:
        """Break every connection."""
        for websocket in tuple(self._open):
            await trio.aclose_forcefully(websocket._stream)

    async def serve(self, request: trio_websocket.WebSocketRequest) -> None:
        """One connection."""
        websocket = await request.accept()
        try:
            await websocket.get_message()
            self._open.add(websocket)
            self.subscribed += 1
            self._changed.set()
            self._changed = trio.Event()
            while True:
                await websocket.get_message()
        except trio_websocket.ConnectionClosed:
            self._open.discard(websocket)


@asynccontextmanager
async def websocket_double() -> AsyncIterator[WebsocketDouble]:
    """A websocket endpoint on a port of its own."""
    double = WebsocketDouble()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, double.serve, "127.0.0.1", 0, None)
        double.port = server.port
        yield double
        nursery.cancel_scope.cancel()


def give_endpoints(home: Home, endpoints: Sequence[Endpoint]) -> None:
    """Let the watcher read chain one through these, of which two must agree."""
    before, rest = home.config.read_text().split("agreement = 1\n", 1)
    after = rest[rest.index("\n[[chains]]") :]
    tables = "".join(
        f'[[chains.endpoints]]\nname = "{each.name}"\nhttp = "{each.http}"\n' for each in endpoints
    )
    home.config.write_text(f"{before}agreement = 2\n{tables}{after}")
