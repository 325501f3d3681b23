"""How many transactions an incident costs, and how soon its effect is there, over seeded incidents.

Real responders with accounts of their own before real contracts on a local chain, in one process; blocks come
by the clock. In each incident every watcher hears of heads and of the certificate at its own seeded moment.


    all up        everybody is there
    first down    who comes first in the order has signed, and is gone
    blind         endpoints whose `pending` is their `latest`, so that nobody sees what waits in the pool

    python -m tests.bench.respond --incidents 200
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from consensus.alert import Alert, Level, compute_action_id
from consensus.certificate import Certificate, build_certificate
from consensus.operators import OperatorSet
from consensus.types import Address, OperatorIndex, PolicyHash, Seconds
from node.chain.clock import HeadClock
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.sender import FeePolicy, TransactionSender
from node.chain.types import BlockRef
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer
from node.devnet.guarding import allow_action, approve_policy, create_guardian, deploy_trust
from node.respond.guardian import GuardianOnChain
from node.respond.responder import Responder
from node.respond.schedule import compute_order
from node.respond.types import AnsweringChain, Effect
from tests.bench.lines import print_line
from tests.chain.doubles import doubles, pool_of
from tests.consensus.factories import (
    NETWORK_ID,
    make_action,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_slot,
)

WATCHERS, QUORUM = 7, 5
POLICY = PolicyHash(make_bytes32("policy"))
FEES = FeePolicy(cap_wei_per_gas=10**12, replace_after_seconds=30.0, give_up_after_seconds=60.0)
PATIENCE_BLOCKS = 20
LAST_BLOCKS = 3  # after the last watcher has seen the effect: for a transaction that was sent all the same


class Scenario(StrEnum):
    """What is different about an incident."""

    ALL_UP = "all up"
    FIRST_DOWN = "first down"
    BLIND = "blind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A pausable target under a guardian, and an account with coin for each watcher."""

    deployer: Deployer
    pool: RpcPool
    reader: ChainReader
    operator_set: OperatorSet
    guardian: Address
    accounts: tuple[LocalAccount, ...]

    async def raise_alert(self) -> Alert:
        """An alert about the block before the latest."""
        await self.pool.call("evm_increaseTime", ("0xa",))  # later than when the action was set
        await self.deployer.mine()
        anchor = await self.reader.latest()
        await self.deployer.mine()
        return make_alert(
            self.operator_set,
            slot=make_slot(
                policy_hash=POLICY,
                source_chain_id=anchor.chain_id,
                anchor_number=anchor.number,
                anchor_hash=anchor.hash,
            ),
            observed_at=anchor.timestamp,
            expires_at=Seconds(anchor.timestamp + 600),
            actions=(make_action(guardian=self.guardian, action_id=compute_action_id("pause")),),
        )

    def certify(self, alert: Alert, signers: Sequence[int]) -> Certificate:
        signatures = {OperatorIndex(i): make_attestation(alert, i).signature for i in signers}
        return build_certificate(alert, self.operator_set, signatures)

    async def count_sent(self, first: int, last: int) -> int:
        """Transactions to the guardian in those blocks."""
        count = 0
        for number in range(first, last + 1):
            block: Any = await self.pool.call("eth_getBlockByNumber", (hex(number), True))
            count += sum(str(each["to"]).lower() == self.guardian.lower() for each in block["transactions"])
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one incident came to: transactions, and blocks from the certificate to the effect."""

    transactions: int
    blocks: int


@asynccontextmanager
async def lay_ground(scenario: Scenario) -> AsyncIterator[Ground]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD, arguments=("--order", "fees")) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1, timeout_seconds=30.0) as pool,
    ):
        await pool.call("evm_setAutomine", (True,))
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
        accounts: list[LocalAccount] = [Account.create() for _ in range(WATCHERS)]
        for account in accounts:
            await deployer.fund(Address(account.address), 10**20)
        await pool.call("evm_setAutomine", (False,))
        if scenario is Scenario.BLIND:
            ada.rewrite = _blind
        yield Ground(
            deployer=deployer,
            pool=pool,
            reader=ChainReader(pool),
            operator_set=operator_set,
            guardian=guardian,
            accounts=tuple(accounts),
        )


def _blind(call: dict[str, Any]) -> dict[str, Any]:
    if call["method"] != "eth_call":
        return call
    return {**call, "params": ["latest" if each == "pending" else each for each in call["params"]]}


async def play(ground: Ground, dice: random.Random, scenario: Scenario, block_seconds: float) -> Outcome:
    """One incident, from the certificate at the watchers to the effect; the chain is as before afterwards."""
    snapshot = await ground.pool.call("evm_snapshot")
    alert = await ground.raise_alert()
    operators = [operator.address for operator in ground.operator_set.operators]
    down = compute_order(alert.digest(), operators)[:1] if scenario is Scenario.FIRST_DOWN else ()
    signers = dice.sample(range(WATCHERS), dice.randint(QUORUM, WATCHERS))
    if down and (gone := operators.index(down[0])) not in signers:
        signers[0] = gone
    certificate = ground.certify(alert, signers)
    start = await ground.reader.latest()
    seen: list[Effect] = []
    clocks = [HeadClock() for _ in range(WATCHERS)]
    with trio.fail_after(PATIENCE_BLOCKS * block_seconds + 60):
        async with trio.open_nursery() as nursery:

            async def hear(clock: HeadClock, head: BlockRef, delay: float) -> None:
                await trio.sleep(delay)
                clock.advance(head)

            async def watch(index: int, delay: float) -> None:
                sender = TransactionSender(ground.pool, ground.accounts[index], FEES)

                def guardian(address: Address) -> GuardianOnChain:
                    return GuardianOnChain(
                        address, pool=ground.pool, reader=ground.reader, sender=sender, clock=clocks[index]
                    )

                chain = AnsweringChain(clock=clocks[index], guardian=guardian, confirmations=64)
                responder = Responder(me=operators[index], chains={start.chain_id: chain})
                certificates_in, certificates = trio.open_memory_channel[Certificate](1)
                effects_in, effects = trio.open_memory_channel[Effect](1)
                nursery.start_soon(responder.run, certificates, effects_in)
                await trio.sleep(delay)
                await certificates_in.send(certificate)
                seen.append(await effects.receive())

            up = [index for index in range(WATCHERS) if operators[index] not in down]
            for index in up:
                clocks[index].advance(start)
                nursery.start_soon(watch, index, dice.uniform(0, block_seconds))
            remaining = LAST_BLOCKS
            while remaining:
                await trio.sleep(block_seconds)
                await ground.deployer.mine()
                head = await ground.reader.latest()
                for index in up:
                    nursery.start_soon(hear, clocks[index], head, dice.uniform(0, block_seconds / 4))
                remaining -= len(seen) == len(up)
            nursery.cancel_scope.cancel()
    sent = await ground.count_sent(start.number + 1, head.number)
    blocks = min(effect.block_number for effect in seen) - start.number
    assert await ground.pool.call("evm_revert", (snapshot,))
    return Outcome(transactions=sent, blocks=blocks)


async def measure(scenarios: Sequence[Scenario], incidents: int, block_seconds: float, seed: int) -> None:
    for scenario in scenarios:
        outcomes = []
        async with lay_ground(scenario) as ground:
            for number in range(incidents):
                dice = random.Random(f"{seed} {scenario} {number}")
                outcomes.append(await play(ground, dice, scenario, block_seconds))
                print(f"{scenario}: {number + 1} of {incidents}", file=sys.stderr, end="\r", flush=True)
        sent = [outcome.transactions for outcome in outcomes]
        conditions = {"scenario": scenario.value, "watchers": WATCHERS, "block_seconds": block_seconds}
        print_line(
            "transactions_per_incident",
            "transactions",
            sent,
            one_share=round(sent.count(1) / len(sent), 4),
            **conditions,
        )
        print_line("certificate_to_effect", "blocks", [outcome.blocks for outcome in outcomes], **conditions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=100)
    parser.add_argument("--scenario", choices=[each.value for each in Scenario])
    parser.add_argument("--block-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    scenarios = [Scenario(arguments.scenario)] if arguments.scenario else list(Scenario)
    trio.run(measure, scenarios, arguments.incidents, arguments.block_seconds, arguments.seed)


if __name__ == "__main__":
    main()
