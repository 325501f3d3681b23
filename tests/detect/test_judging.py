"""Calibration, fusion, the watch: confidence grows with what was learned, the future tells nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import Level
from consensus.errors import Reason, Refused
from node.detect.calibration import Calibration
from node.detect.evidence import CERTAIN, Evidence, Family, Judgement, Ppb, Weighed
from node.detect.fusion import StrangePast, combine, compute_level, compute_strangeness
from node.detect.policy import read_detection_policy
from node.detect.watch import Watch
from node.trace import TransactionTrace
from tests.detect.policies import GENERAL, make_policy
from tests.detect.traces import (
    BORROW,
    DEPOSIT,
    REPAY,
    USER,
    VAULT,
    WITHDRAW,
    call,
    deposit,
    make_transaction,
    read,
    transfer,
    withdrawal,
    write,
)

COMMON = Ppb(CERTAIN // 10)

# ---------------------------------------------------------------------- calibration


def calibrated(scores: Sequence[int], window: int = 1_000) -> Calibration:
    calibration = Calibration(window)
    for score in scores:
        calibration.learn(score)
    return calibration


def test_a_p_value_is_the_share_that_scored_as_high_and_oneself() -> None:
    calibration = calibrated([0, 5, 0, 9, 5, 0, 0, 0, 0])

    assert calibration.p_value(10) == CERTAIN // 10
    assert calibration.p_value(9) == 2 * CERTAIN // 10
    assert calibration.p_value(5) == 4 * CERTAIN // 10
    assert calibration.p_value(1) == 4 * CERTAIN // 10


def test_nothing_learned_means_nothing_is_strange() -> None:
    assert Calibration(1_000).p_value(10**6) == CERTAIN


def test_a_p_value_is_rounded_up() -> None:
    assert calibrated([0, 0]).p_value(1) == CERTAIN // 3 + 1


def test_scores_older_than_the_window_are_forgotten() -> None:
    calibration = calibrated([7] + [0] * 9, window=9)

    assert calibration.p_value(7) == CERTAIN // 10
    assert calibrated([7] + [0] * 8, window=9).p_value(7) == 2 * CERTAIN // 10


@given(scores=st.lists(st.integers(0, 20), max_size=60), window=st.integers(1, 40), score=st.integers(1, 20))
def test_a_p_value_is_what_counting_the_last_scores_gives(scores: list[int], window: int, score: int) -> None:
    recent = scores[-window:]
    expected = -(-(1 + sum(each >= score for each in recent)) * CERTAIN // (len(recent) + 1))

    assert calibrated(scores, window).p_value(score) == expected


# ---------------------------------------------------------------------- fusion


@pytest.mark.parametrize("p_values", [[0.01], [0.01, 0.01], [0.5, 0.002, 0.07], [1e-6] * 4, [1.0, 1.0]])
def test_combining_what_was_never_cut_off_is_fishers_method(p_values: list[float]) -> None:
    product = math.prod(p_values)
    expected = product * sum((-math.log(product)) ** j / math.factorial(j) for j in range(len(p_values)))

    combined = combine(tuple(Ppb(round(p * CERTAIN)) for p in p_values), CERTAIN)

    assert combined == pytest.approx(max(1, expected * CERTAIN), abs=1)


def test_combining_is_the_area_below_the_product_within_the_cut() -> None:
    """Counted on a grid: of all pairs of p-values, which are both below a tenth and so small in product?"""
    steps, product = 2_000, 0.02 * 0.03
    # For each first p-value up to 0.1, the second may be up to product / first, and no more than 0.1.
    area = sum(min(0.1, product / ((n + 0.5) / steps * 0.1)) for n in range(steps)) * 0.1 / steps

    combined = combine((Ppb(20_000_000), Ppb(30_000_000)), COMMON)

    assert combined == pytest.approx(area * CERTAIN, rel=0.001)


def test_combining_nothing_is_certain() -> None:
    assert combine((), COMMON) == CERTAIN


def weighed(detector: str, family: Family, p_ppm: int, score: int = 1) -> Weighed:
    evidence = Evidence(detector=detector, family=family, score=score, summary="because")
    return Weighed(evidence=evidence, p_value=Ppb(p_ppm * 1_000))


def test_within_a_family_the_strongest_counts_once() -> None:
    alone = [weighed("novel_flow", Family.FLOW, 900)]
    twins = [*alone, weighed("contract_caller", Family.FLOW, 5_000)]

    assert compute_strangeness(twins, COMMON) == compute_strangeness(alone, COMMON) == 900_000


def test_common_evidence_counts_for_nothing() -> None:
    assert compute_strangeness([weighed("balance_drain", Family.VALUE, 100_001)], COMMON) == CERTAIN


def level_of(*evidence: Weighed, past: StrangePast | None = None) -> Level | None:
    policy = make_policy()
    found, reason = compute_level(
        evidence,
        compute_strangeness(evidence, COMMON),
        policy=policy,
        past=past or StrangePast(window=1_000, common=COMMON),
        weigh=lambda each: tuple(weighed(one.detector, one.family, 1) for one in each),
    )
    assert bool(reason) is (found is not None)
    return found


FLOW = weighed("novel_flow", Family.FLOW, 5_000)
VALUE = weighed("balance_drain", Family.VALUE, 5_000, score=4_000)
NESTING = weighed("reentrancy", Family.NESTING, 5_000)


def test_one_family_alerts_two_limit_and_three_pause() -> None:
    assert level_of() is None
    assert level_of(FLOW) is Level.ALERT
    assert level_of(FLOW, VALUE) is Level.FREEZE  # 25 ppm · (1 + ln 400) = 175 ppm
    assert level_of(weighed("novel_flow", Family.FLOW, 30_000), VALUE) is Level.LIMIT  # 780 ppm
    assert level_of(FLOW, VALUE, NESTING) is Level.PAUSE  # 0.125 ppm · (1 + 9 + 40.4) = 6.3 ppm


def test_one_family_however_strange_does_not_pause() -> None:
    assert level_of(weighed("novel_flow", Family.FLOW, 1)) is Level.ALERT


def test_hard_evidence_pauses_whatever_the_budget() -> None:
    nesting = weighed("reentrancy", Family.NESTING, 90_000)

    assert level_of(nesting, weighed("balance_drain", Family.VALUE, 90_000, score=9_000)) is Level.PAUSE
    assert level_of(nesting, weighed("balance_drain", Family.VALUE, 90_000, score=8_999)) is Level.ALERT


def test_hard_evidence_that_is_common_here_is_not_hard() -> None:
    common = weighed("balance_drain", Family.VALUE, 100_001, score=9_999)

    assert level_of(weighed("reentrancy", Family.NESTING, 90_000), common) is None


def test_agreement_that_benign_transactions_showed_before_reaches_no_level() -> None:
    past = StrangePast(window=1_000, common=COMMON)
    for n in range(40):
        past.learn([FLOW.evidence, VALUE.evidence] if n == 20 else [])

    assert level_of(FLOW, VALUE, past=past) is None
    assert level_of(FLOW, VALUE) is Level.FREEZE


def test_what_a_protocol_did_at_its_birth_does_not_excuse_it_later() -> None:
    past = StrangePast(window=1_000, common=COMMON)
    for n in range(40):
        past.learn([FLOW.evidence, VALUE.evidence] if n < 9 else [])

    assert level_of(FLOW, VALUE, past=past) is Level.FREEZE


# ---------------------------------------------------------------------- watch


def theft(block: int, units: int = 30_000) -> TransactionTrace:
    return make_transaction(
        call(WITHDRAW, span=(10, 90), accesses=[read(7), write(7)]),
        call(WITHDRAW, span=(20, 80), accesses=[read(7), write(7)]),
        transfers=[transfer(units, sender=VAULT, receiver=USER)],
        block=block,
    )


def quiet(transactions: int) -> list[TransactionTrace]:
    return [deposit(1_000, block=n) if n % 3 else withdrawal(10, block=n) for n in range(1, transactions + 1)]


def trained(transactions: int, watch: Watch | None = None) -> Watch:
    watch = watch or Watch(make_policy())
    for transaction in quiet(transactions):
        watch.learn(transaction)
    return watch


def test_a_theft_after_a_quiet_life_pauses_and_says_why() -> None:
    judgement = trained(40).judge(theft(100))

    assert judgement.level is Level.PAUSE
    assert {each.evidence.detector for each in judgement.evidence} == {
        "novel_flow",
        "reentrancy",
        "balance_drain",
    }
    assert judgement.reason == "hard evidence: emptied"


def test_a_quiet_life_that_goes_on_is_left_alone() -> None:
    watch = trained(40)

    assert [watch.judge(each).level for each in quiet(80)[40:]] == [None] * 40


def test_with_little_learned_the_same_theft_is_not_acted_on() -> None:
    assert trained(5).judge(theft(100)).level is None


def test_confidence_grows_with_what_was_learned() -> None:
    strangeness = [trained(n).judge(theft(1_000, 10**9)).strangeness for n in (20, 40, 80, 160)]

    assert strangeness == sorted(strangeness, reverse=True)
    assert len(set(strangeness)) == 4


def test_what_was_learned_from_is_not_scored() -> None:
    watch = trained(40)

    with pytest.raises(Refused, match="a span that was learned from is not scored") as caught:
        watch.judge(deposit(block=40))

    assert caught.value.reason is Reason.OUT_OF_ORDER


def test_nothing_is_learned_by_hand_once_judging_began() -> None:
    watch = trained(10)
    watch.judge(deposit(block=11))

    with pytest.raises(Refused, match="learn the whole training span first"):
        watch.learn(deposit(block=12))


def test_a_transaction_out_of_order_is_refused() -> None:
    watch = trained(10)

    with pytest.raises(Refused):
        watch.learn(deposit(block=10))


def novelty(block: int) -> TransactionTrace:
    return make_transaction(call(BORROW), block=block)


def has_evidence(judgement: Judgement) -> bool:
    return bool(judgement.evidence)


def test_what_was_judged_becomes_usual_only_after_it_settled() -> None:
    watch = trained(40, Watch(make_policy(("settle_blocks: 0", "settle_blocks: 50"))))

    seen = [has_evidence(watch.judge(novelty(block))) for block in (100, 149, 150, 151)]

    assert seen == [True, True, False, False]


def test_what_asked_for_a_brake_never_becomes_usual() -> None:
    watch = trained(40)

    watch.judge(theft(100))
    watch.judge(deposit(31_000, block=150))

    assert watch.judge(theft(200)).level is Level.PAUSE


SHAPES = st.sampled_from(["deposit", "withdraw", "borrow", "nested", "loop"])


def shape(kind: str, units: int, block: int) -> TransactionTrace:
    if kind == "deposit":
        return deposit(units, block=block)
    if kind == "withdraw":
        return withdrawal(units, block=block)
    if kind == "borrow":
        return make_transaction(
            call(BORROW, accesses=[read(3), write(3, units)]),
            call(REPAY, span=(30, 40), accesses=[read(3), write(4)]),
            transfers=[transfer(units, sender=VAULT, receiver=USER), transfer(units // 2)],
            block=block,
        )
    if kind == "nested":
        return make_transaction(call(WITHDRAW, span=(10, 90)), call(DEPOSIT, span=(20, 80)), block=block)
    return make_transaction(
        *(call(WITHDRAW, span=(9 * n, 9 * n + 5)) for n in range(units % 12)), block=block
    )


LIVES = st.lists(st.tuples(SHAPES, st.integers(1, 10**6)), min_size=2, max_size=40)


def life_of(life: list[tuple[str, int]], *, from_block: int = 1) -> list[TransactionTrace]:
    return [shape(kind, units, from_block + 30 * n) for n, (kind, units) in enumerate(life)]


def judge_life(
    learned: list[TransactionTrace], judged: list[TransactionTrace]
) -> tuple[list[Judgement], bytes]:
    watch = Watch(read_detection_policy(GENERAL))
    for transaction in learned:
        watch.learn(transaction)
    return [watch.judge(transaction) for transaction in judged], watch.state_hash()


@given(life=LIVES, cut=st.data())
@settings(max_examples=60, deadline=None)
def test_a_judgement_depends_on_nothing_that_comes_later(
    life: list[tuple[str, int]], cut: st.DataObject
) -> None:
    transactions = life_of(life)
    half = len(transactions) // 2
    end = cut.draw(st.integers(half, len(transactions)))
    altered = transactions[:end] + life_of([("loop", 11)] * 5, from_block=transactions[-1].block_number + 1)

    whole, _ = judge_life(transactions[:half], transactions[half:])
    other, _ = judge_life(altered[:half], altered[half:])

    assert whole[: end - half] == other[: end - half]


@given(life=LIVES)
@settings(max_examples=40, deadline=None)
def test_two_watches_of_one_life_judge_and_hash_alike(life: list[tuple[str, int]]) -> None:
    transactions = life_of(life)
    half = len(transactions) // 2

    assert judge_life(transactions[:half], transactions[half:]) == judge_life(
        transactions[:half], transactions[half:]
    )


@given(life=LIVES)
@settings(max_examples=40, deadline=None)
def test_what_changes_a_later_judgement_shows_in_the_state_hash(life: list[tuple[str, int]]) -> None:
    transactions = life_of(life)
    altered = [*transactions[:-1], shape("loop", 11, transactions[-1].block_number)]
    later = shape("loop", 11, 10**6)

    (*_, judged), before = judge_life(transactions, [later])
    (*_, other), other_before = judge_life(altered, [later])

    assert judged == other or before != other_before
