"""A backtest of blocks that a node has: the same as of a recording of them, and nobody learns the address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from consensus.types import BlockNumber
from node.cli import EXIT_REFUSED, EXIT_UNAVAILABLE, cli
from node.commands.histories import BlockRange, parse_history
from node.devnet.anvil import running_anvil
from node.observe import recording
from tests.backtest.histories import record, robbed_history
from tests.chain.doubles import doubles
from tests.detect.policies import GENERAL
from tests.shadow.test_shadow import lending_pool, write_config

HONEST = 30
QUIET_BLOCKS = 52  # more than are set aside before an exploit
SECRET = "s3cret"
UNTIMED = {"seconds": 0, "transactions_per_second": 0, "history": ""}
POLICY = ("--policy", str(GENERAL))


async def run(*arguments: object) -> Result:
    """A command in a thread, which has a loop of its own."""
    return await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, [str(each) for each in arguments]))


async def told(*arguments: object) -> dict[str, Any]:
    result = await run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert SECRET not in result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer | UNTIMED


async def test_blocks_of_a_node_come_to_what_a_recording_of_them_comes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "FIRST_RETRY_SECONDS", 0)
    archive, folder = tmp_path / "pool.zip", tmp_path / "kept"
    async with running_anvil() as anvil, doubles(anvil, "ada") as (ada,), lending_pool(anvil) as pool:
        await pool.trade(HONEST // 2)
        await pool.chain.pool.call("anvil_mine", (hex(QUIET_BLOCKS),))
        struck = await pool.strike()
        await pool.chain.mine()  # a call that was submitted is mined a moment later
        last = await pool.chain.block_number()
        blocks, watched = f"1:{last}", ("--contracts", pool.pool)
        config = write_config(tmp_path, ada.endpoint.http)
        history = ("--history", f"{ada.endpoint.http}#{blocks}")
        scored = (*POLICY, "--exploit-tx", struck)

        await run("record", "--rpc", ada.endpoint.http, *watched, "--blocks", blocks, "--out", archive)
        of_recording = await told("backtest", *scored, "--history", archive)
        of_config = ("--history", f"{config}#{blocks}", *watched)
        learned = await told("learn", *POLICY, *of_config, "--out", tmp_path / "learned")

        ada.asked.clear()
        ada.lie = _until_half(ada.asked)
        cut = await run("backtest", *scored, *history, *watched, "--resume", folder)
        before, ada.lie = ada.asked["debug_traceBlockByHash"], lambda method, params, answer: answer
        ada.asked.clear()
        resumed = await told("backtest", *scored, *history, *watched, "--resume", folder)
        after = ada.asked["debug_traceBlockByHash"]
        again = await told("backtest", *scored, *history, *watched, "--resume", folder)

    assert of_recording["alarms"]
    assert resumed == again == of_recording
    assert learned["learned"] == of_recording["learned"]
    assert cut.exit_code == EXIT_UNAVAILABLE
    assert "start again to go on" in cut.output
    assert SECRET not in cut.output
    assert before > 0
    assert 0 < after < last, "blocks that were read before the cut are not read again"
    assert ada.asked["debug_traceBlockByHash"] == after
    assert [path.suffix for path in sorted(folder.iterdir())] == [".json", ".zip"]
    kept = b"".join(path.name.encode() + path.read_bytes() for path in folder.iterdir())
    assert SECRET.encode() not in kept


def _until_half(asked: Any) -> Any:
    """Answers like the node for some blocks, then without their traces."""

    def lie(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method.startswith(("debug_", "trace_")) and asked[method] > HONEST // 2:
            return {**{key: answer[key] for key in ("jsonrpc", "id")}, "result": None}
        return answer

    return lie


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--history", "http://127.0.0.1:9/s3cret"), "expected URL#FROM:TO"),
        (("--history", "http://127.0.0.1:9/s3cret#1-2"), "expected FROM:TO"),
        (("--history", "http://127.0.0.1:9/s3cret#2:1"), "comes after"),
        (("--history", "http://127.0.0.1:9/s3cret#1:2"), "--contracts: expected at least one address"),
        (("--history", "http://127.0.0.1:9/s3cret#1:2", "--contracts", "0x12"), "expected an address"),
        (("--history", "none.toml#1:2", "--contracts", "0x" + "11" * 20), "none.toml"),
        (("--history", "vault.zip", "--contracts", "0x" + "11" * 20), "belong to blocks of a node"),
        (("--history", "vault.zip", "--chain-id", "1"), "belong to blocks of a node"),
    ],
)
@pytest.mark.parametrize("command", [("backtest",), ("learn", "--out", "learned.json")])
def test_a_range_that_cannot_be_read_is_refused_before_a_node_is_asked(
    command: tuple[str, ...],
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli, [*command, *POLICY, *arguments])

    assert result.exit_code == EXIT_REFUSED
    assert words in result.output
    assert SECRET not in result.output


async def test_a_node_that_does_not_answer_is_told_without_its_address() -> None:
    result = await run(
        *("backtest", *POLICY, "--history", "http://127.0.0.1:9/s3cret#1:2", "--contracts", "0x" + "11" * 20)
    )

    assert result.exit_code == EXIT_UNAVAILABLE
    assert SECRET not in result.output


def test_a_file_that_is_there_is_a_file_whatever_it_is_called(tmp_path: Path) -> None:
    odd = tmp_path / "pool#1:2"
    (tmp_path / "pool#1:2").mkdir()
    plain = record(tmp_path, robbed_history(3))

    assert parse_history(str(odd)) == odd
    assert parse_history(str(tmp_path / "Vault.zip")) == tmp_path / "Vault.zip"
    assert plain.name == "Vault"
    assert parse_history(f"{tmp_path}/none#1:2") == BlockRange(
        source=f"{tmp_path}/none", first=BlockNumber(1), last=BlockNumber(2)
    )
