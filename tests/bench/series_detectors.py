"""Each series detector by itself: whether it finds its attack, and how often quiet weeks ring.

    python -m tests.bench.series_detectors

A line for each detector: a made week of minutes is learned, then a quiet week is judged and its alarms are
counted, then an attack and a near miss are played, each after the first quiet day. The budget is the same for
all: one false alert a day, one limit a month, one freeze a quarter, one pause a year. All values are made by
seeded generators.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any

from consensus.alert import Level
from consensus.types import BlockHash, BlockNumber, Seconds
from node.backtest.series import learn_series
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.finding import RuleJudgement
from node.detect.series.learned import SeriesLearned
from node.detect.series.policy import SeriesPolicy, parse_series_policy
from node.detect.series.sample import Sample
from tests.bench.detect import CORES
from tests.detect.test_series_detectors import daily, held, lent, noise, owed, pool, priced, walked

MINUTE, DAY = 60, 1_440
LEARNED, QUIET = 7 * DAY, 7 * DAY

Reading = Mapping[str, int | Sequence[int]]

_POLICY = """\
tocsin_series: 1
name: alone
version: 1
point: {{each: period, seconds: 60}}
learning: {{window: 20_000, common_ppm: 100_000}}
cooldown_points: 60
budgets:
  - at most one false alert per day and rule
  - at most one false limit per month and rule
  - at most one false freeze per quarter and rule
  - at most one false pause per year and rule
rules:
  alone:
    signal:
      detector: {detector}
      most: pause
      series: {series}
      parameters: {parameters}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """Minutes of quiet life, of which the first are learned, and what is played after those."""

    parameters: Mapping[str, int]
    quiet: Callable[[int], Sequence[Reading]]
    attack: Sequence[Reading]
    near: Sequence[Reading]


def _volumes(count: int) -> list[Reading]:
    random = Random(11)
    return [{"value": int(10**9 * random.lognormvariate(0, 0.3))} for _ in range(count)]


def _noisy(make: Callable[[Sequence[int]], Sequence[Reading]], around: int, spread: int) -> Any:
    return lambda count: make(noise(count, around=around, spread=spread, seed=12))


def _several(make: Callable[..., Sequence[Reading]]) -> Callable[[Sequence[int]], Sequence[Reading]]:
    return lambda values: make(*values)


_SHIFT = {"memory": 2_880, "warmup": 1_440, "slack_bps": 10_000, "interval": 20}
_LEVELS = [{"value": each} for each in noise(DAY, around=1_100, spread=50, seed=13)]
CASES: Mapping[str, Case] = {
    "abnormal_volume": Case(
        {"memory": 2_880, "warmup": 1_440, "least_deviation": 50_000},
        _volumes,
        [{"value": 10**11}],
        [{"value": 2 * 10**9}],
    ),
    "hourly_volume": Case(
        {"days": 1, "memory": 400, "warmup": 60, "least_deviation": 50_000},
        lambda count: daily([each // 5 for each in range(count)]),
        daily([144]),
        daily([24]),
    ),
    "utilisation_shift": Case(
        _SHIFT | {"least_deviation": 5, "most_bps": 9_900},
        _noisy(lent, 6_000, 20),
        lent([6_000 + 12 * n for n in range(DAY // 6)]),
        lent(noise(DAY, around=6_012, spread=20, seed=14)),
    ),
    "bad_debt": Case(
        {"most_bps": 10, "points": 10}, _noisy(_several(owed), 5, 2), owed(*[12] * 60), owed(*[12] * 9, 5)
    ),
    "oracle_deviation": Case(
        {"most_bps": 300, "least_points": 8, "points": 10},
        _noisy(_several(priced), 1_000, 8),
        priced(*[1_040] * 60),
        priced(*[1_040] * 7, 1_000),
    ),
    "concentration": Case(
        _SHIFT | {"least_deviation": 2, "most_bps": 4_000},
        _noisy(_several(held), 500, 5),
        held(*[500 + 3 * n for n in range(DAY // 2)]),
        held(*noise(DAY, around=503, spread=5, seed=14)),
    ),
    "depeg": Case(
        _SHIFT | {"least_deviation": 500, "most_bps": 8_000},
        _noisy(_several(pool), 5_000, 60),
        pool(*[5_000 + 20 * n for n in range(200)]),
        pool(5_200, 5_000, 4_980),
    ),
    "risk_steps": Case(
        {
            "fast": 60,
            "slow": 10_080,
            "warmup": 1_440,
            "step_bps": 10_000,
            "most_steps": 3,
            "calm_points": 240,
        },
        lambda count: walked((0.001, count)),
        walked((0.001, LEARNED + DAY), (0.008, 60))[LEARNED + DAY :],
        walked((0.001, LEARNED + DAY), (0.0014, 60))[LEARNED + DAY :],
    ),
    "drift": Case(
        {"warmup": 2_880, "least_deviation": 1, "delta_ppm": 2_000},
        lambda count: [{"value": each} for each in noise(count, around=1_000, spread=50, seed=12)],
        _LEVELS,
        [{"value": 10**30}, {"value": 1_000}],
    ),
}


def measure(name: str) -> dict[str, Any]:
    """One detector's line."""
    case = CASES[name]
    quiet = case.quiet(LEARNED + QUIET)
    policy = _make_policy(name, case, quiet[0])
    learned = learn_series(_samples(quiet[:LEARNED], 0), policy, name=name, points=LEARNED)
    calm = _play(policy, learned, quiet[LEARNED:])
    before = quiet[LEARNED : LEARNED + DAY]
    attack, near = (_play(policy, learned, [*before, *each])[DAY:] for each in (case.attack, case.near))
    found = next((place for place, each in enumerate(attack) if _reached(each) is not None), None)
    return {
        "metric": "series_detector",
        "detector": name,
        "found_after_points": found,
        "level": None if found is None else str(_name(_reached(attack[found]))),
        "near_miss_alarms": sum(_reached(each) is not None for each in near),
        "benign_points": len(calm),
        **{
            f"benign_{level.name.lower()}s": sum(
                reached is not None and reached >= level for reached in map(_reached, calm)
            )
            for level in (Level.ALERT, Level.LIMIT)
        },
    }


def _reached(judgement: RuleJudgement) -> Level | None:
    """The level that was raised; a proposed step counts as what it is, a limit."""
    raised = [each.level for each in judgement.proposals if each.step]
    return max([*raised, *([] if judgement.level is None else [judgement.level])], default=None)


def _name(level: Level | None) -> str:
    return "" if level is None else level.name.lower()


def _play(policy: SeriesPolicy, learned: SeriesLearned, readings: Sequence[Reading]) -> list[RuleJudgement]:
    watch = learned.make_watch(policy.with_learned(learned.state_hash))
    judged = [watch.judge(sample) for sample in _samples(readings, LEARNED)]
    return [judgement for (judgement,) in judged]


def _samples(readings: Iterable[Reading], first: int) -> Iterable[Sample]:
    for number, reading in enumerate(readings, start=first):
        yield Sample(
            block_number=BlockNumber(number),
            block_hash=BlockHash((number + 1).to_bytes(32, "big")),
            parent_hash=BlockHash(number.to_bytes(32, "big")),
            timestamp=Seconds(MINUTE * number),
            values={
                f"{role}{place}": each
                for role, values in reading.items()
                for place, each in enumerate([values] if isinstance(values, int) else values)
            },
        )


def _make_policy(name: str, case: Case, reading: Reading) -> SeriesPolicy:
    series = {
        role: [f"{role}{place}" for place in range(1 if isinstance(values, int) else len(values))]
        for role, values in reading.items()
    }
    text = _POLICY.format(detector=name, series=_flow(series), parameters=_flow(case.parameters))
    return parse_series_policy(text.encode())


def _flow(values: Mapping[str, Any]) -> str:
    """A map as YAML writes it on one line."""
    return "{" + ", ".join(f"{key}: {_listed(each)}" for key, each in values.items()) + "}"


def _listed(value: object) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def main() -> None:
    with ProcessPoolExecutor(CORES) as cores:
        for line in cores.map(measure, SERIES_CATALOGUE):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
