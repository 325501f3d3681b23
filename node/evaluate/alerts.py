"""From a finding to the alert that is signed: policy, operator set and block decide every byte of it."""

from __future__ import annotations

from collections.abc import Iterable

from consensus.alert import Alert, Slot, Verdict, compute_rule_id
from consensus.operators import OperatorSet, epoch_at
from consensus.types import NetworkId, Seconds
from node.evaluate.findings import Finding
from node.evaluate.policy import Policy


def build_alert(
    finding: Finding,
    policy: Policy,
    *,
    network_id: NetworkId,
    operator_sets: Iterable[OperatorSet],
    activation_delay: Seconds,
) -> Alert:
    """The alert that this finding asks for, with all actions of its rule, on all chains, in the rule's order.

    The epoch follows from the block's time, so that watchers do not split at a rotation. Raises `Refused`
    (UNKNOWN_EPOCH) when no operator set was active at that time.
    """
    sets = {each.epoch: each for each in operator_sets}
    observed_at = finding.anchor.timestamp
    epoch = epoch_at(sets.values(), observed_at, activation_delay)
    rule_id = compute_rule_id(finding.rule)
    return Alert(
        network_id=network_id,
        epoch=epoch,
        header_hash=sets[epoch].header_hash(),
        slot=Slot(
            policy_hash=policy.hash,
            rule_id=rule_id,
            source_chain_id=finding.anchor.chain_id,
            anchor_number=finding.anchor.number,
            anchor_hash=finding.anchor.hash,
            subject=finding.subject,
        ),
        verdict=Verdict.THREAT,
        observed_at=observed_at,
        expires_at=Seconds(observed_at + policy.ttl_seconds),
        evidence_hash=finding.evidence_hash,
        actions=tuple(each.action for each in policy.actions_of(rule_id)),
    )
