"""What a large set costs: simulated operators on links of 50 to 150 ms, and one operator's intake.

    python -m tests.bench.network sizes [operators …]    time to two thirds, messages, bytes, verifications
    python -m tests.bench.network intake                  attestations a second and core, good and bad
    python -m tests.bench.network flood [seconds]         tests/bench/flood.py
    python -m tests.bench.network burst [operators alerts]    tests/bench/burst.py

JSON lines. Compare within one run: machines differ. In `sizes` time is simulated, so that it does not depend
on the machine; the curve is the ideal one (tests/simulation/ideal_bls.py), so that 500 operators fit a core,
and of calculation only the waiting for a batch takes time (2 ms). `intake` is real in all its parts.
"""

from __future__ import annotations

import hashlib
import logging
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import structlog
import trio

import consensus.operators
import consensus.partial
from consensus.attestation import attest
from consensus.bls import Purpose, sign
from consensus.tally import Tally
from consensus.types import OperatorIndex
from node.gossip.forwarder import DIRECT_UP_TO
from node.gossip.frames import decode_attestation, encode_attestation
from node.gossip.levels import RADIX
from tests.bench.burst import measure as measure_burst
from tests.bench.flood import measure as measure_flood
from tests.bench.lines import print_line
from tests.consensus.factories import NETWORK_ID, NOW, make_alert, make_operator_set, make_secret
from tests.simulation.ideal_bls import ideal_curve
from tests.simulation.members import make_claim, make_members
from tests.simulation.watcher import Shape, Watcher
from tests.simulation.world import MAX_LINK_MS, World

SIZES = (16, 32, 64, 100, 256, 500)
SILENT_SHARES = (0.0, 0.25)
WINDOW_MS = 2_500
"""Before anything is repeated to everybody."""
MAX_SIMULATED = 1_024
BATCH = 256
ROUNDS = 8
BAD = (0, 1, 3, 8)


def measure_sizes(sizes: tuple[int, ...]) -> None:
    for count in sizes:
        for silent_share in SILENT_SHARES:
            for is_merging in (True, False):
                with ideal_curve(), _sets_of_any_size():
                    _measure_size(count, silent_share, is_merging=is_merging)


def _measure_size(count: int, silent_share: float, *, is_merging: bool) -> None:
    """Everybody but the silent signs one alert at once; what each node sends, receives and verifies."""
    operator_set = make_members((1_000,) * count, is_real=False)
    world = World(count, operator_set, is_real=False)
    silent = frozenset(world.random.sample(range(count), k=int(silent_share * count)))
    shape = Shape(radix=RADIX, direct_up_to=DIRECT_UP_TO if is_merging else count)
    alert = make_claim(operator_set, 0, "real")
    # what pushing alone achieves, and costs
    with patch.multiple(Watcher, _compare=lambda _self: None, _repeat=lambda _self: None):
        watchers = [
            Watcher(index, world, shape=shape, liars=frozenset(), view=lambda _slot: None)
            for index in range(count)
            if index not in silent
        ]
        for watcher in watchers:
            world.at(0, lambda watcher=watcher: watcher.observe(alert))  # type: ignore[misc]
        world.run(WINDOW_MS)
    times = [watcher.settled_at.get(alert.digest()) for watcher in watchers]
    reached = [each for each in times if each is not None]
    print_line(
        "network_time_to_two_thirds",
        "ms",
        reached or [float("nan")],
        operators=count,
        silent=len(silent),
        merging=is_merging,
        without=len(times) - len(reached),
        longest_link_ms=MAX_LINK_MS,
        messages_per_node=round(world.messages / len(watchers), 1),
        bytes_per_node=round(world.bytes / len(watchers)),
        signatures_verified_per_node=round(
            statistics.mean(each.verified["contributions"] for each in watchers), 1
        ),
        batches_per_node=round(statistics.mean(each.verified["batches"] for each in watchers), 1),
    )


@contextmanager
def _sets_of_any_size() -> Iterator[None]:
    """A header holds 256 operators at most; the simulation looks beyond."""
    with (
        patch.object(consensus.operators, "MAX_OPERATORS", MAX_SIMULATED),
        patch.multiple(consensus.partial, MAX_OPERATORS=MAX_SIMULATED, MAX_BITMAP_BYTES=MAX_SIMULATED // 8),
    ):
        yield


def measure_intake() -> None:
    """Frames of an incident, in batches of 256 over one alert: read, checked, counted."""
    operator_set = make_operator_set((1_000,) * BATCH)
    clean = 0.0
    for bad in BAD:
        seconds = []
        for number in range(ROUNDS):
            alert = make_alert(operator_set, evidence_hash=hashlib.sha256(b"%d %d" % (bad, number)).digest())
            attestations = [attest(alert, OperatorIndex(index), make_secret(index)) for index in range(BATCH)]
            for place in range(bad):
                where = (place * BATCH // max(1, bad) + 37 * number) % BATCH
                forged = sign(make_secret(BATCH + place), Purpose.ALERT, alert.digest())
                attestations[where] = replace(attestations[where], signature=forged)
            seconds.append(_take_in([encode_attestation(each) for each in attestations], bad, operator_set))
        typical = statistics.median(seconds)
        clean = clean or typical
        print_line(
            "network_intake",
            "attestations/s",
            [BATCH / each for each in seconds],
            batch=BATCH,
            bad=bad,
            times_the_cost=round(typical / clean, 2),
        )


def _take_in(bodies: list[bytes], bad: int, operator_set: consensus.operators.OperatorSet) -> float:
    tally = Tally(NETWORK_ID)
    tally.add_operator_set(operator_set)
    began = time.process_time()
    outcome = tally.add([decode_attestation(body) for body in bodies], NOW)
    seconds = time.process_time() - began
    assert (len(outcome.new), len(outcome.refused)) == (BATCH - bad, bad)
    return seconds


def main(arguments: list[str]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    part, *rest = arguments or ["intake"]
    if part == "sizes":
        measure_sizes(tuple(map(int, rest)) or SIZES)
    elif part == "intake":
        measure_intake()
    elif part == "flood":
        trio.run(measure_flood, *map(float, rest or ["60"]))
    elif part == "burst":
        trio.run(measure_burst, *map(int, rest or ["13", "200"]))
    else:
        raise SystemExit(f"parts are sizes, intake, flood and burst, came {part}")


if __name__ == "__main__":
    main(sys.argv[1:])
