"""Header, transactions, receipts and traces of one block, and the block some seconds ago."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockNumber, Seconds
from node.chain import body
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer
from node.observe import view as view_module
from node.observe.traces import TraceGap, TraceReader
from node.observe.view import BlockView
from tests.chain.doubles import EndpointDouble, doubles, pool_of
from tests.observe.bytecode import COUNTER, REVERT, STOP, address, code

GOOD, BAD = address(0xA1), address(0xA2)
NO_SUCH_METHOD = "the method does not exist/is not available"


class Chain:
    def __init__(self, pool: RpcPool, endpoint: EndpointDouble, deployer: Deployer) -> None:
        self.pool, self.endpoint, self.deployer, self.reader = pool, endpoint, deployer, ChainReader(pool)

    async def submit(self, to: Address, value_wei: int = 0) -> str:
        return await self.deployer.submit(
            {
                "from": self.deployer.governance,
                "to": to,
                "value": hex(value_wei),
                "data": "0x12345678",
                "gas": hex(100_000),
            }
        )

    async def mine(self, *, seconds: int = 1) -> BlockRef:
        await self.pool.call("evm_increaseTime", (seconds,))
        await self.pool.call("evm_mine")
        return await self.reader.latest()

    async def view(self, ref: BlockRef, *watched: Address) -> BlockView:
        tracer = TraceReader(self.pool, watched) if watched else None
        return BlockView(ref, self.reader, tracer=tracer)


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        await pool.call("anvil_setCode", (GOOD, code(COUNTER, STOP)))
        await pool.call("anvil_setCode", (BAD, code(COUNTER, REVERT)))
        yield Chain(pool, ada, await Deployer.connect(pool))


async def test_a_view_knows_its_header_transactions_and_receipts_and_asks_once(chain: Chain) -> None:
    sent = [await chain.submit(GOOD, 7), await chain.submit(BAD)]
    view = await chain.view(await chain.mine())

    header = await view.header()
    first, second = await view.transactions()
    receipts = await view.receipts()
    await view.header()
    await view.receipts()

    assert header.ref == view.ref
    assert header.gas_used == sum(receipt.gas_used for receipt in receipts)
    assert header.base_fee_wei is not None
    assert [f"0x{each.hash.hex()}" for each in (first, second)] == sent
    assert (first.sender, first.to, first.value_wei) == (chain.deployer.governance, GOOD, 7)
    assert (second.index, second.nonce, second.data) == (1, 1, bytes.fromhex("12345678"))
    assert [receipt.succeeded for receipt in receipts] == [True, False]
    assert chain.endpoint.asked["eth_getBlockByHash"] == 1
    assert chain.endpoint.asked["eth_getTransactionReceipt"] == 2


async def test_a_view_has_the_traces_of_what_its_tracer_watches(chain: Chain) -> None:
    sent = await chain.submit(GOOD)
    view = await chain.view(await chain.mine(), GOOD)

    traces = await view.traces()
    await view.traces()

    assert not isinstance(traces, TraceGap)
    assert [trace.hash for trace in traces] == [sent]
    assert chain.endpoint.asked["debug_traceBlockByHash"] == 1


async def test_a_gap_is_not_kept(chain: Chain) -> None:
    await chain.submit(GOOD)
    view = await chain.view(await chain.mine(), GOOD)
    chain.endpoint.refused = dict.fromkeys(("debug_traceBlockByHash", "trace_block"), NO_SUCH_METHOD)
    assert isinstance(await view.traces(), TraceGap)

    chain.endpoint.refused = {}
    assert not isinstance(await view.traces(), TraceGap)


async def test_a_view_without_a_tracer_says_so(chain: Chain) -> None:
    view = await chain.view(await chain.mine())
    with pytest.raises(Unavailable, match="without a tracer"):
        await view.traces()


async def test_a_receipt_of_another_block_is_no_receipt_of_this_one(chain: Chain) -> None:
    await chain.submit(GOOD)
    view = await chain.view(await chain.mine())

    def moved(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionReceipt":
            return {**response, "result": {**response["result"], "blockHash": "0x" + "77" * 32}}
        return response

    chain.endpoint.lie = moved
    with pytest.raises(Unavailable, match="is in block 0x7777"):
        await view.receipts()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hash", "0x" + "77" * 32, "asked for block"),
        ("parentHash", "0x" + "77" * 32, "asked for block"),
        ("timestamp", "0x1", "asked for block"),
        ("gasUsed", "many", "expected a quantity"),
    ],
)
async def test_a_body_that_is_another_blocks_is_not_taken(
    chain: Chain, field: str, value: str, words: str
) -> None:
    view = await chain.view(await chain.mine())

    def altered(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        return {**response, "result": {**response["result"], field: value}}

    chain.endpoint.lie = altered
    with pytest.raises(Unavailable, match=words):
        await view.header()


async def test_transactions_out_of_order_are_not_taken(chain: Chain) -> None:
    await chain.submit(GOOD)
    await chain.submit(GOOD)
    view = await chain.view(await chain.mine())

    def shuffled(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getBlockByHash":
            response["result"]["transactions"].reverse()
        return response

    chain.endpoint.lie = shuffled
    with pytest.raises(Unavailable, match="in the order of their index"):
        await view.transactions()


async def test_more_transactions_than_a_block_can_hold_are_not_taken(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "MAX_TRANSACTIONS", 1)
    await chain.submit(GOOD)
    await chain.submit(GOOD)
    view = await chain.view(await chain.mine())
    with pytest.raises(Unavailable, match="at most 1 transactions"):
        await view.transactions()


async def test_the_block_some_seconds_ago_is_the_newest_that_is_old_enough(chain: Chain) -> None:
    for seconds in (10, 1, 30, 5, 5, 60, 2, 2, 2, 100):
        await chain.mine(seconds=seconds)
    head = await chain.reader.latest()
    view = await chain.view(head)
    blocks = [await chain.reader.block_by_number(BlockNumber(n)) for n in range(head.number + 1)]
    span = head.timestamp - blocks[0].timestamp

    for seconds in {0, 1, 99, 100, 101, 102, 105, 160, 200, span}:
        found = await view.before(Seconds(seconds))
        assert found.ref == max(
            (block for block in blocks if block.timestamp <= head.timestamp - seconds),
            key=lambda block: block.number,
        )


async def test_a_time_before_the_chain_or_the_look_back_is_refused(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await chain.mine(seconds=10)
    view = await chain.view(await chain.reader.latest())

    with pytest.raises(Refused) as refused:
        await view.before(Seconds(10**9))
    assert refused.value.reason is Reason.HISTORY_TOO_SHORT

    monkeypatch.setattr(view_module, "MAX_LOOK_BACK", 2)
    with pytest.raises(Refused, match="reaches 2 blocks"):
        await view.before(Seconds(30))
