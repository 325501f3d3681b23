"""Writes the vectors that Python and Solidity share. Deterministic: the same build gives the same files.

    python -m tests.vectors.generate

Expected values come from `consensus`; tests/consensus/test_vectors.py holds the files against py_ecc, eth_abi
and the RFC, and against a new run of this module.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consensus.alert import (
    ACTION_TYPEHASH,
    ALERT_TYPEHASH,
    MAX_ACTIONS,
    MAX_PARAMS_BYTES,
    MAX_TTL_SECONDS,
    POSSESSION_TYPEHASH,
    SLOT_TYPEHASH,
    Alert,
    Verdict,
    compute_action_id,
    compute_possession_digest,
)
from consensus.bls import Purpose, aggregate_signatures, hash_to_curve, sign
from consensus.certificate import EntryMode, build_certificate, encode_certificate, encode_certificate_as
from consensus.operators import OperatorSet
from consensus.types import ChainId, Digest, OperatorIndex
from tests.consensus.factories import (
    CHAIN_ID,
    EQUAL_WEIGHTS,
    NETWORK_ID,
    REGISTRY,
    make_action,
    make_address,
    make_alert,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_secret,
    make_signature,
    make_slot,
)
from tests.vectors import rfc9380
from tests.vectors.handovers import build_handovers
from tests.vectors.raw import flip_bit, plus_p, point_outside_subgroup, raw_certificate, to_hex

DIRECTORY = Path(__file__).parent

UNEQUAL_WEIGHTS = tuple(units * 10**18 for units in (5_000, 3_000, 2_500, 1_500, 900, 700, 400))
Json = dict[str, Any]


def build() -> dict[str, Json]:
    """All files by name."""
    return {
        "alert.json": build_alerts(),
        "operators.json": build_operators(),
        "certificates.json": build_certificates(),
        "handovers.json": build_handovers(),
        "possession.json": build_possession(),
        "hash_to_curve_rfc9380.json": build_rfc9380(),
        "hash_to_curve_tags.json": build_tags(),
    }


def render(document: Json) -> str:
    """The text of one file."""
    return json.dumps(document, indent=1) + "\n"


def build_alerts() -> Json:
    actions = (
        make_action(),
        make_action(
            chain_id=ChainId(8_453), guardian=make_address("guardian on chain two"), params=b"\x01" * 33
        ),
        make_action(action_id=compute_action_id("freeze"), params=b""),
    )
    alerts = {
        "one action": make_alert(),
        "three actions on two chains": make_alert(actions=actions),
        "no action": make_alert(actions=()),
        "clear": make_alert(verdict=Verdict.CLEAR),
        "from the mempool": make_alert(slot=make_slot(subject=make_bytes32("pending transaction"))),
        "with a cause": make_alert(cause_digest=make_bytes32("cause"), cause_depth=2),
        "widest numbers": make_alert(
            epoch=2**32 - 1,
            slot=make_slot(source_chain_id=2**64 - 1, anchor_number=2**64 - 1),
            observed_at=2**64 - 2,
            expires_at=2**64 - 1,
            cause_digest=b"\xff" * 32,
            cause_depth=255,
            actions=(make_action(chain_id=2**64 - 1, params=b"\xff" * 1_024),),
        ),
        "narrowest numbers": make_empty_alert(),
        "longest window": make_alert(observed_at=0, expires_at=MAX_TTL_SECONDS),
        "as many actions as there may be": make_alert(
            actions=tuple(make_action(params=bytes([number]) * 2) for number in range(MAX_ACTIONS))
        ),
        "as many bytes of params as there may be": make_alert(
            actions=(make_action(params=b"\x5a" * MAX_PARAMS_BYTES),) * 14
        ),
        "the same action twice": make_alert(actions=(make_action(), make_action())),
    }
    alerts |= {f"varied {number}": make_varied_alert(number) for number in range(12)}
    return {
        "homeChainId": str(CHAIN_ID),
        "registry": REGISTRY,
        "networkId": to_hex(NETWORK_ID),
        "actionTypehash": to_hex(ACTION_TYPEHASH),
        "slotTypehash": to_hex(SLOT_TYPEHASH),
        "alertTypehash": to_hex(ALERT_TYPEHASH),
        "possessionTypehash": to_hex(POSSESSION_TYPEHASH),
        "count": len(alerts),
        "cases": [describe_alert(name, alert) for name, alert in alerts.items()],
    }


def make_empty_alert() -> Alert:
    """Zero wherever a field may be zero."""
    zero = bytes(32)
    slot = make_slot(
        policy_hash=zero, rule_id=zero, source_chain_id=0, anchor_number=0, anchor_hash=zero, subject=zero
    )
    return make_alert(
        network_id=zero,
        epoch=0,
        header_hash=zero,
        slot=slot,
        observed_at=0,
        expires_at=1,
        evidence_hash=zero,
        actions=(),
    )


def make_varied_alert(number: int) -> Alert:
    """Every field another, and of another width; drawn from a hash of the field's name."""

    def word(name: str) -> bytes:
        return make_bytes32(f"varied {number}: {name}")

    def uint(name: str, bits: int) -> int:
        return int.from_bytes(word(name), "big") >> (256 - 1 - uint_bits(name, bits))

    def uint_bits(name: str, bits: int) -> int:
        return word(name + ", width")[0] % bits

    observed_at = uint("observed_at", 62)
    return make_alert(
        network_id=word("network"),
        epoch=uint("epoch", 32),
        header_hash=word("header"),
        slot=make_slot(
            policy_hash=word("policy"),
            rule_id=word("rule"),
            source_chain_id=uint("source chain", 64),
            anchor_number=uint("anchor number", 64),
            anchor_hash=word("anchor"),
            subject=word("subject") if number % 3 == 0 else bytes(32),
        ),
        verdict=Verdict(1 + number % 2),
        observed_at=observed_at,
        expires_at=observed_at + 1 + uint("window", 16),
        evidence_hash=word("evidence"),
        cause_digest=word("cause") if number % 2 else bytes(32),
        cause_depth=1 + uint("depth", 7) if number % 2 else 0,
        actions=tuple(
            make_action(
                chain_id=uint(f"chain of action {place}", 64),
                guardian=make_address(f"guardian {number} {place}"),
                action_id=word(f"action {place}"),
                params=word(f"params {place}") * (place % 4) + bytes(place),
            )
            for place in range(number % 6)
        ),
    )


def describe_alert(name: str, alert: Alert) -> Json:
    slot = alert.slot
    return {
        "name": name,
        "networkId": to_hex(alert.network_id),
        "epoch": alert.epoch,
        "headerHash": to_hex(alert.header_hash),
        "policyHash": to_hex(slot.policy_hash),
        "ruleId": to_hex(slot.rule_id),
        "sourceChainId": str(slot.source_chain_id),
        "anchorNumber": str(slot.anchor_number),
        "anchorHash": to_hex(slot.anchor_hash),
        "subject": to_hex(slot.subject),
        "verdict": int(alert.verdict),
        "observedAt": str(alert.observed_at),
        "expiresAt": str(alert.expires_at),
        "evidenceHash": to_hex(alert.evidence_hash),
        "causeDigest": to_hex(alert.cause_digest),
        "causeDepth": alert.cause_depth,
        "actionChainIds": [str(action.chain_id) for action in alert.actions],
        "actionGuardians": [action.guardian for action in alert.actions],
        "actionIds": [to_hex(action.action_id) for action in alert.actions],
        "actionParams": [to_hex(action.params) for action in alert.actions],
        "actionLeaves": [to_hex(action.leaf()) for action in alert.actions],
        "actionsHash": to_hex(alert.actions_hash()),
        "slotId": to_hex(alert.slot_id()),
        "digest": to_hex(alert.digest()),
    }


def build_operators() -> Json:
    sets = {
        "seven equal": make_operator_set(EQUAL_WEIGHTS),
        "seven unequal": make_operator_set(UNEQUAL_WEIGHTS),
        "one": make_operator_set((1,), epoch=0),
        "four at the widest weight": make_operator_set((2**96 - 1,) * 4, epoch=2**32 - 1),
        "fifty": make_operator_set(tuple(1_000 + 37 * index for index in range(50)), epoch=7),
    }
    return {"count": len(sets), "cases": [describe_set(name, each) for name, each in sets.items()]}


def describe_set(name: str, operator_set: OperatorSet) -> Json:
    operators = operator_set.operators
    return {
        "name": name,
        "epoch": operator_set.epoch,
        "operatorCount": len(operators),
        "totalWeight": str(operator_set.total_weight),
        "captureBlock": str(operator_set.capture_block),
        "captureTime": str(operator_set.capture_time),
        "validUntil": str(operator_set.valid_until),
        "prevHeaderHash": to_hex(operator_set.prev_header_hash),
        "leavesHash": to_hex(operator_set.header()[78:110]),
        "apk": to_hex(operator_set.aggregate_key.to_bytes()),
        "header": to_hex(operator_set.header()),
        "headerHash": to_hex(operator_set.header_hash()),
        "leafPreimages": to_hex(operator_set.leaf_preimages()),
        "leaves": [to_hex(leaf) for leaf in operator_set.leaves()],
        "secretKeys": [to_hex(make_secret(operator.index).to_bytes()) for operator in operators],
        "publicKeys": [to_hex(operator.public_key.to_bytes()) for operator in operators],
        "weights": [str(operator.weight) for operator in operators],
        "addresses": [operator.address for operator in operators],
    }


def build_possession() -> Json:
    cases = []
    for number in range(4):
        operator = make_address(f"operator {number}")
        public_key = make_public_key(number).to_bytes()
        digest = compute_possession_digest(
            NETWORK_ID, chain_id=CHAIN_ID, registry=REGISTRY, operator=operator, public_key=public_key
        )
        signature = sign(make_secret(number), Purpose.POSSESSION, digest)
        honest = {
            "name": f"operator {number}",
            "valid": True,
            "networkId": to_hex(NETWORK_ID),
            "chainId": str(CHAIN_ID),
            "registry": REGISTRY,
            "operator": operator,
            "publicKey": to_hex(public_key),
            "digest": to_hex(digest),
            "signature": to_hex(signature.to_xy_bytes()),
            "secretKey": to_hex(make_secret(number).to_bytes()),
        }
        cases.append(honest)
    first, second = cases[0], cases[1]
    under_alert_tag = make_signature(0, Digest(bytes.fromhex(str(first["digest"])[2:])))
    cases += [
        {**first, "name": "replayed by another operator", "valid": False, "operator": second["operator"]},
        {**first, "name": "another operator's key", "valid": False, "publicKey": second["publicKey"]},
        {
            **first,
            "name": "signed under the alert tag",
            "valid": False,
            "signature": to_hex(under_alert_tag.to_xy_bytes()),
        },
        {**first, "name": "signature at infinity", "valid": False, "signature": to_hex(bytes(96))},
    ]
    return {"tag": Purpose.POSSESSION.value.decode(), "count": len(cases), "cases": cases}


def build_rfc9380() -> Json:
    cases = [{"message": to_hex(message), "x": "0x" + x, "y": "0x" + y} for message, x, y in rfc9380.CASES]
    return {"tag": rfc9380.TAG.decode(), "count": len(cases), "cases": cases}


def build_tags() -> Json:
    cases = []
    for purpose in Purpose:
        digests = [make_bytes32(label) for label in ("tocsin", "known answer")]
        for message in (*digests, b"", b"\x00", bytes(32), bytes(33), b"\xff" * 33):
            point = hash_to_curve(message, purpose.value)
            cases.append(
                {
                    "purpose": purpose.name,
                    "tag": purpose.value.decode(),
                    "message": to_hex(message),
                    "x": to_hex(point[:48]),
                    "y": to_hex(point[48:]),
                }
            )
    return {"count": len(cases), "cases": cases}


def build_certificates() -> Json:
    cases = [*build_good_certificates(), *build_bad_certificates()]
    return {"tag": Purpose.ALERT.value.decode(), "count": len(cases), "cases": cases}


def build_good_certificates() -> list[Json]:
    equal, unequal = make_operator_set(EQUAL_WEIGHTS), make_operator_set(UNEQUAL_WEIGHTS)
    fifty = make_operator_set(tuple(1_000 + 37 * index for index in range(50)), epoch=7)
    absent_of_fifty = (3, 11, 19, 40, 49)
    plans: list[tuple[str, OperatorSet, Sequence[int], int]] = [
        ("equal, none absent", equal, range(7), 6_667),
        ("equal, one absent", equal, range(6), 6_667),
        ("equal, two absent", equal, (0, 2, 3, 5, 6), 6_667),
        ("equal, two signers", equal, (1, 5), 2_500),
        ("equal, one signer", equal, (6,), 1_000),
        ("unequal, none absent", unequal, range(7), 6_667),
        ("unequal, one absent", unequal, range(6), 6_667),
        ("unequal, two absent", unequal, (0, 2, 3, 5, 6), 6_667),
        ("unequal, two signers", unequal, (0, 1), 5_000),
        ("fifty, five absent", fifty, [each for each in range(50) if each not in absent_of_fifty], 6_667),
    ]
    cases = [
        describe_certificate(name, operator_set, certify(operator_set, signers), bps)
        for name, operator_set, signers, bps in plans
    ]
    longer = encode_certificate_as(build_of(equal, (0, 1, 2, 4, 6)), EntryMode.SIGNERS)
    cases.append(describe_certificate("equal, five signers listed", equal, longer, 6_667))
    weights = [
        sum(operator_set.operators[each].weight for each in signers) for _, operator_set, signers, _ in plans
    ]
    for case, signed in zip(cases, [*weights, 5_000], strict=True):
        case["signedWeight"] = str(signed)
    return cases


def build_bad_certificates() -> list[Json]:
    equal, unequal = make_operator_set(EQUAL_WEIGHTS), make_operator_set(UNEQUAL_WEIGHTS)
    later = make_operator_set(EQUAL_WEIGHTS, epoch=2)
    all_signed, one_absent = certify(equal, range(7)), certify(equal, range(6))
    sigma = aggregate_of(equal, range(7))
    twice_zero = aggregate_signatures([make_signature(each, digest_of(equal)) for each in (0, 0, 1)])
    possession = aggregate_signatures(
        [make_signature(each, digest_of(equal), Purpose.POSSESSION) for each in range(7)]
    )
    inflated = (
        unequal.operators[6].leaf_preimage()[:2] + b"\x00" * 11 + b"\x01" + make_public_key(6).to_bytes()
    )
    raw, signers, absent = raw_certificate, EntryMode.SIGNERS, EntryMode.ABSENT

    plans: list[tuple[str, str, OperatorSet, bytes, int]] = [
        (
            "repeated index",
            "entries_invalid",
            equal,
            raw(equal, twice_zero.to_xy_bytes(), signers, (0, 0, 1)),
            2_000,
        ),
        (
            "unsorted indices",
            "entries_invalid",
            equal,
            raw(equal, aggregate_of(equal, (0, 1)), signers, (1, 0)),
            2_000,
        ),
        (
            "repeated absent index",
            "entries_invalid",
            equal,
            raw(equal, aggregate_of(equal, range(6)), absent, (6, 6)),
            2_000,
        ),
        (
            "absent claimed as signer",
            "bad_signature",
            equal,
            raw(equal, aggregate_of(equal, range(6)), absent, ()),
            6_667,
        ),
        ("signer listed as absent", "bad_signature", equal, raw(equal, sigma, absent, (6,)), 6_667),
        ("weight short", "threshold_not_met", equal, certify(equal, (0, 1, 2, 3)), 6_667),
        ("weight equal to the threshold", "threshold_not_met", unequal, certify(unequal, (0, 1, 2)), 7_500),
        (
            "everybody absent, sigma at infinity",
            "point_at_infinity",
            equal,
            raw(equal, bytes(96), absent, range(7)),
            0,
        ),
        ("sigma at infinity", "point_at_infinity", equal, raw(equal, bytes(96), absent, ()), 6_667),
        ("everybody absent", "threshold_not_met", equal, raw(equal, sigma, absent, range(7)), 0),
        (
            "index beyond the set",
            "entries_invalid",
            equal,
            one_absent[:-206] + b"\x00\x07" + one_absent[-204:],
            6_667,
        ),
        (
            "absent weight understated",
            "leaf_mismatch",
            unequal,
            certify(unequal, range(6))[:-206] + inflated,
            6_667,
        ),
        ("leaf list tampered", "leaves_mismatch", equal, flip_bit(one_absent, 401 + 31), 6_667),
        ("mode two", "mode_invalid", equal, all_signed[:398] + b"\x02" + all_signed[399:], 6_667),
        ("mode one without entries", "mode_invalid", equal, raw(equal, sigma, signers, ()), 6_667),
        ("trailing byte", "trailing_bytes", equal, all_signed + b"\x00", 6_667),
        ("trailing byte after entries", "trailing_bytes", equal, one_absent + b"\x00", 6_667),
        ("truncated", "truncated", equal, one_absent[:-1], 6_667),
        ("shorter than its fixed part", "truncated", equal, all_signed[:-1], 6_667),
        ("empty", "truncated", equal, b"", 6_667),
        (
            "more entries than it holds",
            "truncated",
            equal,
            one_absent[:399] + b"\xff\xff" + one_absent[401:],
            6_667,
        ),
        (
            "signed under the possession tag",
            "bad_signature",
            equal,
            raw(equal, possession.to_xy_bytes(), absent, ()),
            0,
        ),
        ("another epoch's header", "header_mismatch", equal, certify(later, range(7)), 6_667),
        ("total weight tampered", "header_mismatch", equal, flip_bit(all_signed, 21), 6_667),
        ("sigma's x plus p", "point_not_canonical", equal, raw(equal, plus_p(sigma), absent, ()), 6_667),
        ("sigma off the curve", "point_off_curve", equal, raw(equal, flip_bit(sigma, 95), absent, ()), 6_667),
        (
            "sigma outside the subgroup",
            "point_outside_subgroup",
            equal,
            raw(equal, point_outside_subgroup(), absent, ()),
            6_667,
        ),
    ]
    cases = [
        {**describe_certificate(name, operator_set, data, bps), "valid": False, "reason": reason}
        for name, reason, operator_set, data, bps in plans
    ]
    wrong_digest = describe_certificate("another digest", equal, all_signed, 6_667)
    digest = to_hex(make_bytes32("another digest"))
    return [*cases, {**wrong_digest, "digest": digest, "valid": False, "reason": "bad_signature"}]


def describe_certificate(
    name: str, operator_set: OperatorSet, certificate: bytes, threshold_bps: int
) -> Json:
    return {
        "name": name,
        "valid": True,
        "reason": "",
        "digest": to_hex(digest_of(operator_set)),
        "epoch": operator_set.epoch,
        "headerHash": to_hex(operator_set.header_hash()),
        "header": to_hex(operator_set.header()),
        "leafPreimages": to_hex(operator_set.leaf_preimages()),
        "thresholdBps": threshold_bps,
        "certificate": to_hex(certificate),
        "signedWeight": "0",
        "totalWeight": str(operator_set.total_weight),
    }


def digest_of(operator_set: OperatorSet) -> Digest:
    return make_alert(operator_set).digest()


def build_of(operator_set: OperatorSet, signers: Sequence[int]) -> Any:
    alert = make_alert(operator_set)
    signatures = {OperatorIndex(each): make_signature(each, alert.digest()) for each in signers}
    return build_certificate(alert, operator_set, signatures)


def certify(operator_set: OperatorSet, signers: Sequence[int]) -> bytes:
    return encode_certificate(build_of(operator_set, signers))


def aggregate_of(operator_set: OperatorSet, signers: Sequence[int]) -> bytes:
    digest = digest_of(operator_set)
    return aggregate_signatures([make_signature(each, digest) for each in signers]).to_xy_bytes()


if __name__ == "__main__":
    for file_name, document in build().items():
        (DIRECTORY / file_name).write_text(render(document))
