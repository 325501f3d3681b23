"""A whole network that sees an attack in the mempool: a certificate before any block holds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consensus.alert import Level
from node.devnet.guarding import approve_policy
from node.devnet.lending import LendingScenario, deploy_lending
from node.devnet.network import Conduct, Ground, local_network
from node.devnet.vault import ONE
from node.policies import read_policy
from tests.e2e.ear import Ear

EVERY_LEVEL = sorted(level.name.lower() for level in Level)
RULE = """
rules:
  foreseen:
    kind: pending
    contracts: [pool]
    tokens: {debt_token: 1_000}
    threshold_bps: 500
    block_seconds: 1
    actions: [pause_pool]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The demo's lending pool, whose policy has one rule, about pending transactions."""

    scenario: LendingScenario

    async def trade(self) -> str:
        """An honest loan; the transaction's hash."""
        home, user = self.scenario.home, self.scenario.users[0]
        data = home.encode("LendingPool", "borrow", ONE)
        return await home.submit({"from": user, "to": self.scenario.pool, "data": data})

    async def attack(self) -> str:
        return await self.scenario.home.submit(dict(self.scenario.strikes[0]))


async def deploy(ground: Ground) -> tuple[Stage, Path]:
    scenario, file = await deploy_lending(ground)
    home = ground.home
    token = await home.read("LendingPool", scenario.pool, "debtToken")
    head = file.read_text().split("\nrules:")[0]
    contracts = f'contracts:\n  debt_token: {{chain_id: {home.chain_id}, address: "{token}"}}\n'
    file.write_text(head.replace("contracts:\n", contracts, 1) + RULE)
    await approve_policy(home, scenario.guardian, read_policy(file).hash)
    return Stage(scenario=scenario), file


async def test_the_attack_has_its_certificate_before_it_is_mined_and_an_honest_loan_has_none(
    tmp_path: Path,
) -> None:
    async with local_network(
        directory=tmp_path / "network", conduct=[Conduct.HONEST] * 4, deploy=deploy
    ) as network:
        home, stage, ear = network.ground.home, network.protocols, Ear(network)
        ear.mark()
        loan = await stage.trade()
        block = await ear.mined(network, loan)
        await ear.wait("w1", "head.seen", block_number=block + 1, chain_id=home.chain_id)
        await home.pool.call("evm_setIntervalMining", (0,))  # from here on nothing is mined
        last = await home.block_number()
        assert not any(ear.all("w1", "rule.fired")), "an honest loan was taken for an attack"

        attack = await stage.attack()
        fired = await ear.wait("w1", "rule.fired", subject=attack)
        digest = fired.fields["digest"]
        await ear.wait("w2", "certificate.grown", digest=digest, levels=EVERY_LEVEL)

        assert fired.fields["block_number"] == last
        assert await home.block_number() == last
        assert await home.receipt(attack) is None

        await home.pool.call("evm_setIntervalMining", (1,))
        await ear.wait("w1", "effect.verified", digest=digest)
        assert await stage.scenario.is_closed()
