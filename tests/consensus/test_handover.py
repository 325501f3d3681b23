"""Handovers: the signatures of both sets, in order, and nothing else moves a chain on."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.bls import Purpose
from consensus.certificate import encode_signatures
from consensus.errors import Reason, Refused
from consensus.handover import (
    Handover,
    HandoverProof,
    InstalledSets,
    compute_handover,
    verify_handover,
)
from consensus.operators import OperatorSet, parse_header
from consensus.types import Epoch, HeaderHash, NetworkId, Seconds
from tests.consensus.factories import (
    MIN_EPOCH_INTERVAL,
    NETWORK_ID,
    make_bytes32,
    make_operator_set,
    make_signatures,
    make_successor,
)

FIRST = make_operator_set((100,) * 6, first_key=100)  # four of six are exactly two thirds
SECOND = make_successor(FIRST)
NOW = Seconds(SECOND.capture_time + 60)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def installed_at(operator_set: OperatorSet, previous_hash: HeaderHash | None = None) -> InstalledSets:
    return InstalledSets(
        network_id=NETWORK_ID,
        min_epoch_interval=MIN_EPOCH_INTERVAL,
        current=parse_header(operator_set.header()),
        previous_hash=previous_hash,
    )


def certify(
    operator_set: OperatorSet,
    handover: Handover,
    signers: set[int] | None = None,
    *,
    first_key: int,
    purpose: Purpose = Purpose.HANDOVER,
) -> bytes:
    chosen = range(len(operator_set.operators)) if signers is None else signers
    return encode_signatures(
        operator_set, make_signatures(handover.digest(), chosen, first_key=first_key, purpose=purpose)
    )


def prove(
    outgoing: OperatorSet = FIRST,
    incoming: OperatorSet = SECOND,
    *,
    old_signers: set[int] | None = None,
    new_signers: set[int] | None = None,
) -> HandoverProof:
    """Signed by all of both, unless a test says otherwise. Keys follow the factories' numbers."""
    handover = Handover(
        network_id=NETWORK_ID,
        epoch=outgoing.epoch,
        set_hash=outgoing.header_hash(),
        next_set_hash=incoming.header_hash(),
    )
    return HandoverProof(
        outgoing=certify(outgoing, handover, old_signers, first_key=first_key_of(outgoing)),
        incoming=certify(incoming, handover, new_signers, first_key=first_key_of(incoming)),
    )


def first_key_of(operator_set: OperatorSet) -> int:
    return int(operator_set.operators[0].peer_id.removeprefix("peer-"))


def deliver(proof: HandoverProof, installed: InstalledSets | None = None, now: int = NOW) -> InstalledSets:
    return verify_handover(proof, installed=installed or installed_at(FIRST), now=Seconds(now))


# --- what is signed


@given(st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32), st.integers(0, 3))
def test_the_digest_binds_every_field(epoch: int, word: bytes, field: int) -> None:
    handover = Handover(
        network_id=NETWORK_ID,
        epoch=Epoch(epoch),
        set_hash=FIRST.header_hash(),
        next_set_hash=SECOND.header_hash(),
    )
    changes = (
        {"network_id": NetworkId(word)},
        {"epoch": Epoch((epoch + 1) % 2**32)},
        {"set_hash": HeaderHash(word)},
        {"next_set_hash": HeaderHash(word)},
    )

    other = replace(handover, **changes[field])  # type: ignore[arg-type]

    assert (other == handover) == (other.digest() == handover.digest())


@pytest.mark.parametrize("epoch", [-1, 2**32])
def test_an_epoch_beyond_its_width_is_refused(epoch: int) -> None:
    handover = compute_handover(NETWORK_ID, FIRST, SECOND)

    assert reason_of(lambda: replace(handover, epoch=Epoch(epoch))) == Reason.OUT_OF_RANGE


@pytest.mark.parametrize("name", ["network_id", "set_hash", "next_set_hash"])
def test_a_hash_of_another_length_is_refused(name: str) -> None:
    handover = compute_handover(NETWORK_ID, FIRST, SECOND)

    assert reason_of(lambda: replace(handover, **{name: bytes(31)})) == Reason.WRONG_LENGTH


def test_nothing_is_offered_for_signing_that_does_not_follow() -> None:
    stray = make_successor(FIRST, prev_header_hash=make_bytes32("another"))

    assert reason_of(lambda: compute_handover(NETWORK_ID, FIRST, FIRST)) == Reason.EPOCH_NOT_NEXT
    assert (
        reason_of(lambda: compute_handover(NETWORK_ID, FIRST, make_successor(SECOND)))
        == Reason.EPOCH_NOT_NEXT
    )
    assert reason_of(lambda: compute_handover(NETWORK_ID, FIRST, stray)) == Reason.PREVIOUS_MISMATCH


# --- what moves a chain on


def test_both_sets_together_install_the_next() -> None:
    after = deliver(prove())

    assert after.current.hash() == SECOND.header_hash()
    assert after.previous_hash == FIRST.header_hash()
    assert after.network_id == NETWORK_ID
    assert after.min_epoch_interval == MIN_EPOCH_INTERVAL


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=5),
    st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=5),
    st.data(),
)
def test_exactly_more_than_two_thirds_of_both_are_enough(
    old_weights: list[int], new_weights: list[int], data: st.DataObject
) -> None:
    old = make_operator_set(tuple(old_weights), first_key=100)
    new = make_successor(old, weights=tuple(new_weights), first_key=200)
    old_signers = data.draw(st.sets(st.integers(0, len(old_weights) - 1), min_size=1))
    new_signers = data.draw(st.sets(st.integers(0, len(new_weights) - 1), min_size=1))
    proof = prove(old, new, old_signers=old_signers, new_signers=new_signers)
    is_enough = all(
        3 * sum(weights[each] for each in signers) > 2 * sum(weights)
        for weights, signers in ((old_weights, old_signers), (new_weights, new_signers))
    )

    if is_enough:
        assert deliver(proof, installed_at(old)).current.hash() == new.header_hash()
    else:
        assert reason_of(lambda: deliver(proof, installed_at(old))) == Reason.THRESHOLD_NOT_MET


def test_exactly_two_thirds_of_either_set_are_not_enough() -> None:
    four = {0, 1, 2, 3}

    assert reason_of(lambda: deliver(prove(old_signers=four))) == Reason.THRESHOLD_NOT_MET
    assert reason_of(lambda: deliver(prove(new_signers=four))) == Reason.THRESHOLD_NOT_MET
    assert deliver(prove(old_signers={*four, 4}, new_signers={*four, 5})).current.epoch == SECOND.epoch


PROOF = prove(old_signers={0, 1, 2, 3, 5}, new_signers={1, 2, 3, 4, 5})


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.integers(0, len(PROOF.outgoing) - 1), st.integers(1, 255))
def test_no_changed_byte_moves_a_chain_on(is_outgoing: bool, position: int, difference: int) -> None:
    name = "outgoing" if is_outgoing else "incoming"
    data: bytes = getattr(PROOF, name)
    forged = data[:position] + bytes([data[position] ^ difference]) + data[position + 1 :]
    before = installed_at(FIRST)

    try:
        after = deliver(replace(PROOF, **{name: forged}), before)
    except Refused:
        return

    assert after is before, "an epoch that is past is a no-op, and nothing else passes"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=1_000), st.binary(max_size=1_000))
def test_strange_bytes_are_refused_and_never_crash(outgoing: bytes, incoming: bytes) -> None:
    before = installed_at(FIRST)

    try:
        after = deliver(HandoverProof(outgoing=outgoing, incoming=incoming), before)
    except Refused:
        return

    assert after is before


@pytest.mark.parametrize("purpose", [Purpose.ALERT, Purpose.POSSESSION])
def test_a_signature_under_another_tag_hands_nothing_over(purpose: Purpose) -> None:
    handover = compute_handover(NETWORK_ID, FIRST, SECOND)
    foreign = certify(SECOND, handover, first_key=first_key_of(SECOND), purpose=purpose)

    assert reason_of(lambda: deliver(replace(prove(), incoming=foreign))) == Reason.BAD_SIGNATURE


def test_a_handover_of_another_network_is_refused() -> None:
    elsewhere = replace(installed_at(FIRST), network_id=NetworkId(make_bytes32("another network")))

    assert reason_of(lambda: deliver(prove(), elsewhere)) == Reason.BAD_SIGNATURE


# --- order and time


def test_missed_epochs_are_caught_up_in_order() -> None:
    sets = [FIRST]
    for _ in range(5):
        sets.append(make_successor(sets[-1]))
    proofs = [prove(one, other) for one, other in pairwise(sets)]
    now, installed = sets[-1].capture_time, installed_at(FIRST)

    assert reason_of(lambda: deliver(proofs[1], installed, now)) == Reason.EPOCH_NOT_NEXT
    for proof in proofs:
        installed = deliver(proof, installed, now)
    assert installed.current.hash() == sets[-1].header_hash()
    assert installed.previous_hash == sets[-2].header_hash()
    for proof in proofs:
        assert deliver(proof, installed, now) is installed


def test_what_is_there_already_changes_nothing_even_when_it_has_ended() -> None:
    third = make_successor(SECOND)
    installed = installed_at(third, previous_hash=SECOND.header_hash())

    assert deliver(prove(), installed, SECOND.valid_until + 1) is installed


def test_another_set_for_a_known_epoch_is_a_conflict() -> None:
    twin = make_successor(FIRST, first_key=7_000)
    as_current = installed_at(SECOND)
    as_previous = installed_at(make_successor(SECOND), previous_hash=SECOND.header_hash())
    forgotten = installed_at(make_successor(SECOND))

    assert reason_of(lambda: deliver(prove(FIRST, twin), as_current)) == Reason.HANDOVER_CONFLICT
    assert reason_of(lambda: deliver(prove(FIRST, twin), as_previous)) == Reason.HANDOVER_CONFLICT
    assert deliver(prove(FIRST, twin), forgotten) is forgotten


def test_a_set_in_its_grace_hands_nothing_over() -> None:
    installed = deliver(prove())
    rival = make_successor(SECOND, prev_header_hash=FIRST.header_hash(), first_key=7_000)

    refused = reason_of(lambda: deliver(prove(FIRST, rival), installed, rival.capture_time))

    assert refused == Reason.HEADER_MISMATCH


def test_the_old_set_hands_over_until_its_last_second() -> None:
    last = FIRST.valid_until
    late = make_successor(FIRST, capture_time=last, valid_until=last + 100)

    assert deliver(prove(FIRST, late), now=last).current.hash() == late.header_hash()
    assert reason_of(lambda: deliver(prove(FIRST, late), now=last + 1)) == Reason.SET_EXPIRED


def test_the_new_set_must_be_captured_by_now_and_end_later() -> None:
    assert reason_of(lambda: deliver(prove(), now=SECOND.capture_time - 1)) == Reason.SET_FROM_FUTURE
    assert deliver(prove(), now=SECOND.capture_time).current.epoch == SECOND.epoch
    brief = make_successor(FIRST, valid_until=NOW + 1)
    assert deliver(prove(FIRST, brief)).current.hash() == brief.header_hash()
    assert reason_of(lambda: deliver(prove(FIRST, brief), now=NOW + 1)) == Reason.SET_EXPIRED


def test_captures_follow_one_another_no_faster_than_the_chain_allows() -> None:
    earliest = FIRST.capture_time + MIN_EPOCH_INTERVAL
    early = make_successor(FIRST, capture_time=earliest - 1)

    assert reason_of(lambda: deliver(prove(FIRST, early))) == Reason.CAPTURED_TOO_EARLY
    assert deliver(prove(FIRST, make_successor(FIRST, capture_time=earliest))).current.epoch == SECOND.epoch
