"""Partial certificates: they add where they are disjoint, and no sum passes that was not signed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.attestation import Attestation
from consensus.bls import GROUP_ORDER, SecretKey, Signature, aggregate_signatures
from consensus.errors import Reason, Refused
from consensus.operators import MAX_OPERATORS, Operator
from consensus.partial import (
    MAX_PARTIAL_BYTES,
    PartialCertificate,
    as_partial,
    check_signers,
    compute_signers,
    compute_weight,
    decode_partial,
    encode_partial,
    indices_of,
    merge,
    subtract,
    verify_partial,
)
from consensus.types import OperatorIndex, Signers
from tests.consensus.factories import (
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator,
    make_operator_set,
    make_secret,
    make_signature,
)

ALERT, RIVAL = make_alert(), make_alert(evidence_hash=make_bytes32("rival"))
SEVEN = make_operator_set()
SINGLES = [make_attestation(ALERT, index) for index in range(7)]
WIRE = encode_partial(merge(SINGLES[1:5]))

groups = st.lists(st.integers(0, 3), min_size=7, max_size=7).map(
    lambda places: [[index for index in range(7) if places[index] == group] for group in range(3)]
)
"""Up to three groups of operators that share nobody; those at place 3 stay out."""


def partial_of(*indices: int) -> PartialCertificate:
    return merge([SINGLES[index] for index in indices])


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


# --- algebra


@settings(max_examples=40, deadline=None)
@given(groups)
def test_disjoint_merges_commute_and_associate_and_their_weights_add(groups: list[list[int]]) -> None:
    parts = [partial_of(*group) for group in groups if group]
    if len(parts) < 2:
        return
    first, *rest = parts

    whole = merge(parts)

    assert whole == merge(list(reversed(parts)))
    assert whole == merge([merge([first]), merge(rest)])
    assert compute_weight(whole.signers, SEVEN) == sum(compute_weight(each.signers, SEVEN) for each in parts)
    assert verify_partial(whole, SEVEN)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 6), min_size=2), st.data())
def test_what_is_taken_out_of_a_sum_leaves_the_sum_of_the_rest(
    members: set[int], data: st.DataObject
) -> None:
    taken = data.draw(st.sets(st.sampled_from(sorted(members)), min_size=1, max_size=len(members) - 1))

    rest = subtract(partial_of(*members), [SINGLES[index] for index in taken])

    assert rest == partial_of(*(members - taken))


def test_a_rest_of_one_is_that_operators_own_signature() -> None:
    rest = subtract(partial_of(0, 1, 2), [partial_of(0, 2)])

    assert rest == as_partial(SINGLES[1])


def test_a_signer_in_two_parts_is_refused_however_it_came() -> None:
    assert reason_of(lambda: merge([partial_of(0, 1), partial_of(1, 2)])) == Reason.OVERLAPPING
    assert reason_of(lambda: merge([partial_of(0, 1), SINGLES[0]])) == Reason.OVERLAPPING
    assert reason_of(lambda: merge([SINGLES[0], SINGLES[0]])) == Reason.OVERLAPPING


def test_nothing_and_parts_of_two_alerts_are_refused() -> None:
    assert reason_of(lambda: merge([])) == Reason.EMPTY_LIST
    assert reason_of(lambda: merge([SINGLES[0], make_attestation(RIVAL, 1)])) == Reason.WRONG_ALERT


def test_only_what_lies_within_a_sum_can_be_taken_out_of_it() -> None:
    whole = partial_of(0, 1, 2)

    assert reason_of(lambda: subtract(whole, [SINGLES[3]])) == Reason.OVERLAPPING
    assert reason_of(lambda: subtract(whole, [make_attestation(RIVAL, 1)])) == Reason.OVERLAPPING
    assert reason_of(lambda: subtract(whole, [partial_of(0, 1), SINGLES[1]])) == Reason.OVERLAPPING
    assert reason_of(lambda: subtract(whole, [whole])) == Reason.POINT_AT_INFINITY


def test_a_bitmap_and_its_indices_are_one() -> None:
    assert compute_signers([5, 0, 255]) == 1 << 255 | 1 << 5 | 1
    assert indices_of(compute_signers([5, 0, 255])) == (0, 5, 255)
    assert indices_of(0) == ()


# --- verification


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 6), min_size=1), st.sets(st.integers(0, 6), min_size=1))
def test_a_sum_verifies_for_exactly_those_who_signed(signed: set[int], claimed: set[int]) -> None:
    partial = replace(partial_of(*signed), signers=compute_signers(claimed))

    assert verify_partial(partial, SEVEN) is (signed == claimed)


@pytest.mark.parametrize(
    "signature",
    [
        make_signature(99, ALERT.digest()),  # a stranger's
        merge([make_attestation(RIVAL, index) for index in (0, 1, 2)]).signature,  # over another alert
        aggregate_signatures([SINGLES[0].signature, SINGLES[1].signature]),  # one signer too few
        aggregate_signatures([each.signature for each in (*SINGLES[:3], SINGLES[0])]),  # one twice
    ],
    ids=["stranger", "other alert", "one missing", "one twice"],
)
def test_a_forged_sum_never_verifies(signature: Signature) -> None:
    forged = replace(partial_of(0, 1, 2), signature=signature)

    assert not verify_partial(forged, SEVEN)


def test_keys_that_cancel_each_other_sign_nothing() -> None:
    opposite = SecretKey(GROUP_ORDER - int.from_bytes(make_secret(0).to_bytes(), "big"))
    colluding: Operator = replace(make_operator(1), public_key=opposite.public_key())
    operators = (make_operator(0), colluding, make_operator(2), make_operator(3), make_operator(4))
    operator_set = replace(SEVEN, operators=operators)
    partial = PartialCertificate(
        alert=make_alert(operator_set), signers=Signers(0b11), signature=SINGLES[0].signature
    )

    assert reason_of(lambda: verify_partial(partial, operator_set)) == Reason.POINT_AT_INFINITY


def test_every_signer_must_be_a_member_of_the_alerts_set() -> None:
    beyond = replace(partial_of(0, 1), signers=Signers(1 << 7 | 1))

    assert check_signers(partial_of(0, 6), {SEVEN.epoch: SEVEN}) is SEVEN
    assert reason_of(lambda: check_signers(beyond, {SEVEN.epoch: SEVEN})) == Reason.NOT_A_MEMBER
    assert reason_of(lambda: check_signers(partial_of(0), {})) == Reason.UNKNOWN_EPOCH


# --- the wire


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, MAX_OPERATORS - 1), min_size=1))
def test_decoding_gives_back_what_was_encoded(signers: set[int]) -> None:
    partial = replace(partial_of(0), signers=compute_signers(signers))

    assert decode_partial(encode_partial(partial)) == partial


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WIRE) - 1), st.integers(0, 255))
def test_any_changed_byte_is_refused_or_another_canonical_sum(position: int, value: int) -> None:
    data = WIRE[:position] + bytes([value]) + WIRE[position + 1 :]
    try:
        partial = decode_partial(data)
    except Refused:
        return
    assert encode_partial(partial) == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300).map(lambda rest: b"\x93" + rest) | st.binary(max_size=300))
def test_any_bytes_are_refused_or_canonical(data: bytes) -> None:
    try:
        partial = decode_partial(data)
    except Refused:
        return
    assert encode_partial(partial) == data


def repacked(place: int, value: Any) -> bytes:
    fields = msgpack.unpackb(WIRE)
    fields[place] = value
    return bytes(msgpack.packb(fields))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(MAX_PARTIAL_BYTES + 1), Reason.OVERSIZED),
        (b"", Reason.TRUNCATED),
        (WIRE[:-1], Reason.TRUNCATED),
        (WIRE + b"\x00", Reason.TRAILING_BYTES),
        (bytes(msgpack.packb([*msgpack.unpackb(WIRE), 0])), Reason.WRONG_LENGTH),
        (bytes(msgpack.packb(msgpack.unpackb(WIRE)[:2])), Reason.WRONG_LENGTH),
        (b"\xdc\x00\x03" + WIRE[1:], Reason.NOT_CANONICAL),
        (repacked(1, b"\x1e\x00"), Reason.NOT_CANONICAL),
        (repacked(1, b""), Reason.EMPTY_LIST),
        (repacked(1, b"\x00"), Reason.EMPTY_LIST),
        (repacked(1, bytes(32) + b"\x01"), Reason.OVERSIZED),
        (repacked(1, 30), Reason.WRONG_TYPE),
        (repacked(2, b"\x80"), Reason.WRONG_LENGTH),
        (repacked(2, b"\xc0" + bytes(47)), Reason.POINT_AT_INFINITY),
        (repacked(2, b"\x80" + bytes(46) + b"\x04"), Reason.POINT_OUTSIDE_SUBGROUP),
        (repacked(0, 7), Reason.WRONG_TYPE),
    ],
)
def test_other_bytes_are_refused_with_their_reason(data: bytes, reason: Reason) -> None:
    assert reason_of(lambda: decode_partial(data)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alert": b"alert"}, Reason.WRONG_TYPE),
        ({"signature": bytes(48)}, Reason.WRONG_TYPE),
        ({"signers": True}, Reason.WRONG_TYPE),
        ({"signers": b"\x01"}, Reason.WRONG_TYPE),
        ({"signers": 0}, Reason.EMPTY_LIST),
        ({"signers": -1}, Reason.EMPTY_LIST),
        ({"signers": 1 << MAX_OPERATORS}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_partial_certificate_of_other_parts_cannot_be_built(
    changes: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(lambda: replace(partial_of(0, 1), **changes)) == reason


def test_an_attestation_is_a_sum_of_one() -> None:
    attestation: Attestation = SINGLES[3]

    assert as_partial(attestation).signers == 1 << 3
    assert as_partial(attestation) == merge([attestation])
    assert attestation.operator_index == OperatorIndex(3)
