"""Sending on a real chain: nonces, rising fees up to the cap, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from eth_account import Account

import node.chain.sender
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, ChainId
from node.chain.rpc import RpcPool
from node.chain.sender import Call, FeePolicy, TransactionSender
from node.chain.types import Receipt
from node.devnet.anvil import Mining, running_anvil
from tests.chain.doubles import EndpointDouble, doubles, pool_of

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first, public by design
TARGET = Address("0x00000000000000000000000000000000DeaDBeef")
REVERTS = "0x5f5ffd"
GWEI = 10**9
CHAIN = ChainId(31337)
POLL_SECONDS = 0.005


class Chain:
    """An anvil that mines when told, three endpoints before it, and a pool of which two must agree."""

    def __init__(self, pool: RpcPool, three: tuple[EndpointDouble, ...]) -> None:
        self.pool, self.three = pool, three
        self.is_lagging = False

    async def mine(self) -> None:
        await self.pool.call("evm_mine")

    async def pending(self) -> list[dict[str, Any]]:
        content = await self.pool.call("txpool_content")
        assert isinstance(content, dict)
        by_sender: Any = content["pending"]
        return [transaction for queue in by_sender.values() for transaction in queue.values()]

    def sender(self, **policy: Any) -> TransactionSender:
        fees = {"cap_wei_per_gas": 100 * GWEI, "replace_after_seconds": 600.0, "give_up_after_seconds": 600.0}
        return TransactionSender(
            self.pool, Account.from_key(KEY), FeePolicy(**(fees | policy)), poll_seconds=POLL_SECONDS
        )

    async def drop(self, nonce: int) -> None:
        """Let the pool forget the transaction with this nonce."""
        for one in await self.pending():
            if int(one["nonce"], 16) == nonce:
                await self.pool.call("anvil_dropTransaction", (one["hash"],))

    async def wait_pending(self, count: int) -> list[dict[str, Any]]:
        with trio.fail_after(20):
            while len(pending := await self.pending()) < count:
                pass
        return pending


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada", "bob", "cyd") as three,
        pool_of(*three) as pool,
    ):
        yield Chain(pool, three)


def call(**fields: Any) -> Call:
    return Call(**({"chain_id": CHAIN, "to": TARGET, "data": b"\x01", "gas_limit": 60_000} | fields))


@asynccontextmanager
async def sending(sender: TransactionSender, *calls: Call) -> AsyncIterator[list[Receipt]]:
    """Send those at the same time; all are mined when the block is left."""
    receipts: list[Receipt] = []

    async def send(one: Call) -> None:
        receipts.append(await sender.send(one))

    async with trio.open_nursery() as nursery:
        for one in calls:
            nursery.start_soon(send, one)
        yield receipts
        with trio.fail_after(20):
            while len(receipts) < len(calls):
                await trio.lowlevel.checkpoint()


def refuse_sending(chain: Chain, message: str) -> None:
    """Let every endpoint refuse transactions with these words."""
    for double in chain.three:
        double.refused["eth_sendRawTransaction"] = message


async def test_a_transaction_is_mined_and_its_receipt_returned(chain: Chain) -> None:
    sender = chain.sender()
    async with sending(sender, call(value_wei=5)) as receipts:
        await chain.wait_pending(1)
        assert receipts == []
        await chain.mine()
    assert receipts[0].succeeded
    assert receipts[0].block_number == 1
    assert await chain.pool.call("eth_getBalance", (TARGET, "latest")) == "0x5"


async def test_a_transaction_that_fails_on_chain_has_a_receipt_that_says_so(chain: Chain) -> None:
    await chain.pool.call("anvil_setCode", (TARGET, REVERTS))
    async with sending(chain.sender(), call()) as receipts:
        await chain.wait_pending(1)
        await chain.mine()
    assert not receipts[0].succeeded


async def test_several_at_a_time_take_consecutive_nonces(chain: Chain) -> None:
    async with sending(chain.sender(), *[call(value_wei=number) for number in range(5)]) as receipts:
        pending = await chain.wait_pending(5)
        assert sorted(int(one["nonce"], 16) for one in pending) == [0, 1, 2, 3, 4]
        await chain.mine()
    assert len({receipt.transaction_hash for receipt in receipts}) == 5


async def test_a_nonce_that_another_process_used_is_healed(chain: Chain) -> None:
    first, second = chain.sender(), chain.sender()
    for sender in (first, second, first):
        async with sending(sender, call()):
            await chain.wait_pending(1)
            await chain.mine()
    assert first.statistics().mined == 2


async def test_a_nonce_that_is_taken_between_the_count_and_the_sending_is_healed(chain: Chain) -> None:
    def lag(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        is_stale = method == "eth_getTransactionCount" and params[1] == "pending" and chain.is_lagging
        return {**response, "result": "0x0"} if is_stale else response

    async with sending(chain.sender(), call()):
        await chain.wait_pending(1)
        await chain.mine()
    sender = chain.sender()
    for double in chain.three:
        double.lie = lag
    chain.is_lagging = True
    async with sending(sender, call()):
        await chain.three[0].wait_asked("eth_sendRawTransaction", 2)
        chain.is_lagging = False
        await chain.wait_pending(1)
        await chain.mine()
    assert sender.statistics().nonces_healed >= 1
    assert sender.statistics().mined == 1


async def test_a_nonce_that_is_always_taken_is_not_healed_for_ever(chain: Chain) -> None:
    refuse_sending(chain, "nonce too low")
    with pytest.raises(Unavailable, match="is taken again and again"):
        await chain.sender().send(call())


async def test_what_is_not_mined_is_replaced_with_a_higher_fee_up_to_the_cap(chain: Chain) -> None:
    sender = chain.sender(replace_after_seconds=0.02, cap_wei_per_gas=4 * GWEI)
    async with sending(sender, call()) as receipts:
        with trio.fail_after(20):
            while sender.statistics().replaced < 1:
                await trio.lowlevel.checkpoint()
        (pending,) = await chain.wait_pending(1)
        asked = chain.three[0].asked["eth_feeHistory"]
        await chain.three[0].wait_asked("eth_feeHistory", asked + 5)  # it tried, and the cap held it
        assert int(pending["nonce"], 16) == 0
        assert int(pending["maxFeePerGas"], 16) <= 4 * GWEI
        assert int(pending["maxPriorityFeePerGas"], 16) > GWEI
        await chain.mine()
    assert receipts[0].succeeded
    assert sender.statistics().sent <= 3


async def test_a_chain_that_asks_for_more_than_the_cap_is_refused(chain: Chain) -> None:
    with pytest.raises(Refused) as raised:
        await chain.sender(cap_wei_per_gas=GWEI, give_up_after_seconds=0.5).send(call())
    assert raised.value.reason is Reason.FEE_CAP_REACHED


async def test_one_endpoint_cannot_make_us_overpay_or_stall(chain: Chain) -> None:
    def overprice(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_feeHistory":
            return {**response, "result": {"baseFeePerGas": [hex(10**18)], "reward": [[hex(10**18)]]}}
        return {**response, "result": "0xff"} if method == "eth_getTransactionCount" else response

    chain.three[0].lie = overprice
    async with sending(chain.sender(), call()):
        (pending,) = await chain.wait_pending(1)
        assert int(pending["nonce"], 16) == 0
        assert int(pending["maxFeePerGas"], 16) < 5 * GWEI
        await chain.mine()


async def test_another_chain_is_refused_before_anything_is_signed(chain: Chain) -> None:
    with pytest.raises(Refused) as raised:
        await chain.sender().send(call(chain_id=ChainId(1)))
    assert raised.value.reason is Reason.WRONG_CHAIN
    assert all(double.asked["eth_sendRawTransaction"] == 0 for double in chain.three)


async def test_what_every_endpoint_refuses_is_refused_with_its_words(chain: Chain) -> None:
    refuse_sending(chain, "insufficient funds for gas * price + value")
    with pytest.raises(Refused, match="insufficient funds") as raised:
        await chain.sender().send(call())
    assert raised.value.reason is Reason.TRANSACTION_REFUSED


async def test_a_refused_transaction_leaves_no_gap_in_the_nonces(chain: Chain) -> None:
    sender = chain.sender()
    refuse_sending(chain, "insufficient funds")
    with pytest.raises(Refused):
        await sender.send(call())
    for double in chain.three:
        double.refused.clear()
    async with sending(sender, call()) as receipts:
        (pending,) = await chain.wait_pending(1)
        assert int(pending["nonce"], 16) == 0
        await chain.mine()
    assert receipts[0].succeeded


async def test_a_receipt_that_one_endpoint_invents_does_not_count(chain: Chain) -> None:
    def invent(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getTransactionReceipt":
            return response
        made_up = {"transactionHash": params[0], "blockHash": "0x" + "66" * 32, "blockNumber": "0x1"}
        return {**response, "result": {**made_up, "status": "0x1", "gasUsed": "0x1"}}

    chain.three[0].lie = invent
    async with sending(chain.sender(), call()) as receipts:
        await chain.three[0].wait_asked("eth_getTransactionReceipt", 5)
        assert receipts == []
        await chain.mine()
    assert receipts[0].block_hash != b"\x66" * 32


async def test_waiting_ends_and_names_what_may_still_be_mined(chain: Chain) -> None:
    with pytest.raises(Unavailable, match=r"was not mined within 0\.1 s .* may still be: 0x"):
        await chain.sender(give_up_after_seconds=0.1).send(call())


async def test_what_vanished_from_the_pool_is_sent_again_even_at_the_cap(chain: Chain) -> None:
    sender = chain.sender(replace_after_seconds=0.05, cap_wei_per_gas=2 * GWEI)
    async with sending(sender, call()) as receipts:
        await chain.wait_pending(1)
        await chain.drop(0)
        await chain.wait_pending(1)
        await chain.mine()
    assert receipts[0].succeeded
    assert sender.statistics().sent == 1, "the same bytes: the cap leaves no raise"


async def test_a_call_whose_nonce_another_transaction_used_up_goes_out_again_under_the_next(
    chain: Chain,
) -> None:
    sender = chain.sender()
    async with sending(sender, call(value_wei=5)) as receipts:
        await chain.wait_pending(1)
        await chain.drop(0)
        elsewhere = {"from": sender.address, "to": TARGET, "value": "0x7", "nonce": "0x0"}
        await chain.pool.call("eth_sendTransaction", (elsewhere,))
        await chain.mine()
        (pending,) = await chain.wait_pending(1)
        assert int(pending["nonce"], 16) == 1
        await chain.mine()
    assert receipts[0].succeeded
    assert sender.statistics().nonces_healed == 1
    assert await chain.pool.call("eth_getBalance", (TARGET, "latest")) == "0xc"


async def test_a_nonce_that_is_used_up_elsewhere_every_time_is_given_up(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.chain.sender, "NONCE_HEALINGS", 1)
    sender = chain.sender()

    async def use_it_elsewhere() -> None:
        await chain.wait_pending(1)
        await chain.drop(0)
        elsewhere = {"from": sender.address, "to": TARGET, "value": "0x7", "nonce": "0x0"}
        await chain.pool.call("eth_sendTransaction", (elsewhere,))
        await chain.mine()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use_it_elsewhere)
        with pytest.raises(Unavailable, match="is taken again and again"):
            await sender.send(call())


async def test_a_gap_that_a_given_up_send_left_is_closed_by_an_empty_transfer(chain: Chain) -> None:
    sender = chain.sender(replace_after_seconds=0.05)
    with trio.CancelScope() as given_up:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, call(value_wei=1))
            await chain.wait_pending(1)
            nursery.start_soon(
                sender.send, call(value_wei=2)
            )  # takes nonce 1, and is given up with the first
            await chain.wait_pending(2)
            given_up.cancel()
    async with sending(sender, call(value_wei=5)) as receipts:
        await chain.wait_pending(3)
        await chain.drop(0)
        await chain.drop(1)
        with trio.fail_after(20):
            while {int(one["nonce"], 16) for one in await chain.pending()} != {0, 1, 2}:
                pass
        await chain.mine()
    assert receipts[0].succeeded
    assert sender.statistics().nonces_cleared >= 2
    assert await chain.pool.call("eth_getBalance", (TARGET, "latest")) == "0x5"


async def test_what_an_earlier_life_left_at_too_low_a_fee_is_replaced_and_holds_nothing_up(
    chain: Chain,
) -> None:
    sender = chain.sender(replace_after_seconds=0.05)
    stuck = {"from": sender.address, "to": TARGET, "value": "0x7", "nonce": "0x0"}
    fees = {"maxFeePerGas": hex(2 * GWEI), "maxPriorityFeePerGas": "0x1", "gas": hex(21_000)}
    await chain.pool.call("eth_sendTransaction", (stuck | fees,))
    async with sending(sender, call(value_wei=5)) as receipts:
        with trio.fail_after(20):
            while sender.statistics().nonces_cleared < 1:
                await trio.lowlevel.checkpoint()
        await chain.wait_pending(2)
        await chain.mine()
    assert receipts[0].succeeded
    assert await chain.pool.call("eth_getBalance", (TARGET, "latest")) == "0x5"


async def test_transactions_in_flight_are_not_cleared_away_by_those_behind_them(chain: Chain) -> None:
    sender = chain.sender(replace_after_seconds=0.05, cap_wei_per_gas=4 * GWEI)
    async with sending(sender, call(value_wei=1), call(value_wei=2)):
        await chain.wait_pending(2)
        asked = chain.three[0].asked["eth_feeHistory"]
        await chain.three[0].wait_asked("eth_feeHistory", asked + 6)
        await chain.mine()
    assert sender.statistics().nonces_cleared == 0
    assert await chain.pool.call("eth_getBalance", (TARGET, "latest")) == "0x3"
