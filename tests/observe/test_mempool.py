"""Pending transactions from a real node's pool: each once, malformed ones refused, a lost filter set anew."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import Reason, Refused, Unavailable
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.devnet.anvil import Mining, running_anvil
from node.observe import mempool
from node.observe.mempool import MempoolFollower, parse_pending, read_transactions
from tests.chain.doubles import EndpointDouble, doubles, pool_of

TARGET = "0x" + "c1" * 20


class Pool:
    def __init__(self, pool: RpcPool, endpoint: EndpointDouble, sender: str) -> None:
        self.pool, self.endpoint, self.sender = pool, endpoint, sender

    async def submit(self, value: int) -> str:
        call = {"from": self.sender, "to": TARGET, "value": hex(value), "data": "0x1234", "gas": "0x186a0"}
        return str(await self.pool.call("eth_sendTransaction", (call,)))  # type: ignore[arg-type]


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as opened,
    ):
        accounts = await opened.call("eth_accounts")
        assert isinstance(accounts, list)
        yield Pool(opened, ada, str(accounts[0]))


async def test_each_pending_transaction_is_told_once(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    assert await follower.poll() == ()
    hashes = [await pool.submit(value) for value in (1, 2)]

    found = await follower.poll()

    assert [each.hash for each in found] == hashes
    assert (found[0].sender, found[0].to) == (pool.sender.lower(), TARGET)
    assert (found[0].value_wei, found[0].data, found[0].gas) == (1, b"\x12\x34", 100_000)
    assert await follower.poll() == ()


async def test_a_filter_that_the_endpoint_forgot_is_set_anew(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll()
    await pool.pool.call("eth_uninstallFilter", (follower._filter,))
    forgets: dict[str, Any] = {"error": {"code": -32000, "message": "filter not found"}}

    def forget(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        response.pop("result", None)
        return response | forgets

    honest = pool.endpoint.lie
    pool.endpoint.lie = forget
    with pytest.raises(Unavailable):
        await follower.poll()
    pool.endpoint.lie = honest
    assert await follower.poll() == ()
    transaction_hash = await pool.submit(1)

    assert [each.hash for each in await follower.poll()] == [transaction_hash]


async def test_an_answer_that_is_no_list_is_no_empty_pool(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll()
    pool.endpoint.lie = lambda method, params, response: response | {"result": "0x"}

    with pytest.raises(Unavailable, match="a list"):
        await follower.poll()


async def test_what_is_malformed_is_counted_and_the_rest_is_told(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll()
    hashes = [await pool.submit(value) for value in (1, 2)]

    def garble(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionByHash" and params == [hashes[0]]:
            return response | {"result": {"hash": hashes[0]}}
        return response

    pool.endpoint.lie = garble

    assert [each.hash for each in await follower.poll()] == hashes[1:]
    assert follower.refused == 1


async def test_what_an_endpoint_tells_again_is_not_told_again(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll()
    transaction_hash = await pool.submit(1)

    def repeat(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        again = {"result": [transaction_hash, transaction_hash]}
        return response | (again if method == "eth_getFilterChanges" else {})

    pool.endpoint.lie = repeat

    assert [len(await follower.poll()) for _ in range(2)] == [1, 0]


async def test_a_flood_is_cut_and_counted(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_POLLED", 2)
    monkeypatch.setattr(mempool, "MAX_REMEMBERED", 1)
    follower = MempoolFollower(pool.pool)
    await follower.poll()
    for value in range(3):
        await pool.submit(value)

    assert len(await follower.poll()) == 2
    assert follower.passed_over == 1
    assert len(follower._known) == 1


async def test_a_blocks_transactions_are_read_by_its_hash(pool: Pool) -> None:
    transaction_hash = await pool.submit(3)
    await pool.pool.call("evm_mine")
    head = await ChainReader(pool.pool).latest()

    (found,) = await read_transactions(pool.pool, head)

    assert (found.hash, found.value_wei) == (transaction_hash, 3)
    pool.endpoint.lie = lambda method, params, response: response | {"result": None}
    with pytest.raises(Unavailable):
        await read_transactions(pool.pool, head)


GOOD = {
    "hash": "0x" + "11" * 32,
    "from": TARGET,
    "to": None,
    "input": "0x",
    "value": "0x0",
    "gas": "0x5208",
}


def test_a_creation_has_no_receiver() -> None:
    assert parse_pending(GOOD).to is None


@pytest.mark.parametrize(
    "changes",
    [
        {"hash": "0x12"},
        {"from": "0x12"},
        {"to": "nobody"},
        {"input": "0xzz"},
        {"value": "-0x1"},
        {"value": 5},
        {"gas": None},
        {"gas": hex(2**64)},
        {"input": "0x" + "00" * 131_073},
    ],
)
def test_what_is_no_transaction_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Refused):
        parse_pending(GOOD | changes)


@pytest.mark.parametrize("answer", [None, [], "0x", {"hash": "0x"}])
def test_what_is_no_object_is_refused(answer: object) -> None:
    with pytest.raises(Refused) as raised:
        parse_pending(answer)
    assert raised.value.reason is Reason.PENDING_INVALID


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(GOOD)), inner, max_size=6)
    ),
    max_leaves=8,
)


@given(ANYTHING)
def test_no_answer_does_worse_than_being_refused(answer: object) -> None:
    with contextlib.suppress(Refused):
        parse_pending(answer)
    if isinstance(answer, dict):
        with contextlib.suppress(Refused):
            parse_pending(GOOD | answer)


# --- what is signed rests on the transaction's own bytes


async def test_a_pending_transaction_is_told_by_its_own_bytes(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll_signed()
    transaction_hash = await pool.submit(7)

    (signed,) = await follower.poll_signed()

    assert f"0x{signed.hash.hex()}" == transaction_hash
    assert (signed.sender.lower(), signed.value_wei, signed.data) == (pool.sender.lower(), 7, b"\x12\x34")


@pytest.mark.parametrize(
    "lie", [{"value": "0x8"}, {"to": "0x" + "c2" * 20}, {"nonce": "0x9"}, {"input": "0x"}, {"s": "0x1"}]
)
async def test_what_an_endpoint_tells_otherwise_than_it_was_signed_is_refused(
    pool: Pool, lie: dict[str, str]
) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll_signed()
    await pool.submit(7)
    pool.endpoint.lie = _about_transactions(lie)

    assert await follower.poll_signed() == ()
    assert follower.refused == 1


async def test_a_sender_that_an_endpoint_makes_up_is_not_the_one_that_is_told(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll_signed()
    await pool.submit(7)
    pool.endpoint.lie = _about_transactions({"from": "0x" + "c2" * 20})

    (signed,) = await follower.poll_signed()

    assert signed.sender.lower() == pool.sender.lower()


async def test_a_type_that_is_not_run_is_counted_apart(pool: Pool) -> None:
    follower = MempoolFollower(pool.pool)
    await follower.poll_signed()
    await pool.submit(7)
    pool.endpoint.lie = _about_transactions({"type": "0x4"})

    assert await follower.poll_signed() == ()
    assert (follower.unread, follower.refused) == (1, 0)


def _about_transactions(changes: dict[str, str]) -> Any:
    def lie(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getTransactionByHash":
            return response
        return response | {"result": response["result"] | changes}

    return lie
