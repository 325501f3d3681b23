"""A watcher at which nothing is wrong, to be spoilt one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_origin, get_type_hints

from consensus.types import Address, BlockHash, BlockNumber, ChainId, Epoch, Seconds, Weight
from node.attest.room import SigningStatistics
from node.chain.endpoint import EndpointHealth, EndpointStatistics
from node.chain.rpc import RpcStatistics
from node.chain.types import BlockRef
from node.evaluate.room import RoomStatistics as EvaluationStatistics
from node.foresight.room import ForesightStatistics
from node.gossip.forwarder import ForwarderStatistics
from node.gossip.forwarding import ForwardingStatistics
from node.gossip.room import RoomStatistics as GossipStatistics
from node.gossip.transport import PeerId, TransportStatistics
from node.live.room import LiveStatistics
from node.live.row import RowSight
from node.live.row import Standing as LiveStanding
from node.observe.heads import HeadStatistics
from node.operate.snapshot import ChainSight, Snapshot, Standing
from node.respond.carrier import CarrierStatistics
from node.respond.reporter import ReporterStatistics
from node.respond.responder import ResponderStatistics
from node.tallying import TallyingStatistics

NOW = Seconds(1_800_000_000)


def zeros(kind: type, **given: Any) -> Any:
    """The statistics of a room in which nothing has happened, but for what is given."""
    empty: dict[Any, Any] = {Mapping: {}, tuple: (), bool: False, int: 0}
    values = {name: empty.get(get_origin(hint) or hint) for name, hint in get_type_hints(kind).items()}
    return kind(**(values | given))


def endpoint(name: str, **changes: Any) -> EndpointStatistics:
    healthy = EndpointStatistics(
        name=name,
        health=EndpointHealth.HEALTHY,
        requests=10,
        failures=0,
        limited=0,
        outvoted=0,
        backoff_seconds=0.0,
        last_failure=None,
    )
    return replace(healthy, **changes)


def chain(chain_id: int = 1, *, is_source: bool = True, **changes: Any) -> ChainSight:
    head = BlockRef(
        chain_id=ChainId(chain_id),
        number=BlockNumber(100),
        hash=BlockHash(bytes(32)),
        parent_hash=BlockHash(bytes(32)),
        timestamp=NOW,
    )
    seen = ChainSight(
        chain_id=ChainId(chain_id),
        name=f"chain-{chain_id}",
        is_source=is_source,
        heads=zeros(HeadStatistics, head=head, emitted=5),
        head_age_seconds=3.0,
        rpc=RpcStatistics(
            chain_id=ChainId(chain_id),
            agreement=2,
            agreed=7,
            disagreed=0,
            endpoints=(endpoint("one"), endpoint("two"), endpoint("three")),
        ),
    )
    return replace(seen, **changes)


def row(standing: LiveStanding = LiveStanding.LIVE, **changes: Any) -> RowSight:
    seen = zeros(
        RowSight, topic="detection", policy="general", standing=standing, detail="as it is", head=None
    )
    return replace(seen, **changes)


def transport(**changes: Any) -> TransportStatistics:
    peers = tuple(PeerId(f"peer-{number}") for number in range(3))
    return zeros(TransportStatistics, registered=3, connected=peers, **changes)


def snapshot(**changes: Any) -> Snapshot:
    fine = Snapshot(
        operator=Address("0x" + "11" * 20),
        peer_id=PeerId("peer-me"),
        uptime_seconds=90.0,
        tasks=40,
        chain_time=NOW,
        chains=(chain(1), chain(2, is_source=False)),
        standing=Standing(
            epoch=Epoch(4),
            valid_until=Seconds(NOW + 7 * 86_400),
            operators=4,
            total_weight=Weight(400),
            own_weight=Weight(100),
            online_weight=Weight(400),
        ),
        evaluation=((ChainId(1), zeros(EvaluationStatistics, blocks=5)),),
        live=((ChainId(1), LiveStatistics(rows=(row(),), skipped=0)),),
        foresight=((ChainId(1), zeros(ForesightStatistics)),),
        signing=zeros(SigningStatistics),
        gossip=zeros(GossipStatistics, transport=transport()),
        forwarding=zeros(ForwardingStatistics, forwarder=zeros(ForwarderStatistics)),
        tallying=zeros(TallyingStatistics),
        responding=zeros(ResponderStatistics),
        carrying=zeros(CarrierStatistics),
        reporting=zeros(ReporterStatistics),
    )
    return replace(fine, **changes)
