"""The wire: one encoding per attestation, and a reason for everything else."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import MAX_ACTIONS, MAX_ALERT_PARAMS_BYTES, ZERO32, Action, Alert, Slot, Verdict
from consensus.alert_codec import decode_alert
from consensus.attestation import (
    MAX_ATTESTATION_BYTES,
    Attestation,
    check_membership,
    decode,
    encode,
)
from consensus.bls import Purpose, verify
from consensus.errors import Reason, Refused
from consensus.fields import address_from_bytes
from consensus.types import OperatorIndex
from tests.consensus.factories import (
    make_action,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_signature,
)

WIRE = encode(make_attestation())

uint64 = st.integers(0, 2**64 - 1)
bytes32 = st.binary(min_size=32, max_size=32)
actions = st.builds(
    Action,
    chain_id=uint64,
    guardian=st.binary(min_size=20, max_size=20).map(address_from_bytes),
    action_id=bytes32,
    params=st.binary(max_size=64),
)
slots = st.builds(
    Slot,
    policy_hash=bytes32,
    rule_id=bytes32,
    source_chain_id=uint64,
    anchor_number=uint64,
    anchor_hash=bytes32,
    subject=bytes32,
)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    observed_at = draw(st.integers(0, 2**63))
    depth = draw(st.integers(0, 255))
    return Alert(
        network_id=draw(bytes32),
        epoch=draw(st.integers(0, 2**32 - 1)),
        header_hash=draw(bytes32),
        slot=draw(slots),
        verdict=draw(st.sampled_from(Verdict)),
        observed_at=observed_at,
        expires_at=observed_at + draw(st.integers(1, 86_400)),
        evidence_hash=draw(bytes32),
        cause_digest=draw(bytes32.filter(any)) if depth else ZERO32,
        cause_depth=depth,
        actions=tuple(draw(st.lists(actions, max_size=4))),
    )


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def fields_of(data: bytes = WIRE) -> list[Any]:
    fields: list[Any] = msgpack.unpackb(data)
    return fields


def repacked(change: Callable[[list[Any]], None]) -> bytes:
    fields = fields_of()
    change(fields)
    return bytes(msgpack.packb(fields))


def set_alert_field(place: int, value: Any) -> bytes:
    return repacked(lambda fields: fields[1].__setitem__(place, value))


# --- round trip


@settings(max_examples=60, deadline=None)
@given(alerts(), st.integers(0, 2**16 - 1))
def test_decoding_gives_back_what_was_encoded(alert: Alert, index: int) -> None:
    attestation = Attestation(
        alert=alert, operator_index=OperatorIndex(index), signature=make_signature(0, alert.digest())
    )

    decoded = decode(encode(attestation))

    assert decoded == attestation
    assert decoded.digest() == alert.digest()
    assert decoded.slot_id() == alert.slot_id()


def test_the_largest_alert_fits_the_wire() -> None:
    params = [bytes(MAX_ALERT_PARAMS_BYTES // MAX_ACTIONS)] * MAX_ACTIONS
    widest = make_alert(
        actions=tuple(make_action(chain_id=2**64 - 1, params=each) for each in params),
        observed_at=2**64 - 2,
        expires_at=2**64 - 1,
        epoch=2**32 - 1,
    )

    data = encode(replace(make_attestation(widest), operator_index=OperatorIndex(2**16 - 1)))

    assert len(data) <= MAX_ATTESTATION_BYTES
    assert decode(data).alert == widest


def test_an_attestation_carries_the_operators_signature() -> None:
    attestation = decode(encode(make_attestation(operator_index=3)))

    assert verify(make_public_key(3), Purpose.ALERT, attestation.digest(), attestation.signature)


def test_attestations_and_sets_may_cross_a_process_boundary() -> None:
    attestation, operator_set = make_attestation(), make_operator_set()

    assert pickle.loads(pickle.dumps(attestation)) == attestation
    assert pickle.loads(pickle.dumps(operator_set)).header_hash() == operator_set.header_hash()
    assert copy.deepcopy(attestation) == attestation


# --- hostile bytes


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=512))
def test_any_bytes_are_refused_or_canonical(data: bytes) -> None:
    try:
        attestation = decode(data)
    except Refused:
        return
    assert encode(attestation) == data


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WIRE) - 1), st.integers(0, 255))
def test_any_changed_byte_is_refused_or_another_canonical_attestation(position: int, value: int) -> None:
    data = WIRE[:position] + bytes([value]) + WIRE[position + 1 :]
    try:
        attestation = decode(data)
    except Refused:
        return
    assert encode(attestation) == data


@pytest.mark.parametrize("length", [0, 1, 2, 3, 50, len(WIRE) - 49, len(WIRE) - 1])
def test_truncated_bytes_are_refused(length: int) -> None:
    assert reason_of(lambda: decode(WIRE[:length])) == Reason.TRUNCATED


def test_oversized_bytes_are_refused_before_they_are_parsed() -> None:
    assert reason_of(lambda: decode(WIRE + bytes(MAX_ATTESTATION_BYTES))) == Reason.OVERSIZED
    assert reason_of(lambda: decode(b"\xc1" * (MAX_ATTESTATION_BYTES + 1))) == Reason.OVERSIZED


def test_trailing_bytes_are_refused() -> None:
    assert reason_of(lambda: decode(WIRE + b"\x00")) == Reason.TRAILING_BYTES
    assert reason_of(lambda: decode(WIRE + WIRE)) == Reason.TRAILING_BYTES


@pytest.mark.parametrize("version", [0, 2, 255, -1, True, None, b"1", [1]])
def test_an_unknown_version_is_refused_whatever_follows(version: Any) -> None:
    assert (
        reason_of(lambda: decode(repacked(lambda fields: fields.__setitem__(0, version))))
        == Reason.UNKNOWN_VERSION
    )
    assert reason_of(lambda: decode(bytes(msgpack.packb([version, 1, 2, 3, 4, 5])))) == Reason.UNKNOWN_VERSION


@pytest.mark.parametrize(
    "data",
    [
        b"\xcd\x00\x01".join([WIRE[:1], WIRE[2:]]),  # the version in three bytes
        b"\xdc\x00\x04" + WIRE[1:],  # the array header in three bytes
        WIRE[:2] + b"\xdc\x00\x0b" + WIRE[3:],  # the alert's array header in three bytes
        WIRE.replace(b"\xc4\x20", b"\xc5\x00\x20", 1),  # a length in two bytes
    ],
)
def test_longer_spellings_of_the_same_values_are_refused(data: bytes) -> None:
    assert fields_of(data) == fields_of()
    assert reason_of(lambda: decode(data)) == Reason.NOT_CANONICAL


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",  # never used in MessagePack
        b"\x01",  # no array
        b"\x80",  # a map
        b"\x94\x01" + b"\x91" * 2_000 + b"\x00",  # nested
        b"\x94\x01\x90\x00\xa1x",  # a string
        b"\x94\x01\x90\x00\x81\x01\x02",  # a map inside
        b"\x94\x01\x90\x00\xd4\x05\x00",  # an extension type
        b"\x94\x01\x90\x00\xd6\xff\x00\x00\x00\x00",  # a timestamp
    ],
)
def test_bytes_beyond_the_format_are_refused(data: bytes) -> None:
    assert reason_of(lambda: decode(data)) == Reason.MALFORMED


@pytest.mark.parametrize("kind", [b"\xc6", b"\xdb", b"\xdd", b"\xdf"])
def test_four_gigabytes_that_are_only_announced_are_not_waited_for(kind: bytes) -> None:
    assert reason_of(lambda: decode(b"\x94\x01" + kind + b"\xff\xff\xff\xff")) == Reason.TRUNCATED


@pytest.mark.parametrize("kind", [b"\xdd", b"\xdf"])
def test_an_array_of_four_billion_is_not_begun(kind: bytes) -> None:
    announced = kind + b"\xff\xff\xff\xff"

    assert reason_of(lambda: decode(b"\x94\x01" + announced + b"\x00" * 60)) == Reason.TRUNCATED
    assert reason_of(lambda: decode_alert(announced)) == Reason.MALFORMED


def test_limits_hold_at_the_parser_not_after_it() -> None:
    many_actions = set_alert_field(10, fields_of()[1][10] * (MAX_ACTIONS + 1))
    long_params = set_alert_field(10, [[1, bytes(20), bytes(32), bytes(1_025)]])

    assert reason_of(lambda: decode(many_actions)) == Reason.MALFORMED
    assert reason_of(lambda: decode(long_params)) == Reason.MALFORMED


@pytest.mark.parametrize("count", [2, 3, 5])
def test_another_number_of_fields_is_refused(count: int) -> None:
    data = bytes(msgpack.packb([*fields_of(), 0][:count]))

    assert reason_of(lambda: decode(data)) == Reason.WRONG_LENGTH


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, b"\1" * 31, Reason.WRONG_LENGTH),
        (0, 7, Reason.WRONG_TYPE),
        (1, -1, Reason.OUT_OF_RANGE),
        (1, 1 << 32, Reason.OUT_OF_RANGE),
        (1, True, Reason.WRONG_TYPE),
        (1, 1.0, Reason.WRONG_TYPE),
        (1, None, Reason.WRONG_TYPE),
        (3, b"slot", Reason.WRONG_TYPE),
        (3, [b"\1" * 32] * 5, Reason.WRONG_LENGTH),
        (4, 0, Reason.OUT_OF_RANGE),
        (4, 3, Reason.OUT_OF_RANGE),
        (4, True, Reason.WRONG_TYPE),
        (5, -5, Reason.OUT_OF_RANGE),
        (9, 1, Reason.CAUSE_INVALID),
        (10, 5, Reason.WRONG_TYPE),
        (10, [5], Reason.WRONG_TYPE),
        (10, [[1, b"\1" * 20, b"\1" * 32]], Reason.WRONG_LENGTH),
        (10, [[1, b"\1" * 19, b"\1" * 32, b""]], Reason.WRONG_LENGTH),
        (10, [[1, None, b"\1" * 32, b""]], Reason.WRONG_TYPE),
        (10, [[1, b"\1" * 20, b"\1" * 32, 9]], Reason.WRONG_TYPE),
    ],
)
def test_a_field_of_another_shape_is_refused(place: int, value: Any, reason: Reason) -> None:
    assert reason_of(lambda: decode(set_alert_field(place, value))) == reason


@pytest.mark.parametrize("count", [10, 12])
def test_an_alert_of_another_number_of_fields_is_refused(count: int) -> None:
    data = repacked(lambda fields: fields.__setitem__(1, [*fields[1], 0][:count]))

    assert reason_of(lambda: decode(data)) == Reason.WRONG_LENGTH


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (b"", Reason.WRONG_LENGTH),
        (7, Reason.WRONG_TYPE),
        (bytes(48), Reason.POINT_NOT_CANONICAL),
        (b"\xc0" + bytes(47), Reason.POINT_AT_INFINITY),
        (b"\x80" + bytes(46) + b"\x04", Reason.POINT_OUTSIDE_SUBGROUP),
        (b"\x80" + bytes(46) + b"\x01", Reason.POINT_OFF_CURVE),
    ],
)
def test_a_signature_that_is_no_point_is_refused(signature: Any, reason: Reason) -> None:
    assert reason_of(lambda: decode(repacked(lambda fields: fields.__setitem__(3, signature)))) == reason


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (1 << 16, Reason.OUT_OF_RANGE),
        (-1, Reason.OUT_OF_RANGE),
        (b"0", Reason.WRONG_TYPE),
        (False, Reason.WRONG_TYPE),
    ],
)
def test_an_operator_index_out_of_range_is_refused(index: Any, reason: Reason) -> None:
    assert reason_of(lambda: decode(repacked(lambda fields: fields.__setitem__(2, index)))) == reason


@pytest.mark.parametrize("changes", [{"alert": b"alert"}, {"signature": b"\x80" * 48}])
def test_an_attestation_of_unparsed_parts_cannot_be_built(changes: dict[str, Any]) -> None:
    assert reason_of(lambda: replace(make_attestation(), **changes)) == Reason.WRONG_TYPE


def test_an_alert_that_came_before_is_not_parsed_again() -> None:
    first, second = (decode(encode(make_attestation(operator_index=index))) for index in (0, 1))

    assert first.alert is second.alert


# --- membership


def test_a_members_attestation_names_its_operator() -> None:
    operator_set = make_operator_set()

    assert (
        check_membership(make_attestation(operator_index=6), {1: operator_set}) == operator_set.operators[6]
    )


@pytest.mark.parametrize(
    ("attestation", "reason"),
    [
        (make_attestation(operator_index=7), Reason.NOT_A_MEMBER),
        (make_attestation(make_alert(epoch=4)), Reason.OLD_EPOCH),
        (make_attestation(make_alert(epoch=6)), Reason.UNKNOWN_EPOCH),
        (make_attestation(make_alert(epoch=8)), Reason.UNKNOWN_EPOCH),
        (make_attestation(make_alert(epoch=5, header_hash=make_bytes32("other"))), Reason.HEADER_MISMATCH),
    ],
)
def test_strangers_and_other_epochs_are_refused(attestation: Attestation, reason: Reason) -> None:
    sets = {epoch: make_operator_set(epoch=epoch) for epoch in (5, 7)}
    if reason is Reason.NOT_A_MEMBER:
        attestation = make_attestation(make_alert(sets[5]), operator_index=7)

    assert reason_of(lambda: check_membership(attestation, sets)) == reason


@pytest.mark.parametrize(
    "observed_at", [make_operator_set().capture_time - 1, make_operator_set().valid_until + 1]
)
def test_an_alert_from_outside_its_sets_life_is_refused(observed_at: int) -> None:
    alert = make_alert(observed_at=observed_at, expires_at=observed_at + 10)
    sets = {make_operator_set().epoch: make_operator_set()}

    assert reason_of(lambda: check_membership(make_attestation(alert), sets)) == Reason.EPOCH_NOT_ACTIVE
    assert reason_of(lambda: check_membership(make_attestation(), {})) == Reason.UNKNOWN_EPOCH
