"""A whole network that watches a bridge: a release that nothing backs, and the guardian beside it limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consensus.alert import Level
from consensus.fields import keccak256
from consensus.types import Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import allow_action, approve_policy, create_guardian
from node.devnet.network import Conduct, Ground, local_network
from node.policies import read_policy
from tests.e2e.ear import Ear
from tests.live.test_bridge import BRIDGE, EVENT, FIELDS, TELL, TOKEN, USER


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Both ends of a bridge, which say what they are told to; the guardian is on the home chain."""

    home: Deployer
    away: Deployer
    target: Address

    async def tell(self, chain: Deployer, number: int) -> str:
        words = (number, int(TOKEN, 16), int(USER, 16), 100)
        data = "0x" + b"".join(word.to_bytes(32) for word in words).hex()
        return await chain.submit({"from": chain.governance, "to": BRIDGE, "data": data})

    async def is_limited(self) -> bool:
        return bool(await self.home.read("PausableTarget", self.target, "paused"))


async def deploy(ground: Ground) -> tuple[Stage, Path]:
    home, away = ground.home, ground.away
    for chain in (home, away):
        await chain.pool.call("anvil_setCode", (BRIDGE, f"0x{TELL}"))
    target = await home.deploy("PausableTarget", home.governance)
    guardian = await create_guardian(home, ground.home_trust)
    adapter = await home.deploy("PausableAdapter", guardian, target)
    await home.send("PausableTarget", target, "grantRole", keccak256(b"PAUSER_ROLE"), adapter)
    await allow_action(home, guardian, name="slow", adapter=adapter, level=Level.LIMIT)
    (ground.directory / "bridge.yaml").write_text(
        f"""tocsin_bridge: 1
name: two-chains
version: 1
timing: {{finality_seconds: 1, clock_seconds: 0, window_seconds: 100}}
room: {{outstanding_burns: 100, waiting_releases: 100}}
levels: {{alert: 0, limit: 1, freeze: 1, pause: 1}}
tokens:
  coin: {{burnt: "{TOKEN}", released: "{TOKEN}"}}
burns: {{chain_id: {away.chain_id}, contract: "{BRIDGE}", event: "{EVENT}", {FIELDS}}}
releases: {{chain_id: {home.chain_id}, contract: "{BRIDGE}", event: "{EVENT}", {FIELDS}}}
"""
    )
    policy = ground.directory / "policy.yaml"
    policy.write_text(
        f"""tocsin: 1
name: bridge-watch
version: 1
ttl_seconds: 600
source_chain_id: {home.chain_id}
contracts:
  guardian: {{chain_id: {home.chain_id}, address: "{guardian}"}}
signals:
  unbacked: {{bridge: bridge.yaml, take: count, lookback_seconds: 86_400}}
actions:
  slow: {{guardian: guardian, action: slow, level: limit}}
rules:
  forged:
    kind: expression
    when: unbacked > 0
    cooldown_blocks: 0
    actions: [slow]
"""
    )
    await approve_policy(home, guardian, read_policy(policy).hash)
    return Stage(home=home, away=away, target=target), policy


async def test_a_backed_release_is_silent_and_one_that_nothing_backs_is_limited(tmp_path: Path) -> None:
    async with local_network(
        directory=tmp_path / "network", conduct=[Conduct.HONEST] * 3, deploy=deploy
    ) as network:
        stage, ear = network.protocols, Ear(network)
        ear.mark()
        await stage.tell(stage.away, 1)
        burnt = await ear.wait("w1", "head.seen", chain_id=stage.away.chain_id)
        await ear.wait(
            "w1",
            "head.seen",
            chain_id=stage.away.chain_id,
            block_number=burnt.fields["block_number"] + 2,
        )
        backed = await ear.mined(network, await stage.tell(stage.home, 1))
        forged = await ear.mined(network, await stage.tell(stage.home, 2))

        fired = await ear.wait("w1", "rule.fired", rule="forged")
        assert fired.fields["block_number"] == forged > backed
        await ear.wait("w1", "effect.verified", digest=fired.fields["digest"])
        assert await stage.is_limited()
        assert {said.fields["block_number"] for said in ear.all("w2", "rule.fired")} <= {forged}
