"""What a running watcher knows of itself at one moment: the one source of health, metrics and status.

Every room keeps statistics; here they are put side by side, and nothing is computed that a room could say.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from consensus.operators import OperatorSet
from consensus.types import Address, ChainId, Epoch, Seconds, Weight
from node.attest.room import SigningStatistics
from node.chain.rpc import RpcStatistics
from node.evaluate.room import RoomStatistics as EvaluationStatistics
from node.foresight.room import ForesightStatistics
from node.gossip.forwarding import ForwardingStatistics
from node.gossip.room import RoomStatistics as GossipStatistics
from node.gossip.transport import PeerId
from node.live.room import LiveStatistics
from node.observe.heads import HeadStatistics
from node.respond.carrier import CarrierStatistics
from node.respond.reporter import ReporterStatistics
from node.respond.responder import ResponderStatistics
from node.tallying import TallyingStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSight:
    """How one chain is seen. `is_source`: a policy here watches it; else it is only answered on."""

    chain_id: ChainId
    name: str
    is_source: bool
    heads: HeadStatistics
    head_age_seconds: float | None
    """Since the newest head came, by a clock that nobody sets; None before the first."""
    rpc: RpcStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The newest epoch, and how much of its stake could be heard now: ours, and that of who is connected."""

    epoch: Epoch
    valid_until: Seconds
    operators: int
    total_weight: Weight
    own_weight: Weight
    """0 where we are no member."""
    online_weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One watcher at one moment. Counts are since its start."""

    operator: Address
    peer_id: PeerId
    uptime_seconds: float
    tasks: int
    """That live in this process; a number that keeps growing is a leak."""
    chain_time: Seconds
    chains: tuple[ChainSight, ...]
    standing: Standing | None
    evaluation: tuple[tuple[ChainId, EvaluationStatistics], ...]
    """A chain has a room for rules that are judged at once, and one for those that wait for traces."""
    live: tuple[tuple[ChainId, LiveStatistics], ...]
    """Of each chain whose rules wait for detections, new contracts or a bridge."""
    foresight: tuple[tuple[ChainId, ForesightStatistics], ...] = ()
    """Of each chain with rules about pending transactions."""
    signing: SigningStatistics
    gossip: GossipStatistics
    forwarding: ForwardingStatistics
    tallying: TallyingStatistics
    responding: ResponderStatistics
    carrying: CarrierStatistics
    reporting: ReporterStatistics


def find_standing(
    operator_sets: Collection[OperatorSet], *, me: Address, connected: Collection[PeerId]
) -> Standing | None:
    """How the newest of the sets stands; None where there is none yet."""
    newest = max(operator_sets, key=lambda each: each.epoch, default=None)
    if newest is None:
        return None
    own = sum(each.weight for each in newest.operators if each.address == me)
    heard = sum(
        each.weight for each in newest.operators if each.address != me and PeerId(each.peer_id) in connected
    )
    return Standing(
        epoch=newest.epoch,
        valid_until=newest.valid_until,
        operators=len(newest.operators),
        total_weight=Weight(sum(each.weight for each in newest.operators)),
        own_weight=Weight(own),
        online_weight=Weight(own + heard),
    )
