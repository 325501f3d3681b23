"""The pool: agreement of two in three, failover, bounds, and what it says when endpoints differ."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from consensus.errors import Reason, Refused
from consensus.types import ChainId
from node.chain import endpoint as endpoint_module
from node.chain.endpoint import EndpointHealth
from node.chain.request import RpcRequest, read_canonical
from node.chain.rpc import NoAgreement, RpcFaulted, RpcPool, open_pool
from node.chain.types import Endpoint
from node.devnet.anvil import Mining, running_anvil
from tests.chain.doubles import EndpointDouble, doubles, pool_of

ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
Three = tuple[EndpointDouble, EndpointDouble, EndpointDouble]


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    async with running_anvil(mining=Mining.WHEN_TOLD) as anvil, doubles(anvil, "ada", "bob", "cyd") as made:
        yield made


def answering(result: Any) -> Any:
    """A lie: this, whatever eth_getBalance really is."""

    def lie(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        return {**response, "result": result} if method == "eth_getBalance" else response

    return lie


def health(pool: RpcPool, name: str) -> EndpointHealth:
    return next(one.health for one in pool.statistics().endpoints if one.name == name)


async def test_one_liar_of_three_is_outvoted_and_counted(three: Three) -> None:
    three[0].lie = answering("0x1")
    async with pool_of(*three) as pool:
        assert await pool.call_agreed("eth_getBalance", (ACCOUNT, "latest")) == hex(10_000 * 10**18)
        with trio.fail_after(5):
            while pool.statistics().endpoints[0].outvoted == 0:
                await trio.lowlevel.checkpoint()
        assert [one.outvoted for one in pool.statistics().endpoints] == [1, 0, 0]


async def test_two_different_liars_of_three_leave_no_answer_and_all_are_named(three: Three) -> None:
    three[0].lie, three[1].lie = answering("0x1"), answering("0x2")
    async with pool_of(*three) as pool:
        with pytest.raises(NoAgreement) as raised:
            await pool.call_agreed("eth_getBalance", (ACCOUNT, "latest"))
        assert pool.statistics().disagreed == 1
    message = str(raised.value)
    assert "needs 2 of 3 endpoints" in message
    assert "ada answered 0x1" in message
    assert "bob answered 0x2" in message
    assert f"cyd answered {hex(10_000 * 10**18)}" in message


async def test_no_message_repr_or_log_line_holds_the_address_of_an_endpoint(
    three: Three, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for double in three:
        double.is_down = True
    async with pool_of(*three) as pool:
        with pytest.raises(NoAgreement) as raised:
            await pool.call_agreed("eth_chainId")
        said = f"{raised.value!r} {pool.statistics()!r} {three[0].endpoint!r}"
    assert "s3cret-token" not in said + caplog.text
    assert "127.0.0.1" not in said


async def test_a_batch_is_agreed_on_request_by_request(three: Three) -> None:
    three[0].lie = answering("0x1")
    three[2].lie = lambda method, params, response: (
        {**response, "result": "0x7"} if method == "eth_gasPrice" else response
    )
    async with pool_of(*three) as pool:
        balance, price, chain_id = await pool.batch_agreed(
            [("eth_getBalance", (ACCOUNT, "latest")), ("eth_gasPrice", ()), ("eth_chainId", ())]
        )
    assert balance == hex(10_000 * 10**18)
    assert price != "0x7"
    assert chain_id == "0x7a69"
    assert three[1].asked["eth_getBalance"] == 1


async def test_a_hanging_endpoint_does_not_hold_up_two_that_agree(three: Three) -> None:
    three[0].hangs = True
    async with pool_of(*three, timeout_seconds=600.0) as pool:
        with trio.fail_after(5):
            assert await pool.call_agreed("eth_chainId") == "0x7a69"


async def test_agreement_is_given_up_as_soon_as_it_cannot_be_reached(three: Three) -> None:
    three[0].status = three[1].status = 500
    three[2].hangs = True
    async with pool_of(*three, timeout_seconds=600.0) as pool:
        with trio.fail_after(5), pytest.raises(NoAgreement, match="cyd had not answered yet"):
            await pool.call_agreed("eth_chainId")


async def test_an_endpoint_that_never_answers_is_given_up_at_the_timeout(three: Three) -> None:
    three[0].hangs = True
    async with pool_of(three[0], agreement=1, timeout_seconds=0.05) as pool:
        with pytest.raises(NoAgreement, match=r"ada gave no answer within 0\.05 s"):
            await pool.call("eth_chainId")
        assert health(pool, "ada") is EndpointHealth.UNREACHABLE


async def test_a_call_goes_to_the_next_endpoint_when_one_is_down_limited_or_failing(three: Three) -> None:
    three[0].is_down = True
    three[1].status = 429
    async with pool_of(*three, agreement=1) as pool:
        assert await pool.call("eth_chainId") == "0x7a69"
        assert health(pool, "ada") is EndpointHealth.UNREACHABLE
        assert health(pool, "bob") is EndpointHealth.LIMITED
        assert health(pool, "cyd") is EndpointHealth.HEALTHY


async def test_a_limited_endpoint_rests_as_long_as_it_asks_for_and_is_not_asked(three: Three) -> None:
    three[0].status, three[0].headers = 429, {"retry-after": "20"}
    async with pool_of(*three) as pool:
        await pool.call("eth_chainId")
        statistics = pool.statistics().endpoints[0]
        assert statistics.limited == 1
        assert 10 < statistics.backoff_seconds <= 20
        asked = three[0].asked["eth_getBalance"]
        for _ in range(3):
            await pool.call_agreed("eth_getBalance", (ACCOUNT, "latest"))
        assert three[0].asked["eth_getBalance"] == asked


async def test_an_endpoint_that_limits_one_request_of_a_batch_rests_and_the_others_count(
    three: Three,
) -> None:
    def limiting(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getBalance":
            return response
        return {"jsonrpc": "2.0", "id": response["id"], "error": {"code": 429, "message": "slow down"}}

    three[0].lie = limiting
    async with pool_of(three[0], agreement=1) as pool:
        balance, chain_id = await pool.agree_each(
            [
                RpcRequest(method="eth_getBalance", params=(ACCOUNT, "latest"), parse=read_canonical),
                RpcRequest(method="eth_chainId", params=(), parse=read_canonical),
            ]
        )
        statistics = pool.statistics().endpoints[0]

    assert isinstance(balance, NoAgreement)
    assert chain_id == b'"0x7a69"'
    assert (statistics.health, statistics.limited) == (EndpointHealth.LIMITED, 1)
    assert statistics.backoff_seconds > 0


async def test_a_server_cannot_ask_for_a_rest_that_never_ends(three: Three) -> None:
    three[0].status, three[0].headers = 429, {"retry-after": "9" * 400}
    async with pool_of(*three) as pool:
        await pool.call("eth_chainId")
        assert pool.statistics().endpoints[0].backoff_seconds <= 30


async def test_resting_endpoints_are_asked_all_the_same_when_too_few_are_awake(three: Three) -> None:
    async with pool_of(*three) as pool:
        for double in three:
            double.status = 500
        with pytest.raises(NoAgreement):
            await pool.call_agreed("eth_chainId")
        for double in three:
            double.status = None
        assert await pool.call_agreed("eth_chainId") == "0x7a69"


async def test_resting_endpoints_are_asked_when_those_awake_do_not_agree(three: Three) -> None:
    three[0].status, three[0].headers = 429, {"retry-after": "20"}
    async with pool_of(*three) as pool:
        await pool.call_agreed("eth_chainId")
        with trio.fail_after(5):
            while health(pool, "ada") is not EndpointHealth.LIMITED:
                await trio.lowlevel.checkpoint()
        three[0].status = None
        three[1].lie = answering("0x1")
        assert await pool.call_agreed("eth_getBalance", (ACCOUNT, "latest")) == hex(10_000 * 10**18)
        with trio.fail_after(5):
            while pool.statistics().endpoints[1].outvoted == 0:
                await trio.lowlevel.checkpoint()


async def test_who_is_slow_still_decides_after_the_resting_ones_were_asked(three: Three) -> None:
    three[0].status, three[0].headers = 429, {"retry-after": "20"}
    async with pool_of(*three, timeout_seconds=600.0) as pool:
        await pool.call("eth_chainId")
        three[0].status, three[1].status, three[2].hangs = None, 500, True
        results: list[object] = []

        async def ask() -> None:
            results.append(await pool.call_agreed("eth_gasPrice"))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await three[0].wait_asked("eth_gasPrice")
                assert results == []
                three[2].release()
    assert len(results) == 1


async def test_an_endpoint_of_another_chain_counts_for_nothing(three: Three) -> None:
    async with pool_of(three[0], chain_id=1, agreement=1) as pool:
        with pytest.raises(NoAgreement, match="ada serves chain 0x7a69, not 0x1"):
            await pool.call_agreed("eth_getBalance", (ACCOUNT, "latest"))
        assert health(pool, "ada") is EndpointHealth.WRONG_CHAIN


async def test_an_endpoint_is_asked_for_its_chain_again_after_it_failed(three: Three) -> None:
    async with pool_of(three[0], agreement=1) as pool:
        await pool.call("eth_gasPrice")
        await pool.call("eth_gasPrice")
        assert three[0].asked["eth_chainId"] == 1
        three[0].status = 500
        with pytest.raises(NoAgreement):
            await pool.call("eth_gasPrice")
        three[0].status = None
        three[0].lie = lambda method, params, response: (
            {**response, "result": "0x1"} if method == "eth_chainId" else response
        )
        with pytest.raises(NoAgreement, match="ada serves chain 0x1, not 0x7a69"):
            await pool.call("eth_gasPrice")


async def test_a_response_beyond_the_bound_is_not_read(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_RESPONSE_BYTES", 1000)
    three[0].body = b'{"result":"' + b"0" * 1000 + b'"}'
    async with pool_of(three[0], agreement=1) as pool:
        with pytest.raises(NoAgreement, match="more than the 1000 bytes"):
            await pool.call("eth_chainId")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>busy</html>", "no JSON-RPC answer"),
        (b"[" * 100_000, "no JSON-RPC answer"),
        (b'[{"id":0,"result":1}]', "1 answers that do not match the 2 requests"),
        (b'[{"id":0,"result":1},{"id":0,"result":2}]', "do not match"),
        (b'[{"id":0,"result":1},{"id":7,"result":2}]', "do not match"),
        (b'[{"id":0},{"id":1,"result":2}]', "neither result nor error"),
        (b'{"id":null,"error":{"code":-32600,"message":"no batches"}}', "error -32600: no batches"),
    ],
)
async def test_an_answer_that_is_none_is_the_endpoints_failure(three: Three, body: bytes, said: str) -> None:
    three[0].body = body
    async with pool_of(three[0], agreement=1) as pool:
        with pytest.raises(NoAgreement, match=said):
            await pool.call("eth_gasPrice")
        assert pool.statistics().endpoints[0].failures == 1


async def test_a_compressed_answer_is_refused_before_it_is_unpacked(three: Three) -> None:
    three[0].body, three[0].headers = b"\x1f\x8b", {"content-encoding": "gzip"}
    async with pool_of(three[0], agreement=1) as pool:
        with pytest.raises(NoAgreement, match="compressed"):
            await pool.call("eth_chainId")


async def test_a_fault_of_the_request_is_raised_at_once_one_of_the_endpoint_passed_by(three: Three) -> None:
    async with pool_of(*three) as pool:
        with pytest.raises(RpcFaulted) as raised:
            await pool.call("eth_sendRawTransaction", ("0x00",))
        assert raised.value.fault.code == -32602
        assert three[1].asked["eth_sendRawTransaction"] == 0
        with pytest.raises(NoAgreement, match="cyd answered error -32601"):
            await pool.call("eth_noSuchMethod")


async def test_slow_endpoints_keep_their_connection(three: Three) -> None:
    async with pool_of(*three) as pool:
        for _ in range(10):
            await pool.call_agreed("eth_chainId")
        with trio.fail_after(5):
            while sum(double.asked["eth_chainId"] for double in three) < 3 * 10 + 3:
                await trio.lowlevel.checkpoint()
    # whoever was slower than the agreement may have been asked again before it had answered
    assert all(double.connections <= 4 for double in three)


async def test_a_broadcast_reaches_every_endpoint_and_is_content_with_one(three: Three) -> None:
    three[0].status = 500
    three[1].hangs = True
    async with pool_of(*three, timeout_seconds=600.0) as pool:
        with trio.fail_after(5):
            assert await pool.broadcast("eth_chainId", ()) == "0x7a69"
            await three[1].wait_asked("eth_chainId")


@pytest.mark.parametrize(("names", "agreement"), [(("a",), 2), (("a", "b"), 0), (("a", "a"), 1), ((), 1)])
async def test_endpoints_that_can_never_agree_are_refused(names: tuple[str, ...], agreement: int) -> None:
    endpoints = tuple(Endpoint(name=name, http="http://127.0.0.1:1") for name in names)
    with pytest.raises(Refused) as raised:
        async with open_pool(ChainId(1), endpoints, agreement=agreement, timeout_seconds=1):
            pass
    assert raised.value.reason is Reason.BAD_ENDPOINTS


async def test_what_a_block_raises_leaves_the_pool_as_it_was_raised(three: Three) -> None:
    with pytest.raises(KeyError):
        async with pool_of(*three):
            raise KeyError
