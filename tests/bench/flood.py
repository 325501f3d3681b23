"""What a registered but hostile peer that floods costs the honest: time to quorum, and memory.

    python -m tests.bench.network flood [seconds]

Four honest operators in this process, on real TCP and Noise. The fifth is a process of its own that writes
10,000 messages a second for as long as it is let, a part to each of them: garbage, forged signatures, well
signed alerts that nobody saw, questions. When it is cut off it connects again, and again. The honest sign one
alert after another all the while. JSON lines; compare quiet and flooded within one run.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import structlog
import trio
from libp2p.peer.id import ID

from consensus import reconciliation
from consensus.attestation import Attestation
from consensus.operators import OperatorSet
from consensus.reconciliation import Entry, Want
from consensus.types import Digest, OperatorIndex, Signers
from node.gossip.frames import Kind, encode_attestation, encode_frame
from node.gossip.host import Libp2pTransport, peer_id_of_seed
from node.gossip.push import PUSH_PROTOCOLS
from node.gossip.push import encode_frame as with_length
from tests.bench.honest import Operator, make_members, open_operators
from tests.bench.lines import print_line
from tests.consensus.factories import (
    make_alert,
    make_attestation,
    make_signature,
    make_slot,
)
from tests.gossip.harness import ATTACKER_SEED, address_of, make_seed, open_attacker

HONEST = 4
FLOODER = OperatorIndex(HONEST)
QUIET_SECONDS = 15
ALERT_SECONDS = 0.5
MESSAGES_PER_SECOND = 10_000
WRITES_PER_SECOND = 50
MOULDS = 400
"""Different payloads that the flooder has ready: to sign 10,000 a second takes more than a core."""


async def measure(seconds: float) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with open_operators(HONEST, others=[ATTACKER_SEED]) as operators:
        hosts = [each.transport for each in operators]
        quiet = await sign_for(operators, QUIET_SECONDS, first=0)
        before = _resident_mib()
        flooded: list[float] = []
        said: list[int] = []

        async def flood() -> None:
            result = await trio.run_process(_command(hosts, seconds), capture_stdout=True)
            said.extend(int(word) for word in result.stdout.split())

        async with trio.open_nursery() as during:
            during.start_soon(flood)
            flooded += await sign_for(operators, seconds, first=10_000)
        sent, cut_off = said
        statistics = [host.statistics() for host in hosts]
        print_line("flood_quorum_quiet", "ms", quiet, honest=HONEST)
        print_line("flood_quorum_flooded", "ms", flooded, honest=HONEST, messages=sent, times_cut_off=cut_off)
        print_line("flood_resident_of_all", "MiB", [before, _resident_mib()], honest=HONEST)
        print_line(
            "flood_banned_by",
            "operators",
            [sum(peer_id_of_seed(ATTACKER_SEED) in each.banned for each in statistics)],
            reasons=sorted({reason.value for each in statistics for reason in each.drops}),
        )


async def sign_for(operators: list[Operator], seconds: float, *, first: int) -> list[float]:
    """All sign one alert after another; how many ms until the last of them holds two thirds."""
    taken = []
    deadline, number = time.perf_counter() + seconds, first
    while time.perf_counter() < deadline:
        alert = make_alert(operators[0].members, slot=make_slot(anchor_number=number))
        attestations = [make_attestation(alert, operator_index=each.number) for each in operators]
        began = time.perf_counter()
        for operator, attestation in zip(operators, attestations, strict=True):
            await operator.sign(attestation)
        with trio.move_on_after(30) as patience:
            while not all(alert.digest() in each.quorum_at for each in operators):
                await trio.sleep(0.001)
        if patience.cancelled_caught:
            taken.append(30_000.0)
        else:
            taken.append(1_000 * (max(each.quorum_at[alert.digest()] for each in operators) - began))
        number += 1
        await trio.sleep(ALERT_SECONDS)
    return taken


# --- the flooder, a process of its own


def make_payloads(members: OperatorSet) -> list[bytes]:
    """Some of each kind of trouble, in a mixed order."""
    chance = random.Random(1)
    strange = [make_alert(members, slot=make_slot(anchor_number=10**6 + number)) for number in range(MOULDS)]
    bad = make_signature(99, strange[0].digest())
    wants = (
        Want(entries=(Entry(digest=Digest(chance.randbytes(32)), signers=Signers(1)),)) for _ in range(MOULDS)
    )
    payloads = [
        *(
            encode_frame(Kind.ATTESTATION, encode_attestation(make_attestation(alert, FLOODER)))
            for alert in strange
        ),
        *(
            encode_frame(
                Kind.ATTESTATION,
                encode_attestation(Attestation(alert=alert, operator_index=FLOODER, signature=bad)),
            )
            for alert in strange
        ),
        *(encode_frame(Kind.WANT, reconciliation.encode_want(want)) for want in wants),
        *(chance.randbytes(chance.randint(1, 600)) for _ in range(MOULDS)),
    ]
    chance.shuffle(payloads)
    return payloads


async def flood(addresses: Iterable[str], seconds: float) -> None:
    """Write to all addresses until the time is over; print messages sent, and how often we were cut off."""
    payloads = make_payloads(make_members([*map(make_seed, range(HONEST)), ATTACKER_SEED]))
    sent = cut_off = 0

    async def write_to(number: int, address: str) -> None:
        nonlocal sent, cut_off
        place = 0
        async with open_attacker() as attacker:
            victim = _Victim(number, address)
            while True:
                try:
                    await attacker.connect(victim)  # type: ignore[arg-type]
                    stream = await attacker.open_stream(victim, PUSH_PROTOCOLS[2])  # type: ignore[arg-type]
                    while True:
                        batch = [payloads[(place + n) % len(payloads)] for n in range(_BATCH)]
                        await stream.write(b"".join(map(with_length, batch)))
                        place += _BATCH
                        sent += _BATCH
                        await trio.sleep(1 / WRITES_PER_SECOND)
                except Exception:  # noqa: BLE001 - however we are thrown out, we come again
                    cut_off += 1
                    await trio.sleep(0.05)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for number, address in enumerate(addresses):
                nursery.start_soon(write_to, number, address)
    print(sent, cut_off)


_BATCH = MESSAGES_PER_SECOND // WRITES_PER_SECOND // HONEST


class _Victim:
    """As much of a transport as the attacker needs to dial it."""

    def __init__(self, number: int, address: str) -> None:
        self._host = self
        self._id = ID.from_base58(peer_id_of_seed(make_seed(number)))
        self.listening_on = (address,)

    def get_id(self) -> ID:
        return self._id


def _command(hosts: list[Libp2pTransport], seconds: float) -> list[str]:
    addresses = [address_of(host) for host in hosts]
    return [sys.executable, "-m", "tests.bench.flood", str(seconds), *addresses]


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":  # the flooder's own process
    trio.run(flood, sys.argv[2:], float(sys.argv[1]))
