"""The demonstration's protocols: a lending pool with a real hole on chain one, a vault on chain two.

Six honest users trade; the attacker borrows and takes the collateral back out, block after block, until
nothing is left or somebody stops it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from consensus.alert import Level
from consensus.fields import keccak256
from consensus.types import Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import (
    COMPARE_AT_MOST,
    Trust,
    allow_action,
    approve_policy,
    create_guardian,
    let_call,
)
from node.evaluate.policy import Policy, parse_policy

LIQUIDITY = 1_000_000 * 10**18
HONEST_COLLATERAL = 20_000 * 10**18
HONEST_DEBT = 14_000 * 10**18  # of 15,000 possible: little slack, so one theft breaks the invariant
ATTACK_CAPITAL = 100_000 * 10**18
VAULT_ASSETS = 500_000 * 10**18
ONE = 10**18
BORROW_BRAKE = 5_000 * 10**18  # per block, all accounts together
WITHDRAW_BRAKE = 10_000 * 10**18  # per hour, all holders together
ROLE_PAUSE, ROLE_BRAKE = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lending:
    """Where everything is, and the policy that watches it."""

    pool: Address
    debt_token: Address
    collateral_token: Address
    guardian: Address
    attack: Address
    users: tuple[Address, ...]
    attacker: Address
    vault: Address
    vault_guardian: Address
    policy: Policy
    policy_file: Path


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


async def deploy_lending(
    home: Deployer, away: Deployer, *, home_trust: Trust, away_trust: Trust, folder: Path
) -> Lending:
    """Deploy both protocols with their guardians, let users in, and approve the policy on both chains."""
    debt = await home.deploy("DemoToken", "Demo Dollar", "DUSD")
    collateral = await home.deploy("DemoToken", "Demo Ether", "DETH")
    manager = await home.deploy("AccessManager", home.governance)
    pool = await home.deploy("LendingPool", manager, collateral, debt, ONE)
    guardian = await create_guardian(home, home_trust)
    pauser = await home.deploy("PausableAdapter", guardian, pool)
    set_cap = _selector("setBorrowCap(uint256)")
    brake = await home.deploy(
        "AccessManagedAdapter",
        guardian,
        pool,
        set_cap + BORROW_BRAKE.to_bytes(32, "big"),
        set_cap,  # the adapter puts back what it found
        _selector("borrowCapPerBlock()"),
        COMPARE_AT_MOST,
        BORROW_BRAKE.to_bytes(32, "big"),
    )
    pause_selectors = [_selector("pause()"), _selector("unpause()")]
    await let_call(home, manager, pool, pauser, role=ROLE_PAUSE, selectors=pause_selectors)
    await let_call(home, manager, pool, brake, role=ROLE_BRAKE, selectors=[set_cap])
    await allow_action(home, guardian, name="pause", adapter=pauser, level=Level.PAUSE)
    await allow_action(home, guardian, name="borrow-cap", adapter=brake, level=Level.LIMIT)

    vault, vault_guardian = await _deploy_vault(away, away_trust)
    policy_file = folder / "lending.yaml"
    policy_file.write_text(_policy_text(home, away, pool, guardian, vault_guardian))
    policy = parse_policy(policy_file.read_bytes())
    await approve_policy(home, guardian, policy.hash)
    await approve_policy(away, vault_guardian, policy.hash)

    users, attacker = home.accounts[2:8], home.accounts[9]
    await _let_users_in(home, pool, debt, collateral, users)
    attack = await home.deploy_as(attacker, "DrainAttack", pool)
    await home.send("DemoToken", collateral, "mint", attack, ATTACK_CAPITAL)
    return Lending(
        pool=pool,
        debt_token=debt,
        collateral_token=collateral,
        guardian=guardian,
        attack=attack,
        users=users,
        attacker=attacker,
        vault=vault,
        vault_guardian=vault_guardian,
        policy=policy,
        policy_file=policy_file,
    )


async def _deploy_vault(away: Deployer, trust: Trust) -> tuple[Address, Address]:
    """The second protocol: its own governance, its own guardian, the same watchers."""
    asset = await away.deploy("DemoToken", "Demo Dollar", "DUSD")
    manager = await away.deploy("AccessManager", away.governance)
    vault = await away.deploy("Vault", manager, asset, "Demo Vault", "vDUSD")
    guardian = await create_guardian(away, trust)
    set_limit = _selector("setWithdrawLimit(uint256)")
    brake = await away.deploy(
        "AccessManagedAdapter",
        guardian,
        vault,
        set_limit + WITHDRAW_BRAKE.to_bytes(32, "big"),
        set_limit,
        _selector("withdrawLimit()"),
        COMPARE_AT_MOST,
        WITHDRAW_BRAKE.to_bytes(32, "big"),
    )
    await let_call(away, manager, vault, brake, role=ROLE_BRAKE, selectors=[set_limit])
    await allow_action(away, guardian, name="withdraw-limit", adapter=brake, level=Level.LIMIT)
    await away.send("DemoToken", asset, "mint", away.governance, VAULT_ASSETS)
    await away.send("DemoToken", asset, "approve", vault, VAULT_ASSETS)
    await away.send("Vault", vault, "deposit", VAULT_ASSETS, away.governance)
    return vault, guardian


async def _let_users_in(
    home: Deployer, pool: Address, debt: Address, collateral: Address, users: tuple[Address, ...]
) -> None:
    await home.send("DemoToken", debt, "mint", home.governance, LIQUIDITY)
    await home.send("DemoToken", debt, "approve", pool, LIQUIDITY)
    await home.send("LendingPool", pool, "deposit", LIQUIDITY)
    for user in users:
        await home.send("DemoToken", collateral, "mint", user, HONEST_COLLATERAL)
        await home.send("DemoToken", debt, "mint", user, HONEST_DEBT)
        await home.send("DemoToken", collateral, "approve", pool, HONEST_COLLATERAL, sender=user)
        await home.send("DemoToken", debt, "approve", pool, 2**255, sender=user)
        await home.send("LendingPool", pool, "postCollateral", HONEST_COLLATERAL, sender=user)
        await home.send("LendingPool", pool, "borrow", HONEST_DEBT, sender=user)


class HonestUsers:
    """Small loans taken and paid back, chosen by a seed; never below full backing."""

    def __init__(self, chain: Deployer, lending: Lending, *, seed: int = 7) -> None:
        self._chain = chain
        self._lending = lending
        self._random = random.Random(seed)
        self._extra = dict.fromkeys(lending.users, 0)

    async def trade(self) -> tuple[Address, str, int]:
        """One user borrows a little more or pays it back; who, what, and how much."""
        user = self._random.choice(self._lending.users)
        function, amount = ("repay", self._extra[user]) if self._extra[user] else ("borrow", self._small())
        self._extra[user] = 0 if function == "repay" else amount
        data = self._chain.encode("LendingPool", function, amount)
        await self._chain.submit({"from": user, "to": self._lending.pool, "data": data})
        return user, function, amount

    def _small(self) -> int:
        return self._random.randint(100, 900) * ONE


def _policy_text(
    home: Deployer, away: Deployer, pool: Address, guardian: Address, vault_guardian: Address
) -> str:
    return f"""# Written by the demonstration: watches the lending pool, brakes the pool and the vault on the other chain.
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
    chain_id: {away.chain_id}
    address: "{vault_guardian}"

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
    action: withdraw-limit
    level: limit
  pause_pool:
    guardian: guardian
    action: pause
    level: pause

rules:
  debt-unbacked:              # the pool's own promise: all debt within 75 % of all collateral
    kind: expression
    when: debt * 10_000 > collateral * 7_500
    cooldown_blocks: 20
    actions: [slow_borrowing, brake_vault, pause_pool]
  liquidity-drained:          # a third of what was there eight blocks ago has left
    kind: drain
    signal: liquidity
    window_blocks: 8
    threshold_bps: 3_333
    cooldown_blocks: 20
    actions: [slow_borrowing, brake_vault, pause_pool]
"""
