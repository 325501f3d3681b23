"""The pending drain: what a simulation must show for it, and what a preview leaves alone."""

from __future__ import annotations

import pytest

from consensus.errors import Reason, Refused
from consensus.types import Bps
from node.detect.evidence import Family
from node.detect.pending_drain import PendingDrain
from node.detect.watch import Watch
from node.pending import HoldingChange, PendingTransaction, Simulation
from node.trace import Account, Token, TokenUnits
from tests.detect.policies import make_policy
from tests.detect.traces import COIN, USER, VAULT, WITHDRAW, deposit, direct, make_transaction, transfer

THIEF = Account("0x" + "ff" * 20)


def simulation(
    *changes: tuple[int, int], succeeded: bool = True, gain: int = 0, token: Token = COIN
) -> Simulation:
    return Simulation(
        transaction=PendingTransaction(
            hash="0x" + "12" * 32, sender=THIEF, to=VAULT, data=b"", value_wei=0, gas=21_000
        ),
        succeeded=succeeded,
        outcome="",
        gas_used=21_000,
        trace=deposit(),
        is_nested=False,
        changes=tuple(
            HoldingChange(holding=(token, VAULT), before=before, after=after) for before, after in changes
        ),
        profit=(HoldingChange(holding=(token, THIEF), before=1, after=1 + gain),) if gain else (),
    )


DETECTOR = PendingDrain(least_bps=Bps(5_000), least_units={COIN: TokenUnits(100)})


def test_half_of_a_balance_gone_is_told_with_who_would_gain() -> None:
    found = DETECTOR.judge(simulation((1_000, 500), gain=500))

    assert found is not None
    assert (found.score, found.family) == (5_000, Family.VALUE)
    assert "would take 500 of the 1000" in found.summary
    assert "gain 500 of" in found.summary


@pytest.mark.parametrize(
    "near_miss",
    [
        simulation((1_000, 501)),
        simulation((99, 0)),
        simulation((1_000, 2_000)),
        simulation((0, 0)),
        simulation(),
        simulation((1_000, 0), succeeded=False),
    ],
    ids=["a unit less", "too little", "a gain", "nothing there", "no change", "fails"],
)
def test_what_is_less_is_not_told(near_miss: Simulation) -> None:
    assert DETECTOR.judge(near_miss) is None


def test_the_worst_loss_is_told() -> None:
    found = DETECTOR.judge(simulation((1_000, 500), (1_000, 100), (1_000, 400)))

    assert found is not None
    assert found.score == 9_000
    assert "nothing that it holds itself" in found.summary


def test_a_token_without_a_least_amount_counts_from_one_unit_on() -> None:
    other = Token(Account("0x" + "0d" * 20))

    assert DETECTOR.judge(simulation((1, 0), token=other)) is not None


@pytest.mark.parametrize("least_bps", [0, 10_001])
def test_a_threshold_that_means_nothing_is_refused(least_bps: int) -> None:
    with pytest.raises(Refused) as raised:
        PendingDrain(least_bps=Bps(least_bps), least_units={})
    assert raised.value.reason is Reason.OUT_OF_RANGE


def test_a_preview_judges_by_the_families_that_are_asked_and_changes_nothing() -> None:
    watch = Watch(make_policy())
    for block in range(1, 30):
        watch.learn(deposit(block=block))
    theft = make_transaction(
        direct(WITHDRAW), transfers=[transfer(2_900, sender=VAULT, receiver=USER)], block=30
    )
    before = watch.state_hash()

    by_value = watch.preview(theft, {Family.VALUE})
    by_nesting = watch.preview(theft, {Family.NESTING})

    assert watch.state_hash() == before
    assert [each.evidence.detector for each in by_value.evidence] == ["balance_drain"]
    assert by_nesting.evidence == ()
    judged = watch.judge(theft)
    assert {each.evidence.detector for each in judged.evidence} > {"balance_drain"}
