"""What leaves evaluation, a finding or an unknown, and the question that comes in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.alert import ZERO32
from consensus.errors import Reason
from consensus.fields import keccak256
from consensus.types import (
    BlockHash,
    BlockNumber,
    ChainId,
    Digest,
    Epoch,
    OperatorIndex,
    PolicyHash,
    RuleId,
    Seconds,
)
from node.evaluate.expressions import Read, Undefined
from node.evaluate.views import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The block at which a rule was evaluated."""

    chain_id: ChainId
    number: BlockNumber
    hash: BlockHash
    timestamp: Seconds

    @classmethod
    def of(cls, block: Block) -> Anchor:
        return cls(chain_id=block.chain_id, number=block.number, hash=block.hash, timestamp=block.timestamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The value of one signal, `blocks_ago` blocks before the anchor; None where it had no value."""

    signal: str
    blocks_ago: int
    value: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule became true at this block, and is not within its cooldown."""

    rule: str
    anchor: Anchor
    observations: tuple[Observation, ...]
    evidence_hash: Digest
    subject: bytes = ZERO32
    """The pending transaction's hash, for a finding about one; else zero."""
    summary: str = ""
    """For people; nothing of it is signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nothing can be said about this rule at this block: neither fine nor attack.

    Reason SOURCE_UNAVAILABLE may be resolved by evaluating the same block again; every other reason is a fact
    of the chain at that block.
    """

    rule: str
    anchor: Anchor
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A member signed an alert that we have not raised: does our own view of that block say the same?"""

    policy_hash: PolicyHash
    rule_id: RuleId
    chain_id: ChainId
    anchor_number: BlockNumber
    anchor_hash: BlockHash
    subject: bytes = ZERO32
    """The pending transaction that it is about; zero for a rule about blocks."""
    asked_by: tuple[Epoch, OperatorIndex] | None = field(default=None, compare=False)
    """The member whose signature it comes from, of its epoch's set."""


def observe(values: Mapping[Read, int | Undefined]) -> tuple[Observation, ...]:
    """The values that a rule was judged by, in the order of signals and of blocks back."""
    return tuple(
        Observation(
            signal=read.signal,
            blocks_ago=read.blocks_ago,
            value=None if isinstance(value, Undefined) else value,
        )
        for read, value in sorted(values.items())
    )


def compute_evidence_hash(
    rule: str, anchor: Anchor, observations: tuple[Observation, ...], *, subject: bytes = ZERO32
) -> Digest:
    """keccak256 of the evidence as JSON, sorted and without blanks; values are decimal text or null. It names
    the pending transaction where it is about one."""
    evidence: dict[str, object] = {
        "format": "tocsin.evidence.v1",
        "rule": rule,
        "chain_id": anchor.chain_id,
        "block_number": anchor.number,
        "block_hash": f"0x{anchor.hash.hex()}",
        "values": [
            [each.signal, each.blocks_ago, None if each.value is None else str(each.value)]
            for each in observations
        ],
    }
    if subject != ZERO32:
        evidence["subject"] = f"0x{subject.hex()}"
    canonical = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Digest(keccak256(canonical.encode("ascii")))
