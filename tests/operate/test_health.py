"""Each check finds its own fault, and none where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from consensus.operators import OperatorSet
from consensus.types import ChainId, Seconds, Weight
from node.attest.room import SigningStatistics
from node.chain.endpoint import EndpointHealth
from node.gossip.room import RoomStatistics
from node.gossip.transport import PeerId
from node.live.room import LiveStatistics
from node.live.row import Standing as LiveStanding
from node.operate.health import (
    BACKLOG,
    BEHIND_BLOCKS,
    CHECKS,
    EXPIRES_SOON_SECONDS,
    STALE_SECONDS,
    Severity,
    examine,
    is_ready,
)
from node.operate.snapshot import Snapshot, find_standing
from node.respond.carrier import CarrierStatistics
from tests.consensus.factories import make_operator_set
from tests.operate.snapshots import NOW, chain, endpoint, row, snapshot, transport, zeros
from tests.render_operate import render_health

PAGE = Path(__file__).parents[2] / "docs" / "health.md"


def _standing(**changes: int) -> Snapshot:
    standing = snapshot().standing
    assert standing is not None
    return snapshot(standing=replace(standing, **changes))


def _endpoints(*said: EndpointHealth) -> Snapshot:
    seen = chain()
    endpoints = tuple(endpoint(f"e{at}", health=each) for at, each in enumerate(said))
    return snapshot(chains=(replace(seen, rpc=replace(seen.rpc, endpoints=endpoints)),))


def _live(standing: LiveStanding) -> Snapshot:
    return snapshot(live=((ChainId(1), LiveStatistics(rows=(row(standing), row()), skipped=0)),))


UP, DOWN = EndpointHealth.HEALTHY, EndpointHealth.UNREACHABLE

# what is spoilt, just short of it, and the codes that the first shows
FAULTS: dict[str, tuple[Snapshot, Snapshot, set[str]]] = {
    "a watched chain stands still": (
        snapshot(chains=(chain(head_age_seconds=STALE_SECONDS + 0.1),)),
        snapshot(chains=(chain(head_age_seconds=STALE_SECONDS),)),
        {"TOCSIN-HEADS-01"},
    ),
    "a watched chain has shown nothing": (
        snapshot(chains=(chain(head_age_seconds=None),)),
        snapshot(chains=(chain(head_age_seconds=0.0),)),
        {"TOCSIN-HEADS-01"},
    ),
    "a chain that is answered on stands still": (
        snapshot(chains=(chain(), chain(2, is_source=False, head_age_seconds=STALE_SECONDS + 1))),
        snapshot(chains=(chain(), chain(2, is_source=False, head_age_seconds=STALE_SECONDS))),
        {"TOCSIN-HEADS-02"},
    ),
    "too few endpoints": (
        _endpoints(UP, DOWN, DOWN),
        _endpoints(UP, UP),
        {"TOCSIN-RPC-01", "TOCSIN-RPC-02"},
    ),
    "one endpoint is down": (_endpoints(UP, UP, DOWN), _endpoints(UP, UP, UP), {"TOCSIN-RPC-02"}),
    "an endpoint was outvoted": (
        snapshot(
            chains=(
                replace(
                    chain(), rpc=replace(chain().rpc, endpoints=(endpoint("a", outvoted=1), endpoint("b")))
                ),
            )
        ),
        _endpoints(UP, UP),
        {"TOCSIN-RPC-03"},
    ),
    "no set yet": (snapshot(standing=None), snapshot(), {"TOCSIN-EPOCH-01"}),
    "no member": (_standing(own_weight=0), _standing(own_weight=1), {"TOCSIN-EPOCH-01"}),
    "an expired set": (
        _standing(valid_until=NOW - 1),
        _standing(valid_until=NOW + EXPIRES_SOON_SECONDS),
        {"TOCSIN-EPOCH-02"},
    ),
    "a set that expires soon": (
        _standing(valid_until=NOW + EXPIRES_SOON_SECONDS - 1),
        _standing(valid_until=NOW + EXPIRES_SOON_SECONDS),
        {"TOCSIN-EPOCH-03"},
    ),
    "a third is heard": (
        _standing(total_weight=300, online_weight=100),
        _standing(total_weight=300, online_weight=201),
        {"TOCSIN-PEERS-01", "TOCSIN-PEERS-02"},
    ),
    "two thirds are heard": (
        _standing(total_weight=300, online_weight=200),
        _standing(total_weight=300, online_weight=201),
        {"TOCSIN-PEERS-02"},
    ),
    "frames wait": (
        snapshot(gossip=zeros(RoomStatistics, transport=transport(inbox_backlog=BACKLOG))),
        snapshot(gossip=zeros(RoomStatistics, transport=transport(inbox_backlog=BACKLOG - 1))),
        {"TOCSIN-PEERS-03"},
    ),
    "a detection waits": (_live(LiveStanding.WAITING), _live(LiveStanding.CATCHING_UP), {"TOCSIN-DETECT-01"}),
    "a detection is lost": (_live(LiveStanding.LOST), _live(LiveStanding.LEARNING), {"TOCSIN-DETECT-01"}),
    "a verifier is behind": (
        snapshot(carrying=zeros(CarrierStatistics, behind=1, waited_blocks=BEHIND_BLOCKS + 1)),
        snapshot(carrying=zeros(CarrierStatistics, behind=1, waited_blocks=BEHIND_BLOCKS)),
        {"TOCSIN-EPOCH-04"},
    ),
    "the key does not answer": (
        snapshot(signing=zeros(SigningStatistics, is_unavailable=True, waiting=3)),
        snapshot(signing=zeros(SigningStatistics, unavailable=5)),
        {"TOCSIN-SIGN-01"},
    ),
}


def test_nothing_is_wrong_where_nothing_is() -> None:
    assert examine(snapshot()) == ()
    assert is_ready(())


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_is_found_and_its_near_miss_is_not(fault: str) -> None:
    faulty, nearly, codes = FAULTS[fault]

    assert {problem.check.code for problem in examine(faulty)} == codes
    assert examine(nearly) == ()


def test_every_check_has_a_fault_that_shows_it() -> None:
    assert {check.code for check in CHECKS} == set().union(*(codes for _, _, codes in FAULTS.values()))


def test_codes_are_given_once() -> None:
    assert len({check.code for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("severity", list(Severity))
def test_a_watcher_is_ready_unless_a_critical_check_finds_something(severity: Severity) -> None:
    found = [
        problem
        for faulty, _, _ in FAULTS.values()
        for problem in examine(faulty)
        if problem.check.severity is severity
    ]

    assert found
    assert all(is_ready((problem,)) == (severity is Severity.WARNING) for problem in found)


def test_the_page_is_what_the_table_renders() -> None:
    assert PAGE.read_text() == render_health(), "run: python -m tests.render_operate"


def _set() -> OperatorSet:
    return make_operator_set((10, 20, 30))


def test_stake_is_heard_from_this_operator_and_from_who_is_connected() -> None:
    members = _set()
    me, other, absent = members.operators
    peers = [PeerId(other.peer_id), PeerId("a-stranger")]

    standing = find_standing([members], me=me.address, connected=peers)

    assert standing is not None
    assert (standing.own_weight, standing.online_weight) == (me.weight, me.weight + other.weight)
    assert standing.total_weight == me.weight + other.weight + absent.weight


def test_the_newest_epoch_stands_and_without_one_nothing_does() -> None:
    older = _set()
    newer = replace(older, epoch=older.epoch + 1, valid_until=Seconds(older.valid_until + 1))

    standing = find_standing([newer, older], me=older.operators[0].address, connected=[])

    assert standing is not None
    assert standing.epoch == newer.epoch
    assert find_standing([], me=older.operators[0].address, connected=[]) is None


def test_an_operator_that_is_connected_to_itself_counts_once() -> None:
    members = _set()
    me = members.operators[0]

    standing = find_standing([members], me=me.address, connected=[PeerId(me.peer_id)])

    assert standing is not None
    assert standing.online_weight == Weight(me.weight)
