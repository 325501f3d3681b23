"""A transaction as its sender signed it: from the bytes that networks pass on to who sent it, and back.

Hash and sender follow from the bytes alone, so that whoever passed them on is not believed. Types 0, 1 and 2
are read (legacy, EIP-2930, EIP-1559); blobs (3) and code that is set (4) do more than a call, and are not.
What no chain would take is refused here: another chain's id, a mirrored signature (EIP-2), numbers that are
not in their shortest form, an access list that is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from consensus.ecdsa import EcdsaSignature, recover_address
from consensus.errors import Reason, Refused
from consensus.fields import ADDRESS_BYTES, WORD_BYTES, address_from_bytes, keccak256
from consensus.pending_evidence import MAX_TRANSACTION_BYTES
from consensus.types import Address, ChainId
from node.chain.parse import octets, quantity
from node.chain.request import Json

_LEGACY_FIELDS: Final = 9
_FIRST_LIST_BYTE: Final = 0xC0
_BEFORE_CHAIN_IDS: Final = (27, 28)
_CHAIN_ID_OFFSET: Final = 35  # EIP-155

_Item = Any
"""Bytes, or a list of items that is decoded as it is walked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """One transaction; `hash` and `sender` are computed from `raw`, never told."""

    raw: bytes = field(repr=False)
    hash: bytes
    sender: Address
    chain_id: ChainId | None
    """None: signed for any chain, as before EIP-155."""
    nonce: int
    max_fee_wei: int
    """The most that it pays for a unit of gas."""
    gas: int
    to: Address | None
    value_wei: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Form:
    """Where the fields of one type stand."""

    fields: int
    nonce: int
    max_fee: int
    gas: int
    """Recipient, value and data follow it."""
    access_list: int


_TYPES: Final = {
    1: _Form(fields=11, nonce=1, max_fee=2, gas=3, access_list=7),
    2: _Form(fields=12, nonce=1, max_fee=3, gas=4, access_list=8),
}
_LEGACY: Final = _Form(fields=_LEGACY_FIELDS, nonce=0, max_fee=1, gas=2, access_list=-1)


def parse_signed(raw: bytes) -> SignedTransaction:
    """The transaction in its bytes. Raises `Refused` (OVERSIZED, PENDING_INVALID, BAD_SIGNATURE), for a type
    that is not read PENDING_UNREAD."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"a transaction of {len(raw)} bytes; nodes pass on {MAX_TRANSACTION_BYTES}"
        )
    try:
        return _parse_legacy(raw) if raw[:1] >= bytes([_FIRST_LIST_BYTE]) else _parse_typed(raw)
    except (RLPException, ValueError, TypeError, IndexError, AssertionError) as error:
        raise _refusal(f"{len(raw)} bytes are no signed transaction: {error}") from None


def encode_signed(answer: Json) -> bytes:
    """The signed bytes of a transaction that an endpoint tells by its fields. Raises `Refused`
    (PENDING_INVALID) where they do not hash to what it says, PENDING_UNREAD for a type that is not read."""
    try:
        raw = _encode(answer)
        told = octets(_field(answer, "hash"), WORD_BYTES)
    except (ValueError, TypeError, KeyError) as error:
        raise _refusal(f"no transaction by its fields: {error!r}") from None
    if keccak256(raw) != told:
        raise _refusal(f"the fields of 0x{told.hex()} hash to 0x{keccak256(raw).hex()}")
    return raw


def _parse_legacy(raw: bytes) -> SignedTransaction:
    items = _items(raw, _LEGACY_FIELDS)
    v, r, s = (_whole(each, 256) for each in items[6:])
    unsigned: list[object] = [_bytes(each) for each in items[:6]]
    _require_same(rlp.encode([*unsigned, *items[6:]]), raw)
    chain_id = None
    if v in _BEFORE_CHAIN_IDS:
        parity = v - _BEFORE_CHAIN_IDS[0]
    else:
        chain_id, parity = ChainId((v - _CHAIN_ID_OFFSET) // 2), (v - _CHAIN_ID_OFFSET) % 2
        if chain_id < 1:
            raise ValueError(f"v of {v} names no chain")
        unsigned += [_octets(chain_id), b"", b""]
    signed_hash = keccak256(rlp.encode(unsigned))
    return _make(raw, items, _LEGACY, chain_id, signed_hash, EcdsaSignature(r=r, s=s, parity=parity))


def _parse_typed(raw: bytes) -> SignedTransaction:
    kind = raw[0]
    form = _TYPES.get(kind)
    if form is None:
        raise _unread(kind)
    items = _items(raw[1:], form.fields)
    access_list = _read_access_list(items[form.access_list])
    parity, r, s = (_whole(each, 256) for each in items[-3:])
    before = [_bytes(each) for each in items[: form.access_list]]
    _require_same(bytes([kind]) + rlp.encode([*before, access_list, *items[-3:]]), raw)
    unsigned = [*before, access_list]
    signed_hash = keccak256(bytes([kind]) + rlp.encode(unsigned))
    signature = EcdsaSignature(r=r, s=s, parity=parity)
    return _make(raw, items, form, ChainId(_whole(items[0], 64)), signed_hash, signature)


def _make(
    raw: bytes,
    items: Sequence[_Item],
    form: _Form,
    chain_id: ChainId | None,
    signed_hash: bytes,
    signature: EcdsaSignature,
) -> SignedTransaction:
    to, value, data = items[form.gas + 1 : form.gas + 4]
    if len(_bytes(to)) not in (0, ADDRESS_BYTES):
        raise ValueError(f"a recipient of {len(to)} bytes")
    return SignedTransaction(
        raw=raw,
        hash=keccak256(raw),
        sender=recover_address(signed_hash, signature),
        chain_id=chain_id,
        nonce=_whole(items[form.nonce], 64),
        max_fee_wei=_whole(items[form.max_fee], 256),
        gas=_whole(items[form.gas], 64),
        to=address_from_bytes(to) if to else None,
        value_wei=_whole(value, 256),
        data=_bytes(data),
    )


def _items(encoded: bytes, count: int) -> list[_Item]:
    """The fields of a list, decoded no deeper than they are walked: nesting costs its sender, not us."""
    items = list(rlp.decode_lazy(encoded))
    if len(items) != count:
        raise ValueError(f"{count} fields were expected, came {len(items)}")
    return items


def _require_same(encoded: bytes, raw: bytes) -> None:
    """What was read, written again: nothing was left over, and nothing read twice."""
    if encoded != raw:
        raise ValueError("the same fields are encoded otherwise")


def _read_access_list(item: _Item) -> list[list[object]]:
    if isinstance(item, bytes):
        raise TypeError("an access list is a list")
    entries: list[list[object]] = []
    for entry in item:
        address, keys = entry
        if len(_bytes(address)) != ADDRESS_BYTES or isinstance(keys, bytes):
            raise ValueError("an entry of the access list is an address with its slots")
        words = [_bytes(key) for key in keys]
        if any(len(word) != WORD_BYTES for word in words):
            raise ValueError("a slot of the access list has 32 bytes")
        entries.append([address, words])
    return entries


def _whole(item: _Item, bits: int) -> int:
    raw = _bytes(item)
    if raw[:1] == b"\0" or len(raw) > bits // 8:
        raise ValueError(f"a number of at most {bits} bits in its shortest form was expected")
    return int.from_bytes(raw)


def _bytes(item: _Item) -> bytes:
    if not isinstance(item, bytes):
        raise TypeError("a list stands where bytes were expected")
    return item


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _encode(answer: Json) -> bytes:
    def number(name: str) -> bytes:
        return _octets(quantity(_field(answer, name)))

    kind = quantity(_field(answer, "type")) if _has(answer, "type") else 0
    to = _field(answer, "to") if _has(answer, "to") else None
    payload: list[object] = [
        b"" if to is None else octets(to, ADDRESS_BYTES),
        number("value"),
        octets(_field(answer, "input")),
    ]
    end: list[object] = [number("r"), number("s")]
    if kind == 0:
        return bytes(
            rlp.encode([number("nonce"), number("gasPrice"), number("gas"), *payload, number("v"), *end])
        )
    if kind not in _TYPES:
        raise _unread(kind)
    fees = [number("gasPrice")] if kind == 1 else [number("maxPriorityFeePerGas"), number("maxFeePerGas")]
    parity = number("yParity" if _has(answer, "yParity") else "v")
    access_list = _field(answer, "accessList") if _has(answer, "accessList") else []
    if not isinstance(access_list, list):
        raise TypeError("an access list is a list")
    entries: list[object] = [
        [octets(_field(each, "address"), ADDRESS_BYTES), [octets(key, WORD_BYTES) for key in _keys(each)]]
        for each in access_list
    ]
    fields = [number("chainId"), number("nonce"), *fees, number("gas"), *payload, entries, parity, *end]
    return bytes([kind]) + bytes(rlp.encode(fields))


def _has(answer: Json, name: str) -> bool:
    return isinstance(answer, dict) and answer.get(name) is not None


def _field(answer: Json, name: str) -> Json:
    if not isinstance(answer, dict):
        raise TypeError(f"an object was expected, came {str(answer)[:40]}")
    return answer[name]


def _keys(entry: Json) -> list[Json]:
    keys = _field(entry, "storageKeys")
    if not isinstance(keys, list):
        raise TypeError("the slots of an access list are a list")
    return keys


def _refusal(why: str) -> Refused:
    return Refused(Reason.PENDING_INVALID, why)


def _unread(kind: int) -> Refused:
    return Refused(
        Reason.PENDING_UNREAD,
        f"a transaction of type {kind}; types 0, 1 and 2 are run, what others do is not known before their "
        "block",
    )
