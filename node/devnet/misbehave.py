"""Operators that break their word, as processes of their own: for the demonstration and the tests.

They are registered and hold real keys, so that every check at the door but the last lets them in.

    silent   connects, receives, and never says anything
    flood    sends what cannot be parsed, and well-formed attestations signed with another key, as fast as
             it can
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import structlog
import trio

from consensus.alert import Action, Alert, Slot, Verdict, compute_action_id, compute_network_id
from consensus.attestation import Attestation, encode
from consensus.bls import Purpose, SecretKey, sign
from consensus.types import (
    Address,
    BlockHash,
    BlockNumber,
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
from node.gossip.host import HostConfig, addresses_by_peer, open_host
from node.gossip.room import compute_topic
from node.gossip.transport import GossipTransport, PeerId
from node.keys import OpenKeys, open_keys
from node.members import Members
from node.operate.logs import configure_logs
from node.operate.peers import report_peers
from node.shutdown import until_told

BURST = 20  # payloads at once
GOOD_BEHAVIOUR_SECONDS = 2.0  # so that whoever counts peers has counted this one
PATIENCE_SECONDS = 20  # to be connected first: a flood that reaches everybody at once
PAUSE_SECONDS = 0.1  # 200 a second: what one core of the flooder can make

_log = structlog.get_logger("misbehave")


async def misbehave(kind: str, config: Config) -> None:
    """Join as a member, then be `silent` or `flood` until cancelled."""
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
        nursery.start_soon(_discard, transport)
        _log.info("watcher.ready", kind=kind)
        if kind == "flood":
            nursery.start_soon(_flood, transport, members, keys, head)
        await trio.sleep_forever()


async def _discard(transport: GossipTransport) -> None:
    async for _ in transport.received:
        pass


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
            forged = encode(_forge(members, index, stranger, head, chance))
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
