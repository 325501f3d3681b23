"""A rule about pending transactions, on what one would do.

Only tokens that the policy names count, and native coin where it says so: of a token of one's own anybody can
give a contract a thousand, and take them out again. What is judged and named as evidence are balances before
and after, which every simulator tells alike; gas and calls are not among it.
"""

from __future__ import annotations

from dataclasses import replace

from consensus.errors import Broken
from node.chain.types import BlockRef
from node.detect.evidence import Evidence
from node.detect.levels import Levels
from node.detect.pending_drain import PendingDrain
from node.evaluate.findings import Anchor, Finding, Observation, compute_evidence_hash
from node.evaluate.policy import PendingDetectionRule, PendingRule
from node.pending import NATIVE, HoldingChange, Simulation
from node.trace import Account, Token, TokenUnits


def find_scope(rule: PendingRule) -> tuple[frozenset[Account], dict[Token, TokenUnits]]:
    """Whose holdings count, and of which tokens from how many units on."""
    least = {Token(Account(token.address.lower())): TokenUnits(units) for token, units in rule.tokens}
    if rule.coin_wei is not None:
        least[NATIVE] = TokenUnits(rule.coin_wei)
    return frozenset(Account(each.address.lower()) for each in rule.contracts), least


def judge(rule: PendingRule, simulation: Simulation, anchor: Anchor, subject: bytes) -> Finding | None:
    """What the rule says of it at that block; None: nothing."""
    evidence = find_drain(rule, simulation)
    if evidence is None:
        return None
    observations = tuple(each for change in _count(rule, simulation) for each in _observe(change))
    return Finding(
        rule=rule.name,
        anchor=anchor,
        observations=observations,
        evidence_hash=compute_evidence_hash(rule.name, anchor, observations, subject=subject),
        subject=subject,
        summary=evidence.summary,
    )


def find_drain(rule: PendingRule, simulation: Simulation) -> Evidence | None:
    """The drain of what the rule counts, where it is as large as the rule asks for."""
    _, least = find_scope(rule)
    drain = PendingDrain(least_bps=rule.threshold_bps, least_units=least)
    return drain.judge(replace(simulation, changes=_count(rule, simulation)))


def _count(rule: PendingRule, simulation: Simulation) -> tuple[HoldingChange, ...]:
    holders, least = find_scope(rule)
    return tuple(
        sorted(
            (each for each in simulation.changes if each.holding[0] in least and each.holding[1] in holders),
            key=lambda each: each.holding,
        )
    )


def levels_of(rule: PendingDetectionRule) -> Levels:
    """The detection that the rule names."""
    levels = rule.signal.values
    if not isinstance(levels, Levels):
        raise Broken(f"the rule {rule.name} names {rule.signal.name}, which is no detection")
    return levels


def concerns_detection(simulation: Simulation) -> bool:
    """Whether detectors would be asked about it in its block: it touches what they watch."""
    return bool(simulation.trace.frames or simulation.trace.transfers)


def judge_by_detection(
    rule: PendingDetectionRule, simulation: Simulation, at: BlockRef, subject: bytes
) -> Finding | None:
    """What the detection that the rule names says of it right after that block; None: less than its level.

    A function of what the detection learned, of the chain up to that block, and of the transaction. Raises
    `Unavailable` where the detection has not judged up to that block, or has gone on.
    """
    judgement = levels_of(rule).preview(simulation.trace, at)
    if judgement.level is None or judgement.level < rule.level:
        return None
    anchor = Anchor.of(at)
    # the detection's number for such a block, as rules look it up
    observations = (Observation(signal=rule.signal.name, blocks_ago=0, value=judgement.level + 1),)
    return Finding(
        rule=rule.name,
        anchor=anchor,
        observations=observations,
        evidence_hash=compute_evidence_hash(rule.name, anchor, observations, subject=subject),
        subject=subject,
        summary="; ".join((judgement.reason, *(each.evidence.summary for each in judgement.evidence))),
    )


def _observe(change: HoldingChange) -> tuple[Observation, Observation]:
    token, holder = change.holding
    return (
        Observation(signal=f"{token} of {holder} before", blocks_ago=0, value=change.before),
        Observation(signal=f"{token} of {holder} after", blocks_ago=0, value=change.after),
    )
