"""The responder and its guardian on a real chain, with real contracts and an endpoint that may lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from eth_account import Account

from consensus.alert import Level, compute_action_id
from consensus.certificate import Certificate, build_certificate
from consensus.errors import Reason, Refused, Unavailable
from consensus.operators import OperatorSet
from consensus.types import Address, OperatorIndex, PolicyHash, Seconds
from node.chain.abi import load_artifact
from node.chain.clock import HeadClock
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.sender import FeePolicy, TransactionSender
from node.chain.types import Receipt
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer
from node.devnet.guarding import (
    DEFAULT_DURATION_SECONDS,
    allow_action,
    approve_policy,
    create_guardian,
    deploy_trust,
)
from node.respond.expiry import QUIET_BLOCKS, Expiry
from node.respond.guardian import GuardianOnChain
from node.respond.responder import Responder
from node.respond.schedule import compute_order
from node.respond.types import AnsweringChain, Effect, Simulation
from tests.chain.doubles import EndpointDouble, doubles, pool_of
from tests.consensus.factories import (
    NETWORK_ID,
    make_action,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_slot,
)

PATIENCE_SECONDS = 60
CONFIRMATIONS = 4
POLICY = PolicyHash(make_bytes32("policy"))
FEES = FeePolicy(cap_wei_per_gas=10**12, replace_after_seconds=15.0, give_up_after_seconds=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A pausable target under a guardian, behind one endpoint that may misbehave."""

    deployer: Deployer
    pool: RpcPool
    reader: ChainReader
    endpoint: EndpointDouble
    operator_set: OperatorSet
    guardian: Address
    target: Address
    clock: HeadClock

    async def next_block(self) -> None:
        """A block, and everybody hears of it."""
        await self.deployer.mine()
        self.clock.advance(await self.reader.latest())

    async def certify(self, *signers: int, action: str = "pause") -> Certificate:
        """A certificate about the block before the latest, which asks this guardian for the action."""
        await self.pool.call("evm_increaseTime", ("0xa",))
        await self.deployer.mine()
        anchor = await self.reader.latest()
        await self.next_block()
        alert = make_alert(
            self.operator_set,
            slot=make_slot(
                policy_hash=POLICY,
                source_chain_id=anchor.chain_id,
                anchor_number=anchor.number,
                anchor_hash=anchor.hash,
            ),
            observed_at=anchor.timestamp,
            expires_at=Seconds(anchor.timestamp + 600),
            actions=(make_action(guardian=self.guardian, action_id=compute_action_id(action)),),
        )
        signatures = {OperatorIndex(i): make_attestation(alert, i).signature for i in signers}
        return build_certificate(alert, self.operator_set, signatures)

    async def account(self) -> tuple[GuardianOnChain, Address]:
        """The guardian as seen and written to by a fresh account with some coin."""
        account = Account.create()
        await self.deployer.fund(Address(account.address), 10**20)
        sender = TransactionSender(self.pool, account, FEES)
        port = GuardianOnChain(
            self.guardian, pool=self.pool, reader=self.reader, sender=sender, clock=self.clock
        )
        return port, Address(account.address)

    async def sent_by(self, account: Address) -> int:
        return int(str(await self.pool.call("eth_getTransactionCount", (account, "latest"))), 16)

    async def is_paused(self) -> bool:
        return bool(await self.deployer.read("PausableTarget", self.target, "paused"))


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1, timeout_seconds=30.0) as pool,
    ):
        deployer = await Deployer.connect(pool)
        now = await deployer.timestamp()
        operator_set = make_operator_set(capture_time=now - 1, valid_until=now + 86_400)
        trust = await deploy_trust(deployer, NETWORK_ID, operator_set.header())
        guardian = await create_guardian(deployer, trust)
        target = await deployer.deploy("PausableTarget", deployer.governance)
        adapter = await deployer.deploy("PausableAdapter", guardian, target)
        pauser = await deployer.read("PausableTarget", target, "PAUSER_ROLE")
        await deployer.send("PausableTarget", target, "grantRole", pauser, adapter)
        await allow_action(deployer, guardian, name="pause", adapter=adapter, level=Level.PAUSE)
        await approve_policy(deployer, guardian, POLICY)
        clock = HeadClock()
        reader = ChainReader(pool)
        clock.advance(await reader.latest())
        yield Ground(
            deployer=deployer,
            pool=pool,
            reader=reader,
            endpoint=ada,
            operator_set=operator_set,
            guardian=guardian,
            target=target,
            clock=clock,
        )


@asynccontextmanager
async def responder(
    ground: Ground, port: GuardianOnChain, me: Address
) -> AsyncIterator[tuple[trio.MemorySendChannel[Certificate], trio.MemoryReceiveChannel[Effect]]]:
    """A running responder; blocks come whenever it waits for an effect."""
    chain = AnsweringChain(clock=ground.clock, guardian=lambda _address: port, confirmations=CONFIRMATIONS)
    certificates_in, certificates = trio.open_memory_channel[Certificate](4)
    effects_in, effects = trio.open_memory_channel[Effect](4)
    room = Responder(me=me, chains={ground.deployer.chain_id: chain})
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.run, certificates, effects_in)
            yield certificates_in, effects
            nursery.cancel_scope.cancel()


async def effect_after_blocks(ground: Ground, effects: trio.MemoryReceiveChannel[Effect]) -> Effect:
    """The next effect, with a block whenever the chain's answers have all been dealt with."""
    async with trio.open_nursery() as nursery:

        async def blocks() -> None:
            while True:
                asked = ground.endpoint.asked["eth_call"]
                await ground.next_block()
                await ground.endpoint.wait_asked("eth_call", asked + 1)

        nursery.start_soon(blocks)
        effect = await effects.receive()
        nursery.cancel_scope.cancel()
    return effect


async def test_a_certificate_becomes_one_transaction_and_a_pause_that_was_read_back(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    addresses = [operator.address for operator in ground.operator_set.operators]
    first = compute_order(certificate.digest(), addresses)[0]
    port, account = await ground.account()

    async with responder(ground, port, first) as (certificates, effects):
        await certificates.send(certificate)
        effect = await effect_after_blocks(ground, effects)

    assert await ground.is_paused()
    assert effect.transaction is not None
    assert effect.level is Level.PAUSE
    assert effect.restricted_until > (await ground.reader.latest()).timestamp
    assert await ground.sent_by(account) == 1


async def test_who_comes_later_finds_it_in_force_and_sends_nothing(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    port, _ = await ground.account()
    await port.submit(certificate, certificate.alert.actions[0])
    await ground.next_block()
    late_port, late = await ground.account()

    async with responder(ground, late_port, late) as (certificates, effects):
        await certificates.send(certificate)
        effect = await effects.receive()

    assert effect.transaction is None
    assert await ground.sent_by(late) == 0


async def test_an_effect_that_a_reorg_took_back_is_sent_again(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    addresses = [operator.address for operator in ground.operator_set.operators]
    port, account = await ground.account()

    async with responder(ground, port, compute_order(certificate.digest(), addresses)[0]) as (
        certificates,
        effects,
    ):
        await certificates.send(certificate)
        before = await effect_after_blocks(ground, effects)
        head = await ground.reader.latest()
        depth = head.number - before.block_number + 1
        await ground.pool.call("anvil_reorg", (depth, ()))
        assert not await ground.is_paused()
        ground.clock.advance(await ground.reader.latest())
        after = await effect_after_blocks(ground, effects)

    assert await ground.is_paused()
    assert after.digest == before.digest
    assert after.block_number >= before.block_number
    assert await ground.sent_by(account) == 1, "the other one is in no block"


async def test_a_watcher_that_was_away_during_the_reorg_sends_when_it_hears_of_the_alert_again(
    ground: Ground,
) -> None:
    certificate = await ground.certify(*range(5))
    first, _ = await ground.account()
    landed = await first.submit(certificate, certificate.alert.actions[0])
    assert await ground.is_paused()
    await ground.pool.call(
        "anvil_reorg", ((await ground.reader.latest()).number - landed.block_number + 1, ())
    )
    ground.clock.advance(await ground.reader.latest())
    assert not await ground.is_paused()
    port, account = await ground.account()

    async with responder(ground, port, account) as (certificates, effects):
        await certificates.send(certificate)
        effect = await effect_after_blocks(ground, effects)

    assert effect.transaction is not None
    assert await ground.is_paused()


async def test_what_the_owner_lifted_within_the_confirmations_is_not_sent_again(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    addresses = [operator.address for operator in ground.operator_set.operators]
    port, account = await ground.account()

    async with responder(ground, port, compute_order(certificate.digest(), addresses)[0]) as (
        certificates,
        effects,
    ):
        await certificates.send(certificate)
        await effect_after_blocks(ground, effects)
        await ground.deployer.send("IGuardian", ground.guardian, "lift", compute_action_id("pause"))
        await look_after_blocks(ground, 2 * CONFIRMATIONS)
        with pytest.raises(trio.WouldBlock):
            effects.receive_nowait()

    assert not await ground.is_paused()
    assert await ground.sent_by(account) == 1


async def test_two_that_submit_in_the_same_block_do_it_once_and_neither_fails(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    (action,) = certificate.alert.actions
    ports = [(await ground.account())[0] for _ in range(2)]
    await ground.pool.call("evm_setAutomine", (False,))
    receipts: list[Receipt] = []

    async def submit(port: GuardianOnChain) -> None:
        receipts.append(await port.submit(certificate, action))

    async with trio.open_nursery() as nursery:
        for port in ports:
            nursery.start_soon(submit, port)
        await ground.endpoint.wait_asked("eth_sendRawTransaction", 2)
        while int(str(await ground.pool.call("eth_getBlockTransactionCountByNumber", ("pending",))), 16) < 2:
            pass
        await ground.deployer.mine()

    first, second = sorted(receipts, key=lambda receipt: receipt.gas_used, reverse=True)
    assert first.block_hash == second.block_hash
    assert first.succeeded
    assert second.succeeded
    assert second.gas_used < first.gas_used // 2, "the second found it in force, and verified nothing"
    responded = load_artifact("IGuardian").topic("Responded")
    logs = await ground.reader.get_logs(await ground.reader.latest(), addresses=(ground.guardian,))
    assert [log.topics[0] for log in logs] == [responded]


async def test_the_dry_run_says_what_would_happen_without_doing_it(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    (action,) = certificate.alert.actions
    port, account = await ground.account()

    assert await port.simulate(certificate, action) is Simulation.WOULD_ACT
    assert not await ground.is_paused()
    assert await ground.sent_by(account) == 0

    await port.submit(certificate, action)
    await ground.next_block()
    assert await port.simulate(certificate, action) is Simulation.ALREADY_ACTIVE


async def test_a_dry_run_that_would_revert_is_refused_in_the_contracts_own_words(ground: Ground) -> None:
    certificate = await ground.certify(*range(4))  # four of seven are no pause
    port, _ = await ground.account()

    with pytest.raises(Refused, match="QuorumNotReached") as caught:
        await port.simulate(certificate, certificate.alert.actions[0])

    assert caught.value.reason is Reason.CALL_REVERTED


async def test_an_action_that_the_owner_never_set_is_refused(ground: Ground) -> None:
    port, _ = await ground.account()

    with pytest.raises(Refused, match="the owner never set") as caught:
        await port.terms(compute_action_id("pauze"))

    assert caught.value.reason is Reason.UNKNOWN_ACTION


async def test_a_target_that_somebody_released_is_not_in_force_whatever_the_book_says(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    action_id = compute_action_id("pause")
    port, _ = await ground.account()
    await port.submit(certificate, certificate.alert.actions[0])
    await ground.next_block()
    now = (await ground.reader.latest()).timestamp
    assert (await port.standing(action_id)).in_force(now)

    pauser = await ground.deployer.read("PausableTarget", ground.target, "PAUSER_ROLE")
    await ground.deployer.send(
        "PausableTarget", ground.target, "grantRole", pauser, ground.deployer.governance
    )
    await ground.deployer.send("PausableTarget", ground.target, "unpause")
    await ground.next_block()

    standing = await port.standing(action_id)
    assert standing.restricted_until > now
    assert not standing.in_force(now)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"result": "0x" + "7".rjust(64, "0")},
        {"result": "0x"},
        {"result": "0x" + "z" * 64},
        {"result": None},
        {"result": ["0x00"]},
        {"error": {"code": 3, "message": "execution reverted", "data": "0xzz"}},
    ],
    ids=["no outcome", "nothing", "no hex", "null", "a list", "a revert that is no hex"],
)
async def test_an_endpoint_that_answers_nonsense_to_the_dry_run_is_unavailable_and_no_verdict(
    ground: Ground, nonsense: dict[str, Any]
) -> None:
    certificate = await ground.certify(*range(5))
    port, _ = await ground.account()
    await port.terms(compute_action_id("pause"))

    def lie(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": response["id"], **nonsense} if method == "eth_call" else response

    ground.endpoint.lie = lie
    with pytest.raises(Unavailable):
        await port.simulate(certificate, certificate.alert.actions[0])


@asynccontextmanager
async def expiry(ground: Ground, port: GuardianOnChain, me: Address) -> AsyncIterator[None]:
    """A running expiry for the one action there is; blocks come all the while."""
    room = Expiry(
        me=me,
        operators=lambda: (me,),
        actions=(make_action(guardian=ground.guardian, action_id=compute_action_id("pause")),),
        chains={
            ground.deployer.chain_id: AnsweringChain(
                clock=ground.clock, guardian=lambda _: port, confirmations=CONFIRMATIONS
            )
        },
    )
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.run)
            yield
            nursery.cancel_scope.cancel()


async def look_after_blocks(ground: Ground, blocks: int) -> None:
    """So many blocks, each after the chain has been asked about the one before."""
    for _ in range(blocks):
        asked = ground.endpoint.asked["eth_call"]
        await ground.next_block()
        if (await ground.reader.latest()).number % QUIET_BLOCKS == 0:
            await ground.endpoint.wait_asked("eth_call", asked)


async def pause_and_wait_until_over(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    port, _ = await ground.account()
    await port.submit(certificate, certificate.alert.actions[0])
    await ground.pool.call("evm_increaseTime", (hex(DEFAULT_DURATION_SECONDS + 1),))
    await ground.next_block()


async def test_a_restriction_whose_time_is_over_is_lifted_from_the_target(ground: Ground) -> None:
    await pause_and_wait_until_over(ground)
    assert await ground.is_paused()  # the guardian's book alone lifts nothing
    port, account = await ground.account()

    async with expiry(ground, port, account):
        while await ground.is_paused():
            await ground.next_block()

    await ground.next_block()
    assert await ground.sent_by(account) == 1
    assert (await port.standing(compute_action_id("pause"))).restricted_until == 0


async def test_a_restriction_that_still_holds_is_left_alone(ground: Ground) -> None:
    certificate = await ground.certify(*range(5))
    first, _ = await ground.account()
    await first.submit(certificate, certificate.alert.actions[0])
    await ground.next_block()
    port, account = await ground.account()

    async with expiry(ground, port, account):
        await look_after_blocks(ground, 3 * QUIET_BLOCKS)

    assert await ground.is_paused()
    assert await ground.sent_by(account) == 0


async def test_a_target_that_does_not_let_go_costs_no_gas(ground: Ground) -> None:
    await pause_and_wait_until_over(ground)
    deployer = ground.deployer
    pauser = await deployer.read("PausableTarget", ground.target, "PAUSER_ROLE")
    (adapter, *_) = await deployer.read("IGuardian", ground.guardian, "action", compute_action_id("pause"))
    await deployer.send("PausableTarget", ground.target, "revokeRole", pauser, adapter)
    await ground.next_block()
    port, account = await ground.account()

    with pytest.raises(Refused, match="would not end it"):
        await port.expire(compute_action_id("pause"))

    assert await ground.sent_by(account) == 0
