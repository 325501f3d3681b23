"""May this watcher be relied on? Each check has a code, and says what is wrong and what to do.

A check looks at a snapshot and nothing else, anew each time: what was fine once is not fine for ever. A
critical problem means that alerts would be missed or not heard; then the watcher is not ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consensus.alert import Level
from consensus.certificate import compute_levels
from node.chain.endpoint import EndpointHealth
from node.live.row import Standing as LiveStanding
from node.operate.snapshot import ChainSight, Snapshot

STALE_SECONDS: Final = 60.0
"""Five slots of Ethereum: longer without a block is rare there, and a minute is what an exploit takes."""
EXPIRES_SOON_SECONDS: Final = 86_400
BEHIND_BLOCKS: Final = 100
"""Twenty minutes of Ethereum: two thirds of both sets have signed by then, and somebody has had the turn."""
BACKLOG: Final = 512
"""Frames that wait to be read; a whole network's incident is some hundred."""
_SERVING: Final = frozenset({EndpointHealth.HEALTHY, EndpointHealth.UNTRIED})


class Severity(StrEnum):
    """What a problem means for the watch."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that may be wrong. `look` yields a sentence for each place where it is."""

    code: str
    severity: Severity
    title: str
    remedy: str
    look: Callable[[Snapshot], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A check that found something."""

    check: Check
    detail: str

    def as_dict(self) -> dict[str, str]:
        """As plain JSON values."""
        return {
            "code": self.check.code,
            "severity": self.check.severity.value,
            "title": self.check.title,
            "detail": self.detail,
            "remedy": self.check.remedy,
        }


def examine(snapshot: Snapshot) -> tuple[Problem, ...]:
    """Everything that is wrong now, in the order of the checks."""
    return tuple(Problem(check=check, detail=detail) for check in CHECKS for detail in check.look(snapshot))


def is_ready(problems: tuple[Problem, ...]) -> bool:
    """Whether none of them is critical."""
    return all(problem.check.severity is not Severity.CRITICAL for problem in problems)


def _stale_sources(snapshot: Snapshot) -> Iterator[str]:
    return (_stale(chain) for chain in snapshot.chains if chain.is_source and _is_stale(chain))


def _stale_destinations(snapshot: Snapshot) -> Iterator[str]:
    return (_stale(chain) for chain in snapshot.chains if not chain.is_source and _is_stale(chain))


def _is_stale(chain: ChainSight) -> bool:
    return chain.head_age_seconds is None or chain.head_age_seconds > STALE_SECONDS


def _stale(chain: ChainSight) -> str:
    if chain.head_age_seconds is None or chain.heads.head is None:
        return f"{chain.name}: no block has come yet"
    return f"{chain.name}: the last block, {chain.heads.head.number}, came {chain.head_age_seconds:.0f} s ago"


def _serving(chain: ChainSight) -> int:
    return sum(each.health in _SERVING for each in chain.rpc.endpoints)


def _too_few_endpoints(snapshot: Snapshot) -> Iterator[str]:
    for chain in snapshot.chains:
        if _serving(chain) < chain.rpc.agreement:
            yield f"{chain.name}: {_serving(chain)} of {len(chain.rpc.endpoints)} endpoints serve, " + (
                f"{chain.rpc.agreement} must agree"
            )


def _failing_endpoints(snapshot: Snapshot) -> Iterator[str]:
    for chain in snapshot.chains:
        for each in chain.rpc.endpoints:
            if each.health not in _SERVING:
                yield f"{chain.name}: {each.name} is {each.health.value}: {each.last_failure}"


def _outvoted_endpoints(snapshot: Snapshot) -> Iterator[str]:
    for chain in snapshot.chains:
        for each in chain.rpc.endpoints:
            if each.outvoted:
                yield f"{chain.name}: {each.name} said something else than the others {each.outvoted} times"


def _no_member(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.standing is None:
        yield "the registry has captured no operator set yet"
    elif snapshot.standing.own_weight == 0:
        yield f"epoch {snapshot.standing.epoch} has {snapshot.standing.operators} operators, not this one"


def _expired_epoch(snapshot: Snapshot) -> Iterator[str]:
    standing = snapshot.standing
    if standing is not None and standing.valid_until < snapshot.chain_time:
        yield f"epoch {standing.epoch} ended {snapshot.chain_time - standing.valid_until} s ago"


def _expiring_epoch(snapshot: Snapshot) -> Iterator[str]:
    standing = snapshot.standing
    if standing is not None and 0 <= standing.valid_until - snapshot.chain_time < EXPIRES_SOON_SECONDS:
        yield f"epoch {standing.epoch} ends in {standing.valid_until - snapshot.chain_time} s"


def _no_quorum(snapshot: Snapshot) -> Iterator[str]:
    return _out_of_reach(snapshot, Level.LIMIT)


def _no_pause(snapshot: Snapshot) -> Iterator[str]:
    return _out_of_reach(snapshot, Level.PAUSE)


def _out_of_reach(snapshot: Snapshot, level: Level) -> Iterator[str]:
    standing = snapshot.standing
    if standing is not None and level not in compute_levels(standing.online_weight, standing.total_weight):
        share = 100 * standing.online_weight // max(1, standing.total_weight)
        connected = len(snapshot.gossip.transport.connected)
        yield f"{share} % of the stake is heard ({connected} of {standing.operators - 1} other operators)"


def _backlog(snapshot: Snapshot) -> Iterator[str]:
    waiting = snapshot.gossip.transport.inbox_backlog
    if waiting >= BACKLOG:
        yield f"{waiting} frames of peers wait to be read"


def _blind_detections(snapshot: Snapshot) -> Iterator[str]:
    for chain_id, live in snapshot.live:
        for row in live.rows:
            if row.standing in (LiveStanding.WAITING, LiveStanding.LOST):
                seen = "no block" if row.head is None else f"block {row.head.number}"
                yield f"{row.policy} on chain {chain_id} knows nothing after {seen}: {row.detail}"


def _signing_waits(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.signing.is_unavailable:
        yield f"the key or its journal does not answer; {snapshot.signing.waiting} alerts more wait"


def _verifiers_behind(snapshot: Snapshot) -> Iterator[str]:
    waited = snapshot.carrying.waited_blocks
    if waited > BEHIND_BLOCKS:
        yield f"{snapshot.carrying.behind} verifiers lack an epoch, the longest for {waited} blocks"


CHECKS: Final = (
    Check(
        code="TOCSIN-HEADS-01",
        severity=Severity.CRITICAL,
        title="A watched chain stands still",
        remedy="Look at its endpoints in `tocsin status`; one that lags behind its chain is as good as down.",
        look=_stale_sources,
    ),
    Check(
        code="TOCSIN-HEADS-02",
        severity=Severity.WARNING,
        title="A chain that is answered on stands still",
        remedy="Look at its endpoints in `tocsin status`: responses there wait for a block.",
        look=_stale_destinations,
    ),
    Check(
        code="TOCSIN-RPC-01",
        severity=Severity.CRITICAL,
        title="Too few endpoints serve for an agreement",
        remedy="Mend or add endpoints under [[chains]]; until then every rule there is unknown.",
        look=_too_few_endpoints,
    ),
    Check(
        code="TOCSIN-RPC-02",
        severity=Severity.WARNING,
        title="An endpoint does not serve",
        remedy="The others carry on; mend it before a second one goes.",
        look=_failing_endpoints,
    ),
    Check(
        code="TOCSIN-RPC-03",
        severity=Severity.WARNING,
        title="An endpoint said something else than the others",
        remedy="Now and then it lagged. Often: compare it with a node of your own, and replace it.",
        look=_outvoted_endpoints,
    ),
    Check(
        code="TOCSIN-EPOCH-01",
        severity=Severity.CRITICAL,
        title="This operator is no member",
        remedy="`tocsin operator register`, then wait for the next epoch: nothing is signed until then.",
        look=_no_member,
    ),
    Check(
        code="TOCSIN-EPOCH-02",
        severity=Severity.CRITICAL,
        title="The operator set has expired",
        remedy="Capture an epoch in the registry; guardians refuse certificates of an expired one.",
        look=_expired_epoch,
    ),
    Check(
        code="TOCSIN-EPOCH-03",
        severity=Severity.WARNING,
        title="The operator set expires soon",
        remedy="Capture the next epoch in the registry, so that it can be handed over in time.",
        look=_expiring_epoch,
    ),
    Check(
        code="TOCSIN-PEERS-01",
        severity=Severity.CRITICAL,
        title="Too little stake is heard for any certificate",
        remedy="Let TCP in on gossip.listen, and look whether the addresses in gossip.peers are right.",
        look=_no_quorum,
    ),
    Check(
        code="TOCSIN-PEERS-02",
        severity=Severity.WARNING,
        title="Too little stake is heard for a pause",
        remedy="Others may hear more. If it stays, ask the operators that are missing in `tocsin status`.",
        look=_no_pause,
    ),
    Check(
        code="TOCSIN-PEERS-03",
        severity=Severity.WARNING,
        title="Peers send faster than we read",
        remedy="Look for a flood in tocsin_frames_refused_total, and for a machine that is too small.",
        look=_backlog,
    ),
    Check(
        code="TOCSIN-DETECT-01",
        severity=Severity.WARNING,
        title="What rules look up is not known",
        remedy="Give endpoints that trace and have the state of these blocks; where it says so, learn anew. "
        "The other rules go on.",
        look=_blind_detections,
    ),
    Check(
        code="TOCSIN-SIGN-01",
        severity=Severity.CRITICAL,
        title="Nothing can be signed",
        remedy="Has the disk of the journal space, is the signer process up? Alerts wait until they expire.",
        look=_signing_waits,
    ),
    Check(
        code="TOCSIN-EPOCH-04",
        severity=Severity.WARNING,
        title="A verifier does not follow to the newest epoch",
        remedy="Look for handover.refused in the log, and whether two thirds of both sets run; until it "
        "follows, certificates of the new epoch are refused there.",
        look=_verifiers_behind,
    ),
)
"""Every check, by code. docs/health.md is written from it."""
