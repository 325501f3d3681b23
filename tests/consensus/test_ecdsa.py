"""ECDSA votes and certificates: what is encoded decodes to the same, and only a true quorum verifies."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.ecdsa import (
    ECDSA_ORDER,
    MAX_ECDSA_CERTIFICATE_BYTES,
    MAX_S,
    ZERO_ADDRESS,
    EcdsaEntry,
    EcdsaSecretKey,
    EcdsaSet,
    EcdsaSignature,
    Vote,
    build_ecdsa_certificate,
    decode_ecdsa_certificate,
    parse_ecdsa_set,
    recover_signer,
    require_signed,
    sign_vote,
    verify_ecdsa_certificate,
)
from consensus.errors import Reason, Refused
from consensus.operators import MAX_OPERATORS
from consensus.types import Bps, Digest, OperatorIndex, Weight
from tests.consensus.factories import make_alert, make_bytes32
from tests.vectors.generate_ecdsa import certify, make_ecdsa_secret, make_vote, make_voting_set

OPERATORS = EcdsaSet.of(make_voting_set())
DIGEST = make_alert(make_voting_set()).digest()
TWO_THIRDS = (2, 3)

weights_and_signers = st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=8).flatmap(
    lambda weights: st.tuples(st.just(tuple(weights)), st.sets(st.integers(0, len(weights) - 1), min_size=1))
)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def verify(data: bytes, bps: int = 6_667, digest: Digest = DIGEST, epoch: int = 1) -> tuple[int, int]:
    return verify_ecdsa_certificate(
        data,
        digest=digest,
        epoch=type(make_alert().epoch)(epoch),
        set_hash=OPERATORS.hash(),
        threshold_bps=Bps(bps),
    )


# --- votes


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.sampled_from(Vote))
def test_a_votes_signer_is_recovered(raw: bytes, vote: Vote) -> None:
    digest = Digest(raw)

    signature = sign_vote(make_ecdsa_secret(3), vote, digest)

    assert recover_signer(vote, digest, signature) == make_ecdsa_secret(3).address()
    assert EcdsaSignature.from_bytes(signature.to_bytes()) == signature
    assert signature.s <= MAX_S


@pytest.mark.parametrize("kind", Vote)
def test_a_vote_of_one_kind_is_none_of_the_other(kind: Vote) -> None:
    (other,) = set(Vote) - {kind}

    signature = make_vote(0, DIGEST, kind)

    assert recover_signer(other, DIGEST, signature) != make_ecdsa_secret(0).address()


@pytest.mark.parametrize("s", [0, MAX_S + 1, 2**255 - 1])
def test_another_s_than_the_lower_one_is_refused(s: int) -> None:
    assert reason_of(lambda: EcdsaSignature(r=1, s=s, parity=0)) == Reason.NOT_CANONICAL


@pytest.mark.parametrize("r", [0, ECDSA_ORDER, 2**256 - 1])
def test_another_r_than_a_scalar_is_refused(r: int) -> None:
    assert reason_of(lambda: EcdsaSignature(r=r, s=1, parity=0)) == Reason.OUT_OF_RANGE


def test_a_signature_that_no_key_has_made_is_refused() -> None:
    # x = 5 is on no point of the curve
    assert reason_of(lambda: recover_signer(Vote.ALERT, DIGEST, EcdsaSignature(r=5, s=1, parity=0))) == (
        Reason.BAD_SIGNATURE
    )


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_has_64_bytes(length: int) -> None:
    assert reason_of(lambda: EcdsaSignature.from_bytes(bytes(length))) == Reason.WRONG_LENGTH


@pytest.mark.parametrize("scalar", [0, ECDSA_ORDER])
def test_a_key_out_of_range_is_refused(scalar: int) -> None:
    assert reason_of(lambda: EcdsaSecretKey(scalar.to_bytes(32, "big"))) == Reason.KEY_OUT_OF_RANGE


def test_a_key_is_never_shown() -> None:
    secret = bytes(31) + b"\x2a"
    key = EcdsaSecretKey(secret)

    assert secret.hex() not in f"{key!r} {key}"
    assert key.address() in repr(key)


# --- sets


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entries: entries[:-1], Reason.SET_INVALID),
        (lambda entries: (*entries, entries[0]), Reason.SET_INVALID),
        (lambda entries: (*entries[:-1], entries[0]), Reason.SET_INVALID),
        (lambda entries: (replace(entries[0], signer=ZERO_ADDRESS), *entries[1:]), Reason.SET_INVALID),
        (lambda entries: (replace(entries[0], weight=Weight(0)), *entries[1:]), Reason.SET_INVALID),
        (lambda entries: (replace(entries[0], weight=Weight(999)), *entries[1:]), Reason.WEIGHT_MISMATCH),
        (lambda entries: (replace(entries[0], weight=Weight(1_001)), *entries[1:]), Reason.WEIGHT_MISMATCH),
    ],
    ids=["short", "long", "twin", "zero address", "zero weight", "less", "more"],
)
def test_an_unsound_set_is_refused(
    change: Callable[[tuple[EcdsaEntry, ...]], tuple[EcdsaEntry, ...]], reason: Reason
) -> None:
    assert reason_of(lambda: replace(OPERATORS, entries=change(OPERATORS.entries))) == reason


def test_a_set_is_parsed_from_its_bytes() -> None:
    data = OPERATORS.to_bytes()

    assert parse_ecdsa_set(data) == OPERATORS
    assert len(data) == 302 + 7 * 32
    assert reason_of(lambda: parse_ecdsa_set(data[:-1])) == Reason.WRONG_LENGTH
    assert reason_of(lambda: parse_ecdsa_set(data + b"\x00")) == Reason.WRONG_LENGTH
    assert reason_of(lambda: parse_ecdsa_set(b"")) == Reason.WRONG_LENGTH


# --- certificates


@settings(max_examples=30, deadline=None)
@given(weights_and_signers)
def test_decoding_gives_back_what_was_encoded(plan: tuple[tuple[int, ...], set[int]]) -> None:
    operators = EcdsaSet.of(make_voting_set(plan[0]))
    certificate = certify(operators, DIGEST, sorted(plan[1]))

    decoded = decode_ecdsa_certificate(certificate.to_bytes())

    assert decoded == certificate
    assert decoded.signed_weight == sum(plan[0][each] for each in plan[1])


@settings(max_examples=40, deadline=None)
@given(weights_and_signers)
def test_no_signature_is_carried_that_the_share_does_not_need(plan: tuple[tuple[int, ...], set[int]]) -> None:
    weights, signers = plan
    total, signed = sum(weights), sum(weights[each] for each in signers)
    operators = EcdsaSet.of(make_voting_set(weights))
    signatures = {OperatorIndex(each): make_vote(each, DIGEST) for each in signers}

    if signed * 3 <= total * 2:
        assert reason_of(lambda: build_ecdsa_certificate(operators, signatures, share=TWO_THIRDS)) == (
            Reason.THRESHOLD_NOT_MET
        )
        return
    certificate = build_ecdsa_certificate(operators, signatures, share=TWO_THIRDS)

    carried = [weights[index] for index, _ in certificate.signatures]
    assert sum(carried) * 3 > total * 2
    assert (sum(carried) - min(carried)) * 3 <= total * 2
    assert {index for index, _ in certificate.signatures} <= signers


def test_a_strangers_signature_is_refused() -> None:
    signatures = {OperatorIndex(7): make_vote(7, DIGEST)}

    assert reason_of(lambda: build_ecdsa_certificate(OPERATORS, signatures, share=TWO_THIRDS)) == (
        Reason.NOT_A_MEMBER
    )


GOOD = certify(OPERATORS, DIGEST, range(5)).to_bytes()


def test_a_quorum_verifies() -> None:
    assert verify(GOOD) == (5_000, 7_000)


def test_weight_equal_to_the_threshold_is_refused() -> None:
    operators = EcdsaSet.of(make_voting_set((6_667, 3_333)))
    data = certify(operators, DIGEST, [0]).to_bytes()

    def check(bps: int) -> tuple[int, int]:
        return verify_ecdsa_certificate(
            data,
            digest=DIGEST,
            epoch=operators.header.epoch,
            set_hash=operators.hash(),
            threshold_bps=Bps(bps),
        )

    assert check(6_666) == (6_667, 10_000)
    assert reason_of(lambda: check(6_667)) == Reason.THRESHOLD_NOT_MET


def test_another_digest_or_epoch_or_set_is_refused() -> None:
    other = certify(EcdsaSet.of(make_voting_set((1_000,) * 6)), DIGEST, range(6)).to_bytes()

    assert reason_of(lambda: verify(GOOD, digest=Digest(make_bytes32("other")))) == Reason.BAD_SIGNATURE
    assert reason_of(lambda: verify(GOOD, epoch=2)) == Reason.HEADER_MISMATCH
    assert reason_of(lambda: verify(other)) == Reason.HEADER_MISMATCH


def test_quorum_comes_before_signatures() -> None:
    forged = certify(OPERATORS, Digest(make_bytes32("other")), range(4)).to_bytes()

    assert reason_of(lambda: verify(forged)) == Reason.THRESHOLD_NOT_MET


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_proves_anything(position: int, difference: int) -> None:
    forged = GOOD[:position] + bytes([GOOD[position] ^ difference]) + GOOD[position + 1 :]

    with pytest.raises(Refused):
        verify(forged)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_every_shorter_length_is_refused(length: int) -> None:
    assert reason_of(lambda: decode_ecdsa_certificate(GOOD[:length])) == Reason.TRUNCATED


@pytest.mark.parametrize("extra", [1, 32, 66])
def test_every_longer_length_is_refused(extra: int) -> None:
    assert reason_of(lambda: decode_ecdsa_certificate(GOOD + bytes(extra))) == Reason.TRAILING_BYTES


def test_more_bytes_than_the_largest_set_needs_are_refused_unparsed() -> None:
    data = bytes(MAX_ECDSA_CERTIFICATE_BYTES + 1)

    assert MAX_ECDSA_CERTIFICATE_BYTES == 304 + MAX_OPERATORS * 98
    assert reason_of(lambda: decode_ecdsa_certificate(data)) == Reason.OVERSIZED


@pytest.mark.parametrize("indices", [(0, 0), (1, 0), (0, 7), (7,)])
def test_indices_must_increase_below_the_sets_size(indices: tuple[int, ...]) -> None:
    assert reason_of(lambda: certify(OPERATORS, DIGEST, indices)) == Reason.ENTRIES_INVALID


# --- handovers


def test_a_handover_is_signed_as_such() -> None:
    handed_over = certify(OPERATORS, DIGEST, range(5), Vote.HANDOVER)

    require_signed(handed_over, Vote.HANDOVER, DIGEST)
    assert reason_of(lambda: require_signed(handed_over, Vote.ALERT, DIGEST)) == Reason.BAD_SIGNATURE
    assert reason_of(lambda: verify(handed_over.to_bytes())) == Reason.BAD_SIGNATURE
