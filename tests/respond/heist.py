"""A pool with money in it, a guardian that can pause it, and a transaction that waits to take it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from eth_account import Account

from consensus.alert import Level, compute_action_id
from consensus.certificate import Certificate, build_certificate
from consensus.operators import OperatorSet
from consensus.types import Address, OperatorIndex, PolicyHash, Seconds
from node.chain.clock import HeadClock
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.sender import FeePolicy, TransactionSender
from node.devnet.anvil import Anvil, Mining, running_anvil
from node.devnet.deployer import Deployer
from node.devnet.guarding import allow_action, approve_policy, create_guardian, deploy_trust, let_call
from node.devnet.vault import selector
from node.respond.guardian import GuardianOnChain
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

GWEI = 10**9
LOOT = 1_000 * 10**18
POLICY = PolicyHash(make_bytes32("policy"))
PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Heist:
    """The scene. Blocks come when told."""

    anvil: Anvil
    deployer: Deployer
    pool: RpcPool
    reader: ChainReader
    endpoints: tuple[EndpointDouble, ...]
    operator_set: OperatorSet
    guardian: Address
    lending: Address
    clock: HeadClock

    async def next_block(self) -> None:
        await self.deployer.mine()
        self.clock.advance(await self.reader.latest())

    async def strike(self, *, tip_wei: int) -> bytes:
        """Somebody sends the transaction that takes the money; it waits. Its hash.

        anvil orders by the most that a transaction may pay, builders by what it pays above the base fee: here
        the two are in the same order.
        """
        data = self.deployer.encode("LendingPool", "withdraw", LOOT)
        fees = {"maxFeePerGas": hex(2 * GWEI + tip_wei), "maxPriorityFeePerGas": hex(tip_wei)}
        call = {"from": self.deployer.governance, "to": self.lending, "data": data, "gas": hex(300_000)}
        return bytes.fromhex((await self.deployer.submit({**call, **fees}))[2:])

    async def certify(self, subject: bytes) -> Certificate:
        """A certificate about that pending transaction at the newest block, which asks for a pause."""
        anchor = await self.reader.latest()
        alert = make_alert(
            self.operator_set,
            slot=make_slot(
                policy_hash=POLICY,
                source_chain_id=anchor.chain_id,
                anchor_number=anchor.number,
                anchor_hash=anchor.hash,
                subject=subject,
            ),
            observed_at=anchor.timestamp,
            expires_at=Seconds(anchor.timestamp + 600),
            actions=(make_action(guardian=self.guardian, action_id=compute_action_id("pause")),),
        )
        signatures = {OperatorIndex(i): make_attestation(alert, i).signature for i in range(7)}
        return build_certificate(alert, self.operator_set, signatures)

    async def port(self, *, cap_gwei: int = 1_000, **sending: Any) -> GuardianOnChain:
        """The guardian as a watcher with a fresh account and this cap writes to it."""
        account = Account.create()
        await self.deployer.fund(Address(account.address), 10**20)
        fees = FeePolicy(
            cap_wei_per_gas=cap_gwei * GWEI, replace_after_seconds=600.0, give_up_after_seconds=600.0
        )
        sender = TransactionSender(self.pool, account, fees, poll_seconds=0.02, **sending)
        return GuardianOnChain(
            self.guardian, pool=self.pool, reader=self.reader, sender=sender, clock=self.clock
        )

    async def waiting(self, count: int) -> list[dict[str, Any]]:
        """So many transactions in the public pool, when they are there."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                content: Any = await self.pool.call("txpool_content")
                found = [one for queue in content["pending"].values() for one in queue.values()]
                if len(found) >= count:
                    return found

    async def newest_block(self) -> list[tuple[str, bool]]:
        """Hash and success of each transaction of the newest block, in its order."""
        block: Any = await self.pool.call("eth_getBlockByNumber", ("latest", False))
        receipts = [await self.deployer.receipt(each) for each in block["transactions"]]
        return [(str(each["transactionHash"]), each["status"] == "0x1") for each in receipts if each]

    async def is_paused(self) -> bool:
        return bool(await self.deployer.read("LendingPool", self.lending, "paused"))


@asynccontextmanager
async def heist(*, endpoints: int = 1, order: str = "fees") -> AsyncIterator[Heist]:
    """The scene on a chain that orders its blocks so, behind that many endpoints of which one must answer."""
    names = ["ada", "bob", "cyd"][:endpoints]
    async with (
        running_anvil(mining=Mining.WHEN_TOLD, arguments=("--order", order)) as anvil,
        doubles(anvil, *names) as three,
        pool_of(*three, agreement=1, timeout_seconds=30.0) as pool,
    ):
        await pool.call("evm_setAutomine", (True,))
        deployer = await Deployer.connect(pool)
        now = await deployer.timestamp()
        operator_set = make_operator_set(capture_time=now - 1, valid_until=now + 86_400)
        trust = await deploy_trust(deployer, NETWORK_ID, operator_set.header())
        guardian = await create_guardian(deployer, trust)
        money = await deployer.deploy("DemoToken", "Money", "MON")
        manager = await deployer.deploy("AccessManager", deployer.governance)
        lending = await deployer.deploy("LendingPool", manager, money, money, 10**18)
        adapter = await deployer.deploy("PausableAdapter", guardian, lending)
        pausing = [selector("pause()"), selector("unpause()")]
        await let_call(deployer, manager, lending, adapter, role=1, selectors=pausing)
        await allow_action(deployer, guardian, name="pause", adapter=adapter, level=Level.PAUSE)
        await approve_policy(deployer, guardian, POLICY)
        await deployer.send("DemoToken", money, "mint", deployer.governance, LOOT)
        await deployer.send("DemoToken", money, "approve", lending, LOOT)
        await deployer.send("LendingPool", lending, "deposit", LOOT)
        await pool.call("evm_setAutomine", (False,))
        await pool.call("evm_increaseTime", (5,))  # later than when the action was set
        scene = Heist(
            anvil=anvil,
            deployer=deployer,
            pool=pool,
            reader=ChainReader(pool),
            endpoints=three,
            operator_set=operator_set,
            guardian=guardian,
            lending=lending,
            clock=HeadClock(),
        )
        await scene.next_block()
        yield scene
