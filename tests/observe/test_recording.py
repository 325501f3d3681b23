"""Recording from a real chain: what is read back is what was seen, and a stopped recording goes on."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.cli import EXIT_REFUSED, cli
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer
from node.observe import recording
from node.observe.history import RecordedHistory, Recording
from node.observe.recording import record
from node.observe.traces import TraceGap, TraceReader
from node.trace import Account, TransactionTrace
from tests.chain.doubles import EndpointDouble, doubles, pool_of
from tests.observe.bytecode import COUNTER, STOP, address, call, code, delegate_call, emit_transfer

WATCHED, OTHER, TOKEN = address(0xA1), address(0xA2), address(0xA3)
NO_SUCH_METHOD = "the method does not exist/is not available"


class Chain:
    """A chain with a history of its own, behind one endpoint that counts."""

    def __init__(self, anvil: Anvil, pool: RpcPool, endpoint: EndpointDouble, deployer: Deployer) -> None:
        self.anvil, self.pool, self.endpoint, self.deployer = anvil, pool, endpoint, deployer
        self.reader, self.traces = ChainReader(pool), TraceReader(pool, (WATCHED,))

    async def send(self, to: Address, *, value_wei: int = 0) -> None:
        sent = await self.deployer.submit(
            {
                "from": self.deployer.governance,
                "to": to,
                "data": "0x12345678",
                "value": hex(value_wei),
                "gas": hex(1_000_000),
            }
        )
        while await self.deployer.receipt(sent) is None:
            pass  # mined as soon as it came, but answered before

    async def seen(self, first: int, last: int) -> list[TransactionTrace]:
        traces: list[TransactionTrace] = []
        for number in range(first, last + 1):
            seen = await self.traces.read(await self.reader.block_by_number(BlockNumber(number)))
            assert not isinstance(seen, TraceGap)
            traces += seen
        return traces

    async def record(self, out: Path, first: int = 1, last: int = 6) -> recording.Recorded:
        return await record(
            self.reader, self.traces, first=BlockNumber(first), last=BlockNumber(last), out=out
        )


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        for at, parts in {
            WATCHED: (delegate_call(OTHER), call(TOKEN), call(OTHER, value_wei=1), STOP),
            OTHER: (COUNTER, STOP),
            TOKEN: (COUNTER, emit_transfer(OTHER, WATCHED, 2**256 - 1), STOP),
        }.items():
            await pool.call("anvil_setCode", (at, code(*parts)))
        chain = Chain(anvil, pool, ada, await Deployer.connect(pool))
        for to in (WATCHED, OTHER, TOKEN, WATCHED, OTHER, WATCHED):
            await chain.send(to, value_wei=5 if to == WATCHED else 0)
        yield chain


async def test_what_was_recorded_is_read_back_as_it_was_seen(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "history.zip"

    recorded = await chain.record(out)

    read = list(RecordedHistory(out).transactions())
    assert read == await chain.seen(1, 6)
    assert (recorded.blocks, recorded.transactions) == (6, 4)
    assert [trace.block_number for trace in read] == [1, 3, 4, 6]
    assert read[0].frames[0].accesses
    assert RecordedHistory(out).recording() == Recording(
        chain_id=chain.reader.chain_id,
        contracts=(Account(WATCHED.lower()),),
        first=BlockNumber(1),
        last=BlockNumber(6),
        last_hash=(await chain.reader.block_by_number(BlockNumber(6))).hash,
    )
    assert os.listdir(tmp_path) == [out.name]


async def test_a_stopped_recording_goes_on_where_it_was(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "STRIDE", 2)
    out = tmp_path / "history.zip"
    with pytest.raises(Refused, match="not there yet"):
        await chain.record(out, last=7)
    seen_by_progress: list[int] = []

    def stop_after_three(done: int, _total: int) -> None:
        seen_by_progress.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await record(
            chain.reader,
            chain.traces,
            first=BlockNumber(1),
            last=BlockNumber(6),
            out=out,
            advance=stop_after_three,
        )
    assert not out.exists()
    asked = chain.endpoint.asked["debug_traceBlockByHash"]

    recorded = await chain.record(out)

    assert seen_by_progress == [1, 2, 3]
    assert chain.endpoint.asked["debug_traceBlockByHash"] - asked == 3
    assert recorded.transactions == 4
    assert list(RecordedHistory(out).transactions()) == await chain.seen(1, 6)


async def test_a_block_without_traces_ends_the_recording_and_leaves_no_hole(
    chain: Chain, tmp_path: Path
) -> None:
    out = tmp_path / "history.zip"
    chain.endpoint.refused = dict.fromkeys(("debug_traceBlockByHash", "trace_block"), NO_SUCH_METHOD)
    with pytest.raises(Unavailable, match="a recording has no holes"):
        await chain.record(out)
    assert not out.exists()

    chain.endpoint.refused = {}
    assert (await chain.record(out)).transactions == 4


async def test_an_answer_that_fails_once_is_asked_for_again(chain: Chain) -> None:
    chain.endpoint.is_down = True
    pauses: list[float] = []

    async def recover(seconds: float) -> None:
        pauses.append(seconds)
        chain.endpoint.is_down = False

    traces = await recording.read_patiently(chain.traces, await chain_head(chain), sleep=recover)

    assert not isinstance(traces, TraceGap)
    assert len(pauses) == 1


async def chain_head(chain: Chain) -> recording.BlockRef:
    chain.endpoint.is_down = False
    ref = await chain.reader.latest()
    chain.endpoint.is_down = True
    return ref


async def test_another_recording_under_the_same_name_is_refused(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "history.zip"
    (tmp_path / "history.zip.part").mkdir()
    (tmp_path / "history.zip.part" / "progress.json").write_text(
        json.dumps(
            {
                "format": recording.RECORDING_FORMAT,
                "chain_id": 31337,
                "contracts": [OTHER.lower()],
                "first": 1,
                "last": 6,
                "next": 2,
                "transactions": 1,
            }
        )
    )

    with pytest.raises(Refused, match="other contracts") as refused:
        await chain.record(out)

    assert refused.value.reason is Reason.RECORDING_CONFLICT


async def test_a_damaged_progress_file_is_refused(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "history.zip.part").mkdir()
    (tmp_path / "history.zip.part" / "progress.json").write_text("{")
    with pytest.raises(Refused, match="cannot be read as the progress") as refused:
        await chain.record(tmp_path / "history.zip")
    assert refused.value.reason is Reason.RECORDING_CONFLICT


async def test_an_output_that_is_there_is_never_overwritten(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "history.zip"
    out.write_text("mine")
    with pytest.raises(Refused, match="there already") as refused:
        await chain.record(out)
    assert refused.value.reason is Reason.RECORDING_CONFLICT
    assert out.read_text() == "mine"


async def test_a_range_in_which_nothing_happened_is_no_history(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="left nothing") as refused:
        await chain.record(tmp_path / "history.zip", first=2, last=2)
    assert refused.value.reason is Reason.HISTORY_INVALID


async def test_blocks_out_of_order_are_refused(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="in order") as refused:
        await chain.record(tmp_path / "history.zip", first=3, last=2)
    assert refused.value.reason is Reason.OUT_OF_RANGE


async def test_a_reorg_between_two_runs_is_noticed(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "STRIDE", 1)
    out = tmp_path / "history.zip"

    def stop(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await record(
            chain.reader, chain.traces, first=BlockNumber(1), last=BlockNumber(6), out=out, advance=stop
        )
    await chain.pool.call("anvil_reorg", (3, []))

    with pytest.raises(Unavailable, match="was reorganised"):
        await chain.record(out)


async def run(*arguments: str) -> Result:
    return await trio.to_thread.run_sync(lambda: CliRunner().invoke(cli, list(arguments)))


async def test_the_command_writes_a_history_and_says_what_it_holds(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "history.zip"
    contracts = f"{WATCHED.lower()},{OTHER}"

    result = await run(
        *("record", "--rpc", chain.anvil.http, "--contracts", contracts, "--blocks", "1:6"),
        *("--out", str(out), "--json"),
    )

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"blocks": 6, "transactions": 6, "history": str(out)}
    assert len(list(RecordedHistory(out).transactions())) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rpc", "http://127.0.0.1:9", "--contracts", "0x12", "--blocks", "1:2"), "expected an address"),
        (("--rpc", "http://127.0.0.1:9", "--contracts", ",", "--blocks", "1:2"), "at least one address"),
        (("--rpc", "http://127.0.0.1:9", "--contracts", WATCHED, "--blocks", "1-2"), "expected FROM:TO"),
        (("--rpc", "http://127.0.0.1:9", "--contracts", WATCHED, "--blocks", "2:1"), "comes after"),
        (("--rpc", "ftp://s3cret", "--contracts", WATCHED, "--blocks", "1:2"), "begins with http"),
        (("--contracts", WATCHED, "--blocks", "1:2"), "either --config FILE or --rpc URL"),
    ],
)
async def test_arguments_that_cannot_work_are_refused_before_a_node_is_asked(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    result = await run("record", *arguments, "--out", str(tmp_path / "history.zip"))
    assert result.exit_code == EXIT_REFUSED
    assert words in result.output
    assert "s3cret" not in result.output
