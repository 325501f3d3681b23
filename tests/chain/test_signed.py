"""Signed bytes against eth-account, which made them; what no chain would take is refused."""

from __future__ import annotations

from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.ecdsa import ECDSA_ORDER
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.pending_evidence import MAX_TRANSACTION_BYTES
from node.chain.signed import SignedTransaction, encode_signed, parse_signed

KEY = "0x" + "4c" * 32
SENDER = Account.from_key(KEY).address
TO = "0x27182842E098f60e3D576794A5bFFb0777E025d3"
SLOT = "0x" + "01" * 32
LEGACY = {"nonce": 7, "gas": 90_000, "gasPrice": 3, "to": TO, "value": 5, "data": "0x1234"}
ACCESS = {**LEGACY, "chainId": 31337, "accessList": [{"address": TO, "storageKeys": [SLOT]}], "type": 1}
DYNAMIC = {key: value for key, value in ACCESS.items() if key != "gasPrice"} | {
    "maxFeePerGas": 9,
    "maxPriorityFeePerGas": 2,
    "type": 2,
}
FORMS = {
    "before EIP-155": LEGACY,
    "legacy": {**LEGACY, "chainId": 31337},
    "access list": ACCESS,
    "dynamic": DYNAMIC,
}


def sign(fields: dict[str, Any]) -> Any:
    return Account.sign_transaction(fields, KEY)


SIGNED = sign(DYNAMIC)


def told(signed: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The same as an endpoint tells it."""
    answer = {key: hex(value) for key, value in fields.items() if isinstance(value, int)}
    answer |= {"input": fields["data"], "to": fields.get("to") or None, "hash": "0x" + signed.hash.hex()}
    if "accessList" in fields:
        answer["accessList"] = fields["accessList"]
    return answer | {"v": hex(signed.v), "r": hex(signed.r), "s": hex(signed.s), "from": "0x" + "00" * 20}


def refusal(raw: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        parse_signed(raw)
    return refused.value


@pytest.mark.parametrize("name", FORMS)
def test_hash_sender_and_fields_are_those_that_were_signed(name: str) -> None:
    fields = FORMS[name]
    signed = sign(fields)

    parsed = parse_signed(bytes(signed.raw_transaction))

    assert (parsed.hash, parsed.sender) == (bytes(signed.hash), SENDER)
    assert (parsed.nonce, parsed.gas, parsed.to, parsed.value_wei, parsed.data) == (
        7,
        90_000,
        TO,
        5,
        b"\x12\x34",
    )
    assert parsed.chain_id == fields.get("chainId")
    assert parsed.max_fee_wei == fields.get("gasPrice", fields.get("maxFeePerGas"))


@pytest.mark.parametrize("name", FORMS)
def test_the_bytes_follow_from_the_fields_that_an_endpoint_tells(name: str) -> None:
    signed = sign(FORMS[name])

    assert encode_signed(told(signed, FORMS[name])) == bytes(signed.raw_transaction)


@pytest.mark.parametrize(
    "changes", [{"value": "0x6"}, {"input": "0x1235"}, {"hash": "0x" + "00" * 32}, {"r": "x"}]
)
def test_fields_that_do_not_hash_to_what_is_told_are_refused(changes: dict[str, str]) -> None:
    answer = told(SIGNED, DYNAMIC) | changes

    with pytest.raises(Refused) as refused:
        encode_signed(answer)  # type: ignore[arg-type]

    assert refused.value.reason is Reason.PENDING_INVALID


def test_a_creation_has_no_recipient() -> None:
    created = {key: value for key, value in DYNAMIC.items() if key != "to"}

    assert parse_signed(bytes(sign(created).raw_transaction)).to is None


def fields_of(raw: bytes) -> list[Any]:
    decoded: list[Any] = rlp.decode(raw[1:])
    return decoded


def changed(place: int, value: object) -> bytes:
    items = fields_of(bytes(SIGNED.raw_transaction))
    items[place] = value
    return b"\x02" + bytes(rlp.encode(items))


def test_a_mirrored_signature_is_refused_although_the_same_key_made_it() -> None:
    items = fields_of(bytes(SIGNED.raw_transaction))
    parity, s = int.from_bytes(items[9]), int.from_bytes(items[11])
    items[9] = b"" if parity else b"\x01"
    items[11] = (ECDSA_ORDER - s).to_bytes(32)

    assert refusal(b"\x02" + bytes(rlp.encode(items))).reason is Reason.NOT_CANONICAL


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.PENDING_INVALID),
        (b"\x02", Reason.PENDING_INVALID),
        (b"\x03" + bytes(rlp.encode([])), Reason.PENDING_UNREAD),
        (b"\x04" + bytes(rlp.encode([])), Reason.PENDING_UNREAD),
        (bytes(rlp.encode([b"\x01"] * 8)), Reason.PENDING_INVALID),
        (changed(1, b"\x00\x07"), Reason.PENDING_INVALID),
        (changed(4, b"\x01" * 9), Reason.PENDING_INVALID),
        (changed(5, b"\x01" * 19), Reason.PENDING_INVALID),
        (changed(7, [b"\x01"]), Reason.PENDING_INVALID),
        (changed(8, b""), Reason.PENDING_INVALID),
        (changed(8, [[b"\x01" * 20, [b"\x01" * 31]]]), Reason.PENDING_INVALID),
        (changed(9, b"\x02"), Reason.OUT_OF_RANGE),
        (changed(10, b""), Reason.OUT_OF_RANGE),
        (bytes(rlp.encode([b""] * 6 + [b"\x1d", b"\x01", b"\x01"])), Reason.PENDING_INVALID),
        (bytes(sign(LEGACY).raw_transaction) + b"\x00", Reason.PENDING_INVALID),
        (b"\xc0" * (MAX_TRANSACTION_BYTES + 1), Reason.OVERSIZED),
    ],
)
def test_what_no_chain_would_take_is_refused(raw: bytes, reason: Reason) -> None:
    assert refusal(raw).reason is reason


def test_lists_within_lists_are_walked_no_deeper_than_a_transaction_is() -> None:
    nested = b"\xc0"
    while len(nested) < 100_000:
        size = len(nested).to_bytes((len(nested).bit_length() + 7) // 8)
        short = bytes([0xC0 + len(nested)]) if len(nested) <= 55 else b""
        nested = (short or bytes([0xF7 + len(size)]) + size) + nested
    raw = b"\x02" + bytes([0xFA]) + len(nested).to_bytes(3) + nested

    assert refusal(raw).reason is Reason.PENDING_INVALID


@given(st.integers(0, 10**4), st.binary(min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_bytes_that_were_changed_are_refused_or_another_transaction(place: int, patch: bytes) -> None:
    raw = bytearray(SIGNED.raw_transaction)
    at = place % len(raw)
    raw[at : at + len(patch)] = patch
    if bytes(raw) == bytes(SIGNED.raw_transaction):
        return

    try:
        parsed: SignedTransaction | None = parse_signed(bytes(raw))
    except Refused:
        parsed = None

    if parsed is not None:
        assert parsed.hash == keccak256(bytes(raw)) != bytes(SIGNED.hash)
        assert parsed.sender != SENDER
