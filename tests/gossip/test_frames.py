"""The envelope: two versions, a limit for each kind, and a reason for everything else."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.attestation import decode as decode_version_1
from consensus.attestation import encode as encode_version_1
from consensus.errors import Reason, Refused
from node.gossip.frames import (
    MAX_BODY_BYTES,
    MAX_FRAME_BYTES,
    Kind,
    decode_attestation,
    encode_attestation,
    encode_frame,
    parse_frame,
    to_version_1,
)
from tests.consensus.factories import make_attestation

ATTESTATION = make_attestation()
PAYLOAD = encode_frame(Kind.ATTESTATION, encode_attestation(ATTESTATION))


def reason_of(payload: bytes) -> Reason:
    with pytest.raises(Refused) as refused:
        decode_attestation(parse_frame(payload).body)
    return refused.value.reason


def test_a_frame_is_the_messagepack_array_of_version_kind_and_body() -> None:
    version, kind, fields = msgpack.unpackb(PAYLOAD)

    assert (version, kind) == (2, 1)
    assert msgpack.packb([1, *fields]) == encode_version_1(ATTESTATION)


@pytest.mark.parametrize("kind", Kind)
def test_a_frame_comes_back_as_it_was_sent(kind: Kind) -> None:
    payload = encode_frame(kind, b"\xc4\x01x")

    frame = parse_frame(payload)

    assert (frame.kind, frame.body, frame.to_bytes()) == (kind, b"\xc4\x01x", payload)


def test_an_attestation_in_version_1_is_the_same_frame() -> None:
    older = to_version_1(PAYLOAD)

    assert older == encode_version_1(ATTESTATION)
    assert parse_frame(older).to_bytes() == PAYLOAD
    assert decode_attestation(parse_frame(older).body) == ATTESTATION
    assert to_version_1(older) == older


@pytest.mark.parametrize("kind", set(Kind) - {Kind.ATTESTATION})
def test_other_kinds_have_no_words_in_version_1(kind: Kind) -> None:
    assert to_version_1(encode_frame(kind, b"\x90")) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_a_frame(payload: bytes) -> None:
    try:
        frame = parse_frame(payload)
    except Refused:
        return
    assert payload in (frame.to_bytes(), to_version_1(frame.to_bytes()))


@given(st.binary(max_size=64))
def test_only_a_version_1_attestation_passes_for_one(payload: bytes) -> None:
    older = to_version_1(payload)
    if older is not None:
        assert older.startswith(b"\x94\x01")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"no array", Reason.MALFORMED),
        (b"\x93", Reason.MALFORMED),
        (b"\x93\x03\x01\x90", Reason.UNKNOWN_VERSION),
        (b"\x94\x02\x01\x90\x90", Reason.UNKNOWN_VERSION),  # an unknown fourth field
        (b"\x92\x02\x01", Reason.UNKNOWN_VERSION),
        (b"\x93\x01\x01\x90", Reason.UNKNOWN_VERSION),
        (b"\x93\x02", Reason.TRUNCATED),
        (b"\x93\x02\x01", Reason.TRUNCATED),
        (b"\x93\x02\x00\x90", Reason.UNKNOWN_KIND),
        (b"\x93\x02\x0b\x90", Reason.UNKNOWN_KIND),
        (b"\x93\x02\xcc\x01\x90", Reason.UNKNOWN_KIND),  # the kind in a longer form
        (PAYLOAD + b"\x00", Reason.TRAILING_BYTES),
        (b"\x93\x02\x01\x94" + PAYLOAD[4:] + b"\x00", Reason.WRONG_LENGTH),  # an unknown field in the body
        (PAYLOAD[:-1], Reason.TRUNCATED),
    ],
)
def test_what_is_no_frame_is_refused(payload: bytes, reason: Reason) -> None:
    assert reason_of(payload) is reason


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_limit_that_is_checked_before_its_body_is_parsed(kind: Kind) -> None:
    longest = b"\xff" * MAX_BODY_BYTES[kind]  # no MessagePack: only its length is looked at
    parse_frame(encode_frame(kind, longest))

    assert reason_of(encode_frame(kind, longest)[:3] + longest + b"\xff") is Reason.OVERSIZED
    with pytest.raises(ValueError, match="bytes"):
        encode_frame(kind, longest + b"\xff")
    assert len(encode_frame(kind, longest)) <= MAX_FRAME_BYTES


def test_a_version_1_attestation_has_the_same_limit() -> None:
    assert reason_of(b"\x94\x01" + b"\xff" * 16_383) is Reason.OVERSIZED
    assert reason_of(b"\x94\x01" + b"\xff" * 16_382) is Reason.TRAILING_BYTES  # parsed


def test_a_version_1_reader_takes_what_is_made_for_it() -> None:
    older = to_version_1(PAYLOAD)

    assert older is not None
    assert decode_version_1(older) == ATTESTATION
