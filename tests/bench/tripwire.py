"""The least protocol that can ring the bell again and again: a balance that rises, a target that pauses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trio

from consensus.alert import Level, compute_action_id
from consensus.fields import keccak256
from consensus.types import Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import Trust, allow_action, approve_policy, create_guardian
from node.devnet.network import Ground
from node.policies import read_policy

PAUSE = compute_action_id("pause")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pausable:
    """A target that its guardian can pause."""

    target: Address
    guardian: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripwire:
    """Mint a unit to `watched`, and every watcher rings."""

    ground: Ground
    token: Address
    watched: Address
    target: Address
    guardian: Address
    away: Pausable | None = None

    async def trip(self) -> str:
        """Send the transaction that shows in the next block; its hash."""
        home = self.ground.home
        data = home.encode("DemoToken", "mint", self.watched, 1)
        return await home.submit({"from": home.governance, "to": self.token, "data": data})

    async def lift(self) -> str:
        """The owner lifts; the transaction's hash."""
        home = self.ground.home
        data = home.encode("IGuardian", "lift", PAUSE)
        return await home.submit({"from": home.governance, "to": self.guardian, "data": data})

    async def wait_rearmed(self) -> None:
        """Until the next block's alert is later than what the guardian asks for after the lift."""
        home = self.ground.home
        state = await home.read("IGuardian", self.guardian, "state", PAUSE)
        until, observed_after = state[0], state[2]
        assert until == 0, "the owner's lift did not end the restriction"
        while await home.timestamp() < observed_after:
            await trio.sleep(0.05)


async def deploy_pausable(chain: Deployer, trust: Trust) -> Pausable:
    """Deploy it under a guardian with the shortest cooldown."""
    target = await chain.deploy("PausableTarget", chain.governance)
    guardian = await create_guardian(chain, trust)
    adapter = await chain.deploy("PausableAdapter", guardian, target)
    await chain.send("PausableTarget", target, "grantRole", keccak256(b"PAUSER_ROLE"), adapter)
    await allow_action(chain, guardian, name="pause", adapter=adapter, level=Level.PAUSE, cooldown_seconds=1)
    return Pausable(target=target, guardian=guardian)


async def deploy_tripwire(ground: Ground) -> tuple[Tripwire, Path]:
    """Deploy it on the home chain."""
    return await _deploy(ground, None)


async def deploy_two_tripwires(ground: Ground) -> tuple[Tripwire, Path]:
    """The same, with a second target on the other chain that the same alert pauses."""
    return await _deploy(ground, await deploy_pausable(ground.away, ground.away_trust))


async def _deploy(ground: Ground, away: Pausable | None) -> tuple[Tripwire, Path]:
    home = ground.home
    token = await home.deploy("DemoToken", "Wire", "WIRE")
    here = await deploy_pausable(home, ground.home_trust)
    target, guardian = here.target, here.guardian
    watched = home.accounts[5]
    elsewhere = (
        ""
        if away is None
        else f"""  away:
    chain_id: {ground.away.chain_id}
    address: "{away.guardian}"
"""
    )
    action = (
        ""
        if away is None
        else """  pause_away:
    guardian: away
    action: pause
    level: pause
"""
    )
    named = "[pause]" if away is None else "[pause, pause_away]"
    policy = ground.directory / "tripwire.yaml"
    policy.write_text(
        f"""tocsin: 1
name: tripwire
version: 1
ttl_seconds: 600
source_chain_id: {home.chain_id}
contracts:
  token:
    chain_id: {home.chain_id}
    address: "{token}"
  watched:
    chain_id: {home.chain_id}
    address: "{watched}"
  guardian:
    chain_id: {home.chain_id}
    address: "{guardian}"
{elsewhere}signals:
  held:
    call: token.balanceOf(address)(uint256)
    args: [watched]
actions:
  pause:
    guardian: guardian
    action: pause
    level: pause
{action}rules:
  tripped:
    kind: expression
    when: held > prev(held, 1)
    cooldown_blocks: 0
    actions: {named}
"""
    )
    policy_hash = read_policy(policy).hash
    await approve_policy(home, guardian, policy_hash)
    if away is not None:
        await approve_policy(ground.away, away.guardian, policy_hash)
    wire = Tripwire(ground=ground, token=token, watched=watched, target=target, guardian=guardian, away=away)
    return wire, policy
