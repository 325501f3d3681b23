"""What is compared and asked for: equal roots mean equal holdings; the wire has one form for each message."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import reconciliation as r
from consensus.errors import Reason, Refused
from consensus.partial import compute_signers
from consensus.types import Digest, OperatorIndex, Signers
from node.gossip.frames import MAX_BODY_BYTES, Kind
from tests.consensus.factories import make_alert, make_attestation
from tests.consensus.test_attestation import alerts

digests = st.binary(min_size=32, max_size=32).map(Digest)
signers = st.integers(1, 2**256 - 1).map(Signers)
entries = st.builds(r.Entry, digest=digests, signers=signers)


def in_order(found: list[r.Entry]) -> tuple[r.Entry, ...]:
    return tuple({each.digest: each for each in sorted(found, key=lambda each: each.digest)}.values())


listed = st.lists(entries, max_size=20).map(in_order)
summaries = st.builds(r.compute_summary, listed, st.integers(0, r.MAX_BUCKET_BITS))
inventories = listed.map(lambda found: r.Inventory(bits=0, bucket=0, entries=found))
wants = listed.filter(bool).map(lambda found: r.Want(entries=found))
answers = st.builds(
    r.Signatures,
    alert=alerts(),
    signatures=st.dictionaries(
        st.integers(0, 255), st.binary(min_size=48, max_size=48), min_size=1, max_size=64
    ).map(lambda found: tuple(sorted((OperatorIndex(index), raw) for index, raw in found.items()))),
)

CODECS: dict[Kind, tuple[Callable[[Any], bytes], Callable[[bytes], Any], st.SearchStrategy[Any]]] = {
    Kind.SUMMARY: (r.encode_summary, r.decode_summary, summaries),
    Kind.INVENTORY: (r.encode_inventory, r.decode_inventory, inventories),
    Kind.WANT: (r.encode_want, r.decode_want, wants),
    Kind.SIGNATURES: (r.encode_signatures, r.decode_signatures, answers),
}

D = Digest(b"\1" * 32)
E = Digest(b"\2" * 32)
FIRST = Signers(1)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


# --- what is compared


@settings(deadline=None)
@given(listed, listed, st.integers(0, r.MAX_BUCKET_BITS))
def test_roots_are_equal_exactly_where_the_holdings_are(
    ours: tuple[r.Entry, ...], theirs: tuple[r.Entry, ...], bits: int
) -> None:
    here, there = r.compute_summary(ours, bits), r.compute_summary(theirs, bits)

    for bucket in range(1 << bits):
        ours_here, theirs_here = (
            [each for each in found if int.from_bytes(each.digest, "big") >> (256 - bits) == bucket]
            for found in (ours, theirs)
        )
        assert (here.roots[bucket] == there.roots[bucket]) == (ours_here == theirs_here)


@given(st.permutations([r.Entry(digest=Digest(bytes([n]) * 32), signers=FIRST) for n in range(8)]))
def test_a_root_does_not_depend_on_the_order(found: list[r.Entry]) -> None:
    assert r.compute_summary(found, 3) == r.compute_summary(sorted(found, key=lambda each: each.digest), 3)


@pytest.mark.parametrize(
    ("count", "bits"), [(0, 0), (128, 0), (129, 1), (256, 1), (257, 2), (8_192, 6), (10**6, 6)]
)
def test_buckets_are_cut_so_that_an_inventory_holds_one_twice(count: int, bits: int) -> None:
    assert r.compute_bits(count) == bits


# --- the wire


@pytest.mark.parametrize("kind", CODECS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_decoding_gives_back_what_was_encoded(kind: Kind, data: st.DataObject) -> None:
    encode, decode, messages = CODECS[kind]
    message = data.draw(messages)

    assert decode(encode(message)) == message


@pytest.mark.parametrize("kind", CODECS)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(kind: Kind, data: bytes) -> None:
    encode, decode, _ = CODECS[kind]
    try:
        message = decode(data)
    except Refused:
        return
    assert encode(message) == data


@pytest.mark.parametrize("kind", CODECS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_changed_byte_is_refused_or_another_message(kind: Kind, data: st.DataObject) -> None:
    encode, decode, messages = CODECS[kind]
    message = data.draw(messages)
    wire = bytearray(encode(message))
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= data.draw(st.integers(1, 255))

    with contextlib.suppress(Refused):
        assert decode(bytes(wire)) != message


def test_the_longest_messages_fit_their_frames() -> None:
    widest = tuple(
        r.Entry(digest=Digest(number.to_bytes(32, "big")), signers=Signers(2**256 - 1))
        for number in range(r.MAX_ENTRIES)
    )
    summary = r.compute_summary(widest, r.MAX_BUCKET_BITS)

    assert len(r.encode_summary(summary)) <= MAX_BODY_BYTES[Kind.SUMMARY]
    assert (
        len(r.encode_inventory(r.Inventory(bits=0, bucket=0, entries=widest)))
        <= MAX_BODY_BYTES[Kind.INVENTORY]
    )
    assert len(r.encode_want(r.Want(entries=widest))) <= MAX_BODY_BYTES[Kind.WANT]


@pytest.mark.parametrize(
    ("decode", "fields", "reason"),
    [
        (r.decode_summary, [0], Reason.WRONG_LENGTH),
        (r.decode_summary, [0, b"\0" * 16, 0], Reason.WRONG_LENGTH),
        (r.decode_summary, [0, b"\0" * 15], Reason.WRONG_LENGTH),
        (r.decode_summary, [1, b"\0" * 16], Reason.WRONG_LENGTH),
        (r.decode_summary, [7, b"\0" * 16], Reason.OUT_OF_RANGE),
        (r.decode_summary, [0, 0], Reason.WRONG_TYPE),
        (r.decode_inventory, [0], Reason.WRONG_LENGTH),
        (r.decode_inventory, [0, 0, D], Reason.WRONG_LENGTH),
        (r.decode_inventory, [7, 0], Reason.OUT_OF_RANGE),
        (r.decode_inventory, [6, 64], Reason.OUT_OF_RANGE),
        (r.decode_inventory, [6, 1, D, b"\1"], Reason.OUT_OF_RANGE),
        (r.decode_inventory, [0, 0, D, b"\1", D, b"\1"], Reason.ENTRIES_INVALID),
        (r.decode_inventory, [0, 0, E, b"\1", D, b"\1"], Reason.ENTRIES_INVALID),
        (r.decode_inventory, [0, 0, D, b""], Reason.EMPTY_LIST),
        (r.decode_inventory, [0, 0, D, b"\1\0"], Reason.NOT_CANONICAL),
        (r.decode_inventory, [0, 0, D, b"\1" * 33], Reason.OUT_OF_RANGE),
        (r.decode_inventory, [0, 0, D, 1], Reason.WRONG_TYPE),
        (r.decode_inventory, [0, 0, b"short", b"\1"], Reason.WRONG_LENGTH),
        (r.decode_want, [], Reason.EMPTY_LIST),
        (r.decode_want, [D, b"\1", D, b"\2"], Reason.ENTRIES_INVALID),
        (r.decode_want, [D, b"\1", E, b"\1", 0], Reason.WRONG_LENGTH),
    ],
)
def test_what_breaks_the_form_is_refused(
    decode: Callable[[bytes], Any], fields: list[Any], reason: Reason
) -> None:
    assert reason_of(lambda: decode(msgpack.packb(fields))) is reason


def test_too_many_entries_are_refused() -> None:
    many = [Digest(number.to_bytes(32, "big")) for number in range(r.MAX_ENTRIES + 1)]
    fields = [part for digest in many for part in (digest, b"\1")]

    assert reason_of(lambda: r.decode_want(msgpack.packb(fields))) is Reason.OVERSIZED
    assert (
        reason_of(lambda: r.Want(entries=tuple(r.Entry(digest=d, signers=FIRST) for d in many)))
        is Reason.OVERSIZED
    )


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ((), Reason.EMPTY_LIST),
        (((1, b"s" * 48), (1, b"s" * 48)), Reason.ENTRIES_INVALID),
        (((2, b"s" * 48), (1, b"s" * 48)), Reason.ENTRIES_INVALID),
        (((256, b"s" * 48),), Reason.ENTRIES_INVALID),
        (((0, b"s" * 47),), Reason.WRONG_LENGTH),
        (((0, 1),), Reason.WRONG_TYPE),
        (((b"0", b"s" * 48),), Reason.WRONG_TYPE),
        (tuple((n, b"s" * 48) for n in range(65)), Reason.OVERSIZED),
    ],
)
def test_answers_that_break_the_form_are_refused(pairs: tuple[Any, ...], reason: Reason) -> None:
    assert reason_of(lambda: r.Signatures(alert=make_alert(), signatures=pairs)) is reason


def test_answers_hold_every_attestation_once() -> None:
    attestations = [make_attestation(operator_index=index) for index in range(7)] * 10
    numbered = [
        r.Attestation(alert=each.alert, operator_index=OperatorIndex(place), signature=each.signature)
        for place, each in enumerate(attestations)
    ]

    found = r.compute_answers(numbered)

    assert [len(each.signatures) for each in found] == [64, 6]
    assert [each for answer in found for each in answer.read_attestations()] == numbered
    assert found[1].signers() == compute_signers(map(OperatorIndex, range(64, 70)))
    assert r.compute_answers([]) == ()


def test_bytes_that_are_no_point_are_refused_when_they_are_read() -> None:
    answer = r.Signatures(alert=make_alert(), signatures=((OperatorIndex(0), b"\xff" * 48),))

    assert reason_of(answer.read_attestations) is Reason.POINT_AT_INFINITY
