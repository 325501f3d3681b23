"""web3's own API on trio, over the pool: for tools and development networks.

The node itself reads through `ChainReader`, which agrees on every answer, and does not import web3
(18 MB).
"""

from __future__ import annotations

from typing import Any

import msgspec
from web3 import AsyncWeb3
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCError, RPCResponse

from consensus.errors import Unavailable
from node.chain.request import Json
from node.chain.rpc import RpcFaulted, RpcPool


class PoolProvider(AsyncJSONBaseProvider):
    """Answers web3 from the pool's first healthy endpoint."""

    global_ccip_read_enabled = False  # or a contract's revert could make us fetch an address of its choosing

    def __init__(self, pool: RpcPool) -> None:
        super().__init__()
        self._pool = pool

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One call; a fault goes back as web3 expects it, so that it can name a revert."""
        request = msgspec.json.decode(self.encode_rpc_request(method, params))
        plain: tuple[Json, ...] = tuple(request["params"])
        try:
            result = await self._pool.call(method, plain)
        except RpcFaulted as error:
            fault = RPCError(code=error.fault.code, message=error.fault.message)
            if error.fault.data is not None:
                fault["data"] = error.fault.data
            return {"jsonrpc": "2.0", "id": 1, "error": fault}
        return {"jsonrpc": "2.0", "id": 1, "result": result}

    async def is_connected(self, show_traceback: bool = False) -> bool:
        """Whether any endpoint answers."""
        try:
            await self._pool.call("eth_chainId")
        except Unavailable:
            return False
        return True


def open_web3(pool: RpcPool) -> AsyncWeb3[PoolProvider]:
    """web3 over the pool; its receipt waits and batches need asyncio and do not work."""
    return AsyncWeb3(PoolProvider(pool))
