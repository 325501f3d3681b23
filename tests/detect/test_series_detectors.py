"""Every series detector: one true case, one near miss, one benign; what it says, and that it forgets over
a gap."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random

import pytest

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import Bps
from node.detect.series.abnormal_volume import AbnormalVolume
from node.detect.series.bad_debt import BadDebt, Position, compute_bad_debt
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.concentration import Concentration
from node.detect.series.depeg import Depeg
from node.detect.series.detector import SeriesDetector
from node.detect.series.drift import Drift
from node.detect.series.finding import Basis, Finding, Hint, Proposal
from node.detect.series.fixed import ONE
from node.detect.series.hourly_volume import HourlyVolume
from node.detect.series.oracle_deviation import OracleDeviation, compute_deviation
from node.detect.series.risk_steps import RiskSteps
from node.detect.series.utilisation_shift import UtilisationShift, compute_utilisation
from tests.detect.series import play

Readings = Sequence[Mapping[str, int | Sequence[int]]]


def findings(detector: SeriesDetector, readings: Readings) -> list[tuple[int, Finding]]:
    """At which readings it found something, and what."""
    return [(place, each) for place, each in enumerate(play(detector, readings)) if isinstance(each, Finding)]


# ---------------------------------------------------------------------- 4: abnormal volume


def volume_detector() -> AbnormalVolume:
    return AbnormalVolume(memory=500, warmup=100, least_deviation=10_000)


def volumes(count: int, *last: int) -> list[dict[str, int]]:
    random = Random(1)
    usual = [int(10**9 * random.lognormvariate(0, 0.3)) for _ in range(count)]
    return [{"value": each} for each in (*usual, *last)]


def test_abnormal_volume_scores_a_surge_far_above_all_that_was_usual() -> None:
    *usual, (place, surge) = findings(volume_detector(), volumes(1_000, 100 * 10**9))

    assert place == 1_000
    assert surge.score > 3 * max(each.score for _, each in usual)
    assert "100000000000" in surge.summary
    told = re.search(r"usually about (\d+):", surge.summary)
    assert told
    assert int(told[1]) == pytest.approx(10**9, rel=0.15)


def test_abnormal_volume_scores_a_busy_block_no_higher_than_others() -> None:
    *usual, (_, busy) = findings(volume_detector(), volumes(1_000, 2 * 10**9))

    assert busy.score < max(each.score for _, each in usual)


def test_abnormal_volume_says_nothing_of_a_quiet_block_or_an_empty_one() -> None:
    found = findings(volume_detector(), volumes(1_000, 5 * 10**8, 0, -7))

    assert max(place for place, _ in found) < 1_000


def test_abnormal_volume_takes_what_the_market_does_for_explained() -> None:
    calm = [{"value": 10**9, "references": [10**8] * 3}] * 300
    both = {"value": 10**10, "references": [10**9] * 3}
    alone = {"value": 10**10, "references": [10**8] * 3}

    *_, (_, found) = findings(volume_detector(), [*calm, alone])
    explained = findings(volume_detector(), [*calm, both])

    assert found.score > 100 * ONE
    assert max((each.score for _, each in explained), default=0) < ONE
    assert "beyond what the market explains" in found.summary


POINTS_OF_A_DAY = 288  # one each five minutes
PEAK = POINTS_OF_A_DAY // 2


def daily(points: Iterable[int], *, seed: int = 3) -> list[dict[str, int]]:
    """What is traded at these points: 50 times as much at noon as at midnight, and some noise."""
    random = Random(seed)

    def usual(point: int) -> float:
        return 10**6 * 50 ** ((1 - math.cos(2 * math.pi * point / POINTS_OF_A_DAY)) / 2)

    return [{"value": int(usual(point) * random.lognormvariate(0, 0.1))} for point in points]


def hourly_detector(days: int = 1) -> HourlyVolume:
    return HourlyVolume(days=days, memory=100, warmup=12, least_deviation=10_000)


def scores(detector: SeriesDetector, readings: Readings) -> list[int]:
    said = play(detector, readings, seconds=300)
    return [each.score if isinstance(each, Finding) else 0 for each in said]


@pytest.mark.parametrize("first_day", [5, 6])
def test_a_wave_that_comes_every_day_is_usual_and_its_height_at_the_wrong_hour_is_not(first_day: int) -> None:
    past = daily(range(first_day * POINTS_OF_A_DAY))
    day = daily(range(POINTS_OF_A_DAY), seed=9)
    midnight_surge = [*daily([PEAK]), *day[1:]]

    *_, before = sorted(scores(hourly_detector(), past))
    calm = max(scores(hourly_detector(), [*past, *day])[len(past) :])
    surged = scores(hourly_detector(), [*past, *midnight_surge])[len(past)]

    assert calm < 1.5 * before
    assert surged > 5 * before
    blind = AbnormalVolume(memory=1_000, warmup=100, least_deviation=10_000)
    seen = scores(blind, [*past, *midnight_surge])
    assert seen[len(past)] < max(seen[: len(past)]), "without a season noon has made it usual"


def test_a_season_of_a_week_tells_its_days_apart() -> None:
    quiet, busy = {"value": 10**6}, {"value": 10**9}
    week = [busy if point // POINTS_OF_A_DAY == 2 else quiet for point in range(7 * POINTS_OF_A_DAY)]
    weeks = [*week, *week, *week]

    again = scores(hourly_detector(days=7), [*weeks, *week])[len(weeks) :]
    moved = scores(hourly_detector(days=7), [*weeks, busy])[-1]

    assert max(again) == 0
    assert moved > 100 * ONE


def test_an_hour_that_has_not_been_learned_says_nothing() -> None:
    assert scores(hourly_detector(), [{"value": 10**9}] * 12) == [0] * 12


# ---------------------------------------------------------------------- 3: utilisation, bad debt


def utilisation_detector() -> UtilisationShift:
    return UtilisationShift(
        memory=500, warmup=100, least_deviation=5, slack_bps=Bps(10_000), interval=20, most_bps=Bps(9_500)
    )


def lent(shares_bps: Sequence[int]) -> list[dict[str, int]]:
    return [{"borrowed": 10**18 * share, "supplied": 10**22} for share in shares_bps]


def noise(count: int, *, around: int, spread: int, seed: int = 2) -> list[int]:
    random = Random(seed)
    return [around + int(random.gauss(0, spread)) for _ in range(count)]


def test_utilisation_that_creeps_up_is_found_and_its_begin_is_told() -> None:
    creeping = [6_000 + 12 * n for n in range(40)]

    (place, found), *_ = findings(
        utilisation_detector(), lent([*noise(500, around=6_000, spread=20), *creeping])
    )

    assert 503 <= place <= 520
    assert found.basis is Basis.LEARNED
    assert "since block 50" in found.summary


def test_utilisation_that_rises_less_than_the_slack_is_let_be() -> None:
    raised = noise(300, around=6_012, spread=20)  # 12 basis points more; a usual residual is 16

    assert findings(utilisation_detector(), lent([*noise(500, around=6_000, spread=20), *raised])) == []


def test_utilisation_that_swings_as_ever_or_falls_is_benign() -> None:
    falling = [6_000 - 12 * n for n in range(40)]

    assert findings(utilisation_detector(), lent([*noise(2_000, around=6_000, spread=20), *falling])) == []


def test_utilisation_that_rises_in_every_market_is_explained() -> None:
    usual = [
        {"borrowed": each, "supplied": 10_000, "references": [each + 300] * 3}
        for each in noise(500, around=6_000, spread=20)
    ]
    rising = [
        {"borrowed": 6_000 + 50 * n, "supplied": 10_000, "references": [6_300 + 50 * n] * 3}
        for n in range(40)
    ]
    alone = [each | {"references": [6_300] * 3} for each in rising]

    assert findings(utilisation_detector(), [*usual, *rising]) == []
    assert findings(utilisation_detector(), [*usual, *alone])


def test_utilisation_above_the_stated_bound_needs_no_past() -> None:
    (found,) = findings(utilisation_detector(), lent([9_501]))

    assert found[1].basis is Basis.STATED
    assert "the policy allows 9500" in found[1].summary
    assert findings(utilisation_detector(), lent([9_500])) == []


@pytest.mark.parametrize(
    ("borrowed", "supplied", "bps"), [(1, 2, 5_000), (0, 0, 0), (1, 0, 10_000), (-5, 10, 0)]
)
def test_utilisation_of_nothing_supplied_is_nothing_or_all(borrowed: int, supplied: int, bps: int) -> None:
    assert compute_utilisation(borrowed, supplied) == bps


def owed(*debts: int) -> list[dict[str, int]]:
    return [{"bad_debt": each, "supplied": 10_000} for each in debts]


def bad_debt_detector() -> BadDebt:
    return BadDebt(most_bps=Bps(10), points=3)


def test_bad_debt_that_stays_is_found_with_its_begin() -> None:
    found = findings(bad_debt_detector(), owed(0, 11, 12, 13, 14))

    assert [place for place, _ in found] == [3, 4]
    assert found[0][1].basis is Basis.STATED
    assert "since block 1" in found[0][1].summary


def test_bad_debt_that_liquidators_end_in_time_is_let_be() -> None:
    assert findings(bad_debt_detector(), owed(11, 12, 0, 11, 12, 10, 11)) == []


def test_bad_debt_within_the_bound_is_benign() -> None:
    assert findings(bad_debt_detector(), owed(*[10] * 20)) == []


def test_bad_debt_is_what_collateral_would_not_bring() -> None:
    positions = [
        Position(debt=90, collateral=100, threshold_bps=Bps(8_000)),  # 10 short
        Position(debt=70, collateral=100, threshold_bps=Bps(8_000)),
        Position(debt=5, collateral=0, threshold_bps=Bps(8_000)),
    ]

    assert compute_bad_debt(positions) == 15


# ---------------------------------------------------------------------- 5: oracle deviation


def oracle_detector() -> OracleDeviation:
    return OracleDeviation(most_bps=Bps(200), least_points=3, points=5)


def priced(
    *prices: int, references: Sequence[int] = (1_000, 990, 1_010)
) -> list[dict[str, int | Sequence[int]]]:
    return [{"price": each, "references": references} for each in prices]


def test_an_oracle_that_stays_off_the_others_is_found() -> None:
    found = findings(oracle_detector(), priced(1_000, 1_030, 1_000, 1_030, 1_030, 1_030))

    assert [place for place, _ in found] == [4, 5]
    assert found[0][1].score == 300
    assert "in 3 of the last 5 points" in found[0][1].summary


def test_an_oracle_that_is_off_now_and_then_is_let_be() -> None:
    assert findings(oracle_detector(), priced(*[1_030, 1_000, 1_000, 1_030, 1_000] * 5)) == []


def test_an_oracle_within_the_bound_is_benign() -> None:
    assert findings(oracle_detector(), priced(*[980, 1_020] * 20)) == []


def test_one_false_reference_makes_no_deviation() -> None:
    assert findings(oracle_detector(), priced(*[1_000] * 9, references=(1_000, 5, 1_001))) == []


@pytest.mark.parametrize(
    ("price", "median", "bps"), [(0, 100, 10_000), (7, 0, 10_000_000), (0, 0, 0), (2**200, 1, 10_000_000)]
)
def test_a_deviation_is_defined_for_prices_of_nothing(price: int, median: int, bps: int) -> None:
    assert compute_deviation(price, median) == bps


# ---------------------------------------------------------------------- 13: concentration


def concentration_detector() -> Concentration:
    return Concentration(
        memory=500, warmup=100, least_deviation=2, slack_bps=Bps(10_000), interval=20, most_bps=Bps(4_000)
    )


def held(*shares_bps: int) -> list[dict[str, int | Sequence[int]]]:
    return [{"holders": [300, share * 1, 200], "total": 10_000} for share in shares_bps]


def test_one_who_gathers_a_little_in_each_block_is_found() -> None:
    (place, found), *_ = findings(
        concentration_detector(), held(*[500] * 200, *[500 + 3 * n for n in range(60)])
    )

    assert 205 <= place <= 215
    assert "holder 2 of 3" in found.summary


def test_one_purchase_within_the_usual_is_let_be() -> None:
    assert findings(concentration_detector(), held(*[500] * 200, *[502] * 300)) == []


def test_holdings_that_come_and_go_are_benign() -> None:
    assert findings(concentration_detector(), held(*noise(2_000, around=500, spread=20, seed=3))) == []


def test_a_share_above_the_stated_bound_needs_no_past() -> None:
    ((_, found),) = findings(concentration_detector(), held(4_000, 4_001))

    assert (found.basis, found.score) == (Basis.STATED, 4_001)


# ---------------------------------------------------------------------- 18: depeg


def depeg_detector(most_bps: int = 8_000) -> Depeg:
    return Depeg(
        memory=500,
        warmup=100,
        least_deviation=500,
        slack_bps=Bps(10_000),
        interval=20,
        most_bps=Bps(most_bps),
    )


def pool(*shares_bps: int) -> list[dict[str, int | Sequence[int]]]:
    """A pool of two coins; the share is the first one's."""
    return [{"balances": [10**18 * share, 10**18 * (10_000 - share)]} for share in shares_bps]


USUAL_POOL = noise(500, around=5_000, spread=60, seed=4)
DUMPED = [5_000 + 20 * n for n in range(200)]  # a fifth of a percent in each block


def test_a_coin_that_is_dumped_is_found_by_entropy_long_before_the_share_is_reached() -> None:
    found = findings(depeg_detector(), pool(*USUAL_POOL, *DUMPED))

    by_cusum = next(place for place, each in found if each.basis is Basis.LEARNED)
    by_share = next(place for place, each in found if each.basis is Basis.STATED)

    assert by_cusum - 500 < 40
    assert by_share - 500 == 151


def test_a_large_swap_that_is_swapped_back_is_let_be() -> None:
    assert findings(depeg_detector(), pool(*USUAL_POOL, 5_200, 5_000, 4_980)) == []


def test_a_pool_in_balance_is_benign() -> None:
    assert findings(depeg_detector(), pool(*noise(2_000, around=5_000, spread=60, seed=5))) == []


def test_an_empty_pool_says_nothing() -> None:
    assert findings(depeg_detector(), [{"balances": [0, 0]}] * 3) == []


# ---------------------------------------------------------------------- 17: risk steps


def risk_detector() -> RiskSteps:
    return RiskSteps(fast=30, slow=2_000, warmup=300, step_bps=Bps(10_000), most_steps=3, calm_points=50)


def walked(*spreads_and_counts: tuple[float, int], seed: int = 6) -> list[dict[str, int]]:
    random, price, prices = Random(seed), 2_000.0, []
    for spread, count in spreads_and_counts:
        for _ in range(count):
            price *= 1 + random.gauss(0, spread)
            prices.append({"price": int(price * 10**8)})
    return prices


def steps(readings: Readings, detector: SeriesDetector | None = None) -> list[int]:
    proposed = play(detector or risk_detector(), readings)
    return [each.step for each in proposed if isinstance(each, Proposal)]


def test_risk_that_rises_tightens_at_once_and_relaxes_by_itself_step_by_step() -> None:
    proposed = steps(walked((0.001, 600), (0.008, 60), (0.001, 500)))
    changes = [(a, b) for a, b in pairwise(proposed) if a != b]

    assert max(proposed[:300]) == 0
    assert max(proposed) == 3
    assert proposed[-1] == 0
    assert all(after == before - 1 for before, after in changes if after < before)


def test_a_market_half_as_restless_again_makes_no_step() -> None:
    assert max(steps(walked((0.001, 600), (0.0014, 200)))) == 0


def test_calm_months_make_no_proposal() -> None:
    assert set(steps(walked((0.001, 8_000)))) == {0}


def test_a_proposal_is_of_level_limit_and_never_a_pause() -> None:
    proposed = [each for each in play(risk_detector(), walked((0.001, 400), (0.05, 5))) if each]

    assert proposed
    assert {each.level for each in proposed if isinstance(each, Proposal)} == {Level.LIMIT}


def test_a_price_of_nothing_proposes_nothing() -> None:
    prices = walked((0.001, 400))

    assert play(risk_detector(), [*prices, {"price": 0}, prices[-1]])[-2:] == [None, None]


def test_a_move_over_a_gap_is_no_move_of_one_block() -> None:
    whole, holed = risk_detector(), risk_detector()
    for detector in (whole, holed):
        play(detector, walked((0.001, 400)))
    holed.resume()
    doubled = [{"price": 2 * walked((0.001, 400))[-1]["price"]}]

    assert steps(doubled, whole) == [3]
    assert play(holed, doubled) == [None]


# ---------------------------------------------------------------------- drift


def drift_detector() -> Drift:
    return Drift(warmup=200, least_deviation=1, delta_ppm=2_000)


def hints(readings: Sequence[int]) -> list[int]:
    said = play(drift_detector(), [{"value": each} for each in readings])
    return [place for place, each in enumerate(said) if isinstance(each, Hint)]


def test_a_baseline_that_no_longer_fits_is_hinted_at_once_and_learned_anew() -> None:
    moved = hints([*noise(1_000, around=1_000, spread=50), *noise(2_000, around=1_100, spread=50, seed=9)])

    assert len(moved) == 1
    assert 1_000 < moved[0] < 1_200


def test_a_single_huge_value_is_no_drift() -> None:
    assert hints([*noise(1_000, around=1_000, spread=50), 10**30, *noise(500, around=1_000, spread=50)]) == []


def test_a_series_that_stays_as_it_is_makes_no_drift() -> None:
    assert hints(noise(5_000, around=1_000, spread=50, seed=10)) == []


def test_a_hint_can_be_no_more_than_an_alert() -> None:
    assert Hint.level is Level.ALERT
    with pytest.raises(TypeError):
        Hint(detector="drift", summary="", level=Level.PAUSE)  # type: ignore[call-arg]


def test_without_river_drift_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)

    with pytest.raises(Refused, match="tocsin\\[backtest\\]") as refused:
        drift_detector()

    assert refused.value.reason is Reason.EXTRA_MISSING


# ---------------------------------------------------------------------- all of them


@pytest.mark.parametrize(
    ("make", "gathered", "next_one"),
    [
        (utilisation_detector, lent([*[6_000] * 200, *[6_300] * 3]), lent([6_010])),
        (concentration_detector, held(*[500] * 200, *[600] * 3), held(502)),
        (depeg_detector, pool(*[5_000] * 200, *[5_500] * 3), pool(5_001)),
        (oracle_detector, priced(1_030, 1_030, 1_030), priced(1_030)),
        (bad_debt_detector, owed(11, 12, 13), owed(14)),
    ],
)
def test_what_counts_blocks_that_follow_each_other_begins_anew_after_a_gap(
    make: type[SeriesDetector], gathered: Readings, next_one: Readings
) -> None:
    whole, holed = make(), make()
    for detector in (whole, holed):
        play(detector, gathered)

    holed.resume()

    assert findings(whole, next_one)
    assert findings(holed, next_one) == []


@pytest.mark.parametrize("name", SERIES_CATALOGUE)
def test_a_detectors_name_parameters_and_module_agree(name: str) -> None:
    detector = SERIES_CATALOGUE[name]

    made = detector(**{each.name: max(each.least, 5) for each in detector.parameters})

    assert made.name == name
    assert detector.__module__.endswith(f".{name}")
    assert sys.modules[detector.__module__].__doc__
    assert made.state() is not None
