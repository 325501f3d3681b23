"""How soon and at what cost attestations reach all operators: N hosts in one process, real TCP and Noise.

    python -m tests.bench.gossip [hosts]

Prints the latency of each path at a low rate, the time of a 200-message burst, and the memory of all hosts
together. All hosts share one core here, so latencies are above those of one process per host.
"""

import logging
import resource
import sys
import time
from contextlib import AsyncExitStack

import structlog
import trio

from node.gossip.host import HostConfig, Libp2pTransport, open_host
from node.gossip.transport import Path
from tests.bench.lines import print_line

PAYLOAD_BYTES = 600
MESSAGES = 60
BURST = 200


class Arrivals:
    """When each payload left, and how long it took to each host by each path."""

    def __init__(self) -> None:
        self._left: dict[bytes, float] = {}
        self.seconds: dict[Path, list[float]] = {path: [] for path in Path}

    async def publish(self, host: Libp2pTransport, payload: bytes) -> None:
        self._left[payload] = time.perf_counter()
        await host.publish(payload)

    async def listen(self, host: Libp2pTransport) -> None:
        async for received in host.received:
            self.seconds[received.path].append(time.perf_counter() - self._left[received.payload])

    async def wait_for(self, path: Path, count: int) -> None:
        while len(self.seconds[path]) < count:
            await trio.sleep(0.005)

    def clear(self) -> None:
        for seconds in self.seconds.values():
            seconds.clear()


async def main(count: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(open_host(_config(number))) for number in range(count)]
        book = {host.peer_id: host.listening_on for host in hosts}
        began = time.perf_counter()
        for host in hosts:
            await host.register(book)
        while not all(len(host.statistics().connected) == count - 1 for host in hosts):
            await trio.sleep(0.01)
        print_line("gossip_connected", "s", [time.perf_counter() - began], hosts=count)
        await trio.sleep(2)  # two heartbeats: the mesh is full
        async with trio.open_nursery() as nursery:
            arrivals = Arrivals()
            for host in hosts:
                nursery.start_soon(arrivals.listen, host)
            await _measure_latency(hosts, arrivals)
            await _measure_burst(hosts, arrivals)
            nursery.cancel_scope.cancel()
        resident_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print_line("gossip_resident_all_hosts", "MiB", [resident_mib], hosts=count)


async def _measure_latency(hosts: list[Libp2pTransport], arrivals: Arrivals) -> None:
    for number in range(MESSAGES):
        await arrivals.publish(hosts[number % len(hosts)], bytes([number]) * PAYLOAD_BYTES)
        await trio.sleep(0.2)
    expected = MESSAGES * (len(hosts) - 1)
    for path, seconds in arrivals.seconds.items():
        print_line(
            f"gossip_{path}", "ms", [1_000 * each for each in seconds], hosts=len(hosts), expected=expected
        )


async def _measure_burst(hosts: list[Libp2pTransport], arrivals: Arrivals) -> None:
    arrivals.clear()
    began, cpu_began = time.perf_counter(), time.process_time()
    for number in range(BURST):
        await arrivals.publish(hosts[0], number.to_bytes(4, "big") * (PAYLOAD_BYTES // 4))
    expected = BURST * (len(hosts) - 1)
    for path in Path:
        with trio.move_on_after(60):
            await arrivals.wait_for(path, expected)
        print_line(
            f"gossip_burst_{path}",
            "s",
            [time.perf_counter() - began],
            arrived=len(arrivals.seconds[path]),
            expected=expected,
        )
    per_message = 1_000 * (time.process_time() - cpu_began) / BURST / len(hosts)
    print_line("gossip_cpu_per_message_and_host", "ms", [per_message])


def _config(number: int) -> HostConfig:
    return HostConfig(seed=bytes([number + 1]) * 32, listen="/ip4/127.0.0.1/tcp/0", topic="bench")


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 7)
