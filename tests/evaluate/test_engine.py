"""The engine: edges, cooldown windows, unknowns; the chain alone decides, not what was seen before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import Alert, compute_rule_id
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.evaluate.alerts import build_alert
from node.evaluate.engine import SPARE_BLOCKS, Engine
from node.evaluate.findings import Finding, Question, Unknown
from node.evaluate.policy import Policy
from node.policies import read_policy
from tests.consensus.factories import NETWORK_ID, make_operator_set
from tests.evaluate.policies import EXAMPLE, make_drain_policy, make_policy
from tests.evaluate.recorded import RecordedBlock, RecordedChain, RecordedView, make_answers, make_chain


def rows(values: Iterable[int | None]) -> list[dict[str, int | None]]:
    return [{"x": value} for value in values]


async def run(
    engine: Engine, chain: RecordedChain, blocks: Sequence[RecordedBlock]
) -> list[Finding | Unknown]:
    """Everything the engine says about these blocks, in order."""
    return [said for block in blocks for said in await engine.evaluate(chain.view(block))]


async def fired_at(policy: Policy, values: Sequence[int | None]) -> list[int]:
    """The numbers of the blocks at which the policy's rule fires, evaluated in order."""
    chain, blocks = make_chain(policy, rows(values))
    said = await run(Engine(policy), chain, blocks)
    return [each.anchor.number for each in said if isinstance(each, Finding)]


def make_question(policy: Policy, block: RecordedBlock, *, rule: str = "watch") -> Question:
    return Question(
        policy_hash=policy.hash,
        rule_id=compute_rule_id(rule),
        chain_id=block.chain_id,
        anchor_number=block.number,
        anchor_hash=block.hash,
    )


async def test_a_rule_fires_where_it_becomes_true_and_not_while_it_stays_true() -> None:
    assert await fired_at(make_policy("x > 100"), [0, 0, 101, 102, 103, 0, 0, 200]) == [2, 7]


async def test_a_rule_that_is_true_in_the_first_block_of_the_chain_fires_there() -> None:
    assert await fired_at(make_policy("x > 100"), [101, 101]) == [0]


async def test_a_parent_without_value_counts_as_not_true() -> None:
    assert await fired_at(make_policy("x > 100"), [0, None, 101, 101]) == [2]


async def test_a_reverted_call_is_unknown_not_a_verdict() -> None:
    policy = make_policy("not x > 100")
    chain, blocks = make_chain(policy, rows([200, None]))

    said = await Engine(policy).evaluate(chain.view(blocks[1]))

    assert [(each.rule, each.reason) for each in said if isinstance(each, Unknown)] == [
        ("watch", Reason.SIGNAL_UNDEFINED)
    ]


async def test_a_call_to_no_contract_is_unknown() -> None:
    policy = make_policy("x == 0")
    chain, blocks = make_chain(policy, [{}])

    (said,) = await Engine(policy).evaluate(chain.view(blocks[0]))

    assert isinstance(said, Unknown)
    assert "no contract is there" in said.message


async def test_a_look_back_before_the_chain_began_is_unknown() -> None:
    policy = make_policy("x > prev(x, 2)")
    chain, blocks = make_chain(policy, rows([1, 2, 3]))

    said = await run(Engine(policy), chain, blocks)

    assert [each.reason for each in said if isinstance(each, Unknown)] == [Reason.HISTORY_TOO_SHORT] * 2
    assert [each.anchor.number for each in said if isinstance(each, Finding)] == [2]


@pytest.mark.parametrize("silent", [3, 2], ids=["the block itself", "its parent"])
async def test_a_silent_source_is_unknown_and_the_block_can_be_asked_again(silent: int) -> None:
    policy = make_policy("x > 100")
    chain, blocks = make_chain(policy, rows([0, 0, 0, 101]))
    engine = Engine(policy)
    chain.silent.add(blocks[silent].hash)

    (first,) = await engine.evaluate(chain.view(blocks[3]))
    chain.silent.clear()
    (second,) = await engine.evaluate(chain.view(blocks[3]))

    assert isinstance(first, Unknown)
    assert first.reason is Reason.SOURCE_UNAVAILABLE
    assert isinstance(second, Finding)


async def test_a_silent_source_inside_the_window_is_unknown_not_a_second_firing() -> None:
    policy = make_policy("x > 100", cooldown_blocks=10)
    chain, blocks = make_chain(policy, rows([0, 0, 101, 0, 0, 101]))
    chain.silent.add(blocks[2].hash)

    (said,) = await Engine(policy).evaluate(chain.view(blocks[5]))

    assert isinstance(said, Unknown)
    assert said.reason is Reason.SOURCE_UNAVAILABLE


async def test_a_refused_prefetch_leaves_every_rule_unknown() -> None:
    class Mute(RecordedView):
        async def prefetch(self, calls: object, **_others: object) -> None:
            raise Unavailable("no source answers")

    policy = make_policy("x > y")
    chain, blocks = make_chain(policy, [{"x": 1, "y": 0}])

    (said,) = await Engine(policy).evaluate(Mute(chain, blocks[0]))

    assert isinstance(said, Unknown)
    assert said.reason is Reason.SOURCE_UNAVAILABLE


async def test_only_a_revert_is_a_fact_of_the_chain() -> None:
    class Faulty(RecordedView):
        async def eth_call(self, to: object, data: object) -> bytes:
            raise Refused(Reason.WRONG_TYPE, "a fault of ours")

    policy = make_policy()
    chain, blocks = make_chain(policy, rows([1]))

    with pytest.raises(Refused, match="a fault of ours"):
        await Engine(policy).evaluate(Faulty(chain, blocks[0]))


async def test_within_a_cooldown_window_only_the_first_edge_fires() -> None:
    values = [0, 101, 0, 101, 0, 0, 101, 0, 101, 0]

    assert await fired_at(make_policy(cooldown_blocks=0), values) == [1, 3, 6, 8]
    assert await fired_at(make_policy(cooldown_blocks=5), values) == [1, 6]
    assert await fired_at(make_policy(cooldown_blocks=100), values) == [1]


async def test_a_flickering_rule_cannot_hold_its_cooldown_open() -> None:
    flicker = [101 if number % 2 else 0 for number in range(60)]

    assert await fired_at(make_policy(cooldown_blocks=10), flicker) == [1, 11, 21, 31, 41, 51]


async def test_a_rule_that_was_true_before_the_window_began_has_not_fired_in_it() -> None:
    # true from 4 on, false at 6, true again at 7: the edge at 7 is the first of the window that starts at 5
    assert await fired_at(make_policy(cooldown_blocks=5), [0, 0, 0, 0, 101, 101, 0, 101]) == [4, 7]


async def test_a_drain_fires_at_its_threshold_and_not_below() -> None:
    policy = make_drain_policy(window_blocks=2, threshold_bps=6_000)

    assert await fired_at(policy, [1_000, 1_000, 1_000, 401]) == []
    assert await fired_at(policy, [1_000, 1_000, 1_000, 400]) == [3]


async def test_a_drain_in_steps_is_seen_over_the_window() -> None:
    assert await fired_at(make_drain_policy(window_blocks=2), [1_000, 1_000, 700, 400]) == [3]
    assert await fired_at(make_drain_policy(window_blocks=1), [1_000, 1_000, 700, 400]) == []


async def test_nothing_drains_from_an_empty_or_growing_balance() -> None:
    assert await fired_at(make_drain_policy(window_blocks=1), [0, 0, 10, 10, 20]) == []


async def test_the_evidence_holds_every_value_that_was_read() -> None:
    policy = make_policy("x > 100 or y // prev(x, 1) > 3")
    chain, blocks = make_chain(policy, [{"x": 0, "y": None}, {"x": 101, "y": None}])

    (finding,) = await run(Engine(policy), chain, blocks[1:])

    assert isinstance(finding, Finding)
    assert [(each.signal, each.blocks_ago, each.value) for each in finding.observations] == [
        ("x", 0, 101),
        ("x", 1, 0),
        ("y", 0, None),
    ]


async def test_the_evidence_hash_changes_with_the_values_and_with_the_block() -> None:
    policy = make_policy()
    findings = []
    for value, branch in ((101, ""), (102, ""), (101, "other")):
        chain = RecordedChain(policy.source_chain_id)
        genesis = chain.extend(None, make_answers(policy, x=0))
        block = chain.extend(genesis, make_answers(policy, x=value), branch=branch)
        findings += await run(Engine(policy), chain, [block])

    assert len({each.evidence_hash for each in findings if isinstance(each, Finding)}) == 3


async def test_a_block_of_another_chain_is_refused() -> None:
    policy = make_policy()
    chain = RecordedChain(ChainId(1))
    block = chain.extend(None, {})

    with pytest.raises(Refused) as refusal:
        await Engine(policy).evaluate(chain.view(block))

    assert refusal.value.reason is Reason.WRONG_CHAIN


async def test_an_answer_is_what_evaluation_at_that_block_says() -> None:
    policy = make_policy(cooldown_blocks=5)
    chain, blocks = make_chain(policy, rows([0, 101, 0, 101, 0, None, 0, 101]))

    for block in blocks:
        expected = await Engine(policy).evaluate(chain.view(block))
        answered = await Engine(policy).answer(make_question(policy, block), chain.view(block))

        assert (() if answered is None else (answered,)) == expected


async def test_a_question_about_another_policy_is_refused() -> None:
    policy = make_policy()
    chain, (block,) = make_chain(policy, rows([0]))
    question = make_question(make_policy("x > 101"), block)

    with pytest.raises(Refused) as refusal:
        await Engine(policy).answer(question, chain.view(block))

    assert refusal.value.reason is Reason.WRONG_POLICY


async def test_a_question_about_an_unknown_rule_is_refused() -> None:
    policy = make_policy()
    chain, (block,) = make_chain(policy, rows([0]))

    with pytest.raises(Refused) as refusal:
        await Engine(policy).answer(make_question(policy, block, rule="other"), chain.view(block))

    assert refusal.value.reason is Reason.UNKNOWN_RULE


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": ChainId(1)},
        {"anchor_number": BlockNumber(0)},
        {"anchor_hash": BlockHash(bytes(32))},
    ],
    ids=str,
)
async def test_a_question_about_another_block_than_the_views_is_refused(change: dict[str, Any]) -> None:
    policy = make_policy()
    chain, blocks = make_chain(policy, rows([0, 101]))
    question = replace(make_question(policy, blocks[1]), **change)

    with pytest.raises(Refused) as refusal:
        await Engine(policy).answer(question, chain.view(blocks[1]))

    assert refusal.value.reason is Reason.ANCHOR_MISMATCH


async def test_a_running_engine_reads_each_block_once() -> None:
    policy = make_policy("x > 100 and prev(x, 3) < 100", cooldown_blocks=10)
    chain, blocks = make_chain(policy, rows([0, 1, 2, 3, 101, 2, 101, 0, 101]))
    engine = Engine(policy)

    await run(engine, chain, blocks)

    assert chain.reads == len(blocks)


async def test_the_caches_stay_within_their_bound() -> None:
    policy = make_policy("x > 100 and prev(x, 3) < 100", cooldown_blocks=10)
    chain, blocks = make_chain(policy, rows([0] * 400))
    engine = Engine(policy)

    await run(engine, chain, blocks)

    signals, rules = 2, 1
    assert engine.statistics().cached_values <= signals * (3 + SPARE_BLOCKS) + rules * (10 + SPARE_BLOCKS)


async def test_statistics_count_blocks_findings_and_unknowns() -> None:
    policy = make_policy()
    chain, blocks = make_chain(policy, rows([0, 101, None, None]))
    engine = Engine(policy)

    await run(engine, chain, blocks)

    statistics = engine.statistics()
    assert (statistics.blocks_evaluated, statistics.last_block_number, statistics.findings) == (4, 3, 1)
    assert statistics.unknowns == {Reason.SIGNAL_UNDEFINED: 2}


_values = st.lists(st.sampled_from([0, 50, 101, 200, None]), min_size=1, max_size=40)


@settings(deadline=None)
@given(
    values=_values,
    start=st.integers(0, 39),
    cooldown_blocks=st.sampled_from([0, 1, 3, 7, 16]),
    when=st.sampled_from(["x > 100", "x > prev(x, 1)", "100 // x > 1", "x + 100 < prev(x, 4) or x == 200"]),
)
def test_an_engine_that_starts_late_signs_the_same_alerts(
    values: list[int | None], start: int, cooldown_blocks: int, when: str
) -> None:
    async def compare() -> None:
        policy = make_policy(when, cooldown_blocks=cooldown_blocks)
        chain, blocks = make_chain(policy, rows(values))
        early, late = Engine(policy), Engine(policy)

        from_the_start = await run(early, chain, blocks)
        from_later_on = await run(late, chain, blocks[start:])

        assert alerts_of(policy, from_later_on) == [
            alert for alert in alerts_of(policy, from_the_start) if alert.slot.anchor_number >= start
        ]

    trio.run(compare)


@settings(deadline=None)
@given(
    common=st.lists(st.sampled_from([0, 101]), min_size=1, max_size=8),
    abandoned=st.lists(st.sampled_from([0, 101, None]), min_size=1, max_size=8),
    canonical=st.lists(st.sampled_from([0, 101, None]), min_size=1, max_size=8),
)
def test_an_engine_that_saw_a_reorganisation_signs_the_same_alerts(
    common: list[int], abandoned: list[int | None], canonical: list[int | None]
) -> None:
    async def compare() -> None:
        policy = make_policy(cooldown_blocks=6)
        chain, trunk = make_chain(policy, rows(common))
        branches: dict[str, list[RecordedBlock]] = {}
        for name, values in (("abandoned", abandoned), ("canonical", canonical)):
            tip = trunk[-1]
            branches[name] = []
            for value in values:
                tip = chain.extend(tip, make_answers(policy, x=value), branch=name)
                branches[name].append(tip)
        surprised, lucky = Engine(policy), Engine(policy)

        await run(surprised, chain, [*trunk, *branches["abandoned"]])
        after_the_reorg = await run(surprised, chain, branches["canonical"])
        without_it = await run(lucky, chain, branches["canonical"])

        assert after_the_reorg == without_it

    trio.run(compare)


def alerts_of(policy: Policy, said: Sequence[Finding | Unknown]) -> list[Alert]:
    return [
        build_alert(
            finding,
            policy,
            network_id=NETWORK_ID,
            operator_sets=(make_operator_set(capture_time=1_600_000_000),),
            activation_delay=Seconds(0),
        )
        for finding in said
        if isinstance(finding, Finding)
    ]


async def test_the_example_policy_rings_when_its_pool_is_drained() -> None:
    policy = read_policy(EXAMPLE)
    quiet = {"cash": 1_000, "shares": 500, "owner": 7}
    drained = {**quiet, "cash": 300}
    chain, blocks = make_chain(policy, [quiet] * 7 + [drained])
    for block in blocks:  # accounting() returns two words, of which the policy reads the second
        assets = next(each for each in policy.signals if each.name == "assets")
        answers = dict(block.answers) | {(assets.to, assets.calldata): bytes(32) + (500).to_bytes(32, "big")}
        object.__setattr__(block, "answers", answers)

    said = await run(Engine(policy), chain, blocks[5:])

    assert [(type(each), each.rule, each.anchor.number) for each in said] == [(Finding, "cash-drained", 7)]
