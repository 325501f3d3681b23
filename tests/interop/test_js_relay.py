"""A js-libp2p node joins the topic, reads our frames, and comes to the certificate that we come to.

It shares no line with ours: another libp2p, another msgpack, another keccak, another BLS12-381.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from consensus.attestation import Attestation
from consensus.bls import Purpose, aggregate_signatures, sign
from consensus.certificate import encode_signatures, verify_certificate
from consensus.errors import Unavailable
from consensus.operators import OperatorSet
from consensus.types import Bps, OperatorIndex
from node.gossip.frames import Kind, encode_attestation, encode_frame
from node.gossip.host import Libp2pTransport, peer_id_of_seed
from node.gossip.transport import PeerId
from tests.consensus.factories import make_alert, make_attestation, make_operator_set, make_secret
from tests.gossip.harness import TOPIC, address_of, book_of, eventually, open_hosts

NPM = Path(__file__).resolve().parents[1] / "npm"
RELAY_SEED = b"\x5a" * 32
PATIENCE_SECONDS = 60.0
TWO_THIRDS = Bps(6_666)


def payload_of(attestation: Attestation) -> bytes:
    return encode_frame(Kind.ATTESTATION, encode_attestation(attestation))


class Relay:
    """The JavaScript process and what it said."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._partial = b""
        self.said: list[dict[str, Any]] = []

    async def wait(self, event: str) -> dict[str, Any]:
        """The next line of that kind, from the beginning."""
        assert self._process.stdout is not None
        with trio.move_on_after(PATIENCE_SECONDS):
            while not (found := [line for line in self.said if line["event"] == event]):
                data = await self._process.stdout.receive_some()
                if not data:
                    break
                *lines, self._partial = (self._partial + data).split(b"\n")
                self.said += [json.loads(line) for line in lines]
            else:
                return found[0]
        raise AssertionError(f"the relay never said {event!r}; it said {self.said}")


@asynccontextmanager
async def relay(host: Libp2pTransport, operators: OperatorSet, topic: str = TOPIC) -> AsyncIterator[Relay]:
    """A relay that trusts this operator set's header hash, and dials that host."""
    if not (NPM / "node_modules" / "libp2p").is_dir():
        raise Unavailable("js-libp2p is not installed; run `make setup`, which installs tests/npm")
    leaves = [operator.leaf_entry() for operator in operators.operators]
    config = {
        "seed": RELAY_SEED.hex(),
        "dial": f"{address_of(host)}/p2p/{host.peer_id}",
        "topic": topic,
        "header": operators.header().hex(),
        "headerHash": operators.header_hash().hex(),
        "leaves": [leaf.to_bytes().hex() for leaf in leaves],
    }
    process = await trio.lowlevel.open_process(
        ["node", "relay.js"], cwd=NPM, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        await process.stdin.send_all(json.dumps(config).encode())
        await process.stdin.aclose()
        yield Relay(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def relay_hosts(relay_id: PeerId) -> AsyncIterator[list[Libp2pTransport]]:
    """Three connected operators' hosts that let this relay in, to pull and to say nothing."""
    async with open_hosts(3) as hosts:
        for host in hosts:
            await host.register(book_of(hosts), relays=frozenset({relay_id}))
        yield hosts


async def test_a_relay_in_javascript_verifies_attestations_and_comes_to_the_same_certificate() -> None:
    operators = make_operator_set(weights=(5, 3, 3, 1))  # two thirds are 8 of 12, which is not enough
    alert = make_alert(operators)
    relay_id = peer_id_of_seed(RELAY_SEED)
    async with relay_hosts(relay_id) as hosts, relay(hosts[0], operators) as listener:
        assert (await listener.wait("connected"))["peer"] == relay_id
        await eventually(lambda: relay_id in {str(peer) for peer in hosts[0].router.mesh.get(TOPIC, ())})

        forged = Attestation(
            alert=alert,
            operator_index=OperatorIndex(3),
            signature=sign(make_secret(99), Purpose.ALERT, alert.digest()),
        )
        await hosts[2].publish(payload_of(forged))
        assert await listener.wait("refused") == {"event": "refused", "index": 3, "why": "bad signature"}
        for index, host in enumerate(hosts):  # the second and third reach it through the first
            await host.publish(payload_of(make_attestation(alert, index)))
        certificate = await listener.wait("certificate")

    signatures = {
        OperatorIndex(index): make_attestation(alert, index).signature for index in certificate["signers"]
    }
    assert certificate["digest"] == alert.digest().hex()
    assert certificate["verified"] is True
    assert int(certificate["weight"]) == sum(operators.by_index(index).weight for index in signatures) > 8
    assert certificate["signature"] == aggregate_signatures(list(signatures.values())).to_bytes().hex()
    verify_certificate(
        encode_signatures(operators, signatures),
        digest=alert.digest(),
        epoch=operators.epoch,
        header_hash=operators.header_hash(),
        threshold_bps=TWO_THIRDS,
    )
