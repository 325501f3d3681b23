"""Certificates: what is encoded decodes to the same, and only a true quorum verifies."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import FLOORS, Level
from consensus.certificate import (
    MAX_CERTIFICATE_BYTES,
    WHOLE_BPS,
    Certificate,
    CertificateProof,
    EntryMode,
    build_certificate,
    compute_levels,
    decode_certificate,
    encode_certificate,
    encode_certificate_as,
    measure,
    meets,
    verify_certificate,
)
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import Bps, OperatorIndex
from tests.consensus.factories import make_alert, make_bytes32, make_operator_set, make_signature

weights_and_signers = st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=8).flatmap(
    lambda weights: st.tuples(st.just(tuple(weights)), st.sets(st.integers(0, len(weights) - 1), min_size=1))
)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def make_certificate(operator_set: OperatorSet, signers: Any) -> Certificate:
    alert = make_alert(operator_set)
    signatures = {OperatorIndex(each): make_signature(each, alert.digest()) for each in signers}
    return build_certificate(alert, operator_set, signatures)


def verify_against(operator_set: OperatorSet, data: bytes, threshold_bps: int = 0) -> tuple[int, int]:
    return verify_certificate(
        data,
        digest=make_alert(operator_set).digest(),
        epoch=operator_set.epoch,
        header_hash=operator_set.header_hash(),
        threshold_bps=Bps(threshold_bps),
    )


@settings(max_examples=40, deadline=None)
@given(weights_and_signers, st.sampled_from(EntryMode))
def test_decoding_gives_back_what_was_encoded(
    plan: tuple[tuple[int, ...], set[int]], mode: EntryMode
) -> None:
    operator_set = make_operator_set(plan[0])
    certificate = make_certificate(operator_set, plan[1])
    mode = mode if certificate.absent else EntryMode.ABSENT

    data = encode_certificate_as(certificate, mode)
    proof = decode_certificate(data)

    listed = certificate.absent if mode is EntryMode.ABSENT else certificate.present
    assert proof.to_bytes() == data
    assert proof.mode is mode
    assert proof.header.hash() == operator_set.header_hash()
    assert proof.signature == certificate.signature
    assert [entry.index for entry in proof.entries] == [operator.index for operator in listed]
    assert proof.leaves == (operator_set.leaves() if listed else ())


@settings(max_examples=25, deadline=None)
@given(weights_and_signers)
def test_both_modes_prove_the_same_weight(plan: tuple[tuple[int, ...], set[int]]) -> None:
    weights, signers = plan
    operator_set = make_operator_set(weights)
    certificate = make_certificate(operator_set, signers)
    modes = list(EntryMode) if certificate.absent else [EntryMode.ABSENT]

    proven = {verify_against(operator_set, encode_certificate_as(certificate, mode)) for mode in modes}

    assert proven == {(sum(weights[each] for each in signers), sum(weights))}
    assert (certificate.signed_weight, certificate.total_weight) in proven


@pytest.mark.parametrize("signers", [1, 2, 3, 4, 5, 6, 7])
def test_the_shorter_mode_is_encoded(signers: int) -> None:
    certificate = make_certificate(make_operator_set(), range(signers))
    modes = list(EntryMode) if certificate.absent else [EntryMode.ABSENT]

    encoded = encode_certificate(certificate)

    assert len(encoded) == min(len(encode_certificate_as(certificate, mode)) for mode in modes)
    assert len(encoded) == 401 + (0 if signers == 7 else 7 * 32 + min(signers, 7 - signers) * 206)


def test_equally_long_modes_list_the_absent() -> None:
    certificate = make_certificate(make_operator_set((1, 1)), [0])

    assert decode_certificate(encode_certificate(certificate)).mode is EntryMode.ABSENT


# --- wrong lengths


DATA = encode_certificate(make_certificate(make_operator_set(), range(5)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(DATA) - 1))
def test_every_shorter_length_is_refused(length: int) -> None:
    assert reason_of(lambda: decode_certificate(DATA[:length])) == Reason.TRUNCATED


@pytest.mark.parametrize("extra", [1, 32, 206, 238])
def test_every_longer_length_is_refused(extra: int) -> None:
    assert reason_of(lambda: decode_certificate(DATA + bytes(extra))) == Reason.TRAILING_BYTES


def test_more_bytes_than_the_largest_set_needs_are_refused_unparsed() -> None:
    assert reason_of(lambda: decode_certificate(bytes(MAX_CERTIFICATE_BYTES + 1))) == Reason.OVERSIZED


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_no_changed_byte_proves_anything(position: int, difference: int) -> None:
    operator_set = make_operator_set()
    forged = DATA[:position] + bytes([DATA[position] ^ difference]) + DATA[position + 1 :]

    with pytest.raises(Refused):
        verify_against(operator_set, forged)


@pytest.mark.parametrize("indices", [(0, 0), (1, 0), (0, 7), (7,)])
def test_entries_must_increase_below_the_sets_size(indices: tuple[int, ...]) -> None:
    proof = decode_certificate(DATA)
    entry = proof.entries[0]
    entries = tuple(replace(entry, index=OperatorIndex(index)) for index in indices)

    assert reason_of(lambda: replace(proof, entries=entries)) == Reason.ENTRIES_INVALID


def test_a_proof_with_more_entries_than_operators_is_refused() -> None:
    proof = decode_certificate(encode_certificate(make_certificate(make_operator_set((1, 1)), [0])))
    entries = tuple(replace(proof.entries[0], index=OperatorIndex(index)) for index in range(3))

    assert "cannot have 3 entries" in message_of(lambda: replace(proof, entries=entries))


def message_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.message


def test_a_proof_with_another_number_of_leaves_is_refused() -> None:
    proof: CertificateProof = decode_certificate(DATA)

    assert reason_of(lambda: replace(proof, leaves=proof.leaves[:-1])) == Reason.WRONG_LENGTH
    assert reason_of(lambda: replace(proof, leaves=())) == Reason.WRONG_LENGTH
    assert reason_of(lambda: replace(proof, entries=())) == Reason.WRONG_LENGTH
    assert reason_of(lambda: replace(proof, leaves=(b"", *proof.leaves[1:]))) == Reason.WRONG_LENGTH


# --- building


def test_a_certificate_of_nobody_is_refused() -> None:
    assert reason_of(lambda: make_certificate(make_operator_set(), [])) == Reason.EMPTY_LIST


def test_a_certificate_with_a_stranger_is_refused() -> None:
    assert reason_of(lambda: make_certificate(make_operator_set(), [0, 7])) == Reason.NOT_A_MEMBER


def test_a_certificate_of_another_sets_alert_is_refused() -> None:
    alert = make_alert(header_hash=make_bytes32("other"))
    signatures = {OperatorIndex(0): make_signature(0, alert.digest())}

    assert (
        reason_of(lambda: build_certificate(alert, make_operator_set(), signatures)) == Reason.HEADER_MISMATCH
    )


def test_present_and_absent_are_the_whole_set_in_order() -> None:
    operator_set = make_operator_set()

    certificate = make_certificate(operator_set, [5, 0, 3])

    assert [operator.index for operator in certificate.present] == [0, 3, 5]
    assert [operator.index for operator in certificate.absent] == [1, 2, 4, 6]
    assert certificate.digest() == make_alert(operator_set).digest()
    assert certificate.levels() == {Level.ALERT, Level.LIMIT}  # 3 of 7


# --- thresholds


def test_a_share_exactly_at_the_threshold_does_not_pass() -> None:
    assert not meets(1, 3, 1, 3)
    assert not meets(10**30, 3 * 10**30, 1, 3)
    assert meets(10**30 + 1, 3 * 10**30, 1, 3)


def test_a_threshold_that_a_division_would_truncate_to_zero_holds() -> None:
    assert not meets(0, 1, 6_600, WHOLE_BPS)
    assert meets(1, 1, 6_600, WHOLE_BPS)
    assert not meets(0, 0, 0, WHOLE_BPS)
    assert not meets(0, 5, 0, WHOLE_BPS)


@given(st.integers(0, 2**128 - 1), st.integers(1, 2**128 - 1))
def test_levels_are_passed_by_exact_fractions_only(signed: int, total: int) -> None:
    signed = min(signed, total)

    levels = compute_levels(signed, total)

    assert (Level.LIMIT in levels) == (signed + signed + signed > total)
    assert (Level.FREEZE in levels) == (signed + signed > total)
    assert (Level.PAUSE in levels) == (signed + signed + signed > total + total)
    assert (Level.ALERT in levels) == (Level.LIMIT in levels)


@given(st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=6))
def test_any_two_pause_quorums_share_more_than_a_third(weights: list[int]) -> None:
    total = sum(weights)
    everybody = range(len(weights))
    quorums = [
        set(chosen)
        for size in range(1, len(weights) + 1)
        for chosen in combinations(everybody, size)
        if meets(sum(weights[each] for each in chosen), total, *FLOORS[Level.PAUSE])
    ]

    shared = [sum(weights[each] for each in one & other) for one, other in combinations(quorums, 2)]

    assert all(meets(each, total, 1, 3) for each in shared)


@pytest.mark.parametrize(("threshold_bps", "is_enough"), [(7_142, True), (7_143, False), (10_000, False)])
def test_the_threshold_is_held_against_the_signed_share(threshold_bps: int, is_enough: bool) -> None:
    operator_set = make_operator_set()  # five of seven are 7142.8 bps

    if is_enough:
        assert verify_against(operator_set, DATA, threshold_bps) == (5_000, 7_000)
        return
    assert reason_of(lambda: verify_against(operator_set, DATA, threshold_bps)) == Reason.THRESHOLD_NOT_MET


def test_absent_who_outweigh_the_set_are_refused() -> None:
    lie = make_operator_set().header()[:6] + (999).to_bytes(16, "big") + make_operator_set().header()[22:]
    proof = decode_certificate(lie + DATA[302:])

    assert reason_of(lambda: measure(proof)) == Reason.WEIGHT_MISMATCH


def test_a_header_of_another_epoch_is_refused_though_its_hash_is_trusted() -> None:
    operator_set = make_operator_set()

    assert (
        reason_of(
            lambda: verify_certificate(
                DATA,
                digest=make_alert(operator_set).digest(),
                epoch=2,
                header_hash=operator_set.header_hash(),
                threshold_bps=Bps(0),
            )
        )
        == Reason.HEADER_MISMATCH
    )
