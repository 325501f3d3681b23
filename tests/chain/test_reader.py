"""Pinned reads from a real chain through endpoints of which one lies or lags: two of three must agree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from consensus.errors import Unavailable
from consensus.types import Address, BlockHash, BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import NoAgreement, RpcPool
from node.chain.types import BalanceRead, BlockRef, CallRead, CallReverted
from node.devnet.anvil import Mining, running_anvil
from tests.chain.doubles import EndpointDouble, Lie, doubles, pool_of

CONTRACT = Address("0x00000000000000000000000000000000DeaDBeef")
RETURNS_BLOCK_NUMBER = "0x435f5260205ff3"
REVERTS_WITH_4_BYTES = "0x63aabbccdd5f526004601cfd"
LOGS_ONE_TOPIC = "0x60075f5fa1"
ENDPOINTS = ("ada", "bob", "cyd")


class Chain:
    """A pool over three doubles before one anvil."""

    def __init__(self, pool: RpcPool, three: tuple[EndpointDouble, ...]) -> None:
        self.pool, self.three, self.reader = pool, three, ChainReader(pool)

    async def mine(self) -> BlockRef:
        await self.pool.call("evm_mine")
        return await self.reader.latest()

    async def set_code(self, code: str) -> None:
        await self.pool.call("anvil_setCode", (CONTRACT, code))


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, *ENDPOINTS) as three,
        pool_of(*three) as pool,
    ):
        yield Chain(pool, three)


def altered(method: str, **fields: Any) -> Lie:
    """Change those fields of the result, or of the error, of one method."""

    def lie(called: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if called != method or not isinstance(response.get("result"), dict):
            return response
        return {**response, "result": response["result"] | fields}

    return lie


def answering(method: str, **response: Any) -> Lie:
    """Answer one method with this result or error."""

    def lie(called: str, params: list[Any], real: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": real["id"], **response} if called == method else real

    return lie


async def test_a_read_is_pinned_to_its_block_while_the_chain_moves_on(chain: Chain) -> None:
    await chain.set_code(RETURNS_BLOCK_NUMBER)
    first = await chain.mine()
    second = await chain.mine()
    assert second.parent_hash == first.hash
    assert await chain.reader.eth_call(CONTRACT, b"", first) == first.number.to_bytes(32, "big")
    assert await chain.reader.eth_call(CONTRACT, b"", second) == second.number.to_bytes(32, "big")


async def test_reads_of_every_kind(chain: Chain) -> None:
    await chain.pool.call("anvil_setBalance", (CONTRACT, "0x7"))
    await chain.pool.call("anvil_setStorageAt", (CONTRACT, "0x2", "0x" + "05".rjust(64, "0")))
    await chain.set_code(LOGS_ONE_TOPIC)
    sender = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    sent = await chain.pool.call("eth_sendTransaction", ({"from": sender, "to": CONTRACT, "gas": "0xffff"},))
    at = await chain.mine()
    assert await chain.reader.get_balance(CONTRACT, at) == 7
    assert await chain.reader.get_storage(CONTRACT, 2, at) == (5).to_bytes(32, "big")
    topic = (7).to_bytes(32, "big")
    (log,) = await chain.reader.get_logs(at, addresses=(CONTRACT,), topics=(topic,))
    assert log.address == CONTRACT
    assert log.topics == (topic,)
    assert await chain.reader.get_logs(at, topics=((8).to_bytes(32, "big"),)) == ()
    assert await chain.reader.get_logs_between(CONTRACT, (None,), BlockNumber(0), at.number) == (log,)
    assert isinstance(sent, str)
    receipt = await chain.reader.receipt(bytes.fromhex(sent[2:]))
    assert receipt is not None
    assert receipt.block_hash == at.hash
    assert receipt.succeeded
    assert await chain.reader.receipt(b"\x01" * 32) is None


async def test_a_revert_is_a_value_with_its_data(chain: Chain) -> None:
    await chain.set_code(REVERTS_WITH_4_BYTES)
    at = await chain.mine()
    assert await chain.reader.eth_call(CONTRACT, b"", at) == CallReverted(data=b"\xaa\xbb\xcc\xdd")


async def test_one_altered_header_is_outvoted(chain: Chain) -> None:
    at = await chain.mine()
    chain.three[0].lie = altered("eth_getBlockByHash", timestamp="0x1")
    assert await chain.reader.block_by_hash(at.hash) == at


async def test_two_altered_headers_are_no_answer(chain: Chain) -> None:
    at = await chain.mine()
    chain.three[0].lie = altered("eth_getBlockByHash", timestamp="0x1")
    chain.three[1].lie = altered("eth_getBlockByHash", parentHash="0x" + "66" * 32)
    with pytest.raises(NoAgreement, match=r"ada answered .*; bob answered .*; cyd answered"):
        await chain.reader.block_by_hash(at.hash)


async def test_a_header_with_another_hash_than_asked_for_never_counts_not_even_from_all(chain: Chain) -> None:
    at = await chain.mine()
    for double in chain.three:
        double.lie = altered("eth_getBlockByHash", hash="0x" + "66" * 32)
    with pytest.raises(NoAgreement, match="asked for 0x"):
        await chain.reader.block_by_hash(at.hash)


async def test_clients_that_write_other_fields_into_a_header_still_agree(chain: Chain) -> None:
    at = await chain.mine()
    for number, double in enumerate(chain.three):
        double.lie = altered("eth_getBlockByHash", size=hex(number), totalDifficulty=hex(number))
    assert await chain.reader.block_by_hash(at.hash) == at


async def test_one_altered_call_result_is_outvoted_and_two_are_no_answer(chain: Chain) -> None:
    await chain.set_code(RETURNS_BLOCK_NUMBER)
    at = await chain.mine()
    chain.three[0].lie = answering("eth_call", result="0x" + "66" * 32)
    assert await chain.reader.eth_call(CONTRACT, b"", at) == at.number.to_bytes(32, "big")
    chain.three[1].lie = answering(
        "eth_call", error={"code": 3, "message": "execution reverted", "data": "0x"}
    )
    with pytest.raises(NoAgreement, match=r"ada answered 0x66.*; bob answered error 3"):
        await chain.reader.eth_call(CONTRACT, b"", at)


async def test_a_lagging_endpoint_is_its_own_failure_and_no_revert(chain: Chain) -> None:
    await chain.set_code(RETURNS_BLOCK_NUMBER)
    at = await chain.mine()
    missing = answering("eth_call", error={"code": -32000, "message": "header not found"})
    chain.three[0].lie = missing
    assert await chain.reader.eth_call(CONTRACT, b"", at) == at.number.to_bytes(32, "big")
    chain.three[1].lie = missing
    with pytest.raises(NoAgreement, match="ada answered error -32000: header not found"):
        await chain.reader.eth_call(CONTRACT, b"", at)


async def test_a_block_that_most_do_not_have_yet_is_unavailable(chain: Chain) -> None:
    at = await chain.mine()
    chain.three[0].lie = chain.three[1].lie = answering("eth_getBlockByHash", result=None)
    with pytest.raises(Unavailable, match="not known to the endpoints that must agree"):
        await chain.reader.block_by_hash(at.hash)
    with pytest.raises(Unavailable, match="not known"):
        await chain.reader.block_by_number(BlockNumber(at.number + 1))


async def test_a_block_that_left_the_chain_is_not_read_any_more(chain: Chain) -> None:
    await chain.set_code(RETURNS_BLOCK_NUMBER)
    at = await chain.mine()
    await chain.pool.call("anvil_reorg", (1, []))
    with pytest.raises(NoAgreement):
        await chain.reader.eth_call(CONTRACT, b"", at)


async def test_no_single_endpoint_decides_how_high_the_chain_is(chain: Chain) -> None:
    at = await chain.mine()
    chain.three[0].lie = answering("eth_blockNumber", result="0xffffff")
    assert await chain.reader.latest_number() == at.number
    chain.three[0].lie = answering("eth_blockNumber", result="0x0")
    assert await chain.reader.latest_number() == at.number
    chain.three[0].is_down = chain.three[1].is_down = True
    with pytest.raises(Unavailable, match="needs 2 answers, came 1"):
        await chain.reader.latest_number()


async def test_each_read_of_a_batch_has_its_own_outcome(chain: Chain) -> None:
    await chain.set_code(RETURNS_BLOCK_NUMBER)
    at = await chain.mine()
    chain.three[0].lie = chain.three[1].lie = answering(
        "eth_getBalance", error={"code": -32005, "message": "no"}
    )

    value, failed = await chain.reader.read_each(
        (CallRead(to=CONTRACT, data=b""), BalanceRead(account=CONTRACT)), at
    )
    assert value == at.number.to_bytes(32, "big")
    assert isinstance(failed, NoAgreement)
    absent_block = BlockHash(b"\x01" * 32)
    with pytest.raises(Unavailable):
        await chain.reader.block_by_hash(absent_block)
