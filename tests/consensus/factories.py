"""Keys, operator sets, alerts and attestations with good defaults; state in the test what it rests on.

Deterministic: key i is derived from sha256(i), so vectors and failures repeat.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

from consensus.alert import (
    Action,
    Alert,
    Slot,
    Verdict,
    compute_action_id,
    compute_network_id,
    compute_rule_id,
)
from consensus.attestation import Attestation, attest
from consensus.bls import GROUP_ORDER, PublicKey, Purpose, SecretKey, Signature, sign
from consensus.fields import address_from_bytes
from consensus.operators import Operator, OperatorSet
from consensus.types import (
    Address,
    BlockHash,
    BlockNumber,
    ChainId,
    Digest,
    Epoch,
    HeaderHash,
    OperatorIndex,
    PolicyHash,
    Seconds,
    Weight,
)

CHAIN_ID = ChainId(31_337)
CAPTURE_TIME = Seconds(1_700_000_000)
OBSERVED_AT = Seconds(CAPTURE_TIME + 3_600)
EXPIRES_AT = Seconds(OBSERVED_AT + 900)
NOW = Seconds(OBSERVED_AT + 60)
EQUAL_WEIGHTS = (1_000,) * 7


def make_bytes32(label: str) -> bytes:
    """32 bytes that stand for whatever the label says."""
    return sha256(label.encode()).digest()


def make_address(label: str) -> Address:
    return address_from_bytes(make_bytes32(label)[:20])


REGISTRY = make_address("registry")
GUARDIAN = make_address("guardian")
NETWORK_ID = compute_network_id(CHAIN_ID, REGISTRY)


@cache
def make_secret(number: int) -> SecretKey:
    seed = sha256(number.to_bytes(4, "big")).digest()
    return SecretKey(1 + int.from_bytes(seed, "big") % (GROUP_ORDER - 1))


@cache
def make_public_key(number: int) -> PublicKey:
    return make_secret(number).public_key()


@cache
def make_operator(index: int, weight: int = 1_000) -> Operator:
    """Operator `index`, whose secret is `make_secret(index)`."""
    return Operator(
        index=OperatorIndex(index),
        address=make_address(f"operator {index}"),
        weight=Weight(weight),
        public_key=make_public_key(index),
        peer_id=f"peer-{index}",
    )


@cache
def make_operator_set(
    weights: Sequence[int] = EQUAL_WEIGHTS,
    epoch: int = 1,
    capture_time: int = CAPTURE_TIME,
    valid_until: int = CAPTURE_TIME + 30 * 86_400,
) -> OperatorSet:
    """A set with these weights; pass a tuple. Operator i signs with `make_secret(i)` in every epoch."""
    return OperatorSet(
        epoch=Epoch(epoch),
        operators=tuple(make_operator(index, weight) for index, weight in enumerate(weights)),
        capture_block=BlockNumber(1_000 * epoch),
        capture_time=Seconds(capture_time),
        valid_until=Seconds(valid_until),
        prev_header_hash=HeaderHash(make_bytes32(f"header {epoch - 1}")),
    )


def make_slot(**changes: Any) -> Slot:
    slot = Slot(
        policy_hash=PolicyHash(make_bytes32("policy")),
        rule_id=compute_rule_id("drain"),
        source_chain_id=CHAIN_ID,
        anchor_number=BlockNumber(4_200),
        anchor_hash=BlockHash(make_bytes32("anchor")),
    )
    return replace(slot, **changes)


def make_action(**changes: Any) -> Action:
    action = Action(chain_id=CHAIN_ID, guardian=GUARDIAN, action_id=compute_action_id("pause"))
    return replace(action, **changes)


def make_alert(operator_set: OperatorSet | None = None, **changes: Any) -> Alert:
    """An alert of the set's epoch, with one pause action; every field can be replaced."""
    operator_set = operator_set or make_operator_set()
    alert = Alert(
        network_id=NETWORK_ID,
        epoch=operator_set.epoch,
        header_hash=operator_set.header_hash(),
        slot=make_slot(),
        verdict=Verdict.THREAT,
        observed_at=OBSERVED_AT,
        expires_at=EXPIRES_AT,
        evidence_hash=make_bytes32("evidence"),
        actions=(make_action(),),
    )
    return replace(alert, **changes)


def make_attestation(alert: Alert | None = None, operator_index: int = 0) -> Attestation:
    """Operator `operator_index`'s honest signature over the alert."""
    index = OperatorIndex(operator_index)
    return attest(alert or make_alert(), index, make_secret(operator_index))


def make_signature(number: int, digest: Digest, purpose: Purpose = Purpose.ALERT) -> Signature:
    return sign(make_secret(number), purpose, digest)
