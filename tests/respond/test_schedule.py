"""Who submits when."""

from __future__ import annotations

from collections.abc import Iterable

from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from consensus.types import Address, BlockNumber, Digest
from node.respond.schedule import compute_order, compute_turn
from tests.consensus.factories import make_address, make_bytes32

READY_AT = BlockNumber(100)
FOUR = tuple(make_address(f"operator {number}") for number in range(4))
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
CROWDS = st.sets(st.integers(0, 200), min_size=1, max_size=30).map(
    lambda numbers: tuple(make_address(f"operator {number}") for number in sorted(numbers))
)


@given(digest=DIGESTS, operators=CROWDS, data=st.data())
def test_everybody_computes_the_same_order_however_the_set_is_listed(
    digest: Digest, operators: tuple[Address, ...], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(operators))

    order = compute_order(digest, shuffled)

    assert order == compute_order(digest, operators)
    assert sorted(order) == sorted(operators)


def test_the_order_is_that_of_the_hash_of_digest_and_operator() -> None:
    digest = Digest(make_bytes32("an alert"))
    alice, bob = make_address("alice"), make_address("bob")
    alice_is_first = keccak(digest + bytes.fromhex(alice[2:])) < keccak(digest + bytes.fromhex(bob[2:]))

    assert compute_order(digest, (alice, bob)) == ((alice, bob) if alice_is_first else (bob, alice))


def test_no_operator_is_first_for_every_alert() -> None:
    operators = tuple(make_address(f"operator {number}") for number in range(7))

    first = {compute_order(Digest(make_bytes32(f"alert {n}")), operators)[0] for n in range(200)}

    assert first == set(operators)


def turns(signed: Iterable[int]) -> list[int]:
    """When each of four operators submits, in blocks after the certificate was ready."""
    signers = {FOUR[index] for index in signed}
    return [compute_turn(FOUR, each, ready_at=READY_AT, signed=signers) - READY_AT for each in FOUR]


def test_the_first_sends_at_once_and_whoever_follows_one_at_work_leaves_it_a_whole_block() -> None:
    assert turns(range(4)) == [0, 2, 3, 4]


def test_those_who_have_not_signed_are_likely_gone_and_cost_one_block_each() -> None:
    assert turns([1, 2, 3]) == [0, 1, 3, 4]
    assert turns([3]) == [0, 1, 2, 3]


@given(signed=st.sets(st.integers(0, 3)))
def test_no_two_operators_have_their_turn_in_one_block(signed: set[int]) -> None:
    assert len(set(turns(signed))) == 4


def test_a_relayer_without_stake_comes_after_everybody() -> None:
    stranger = compute_turn(FOUR, make_address("a stranger"), ready_at=READY_AT, signed=FOUR)

    assert stranger - READY_AT > max(turns(range(4)))
