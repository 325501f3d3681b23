"""`tocsin policy backtest`: past blocks of a real node, judged as a watcher would have judged them."""

from __future__ import annotations

import json
from pathlib import Path

import trio
from click.testing import CliRunner, Result

from node.chain.rpc import open_pool
from node.chain.types import Endpoint
from node.cli import cli
from node.devnet.anvil import Mining, running_anvil
from tests.evaluate.policies import POOL, TOKEN, make_policy_text

RETURNS_BLOCK_NUMBER = "0x435f5260205ff3"
REVERTS = "0x5f5ffd"


async def backtest(*arguments: str) -> Result:
    """The command, in a thread with a loop of its own."""
    return await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, ["policy", "backtest", *arguments]))


async def test_past_blocks_are_judged_by_their_own_state(tmp_path: Path) -> None:
    policy, address = tmp_path / "policy.yaml", tmp_path / "rpc"
    watch = '{kind: expression, when: "x > 5 and prev(x, 2) >= 4", cooldown_blocks: 0, actions: [stop]}'
    blind = "{kind: expression, when: y > 0, cooldown_blocks: 0, actions: []}"
    text = make_policy_text().split("rules:")[0] + f"rules:\n  watch: {watch}\n  blind: {blind}\n"
    policy.write_text(text)

    async with running_anvil(mining=Mining.WHEN_TOLD) as anvil:
        address.write_text(f"{anvil.http}\n")
        endpoint = Endpoint(name="ada", http=anvil.http)
        async with open_pool(anvil.chain_id, (endpoint,), agreement=1, timeout_seconds=20) as pool:
            await pool.call("anvil_setCode", (TOKEN, RETURNS_BLOCK_NUMBER))
            await pool.call("anvil_setCode", (POOL, REVERTS))
            await pool.call("anvil_mine", (hex(10),))
        told = await backtest(
            str(policy), "--http-file", str(address), "--blocks", "8", "--last", "9", "--json"
        )
        prose = await backtest(str(policy), "--http-file", str(address), "--blocks", "20")
    silent = await backtest(str(policy), "--http-file", str(address), "--blocks", "20")

    answer = json.loads(told.stdout)
    assert (answer["first_block"], answer["last_block"]) == (2, 9)
    assert [(each["rule"], each["block"], each["actions"]) for each in answer["findings"]] == [
        ("watch", 6, ["stop"])
    ]
    assert answer["findings"][0]["values"] == {"x@-0": "6", "x@-2": "4"}
    assert answer["unknown"] == [{"rule": "blind", "reason": "signal_undefined", "blocks": 8}]
    assert "block 6  watch  asks stop" in prose.stdout
    assert "signal_undefined  at 11 blocks" in prose.stdout
    assert silent.exit_code == 3
    assert isinstance(silent.exception, SystemExit)


async def test_what_is_no_policy_or_no_address_is_refused(tmp_path: Path) -> None:
    policy, address = tmp_path / "policy.yaml", tmp_path / "rpc"
    policy.write_text(make_policy_text())
    address.write_text("not an address\n")

    no_address = await backtest(str(policy), "--http-file", str(address), "--blocks", "1")
    policy.write_text("tocsin: 2\n")
    no_policy = await backtest(str(policy), "--http-file", str(address), "--blocks", "1")

    assert (no_address.exit_code, no_policy.exit_code) == (2, 2)
    assert "http://" in no_address.stderr
    assert "from 1 to 1" in no_policy.stderr
