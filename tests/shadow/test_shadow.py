"""`tocsin shadow` beside a real chain: an attack, a reorg that takes it back, and an end when told."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from consensus.types import Address
from node.cli import EXIT_REFUSED, cli
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.lending import ATTACK_CAPITAL, LIQUIDITY, ONE, users_and_attacker
from tests.chain.doubles import doubles
from tests.detect.policies import GENERAL

PATIENCE_SECONDS = 60.0
HONEST = 70
COLLATERAL, DEBT = 20_000 * ONE, 10_000 * ONE
NO_SUCH_METHOD = "the method does not exist/is not available"


class Pool:
    """A lending pool with a hole, its users, and who found the hole."""

    def __init__(self, chain: Deployer, pool: Address, attack: Address) -> None:
        self.chain, self.pool, self.attack = chain, pool, attack
        self.users, self.attacker = users_and_attacker(chain)

    async def trade(self, times: int) -> None:
        chosen = random.Random(7)
        for _ in range(times):
            user, amount = chosen.choice(self.users), chosen.randint(100, 900) * ONE
            for function in ("repay", "borrow"):
                await self.chain.send("LendingPool", self.pool, function, amount, sender=user)

    async def strike(self) -> str:
        data = self.chain.encode("DrainAttack", "strike")
        return await self.chain.submit({"from": self.attacker, "to": self.attack, "data": data})


@asynccontextmanager
async def lending_pool(anvil: Anvil) -> AsyncIterator[Pool]:
    async with open_deployer(anvil) as chain:
        users, attacker = users_and_attacker(chain)
        debt = await chain.deploy("DemoToken", "Demo Dollar", "DUSD")
        collateral = await chain.deploy("DemoToken", "Demo Ether", "DETH")
        manager = await chain.deploy("AccessManager", chain.governance)
        pool = await chain.deploy("LendingPool", manager, collateral, debt, ONE)
        await chain.send("DemoToken", debt, "mint", chain.governance, LIQUIDITY)
        await chain.send("DemoToken", debt, "approve", pool, LIQUIDITY)
        await chain.send("LendingPool", pool, "deposit", LIQUIDITY)
        for user in users:
            await chain.send("DemoToken", collateral, "mint", user, COLLATERAL)
            await chain.send("DemoToken", collateral, "approve", pool, COLLATERAL, sender=user)
            await chain.send("DemoToken", debt, "approve", pool, LIQUIDITY, sender=user)
            await chain.send("LendingPool", pool, "postCollateral", COLLATERAL, sender=user)
            await chain.send("LendingPool", pool, "borrow", DEBT, sender=user)
        attack = await chain.deploy_as(attacker, "DrainAttack", pool)
        await chain.send("DemoToken", collateral, "mint", attack, ATTACK_CAPITAL)
        yield Pool(chain, pool, attack)


class Shadow:
    """The command as a process, and the lines that it prints."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._rest = b""

    async def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with trio.fail_after(PATIENCE_SECONDS):
            while b"\n" not in self._rest:
                more = await self.process.stdout.receive_some()
                assert more, "the command ended before it said so"
                self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def shadowing(config: Path, contract: Address, *how: str) -> AsyncIterator[Shadow]:
    command = [sys.executable, "-m", "node", "shadow", "--config", str(config), "--policy", str(GENERAL)]
    command += ["--contracts", contract, *how, "--json"]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        yield Shadow(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def write_config(folder: Path, url: str) -> Path:
    """Endpoints alone: the command needs no key."""
    path = folder / "config.toml"
    path.write_text(
        f"""[[chains]]
id = 31337
name = "local"
agreement = 1
endpoints = [{{name = "ada", http = "{url}"}}]
"""
    )
    return path


async def test_an_attack_is_told_a_reorg_takes_it_back_and_the_end_sums_up(tmp_path: Path) -> None:
    async with running_anvil() as anvil, doubles(anvil, "ada") as (ada,), lending_pool(anvil) as pool:
        config = write_config(tmp_path, ada.endpoint.http)
        async with shadowing(config, pool.pool, "--learn", str(HONEST)) as shadow:
            with trio.fail_after(PATIENCE_SECONDS):
                await ada.wait_asked("eth_getBlockByHash")  # it has begun
            await pool.trade(HONEST // 2)
            struck = await pool.strike()
            finding = await shadow.next()
            await pool.chain.pool.call("anvil_reorg", (2, []))
            withdrawn = await shadow.next()
            shadow.process.send_signal(signal.SIGTERM)
            summary = await shadow.next()
            with trio.fail_after(PATIENCE_SECONDS):
                assert await shadow.process.wait() == 0

    assert (finding["event"], finding["transaction"]) == ("finding", struck)
    assert finding["level"] in ("limit", "freeze", "pause")
    assert {each["detector"] for each in finding["evidence"]} >= {"contract_caller", "storage_record"}
    assert (withdrawn["event"], withdrawn["transaction"]) == ("withdrawn", struck)
    assert summary["event"] == "summary"
    assert (summary["withdrawn"], summary["limits"]) == (1, 0)
    assert summary["retracted_blocks"] == 2
    assert summary["learned"] == HONEST - 1  # the reorg took an honest transaction back too


async def run(*arguments: str) -> dict[str, Any]:
    """A command in a thread of its own, with what it prints."""
    result = await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, [*arguments, "--json"]))
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


async def test_what_was_recorded_and_learned_is_where_a_shadow_starts(tmp_path: Path) -> None:
    history, learned = tmp_path / "pool.zip", tmp_path / "pool.learned"
    async with running_anvil() as anvil, doubles(anvil, "ada") as (ada,), lending_pool(anvil) as pool:
        config = write_config(tmp_path, ada.endpoint.http)
        await pool.trade(HONEST // 2)
        last = await pool.chain.block_number()
        where = ("--config", str(config), "--contracts", pool.pool)
        recorded = await run("record", *where, "--blocks", f"1:{last}", "--out", str(history))
        taught = ("--history", str(history), "--until-block", str(last), "--out", str(learned))
        await run("learn", "--policy", str(GENERAL), *taught)
        await pool.chain.mine()
        ada.asked.clear()
        async with shadowing(config, pool.pool, "--learned", str(learned)) as shadow:
            with trio.fail_after(PATIENCE_SECONDS):
                await ada.wait_asked("eth_getBlockByHash")  # it has begun
            struck = await pool.strike()
            finding = await shadow.next()
            shadow.process.send_signal(signal.SIGTERM)
            summary = await shadow.next()

    assert recorded["transactions"] > HONEST
    assert (finding["transaction"], finding["level"]) == (struck, "limit")
    assert (summary["learned"], summary["scored"], summary["limits"]) == (0, 1, 1)


def test_a_learned_file_and_a_span_to_learn_contradict_each_other(tmp_path: Path) -> None:
    arguments = ["shadow", "--rpc", "http://127.0.0.1:9", "--policy", str(GENERAL), "--contracts"]
    arguments += ["0x" + "11" * 20, "--learn", "5", "--learned", str(tmp_path / "x")]

    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == EXIT_REFUSED
    assert "either --learn or --learned" in result.output


async def test_a_node_without_traces_is_told_of_on_every_block(tmp_path: Path) -> None:
    async with running_anvil() as anvil, doubles(anvil, "ada") as (ada,), open_deployer(anvil) as chain:
        ada.refused = dict.fromkeys(("debug_traceBlockByHash", "trace_block"), NO_SUCH_METHOD)
        token = await chain.deploy("DemoToken", "Demo Dollar", "DUSD")
        async with shadowing(write_config(tmp_path, ada.endpoint.http), token, "--learn", "1") as shadow:
            told = await shadow.next()
            shadow.process.send_signal(signal.SIGTERM)
            summary = await shadow.next()

    assert told["event"] == "uncovered"
    assert "not covered" in told["detail"]
    assert (summary["blocks"], summary["uncovered_blocks"]) == (1, 1)
    assert "s3cret" not in json.dumps(told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chains = []", "names no chain"),
        ("rpc_timeout_seconds = 0\n[[chains]]\nid = 1\nname = 'a'\nendpoints = []", "rpc_timeout_seconds"),
        (
            "".join(
                f"[[chains]]\nid = {n}\nname = 'a'\nagreement = 1\n"
                "endpoints = [{name = 'a', http = 'http://127.0.0.1:9'}]\n"
                for n in (1, 2)
            ),
            "--chain-id",
        ),
    ],
)
def test_a_configuration_that_names_no_chain_to_look_at_is_refused(
    text: str, words: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    contract = "0x" + "11" * 20

    result = CliRunner().invoke(
        cli,
        ["shadow", "--config", str(config), "--policy", str(GENERAL), "--contracts", contract],
    )

    assert result.exit_code == EXIT_REFUSED
    assert words in result.output
