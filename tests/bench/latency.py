"""From the head that shows an attack to the certificate and the pause, on a real network of processes.

Run by `make bench`. Seven honest watchers, two chains with one-second blocks, everything on this machine.
Each alert is lifted by the owner before the next. The clock starts when the *first* watcher sees the head.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import trio

from node.devnet.network import Conduct, LocalNetwork, local_network
from node.devnet.processes import Said
from tests.bench.lines import print_line
from tests.bench.tripwire import Tripwire, deploy_tripwire

ALERTS = 20
ALERT_SECONDS = 30


class Alert:
    """What the watchers said about one alert."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.heads: dict[str, int] = {}
        self.fired: dict[str, int] = {}
        self.certified: dict[str, int] = {}
        self.pause_block: int | None = None

    def hear(self, said: Said) -> None:
        fields = said.fields
        if said.event == "head.seen" and fields["block_number"] == self.block:
            self.heads.setdefault(said.watcher, said.at_ms)
        elif said.event == "rule.fired" and fields["block_number"] == self.block:
            self.fired.setdefault(said.watcher, said.at_ms)
        elif said.event == "certificate.grown" and "pause" in fields["levels"] and self.fired:
            self.certified.setdefault(said.watcher, said.at_ms)
        elif (
            said.event == "response.landed"
            and fields["succeeded"]
            and self.certified
            and self.pause_block is None
        ):
            self.pause_block = int(fields["block_number"])


async def measure(network: LocalNetwork[Tripwire], alerts: int) -> list[Alert]:
    """Trip the wire again and again."""
    wire = network.protocols
    done = []
    for number in range(alerts):
        receipt = await _mined(network, await wire.trip())
        alert = Alert(int(receipt["blockNumber"], 16))
        with trio.fail_after(ALERT_SECONDS):
            while len(alert.certified) < len(network.honest) or alert.pause_block is None:
                alert.hear(await network.said.receive())
        done.append(alert)
        print(f"alert {number + 1} of {alerts}", file=sys.stderr, end="\r", flush=True)
        await _mined(network, await wire.lift())
        await wire.wait_rearmed()
    return done


async def _mined(network: LocalNetwork[Tripwire], transaction: str) -> dict[str, str]:
    """The receipt; a block or two later, so that the next alert is later than the lift."""
    home = network.ground.home
    while (receipt := await home.receipt(transaction)) is None:
        await trio.sleep(0.02)
    return receipt


async def run(nodes: int, alerts: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with local_network(
            directory=Path(directory) / "network",
            conduct=[Conduct.HONEST] * nodes,
            deploy=deploy_tripwire,
            step=lambda what: print(what, file=sys.stderr),
        ) as network:
            done = await measure(network, alerts)
            resident = [network.watchers[name].resident_bytes() / 2**20 for name in network.honest]
    heads = [min(each.heads.values()) for each in done]
    print_line(
        "head_to_rule_fired_first",
        "ms",
        [min(a.fired.values()) - h for a, h in zip(done, heads, strict=True)],
    )
    print_line(
        "head_to_certificate_two_thirds",
        "ms",
        [min(a.certified.values()) - h for a, h in zip(done, heads, strict=True)],
        watchers=nodes,
        seen_by="first",
    )
    print_line(
        "head_to_certificate_two_thirds",
        "ms",
        [statistics.median(a.certified.values()) - h for a, h in zip(done, heads, strict=True)],
        watchers=nodes,
        seen_by="median",
    )
    print_line("pause_after_attack", "blocks", [(a.pause_block or 0) - a.block for a in done], watchers=nodes)
    print_line("watcher_resident", "MiB", resident)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=7)
    parser.add_argument("--alerts", type=int, default=ALERTS)
    arguments = parser.parse_args()
    trio.run(run, arguments.nodes, arguments.alerts)


if __name__ == "__main__":
    main()
