"""What a watcher counts, for Prometheus: one table of metrics, each read from a snapshot when it is wanted.

Names follow Prometheus' rules: base units, `_total` for what only grows. docs/metrics.md is written from the
table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consensus.errors import Reason
from node.chain.endpoint import EndpointHealth, EndpointStatistics
from node.evaluate.room import RoomStatistics as EvaluationStatistics
from node.live.row import RowSight
from node.live.row import Standing as LiveStanding
from node.operate.health import CHECKS, examine, is_ready
from node.operate.snapshot import ChainSight, Snapshot, Standing

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Label values, and the number."""


class Kind(StrEnum):
    """Whether a number only grows."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One metric: its name without the `tocsin_` in front, what it says, and how it is read."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Snapshot], Samples]

    @property
    def full_name(self) -> str:
        """As Prometheus knows it."""
        return f"tocsin_{self.name}"


class _WatcherCollector(Collector):
    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def collect(self) -> Iterator[Metric]:
        snapshot = self._take()
        for each in METRICS:
            family = CounterMetricFamily if each.kind is Kind.COUNTER else GaugeMetricFamily
            metric = family(each.full_name, each.help, labels=each.labels)
            for labels, value in each.read(snapshot):
                metric.add_metric(labels, value)
            yield metric


def render_metrics(take: Callable[[], Snapshot]) -> bytes:
    """Every metric of a snapshot that is taken now, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_WatcherCollector(take))
    return generate_latest(registry)


# --- how they are read


def _one(read: Callable[[Snapshot], float]) -> Callable[[Snapshot], Samples]:
    return lambda snapshot: (((), read(snapshot)),)


def _of_chains(read: Callable[[ChainSight], float | None]) -> Callable[[Snapshot], Samples]:
    def samples(snapshot: Snapshot) -> Samples:
        for chain in snapshot.chains:
            value = read(chain)
            if value is not None:
                yield (str(chain.chain_id),), value

    return samples


def _of_endpoints(read: Callable[[EndpointStatistics], float]) -> Callable[[Snapshot], Samples]:
    def samples(snapshot: Snapshot) -> Samples:
        for chain in snapshot.chains:
            for each in chain.rpc.endpoints:
                yield (str(chain.chain_id), each.name), read(each)

    return samples


def _of_standing(read: Callable[[Standing], float]) -> Callable[[Snapshot], Samples]:
    return lambda snapshot: () if snapshot.standing is None else (((), read(snapshot.standing)),)


def _by_reason(read: Callable[[Snapshot], Mapping[Reason, int]]) -> Callable[[Snapshot], Samples]:
    return lambda snapshot: [((reason.value,), count) for reason, count in sorted(read(snapshot).items())]


def _problems(snapshot: Snapshot) -> Samples:
    found = [problem.check.code for problem in examine(snapshot)]
    return [((check.code, check.severity.value), found.count(check.code)) for check in CHECKS]


def _of_rooms(read: Callable[[EvaluationStatistics], int]) -> Callable[[Snapshot], Samples]:
    def samples(snapshot: Snapshot) -> Samples:
        counts: Counter[str] = Counter()
        for chain_id, room in snapshot.evaluation:
            counts[str(chain_id)] += read(room)
        return [((chain_id,), count) for chain_id, count in sorted(counts.items())]

    return samples


def _of_rows(read: Callable[[RowSight], int]) -> Callable[[Snapshot], Samples]:
    def samples(snapshot: Snapshot) -> Samples:
        counts: dict[tuple[str, str, str], int] = {}
        for chain_id, live in snapshot.live:
            for row in live.rows:  # two policies may name one: the one that stands worse is told
                labels = (str(chain_id), row.topic, row.policy)
                counts[labels] = min(counts.get(labels, read(row)), read(row))
        return sorted(counts.items())

    return samples


def _entry_points(snapshot: Snapshot) -> Samples:
    return [
        ((str(chain_id), outcome), count)
        for chain_id, each in snapshot.foresight
        for outcome, count in (
            ("run", each.entry_points),
            ("drain", each.entry_points_drain),
            ("unknown", each.entry_points_unknown),
            ("unseen", each.newcomers_unseen),
        )
    ]


def _pending(snapshot: Snapshot) -> Samples:
    return [
        ((str(chain_id), outcome), count)
        for chain_id, each in snapshot.foresight
        for outcome, count in (
            ("seen", each.seen),
            ("run", each.run),
            ("unknown", each.unknown),
            ("passed_over", each.passed_over),
            ("raised", each.raised),
            ("over_limit", each.over_limit),
        )
    ]


def _unknowns(snapshot: Snapshot) -> Samples:
    counts: Counter[tuple[str, str]] = Counter()
    for chain_id, room in snapshot.evaluation:
        for reason, count in room.unknown.items():
            counts[str(chain_id), reason.value] += count
    return sorted(counts.items())


_CHAIN: Final = ("chain_id",)
_ENDPOINT: Final = ("chain_id", "endpoint")
_ROW: Final = ("chain_id", "kind", "policy")
_REASON: Final = ("reason",)

METRICS: Final = (
    Description(
        name="ready",
        kind=Kind.GAUGE,
        help="1 where no critical check finds anything, else 0.",
        labels=(),
        read=_one(lambda snapshot: is_ready(examine(snapshot))),
    ),
    Description(
        name="problems",
        kind=Kind.GAUGE,
        help="What each check finds wrong now; docs/health.md says what to do.",
        labels=("code", "severity"),
        read=_problems,
    ),
    Description(
        name="uptime_seconds",
        kind=Kind.GAUGE,
        help="Since this process began to watch.",
        labels=(),
        read=_one(lambda snapshot: snapshot.uptime_seconds),
    ),
    Description(
        name="tasks",
        kind=Kind.GAUGE,
        help="Tasks that live in this process; a number that keeps growing is a leak.",
        labels=(),
        read=_one(lambda snapshot: snapshot.tasks),
    ),
    Description(
        name="head_block_number",
        kind=Kind.GAUGE,
        help="The newest block that enough endpoints agree on.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: None if chain.heads.head is None else chain.heads.head.number),
    ),
    Description(
        name="head_timestamp_seconds",
        kind=Kind.GAUGE,
        help="That block's time, Unix seconds.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: None if chain.heads.head is None else chain.heads.head.timestamp),
    ),
    Description(
        name="head_age_seconds",
        kind=Kind.GAUGE,
        help="Since the newest block came.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.head_age_seconds),
    ),
    Description(
        name="blocks_total",
        kind=Kind.COUNTER,
        help="Blocks that were handed on, those of a reorganisation among them.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.heads.emitted),
    ),
    Description(
        name="blocks_skipped_total",
        kind=Kind.COUNTER,
        help="Blocks that were given up after an outage that was too long: nobody looked at them here.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.heads.skipped),
    ),
    Description(
        name="detection_live",
        kind=Kind.GAUGE,
        help="1 where what rules look up is known of every block that comes, else 0.",
        labels=_ROW,
        read=_of_rows(lambda row: row.standing is LiveStanding.LIVE),
    ),
    Description(
        name="detection_block_number",
        kind=Kind.GAUGE,
        help="The last block of which it is known, or that was learned from.",
        labels=_ROW,
        read=_of_rows(lambda row: 0 if row.head is None else row.head.number),
    ),
    Description(
        name="detection_passed_over_total",
        kind=Kind.COUNTER,
        help="Blocks that were given up since they alone could not be traced; they stay unknown.",
        labels=_ROW,
        read=_of_rows(lambda row: row.passed_over),
    ),
    Description(
        name="late_blocks_skipped_total",
        kind=Kind.COUNTER,
        help="Blocks at which rules that take long to read were not judged: those before took too long.",
        labels=_CHAIN,
        read=lambda snapshot: [((str(chain_id),), live.skipped) for chain_id, live in snapshot.live],
    ),
    Description(
        name="pending_transactions_total",
        kind=Kind.COUNTER,
        help="Pending transactions that mempools showed, and what came of running them.",
        labels=("chain_id", "outcome"),
        read=_pending,
    ),
    Description(
        name="entry_points_total",
        kind=Kind.COUNTER,
        help="Functions of new contracts that point at ours, by what came of running them.",
        labels=("chain_id", "outcome"),
        read=_entry_points,
    ),
    Description(
        name="mempools_unread",
        kind=Kind.GAUGE,
        help="Endpoints that show no pending transactions now; their mempools are not covered.",
        labels=_CHAIN,
        read=lambda snapshot: [
            ((str(chain_id),), each.unread_mempools) for chain_id, each in snapshot.foresight
        ],
    ),
    Description(
        name="mempool_announcements_unfounded_total",
        kind=Kind.COUNTER,
        help="Announcements over websockets that led to no transaction; polls tell of those that there are.",
        labels=_CHAIN,
        read=lambda snapshot: [((str(chain_id),), each.unfounded) for chain_id, each in snapshot.foresight],
    ),
    Description(
        name="mempool_reconnects_total",
        kind=Kind.COUNTER,
        help="Times that a websocket which announces pending transactions broke, or could not be opened.",
        labels=_CHAIN,
        read=lambda snapshot: [((str(chain_id),), each.reconnects) for chain_id, each in snapshot.foresight],
    ),
    Description(
        name="pending_questions_dropped_total",
        kind=Kind.COUNTER,
        help="Members' alerts about pending transactions that could not be looked into.",
        labels=_CHAIN,
        read=lambda snapshot: [
            ((str(chain_id),), each.questions_dropped) for chain_id, each in snapshot.foresight
        ],
    ),
    Description(
        name="bridge_blocks_waiting",
        kind=Kind.GAUGE,
        help="Blocks that wait for the chain of the burns; a number that grows says that it cannot be read.",
        labels=_CHAIN,
        read=lambda snapshot: [
            ((str(chain_id),), sum(bridge.waiting for bridge in live.bridges))
            for chain_id, live in snapshot.live
        ],
    ),
    Description(
        name="reorgs_total",
        kind=Kind.COUNTER,
        help="Reorganisations of the chain.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.heads.reorgs),
    ),
    Description(
        name="reorg_depth_blocks_max",
        kind=Kind.GAUGE,
        help="The deepest reorganisation so far.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.heads.deepest_reorg),
    ),
    Description(
        name="reads_agreed_total",
        kind=Kind.COUNTER,
        help="Reads on which enough endpoints said the same.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.rpc.agreed),
    ),
    Description(
        name="reads_disagreed_total",
        kind=Kind.COUNTER,
        help="Reads without an agreement: what asked for them is unknown.",
        labels=_CHAIN,
        read=_of_chains(lambda chain: chain.rpc.disagreed),
    ),
    Description(
        name="endpoint_healthy",
        kind=Kind.GAUGE,
        help="1 where the endpoint's last answer was good, else 0.",
        labels=_ENDPOINT,
        read=_of_endpoints(lambda each: each.health is EndpointHealth.HEALTHY),
    ),
    Description(
        name="endpoint_requests_total",
        kind=Kind.COUNTER,
        help="Requests that were sent.",
        labels=_ENDPOINT,
        read=_of_endpoints(lambda each: each.requests),
    ),
    Description(
        name="endpoint_failures_total",
        kind=Kind.COUNTER,
        help="Requests without an answer that can be used.",
        labels=_ENDPOINT,
        read=_of_endpoints(lambda each: each.failures),
    ),
    Description(
        name="endpoint_limited_total",
        kind=Kind.COUNTER,
        help="Requests that the endpoint refused for their number (429).",
        labels=_ENDPOINT,
        read=_of_endpoints(lambda each: each.limited),
    ),
    Description(
        name="endpoint_outvoted_total",
        kind=Kind.COUNTER,
        help="Answers that differed from what the others agreed on.",
        labels=_ENDPOINT,
        read=_of_endpoints(lambda each: each.outvoted),
    ),
    Description(
        name="epoch",
        kind=Kind.GAUGE,
        help="The newest epoch that the registry has captured.",
        labels=(),
        read=_of_standing(lambda standing: standing.epoch),
    ),
    Description(
        name="epoch_valid_until_seconds",
        kind=Kind.GAUGE,
        help="Until when guardians accept its certificates, Unix seconds.",
        labels=(),
        read=_of_standing(lambda standing: standing.valid_until),
    ),
    Description(
        name="operators",
        kind=Kind.GAUGE,
        help="Operators of the newest epoch.",
        labels=(),
        read=_of_standing(lambda standing: standing.operators),
    ),
    Description(
        name="stake_share_own",
        kind=Kind.GAUGE,
        help="This operator's share of the stake, 0 to 1.",
        labels=(),
        read=_of_standing(lambda standing: standing.own_weight / standing.total_weight),
    ),
    Description(
        name="stake_share_online",
        kind=Kind.GAUGE,
        help="The share of the stake that could be heard now, 0 to 1: a pause needs more than two thirds.",
        labels=(),
        read=_of_standing(lambda standing: standing.online_weight / standing.total_weight),
    ),
    Description(
        name="peers_connected",
        kind=Kind.GAUGE,
        help="Operators that are connected.",
        labels=(),
        read=_one(lambda snapshot: len(snapshot.gossip.transport.connected)),
    ),
    Description(
        name="peers_banned",
        kind=Kind.GAUGE,
        help="Operators that are shut out for a time.",
        labels=(),
        read=_one(lambda snapshot: len(snapshot.gossip.transport.banned)),
    ),
    Description(
        name="frames_refused_total",
        kind=Kind.COUNTER,
        help="Frames of peers that were refused after the transport's door.",
        labels=_REASON,
        read=_by_reason(lambda snapshot: snapshot.gossip.refused),
    ),
    Description(
        name="partials_received_total",
        kind=Kind.COUNTER,
        help="Merged certificates of peers that were handed to the tally.",
        labels=(),
        read=_one(lambda snapshot: snapshot.forwarding.received),
    ),
    Description(
        name="partials_refused_total",
        kind=Kind.COUNTER,
        help="Merged certificates of peers that the tally refused.",
        labels=_REASON,
        read=_by_reason(lambda snapshot: snapshot.forwarding.refused),
    ),
    Description(
        name="partials_sent_total",
        kind=Kind.COUNTER,
        help="Merged certificates that were sent: on our level, to ask, and as answers.",
        labels=(),
        read=_one(lambda snapshot: snapshot.forwarding.forwarder.sent),
    ),
    Description(
        name="frames_dropped_total",
        kind=Kind.COUNTER,
        help="What the transport dropped at its door: budgets, sizes, strangers.",
        labels=_REASON,
        read=_by_reason(lambda snapshot: snapshot.gossip.transport.drops),
    ),
    Description(
        name="frames_waiting",
        kind=Kind.GAUGE,
        help="Frames of peers that wait to be read.",
        labels=(),
        read=_one(lambda snapshot: snapshot.gossip.transport.inbox_backlog),
    ),
    Description(
        name="blocks_evaluated_total",
        kind=Kind.COUNTER,
        help="Blocks at which the policies were judged.",
        labels=_CHAIN,
        read=_of_rooms(lambda room: room.blocks),
    ),
    Description(
        name="alerts_raised_total",
        kind=Kind.COUNTER,
        help="Alerts that this watcher's own view asked for.",
        labels=_CHAIN,
        read=_of_rooms(lambda room: room.alerts),
    ),
    Description(
        name="rules_unknown_total",
        kind=Kind.COUNTER,
        help="Rules and blocks without a verdict.",
        labels=("chain_id", "reason"),
        read=_unknowns,
    ),
    Description(
        name="attestations_signed_total",
        kind=Kind.COUNTER,
        help="Alerts that were signed here.",
        labels=(),
        read=_one(lambda snapshot: snapshot.signing.signed),
    ),
    Description(
        name="alerts_unsigned_total",
        kind=Kind.COUNTER,
        help="Alerts that were raised here and not signed: no member, orphaned block, or expired meanwhile.",
        labels=("reason",),
        read=lambda snapshot: [
            ((Reason.NOT_A_MEMBER.value,), snapshot.signing.skipped),
            ((Reason.ANCHOR_ORPHANED.value,), snapshot.signing.orphaned),
            ((Reason.ALERT_EXPIRED.value,), snapshot.signing.expired),
        ],
    ),
    Description(
        name="alerts_waiting_for_signature",
        kind=Kind.GAUGE,
        help="Alerts behind the one that is being signed.",
        labels=(),
        read=_one(lambda snapshot: snapshot.signing.waiting),
    ),
    Description(
        name="signing_refused_total",
        kind=Kind.COUNTER,
        help="Alerts that the journal refused: our view contradicted itself.",
        labels=(),
        read=_one(lambda snapshot: snapshot.signing.refused),
    ),
    Description(
        name="attestations_counted_total",
        kind=Kind.COUNTER,
        help="Signatures that were verified and counted, ours among them.",
        labels=(),
        read=_one(lambda snapshot: snapshot.tallying.counted),
    ),
    Description(
        name="equivocations_total",
        kind=Kind.COUNTER,
        help="Operators that were proven to have signed two alerts for one slot.",
        labels=(),
        read=_one(lambda snapshot: snapshot.tallying.equivocations),
    ),
    Description(
        name="incidents_open",
        kind=Kind.GAUGE,
        help="Alerts that are being answered.",
        labels=(),
        read=_one(lambda snapshot: snapshot.responding.open_incidents),
    ),
    Description(
        name="responses_submitted_total",
        kind=Kind.COUNTER,
        help="Responses that were sent to a chain.",
        labels=(),
        read=_one(lambda snapshot: snapshot.responding.submissions),
    ),
    Description(
        name="effects_total",
        kind=Kind.COUNTER,
        help="Effects that were seen on chain.",
        labels=(),
        read=_one(lambda snapshot: snapshot.responding.effects),
    ),
    Description(
        name="effects_vanished_total",
        kind=Kind.COUNTER,
        help="Effects that were gone again before they had stood for the chain's confirmations.",
        labels=(),
        read=_one(lambda snapshot: snapshot.responding.vanished),
    ),
    Description(
        name="handovers_carried_total",
        kind=Kind.COUNTER,
        help="Epochs that we brought to verifiers.",
        labels=(),
        read=_one(lambda snapshot: snapshot.carrying.carried),
    ),
    Description(
        name="verifiers_behind",
        kind=Kind.GAUGE,
        help="Verifiers that lack an epoch which the registry has captured.",
        labels=(),
        read=_one(lambda snapshot: snapshot.carrying.behind),
    ),
    Description(
        name="equivocations_reported_total",
        kind=Kind.COUNTER,
        help="Proofs of equivocation that we brought to the registry.",
        labels=(),
        read=_one(lambda snapshot: snapshot.reporting.reported),
    ),
)
"""Every metric, in the order of an alert's way."""
