"""The made-up attack: a lending pool with a real hole, six honest users, and somebody who found the hole.

The attacker borrows and takes the collateral back out, block after block, until nothing is left or somebody
stops it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consensus.alert import Level, compute_action_id
from consensus.types import ActionId, Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import COMPARE_AT_MOST, allow_action, approve_policy, create_guardian, let_call
from node.devnet.network import Ground
from node.devnet.scenario import Money
from node.devnet.vault import ACTION as VAULT_ACTION
from node.devnet.vault import ONE, ROLE_BRAKE, GuardedVault, deploy_vault, selector
from node.policies import read_policy

LIQUIDITY = 1_000_000 * ONE
HONEST_COLLATERAL = 20_000 * ONE
HONEST_DEBT = 14_000 * ONE  # of 15,000 possible: little slack, so one theft breaks the invariant
ATTACK_CAPITAL = 100_000 * ONE
BORROW_BRAKE = 5_000 * ONE  # per block, all accounts together
ROLE_PAUSE = 1
STRIKES = 14  # enough to take everything, were nobody to look
MUST_FAIL = 2


class LendingScenario:
    """Implements `Scenario`."""

    title = "a lending pool is drained through a hole in its collateral check"
    must_fail = MUST_FAIL

    def __init__(
        self,
        home: Deployer,
        *,
        pool: Address,
        guardian: Address,
        attack: Address,
        vault: GuardedVault,
        policy_file: Path,
        seed: int = 7,
    ) -> None:
        self.home = home
        self.pool = pool
        self.guardian = guardian
        self.vault = vault
        self.policy_file = policy_file
        self.names: Mapping[ActionId, str] = {
            compute_action_id("pause"): "pause the pool",
            compute_action_id("borrow-cap"): "cap the pool's borrowing",
            compute_action_id(VAULT_ACTION): "limit the vault's withdrawals",
        }
        self.users, self.attacker = users_and_attacker(home)
        strike = {"from": self.attacker, "to": attack, "data": home.encode("DrainAttack", "strike")}
        self.strikes: Sequence[Mapping[str, Any]] = [strike] * STRIKES
        self._random = random.Random(seed)
        self._owed = dict.fromkeys(self.users, 0)

    async def trade(self) -> str:
        """Somebody takes a small loan, or pays it back; never below full backing."""
        user = self._random.choice(self.users)
        owed = self._owed[user]
        amount = owed or self._random.randint(100, 900) * ONE
        self._owed[user] = 0 if owed else amount
        data = self.home.encode("LendingPool", "repay" if owed else "borrow", amount)
        await self.home.submit({"from": user, "to": self.pool, "data": data})
        return f"{'repays' if owed else 'borrows'} {Money(units=amount, decimals=18, symbol='DUSD')}"

    async def at_risk(self) -> Money:
        units = int(await self.home.read("LendingPool", self.pool, "liquidity"))
        return Money(units=units, decimals=18, symbol="DUSD")

    async def is_closed(self) -> bool:
        return bool(await self.home.read("LendingPool", self.pool, "paused"))

    async def is_second_braked(self) -> bool:
        return await self.vault.is_braked()


def users_and_attacker(home: Deployer) -> tuple[tuple[Address, ...], Address]:
    """Which of the chain's own accounts play whom."""
    return home.accounts[2:8], home.accounts[9]


async def deploy_lending(ground: Ground) -> tuple[LendingScenario, Path]:
    """Deploy both protocols with their guardians, let users in, and approve the policy on both chains."""
    home = ground.home
    debt = await home.deploy("DemoToken", "Demo Dollar", "DUSD")
    collateral = await home.deploy("DemoToken", "Demo Ether", "DETH")
    manager = await home.deploy("AccessManager", home.governance)
    pool = await home.deploy("LendingPool", manager, collateral, debt, ONE)
    guardian = await create_guardian(home, ground.home_trust)
    await _let_guardian_brake(home, manager, pool, guardian)
    vault = await deploy_vault(ground.away, ground.away_trust)

    policy_file = ground.directory / "lending.yaml"
    policy_file.write_text(_policy_text(home, pool, guardian, vault))
    policy_hash = read_policy(policy_file).hash
    await approve_policy(home, guardian, policy_hash)
    await approve_policy(vault.chain, vault.guardian, policy_hash)

    users, attacker = users_and_attacker(home)
    await _let_users_in(home, pool, debt, collateral, users)
    attack = await home.deploy_as(attacker, "DrainAttack", pool)
    await home.send("DemoToken", collateral, "mint", attack, ATTACK_CAPITAL)
    scenario = LendingScenario(
        home, pool=pool, guardian=guardian, attack=attack, vault=vault, policy_file=policy_file
    )
    return scenario, policy_file


async def _let_guardian_brake(home: Deployer, manager: Address, pool: Address, guardian: Address) -> None:
    """Two adapters with one right each: to pause, and to cap borrowing."""
    pauser = await home.deploy("PausableAdapter", guardian, pool)
    set_cap = selector("setBorrowCap(uint256)")
    brake = await home.deploy(
        "AccessManagedAdapter",
        guardian,
        pool,
        set_cap + BORROW_BRAKE.to_bytes(32, "big"),
        set_cap,
        selector("borrowCapPerBlock()"),
        COMPARE_AT_MOST,
        BORROW_BRAKE.to_bytes(32, "big"),
    )
    pausing = [selector("pause()"), selector("unpause()")]
    await let_call(home, manager, pool, pauser, role=ROLE_PAUSE, selectors=pausing)
    await let_call(home, manager, pool, brake, role=ROLE_BRAKE, selectors=[set_cap])
    await allow_action(home, guardian, name="pause", adapter=pauser, level=Level.PAUSE)
    await allow_action(home, guardian, name="borrow-cap", adapter=brake, level=Level.LIMIT)


async def _let_users_in(
    home: Deployer, pool: Address, debt: Address, collateral: Address, users: tuple[Address, ...]
) -> None:
    await home.send("DemoToken", debt, "mint", home.governance, LIQUIDITY)
    await home.send("DemoToken", debt, "approve", pool, LIQUIDITY)
    await home.send("LendingPool", pool, "deposit", LIQUIDITY)
    for user in users:
        await home.send("DemoToken", collateral, "mint", user, HONEST_COLLATERAL)
        await home.send("DemoToken", collateral, "approve", pool, HONEST_COLLATERAL, sender=user)
        await home.send("DemoToken", debt, "approve", pool, 2 * HONEST_COLLATERAL, sender=user)
        await home.send("LendingPool", pool, "postCollateral", HONEST_COLLATERAL, sender=user)
        await home.send("LendingPool", pool, "borrow", HONEST_DEBT, sender=user)


def _policy_text(home: Deployer, pool: Address, guardian: Address, vault: GuardedVault) -> str:
    return f"""# Written by the demonstration: watches the pool, brakes it and the vault on the other chain.
tocsin: 1
name: demo-lending
version: 1
ttl_seconds: 900
source_chain_id: {home.chain_id}

contracts:
  pool:
    chain_id: {home.chain_id}
    address: "{pool}"
  guardian:
    chain_id: {home.chain_id}
    address: "{guardian}"
  vault_guardian:
    chain_id: {vault.chain.chain_id}
    address: "{vault.guardian}"

signals:
  liquidity:
    call: pool.liquidity()(uint256)
  debt:
    call: pool.totalDebt()(uint256)
  collateral:
    call: pool.totalCollateralValue()(uint256)

actions:
  slow_borrowing:
    guardian: guardian
    action: borrow-cap
    level: limit
  brake_vault:
    guardian: vault_guardian
    action: {VAULT_ACTION}
    level: limit
  pause_pool:
    guardian: guardian
    action: pause
    level: pause

rules:
  debt-unbacked:              # the pool's own promise: all debt within 75 % of all collateral
    kind: expression
    when: debt * 10_000 > collateral * 7_500
    cooldown_blocks: 10
    actions: [slow_borrowing, brake_vault, pause_pool]
  liquidity-drained:          # a third of what was there eight blocks ago has left
    kind: drain
    signal: liquidity
    window_blocks: 8
    threshold_bps: 3_333
    cooldown_blocks: 10
    actions: [slow_borrowing, brake_vault, pause_pool]
"""
