"""Rules about pending transactions: what they may say, and that every part of them is in the hash."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from consensus.alert import compute_rule_id
from consensus.errors import Reason, Refused
from node.evaluate.policy import PendingRule, Policy, parse_policy
from node.evaluate.problems import DocumentRefused
from node.evaluate.vocabulary import policy_schema
from tests.evaluate.policies import POOL, TOKEN, make_policy_text

RULE = """
    kind: pending
    contracts: [pool]
    tokens: {token: 1_000}
    coin: 5
    threshold_bps: 5_000
    block_seconds: 12
    actions: [stop]
"""


def make(text: str = RULE) -> Policy:
    return parse_policy(make_policy_text(text).encode())


def rule_of(text: str = RULE) -> PendingRule:
    (rule,) = make(text).pending_rules
    assert isinstance(rule, PendingRule)
    return rule


def test_a_pending_rule_names_holders_tokens_and_what_to_ask_for() -> None:
    policy = make()
    rule = rule_of()

    assert policy.rules == ()
    assert [each.address for each in rule.contracts] == [POOL]
    assert [(token.address, units) for token, units in rule.tokens] == [(TOKEN, 1_000)]
    assert (rule.coin_wei, rule.threshold_bps, rule.block_seconds) == (5, 5_000, 12)
    assert [each.name for each in policy.actions_of(compute_rule_id("watch"))] == ["stop"]
    assert policy.pending_rule(compute_rule_id("watch")) == rule


def test_a_rule_of_one_kind_is_not_found_among_the_other() -> None:
    with pytest.raises(Refused) as refused:
        make().rule(compute_rule_id("watch"))
    assert refused.value.reason is Reason.UNKNOWN_RULE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[pool]", "[pool, home]"),
        ("token: 1_000", "token: 1_001"),
        ("coin: 5", "coin: 6"),
        ("    coin: 5\n", ""),
        ("5_000", "5_001"),
        ("12", "13"),
        ("[stop]", "[brake]"),
    ],
)
def test_every_part_of_it_is_in_the_policys_hash(old: str, new: str) -> None:
    assert old in RULE

    assert make(RULE.replace(old, new)).hash != make().hash


def test_order_of_contracts_is_not() -> None:
    assert (
        make(RULE.replace("[pool]", "[pool, home]")).hash == make(RULE.replace("[pool]", "[home, pool]")).hash
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[pool]", "[pol]", "did you mean `pool`"),
        ("[pool]", "[away]", "is on chain 10"),
        ("[pool]", "[pool, pool]", "named twice"),
        ("[pool]", "[]", "at least one contract"),
        ("token: 1_000", "tken: 1_000", "no contract is called 'tken'"),
        ("token: 1_000", "away: 1_000", "is on chain 10"),
        ("token: 1_000", "token: 0", "whole number from 1"),
        ("    tokens: {token: 1_000}\n    coin: 5\n", "", "nothing counts"),
        ("5_000", "10_001", "from 1 to 10000"),
        ("[stop]", "[halt]", "no action is called"),
        ("kind: pending", "kind: pendng", "expected expression, drain, pending or pending_detection"),
        ("    block_seconds: 12\n", "", "`block_seconds` is missing"),
        ("threshold_bps", "treshold_bps", "did you mean `threshold_bps`"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write(old: str, new: str, said: str) -> None:
    assert old in RULE

    with pytest.raises(DocumentRefused) as refused:
        make(RULE.replace(old, new))

    assert any(said in each.message for each in refused.value.problems), refused.value.problems


def test_the_schema_takes_it_and_refuses_an_unknown_key() -> None:
    text = make_policy_text(RULE).replace("_", "_")
    schema = policy_schema()

    jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text.replace("coin: 5", "coins: 5")), schema)
