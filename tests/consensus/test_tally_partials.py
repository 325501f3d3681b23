"""Sums beside single signatures in the tally: nobody counts twice, no order matters, no evidence is lost."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import consensus.tally
from consensus.alert import Alert, Level
from consensus.bls import GROUP_ORDER, SecretKey
from consensus.certificate import encode_certificate, verify_certificate
from consensus.equivocation import EquivocationEvidence, is_proven
from consensus.errors import Reason
from consensus.partial import (
    Contribution,
    PartialCertificate,
    compute_signers,
    compute_weight,
    indices_of,
    merge,
    verify_partial,
)
from consensus.tally import MAX_EPOCHS, MAX_PARTIALS, MAX_VERIFIED, Tally, TallyOutcome
from consensus.types import Bps
from tests.consensus.factories import (
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator,
    make_operator_set,
    make_secret,
    make_signature,
    make_slot,
)

WEIGHTS = (10, 20, 30, 40, 50, 60, 70)
SET = make_operator_set(WEIGHTS)
ALERT = make_alert(SET)
RIVAL = make_alert(SET, evidence_hash=make_bytes32("rival"))
THIRD = make_alert(SET, evidence_hash=make_bytes32("third"))


def make_tally(**bounds: int) -> Tally:
    tally = Tally(NETWORK_ID, **bounds)
    tally.add_operator_set(SET)
    return tally


def partial_of(*indices: int, alert: Alert = ALERT) -> PartialCertificate:
    return merge([make_attestation(alert, index) for index in indices])


def forged(*indices: int) -> PartialCertificate:
    return replace(partial_of(*indices), signature=make_signature(99, ALERT.digest()))


def reasons(outcome: TallyOutcome) -> list[Reason]:
    return [refusal.reason for _, refusal in outcome.refused]


def add(tally: Tally, *contributions: Contribution) -> TallyOutcome:
    return tally.add(contributions, NOW)


def covered(tally: Tally, alert: Alert = ALERT) -> tuple[int, ...]:
    return tuple(indices_of(tally.covered(alert.digest())))


def assert_convinces(tally: Tally, alert: Alert = ALERT) -> None:
    """The certificate holds exactly the weight that the tally says, before a verifier."""
    certificate = tally.certificate(alert.digest())
    assert certificate is not None
    signed, total = verify_certificate(
        encode_certificate(certificate),
        digest=alert.digest(),
        epoch=SET.epoch,
        header_hash=SET.header_hash(),
        threshold_bps=Bps(0),
    )
    assert (signed, total) == (tally.weight(alert.digest()), sum(WEIGHTS))


# --- overlap


def test_disjoint_sums_and_single_signatures_add_up() -> None:
    tally = make_tally()

    outcome = add(tally, partial_of(0, 1), partial_of(2, 3), make_attestation(ALERT, 6))

    assert len(outcome.new) == 3
    assert covered(tally) == (0, 1, 2, 3, 6)
    assert_convinces(tally)


def test_of_two_that_overlap_the_heavier_counts_and_single_signatures_fill_the_gaps() -> None:
    tally = make_tally()

    add(tally, partial_of(0, 1, 2), partial_of(2, 5))
    heavier = covered(tally)
    add(tally, make_attestation(ALERT, 0))

    assert heavier == (2, 5)
    assert covered(tally) == (0, 2, 5)
    assert_convinces(tally)


def test_a_known_signature_is_taken_out_of_a_sum_so_that_both_sums_count() -> None:
    tally = make_tally()

    add(tally, partial_of(0, 1, 2), partial_of(2, 5))
    add(tally, make_attestation(ALERT, 2))

    assert covered(tally) == (0, 1, 2, 5)
    assert_convinces(tally)


def test_taking_out_goes_on_until_nothing_more_can_be_learned() -> None:
    tally = make_tally()

    add(tally, partial_of(0, 1), partial_of(1, 2), partial_of(2, 3), make_attestation(ALERT, 0))

    assert [each.operator_index for each in tally.attestations(ALERT.digest())] == [0, 1, 2, 3]
    assert tally.statistics().partials == 0


def test_a_sum_within_what_is_counted_adds_no_weight() -> None:
    tally = make_tally()

    add(tally, partial_of(3, 4, 5, 6))
    outcome = add(tally, partial_of(4, 5))

    assert (outcome.grown, covered(tally)) == ((), (3, 4, 5, 6))


ARRIVALS: list[Contribution] = [
    partial_of(0, 1, 2),
    partial_of(2, 3),
    partial_of(3, 4, 5),
    partial_of(1, 5),
    make_attestation(ALERT, 2),
    make_attestation(ALERT, 6),
    forged(0, 6),
    partial_of(1, 4, alert=RIVAL),
    make_attestation(RIVAL, 3),
]


@settings(max_examples=40, deadline=None)
@given(st.permutations(ARRIVALS), st.lists(st.integers(1, 4), min_size=1, max_size=9))
def test_any_order_of_arrival_reaches_the_same_signers_and_accuses_the_same_operators(
    arrivals: list[Contribution], batch_sizes: list[int]
) -> None:
    tally, accused, weight, start = make_tally(), 0, 0, 0
    while start < len(arrivals):
        size = batch_sizes[start % len(batch_sizes)]
        outcome = tally.add(arrivals[start : start + size], NOW)
        for evidence in outcome.equivocations:
            assert is_proven(evidence, SET)
            accused |= evidence.signers
        assert tally.weight(ALERT.digest()) >= weight, "a certificate never shrinks"
        weight, start = tally.weight(ALERT.digest()), start + size

    assert (covered(tally), covered(tally, RIVAL)) == ((0, 1, 2, 3, 4, 5, 6), (1, 3, 4))
    assert accused == compute_signers([1, 3, 4])
    assert_convinces(tally)
    assert_convinces(tally, RIVAL)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 6), min_size=1, max_size=5), min_size=1, max_size=6), st.data())
def test_whatever_overlaps_nobody_is_counted_twice_and_the_order_is_all_one(
    groups: list[set[int]], data: st.DataObject
) -> None:
    one, other = make_tally(), make_tally()
    for group in groups:
        add(one, partial_of(*group))
    for group in data.draw(st.permutations(groups)):
        add(other, partial_of(*group))

    assert one.covered(ALERT.digest()) == other.covered(ALERT.digest())
    assert one.weight(ALERT.digest()) == compute_weight(one.covered(ALERT.digest()), SET)
    assert_convinces(one)


def test_what_is_merged_for_some_holds_nobody_else() -> None:
    tally = make_tally()
    add(tally, partial_of(0, 1), partial_of(1, 2, 3), make_attestation(ALERT, 5))

    merged = tally.merged(ALERT.digest(), compute_signers([0, 1, 5, 6]))

    assert merged is not None
    assert merged.signers == compute_signers([0, 1, 5])
    assert verify_partial(merged, SET)
    assert tally.merged(ALERT.digest(), compute_signers([2, 6])) is None
    assert tally.merged(RIVAL.digest()) is None


# --- forgeries


def test_a_bad_sum_is_found_among_good_ones_and_costs_none_of_them() -> None:
    tally = make_tally()
    good: Sequence[Contribution] = [partial_of(0, 1), partial_of(2, 3), make_attestation(ALERT, 4)]

    outcome = add(tally, good[0], forged(4, 5), good[1], replace(forged(3), signers=0b1000000), good[2])

    assert outcome.new == tuple(good)
    assert [contribution.signers for contribution, _ in outcome.refused] == [0b110000, 0b1000000]
    assert reasons(outcome) == [Reason.BAD_SIGNATURE] * 2


def test_claiming_more_signers_than_signed_is_a_bad_signature() -> None:
    tally = make_tally()
    padded = replace(partial_of(0, 1), signers=compute_signers(range(7)))

    assert reasons(add(tally, padded)) == [Reason.BAD_SIGNATURE]
    assert tally.weight(ALERT.digest()) == 0


def test_two_forgeries_that_cancel_each_other_are_both_found() -> None:
    tally = make_tally()
    swapped = [
        replace(partial_of(0, 1), signature=partial_of(2, 3).signature),
        replace(partial_of(2, 3), signature=partial_of(0, 1).signature),
    ]

    assert reasons(add(tally, *swapped)) == [Reason.BAD_SIGNATURE] * 2


def test_what_is_known_to_be_good_or_bad_costs_no_second_pairing(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = make_tally()
    add(tally, partial_of(0, 1), make_attestation(ALERT, 2), make_attestation(ALERT, 3))
    monkeypatch.setattr(consensus.tally, "verify_batches", None)  # a pairing would fail loudly

    copy = add(tally, partial_of(0, 1), partial_of(2, 3))
    spoiled = add(tally, forged(0, 1), forged(2, 3))

    assert len(copy.duplicates) == 2
    assert reasons(spoiled) == [Reason.BAD_SIGNATURE] * 2


def test_keys_that_cancel_each_other_are_refused_and_keep_nobody_else_out() -> None:
    opposite = SecretKey(GROUP_ORDER - int.from_bytes(make_secret(0).to_bytes(), "big"))
    colluding = replace(make_operator(1), public_key=opposite.public_key())
    operators = (make_operator(0), colluding, *(make_operator(index) for index in range(2, 7)))
    operator_set = replace(make_operator_set(), operators=operators)
    alert = make_alert(operator_set)
    tally = Tally(NETWORK_ID)
    tally.add_operator_set(operator_set)
    nothing = replace(partial_of(0, 1, alert=alert), alert=alert)

    outcome = add(tally, nothing, make_attestation(alert, 4))

    assert reasons(outcome) == [Reason.POINT_AT_INFINITY]
    assert tally.covered(alert.digest()) == 1 << 4


def test_a_stranger_among_the_signers_is_refused_before_any_pairing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consensus.tally, "verify_batches", None)
    beyond = replace(partial_of(0, 1), signers=compute_signers([0, 7]))

    assert reasons(add(make_tally(), beyond)) == [Reason.NOT_A_MEMBER]


# --- equivocation


@pytest.mark.parametrize("is_sum_first", [True, False])
def test_one_half_within_a_sum_is_evidence_in_either_order(is_sum_first: bool) -> None:
    tally = make_tally()
    halves: list[Contribution] = [partial_of(1, 2, 3, alert=RIVAL), make_attestation(ALERT, 2)]

    outcomes = [add(tally, half) for half in (halves if is_sum_first else reversed(halves))]

    assert outcomes[0].equivocations == ()
    (evidence,) = outcomes[1].equivocations
    assert evidence.operators == (2,)
    assert is_proven(evidence, SET)
    assert (covered(tally), covered(tally, RIVAL)) == ((2,), (1, 2, 3))


def test_both_halves_within_sums_accuse_everybody_who_is_in_both_once() -> None:
    tally = make_tally()

    add(tally, partial_of(1, 2, 3))
    first = add(tally, partial_of(2, 3, 4, alert=RIVAL))
    again = add(tally, make_attestation(RIVAL, 2), make_attestation(ALERT, 3))

    (evidence,) = first.equivocations
    assert isinstance(evidence, EquivocationEvidence)
    assert (evidence.operators, again.equivocations) == ((2, 3), ())
    assert is_proven(evidence, SET)


def test_a_liars_third_digest_keeps_no_honest_signature_out() -> None:
    tally = make_tally()
    add(tally, make_attestation(RIVAL, 0), make_attestation(THIRD, 0))

    alone = add(tally, make_attestation(ALERT, 0))
    with_others = add(tally, partial_of(0, 3, 4, 5, 6))

    assert reasons(alone) == [Reason.EQUIVOCATION]
    assert len(with_others.new) == 1
    assert Level.PAUSE in tally.levels(ALERT.digest())


def test_a_second_copy_of_a_known_half_is_not_a_third_digest() -> None:
    tally = make_tally()
    add(tally, partial_of(0, 1), make_attestation(RIVAL, 0))

    outcome = add(tally, make_attestation(ALERT, 0))

    assert (len(outcome.new), reasons(outcome)) == (1, [])


def test_a_sum_of_liars_alone_opens_no_third_digest() -> None:
    tally = make_tally()
    for alert in (ALERT, RIVAL):
        add(tally, partial_of(0, 1, alert=alert))

    assert reasons(add(tally, partial_of(0, 1, alert=THIRD))) == [Reason.EQUIVOCATION]


# --- bounds


def test_sums_are_bounded_and_the_certificate_keeps_its_own() -> None:
    many = make_operator_set((1_000,) * 40)
    alert = make_alert(many)
    tally = Tally(NETWORK_ID)
    tally.add_operator_set(many)
    pairs = [merge([make_attestation(alert, left), make_attestation(alert, 39)]) for left in range(38)]

    tally.add([merge([make_attestation(alert, index) for index in range(38)]), *pairs], NOW)

    assert tally.statistics().partials <= MAX_PARTIALS
    assert tally.weight(alert.digest()) == 38_000
    assert MAX_VERIFIED > MAX_PARTIALS


def test_an_open_slot_is_charged_to_a_signer_that_has_room() -> None:
    tally = make_tally(max_slots=MAX_EPOCHS * len(WEIGHTS))
    slots = [make_alert(SET, slot=make_slot(anchor_number=number)) for number in range(4)]

    first = add(tally, partial_of(0, 1, alert=slots[0]))
    second = add(tally, partial_of(0, 1, alert=slots[1]))
    third = add(tally, partial_of(0, 1, alert=slots[2]))
    others = add(tally, partial_of(0, 1, 2, alert=slots[3]))

    assert [len(each.new) for each in (first, second, third, others)] == [1, 1, 0, 1]
    assert reasons(third) == [Reason.QUOTA_EXCEEDED]
