"""The bench of rules measures what it says: a thousand rules, judged at every block, some of them ringing."""

from __future__ import annotations

from node.evaluate.expressions import Read
from node.evaluate.judging import Judge
from tests.bench.rules import RULES, SIGNALS, make_policy, measure


async def test_a_thousand_rules_over_two_hundred_signals_are_judged_at_every_block() -> None:
    policy = make_policy()

    samples, said = await measure(2)

    assert (len(policy.rules), len(policy.signals), len(samples)) == (RULES, SIGNALS, 2) == (1_000, 200, 2)
    reads = {read for rule in policy.rules for read in Judge.of(rule.condition).reads}
    assert {read.signal for read in reads} == {signal.name for signal in policy.signals}
    assert Read("s3", 5) in reads
    assert said > 0
