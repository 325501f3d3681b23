"""Signals over time: what a crash, an exploit and calm days come to, and how fast they are judged.

    python -m tests.bench.series

The market is made by a seeded generator (`tests/detect/markets.py`). A line for each seed and day: at
which minute the first brake was asked for, with references and without; a line with the sums; a line for
a quiet month against the budget; a line with the values that go through the watch in a second of one
core, of which each is taken in twice, since a copy lags behind for reorgs.
"""

from __future__ import annotations

import copy
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

from consensus.alert import Level
from node.detect.series.watch import SeriesWatch
from tests.bench.detect import CORES
from tests.detect.markets import (
    CALM,
    CRASH,
    CRASH_AT,
    DAY,
    EXPLOIT,
    EXPLOIT_AT,
    EXPLOIT_IN_CRASH,
    LEARNED,
    Day,
    days,
    judged_day,
    learn_week,
    make_policy,
    minute_of,
)

SEEDS = (1, 2, 3, 4, 5)
DAYS = {"calm": CALM, "crash": CRASH, "exploit": EXPLOIT, "exploit_in_crash": EXPLOIT_IN_CRASH}
QUIET_DAYS = 30


def play_days(seed: int, with_references: bool) -> list[dict[str, Any]]:
    """Each kind of day after one learned week."""
    learned = learn_week(make_policy(with_references=with_references), seed=seed)
    return [
        {"seed": seed, "day": name, "references": with_references, **_play(copy.deepcopy(learned), seed, day)}
        for name, day in DAYS.items()
    ]


def _play(watch: SeriesWatch, seed: int, day: Day) -> dict[str, Any]:
    raised = [
        (minute_of(judgement.block_number), judgement.level)
        for sample in judged_day(seed=seed, day=day)
        for judgement in watch.judge(sample)
        if judgement.level is not None
    ]
    brakes = [(minute, level) for minute, level in raised if level >= Level.LIMIT]
    before = [minute for minute, _ in brakes if minute < (CRASH_AT if day.crash else EXPLOIT_AT)]
    return {
        "alerts": sum(level is Level.ALERT for _, level in raised),
        "brakes": len(brakes),
        "brakes_before_anything_happened": len(before),
        "first_brake_minute": brakes[0][0] if brakes else None,
        "hardest": max(level for _, level in raised).name.lower() if raised else None,
    }


def play_quiet_month(seed: int) -> Counter[Level]:
    """What thirty calm days raise."""
    watch = learn_week(make_policy(with_references=True), seed=seed)
    raised: Counter[Level] = Counter()
    for sample in days(seed=seed, day=CALM, first=LEARNED, minutes=QUIET_DAYS * DAY):
        raised.update(each.level for each in watch.judge(sample) if each.level is not None)
    return raised


def measure_speed() -> dict[str, Any]:
    """Values through two detectors with references, and through everything around them."""
    watch = learn_week(make_policy(with_references=True), seed=SEEDS[0])
    samples = list(judged_day(seed=SEEDS[0], day=CRASH))
    began = time.process_time()
    for sample in samples:
        watch.judge(sample)
    seconds = time.process_time() - began
    return {
        "metric": "series_throughput",
        "points_per_core_second": round(len(samples) / seconds),
        "values_per_core_second": round(sum(len(sample.values) for sample in samples) / seconds),
    }


def main() -> None:
    with ProcessPoolExecutor(CORES) as cores:
        tasks = list(product(SEEDS, (True, False)))
        played = cores.map(play_days, [seed for seed, _ in tasks], [with_ for _, with_ in tasks])
        lines = [line for group in played for line in group]
        for line in lines:
            print(json.dumps({"metric": "series_day", **line}), flush=True)
        print(json.dumps(_sums(lines)), flush=True)
        months = list(cores.map(play_quiet_month, SEEDS[:2]))
    print(json.dumps(_quiet(months)), flush=True)
    print(json.dumps(measure_speed()), flush=True)


def _sums(lines: list[dict[str, Any]]) -> dict[str, Any]:
    def of(day: str, *, references: bool) -> list[dict[str, Any]]:
        return [line for line in lines if line["day"] == day and line["references"] is references]

    def exploits_found(day: str) -> int:
        return sum(line["first_brake_minute"] == EXPLOIT_AT for line in of(day, references=True))

    return {
        "metric": "series_stress",
        "seeds": len(SEEDS),
        "crash_braked_without_references": sum(line["brakes"] > 0 for line in of("crash", references=False)),
        "crash_braked_with_references": sum(line["brakes"] > 0 for line in of("crash", references=True)),
        "exploit_found_in_its_first_minute_on_a_calm_day": exploits_found("exploit"),
        "exploit_found_in_its_first_minute_on_the_crash_day": exploits_found("exploit_in_crash"),
        "calm_days_braked": sum(line["brakes"] > 0 for line in of("calm", references=True)),
    }


def _quiet(months: list[Counter[Level]]) -> dict[str, Any]:
    raised = sum(months, Counter[Level]())
    return {
        "metric": "series_quiet_days",
        "days": QUIET_DAYS * len(months),
        **{f"{level.name.lower()}s": raised[level] for level in Level},
        "budget": [str(each) for each in make_policy(with_references=True).budgets],
    }


if __name__ == "__main__":
    main()
