"""Plays series to the rules of a series policy: learns on the first half of the points, judges the second.

Points from `attack.first` on are set aside as attack and neither benign nor learned; they are judged all the
same. Learned evidence is judged as if the policy named the hash of what was learned, since that is what the
owner will write into it; the report says whether it does already.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.detect.series.budget import PERIODS, AlarmBudget
from node.detect.series.finding import Proposal, RuleJudgement
from node.detect.series.learned import SeriesLearned
from node.detect.series.policy import SeriesPolicy
from node.detect.series.sample import Sample
from node.detect.series.watch import SeriesWatch

MAX_ALARMS_KEPT: Final = 500

Advance = Callable[[int, int], None]
"""Is told how many points are done, of how many."""
Samples = Callable[[], Iterable[Sample]]
"""Gives the samples from the start, as often as it is called."""


@dataclass(slots=True, kw_only=True)
class RuleTally:
    """What one rule came to."""

    name: str
    alarms: list[tuple[RuleJudgement, bool]] = field(default_factory=list)
    """In order of time, each with whether it was of the attack; of a flood only the first."""
    alarms_left_out: int = 0
    false_alarms: Counter[Level] = field(default_factory=Counter)
    """On benign points, each at its own level alone."""
    unjudged: Counter[str] = field(default_factory=Counter)
    """At how many points nothing could be said of a signal."""
    hints: int = 0
    proposals: list[tuple[BlockNumber, Proposal]] = field(default_factory=list)
    flag: tuple[BlockNumber, Level, int] | None = None
    """The first brake of the attack: block, level, and how many points of the attack came before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReport:
    """What a backtest of signals over time came to."""

    series: str
    policy: SeriesPolicy
    learned: int
    scored: int
    benign: int
    benign_seconds: Seconds
    """How long the benign points lasted, by their number and the policy's time for each."""
    has_attack: bool
    learned_hash: bytes
    """What the policy must name under `learned` so that learned evidence may brake."""
    rules: tuple[RuleTally, ...]
    seconds: float

    @property
    def is_published(self) -> bool:
        """Whether the policy names what was learned."""
        return self.policy.learned == self.learned_hash

    def allowed_ppm(self, budget: AlarmBudget) -> int:
        """How many alarms the budget allows in the benign span, in millionths."""
        return budget.count * self.benign_seconds * 1_000_000 // PERIODS[budget.period]


def learn_series(
    samples: Iterable[Sample],
    policy: SeriesPolicy,
    *,
    name: str,
    points: int,
    chain_id: ChainId | None = None,
    advance: Advance = lambda _done, _total: None,
) -> SeriesLearned:
    """Learn from the first `points` samples. Raises `Refused` (OUT_OF_ORDER; OUT_OF_RANGE for none)."""
    watch, last, done = SeriesWatch(policy), None, 0
    for done, last in enumerate(islice(samples, points), start=1):
        watch.learn(last)
        advance(done, points)
    if last is None:
        raise Refused(Reason.OUT_OF_RANGE, f"there is no point of {name} to learn from; choose a later end")
    has_hash = last.block_hash != BlockHash(last.block_number.to_bytes(32, "big"))
    return SeriesLearned(
        series=name,
        chain_id=chain_id,
        points=done,
        last_block=last.block_number,
        last_hash=last.block_hash if has_hash else None,
        state=watch.state(),
    )


def play_series(
    samples: Samples,
    policy: SeriesPolicy,
    *,
    name: str,
    attack_block: BlockNumber | None = None,
    learned: SeriesLearned | None = None,
    advance: Advance = lambda _done, _total: None,
) -> SeriesReport:
    """Learn on the first half of the points, or start from `learned`; judge the rest.

    Raises `Refused` (OUT_OF_ORDER; OUT_OF_RANGE where nothing is left to judge; LABEL_INVALID where the
    attack is not in what is judged; STATE_FOREIGN, STATE_CORRUPT for learned state that does not fit).
    """
    began = time.perf_counter()
    total = sum(1 for _ in samples())
    if learned is None:
        learned = learn_series(
            samples(), policy, name=name, points=total // 2, advance=_halfway(advance, total)
        )
    watch = learned.make_watch(policy.with_learned(learned.state_hash))
    rest = [each for each in samples() if each.block_number > learned.last_block]
    if not rest:
        raise Refused(
            Reason.OUT_OF_RANGE,
            f"{name} ends at or before block {learned.last_block}, up to which was learned; give more points",
        )
    _require_within(attack_block, rest, name)
    rules = {rule: RuleTally(name=rule) for rule in policy.rules}
    attacked = benign = 0
    for done, sample in enumerate(rest, start=total - len(rest) + 1):
        is_attack = attack_block is not None and sample.block_number >= attack_block
        for judgement in watch.judge(sample):
            _count(rules[judgement.rule], judgement, is_attack=is_attack, attacked=attacked)
        attacked += is_attack
        benign += not is_attack
        advance(done, total)
    return SeriesReport(
        series=name,
        policy=policy,
        learned=learned.points,
        scored=len(rest),
        benign=benign,
        benign_seconds=Seconds(benign * policy.seconds_per_point),
        has_attack=attack_block is not None,
        learned_hash=learned.state_hash,
        rules=tuple(rules.values()),
        seconds=time.perf_counter() - began,
    )


def _count(tally: RuleTally, judgement: RuleJudgement, *, is_attack: bool, attacked: int) -> None:
    tally.unjudged.update(each.signal for each in judgement.unjudged)
    tally.hints += len(judgement.hints)
    room = MAX_ALARMS_KEPT - len(tally.proposals)
    tally.proposals += [(judgement.block_number, each) for each in judgement.proposals[:room]]
    level = judgement.level
    if level is None:
        return
    if not is_attack:
        tally.false_alarms[level] += 1
    elif level >= Level.LIMIT and tally.flag is None:
        tally.flag = (judgement.block_number, level, attacked)
    if len(tally.alarms) < MAX_ALARMS_KEPT:
        tally.alarms.append((judgement, is_attack))
    else:
        tally.alarms_left_out += 1


def _require_within(attack_block: BlockNumber | None, rest: list[Sample], name: str) -> None:
    if attack_block is None or rest[0].block_number <= attack_block <= rest[-1].block_number:
        return
    raise Refused(
        Reason.LABEL_INVALID,
        f"the attack's block {attack_block} is not among those of {name} that are judged, "
        f"{rest[0].block_number} to {rest[-1].block_number}: what was learned from is not scored; give more "
        "points before it, or learn from fewer",
    )


def _halfway(advance: Advance, total: int) -> Advance:
    return lambda done, _half: advance(done, total)
