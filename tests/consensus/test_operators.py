"""Operator sets: rebuilt from the chain only when every byte agrees with the header."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.bls import GROUP_ORDER, SecretKey
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.operators import (
    HEADER_BYTES,
    LEAF_PREIMAGE_BYTES,
    MAX_OPERATORS,
    MAX_PEER_ID_CHARACTERS,
    OperatorSet,
    epoch_at,
    parse_header,
    parse_leaf,
)
from consensus.types import OperatorIndex, Seconds, Weight
from tests.consensus.factories import (
    CAPTURE_TIME,
    make_address,
    make_operator,
    make_operator_set,
    make_secret,
)

SET = make_operator_set((5, 3, 2, 1))
ADDRESSES = [operator.address for operator in SET.operators]
PEER_IDS = [operator.peer_id for operator in SET.operators]


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def from_chain(
    header: bytes = SET.header(),
    preimages: bytes = SET.leaf_preimages(),
    addresses: Sequence[Any] = ADDRESSES,
    peer_ids: Sequence[str] = PEER_IDS,
) -> OperatorSet:
    return OperatorSet.from_chain(header, preimages, addresses=addresses, peer_ids=peer_ids)


def with_leaves_of(preimages: bytes, header: bytes = SET.header()) -> bytes:
    """The header as a liar would write it, with the leavesHash that these preimages give."""
    leaves = [
        keccak256(preimages[start : start + LEAF_PREIMAGE_BYTES])
        for start in range(0, len(preimages), LEAF_PREIMAGE_BYTES)
    ]
    return header[:78] + keccak256(b"".join(leaves)) + header[110:]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_set_survives_the_way_through_the_chain(weights: list[int], epoch: int) -> None:
    original = make_operator_set(tuple(weights), epoch=epoch)

    rebuilt = OperatorSet.from_chain(
        original.header(),
        original.leaf_preimages(),
        addresses=[operator.address for operator in original.operators],
        peer_ids=[operator.peer_id for operator in original.operators],
    )

    assert rebuilt == original
    assert rebuilt.header_hash() == original.header_hash()
    assert rebuilt.total_weight == sum(weights)
    assert parse_header(original.header()).to_bytes() == original.header()


def test_lengths_are_those_of_the_design() -> None:
    assert (HEADER_BYTES, LEAF_PREIMAGE_BYTES) == (302, 206)
    assert len(SET.header()) == 302
    assert {len(operator.leaf_preimage()) for operator in SET.operators} == {206}
    assert SET.header_hash() == keccak256(SET.header())


@pytest.mark.parametrize("length", [0, 301, 303])
def test_a_header_of_another_length_is_refused(length: int) -> None:
    assert reason_of(lambda: parse_header((SET.header() + b"\0")[:length])) == Reason.WRONG_LENGTH


@pytest.mark.parametrize("length", [0, 205, 207])
def test_a_leaf_of_another_length_is_refused(length: int) -> None:
    assert reason_of(lambda: parse_leaf((SET.leaf_preimages())[:length])) == Reason.WRONG_LENGTH


@pytest.mark.parametrize("change", [-1, 1, -LEAF_PREIMAGE_BYTES, LEAF_PREIMAGE_BYTES])
def test_preimages_of_another_length_are_refused(change: int) -> None:
    preimages = (SET.leaf_preimages() + bytes(LEAF_PREIMAGE_BYTES))[: 4 * LEAF_PREIMAGE_BYTES + change]

    assert reason_of(lambda: from_chain(preimages=preimages)) == Reason.WRONG_LENGTH


def test_missing_addresses_or_peer_ids_are_refused() -> None:
    assert reason_of(lambda: from_chain(addresses=ADDRESSES[:3])) == Reason.WRONG_LENGTH
    assert reason_of(lambda: from_chain(peer_ids=PEER_IDS[:3])) == Reason.WRONG_LENGTH


def test_preimages_of_another_set_are_refused() -> None:
    other = make_operator_set((5, 3, 2, 2))

    assert reason_of(lambda: from_chain(preimages=other.leaf_preimages())) == Reason.LEAVES_MISMATCH


def test_a_header_whose_total_is_not_the_sum_is_refused() -> None:
    header = SET.header()
    lying = header[:6] + (12).to_bytes(16, "big") + header[22:]

    assert reason_of(lambda: from_chain(header=lying)) == Reason.WEIGHT_MISMATCH


def test_a_header_whose_key_is_not_the_sum_is_refused() -> None:
    lying = SET.header()[:110] + make_secret(9).public_key().to_bytes()

    assert reason_of(lambda: from_chain(header=lying)) == Reason.AGGREGATE_KEY_MISMATCH


def test_a_header_whose_key_is_no_point_is_refused() -> None:
    assert reason_of(lambda: from_chain(header=SET.header()[:110] + bytes(192))) == Reason.POINT_AT_INFINITY


def test_an_operator_whose_key_is_no_point_is_refused() -> None:
    preimages = SET.leaf_preimages()[: 3 * LEAF_PREIMAGE_BYTES + 14] + bytes(192)

    assert reason_of(lambda: from_chain(with_leaves_of(preimages), preimages)) == Reason.POINT_AT_INFINITY


def test_preimages_out_of_order_are_refused() -> None:
    first, second, rest = (
        SET.operators[0].leaf_preimage(),
        SET.operators[1].leaf_preimage(),
        SET.leaf_preimages()[2 * LEAF_PREIMAGE_BYTES :],
    )
    preimages = second + first + rest

    assert reason_of(lambda: from_chain(with_leaves_of(preimages), preimages)) == Reason.SET_INVALID


@pytest.mark.parametrize("count", [0, MAX_OPERATORS + 1, 65_535])
def test_a_header_of_an_impossible_count_is_refused(count: int) -> None:
    header = SET.header()

    assert (
        reason_of(lambda: parse_header(header[:4] + count.to_bytes(2, "big") + header[6:]))
        == Reason.SET_INVALID
    )


def test_a_header_without_weight_is_refused() -> None:
    header = SET.header()

    assert reason_of(lambda: parse_header(header[:6] + bytes(16) + header[22:])) == Reason.SET_INVALID


def test_a_header_that_ends_before_it_begins_is_refused() -> None:
    assert reason_of(lambda: replace(SET, valid_until=SET.capture_time)) == Reason.SET_INVALID


def set_of(operators: tuple[Any, ...]) -> OperatorSet:
    return replace(SET, operators=operators)


def test_an_empty_set_is_refused() -> None:
    assert reason_of(lambda: set_of(())) == Reason.SET_INVALID


def test_a_set_above_the_limit_is_refused() -> None:
    at_limit = tuple(make_operator(index) for index in range(MAX_OPERATORS))

    assert len(set_of(at_limit).operators) == MAX_OPERATORS
    assert reason_of(lambda: set_of((*at_limit, make_operator(MAX_OPERATORS)))) == Reason.SET_INVALID


def test_an_operator_without_weight_is_refused() -> None:
    assert reason_of(lambda: set_of((make_operator(0), make_operator(1, 0)))) == Reason.SET_INVALID


def test_one_key_for_two_operators_is_refused() -> None:
    twin = replace(make_operator(1), public_key=make_operator(0).public_key)

    assert reason_of(lambda: set_of((make_operator(0), twin))) == Reason.SET_INVALID


def test_one_address_for_two_operators_is_refused() -> None:
    twin = replace(make_operator(1), address=make_operator(0).address)

    assert reason_of(lambda: set_of((make_operator(0), twin))) == Reason.SET_INVALID


def test_a_set_whose_keys_cancel_each_other_is_refused() -> None:
    opposite = SecretKey(GROUP_ORDER - int.from_bytes(make_secret(0).to_bytes(), "big")).public_key()
    pair = (make_operator(0), replace(make_operator(1), public_key=opposite))

    assert reason_of(lambda: set_of(pair)) == Reason.POINT_AT_INFINITY


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"index": OperatorIndex(1 << 16)}, Reason.OUT_OF_RANGE),
        ({"weight": Weight(1 << 96)}, Reason.OUT_OF_RANGE),
        ({"weight": Weight(-1)}, Reason.OUT_OF_RANGE),
        ({"address": make_address("operator 0").lower()}, Reason.NOT_CHECKSUMMED),
        ({"public_key": b"\1" * 192}, Reason.WRONG_TYPE),
        ({"peer_id": "x" * (MAX_PEER_ID_CHARACTERS + 1)}, Reason.OVERSIZED),
    ],
)
def test_an_operator_outside_its_bounds_cannot_be_built(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(lambda: replace(make_operator(0), **changes)) == reason


def test_an_index_beyond_the_set_is_no_member() -> None:
    assert SET.by_index(OperatorIndex(3)) == SET.operators[3]
    assert reason_of(lambda: SET.by_index(OperatorIndex(4))) == Reason.NOT_A_MEMBER
    assert reason_of(lambda: SET.by_index(OperatorIndex(-1))) == Reason.NOT_A_MEMBER


def test_a_copied_peer_id_neither_stops_the_set_nor_takes_the_first_ones_place() -> None:
    copied = set_of((make_operator(0), replace(make_operator(1), peer_id="peer-0"), make_operator(2)))

    assert copied.by_peer_id("peer-0") == copied.operators[0]
    assert copied.by_peer_id("peer-2") == copied.operators[2]
    assert copied.by_peer_id("stranger") is None


def test_operators_without_peer_id_are_not_found_by_an_empty_one() -> None:
    assert set_of((replace(make_operator(0), peer_id=""),)).by_peer_id("") is None


@pytest.mark.parametrize(
    ("seconds_later", "epoch"), [(10, 1), (109, 1), (110, 2), (209, 2), (210, 3), (10_000, 3)]
)
def test_the_epoch_follows_from_the_alerts_time(seconds_later: int, epoch: int) -> None:
    sets = [
        make_operator_set((1, 1), epoch=3, capture_time=CAPTURE_TIME + 200),
        make_operator_set((1, 1), epoch=1, capture_time=CAPTURE_TIME),
        make_operator_set((1, 1), epoch=2, capture_time=CAPTURE_TIME + 100),
    ]

    assert epoch_at(sets, Seconds(CAPTURE_TIME + seconds_later), Seconds(10)) == epoch


def test_before_the_first_activation_there_is_no_epoch() -> None:
    assert reason_of(lambda: epoch_at([SET], Seconds(CAPTURE_TIME + 9), Seconds(10))) == Reason.UNKNOWN_EPOCH
    assert reason_of(lambda: epoch_at([], Seconds(CAPTURE_TIME), Seconds(0))) == Reason.UNKNOWN_EPOCH
