"""Votes for handovers: what is counted, what is refused and before which cost, and when there is a proof."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import consensus.succession
from consensus.bls import Purpose
from consensus.errors import Reason, Refused
from consensus.handover import InstalledSets, compute_handover, verify_handover
from consensus.operators import OperatorSet, parse_header
from consensus.succession import (
    MAX_STEPS,
    MAX_VOTE_BYTES,
    HandoverVote,
    Side,
    Succession,
    decode_vote,
    encode_vote,
)
from consensus.types import Epoch, HeaderHash, NetworkId, OperatorIndex, Seconds
from tests.consensus.factories import (
    MIN_EPOCH_INTERVAL,
    NETWORK_ID,
    make_bytes32,
    make_operator_set,
    make_signature,
    make_successor,
)

SIX = (100,) * 6  # five are more than two thirds, four are just two thirds
FIRST = make_operator_set(SIX, epoch=4, first_key=4_000)
SECOND = make_successor(FIRST)
HANDOVER = compute_handover(NETWORK_ID, FIRST, SECOND)
NOW = Seconds(SECOND.capture_time + 60)


def make_vote(side: Side = Side.OUTGOING, index: int = 0, **changes: Any) -> HandoverVote:
    first_key = {Side.OUTGOING: 4_000, Side.INCOMING: 5_000}[side]
    vote = HandoverVote(
        handover=HANDOVER,
        side=side,
        operator_index=OperatorIndex(index),
        signature=make_signature(first_key + index, HANDOVER.digest(), Purpose.HANDOVER),
    )
    return replace(vote, **changes)


def make_succession() -> Succession:
    succession = Succession(NETWORK_ID)
    succession.add_step(FIRST, SECOND)
    return succession


def refusal(succession: Succession, vote: HandoverVote) -> Reason:
    with pytest.raises(Refused) as refused:
        succession.add(vote)
    return refused.value.reason


def test_two_thirds_of_both_sets_make_a_proof_that_a_chain_takes() -> None:
    succession = make_succession()
    for index in range(5):
        assert succession.add(make_vote(Side.OUTGOING, index))
    for index in range(4):
        assert succession.add(make_vote(Side.INCOMING, index))
    assert succession.proof(FIRST.epoch) is None, "just two thirds of the new set are not more than that"

    assert succession.add(make_vote(Side.INCOMING, 4))

    proof = succession.proof(FIRST.epoch)
    assert proof is not None
    installed = InstalledSets(
        network_id=NETWORK_ID,
        min_epoch_interval=MIN_EPOCH_INTERVAL,
        current=parse_header(FIRST.header()),
    )
    assert verify_handover(proof, installed=installed, now=NOW).current.hash() == SECOND.header_hash()


def test_the_outgoing_sets_quorum_is_asked_for_as_well() -> None:
    succession = make_succession()
    for index in range(6):
        succession.add(make_vote(Side.INCOMING, index))
    for index in range(4):
        succession.add(make_vote(Side.OUTGOING, index))
    assert succession.proof(FIRST.epoch) is None

    progress = succession.progress(FIRST.epoch)
    assert progress is not None
    assert (progress.outgoing, progress.outgoing_total) == (400, 600)
    assert (progress.incoming, progress.incoming_total) == (600, 600)


def test_a_vote_counts_once() -> None:
    succession = make_succession()
    assert succession.add(make_vote())
    assert not succession.add(make_vote())
    progress = succession.progress(FIRST.epoch)
    assert progress is not None
    assert progress.outgoing == 100


@pytest.mark.parametrize(
    ("vote", "reason"),
    [
        (make_vote(signature=make_signature(4_001, HANDOVER.digest(), Purpose.HANDOVER)), "bad_signature"),
        (make_vote(signature=make_signature(4_000, HANDOVER.digest(), Purpose.ALERT)), "bad_signature"),
        (make_vote(side=Side.INCOMING, index=0, signature=make_vote().signature), "bad_signature"),
        (make_vote(index=6), "not_a_member"),
        (
            make_vote(handover=replace(HANDOVER, network_id=NetworkId(make_bytes32("another")))),
            "wrong_network",
        ),
        (make_vote(handover=replace(HANDOVER, epoch=Epoch(5))), "unknown_epoch"),
        (
            make_vote(handover=replace(HANDOVER, next_set_hash=HeaderHash(make_bytes32("another")))),
            "handover_conflict",
        ),
        (
            make_vote(handover=replace(HANDOVER, set_hash=HeaderHash(make_bytes32("another")))),
            "handover_conflict",
        ),
    ],
    ids=["another's", "of an alert", "of the other side", "stranger", "network", "epoch", "next set", "set"],
)
def test_what_is_not_counted(vote: HandoverVote, reason: str) -> None:
    succession = make_succession()

    assert refusal(succession, vote) == reason
    progress = succession.progress(FIRST.epoch)
    assert progress is not None
    assert progress.outgoing == progress.incoming == 0


def test_a_second_signature_of_a_counted_operator_is_refused_without_a_pairing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    succession = make_succession()
    succession.add(make_vote())
    monkeypatch.setattr(consensus.succession, "verify", lambda *_: pytest.fail("a pairing was paid for"))

    other = make_vote(signature=make_vote(index=1).signature)
    assert refusal(succession, other) is Reason.BAD_SIGNATURE


def test_a_set_that_does_not_follow_is_no_step() -> None:
    with pytest.raises(Refused):
        Succession(NETWORK_ID).add_step(SECOND, FIRST)


def test_a_registry_that_changes_its_past_is_refused() -> None:
    succession = make_succession()
    other = make_successor(FIRST, first_key=9_000)

    with pytest.raises(Refused) as refused:
        succession.add_step(FIRST, other)
    assert refused.value.reason is Reason.HANDOVER_CONFLICT
    assert succession.handovers() == (HANDOVER,)


def test_steps_are_bounded_and_the_newest_stay() -> None:
    succession = Succession(NETWORK_ID)
    sets: list[OperatorSet] = [make_operator_set((1,), epoch=1)]
    for _ in range(MAX_STEPS + 3):
        sets.append(make_successor(sets[-1], first_key=0))
        succession.add_step(sets[-2], sets[-1])
    epochs = [handover.epoch for handover in succession.handovers()]
    assert len(epochs) == MAX_STEPS
    assert epochs[-1] == MAX_STEPS + 3
    assert succession.progress(Epoch(1)) is None
    assert succession.proof(Epoch(1)) is None


# --- the wire


@given(st.sampled_from(Side), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1))
def test_a_vote_survives_the_wire(side: Side, index: int, epoch: int) -> None:
    vote = make_vote(
        side=Side.OUTGOING,
        operator_index=OperatorIndex(index),
        handover=replace(HANDOVER, epoch=Epoch(epoch)),
    )
    vote = replace(vote, side=side)
    data = encode_vote(vote)
    assert len(data) <= MAX_VOTE_BYTES
    assert decode_vote(data) == vote


def fields(**changes: Any) -> bytes:
    values = dict(
        zip(
            ("network_id", "epoch", "set_hash", "next_set_hash", "side", "operator_index", "signature"),
            msgpack.unpackb(encode_vote(make_vote())),
            strict=True,
        )
    )
    return bytes(msgpack.packb(list((values | changes).values())))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (encode_vote(make_vote())[:-1], "truncated"),
        (encode_vote(make_vote()) + b"\x00", "trailing_bytes"),
        (b"\x91" * MAX_VOTE_BYTES + b"\x91", "oversized"),
        (b"\x01", "wrong_type"),
        (b"\x91\x01", "wrong_length"),
        (fields(side=2), "out_of_range"),
        (fields(side=True), "wrong_type"),
        (fields(epoch=2**32), "out_of_range"),
        (fields(epoch="1"), "malformed"),
        (fields(network_id=bytes(31)), "wrong_length"),
        (fields(set_hash=bytes(33)), "wrong_length"),
        (fields(signature=bytes(48)), "point_not_canonical"),
        (fields(signature=bytes(47)), "wrong_length"),
        (fields(operator_index=2**16), "out_of_range"),
        (fields().replace(b"\x04", b"\xcc\x04", 1), "not_canonical"),
    ],
)
def test_the_wire_is_read_strictly(data: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        decode_vote(data)
    assert refused.value.reason == reason


@given(st.binary(max_size=MAX_VOTE_BYTES + 8))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes) -> None:
    try:
        decode_vote(data)
    except Refused:
        return
