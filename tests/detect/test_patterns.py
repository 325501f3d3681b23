"""Slow drains, flash loans and probing: one true case, one near miss, one benign; who may not brake alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from consensus.alert import Level
from consensus.types import Bps
from node.detect.detector import Detector
from node.detect.evidence import Evidence, Family, Ppb, Weighed
from node.detect.flash_loan import FlashLoan, find_loans
from node.detect.fusion import StrangePast, compute_level, compute_strangeness
from node.detect.interface_probing import InterfaceProbing
from node.detect.policy import DetectionPolicy
from node.detect.slow_drain import SlowDrain
from node.trace import ZERO_ACCOUNT, Account, TransactionTrace
from tests.detect.policies import make_policy
from tests.detect.test_detectors import score, train
from tests.detect.traces import (
    BORROW,
    COIN,
    DEPOSIT,
    SHARE,
    USER,
    VAULT,
    WITHDRAW,
    call,
    deposit,
    direct,
    make_transaction,
    transfer,
    withdrawal,
)

LENDER = Account("0x" + "fe" * 20)
THIEF = Account("0x" + "66" * 20)

# ---------------------------------------------------------------------- slow drain


def slow_drain(*before: TransactionTrace) -> SlowDrain:
    detector = SlowDrain(least_bps=Bps(3_000), dust_bps=Bps(500))
    train(detector, before)
    return detector


def summary(detector: Detector, transaction: TransactionTrace) -> str:
    evidence = detector.judge(transaction)
    assert evidence is not None
    return evidence.summary


def test_slow_drain_adds_up_what_several_transactions_took() -> None:
    detector = slow_drain(deposit(1_000, block=1), *(withdrawal(100, block=1_000 + n) for n in range(3)))

    assert score(detector, withdrawal(100, block=1_003)) == 4_000
    assert "within 5 blocks" in summary(detector, withdrawal(100, block=1_003))


def test_slow_drain_says_in_which_window_it_was() -> None:
    spread = slow_drain(deposit(1_000, block=1), *(withdrawal(100, block=1_000 + 20 * n) for n in range(5)))

    assert score(spread, withdrawal(100, block=1_100)) == 6_000
    assert "within 300 blocks" in summary(spread, withdrawal(100, block=1_100))


def test_slow_drain_forgets_what_left_before_its_windows() -> None:
    detector = slow_drain(deposit(1_000, block=1), *(withdrawal(100, block=1_000 + n) for n in range(3)))

    assert score(detector, withdrawal(100, block=1_301)) == 0  # 200 of 800
    assert score(detector, withdrawal(140, block=1_301)) == 3_000  # 240 of 800
    assert score(detector, withdrawal(100, block=1_400)) == 0


def test_slow_drain_leaves_a_single_transaction_to_balance_drain() -> None:
    detector = slow_drain(deposit(1_000, block=1))

    assert score(detector, withdrawal(900, block=1_000)) == 0


def test_slow_drain_leaves_users_who_come_and_go_alone() -> None:
    turns = [
        each
        for n in range(20)
        for each in (withdrawal(200, block=1_000 + 2 * n), deposit(200, block=1_001 + 2 * n))
    ]

    assert score(slow_drain(deposit(1_000, block=1), *turns), withdrawal(200, block=1_040)) == 0


def test_slow_drain_judges_only_who_takes_and_no_remainders() -> None:
    drained = slow_drain(deposit(1_000, block=1), withdrawal(500, block=1_000), withdrawal(460, block=1_000))
    gone = slow_drain(deposit(1_000, block=1), withdrawal(960, block=2), withdrawal(10, block=1_000))

    assert score(drained, deposit(5, block=1_001)) == 0
    assert score(gone, withdrawal(20, block=1_001)) == 0


def test_slow_drain_keeps_no_more_than_its_longest_window() -> None:
    detector = slow_drain(*(deposit(10, block=n) for n in range(1, 2_000)))

    state: Any = detector.state()
    (starts,) = [each for holding, each in state["starts"].items() if VAULT in holding]

    assert len(starts) == 300


# ---------------------------------------------------------------------- flash loan


def flash_loan(*before: TransactionTrace) -> FlashLoan:
    detector = FlashLoan(fee_bps=Bps(100), least_bps=Bps(100))
    train(detector, before or [deposit(10_000)])
    return detector


def loan(*, repaid: int, taken: int, lender: Account = LENDER) -> TransactionTrace:
    """A thousand shares are lent, used at the vault, which loses coins, and given back."""
    return make_transaction(
        call(DEPOSIT, span=(10, 20)),
        call(WITHDRAW, span=(30, 40)),
        transfers=[
            transfer(1_000, sender=lender, receiver=THIEF, token=SHARE),
            transfer(taken, sender=VAULT, receiver=THIEF),
            transfer(repaid, sender=THIEF, receiver=lender, token=SHARE),
        ],
    )


def test_flash_loan_rings_when_the_vault_loses_while_a_token_is_lent_and_given_back() -> None:
    assert score(flash_loan(), loan(repaid=1_000, taken=500)) == 500
    assert score(flash_loan(), loan(repaid=1_009, taken=500)) == 500
    assert "1000 of token" in summary(flash_loan(), loan(repaid=1_009, taken=500))


def test_flash_loan_leaves_a_loan_alone_that_is_not_given_back_or_far_too_dear() -> None:
    assert score(flash_loan(), loan(repaid=999, taken=500)) == 0
    assert score(flash_loan(), loan(repaid=1_011, taken=500)) == 0


def test_flash_loan_leaves_a_loan_alone_by_which_the_vault_loses_next_to_nothing() -> None:
    assert score(flash_loan(), loan(repaid=1_000, taken=99)) == 0


def test_flash_loan_takes_a_withdrawal_without_a_loan_for_what_it_is() -> None:
    assert score(flash_loan(), withdrawal(5_000)) == 0


def test_minting_and_burning_is_no_lending() -> None:
    assert score(flash_loan(), loan(repaid=1_000, taken=500, lender=ZERO_ACCOUNT)) == 0


def test_who_passes_on_what_came_before_it_left_is_no_lender() -> None:
    passed_on = make_transaction(
        call(),
        transfers=[
            transfer(50, sender=USER, receiver=THIEF),
            transfer(50, sender=THIEF, receiver=LENDER),
            transfer(50, sender=LENDER, receiver=THIEF),
        ],
    )

    assert find_loans(passed_on, Bps(100)) == ()


# ---------------------------------------------------------------------- interface probing


def probing(*before: TransactionTrace) -> InterfaceProbing:
    detector = InterfaceProbing(rare_calls=3, least_times=1_000, blocks=100)
    train(detector, [*(deposit(100, block=n) for n in range(10)), *before])
    return detector


def borrowing(units: int, *, block: int) -> TransactionTrace:
    return make_transaction(
        direct(BORROW), transfers=[transfer(units, sender=VAULT, receiver=USER)], block=block
    )


def test_probing_rings_when_a_rare_function_is_tried_with_dust_and_then_with_much() -> None:
    detector = probing(borrowing(7, block=50))

    assert score(detector, borrowing(7_000, block=60)) == 1_000
    assert summary(detector, borrowing(70_000, block=60)).startswith(f"{BORROW}, which 1 transactions")


def test_probing_leaves_a_smaller_step_an_old_one_and_a_popular_function_alone() -> None:
    popular = probing(*(borrowing(7, block=50 + n) for n in range(4)))

    assert score(probing(borrowing(7, block=50)), borrowing(6_999, block=60)) == 0
    assert score(probing(borrowing(7, block=50)), borrowing(7_000, block=151)) == 0
    assert score(popular, borrowing(7_000_000, block=60)) == 0


def test_probing_compares_one_way_in_and_one_token_with_itself() -> None:
    other_token = make_transaction(
        direct(BORROW), transfers=[transfer(7, sender=VAULT, receiver=USER, token=SHARE)], block=50
    )

    assert score(probing(withdrawal(7, block=50)), borrowing(7_000, block=60)) == 0
    assert score(probing(other_token), borrowing(7_000, block=60)) == 0


def test_probing_says_nothing_of_what_was_never_tried() -> None:
    assert score(probing(), borrowing(10**18, block=60)) == 0


def test_probing_keeps_no_rehearsals_of_what_everybody_calls() -> None:
    state: Any = probing().state()

    assert state["rehearsals"] == []


# ---------------------------------------------------------------------- who may not brake alone


def policy_with(*lines: str) -> DetectionPolicy:
    drains = "  balance_drain: {least_bps: 3_000, dust_bps: 500}\n"
    return make_policy(
        ("  limit: {alone_ppm: 0,", "  limit: {alone_ppm: 500,"),
        (drains, drains + "".join(f"  {line}\n" for line in lines)),
    )


FLASH = "flash_loan: {fee_bps: 100, least_bps: 100}"


def level(policy: DetectionPolicy, *found: tuple[str, Family]) -> Level | None:
    evidence = [
        Weighed(
            evidence=Evidence(detector=name, family=family, score=1, summary="because"), p_value=Ppb(1_000)
        )
        for name, family in found
    ]
    common = Ppb(100_000_000)
    past = StrangePast(window=1_000, common=common)
    reached, _ = compute_level(
        evidence, compute_strangeness(evidence, common), policy=policy, past=past, weigh=lambda _: ()
    )
    return reached


def test_a_flash_loan_alone_is_an_alert_where_another_detector_alone_would_limit() -> None:
    policy = policy_with(FLASH)

    assert policy.quiet_alone == {"flash_loan"}
    assert level(policy, ("flash_loan", Family.VALUE)) is Level.ALERT
    assert level(policy, ("balance_drain", Family.VALUE)) is Level.LIMIT
    assert level(policy, ("flash_loan", Family.VALUE), ("balance_drain", Family.VALUE)) is Level.LIMIT


def test_a_flash_loan_that_another_family_agrees_with_counts_in_full() -> None:
    agreed = level(policy_with(FLASH), ("flash_loan", Family.VALUE), ("novel_flow", Family.FLOW))

    assert agreed is Level.FREEZE


@pytest.mark.parametrize("detector", [FlashLoan, InterfaceProbing])
def test_noisy_patterns_do_not_brake_alone(detector: type[Detector]) -> None:
    assert not detector.brakes_alone
    assert SlowDrain.brakes_alone


def test_a_loan_is_told_by_token_and_lender() -> None:
    assert find_loans(loan(repaid=1_000, taken=500), Bps(100)) == ((SHARE, LENDER),)
    assert COIN not in {token for token, _ in find_loans(loan(repaid=1_000, taken=500), Bps(100))}


@pytest.mark.parametrize(
    ("learned", "fresh", "next_one"),
    [
        (
            slow_drain(deposit(1_000, block=1), withdrawal(300, block=1_000)),
            slow_drain(),
            withdrawal(300, block=1_001),
        ),
        (flash_loan(), FlashLoan(fee_bps=Bps(100), least_bps=Bps(100)), loan(repaid=1_000, taken=500)),
        (
            probing(borrowing(7, block=50)),
            InterfaceProbing(rare_calls=3, least_times=1_000, blocks=100),
            borrowing(7_000, block=60),
        ),
    ],
    ids=["slow_drain", "flash_loan", "interface_probing"],
)
def test_learned_state_is_taken_back_as_it_was_given(
    learned: Detector, fresh: Detector, next_one: TransactionTrace
) -> None:
    expected = score(learned, next_one)

    fresh.restore(json.loads(json.dumps(learned.state())))

    assert expected > 0
    assert score(fresh, next_one) == expected
    assert fresh.state() == learned.state()


@pytest.mark.parametrize("wrong", [None, "text", [1, "x"], {"x": 1}, {"watched": [7]}])
@pytest.mark.parametrize("make", [slow_drain, flash_loan, probing])
def test_a_state_of_another_shape_is_refused(make: Callable[[], Detector], wrong: object) -> None:
    with pytest.raises(ValueError, match=r"[Ee]xpected|missing"):
        make().restore(wrong)
