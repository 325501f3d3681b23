"""A network under light load for a long time: does anything grow that should not?

    python -m tests.bench.soak --minutes 30

Run by `make soak`. Every few seconds each watcher's memory, open files, threads, tasks and the blocks that
it is behind become a JSON line; at the end a line for each watcher says how much they grew, and a table shows
how they went. The first quarter does not count: caches fill.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from node.devnet.network import Conduct, LocalNetwork, local_network
from node.devnet.operators import Home
from node.shutdown import until_told
from tests.bench.tripwire import Tripwire, deploy_tripwire

SAMPLE_SECONDS = 10.0
ATTACK_SECONDS = 30.0
WARM_UP_SHARE = 0.25
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 40
SHOWN = ("resident_bytes", "open_files", "tasks", "behind_blocks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One watcher at one moment. `behind_blocks`: from its newest head of the home chain to the chain's."""

    watcher: str
    seconds: float
    resident_bytes: int
    open_files: int
    threads: int
    tasks: int
    behind_blocks: int


def compute_slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much the second value rises for each unit of the first, by least squares; 0 below two points."""
    count = len(points)
    if count < 2:
        return 0.0
    mean_x, mean_y = (sum(each) / count for each in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def compute_spark(values: Sequence[float]) -> str:
    """A line of at most SPARK_WIDTH blocks, each a stretch of values, from the smallest to the largest."""
    width = min(SPARK_WIDTH, len(values))
    stretches = [values[n * len(values) // width : (n + 1) * len(values) // width] for n in range(width)]
    means = [sum(each) / len(each) for each in stretches]
    low, high = min(means, default=0.0), max(means, default=0.0)
    if high == low:
        return SPARKS[0] * width
    return "".join(SPARKS[int((each - low) / (high - low) * (len(SPARKS) - 1))] for each in means)


def summarise(samples: Sequence[Sample]) -> dict[str, float | int | str]:
    """What one watcher's samples come to, warm-up left out."""
    counted = samples[int(len(samples) * WARM_UP_SHARE) :]
    memory = [(each.seconds / 3_600, each.resident_bytes / 2**20) for each in counted]
    return {
        "metric": "soak",
        "watcher": counted[-1].watcher,
        "minutes": round(samples[-1].seconds / 60, 1),
        "samples": len(counted),
        "resident_mib_last": round(counted[-1].resident_bytes / 2**20, 1),
        "resident_mib_slope_per_hour": round(compute_slope(memory), 2),
        "open_files_first": counted[0].open_files,
        "open_files_last": counted[-1].open_files,
        "threads_max": max(each.threads for each in counted),
        "tasks_first": counted[0].tasks,
        "tasks_last": counted[-1].tasks,
        "behind_blocks_max": max(each.behind_blocks for each in counted),
    }


async def take_sample(
    network: LocalNetwork[Tripwire], home: Home, client: httpx.AsyncClient, began: float
) -> Sample:
    """Look at one watcher: at its process from outside, and at what it says of itself."""
    process = network.watchers[home.name]
    metrics = read_metrics((await client.get(f"http://127.0.0.1:{home.looking_port}/metrics")).text)
    chain = network.ground.home
    head = metrics["tocsin_head_block_number", str(chain.chain_id)]
    folder = Path(f"/proc/{process.pid}")
    return Sample(
        watcher=home.name,
        seconds=round(time.monotonic() - began, 1),
        resident_bytes=process.resident_bytes(),
        open_files=sum(1 for _ in (folder / "fd").iterdir()),
        threads=sum(1 for _ in (folder / "task").iterdir()),
        tasks=int(metrics["tocsin_tasks", ""]),
        behind_blocks=max(0, await chain.block_number() - int(head)),
    )


def read_metrics(text: str) -> Mapping[tuple[str, str], float]:
    """Values by name and chain id, "" where a metric is not of a chain."""
    return {
        (sample.name, sample.labels.get("chain_id", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def attack(network: LocalNetwork[Tripwire]) -> None:
    """Ring the bell now and then, and lift."""
    protocols, home = network.protocols, network.ground.home
    while True:
        await protocols.trip()
        while not await home.read("PausableTarget", protocols.target, "paused"):
            await trio.sleep(0.5)
        await protocols.lift()
        await trio.sleep(ATTACK_SECONDS)


async def listen(network: LocalNetwork[Tripwire]) -> None:
    async for _ in network.said:
        pass


async def soak(nodes: int, minutes: float) -> dict[str, list[Sample]]:
    """Run for so long; every sample, by watcher."""
    taken: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with (
            local_network(
                directory=Path(directory) / "network",
                conduct=[Conduct.HONEST] * nodes,
                deploy=deploy_tripwire,
                step=lambda what: print(what, file=sys.stderr),
            ) as network,
            httpx.AsyncClient(trust_env=False, timeout=30.0) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(listen, network)
            nursery.start_soon(attack, network)
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                for home in network.homes:
                    sample = await take_sample(network, home, client, began)
                    taken.setdefault(home.name, []).append(sample)
                    print(json.dumps({"metric": "soak_sample", **asdict(sample)}), flush=True)
                await trio.sleep(SAMPLE_SECONDS)
            nursery.cancel_scope.cancel()
    return taken


def print_table(console: Console, taken: Mapping[str, Sequence[Sample]]) -> None:
    """For a person: how each value of each watcher went, and where it ended."""
    table = Table(title="from the first sample to the last", title_justify="left", show_edge=False)
    for column in ("watcher", "what", "smallest", "largest", "last", ""):
        table.add_column(column)
    for watcher, samples in taken.items():
        for name in SHOWN:
            values = [getattr(each, name) for each in samples]
            unit = 2**20 if name == "resident_bytes" else 1
            figures = (f"{value / unit:,.0f}" for value in (min(values), max(values), values[-1]))
            table.add_row(watcher, name.replace("bytes", "MiB"), *figures, compute_spark(values))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    ended: list[dict[str, list[Sample]]] = []

    async def run() -> None:
        ended.append(await soak(arguments.nodes, arguments.minutes))

    trio.run(until_told, run)
    for taken in ended:
        for samples in taken.values():
            print(json.dumps(summarise(samples)), flush=True)
        print_table(Console(file=sys.stderr), taken)


if __name__ == "__main__":
    main()
