"""The pieces under the series detectors: arithmetic, baseline, CUSUM, tail, reference, budget, periods."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber, Seconds
from node.detect.evidence import CERTAIN, Ppb
from node.detect.series.baseline import RobustEwma
from node.detect.series.budget import PERIODS, AlarmBudget, Scope, parse_budget
from node.detect.series.cusum import Cusum, Side
from node.detect.series.fixed import ONE, Micro, compute_entropy, compute_log2, compute_median
from node.detect.series.reference import Reference
from node.detect.series.sample import How, Periods, Sample
from node.detect.series.tail import FURTHEST, TailPast, fit_tail
from tests.detect.series import make_sample

# ---------------------------------------------------------------------- arithmetic


@given(st.integers(min_value=1, max_value=2**512))
def test_the_logarithm_is_that_of_the_standard_library_to_two_millionths(value: int) -> None:
    assert compute_log2(value) == pytest.approx(math.log2(value) * ONE, abs=2)


@given(st.integers(min_value=0, max_value=511))
def test_powers_of_two_have_whole_logarithms(exponent: int) -> None:
    assert compute_log2(1 << exponent) == exponent * ONE


@pytest.mark.parametrize("value", [0, -1])
def test_no_logarithm_is_taken_of_what_has_none(value: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        compute_log2(value)


def test_the_median_of_an_even_number_is_the_lower_one() -> None:
    assert compute_median([4, 1, 9]) == 4
    assert compute_median([9, 4, 1, 8]) == 4
    with pytest.raises(ValueError, match="nothing"):
        compute_median([])


@pytest.mark.parametrize(
    ("parts", "entropy"), [([5, 5], 1_000_000), ([7, 0], 0), ([3, 1], 811_278), ([10**30] * 3, 1_000_000)]
)
def test_entropy_is_one_for_equal_parts_and_nothing_for_a_single_one(parts: list[int], entropy: int) -> None:
    assert compute_entropy(parts) == pytest.approx(entropy, abs=5)


@pytest.mark.parametrize("parts", [[1], [0, 0], [-1, 2]])
def test_there_is_no_entropy_of_less_than_two_parts_of_something(parts: list[int]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        compute_entropy(parts)


# ---------------------------------------------------------------------- baseline and CUSUM


def make_baseline(**changes: int) -> RobustEwma:
    return RobustEwma(**({"memory": 100, "clip": 4, "least_deviation": 1, "warmup": 10} | changes))


def test_a_baseline_says_nothing_before_it_has_learned() -> None:
    baseline = make_baseline()
    for _ in range(9):
        baseline.learn(100)
        assert baseline.deviation_of(500) is None
    baseline.learn(100)

    assert baseline.deviation_of(103) == 3 * ONE


def test_a_baseline_learns_mean_and_mean_absolute_residual() -> None:
    baseline = make_baseline()
    for place in range(1_000):
        baseline.learn(1_000 + (10 if place % 2 else -10))

    assert baseline.mean in {999, 1_000}
    assert baseline.deviation_of(1_050) == pytest.approx(5 * ONE, rel=0.02)


def test_one_huge_value_moves_a_baseline_by_no_more_than_the_clip() -> None:
    baseline, twin = make_baseline(), make_baseline()
    for place in range(1_000):
        for each in (baseline, twin):
            each.learn(1_000 + (10 if place % 2 else -10))

    baseline.learn(10**60)
    twin.learn(1_000 + 4 * 10)

    assert baseline.state() == pytest.approx(twin.state(), rel=0.001)


def test_a_lasting_change_becomes_usual() -> None:
    baseline = make_baseline()
    for value in [100] * 200 + [150] * 5_000:
        baseline.learn(value)

    assert baseline.mean in {149, 150}


def test_cusum_adds_up_small_shifts_and_forgets_noise() -> None:
    noise, shift = (Cusum(slack=Micro(ONE // 2), side=Side.UP) for _ in range(2))

    sums = [
        (noise.add(Micro(ONE if n % 2 else -ONE), BlockNumber(n)), shift.add(ONE, BlockNumber(n)))
        for n in range(100)
    ]

    assert max(each for each, _ in sums) == ONE // 2
    assert sums[-1][1] == 100 * (ONE - ONE // 2)
    assert shift.since == 0


def test_cusum_knows_where_a_shift_began() -> None:
    cusum = Cusum(slack=Micro(0), side=Side.UP)
    for number, residual in enumerate([-ONE, ONE, -2 * ONE, ONE, ONE]):
        cusum.add(Micro(residual), BlockNumber(number))

    assert cusum.since == 3


@pytest.mark.parametrize(("side", "sums"), [(Side.UP, (5, 0)), (Side.DOWN, (0, 5)), (Side.BOTH, (5, 5))])
def test_cusum_counts_the_sides_that_it_is_told_to(side: Side, sums: tuple[int, int]) -> None:
    for sign, total in zip((1, -1), sums, strict=True):
        cusum = Cusum(slack=Micro(0), side=side)
        for number in range(5):
            last = cusum.add(Micro(sign * ONE), BlockNumber(number))
        assert last == total * ONE


def test_cusum_begins_anew_after_a_reset() -> None:
    cusum = Cusum(slack=Micro(0), side=Side.BOTH)
    cusum.add(Micro(7 * ONE), BlockNumber(1))
    cusum.reset()

    assert cusum.add(ONE, BlockNumber(2)) == ONE
    assert cusum.since == 2


# ---------------------------------------------------------------------- tail


@pytest.mark.parametrize("shape", [0.1, 0.3, 0.6])
def test_the_fitted_tail_is_near_the_true_one_and_near_the_likelihoods(shape: float) -> None:
    count, scale = 2_000, 50_000
    quantiles = [(place - 0.35) / count for place in range(1, count + 1)]
    peaks = [1_000 + int(genpareto.ppf(q, shape, scale=scale)) for q in quantiles]

    tail = fit_tail(peaks, threshold=1_000, points=100_000)
    by_likelihood = genpareto.fit([peak - 1_000 for peak in peaks], floc=0)

    assert float(tail.shape) == pytest.approx(shape, abs=0.05)
    assert float(tail.scale) == pytest.approx(scale, rel=0.1)
    assert float(tail.shape) == pytest.approx(by_likelihood[0], abs=0.06)
    assert float(tail.scale) == pytest.approx(by_likelihood[2], rel=0.1)


@pytest.mark.parametrize("score", [1_001, 40_000, 400_000, 4_000_000])
def test_a_tails_p_value_is_the_pareto_laws(score: int) -> None:
    peaks = [1_000 + int(genpareto.ppf(place / 200, 0.4, scale=30_000)) for place in range(1, 200)]

    tail = fit_tail(peaks, threshold=1_000, points=10_000)

    survival = genpareto.sf(score - 1_000, float(tail.shape), scale=float(tail.scale))
    assert tail.p_value(score) == pytest.approx(0.0199 * survival * CERTAIN, rel=1e-6, abs=1)


def test_a_tail_that_seems_to_end_counts_as_exponential() -> None:
    peaks = [1_000 + 10 * place for place in range(1, 101)]  # uniform: its shape is -1

    tail = fit_tail(peaks, threshold=1_000, points=5_000)

    assert tail.shape == 0
    assert tail.p_value(2_001) > 1
    assert tail.p_value(3_000) < tail.p_value(2_001)


def learned_past(scores: int, *, seed: int) -> tuple[TailPast, Random]:
    random, past = Random(seed), TailPast(scores)
    for _ in range(scores):
        past.learn(_draw(random))
    return past, random


def _draw(random: Random) -> int:
    return int(1_000_000 * random.lognormvariate(0, 0.8))


def test_false_alarms_keep_to_the_p_value_that_was_asked_for() -> None:
    p_values: list[Ppb] = []
    for seed in range(1, 4):
        past, random = learned_past(10_000, seed=seed)
        for _ in range(20_000):
            score = _draw(random)
            p_values.append(past.p_value(score))
            past.learn(score)

    assert 36 <= sum(p <= CERTAIN // 1_000 for p in p_values) <= 90  # 60 are due
    assert sum(p <= CERTAIN // 10_000 for p in p_values) <= 14  # 6 are due
    assert sum(p <= CERTAIN // 1_000_000 for p in p_values) == 0


def test_a_score_far_beyond_the_past_is_rarer_than_the_past_is_long_but_never_beyond_bounds() -> None:
    past, _ = learned_past(10_000, seed=4)

    assert past.p_value(10**9) < CERTAIN // 10_000
    assert past.p_value(10**30) == pytest.approx(CERTAIN // (10_000 * FURTHEST), rel=0.1)
    assert past.p_value(10**30) >= CERTAIN // (10_000 * FURTHEST)


def test_a_short_past_has_no_tail_to_go_by() -> None:
    past, _ = learned_past(1_000, seed=5)

    assert past.p_value(10**30) == -(-CERTAIN // 1_001)


def test_equal_scores_are_no_tail() -> None:
    past = TailPast(10_000)
    for _ in range(10_000):
        past.learn(5)

    assert past.p_value(6) == -(-CERTAIN // 10_001)


def test_peaks_that_hang_together_count_as_one_event() -> None:
    apart, together = TailPast(1_000), TailPast(1_000)
    for place in range(1_000):
        apart.learn(5 if place % 100 == 0 else 0)
        together.learn(5 + place if place < 10 else 0)

    assert apart.p_value(6) == -(-CERTAIN // 1_001)
    assert together.p_value(20) == pytest.approx(10 * CERTAIN / 1_001, abs=10)


def test_runs_older_than_the_window_are_forgotten() -> None:
    past = TailPast(100)
    for place in range(300):
        past.learn(5 if place < 10 else 0)

    assert past.p_value(6) == -(-CERTAIN // 101)


def test_false_alarms_of_a_series_that_hangs_together_keep_to_the_p_value() -> None:
    past, random, level, p_values = TailPast(10_000), Random(11), 0.0, []
    for place in range(40_000):
        level = 0.98 * level + random.gauss(0, 1)  # what is high stays so for some fifty points
        score = max(0, int(1_000_000 * level))
        if place >= 10_000 and score:
            p_values.append(past.p_value(score))
        past.learn(score)

    assert sum(p <= CERTAIN // 1_000 for p in p_values) <= 60  # 30 points are due, in swarms
    assert sum(p <= CERTAIN // 100_000 for p in p_values) == 0


# ---------------------------------------------------------------------- reference


def make_reference() -> Reference:
    return Reference(memory=500, clip=4, least_deviation=1_000, warmup=50)


def followed(reference: Reference, *, own: float, points: int = 3_000) -> None:
    """A signal that follows its market, with noise of its own."""
    random = Random(7)
    for _ in range(points):
        market = random.gauss(0, 100_000)
        reference.learn(int(market + random.gauss(0, own)), [int(market)] * 3)


def test_a_market_move_is_explained_and_what_goes_beyond_is_left() -> None:
    reference = make_reference()
    followed(reference, own=50_000)

    assert abs(reference.explain(3_000_000, [3_000_000] * 3)) < 50_000
    assert reference.explain(5_000_000, [3_000_000] * 3) == pytest.approx(2_000_000, abs=50_000)


def test_without_a_market_move_everything_is_left() -> None:
    reference = make_reference()
    followed(reference, own=50_000)

    assert reference.explain(3_000_000, [0, 0, 0]) == pytest.approx(3_000_000, abs=50_000)


def test_a_falling_market_does_not_excuse_a_rising_signal() -> None:
    reference = make_reference()
    followed(reference, own=50_000)

    assert reference.explain(3_000_000, [-3_000_000] * 3) >= 3_000_000


def test_one_reference_of_three_explains_nothing() -> None:
    reference = make_reference()
    followed(reference, own=50_000)

    assert reference.explain(3_000_000, [0, 3_000_000, 0]) == pytest.approx(3_000_000, abs=50_000)


def test_the_slope_is_learned() -> None:
    reference = make_reference()
    random = Random(8)
    for _ in range(5_000):
        market = int(random.gauss(0, 100_000))
        reference.learn(2 * market, [market])

    assert reference.slope == pytest.approx(2 * ONE, rel=0.05)


def test_a_crash_is_not_learned_while_it_lasts() -> None:
    reference, twin = make_reference(), make_reference()
    for each in (reference, twin):
        followed(each, own=50_000)

    learned = [reference.learn(3_000_000, [3_000_000] * 3) for _ in range(160)]

    assert learned.count(True) == 10


# ---------------------------------------------------------------------- budget


@pytest.mark.parametrize(
    ("sentence", "seconds", "rules", "p_value"),
    [
        # a year of 365.25 days has 2 629 800 blocks of 12 seconds
        ("at most one false pause per year and rule", 12, 10, 380),
        ("at most one false pause per year for all rules", 12, 10, 38),
        ("at most two false alerts per week and rule", 12, 1, 39_682),
        ("At most 12  false limits per year and rule", 3_600, 4, 1_368_925),
        ("at most one false freeze per hour and rule", 12, 1, 3_333_333),
    ],
)
def test_a_budget_becomes_the_p_value_of_one_judgement(
    sentence: str, seconds: int, rules: int, p_value: int
) -> None:
    assert parse_budget(sentence).p_value(seconds_per_point=Seconds(seconds), rules=rules) == p_value


@given(
    count=st.integers(min_value=1, max_value=50),
    level=st.sampled_from(Level),
    period=st.sampled_from(list(PERIODS)),
    scope=st.sampled_from(Scope),
)
def test_a_budget_is_read_as_it_is_written(count: int, level: Level, period: str, scope: Scope) -> None:
    budget = AlarmBudget(count=count, level=level, period=period, scope=scope)

    assert parse_budget(str(budget)) == budget


def test_the_points_of_a_period_at_the_p_value_come_to_no_more_alarms_than_the_budget() -> None:
    for sentence in (
        "at most one false limit per week for all rules",
        "at most 5 false alerts per day and rule",
    ):
        budget = parse_budget(sentence)
        cut = budget.p_value(seconds_per_point=Seconds(12), rules=7)
        judgements = PERIODS[budget.period] // 12 * (7 if budget.scope is Scope.ALL else 1)

        assert cut * judgements <= budget.count * CERTAIN < (cut + 1) * (judgements + 7)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "one false pause per year",
        "at most one false pause per year",
        "at most zero false pauses per year and rule",
        "at most 0 false pauses per year and rule",
        "at most one false panic per year and rule",
        "at most one false pause per decade and rule",
        "at most one false pause per year and rule or so",
    ],
)
def test_a_sentence_that_is_no_budget_is_refused_with_an_example(sentence: str) -> None:
    with pytest.raises(Refused, match="at most one false pause per year and rule") as refused:
        parse_budget(sentence)

    assert refused.value.reason is Reason.POLICY_INVALID


def test_a_budget_that_no_past_can_show_is_refused() -> None:
    budget = parse_budget("at most one false pause per year for all rules")

    with pytest.raises(Refused, match="judge by the hour"):
        budget.p_value(seconds_per_point=Seconds(1), rules=64)


def test_a_budget_that_forbids_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="at every point"):
        parse_budget("at most 300 false alerts per hour and rule").p_value(
            seconds_per_point=Seconds(12), rules=1
        )


# ---------------------------------------------------------------------- samples and periods


def test_a_value_that_is_no_integer_is_refused() -> None:
    for value in (1.5, True, "7"):
        with pytest.raises(Refused, match="fixed-point") as refused:
            make_sample(1, {"price": value})  # type: ignore[dict-item]
        assert refused.value.reason is Reason.WRONG_TYPE


def test_a_value_beyond_the_bound_is_refused() -> None:
    make_sample(1, {"price": 2**512 - 1})
    for value in (2**512, -(2**512)):
        with pytest.raises(Refused, match="513 bits") as refused:
            make_sample(1, {"price": value})
        assert refused.value.reason is Reason.OUT_OF_RANGE


HOURS = {"volume": How.SUM, "price": How.LAST, "gap": How.MOST}


def gather(samples: list[Sample]) -> list[tuple[int, dict[str, int]]]:
    periods = Periods(seconds=Seconds(60), how=HOURS)
    made = [periods.add(sample) for sample in samples]
    return [(each.block_number, dict(each.values)) for each in made if each is not None]


def blocks(numbers: range, **missing: int) -> list[Sample]:
    """Five blocks a minute; `price=12` leaves the price out at block 12."""
    return [
        make_sample(
            n,
            {
                name: value
                for name, value in {"volume": n, "price": 100 + n, "gap": -n}.items()
                if missing.get(name) != n
            },
        )
        for n in numbers
    ]


def test_a_period_sums_what_flows_and_keeps_the_last_of_what_stands() -> None:
    assert gather(blocks(range(4, 16))) == [
        (9, {"volume": 5 + 6 + 7 + 8 + 9, "price": 109, "gap": -5}),
        (14, {"volume": 60, "price": 114, "gap": -10}),
    ]


def test_a_period_that_samples_began_in_the_middle_of_is_left_out() -> None:
    assert [number for number, _ in gather(blocks(range(7, 16)))] == [14]


def test_a_period_with_a_missing_block_is_left_out() -> None:
    samples = blocks(range(4, 12)) + blocks(range(13, 21))

    assert [number for number, _ in gather(samples)] == [9, 19]


def test_a_series_that_was_unknown_at_a_block_is_unknown_for_the_period() -> None:
    ((_, values), _) = gather(blocks(range(4, 16), price=7))

    assert set(values) == {"volume", "gap"}


def test_p_values_keep_their_type() -> None:
    assert isinstance(TailPast(100).p_value(1), int)
    assert TailPast(100).p_value(1) == Ppb(CERTAIN)
