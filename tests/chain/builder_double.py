"""A builder of a local chain: takes private transactions and bundles, and makes the next block of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
import msgspec
import trio
from eth_account import Account
from eth_account.messages import encode_defunct

from consensus.fields import keccak256
from node.chain.routes import SIGNATURE_HEADER
from node.chain.rpc import RpcPool
from node.chain.types import Endpoint, RouteConfig, RouteKind
from tests.chain.doubles import _response

SECRET = "b3arer-token"


@dataclass(slots=True)
class BuilderDouble:
    """What it was offered, and how it misbehaves."""

    pool: RpcPool
    port: int = 0
    private: list[dict[str, Any]] = field(default_factory=list)
    bundles: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    senders: set[str] = field(default_factory=set)
    refuses: str = ""
    is_down: bool = False
    _asked_again: trio.Event = field(default_factory=trio.Event)

    def route(self, kind: RouteKind) -> RouteConfig:
        url = f"http://127.0.0.1:{self.port}/{SECRET}"
        return RouteConfig(kind=kind, endpoint=Endpoint(name="builder", http=url))

    async def wait_asked(self, method: str, times: int = 1) -> None:
        while self.asked[method] < times:
            await self._asked_again.wait()

    async def build(self) -> list[str]:
        """A block: bundles for it in their order, then private transactions; nothing of the public pool."""
        number = int(str(await self.pool.call("eth_blockNumber")), 16) + 1
        first = [
            raw for each in self.bundles if int(each["blockNumber"], 16) == number for raw in each["txs"]
        ]
        then = [each["tx"] for each in self.private if int(each["maxBlockNumber"], 16) >= number]
        await self.pool.call("anvil_dropAllTransactions")
        for raw in dict.fromkeys([*first, *then]):
            await self.pool.call("eth_sendRawTransaction", (raw,))
        await self.pool.call("evm_mine")
        self.private.clear()
        self.bundles.clear()
        block: Any = await self.pool.call("eth_getBlockByNumber", ("latest", False))
        return [str(each) for each in block["transactions"]]

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, kept alive."""
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                headers, body = await _read(stream, connection)
                if body is None or self.is_down:
                    return
                await stream.send_all(_response(connection, 200, self._answer(headers, body), {}))
                connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return
        finally:
            await trio.aclose_forcefully(stream)

    def _answer(self, headers: dict[str, str], body: bytes) -> bytes:
        call = msgspec.json.decode(body)
        self.asked[call["method"]] += 1
        self._asked_again.set()
        self._asked_again = trio.Event()
        address, _, signature = headers.get(SIGNATURE_HEADER.lower(), ":").partition(":")
        signed = encode_defunct(text=f"0x{keccak256(body).hex()}")
        if not signature or Account.recover_message(signed, signature=signature) != address:
            error = {"code": -32600, "message": "the signature header is not the sender's"}
            return msgspec.json.encode({"jsonrpc": "2.0", "id": call["id"], "error": error})
        self.senders.add(address)
        if self.refuses:
            error = {"code": -32000, "message": self.refuses}
            return msgspec.json.encode({"jsonrpc": "2.0", "id": call["id"], "error": error})
        kept = {"eth_sendPrivateTransaction": self.private, "eth_sendBundle": self.bundles}
        kept[call["method"]].append(call["params"][0])
        return msgspec.json.encode({"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32})


async def _read(stream: trio.SocketStream, connection: h11.Connection) -> tuple[dict[str, str], bytes | None]:
    headers: dict[str, str] = {}
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            headers = {name.decode().lower(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return headers, body
        elif isinstance(event, h11.ConnectionClosed):
            return headers, None


@asynccontextmanager
async def builder_double(pool: RpcPool) -> AsyncIterator[BuilderDouble]:
    """A builder for the chain behind `pool`, on a port of its own."""
    double = BuilderDouble(pool)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        double.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, double.serve, [listener])
        yield double
        nursery.cancel_scope.cancel()
