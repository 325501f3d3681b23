"""Operators that break their word, as processes of their own: for the demonstration and the tests.

They are registered and hold real keys, so that every check at the door but the last lets them in.

    silent      connects, receives, and never says anything
    flood       sends what cannot be parsed, and well-formed attestations signed with another key, as fast as
                it can
    equivocate  signs each alert that it hears of, and another one for the same slot, and tells everybody
    split       signs both too, and tells one half of its peers this and the other half that
    replay      sends again and again what others said, as it came
    garbage     answers each alert with signatures that are no points, or no points to sign with

Each writes down what it hears (`attestation.heard`): who said what is evidence, whoever heard it.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Set
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from consensus.alert import Action, Alert, Slot, Verdict, compute_action_id, compute_network_id
from consensus.attestation import Attestation, attest
from consensus.bls import Purpose, SecretKey, sign
from consensus.errors import Refused
from consensus.types import (
    Address,
    BlockHash,
    BlockNumber,
    Digest,
    NetworkId,
    OperatorIndex,
    PolicyHash,
    RuleId,
    Seconds,
)
from node.chain.contracts import Registry
from node.chain.types import BlockRef
from node.config import Config, load_config
from node.connection import open_connection
from node.gossip.frames import Kind, decode_attestation, encode_attestation, encode_frame, parse_frame
from node.gossip.host import HostConfig, addresses_by_peer, open_host
from node.gossip.room import compute_topic
from node.gossip.transport import GossipTransport, PeerId
from node.keys import OpenKeys, open_keys
from node.members import Members
from node.operate.logs import configure_logs
from node.operate.peers import report_peers
from node.policies import read_policy
from node.shutdown import until_told

BURST = 20  # payloads at once
GOOD_BEHAVIOUR_SECONDS = 2.0  # so that whoever counts peers has counted this one
PATIENCE_SECONDS = 20  # to be connected first: a flood that reaches everybody at once
PAUSE_SECONDS = 0.1  # 200 a second: what one core of the flooder can make
REMEMBERED = 256  # payloads to replay
REPLAYED_AT_ONCE = 10
SIGNATURE_BYTES = 48  # the last field of an attestation
NO_POINTS = (
    b"\x00" * SIGNATURE_BYTES,  # no flag of compression
    b"\xc0" + b"\x00" * 47,  # infinity, which signs anything
    b"\x9f" + b"\xff" * 47,  # a coordinate above the prime
    b"\x80" + b"\x00" * 46 + b"\x01",  # off the curve
    b"\x80" + b"\x00" * 46 + b"\x04",  # on the curve, outside the subgroup
)
Answer = Callable[[bytes, Attestation], Awaitable[None]]

_log = structlog.get_logger("misbehave")


async def misbehave(kind: str, config: Config) -> None:
    """Join as a member, then misbehave in that way until cancelled."""
    keys = await open_keys(config.keys)
    home = next(each for each in config.chains if each.chain_id == config.network.home_chain)
    async with open_connection(home, keys.account, timeout_seconds=config.rpc_timeout_seconds) as connection:
        head = await connection.reader.latest()
        members = Members(
            network_id=compute_network_id(home.chain_id, config.network.registry),
            activation_delay=Seconds(config.network.activation_delay_seconds),
            me=keys.address,
            registry=Registry(config.network.registry, connection.reader),
        )
        await members.refresh(head)
    host = HostConfig(
        seed=keys.identity.to_bytes(),
        listen=config.gossip.listen,
        topic=compute_topic(members.network_id),
    )
    async with open_host(host) as transport, trio.open_nursery() as nursery:
        addresses = addresses_by_peer(config.gossip.peers)
        operators = [each for sets in members.operator_sets for each in sets.operators]
        await transport.register(
            {PeerId(each.peer_id): addresses.get(PeerId(each.peer_id), ()) for each in operators}
        )
        nursery.start_soon(report_peers, transport)
        _log.info("watcher.ready", kind=kind)
        if kind == "flood":
            nursery.start_soon(_flood, transport, members, keys, head)
        answer: Answer = nothing
        if kind == "replay":
            kept: deque[bytes] = deque(maxlen=REMEMBERED)
            nursery.start_soon(_replay, transport, kept, random.Random(keys.address))
            answer = _keep(kept)
        elif kind in _ANSWERS:
            answer = _once_a_slot(_ANSWERS[kind], transport, members, keys)
        policies = frozenset(read_policy(path).hash for path in config.policies)
        await _listen(transport, policies, answer)


async def nothing(_payload: bytes, _heard: Attestation) -> None:
    """Say nothing."""


async def _listen(transport: GossipTransport, policies: Set[PolicyHash], answer: Answer) -> None:
    """Take what is about these policies; else one that floods would make the others flood too."""
    async for received in transport.received:
        try:
            heard = decode_attestation(parse_frame(received.payload).body)
        except Refused:
            continue  # another kind of frame
        if heard.alert.slot.policy_hash not in policies:
            continue
        _log.info(
            "attestation.heard",
            peer_id=received.peer_id,
            slot_id=heard.slot_id(),
            digest=heard.digest(),
            operator_index=heard.operator_index,
        )
        await answer(received.payload, heard)


def _once_a_slot(
    say: Callable[[GossipTransport, Attestation, Attestation], Awaitable[None]],
    transport: GossipTransport,
    members: Members,
    keys: OpenKeys,
) -> Answer:
    """Answer the first alert that is heard for each slot, with it and a contradiction, both signed."""
    answered: dict[bytes, Digest] = {}

    async def answer(_payload: bytes, heard: Attestation) -> None:
        index = members.index_of(heard.alert.epoch)
        if index is None or heard.slot_id() in answered:
            return
        answered[heard.slot_id()] = heard.digest()
        contradiction = replace(heard.alert, evidence_hash=heard.digest())
        this, that = (attest(alert, index, keys.bls) for alert in (heard.alert, contradiction))
        await say(transport, this, that)
        _log.info("slot.answered", slot_id=heard.slot_id(), digest=heard.digest(), other=that.digest())

    return answer


async def _equivocate(transport: GossipTransport, this: Attestation, that: Attestation) -> None:
    for each in (this, that):
        await transport.publish(_payload(each))


async def _split(transport: GossipTransport, this: Attestation, that: Attestation) -> None:
    for number, peer_id in enumerate(transport.connected):
        await transport.push(peer_id, _payload(that if number % 2 else this))


async def _send_garbage(transport: GossipTransport, this: Attestation, _that: Attestation) -> None:
    for signature in NO_POINTS:
        body = encode_attestation(this)[:-SIGNATURE_BYTES] + signature
        await transport.publish(encode_frame(Kind.ATTESTATION, body))


_ANSWERS = {"equivocate": _equivocate, "split": _split, "garbage": _send_garbage}


def _keep(kept: deque[bytes]) -> Answer:
    async def keep(payload: bytes, _heard: Attestation) -> None:
        kept.append(payload)

    return keep


async def _replay(transport: GossipTransport, kept: deque[bytes], chance: random.Random) -> None:
    while True:
        await trio.sleep(PAUSE_SECONDS)
        for payload in _draw(kept, chance):
            await transport.publish(payload)


def _draw(kept: deque[bytes], chance: random.Random) -> Iterator[bytes]:
    yield from chance.sample(list(kept), min(len(kept), REPLAYED_AT_ONCE))


def _payload(attestation: Attestation) -> bytes:
    return encode_frame(Kind.ATTESTATION, encode_attestation(attestation))


async def _flood(transport: GossipTransport, members: Members, keys: OpenKeys, head: BlockRef) -> None:
    chance = random.Random(keys.address)
    stranger = SecretKey.generate()
    with trio.move_on_after(PATIENCE_SECONDS):
        while len(transport.statistics().connected) < len(members.operator_sets[-1].operators) - 1:
            await trio.sleep(PAUSE_SECONDS)
    await trio.sleep(GOOD_BEHAVIOUR_SECONDS)
    index = members.index_of(members.operator_sets[-1].epoch)
    assert index is not None
    sent = 0
    while True:
        for _ in range(BURST):
            garbage = chance.randbytes(chance.randint(1, 600))
            forged = _payload(_forge(members, index, stranger, head, chance))
            await transport.publish(chance.choice((garbage, forged)))
            sent += 1
        _log.info("flood.sent", payloads=sent)
        await trio.sleep(PAUSE_SECONDS)


def _forge(
    members: Members, index: OperatorIndex, key: SecretKey, head: BlockRef, chance: random.Random
) -> Attestation:
    """An alert that nobody saw, in our own name, under a signature that is somebody else's."""
    newest = members.operator_sets[-1]
    alert = Alert(
        network_id=NetworkId(members.network_id),
        epoch=newest.epoch,
        header_hash=newest.header_hash(),
        slot=Slot(
            policy_hash=PolicyHash(chance.randbytes(32)),
            rule_id=RuleId(chance.randbytes(32)),
            source_chain_id=head.chain_id,
            anchor_number=BlockNumber(head.number),
            anchor_hash=BlockHash(chance.randbytes(32)),
        ),
        verdict=Verdict.THREAT,
        observed_at=head.timestamp,
        expires_at=Seconds(head.timestamp + 3_600),
        evidence_hash=chance.randbytes(32),
        actions=(
            Action(
                chain_id=head.chain_id,
                guardian=Address("0x" + "00" * 20),
                action_id=compute_action_id("pause"),
            ),
        ),
    )
    return Attestation(alert=alert, operator_index=index, signature=sign(key, Purpose.ALERT, alert.digest()))


def main() -> None:
    kind, config_file = sys.argv[1:]
    config = load_config(Path(config_file))
    configure_logs(config.log_format)
    trio.run(until_told, lambda: misbehave(kind, config))


if __name__ == "__main__":
    main()
