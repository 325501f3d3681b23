"""Retractions on the wire: there and back, and nothing else."""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from consensus.retraction import (
    MAX_RETRACTION_BYTES,
    Retraction,
    decode_retraction,
    encode_retraction,
    retract,
)
from consensus.types import BlockHash, BlockNumber, ChainId, NetworkId
from tests.consensus.factories import CHAIN_ID, NETWORK_ID, make_bytes32, make_slot

FIELDS: tuple[Any, ...] = (NETWORK_ID, CHAIN_ID, 4_200, make_bytes32("anchor"))


def refusal_of(data: bytes) -> Reason:
    with pytest.raises(Refused) as refusal:
        decode_retraction(data)
    return refusal.value.reason


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_encoded_comes_back(chain_id: int, number: int, block_hash: bytes) -> None:
    retraction = Retraction(
        network_id=NetworkId(NETWORK_ID),
        chain_id=ChainId(chain_id),
        block_number=BlockNumber(number),
        block_hash=BlockHash(block_hash),
    )

    encoded = encode_retraction(retraction)

    assert decode_retraction(encoded) == retraction
    assert len(encoded) <= MAX_RETRACTION_BYTES


def test_a_slots_retraction_names_its_block() -> None:
    assert encode_retraction(retract(NETWORK_ID, make_slot())) == msgpack.packb(list(FIELDS))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (FIELDS[:3], Reason.WRONG_LENGTH),
        ((*FIELDS, 0), Reason.WRONG_LENGTH),
        ((b"\0" * 31, *FIELDS[1:]), Reason.WRONG_LENGTH),
        ((*FIELDS[:1], -1, *FIELDS[2:]), Reason.OUT_OF_RANGE),
        ((*FIELDS[:2], b"\1", FIELDS[3]), Reason.WRONG_TYPE),
        ((*FIELDS[:3], 7), Reason.WRONG_TYPE),
    ],
)
def test_other_fields_are_refused(fields: tuple[Any, ...], reason: Reason) -> None:
    assert refusal_of(msgpack.packb(list(fields))) is reason


def test_other_bytes_are_refused() -> None:
    good = msgpack.packb(list(FIELDS))
    longer = good.replace(b"\xcd\x10\x68", b"\xce\x00\x00\x10\x68")

    assert refusal_of(good[:-1]) is Reason.TRUNCATED
    assert refusal_of(good + b"\0") is Reason.TRAILING_BYTES
    assert refusal_of(b"\x07") is Reason.WRONG_TYPE
    assert refusal_of(longer) is Reason.NOT_CANONICAL
    assert refusal_of(b"\0" * (MAX_RETRACTION_BYTES + 1)) is Reason.OVERSIZED


@given(st.binary(max_size=120))
def test_whatever_comes_is_parsed_or_refused(raw: bytes) -> None:
    try:
        retraction = decode_retraction(raw)
    except Refused:
        return
    assert encode_retraction(retraction) == raw
