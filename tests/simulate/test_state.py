"""Where a simulation's state comes from: what a genesis file holds, and what endpoints agree on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, Bps, Seconds
from node.chain.reader import ChainReader
from node.detect.evidence import Family
from node.detect.pending_drain import PendingDrain
from node.detect.watch import Watch
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.observe.mempool import MempoolFollower, read_transactions
from node.pending import PendingTransaction, Simulation
from node.simulate import state as state_module
from node.simulate.simulator import NextBlock, open_simulator
from node.simulate.state import AccountState, AgreedState, read_genesis
from node.trace import Account, CallKind, Token
from tests.chain.doubles import doubles, pool_of
from tests.detect.policies import make_policy
from tests.simulate.worlds import COUNT, TARGET, USER

ONE = 10**18


def written(folder: Path, genesis: object) -> Path:
    path = folder / "genesis.json"
    path.write_text(genesis if isinstance(genesis, str) else json.dumps(genesis))
    return path


async def test_a_genesis_file_holds_what_it_lists_and_nothing_else(tmp_path: Path) -> None:
    entry = {"balance": "0x5", "nonce": "0x1", "code": "0x00", "storage": {"0x7": "0x2a"}}
    path = written(tmp_path, {"timestamp": "0x10", "number": "0x9", "alloc": {TARGET.upper(): entry}})
    # upper() makes the 0x an 0X too, which no genesis has
    path.write_text(path.read_text().replace("0X", "0x"))

    state, number, timestamp = read_genesis(path, {USER: 3})

    assert (number, timestamp) == (9, 16)
    assert await state.account(TARGET) == AccountState(balance_wei=5, nonce=1, code=b"\0")
    assert await state.account(USER) == AccountState(balance_wei=3, nonce=0, code=b"")
    assert await state.word(TARGET, 7) == 42
    with pytest.raises(Unavailable, match="word 0x8"):
        await state.word(TARGET, 8)


@pytest.mark.parametrize(
    "genesis",
    [
        "no JSON",
        "[" * 100_000,
        [],
        {"alloc": {}},
        {"timestamp": "0x1"},
        {"timestamp": "soon", "alloc": {}},
        {"timestamp": "0x1", "alloc": 5},
        {"timestamp": "0x1", "alloc": {TARGET: 5}},
        {"timestamp": "0x1", "alloc": {TARGET: {"balance": "much"}}},
        {"timestamp": "0x1", "alloc": {TARGET: {"code": "0xzz"}}},
        {"timestamp": "0x1", "alloc": {TARGET: {"storage": {"0x1": None}}}},
        {"timestamp": "0x1", "alloc": {TARGET: {"storage": 7}}},
    ],
)
def test_a_file_that_is_no_genesis_is_refused(tmp_path: Path, genesis: object) -> None:
    with pytest.raises(Refused) as raised:
        read_genesis(written(tmp_path, genesis))
    assert raised.value.reason is Reason.GENESIS_INVALID


def test_a_genesis_that_is_not_there_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused):
        read_genesis(tmp_path / "nothing.json")
    monkeypatch.setattr(state_module, "MAX_GENESIS_BYTES", 5)
    with pytest.raises(Refused, match="larger"):
        read_genesis(written(tmp_path, {"timestamp": "0x1", "alloc": {}}))


# --- by agreement


async def test_state_is_what_two_endpoints_agree_on_and_fetched_once() -> None:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada", "bob") as (ada, bob),
        pool_of(ada, bob, agreement=2) as pool,
    ):
        await pool.call("anvil_setCode", (TARGET, f"0x{COUNT.hex()}"))
        await pool.call("anvil_setBalance", (TARGET, "0x5"))
        await pool.call("anvil_setStorageAt", (TARGET, "0x7", f"0x{42:064x}"))
        await pool.call("anvil_mine", ("0x1",))
        reader = ChainReader(pool)
        head = await reader.latest()
        state = AgreedState(reader, head)

        for _ in range(2):
            assert await state.account(TARGET) == AccountState(balance_wei=5, nonce=0, code=COUNT)
            assert await state.word(TARGET, 7) == 42
        assert (state.accounts, state.words) == ((TARGET,), ((TARGET, 7),))
        for method in ("eth_getCode", "eth_getTransactionCount", "eth_getStorageAt"):
            assert ada.asked[method] == bob.asked[method] == 1

        ahead = AgreedState(reader, head)
        await ahead.prefetch(state.accounts, state.words)
        assert await ahead.account(TARGET) == await state.account(TARGET)
        assert await ahead.word(TARGET, 7) == 42
        assert ada.asked["eth_getStorageAt"] == 2

        bob.lie = _other_code_and_words
        liar = AgreedState(reader, head)
        await liar.prefetch(state.accounts, state.words)
        with pytest.raises(Unavailable):
            await liar.account(TARGET)
        with pytest.raises(Unavailable):
            await liar.word(TARGET, 7)


def _other_code_and_words(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    lies = {"eth_getCode": "0x00", "eth_getStorageAt": f"0x{1:064x}"}
    return response | ({"result": lies[method]} if method in lies else {})


# --- against the chain itself: a vault on anvil, from the mempool to the receipt


class Bank:
    """A vault that a saver and a whale keep their tokens in."""

    def __init__(self, chain: Deployer, vault: Account, token: Account) -> None:
        self.chain, self.vault, self.token = chain, vault, token
        self.mempool = MempoolFollower(chain.pool)
        self.whale, self.saver = chain.accounts[1], chain.accounts[2]

    async def pend(self, function: str, *arguments: object, sender: str | None = None) -> PendingTransaction:
        """Into the mempool, and found there."""
        data = self.chain.encode("Vault", function, *arguments)
        await self.chain.submit({"from": sender or self.whale, "to": self.vault, "data": data})
        (found,) = await self.mempool.poll()
        return found

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        reader = ChainReader(self.chain.pool)
        head = await reader.latest()
        async with open_simulator(watched=[self.vault], tokens=[Token(self.token)]) as simulator:
            following = NextBlock(
                chain_id=head.chain_id,
                number=BlockNumber(head.number + 1),
                timestamp=Seconds(head.timestamp + 1),
            )
            await simulator.open_block(following, AgreedState(reader, head))
            return await simulator.simulate(transaction)


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        token = await chain.deploy("DemoToken", "Demo Dollar", "DUSD")
        manager = await chain.deploy("AccessManager", chain.governance)
        vault = await chain.deploy("Vault", manager, token, "Demo Vault", "vDUSD")
        for saver, units in ((chain.accounts[1], 95 * ONE), (chain.accounts[2], 5 * ONE)):
            await chain.send("DemoToken", token, "mint", saver, 2 * units)
            await chain.send("DemoToken", token, "approve", vault, 2 * units, sender=saver)
            await chain.send("Vault", vault, "deposit", units, saver, sender=saver)
        await chain.pool.call("evm_setAutomine", (False,))
        bank = Bank(chain, Account(vault.lower()), Account(token.lower()))
        assert await bank.mempool.poll() == ()
        yield bank


DETECTOR = PendingDrain(least_bps=Bps(500), least_units={})


async def test_a_pending_drain_is_flagged_before_it_is_mined_and_runs_as_on_chain(bank: Bank) -> None:
    drain = await bank.pend("withdraw", 95 * ONE, bank.whale, bank.whale)

    simulation = await bank.simulate(drain)

    found = DETECTOR.judge(simulation)
    assert found is not None
    assert found.score == 9_500
    assert f"{95 * ONE} of the {100 * ONE}" in found.summary
    assert await bank.chain.receipt(drain.hash) is None, "it is still pending"
    await bank.chain.mine()
    receipt = await bank.chain.receipt(drain.hash)
    assert receipt is not None
    assert int(receipt["gasUsed"], 16) == simulation.gas_used
    assert simulation.trace.transfers[-1] == (bank.token, bank.vault, bank.whale.lower(), 95 * ONE)
    assert simulation.trace.frames[0].kind is CallKind.FIRST_CALL
    assert simulation.trace.frames[0].writes_storage


async def test_a_withdrawal_just_below_the_threshold_is_not_flagged(bank: Bank) -> None:
    small = await bank.pend("withdraw", 49 * ONE // 10, bank.saver, bank.saver, sender=bank.saver)

    simulation = await bank.simulate(small)

    assert simulation.succeeded
    assert DETECTOR.judge(simulation) is None


async def test_a_deposit_is_not_flagged(bank: Bank) -> None:
    deposit = await bank.pend("deposit", 5 * ONE, bank.saver, sender=bank.saver)

    simulation = await bank.simulate(deposit)

    assert simulation.succeeded
    assert [change.after - change.before for change in simulation.changes] == [5 * ONE]
    assert DETECTOR.judge(simulation) is None


async def test_the_detectors_of_values_and_storage_run_on_what_was_simulated(bank: Bank) -> None:
    watch = Watch(make_policy())
    deposit = await bank.simulate(await bank.pend("deposit", 5 * ONE, bank.saver, sender=bank.saver))
    watch.learn(deposit.trace)
    drain = await bank.simulate(await bank.pend("withdraw", 95 * ONE, bank.whale, bank.whale))

    judgement = watch.preview(drain.trace, {Family.VALUE, Family.STATE})

    assert [each.evidence.detector for each in judgement.evidence] == ["balance_drain"]


async def test_a_private_drain_is_found_in_its_block_by_running_it_on_the_state_before(bank: Bank) -> None:
    reader = ChainReader(bank.chain.pool)
    parent = await reader.latest()
    data = bank.chain.encode("Vault", "withdraw", 95 * ONE, bank.whale, bank.whale)
    await bank.chain.submit({"from": bank.whale, "to": bank.vault, "data": data})
    await bank.chain.mine()

    (mined,) = await read_transactions(bank.chain.pool, await reader.latest())

    async with open_simulator(watched=[bank.vault], tokens=[Token(bank.token)]) as simulator:
        following = NextBlock(
            chain_id=parent.chain_id,
            number=BlockNumber(parent.number + 1),
            timestamp=Seconds(parent.timestamp + 1),
        )
        await simulator.open_block(following, AgreedState(reader, parent))
        found = DETECTOR.judge(await simulator.simulate(mined))
    assert found is not None
