"""Keys, operator sets, alerts and attestations with good defaults; state in the test what it rests on.

Deterministic: key i is derived from sha256(i), so vectors and failures repeat.
"""

from collections.abc import Iterable, Sequence
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
MIN_EPOCH_INTERVAL = Seconds(3_600)
LIFETIME = 30 * 86_400


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
def make_operator(index: int, weight: int = 1_000, first_key: int = 0) -> Operator:
    """Operator `index`, whose secret is `make_secret(first_key + index)`."""
    number = first_key + index
    return Operator(
        index=OperatorIndex(index),
        address=make_address(f"operator {number}"),
        weight=Weight(weight),
        public_key=make_public_key(number),
        peer_id=f"peer-{number}",
    )


@cache
def make_operator_set(
    weights: Sequence[int] = EQUAL_WEIGHTS,
    epoch: int = 1,
    capture_time: int = CAPTURE_TIME,
    valid_until: int = CAPTURE_TIME + LIFETIME,
    first_key: int = 0,
    prev_header_hash: bytes = b"",
) -> OperatorSet:
    """A set with these weights; pass a tuple. Operator i signs with `make_secret(first_key + i)`."""
    return OperatorSet(
        epoch=Epoch(epoch),
        operators=tuple(make_operator(index, weight, first_key) for index, weight in enumerate(weights)),
        capture_block=BlockNumber(1_000 * epoch),
        capture_time=Seconds(capture_time),
        valid_until=Seconds(valid_until),
        prev_header_hash=HeaderHash(prev_header_hash or make_bytes32(f"header {epoch - 1}")),
    )


def make_successor(operator_set: OperatorSet, **changes: Any) -> OperatorSet:
    """The set that follows this one: strangers with the same weights, captured one interval later."""
    captured_at = operator_set.capture_time + MIN_EPOCH_INTERVAL
    defaults: dict[str, Any] = {
        "weights": tuple(operator.weight for operator in operator_set.operators),
        "epoch": operator_set.epoch + 1,
        "capture_time": captured_at,
        "valid_until": captured_at + LIFETIME,
        "first_key": 1_000 * (operator_set.epoch + 1),
        "prev_header_hash": operator_set.header_hash(),
    }
    return make_operator_set(**(defaults | changes))


def make_signatures(
    digest: Digest, signers: Iterable[int], *, first_key: int = 0, purpose: Purpose = Purpose.HANDOVER
) -> dict[OperatorIndex, Signature]:
    """What the operators at these places sign."""
    return {OperatorIndex(each): make_signature(first_key + each, digest, purpose) for each in signers}


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
