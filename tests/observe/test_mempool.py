"""Pending transactions from a real node's pool: each once, malformed ones refused, a lost filter set anew."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import Reason, Refused, Unavailable
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool, open_pool
from node.chain.signed import SignedTransaction
from node.chain.types import Endpoint
from node.devnet.anvil import Mining, running_anvil
from node.observe import mempool
from node.observe.mempool import MempoolFollower, parse_pending, read_transactions
from node.observe.subscription import MAX_FRUITLESS
from tests.chain.doubles import EndpointDouble, WebsocketDouble, doubles, pool_of, websocket_double

TARGET = "0x" + "c1" * 20
PATIENCE_SECONDS = 20.0


class Pool:
    def __init__(self, pool: RpcPool, endpoint: EndpointDouble, sender: str, ws: str) -> None:
        self.pool, self.endpoint, self.sender, self.ws = pool, endpoint, sender, ws

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
        yield Pool(opened, ada, str(accounts[0]), anvil.ws)


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


# --- announced over a websocket


@asynccontextmanager
async def listening(pool: Pool, ws: str) -> AsyncIterator[MempoolFollower]:
    """A follower that hears this websocket, and asks the endpoint that the test may make lie."""
    endpoint = Endpoint(name="ada", http=pool.endpoint.endpoint.http, ws=ws)
    async with (
        open_pool(pool.pool.chain_id, (endpoint,), agreement=1, timeout_seconds=10) as opened,
        trio.open_nursery() as nursery,
    ):
        follower = MempoolFollower(opened)
        nursery.start_soon(follower.listen)
        yield follower
        nursery.cancel_scope.cancel()


async def hear(follower: MempoolFollower) -> SignedTransaction | None:
    with trio.fail_after(PATIENCE_SECONDS):
        return await follower.hear_signed()


def pending(transaction_hash: str) -> str:
    return f'{{"params":{{"result":"{transaction_hash}"}}}}'


async def test_an_announced_transaction_is_told_without_a_poll_and_not_again_by_one(pool: Pool) -> None:
    async with listening(pool, pool.ws) as follower:
        await follower.poll_signed()
        sent: list[str] = []
        with trio.fail_after(PATIENCE_SECONDS):
            while not follower._announced:  # the first may come before the subscription stands
                sent.append(await pool.submit(len(sent)))
                await trio.testing.wait_all_tasks_blocked(0.01)

        signed = await hear(follower)

        assert signed is not None
        told = f"0x{signed.hash.hex()}"
        assert told in sent
        polled = [f"0x{each.hash.hex()}" for each in await follower.poll_signed()]
        assert sorted([told, *polled]) == sorted(sent)


async def test_what_the_poll_told_is_not_told_again_when_it_is_announced(pool: Pool) -> None:
    async with websocket_double() as double, listening(pool, double.url) as follower:
        await double.wait_subscribed(1)
        await follower.poll_signed()
        transaction_hash = await pool.submit(1)
        await double.say(pending(transaction_hash))
        with trio.fail_after(PATIENCE_SECONDS):
            while not follower._announced:
                await trio.lowlevel.checkpoint()
        assert len(await follower.poll_signed()) == 1
        asked = pool.endpoint.asked["eth_getTransactionByHash"]

        assert await hear(follower) is None
        assert pool.endpoint.asked["eth_getTransactionByHash"] == asked
        assert follower.unfounded == 0


async def test_a_websocket_that_breaks_is_counted_while_the_poll_goes_on(pool: Pool) -> None:
    async with websocket_double() as double, listening(pool, double.url) as follower:
        await double.wait_subscribed(1)
        await follower.poll_signed()
        await double.drop()
        transaction_hash = await pool.submit(1)

        assert [f"0x{each.hash.hex()}" for each in await follower.poll_signed()] == [transaction_hash]
        await wait_subscribed(double, 2)
        assert follower.reconnects == 1
        transaction_hash = await pool.submit(2)
        await double.say(pending(transaction_hash))
        signed = await hear(follower)
        assert signed is not None
        assert f"0x{signed.hash.hex()}" == transaction_hash


async def test_a_websocket_that_invents_is_not_heard_until_there_is_something_to_announce(pool: Pool) -> None:
    async with websocket_double() as double, listening(pool, double.url) as follower:
        await double.wait_subscribed(1)
        await follower.poll_signed()
        for message in ("", "{", "[]", '{"params":null}'):  # nothing is announced
            await double.say(message)
        for message in (pending("0x66"), '{"params":{"result":{"hash":"0x66"}}}', '{"params":{"result":7}}'):
            await double.say(message)
        for number in range(MAX_FRUITLESS + 20):
            await double.say(pending(f"0x{number:064x}"))
        with trio.fail_after(PATIENCE_SECONDS):
            while follower._fruitless < MAX_FRUITLESS:
                await follower.hear_signed()
        while follower._announced:  # what waited when the last one was counted
            await hear(follower)
        asked = pool.endpoint.asked["eth_getTransactionByHash"]
        await double.say(pending(f"0x{99:064x}"))
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert not follower._announced
        assert pool.endpoint.asked["eth_getTransactionByHash"] == asked
        assert MAX_FRUITLESS <= follower.unfounded <= MAX_FRUITLESS + 23
        await pool.submit(1)
        assert len(await follower.poll_signed()) == 1
        transaction_hash = await pool.submit(2)
        await double.say(pending(transaction_hash))
        assert await hear(follower) is not None


async def test_announcing_a_transaction_too_early_does_not_hide_it(pool: Pool) -> None:
    async with websocket_double() as double, listening(pool, double.url) as follower:
        await double.wait_subscribed(1)
        await follower.poll_signed()
        transaction_hash = await pool.submit(1)
        honest = pool.endpoint.lie
        pool.endpoint.lie = lambda method, params, response: response | {"result": None}
        await double.say(pending(transaction_hash))
        assert await hear(follower) is None
        pool.endpoint.lie = honest

        assert [f"0x{each.hash.hex()}" for each in await follower.poll_signed()] == [transaction_hash]
        assert follower.unfounded == 1


async def test_a_flood_of_announcements_is_cut(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MAX_ANNOUNCED", 2)
    async with websocket_double() as double, listening(pool, double.url) as follower:
        await double.wait_subscribed(1)
        for number in range(9):
            await double.say(pending(f"0x{number:064x}"))
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert len(follower._announced) == 2


async def wait_subscribed(double: WebsocketDouble, times: int) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        await double.wait_subscribed(times)
