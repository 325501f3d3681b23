"""A network whose one rule is the trace detectors' word, learned from its own chain: enough for a pause."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import trio
from click.testing import CliRunner

from node.cli import cli
from node.devnet.guarding import approve_policy
from node.devnet.lending import LendingScenario, deploy_lending
from node.devnet.network import Conduct, Ground, local_network
from node.devnet.vault import ONE
from node.policies import read_policy
from tests.detect.policies import GENERAL
from tests.e2e.ear import Ear

TRADES = 36  # a loan and its repayment each
WATCHERS = 4

POLICY = """tocsin: 1
name: strange
version: 1
ttl_seconds: 600
source_chain_id: {chain_id}
contracts:
  pool: {{chain_id: {chain_id}, address: "{pool}"}}
  guardian: {{chain_id: {chain_id}, address: "{guardian}"}}
signals:
  strange: {{detection: general.yaml, learned: pool.learned, contracts: [pool]}}
actions:
  pause: {{guardian: guardian, action: pause, level: pause}}
rules:
  theft: {{kind: expression, when: strange >= 2, cooldown_blocks: 0, actions: [pause]}}
"""


async def run(*arguments: str) -> dict[str, Any]:
    """A command in a thread of its own, with what it prints."""
    result = await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, [*arguments, "--json"]))
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


async def deploy(ground: Ground) -> tuple[LendingScenario, Path]:
    """The pool of the demonstration, honest trade, and a policy over what was learned from it."""
    scenario, _ = await deploy_lending(ground)
    home, pool, folder = ground.home, scenario.pool, ground.directory
    chosen = random.Random(7)
    for trade in range(TRADES):
        user, amount = chosen.choice(scenario.users), chosen.randint(100, 900) * ONE
        await home.send("LendingPool", pool, "borrow", amount, sender=user)
        await home.send("LendingPool", pool, "repay", amount, sender=user)
        if trade % 4 == 0:
            await home.send("LendingPool", pool, "withdraw", 10 * amount)
    last = await home.block_number()
    config = str(ground.directory / "w1" / "config.toml")
    where = ("--config", config, "--chain-id", str(home.chain_id), "--contracts", pool)
    history, learned = folder / "pool.zip", folder / "pool.learned"
    recorded = await run("record", *where, "--blocks", f"1:{last}", "--out", str(history))
    taught = ("--history", str(history), "--until-block", str(last), "--out", str(learned))
    told = await run("learn", "--policy", str(GENERAL), *taught)
    assert told["until_block"] == last
    assert told["learned"] == recorded["transactions"] > 2 * TRADES
    shutil.copy(GENERAL, folder)
    policy = folder / "strange.yaml"
    policy.write_text(POLICY.format(chain_id=home.chain_id, pool=pool, guardian=scenario.guardian))
    await approve_policy(home, scenario.guardian, read_policy(policy).hash)
    return scenario, policy


async def test_what_was_learned_of_a_chain_pauses_a_theft_and_leaves_a_large_withdrawal_alone(
    tmp_path: Path,
) -> None:
    async with local_network(
        directory=tmp_path / "network", conduct=[Conduct.HONEST] * WATCHERS, deploy=deploy
    ) as network:
        ear, scenario, home = Ear(network), network.protocols, network.ground.home
        *present, late = network.watchers
        await network.watchers[late].stop()
        ear.mark()

        data = home.encode("LendingPool", "withdraw", 200_000 * ONE)
        honest = await ear.mined(
            network, await home.submit({"from": home.governance, "to": scenario.pool, "data": data})
        )
        struck = await ear.mined(network, await home.submit(dict(scenario.strikes[0])))
        digest = (await ear.wait(present[0], "attestation.signed")).fields["digest"]
        for name in present:
            fired = await ear.wait(name, "rule.fired")  # the first of all: nothing fired at the withdrawal
            assert honest < struck == fired.fields["block_number"]
            assert fired.fields["digest"] == digest
            assert (await ear.wait(name, "detection.found", block_number=struck)).fields["rung"] == "limit"
        await ear.wait(present[0], "effect.verified", digest=digest)
        assert await scenario.is_closed()
        assert (await scenario.at_risk()).units > 500_000 * ONE

        # who was away catches up, is asked about that block, and says the same
        await network.watchers[late].start()
        assert (await ear.wait(late, "attestation.signed")).fields["digest"] == digest
        assert not [name for name in network.watchers for _ in ear.all(name, "rule.unknown")]
