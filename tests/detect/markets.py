"""A market and one lending pool in it, minute by minute, made by a seeded generator: calm days, a crash,
an exploit.

The crash is no exploit: the price falls by 40 % within an hour, volumes rise tenfold everywhere,
positions are liquidated and lenders withdraw, so that utilisation rises in every pool. The exploit is no
crash: one pool's whole liquidity leaves within three minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from consensus.types import BlockHash, BlockNumber, Seconds
from node.detect.series.policy import SeriesPolicy, parse_series_policy
from node.detect.series.sample import Sample
from node.detect.series.watch import SeriesWatch

MINUTE = 60
DAY = 1_440  # minutes
LEARNED = 7 * DAY
CRASH_AT = 600  # minutes of the judged day
EXPLOIT_AT = 640  # in the midst of the crash, on the day that has one
EXPLOIT_MINUTES = 3
LIQUIDITY = 1_000  # usual minutes of the pool's volume
OTHER_POOLS = ("market_a", "market_b", "market_c")

_POLICY = """\
tocsin_series: 1
name: lending
version: 1
point: {each: period, seconds: 60}
learning: {window: 20_000, common_ppm: 100_000}
cooldown_points: 60
budgets:
  - at most one false alert per day and rule
  - at most one false limit per month and rule
  - at most one false freeze per quarter and rule
  - at most one false pause per year and rule
rules:
  pool:
    volume:
      detector: abnormal_volume
      most: pause
      series: {value: [volume], references: [VOLUMES]}
      parameters: {memory: 2_880, warmup: 1_440, least_deviation: 50_000}
    utilisation:
      detector: utilisation_shift
      most: pause
      series: {borrowed: [borrowed], supplied: [supplied], references: [UTILISATIONS]}
      parameters:
        {memory: 2_880, warmup: 1_440, least_deviation: 5, slack_bps: 10_000, interval: 20, most_bps: 9_900}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What happens on the day that is judged."""

    crash: bool
    exploit: bool


CALM = Day(crash=False, exploit=False)
CRASH = Day(crash=True, exploit=False)
EXPLOIT = Day(crash=False, exploit=True)
EXPLOIT_IN_CRASH = Day(crash=True, exploit=True)


def make_policy(*, with_references: bool) -> SeriesPolicy:
    """One rule over a pool's volume and utilisation, judged beside other pools or alone."""
    volumes = ", ".join(OTHER_POOLS) if with_references else ""
    utilisations = ", ".join(f"{name}_utilisation" for name in OTHER_POOLS) if with_references else ""
    return parse_series_policy(
        _POLICY.replace("UTILISATIONS", utilisations).replace("VOLUMES", volumes).encode()
    )


def learn_week(policy: SeriesPolicy, *, seed: int) -> SeriesWatch:
    """A watch that has learned seven calm days, of a policy that names what it learned."""
    first = SeriesWatch(policy)
    for sample in days(seed=seed, day=CALM, first=0, minutes=LEARNED):
        first.learn(sample)
    watch = SeriesWatch(policy.with_learned(first.state_hash()))
    watch.restore(first.state())
    watch.begin()
    return watch


def days(*, seed: int, day: Day, first: int, minutes: int) -> Iterator[Sample]:
    """The minutes from `first` on; the judged day begins at minute `LEARNED`. Equal seeds give equal
    minutes."""
    random = Random(seed)
    mood, price = 0.0, math.log(2_000)
    own = dict.fromkeys(("pool", *OTHER_POOLS), 0.0)
    for minute in range(first + minutes):
        since = minute - LEARNED - CRASH_AT if day.crash else -1
        mood = 0.98 * mood + random.gauss(0, 0.08)
        price += random.gauss(0, 0.0006) + (math.log(0.6) / 60 if 0 <= since < 60 else 0)
        for name in own:
            own[name] = 0.95 * own[name] + random.gauss(0, 0.0008)
        sizes = {name: math.exp(mood + _rhythm(minute) + random.gauss(0, 0.35)) for name in own}
        if minute < first:
            continue
        surge = _surge(since)
        values = {"price": int(math.exp(price) * 1e8)}
        for place, (name, size) in enumerate(sizes.items()):
            follows = (0.9, 1.0, 1.1, 0.95)[place]
            utilisation = 0.62 + 0.02 * place + own[name] + 0.2 * follows * math.log10(surge)
            volume = 1e6 * (place + 1) * size * surge**follows
            supplied = 1e12
            if name == "pool" and day.exploit and 0 <= minute - LEARNED - EXPLOIT_AT < EXPLOIT_MINUTES:
                volume += LIQUIDITY * 1e6 / EXPLOIT_MINUTES
                utilisation = min(0.985, utilisation + 0.1 * (minute - LEARNED - EXPLOIT_AT + 1))
            if name == "pool":
                values |= {
                    "volume": int(volume),
                    "supplied": int(supplied),
                    "borrowed": int(supplied * utilisation),
                }
            else:
                values |= {name: int(volume), f"{name}_utilisation": int(10_000 * utilisation)}
        yield Sample(
            block_number=BlockNumber(5 * minute),
            block_hash=BlockHash((5 * minute + 1).to_bytes(32, "big")),
            parent_hash=BlockHash((5 * minute).to_bytes(32, "big")),
            timestamp=Seconds(MINUTE * minute),
            values=values,
        )


def judged_day(*, seed: int, day: Day) -> Iterator[Sample]:
    """The day after the week that was learned."""
    return days(seed=seed, day=day, first=LEARNED, minutes=DAY)


def minute_of(block_number: BlockNumber) -> int:
    """The minute of the judged day."""
    return block_number // 5 - LEARNED


def _rhythm(minute: int) -> float:
    return 0.3 * math.sin(2 * math.pi * minute / DAY)


def _surge(since: int) -> float:
    """How many times the usual volume: up tenfold within ten minutes, back over some hours."""
    if since < 0:
        return 1.0
    return 10 ** (min(1.0, (since + 1) / 10) * math.exp(-max(0, since - 60) / 240))
