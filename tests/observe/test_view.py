"""The reads of one block: pinned, asked once, batched, and looking back by hash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address
from node.chain.reader import ChainReader
from node.chain.rpc import NoAgreement, RpcPool
from node.chain.types import BalanceRead, BlockRef, LogsRead, StorageRead
from node.devnet.anvil import Mining, running_anvil
from node.evaluate.views import View
from node.observe.ancestry import Ancestry
from node.observe.view import BlockView
from tests.chain.doubles import EndpointDouble, doubles, pool_of

CONTRACT = Address("0x00000000000000000000000000000000DeaDBeef")
OTHER = Address("0x000000000000000000000000000000000000dEaD")
RETURNS_BLOCK_NUMBER = "0x435f5260205ff3"
REVERTS = "0x63aabbccdd5f526004601cfd"


class Chain:
    """One anvil behind one endpoint that counts."""

    def __init__(self, pool: RpcPool, endpoint: EndpointDouble) -> None:
        self.pool, self.endpoint, self.reader = pool, endpoint, ChainReader(pool)

    async def mine(self, blocks: int = 1) -> BlockRef:
        await self.pool.call("anvil_mine", (hex(blocks),))
        return await self.reader.latest()


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        await pool.call("anvil_setCode", (CONTRACT, RETURNS_BLOCK_NUMBER))
        await pool.call("anvil_setCode", (OTHER, REVERTS))
        yield Chain(pool, ada)


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


async def test_satisfies_what_evaluation_asks_for(chain: Chain) -> None:
    view: View = BlockView(await chain.mine(), chain.reader)
    assert await view.eth_call(CONTRACT, b"") == word(view.ref.number)


async def test_the_same_read_is_asked_once(chain: Chain) -> None:
    view = BlockView(await chain.mine(), chain.reader)
    for _ in range(3):
        assert await view.eth_call(CONTRACT, b"") == word(view.ref.number)
        assert await view.balance(CONTRACT) == 0
        assert await view.storage(CONTRACT, 0) == word(0)
        assert await view.logs() == ()
    for method in ("eth_call", "eth_getBalance", "eth_getStorageAt", "eth_getLogs"):
        assert chain.endpoint.asked[method] == 1


async def test_prefetching_takes_reads_of_every_kind_in_one_request(chain: Chain) -> None:
    view = BlockView(await chain.mine(), chain.reader)
    before = chain.pool.statistics().endpoints[0].requests

    await view.prefetch(
        [(CONTRACT, b"")], slots=[(CONTRACT, 3)], balances=[CONTRACT], events=[(CONTRACT, bytes(32))]
    )

    await view.eth_call(CONTRACT, b"")
    await view.storage(CONTRACT, 3)
    await view.balance(CONTRACT)
    await view.logs(addresses=(CONTRACT,), topics=(bytes(32),))
    assert chain.pool.statistics().endpoints[0].requests == before + 1


async def test_reads_of_two_blocks_are_never_mixed_up(chain: Chain) -> None:
    first, second = await chain.mine(), await chain.mine()
    views = [BlockView(ref, chain.reader) for ref in (second, first)]
    assert [await view.eth_call(CONTRACT, b"") for view in views] == [word(second.number), word(first.number)]


async def test_prefetching_takes_one_request_and_answers_what_follows(chain: Chain) -> None:
    view = BlockView(await chain.mine(), chain.reader)
    before = chain.pool.statistics().endpoints[0].requests
    calls = [(CONTRACT, bytes([number])) for number in range(5)]
    await view.prefetch([*calls, *calls])
    await view.prefetch_reads(
        [BalanceRead(account=CONTRACT), StorageRead(account=CONTRACT, slot=0), LogsRead()]
    )
    for to, data in calls:
        await view.eth_call(to, data)
    await view.balance(CONTRACT)
    await view.storage(CONTRACT, 0)
    await view.logs()
    assert chain.endpoint.asked["eth_call"] == 5
    assert chain.pool.statistics().endpoints[0].requests == before + 2


async def test_a_revert_is_refused_with_what_the_contract_said_and_remembered(chain: Chain) -> None:
    view = BlockView(await chain.mine(), chain.reader)
    for _ in range(2):
        with pytest.raises(Refused, match="aabbccdd") as raised:
            await view.eth_call(OTHER, b"")
        assert raised.value.reason is Reason.CALL_REVERTED
    assert chain.endpoint.asked["eth_call"] == 1


async def test_what_could_not_be_read_is_asked_again(chain: Chain) -> None:
    view = BlockView(await chain.mine(), chain.reader)

    def limit(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        error = {"code": -32005, "message": "limit exceeded"}
        return {"jsonrpc": "2.0", "id": response["id"], "error": error} if method == "eth_call" else response

    chain.endpoint.lie = limit
    await view.prefetch([(CONTRACT, b"")])
    with pytest.raises(NoAgreement, match="limit exceeded"):
        await view.eth_call(CONTRACT, b"")
    chain.endpoint.lie = lambda method, params, response: response
    assert await view.eth_call(CONTRACT, b"") == word(view.ref.number)


async def test_an_ancestor_is_found_by_parent_hash_without_asking(chain: Chain) -> None:
    ancestry = Ancestry()
    refs = [await chain.mine() for _ in range(5)]
    for ref in refs:
        ancestry.add(ref)
    asked = chain.endpoint.asked.total()
    view = BlockView(refs[-1], chain.reader, ancestry)
    assert await view.ancestor(0) is view
    assert (await view.ancestor(4)).ref == refs[0]
    assert await view.ancestor(4) is await view.ancestor(4)
    assert chain.endpoint.asked.total() == asked


@pytest.mark.parametrize("known", [0, 1, 3])
async def test_an_ancestor_beyond_what_is_known_is_fetched(chain: Chain, known: int) -> None:
    refs = [await chain.mine() for _ in range(8)]
    ancestry = Ancestry()
    for ref in refs[len(refs) - known :]:
        ancestry.add(ref)
    view = BlockView(refs[-1], chain.reader, ancestry)
    for k in (1, 3, 7):
        ancestor = await view.ancestor(k)
        assert ancestor.ref == refs[7 - k]
        assert await ancestor.eth_call(CONTRACT, b"") == word(refs[7 - k].number)


async def test_an_ancestor_is_that_of_our_own_branch_after_a_reorg(chain: Chain) -> None:
    ancestry = Ancestry()
    refs = [await chain.mine() for _ in range(5)]
    for ref in refs:
        ancestry.add(ref)
    await chain.pool.call("anvil_reorg", (4, []))
    assert (await BlockView(refs[-1], chain.reader, ancestry).ancestor(2)).ref == refs[2]
    with pytest.raises(Unavailable, match="is not canonical any more"):
        await BlockView(refs[-1], chain.reader).ancestor(2)


@pytest.mark.parametrize("k", [-1, 4, 10_001])
async def test_a_look_back_beyond_the_chain_is_refused(chain: Chain, k: int) -> None:
    view = BlockView(await chain.mine(3), chain.reader)
    with pytest.raises(Refused) as raised:
        await view.ancestor(k)
    assert raised.value.reason is Reason.HISTORY_TOO_SHORT
