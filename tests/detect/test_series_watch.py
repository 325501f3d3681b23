"""The watch over signals: order, gaps, reorgs, fusion within the budget, what learned evidence may do;
the policy."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random

import pytest

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.detect.evidence import CERTAIN
from node.detect.series.finding import RuleJudgement
from node.detect.series.policy import SeriesPolicy, parse_series_policy, read_series_policy
from node.detect.series.sample import Sample
from node.detect.series.watch import DEPTH, SeriesWatch
from tests.detect.policies import GENERAL
from tests.detect.series import POLICY, hash_at, make_sample, make_series_policy

LEARNED = 400


def usual(
    number: int, *, volume: int | None = None, price: int | None = 1_000, branch: str = "a", **more: str
) -> Sample:
    """A usual block, unless said otherwise; the volume is a function of the number."""
    values = {
        "volume": int(10**6 * Random(number).lognormvariate(0, 0.3)) if volume is None else volume,
        "market": 1_000,
    }
    return make_sample(number, values if price is None else values | {"price": price}, branch=branch, **more)


def learned_watch(policy: SeriesPolicy | None = None, *, publish: bool = True) -> SeriesWatch:
    """A watch that has learned, of a policy that names the hash of it."""
    policy = make_series_policy() if policy is None else policy
    watch = SeriesWatch(policy)
    for number in range(LEARNED):
        watch.learn(usual(number))
    learned = watch.begin()
    return learned_watch(policy.with_learned(learned), publish=False) if publish else watch


def judge(watch: SeriesWatch, sample: Sample) -> RuleJudgement:
    (judgement,) = watch.judge(sample)
    return judgement


SURGE = 10**9


def test_a_surge_is_judged_by_its_past_and_limits() -> None:
    watch = learned_watch()
    assert judge(watch, usual(400)).level is None

    judgement = judge(watch, usual(401, volume=SURGE))

    assert judgement.level is Level.LIMIT
    assert CERTAIN // 402 < judgement.strangeness < CERTAIN // 350  # 401 points before it, none as high
    assert [each.signal for each in judgement.findings] == ["volume"]
    assert judgement.reason == f"volume: by chance once in {CERTAIN // judgement.strangeness} points"


def test_learned_evidence_of_unpublished_state_is_no_more_than_an_alert() -> None:
    watch = learned_watch(publish=False)
    assert not watch.is_published

    judgement = judge(watch, usual(400, volume=SURGE))

    assert judgement.level is Level.ALERT
    assert "not published" in judgement.reason


def test_a_policy_that_names_another_hash_than_what_was_learned_publishes_nothing() -> None:
    assert not learned_watch(make_series_policy().with_learned(bytes(32)), publish=False).is_published
    assert learned_watch().is_published


def test_a_signal_asks_for_no_more_than_its_policy_lets_it() -> None:
    watch = learned_watch(make_series_policy(("most: limit", "most: alert")))

    assert judge(watch, usual(400, volume=SURGE)).level is Level.ALERT


def test_a_level_without_a_budget_is_never_reached_by_learned_evidence() -> None:
    sentence = "  - at most one false limit per hour and rule\n"

    assert (
        judge(learned_watch(make_series_policy((sentence, ""))), usual(400, volume=SURGE)).level
        is Level.ALERT
    )


def test_evidence_outside_the_budget_raises_nothing() -> None:
    policy = make_series_policy(
        ("at most five false alerts per hour", "at most one false alert per day"),
        ("at most one false limit per hour", "at most one false limit per day"),
    )

    judgement = judge(learned_watch(policy), usual(400, volume=SURGE))

    assert judgement.level is None  # one in 401 points; a day has 7 200
    assert judgement.findings


def test_a_past_that_showed_as_much_lets_it_pass() -> None:
    watch = SeriesWatch(make_series_policy())
    for number in range(LEARNED):
        watch.learn(usual(number, volume=SURGE if number % 100 == 99 else None))
    watch.begin()

    assert judge(watch, usual(LEARNED, volume=SURGE)).level is None


def test_what_asked_for_a_brake_does_not_become_usual_and_an_alert_does() -> None:
    braked, alerted = learned_watch(), learned_watch(publish=False)
    for watch in (braked, alerted):
        judge(watch, usual(400, volume=SURGE))

    after = [judge(watch, usual(401, volume=SURGE // 2)).strangeness for watch in (braked, alerted)]

    assert after[1] > 1.8 * after[0]  # it stands second by now


def test_a_level_is_raised_once_within_the_cooldown_and_a_harder_one_at_once() -> None:
    watch = learned_watch()

    levels = [judge(watch, usual(400 + n, volume=SURGE * 2**n)).level for n in range(12)]
    harder = [judge(watch, usual(412 + n, price=1_030)).level for n in range(4)]

    assert levels == [Level.LIMIT, *[None] * 10, Level.LIMIT]
    assert harder == [None, None, Level.PAUSE, None]


def test_a_stated_bound_pauses_without_any_past() -> None:
    watch = SeriesWatch(make_series_policy())

    judgements = [judge(watch, usual(number, price=1_030)) for number in range(3)]

    assert [each.level for each in judgements] == [None, None, Level.PAUSE]
    assert judgements[2].reason.startswith("oracle: the price 1030 is 300 basis points off")
    assert judgements[2].findings[0].p_value is None


def test_two_signals_of_a_rule_that_agree_are_stranger_than_one() -> None:
    second = """\
    outflow:
      detector: abnormal_volume
      most: limit
      series: {value: [outflow]}
      parameters: {memory: 200, warmup: 50, least_deviation: 1_000}
    oracle:
"""
    watch = SeriesWatch(make_series_policy(("    oracle:\n", second)))
    random = Random(3)

    def with_outflow(sample: Sample, outflow: int) -> Sample:
        return make_sample(sample.block_number, {**sample.values, "outflow": outflow})

    for number in range(LEARNED):
        watch.learn(with_outflow(usual(number), int(10**6 * random.lognormvariate(0, 0.3))))
    watch.begin()
    alone = copy.deepcopy(watch)

    together = judge(watch, with_outflow(usual(LEARNED, volume=SURGE), SURGE))
    single = judge(alone, with_outflow(usual(LEARNED, volume=SURGE), 10**6))

    assert 4 * together.strangeness < single.strangeness
    assert {each.signal for each in together.findings} == {"volume", "outflow"}


def test_a_missing_series_is_unknown_and_the_other_signals_are_judged() -> None:
    watch = learned_watch()

    judgement = judge(watch, usual(400, volume=SURGE, price=None))

    assert [(each.signal, each.missing) for each in judgement.unjudged] == [("oracle", ("price",))]
    assert judgement.level is Level.LIMIT


def test_a_missing_value_breaks_a_run() -> None:
    watch = SeriesWatch(make_series_policy())
    prices = [1_030, 1_030, None, 1_030, 1_030, 1_030]

    levels = [judge(watch, usual(number, price=price)).level for number, price in enumerate(prices)]

    assert levels == [None] * 5 + [Level.PAUSE]


def test_a_missing_block_breaks_a_run() -> None:
    watch = SeriesWatch(make_series_policy())

    levels = [judge(watch, usual(number, price=1_030)).level for number in (1, 2, 4, 5, 6)]

    assert levels == [None] * 4 + [Level.PAUSE]


def test_hints_and_proposals_reach_the_judgement() -> None:
    signals = """\
    drift:
      detector: drift
      most: alert
      series: {value: [volume]}
      parameters: {warmup: 50, least_deviation: 1, delta_ppm: 2_000}
    risk:
      detector: risk_steps
      most: limit
      series: {price: [price]}
      parameters: {fast: 10, slow: 300, warmup: 50, step_bps: 10_000, most_steps: 2, calm_points: 10}
    oracle:
"""
    watch = SeriesWatch(make_series_policy(("    oracle:\n", signals)))
    random = Random(2)
    calm = [judge(watch, usual(n, price=1_000 + random.randint(-2, 2))) for n in range(200)]
    moved = [judge(watch, usual(200 + n, volume=3 * 10**6, price=1_000 + 9 * (n % 2))) for n in range(300)]

    assert not any(each.hints for each in calm)
    assert sum(len(each.hints) for each in moved) == 1
    (hinted,) = [each for each in moved if each.hints]
    assert hinted.level in {None, Level.ALERT}
    assert [p.step for each in calm for p in each.proposals] == []
    assert [p.step for each in moved for p in each.proposals][:1] == [1]


# ---------------------------------------------------------------------- order and reorgs


def test_a_block_that_is_not_later_is_refused() -> None:
    watch = learned_watch()
    judge(watch, usual(400))

    for number in (400, 399):
        with pytest.raises(Refused, match="expected a block after 400") as refused:
            watch.judge(usual(number))
        assert refused.value.reason is Reason.OUT_OF_ORDER


def test_a_block_of_another_branch_is_refused_until_the_old_one_is_retracted() -> None:
    watch = learned_watch()
    judge(watch, usual(400))

    with pytest.raises(Refused, match="retract what left the chain") as refused:
        watch.judge(usual(401, branch="b"))
    assert refused.value.reason is Reason.OUT_OF_ORDER


def test_learning_after_judging_began_is_refused() -> None:
    watch = learned_watch()

    with pytest.raises(Refused, match="learn the whole training span first") as refused:
        watch.learn(usual(400))
    assert refused.value.reason is Reason.OUT_OF_ORDER


def test_after_a_reorg_everything_is_as_if_the_retracted_blocks_had_never_been() -> None:
    straight, reorged = learned_watch(), learned_watch()
    for number in range(400, 410):
        judge(reorged, usual(number, volume=SURGE if number > 405 else None, price=1_030))
    for number in range(400, 406):
        judge(straight, usual(number, price=1_030))

    reorged.retract(BlockNumber(406))

    assert reorged.state_hash() == straight.state_hash()
    other = usual(406, branch="b", parent_branch="a", volume=SURGE)
    assert judge(reorged, other) == judge(straight, other)
    assert reorged.state_hash() == straight.state_hash()


def test_reorgs_are_followed_as_deep_as_the_heads_are_and_no_deeper() -> None:
    straight, watch = learned_watch(), learned_watch()
    for number in range(400, 400 + DEPTH + 10):
        judge(watch, usual(number))
    for number in range(400, 410):
        judge(straight, usual(number))

    with pytest.raises(Refused, match="up to block 409") as refused:
        watch.retract(BlockNumber(409))
    watch.retract(BlockNumber(410))

    assert refused.value.reason is Reason.OUT_OF_ORDER
    assert watch.state_hash() == straight.state_hash()


def test_what_was_learned_is_not_retracted() -> None:
    watch = learned_watch()

    with pytest.raises(Refused, match="learn anew"):
        watch.retract(BlockNumber(LEARNED - 1))


def test_a_drift_hint_survives_a_reorg_as_everything_does() -> None:
    signal = "    drift:\n      detector: drift\n      most: alert\n      series: {value: [volume]}\n"
    signal += "      parameters: {warmup: 50, least_deviation: 1, delta_ppm: 2_000}\n    oracle:\n"
    straight, reorged = (SeriesWatch(make_series_policy(("    oracle:\n", signal))) for _ in range(2))
    for watch in (straight, reorged):
        for number in range(300):
            watch.learn(usual(number))
        watch.begin()
    for number in range(300, 420):
        judge(reorged, usual(number, volume=10**7))

    reorged.retract(BlockNumber(300))
    hinted = [
        [bool(judge(watch, usual(number, volume=5 * 10**6)).hints) for number in range(300, 400)]
        for watch in (straight, reorged)
    ]

    assert hinted[0] == hinted[1]
    assert any(hinted[0])


# ---------------------------------------------------------------------- the state's hash


def test_the_state_hash_is_the_same_for_the_same_chain_and_policy() -> None:
    assert learned_watch().state_hash() == learned_watch().state_hash()


def test_the_state_hash_changes_with_each_value_and_with_the_policy() -> None:
    watch, other, renamed = (
        learned_watch(),
        learned_watch(),
        learned_watch(make_series_policy(("small", "large"))),
    )
    judge(watch, usual(400))
    judge(other, usual(400, volume=10**6 + 1))

    assert len({each.state_hash() for each in (watch, other, renamed, learned_watch())}) == 4


def test_copies_and_judgements_do_not_disturb_each_other() -> None:
    watch = learned_watch()
    twin = copy.deepcopy(watch)
    before = twin.state_hash()

    judge(watch, usual(400, volume=SURGE))

    assert twin.state_hash() == before


# ---------------------------------------------------------------------- periods


def test_points_of_a_period_have_a_gap_where_a_period_is_missing() -> None:
    policy = make_series_policy(("each: block, seconds: 12", "each: period, seconds: 60"))
    whole, holed = SeriesWatch(policy), SeriesWatch(policy)

    # five blocks a minute; the last block of each minute stands for it
    levels = [judge(whole, usual(number, price=1_030)).level for number in (4, 9, 14)]
    broken = [judge(holed, usual(number, price=1_030)).level for number in (4, 9, 19)]

    assert levels == [None, None, Level.PAUSE]
    assert broken == [None, None, None]


# ---------------------------------------------------------------------- the policy


def test_a_policy_is_named_by_its_hash_and_what_was_learned_is_part_of_it() -> None:
    policy = make_series_policy()
    published = policy.with_learned(hash_at(1))

    assert policy.hash == make_series_policy().hash
    assert published.hash != policy.hash
    assert published.rules_hash == policy.rules_hash
    written = make_series_policy(("version: 1\n", f"version: 1\nlearned: 0x{hash_at(1).hex()}\n"))
    assert written.hash == published.hash


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tocsin_series: 1", "tocsin_series: 2", "from 1 to 1"),
        ("each: block", "each: day", "expected one of block, period"),
        ("window: 1_000", "window: 99", "from 100 to 1000000"),
        ("common_ppm: 100_000", "common_ppm: 0", "from 1 to 1000000"),
        (
            "at most five false alerts per hour and rule",
            "few false alerts",
            "line 8: budgets.*expected a budget",
        ),
        ("at most one false limit", "at most one false alert", "one budget for each level"),
        ("at most one false limit", "at most six false limits", "must not have more false alarms"),
        ("at most five false alerts", "at most 300 false alerts", "at every point"),
        (
            "detector: abnormal_volume",
            "detector: crystal_ball",
            "no series detector is called 'crystal_ball'",
        ),
        ("most: limit", "most: panic", "expected one of alert, limit, freeze, pause"),
        ("{value: [volume]}", "{}", "the key `value` is missing"),
        ("{value: [volume]}", "{value: [a, b]}", "at most 1 entries are read, 2 came"),
        ("references: [market]", "references: [market, market]", "different series, came 2"),
        ("{value: [volume]}", "{value: [Volume]}", "a name starts with a-z"),
        ("warmup: 50, ", "", "the key `warmup` is missing"),
        ("warmup: 50", "warmup: 1", "from 2 to 1000000"),
        ("version: 1\n", "version: 1\nlearned: 0x12\n", "expected 0x and 64 digits"),
        ("version: 1\n", "version: 1\nlearnt: 1\n", "unknown key"),
        ("  pool:\n", "  Pool:\n", "a name starts with a-z"),
        ("cooldown_points: 10", "cooldown_points: -1", "from 0 to 1000000"),
        ("seconds: 12", "seconds: 0", "from 1 to"),
    ],
)
def test_a_policy_that_breaks_the_format_is_refused_at_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        make_series_policy((old, new))

    assert refused.value.reason is Reason.POLICY_INVALID
    assert "line " in refused.value.message


def test_the_policy_to_copy_parses_and_runs() -> None:
    policy = read_series_policy(GENERAL.with_name("series.yaml"))
    names = {
        name
        for signals in policy.rules.values()
        for each in signals.values()
        for names in each.series.values()
        for name in names
    }

    judgements = SeriesWatch(policy).judge(make_sample(1, dict.fromkeys(names, 1_000)))

    assert [(each.rule, each.level, each.unjudged) for each in judgements] == [
        ("pool", Level.PAUSE, ()),  # all that was supplied is lent out
        ("solvency", None, ()),
    ]


def test_a_policy_file_that_breaks_the_format_is_refused_with_its_path(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(POLICY.replace("tocsin_series: 1", "tocsin_series: 9"))

    with pytest.raises(Refused, match=r"broken\.yaml"):
        read_series_policy(file)


def test_a_policy_without_budgets_rules_or_signals_is_refused() -> None:
    head, _, rules = POLICY.partition("rules:\n")
    for text, message in [
        (head[: head.index("budgets:")] + "budgets: []\nrules:\n" + rules, "nothing is ever raised"),
        (head + "rules: {}\n", "expected 1 to 128 rules"),
        (head + "rules: {pool: {}}\n", "expected 1 to 32 signals"),
    ]:
        with pytest.raises(Refused, match=message):
            parse_series_policy(text.encode())
