"""The same seed gives the same faults, and every fault leaves a network that can be judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.devnet.network import Conduct
from tests.chaos.plan import DEEPEST_REORG, RPC, SILENCING, FaultKind, make_plan

SEEDS = st.integers(min_value=0, max_value=2**32)
SIZES = st.sampled_from([4, 5, 7, 10, 13])


@given(seed=SEEDS, nodes=SIZES)
def test_the_same_seed_gives_the_same_cast_and_schedule(seed: int, nodes: int) -> None:
    assert make_plan(seed, nodes) == make_plan(seed, nodes)
    assert make_plan(seed, nodes).first(30) == make_plan(seed, nodes).first(30)


def test_another_seed_gives_another_schedule() -> None:
    assert len({make_plan(seed, 7).first(13) for seed in range(20)}) == 20


@given(seed=SEEDS, nodes=SIZES)
def test_less_than_a_third_misbehaves_and_faults_befall_the_honest(seed: int, nodes: int) -> None:
    plan = make_plan(seed, nodes)

    faulty = [how for how in plan.conduct if how is not Conduct.HONEST]

    assert 3 * len(faulty) < nodes
    for fault in plan.first(26):
        if fault.kind not in (FaultKind.PARTITION, FaultKind.LOSSY):
            assert set(fault.victims) <= set(plan.honest)
        if fault.kind in RPC or fault.kind is FaultKind.DISK_FULL:
            assert set(fault.victims) <= set(plan.exposed) <= set(plan.honest)
        if fault.kind is FaultKind.REORG:
            assert 1 <= fault.amount <= DEEPEST_REORG


@given(seed=SEEDS, nodes=SIZES)
def test_every_kind_of_fault_comes_before_any_comes_again(seed: int, nodes: int) -> None:
    dealt = [fault.kind for fault in make_plan(seed, nodes).first(len(FaultKind))]

    assert sorted(dealt) == sorted(FaultKind)


@given(seed=SEEDS, nodes=SIZES)
def test_an_attack_is_to_be_answered_exactly_when_more_than_two_thirds_can_be_heard(
    seed: int, nodes: int
) -> None:
    plan = make_plan(seed, nodes)
    for fault in plan.first(13):
        gone = len(fault.victims) if fault.kind in SILENCING else 0
        if fault.kind is FaultKind.PARTITION:
            assert not plan.is_answerable(fault), "no half has more than two thirds"
        else:
            assert plan.is_answerable(fault) == (3 * (len(plan.honest) - gone) > 2 * nodes)


def test_a_network_in_which_nobody_may_fail_is_not_tried() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        make_plan(1, 3)
