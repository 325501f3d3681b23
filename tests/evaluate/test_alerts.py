"""Alerts: each field follows from finding, policy and operator set, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.alert import ZERO32, Verdict, compute_action_id, compute_rule_id
from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, Digest, Seconds
from node.evaluate.alerts import build_alert
from node.evaluate.findings import Anchor, Finding
from tests.consensus.factories import CHAIN_ID, NETWORK_ID, make_bytes32, make_operator_set
from tests.evaluate.policies import GUARDIAN, GUARDIAN_AWAY, make_policy

DELAY = Seconds(100)
FINDING = Finding(
    rule="watch",
    anchor=Anchor(
        chain_id=CHAIN_ID,
        number=BlockNumber(7),
        hash=BlockHash(make_bytes32("block 7")),
        timestamp=Seconds(2_000),
    ),
    observations=(),
    evidence_hash=Digest(make_bytes32("evidence")),
)


def test_every_field_follows_from_finding_policy_and_set() -> None:
    policy = make_policy()
    operator_set = make_operator_set(epoch=4, capture_time=1_000)

    alert = build_alert(
        FINDING, policy, network_id=NETWORK_ID, operator_sets=[operator_set], activation_delay=DELAY
    )

    assert (alert.network_id, alert.epoch, alert.header_hash) == (NETWORK_ID, 4, operator_set.header_hash())
    assert (alert.slot.policy_hash, alert.slot.rule_id) == (policy.hash, compute_rule_id("watch"))
    assert (alert.slot.source_chain_id, alert.slot.anchor_number) == (CHAIN_ID, 7)
    assert (alert.slot.anchor_hash, alert.slot.subject) == (FINDING.anchor.hash, ZERO32)
    assert (alert.verdict, alert.evidence_hash) == (Verdict.THREAT, FINDING.evidence_hash)
    assert (alert.observed_at, alert.expires_at) == (2_000, 2_900)


def test_all_actions_of_the_rule_stand_in_the_alert_in_the_rules_order() -> None:
    alert = build_alert(
        FINDING,
        make_policy(),
        network_id=NETWORK_ID,
        operator_sets=[make_operator_set(capture_time=1_000)],
        activation_delay=DELAY,
    )

    assert [(each.chain_id, each.guardian, each.action_id, each.params) for each in alert.actions] == [
        (10, GUARDIAN_AWAY, compute_action_id("pause"), b"\x01\x02"),
        (31_337, GUARDIAN, compute_action_id("limit"), b""),
        (31_337, GUARDIAN, compute_action_id("pause"), b""),
    ]


@pytest.mark.parametrize(("observed_at", "epoch"), [(1_999, 1), (2_100, 2), (2_099, 1), (5_000, 2)])
def test_the_epoch_is_the_newest_that_was_active_when_the_block_was_made(
    observed_at: int, epoch: int
) -> None:
    sets = [make_operator_set(epoch=2, capture_time=2_000), make_operator_set(epoch=1, capture_time=1_000)]
    finding = replace(FINDING, anchor=replace(FINDING.anchor, timestamp=Seconds(observed_at)))

    alert = build_alert(
        finding, make_policy(), network_id=NETWORK_ID, operator_sets=sets, activation_delay=DELAY
    )

    assert alert.epoch == epoch


def test_without_an_active_set_there_is_no_alert() -> None:
    with pytest.raises(Refused) as refusal:
        build_alert(
            FINDING,
            make_policy(),
            network_id=NETWORK_ID,
            operator_sets=[make_operator_set(capture_time=1_901)],
            activation_delay=DELAY,
        )

    assert refusal.value.reason is Reason.UNKNOWN_EPOCH
