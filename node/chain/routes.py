"""Ways past the public pool: a private endpoint that keeps a transaction to itself, or a bundle to a builder.

A private endpoint takes one transaction (`eth_sendPrivateTransaction`) and offers it to builders until a
block that we name. A bundle (`eth_sendBundle`) is a list of transactions for one block, all or none, in that
order; it is offered again for each block. Both ask who sends: the body is signed with a key of its own, which
holds no coin. None of them promises anything, so whoever sends here falls back to the public pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from eth_account.messages import encode_defunct

from consensus.errors import Unavailable
from consensus.fields import keccak256
from consensus.types import BlockNumber, ChainId
from node.chain.endpoint import EndpointClient, EndpointFailed
from node.chain.request import Json, RpcFault, RpcRequest, read_canonical
from node.chain.rpc import open_http
from node.chain.types import RouteConfig, RouteKind

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

SIGNATURE_HEADER: Final = "X-Flashbots-Signature"


class Route(Protocol):
    """One way past the public pool."""

    @property
    def name(self) -> str: ...

    async def offer(
        self, raw: bytes, *, block: BlockNumber, last_block: BlockNumber, behind: Sequence[bytes]
    ) -> None:
        """Offer a signed transaction for `block`, the next one; nobody wants it after `last_block`.

        `behind` are others' transactions that shall come right after it, where the way knows of order. Raises
        `Unavailable` when it was not taken.
        """
        ...


class PrivateRoute:
    """`Route` by `eth_sendPrivateTransaction`."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        return self._client.name

    async def offer(
        self, raw: bytes, *, block: BlockNumber, last_block: BlockNumber, behind: Sequence[bytes]
    ) -> None:
        offered: Json = {"tx": f"0x{raw.hex()}", "maxBlockNumber": hex(max(block, last_block))}
        await _ask(self._client, "eth_sendPrivateTransaction", offered)


class BundleRoute:
    """`Route` by `eth_sendBundle`."""

    def __init__(self, client: EndpointClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        return self._client.name

    async def offer(
        self, raw: bytes, *, block: BlockNumber, last_block: BlockNumber, behind: Sequence[bytes]
    ) -> None:
        offered: dict[str, Json] = {
            "txs": [f"0x{each.hex()}" for each in (raw, *behind)],
            "blockNumber": hex(block),
        }
        if behind:  # that it fails behind ours is the point of it
            offered["revertingTxHashes"] = [f"0x{keccak256(each).hex()}" for each in behind]
        await _ask(self._client, "eth_sendBundle", offered)


@asynccontextmanager
async def open_routes(
    configs: Sequence[RouteConfig], chain_id: ChainId, account: LocalAccount, *, timeout_seconds: float
) -> AsyncIterator[tuple[Route, ...]]:
    """The ways of one chain, with bodies signed by `account`, until the block is left."""

    def sign(body: bytes) -> Mapping[str, str]:
        return {SIGNATURE_HEADER: sign_body(account, body)}

    async with open_http() as http:
        routes: list[Route] = []
        for config in configs:
            client = EndpointClient(
                config.endpoint, chain_id, http, timeout_seconds=timeout_seconds, sign=sign
            )
            routes.append(PrivateRoute(client) if config.kind is RouteKind.PRIVATE else BundleRoute(client))
        yield tuple(routes)


def sign_body(account: LocalAccount, body: bytes) -> str:
    """The header's value: the address, and its EIP-191 signature over the body's hash in hex."""
    message = encode_defunct(text=f"0x{keccak256(body).hex()}")
    signature = bytes(account.sign_message(message).signature)
    return f"{account.address}:0x{signature.hex()}"


async def _ask(client: EndpointClient, method: str, offered: Json) -> None:
    request = RpcRequest(method=method, params=(offered,), parse=read_canonical)
    try:
        (answer,) = await client.ask_any_chain((request,))
    except EndpointFailed as failure:
        raise Unavailable(f"{client.name} {failure}") from None
    if isinstance(answer, RpcFault):
        raise Unavailable(f"{client.name} refused {method}: {answer}")
