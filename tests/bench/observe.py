"""What observing costs: reads one by one and in a batch, and traces from each kind of interface.

Run by `python -m tests.bench.observe`. One anvil on this machine, so that what is measured is our own work
and the node's, and no network.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from consensus.types import BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import open_pool
from node.chain.types import BlockRef, Endpoint, StorageRead
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer
from node.observe.traces import TraceGap, TraceReader
from node.observe.view import BlockView
from tests.bench.lines import print_line
from tests.chain.doubles import TIMEOUT_SECONDS, EndpointDouble, doubles, pool_of
from tests.observe.test_traces import NO_SUCH_METHOD, refusing_tracers

READS = 128
ROUNDS = 10
DEPOSITS = 40


async def main() -> None:
    """Measure and print."""
    async with running_anvil(arguments=("--steps-tracing",)) as anvil:
        await measure_reads(anvil)
        await measure_traces(anvil)


async def measure_reads(anvil: Anvil) -> None:
    """Words of storage at one block, each asked for alone, and all in one request."""
    direct = (Endpoint(name="direct", http=anvil.http),)
    async with open_pool(anvil.chain_id, direct, agreement=1, timeout_seconds=TIMEOUT_SECONDS) as pool:
        reader = ChainReader(pool)
        deployer = await Deployer.connect(pool)
        ref = await reader.latest()
        reads = [StorageRead(account=deployer.governance, slot=slot) for slot in range(READS)]

        async def one_by_one() -> None:
            view = BlockView(ref, reader)
            for read in reads:
                await view.storage(read.account, read.slot)

        async def batched() -> None:
            await BlockView(ref, reader).prefetch_reads(reads)

        for name, work in (("storage_reads_one_by_one", one_by_one), ("storage_reads_batched", batched)):
            print_line(name, "ms", await timed(work), reads=READS)


async def measure_traces(anvil: Anvil) -> None:
    """Blocks of one deposit into an ERC-4626 vault each, by each way to its trace; a double stands between,
    which costs all three the same."""
    async with doubles(anvil, "program", "structLogs", "vmTrace") as three:
        async with pool_of(three[0], agreement=1) as pool:
            vault, refs = await make_deposits(await Deployer.connect(pool), ChainReader(pool))
        three[1].lie = refusing_tracers
        three[2].refused = dict.fromkeys(("debug_traceBlockByHash", "debug_traceTransaction"), NO_SUCH_METHOD)
        for each in three:
            await measure_source(each, vault, refs)


async def measure_source(endpoint: EndpointDouble, vault: Any, refs: list[BlockRef]) -> None:
    async with pool_of(endpoint, agreement=1) as pool:
        reader = TraceReader(pool, (vault,))
        samples = []
        for ref in refs:
            began = time.perf_counter()
            traces = await reader.read(ref)
            samples.append(1000 * (time.perf_counter() - began))
            assert not isinstance(traces, TraceGap)
        (source,) = reader.statistics().sources.values()
        print_line("trace_of_a_block", "ms", samples, source=source)


async def make_deposits(deployer: Deployer, reader: ChainReader) -> tuple[Any, list[BlockRef]]:
    token = await deployer.deploy("DemoToken", "Demo Dollar", "DUSD")
    manager = await deployer.deploy("AccessManager", deployer.governance)
    vault = await deployer.deploy("Vault", manager, token, "Demo Vault", "vDUSD")
    await deployer.send("DemoToken", token, "mint", deployer.governance, DEPOSITS)
    await deployer.send("DemoToken", token, "approve", vault, DEPOSITS)
    for _ in range(DEPOSITS):
        await deployer.send("Vault", vault, "deposit", 1, deployer.governance)
    last = await reader.latest_number()
    first = last - DEPOSITS + 1
    return vault, [await reader.block_by_number(BlockNumber(n)) for n in range(first, last + 1)]


async def timed(work: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds of each round, after one that is not counted."""
    await work()
    samples = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        samples.append(1000 * (time.perf_counter() - began))
    return samples


if __name__ == "__main__":
    trio.run(main)
