"""Market stress is not an attack: a crash alarms a volume signal that is judged alone, and not one with
references."""

from __future__ import annotations

import copy
from functools import cache

import pytest

from consensus.alert import Level
from node.detect.series.watch import SeriesWatch
from tests.detect.markets import (
    CALM,
    CRASH,
    CRASH_AT,
    EXPLOIT,
    EXPLOIT_AT,
    EXPLOIT_IN_CRASH,
    Day,
    judged_day,
    learn_week,
    make_policy,
    minute_of,
)

SEEDS = [1]  # `python -m tests.bench.series` plays five


@cache
def learned(seed: int, *, with_references: bool) -> SeriesWatch:
    return learn_week(make_policy(with_references=with_references), seed=seed)


def brakes(day: Day, seed: int, *, with_references: bool) -> list[int]:
    """The minutes of the day at which more than an alert was raised."""
    watch = copy.deepcopy(learned(seed, with_references=with_references))
    return [
        minute_of(judgement.block_number)
        for sample in judged_day(seed=seed, day=day)
        for judgement in watch.judge(sample)
        if judgement.level is not None and judgement.level >= Level.LIMIT
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_brakes_where_signals_are_judged_without_references(seed: int) -> None:
    minutes = brakes(CRASH, seed, with_references=False)

    assert minutes
    assert CRASH_AT <= minutes[0] <= CRASH_AT + 30


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_that_is_no_exploit_stays_quiet_beside_its_references(seed: int) -> None:
    assert brakes(CRASH, seed, with_references=True) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("day", [EXPLOIT, EXPLOIT_IN_CRASH], ids=["calm day", "crash day"])
def test_an_exploit_of_one_pool_is_found_in_its_first_minute_on_any_day(day: Day, seed: int) -> None:
    assert brakes(day, seed, with_references=True)[:1] == [EXPLOIT_AT]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_calm_day_brakes_nothing(seed: int) -> None:
    assert brakes(CALM, seed, with_references=True) == []
    assert brakes(CALM, seed, with_references=False) == []
