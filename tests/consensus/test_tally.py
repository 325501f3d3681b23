"""The tally: every order counts alike, one bad signature blocks nobody, nothing grows without bound."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import Alert, Level
from consensus.attestation import Attestation, attest
from consensus.bls import GROUP_ORDER, Purpose, SecretKey
from consensus.certificate import Certificate, encode_certificate, verify_certificate
from consensus.equivocation import is_proven
from consensus.errors import Reason, Refused
from consensus.operators import MAX_OPERATORS, OperatorSet
from consensus.tally import (
    MAX_DIGESTS_PER_OPERATOR,
    MAX_EPOCHS,
    MAX_SECONDS_AHEAD,
    Tally,
    TallyOutcome,
    TallyStatistics,
)
from consensus.types import Bps, Digest, OperatorIndex, Seconds
from tests.consensus.factories import (
    CAPTURE_TIME,
    EXPIRES_AT,
    NETWORK_ID,
    NOW,
    OBSERVED_AT,
    make_action,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator,
    make_operator_set,
    make_secret,
    make_signature,
    make_slot,
)

SEVEN = make_operator_set()
UNKNOWN = Digest(make_bytes32("unknown"))


def make_tally(*sets: OperatorSet, **bounds: int) -> Tally:
    tally = Tally(NETWORK_ID, **bounds)
    for each in sets or (SEVEN,):
        tally.add_operator_set(each)
    return tally


def sign_all(alert: Alert, indices: Sequence[int]) -> list[Attestation]:
    return [make_attestation(alert, index) for index in indices]


def spoil(attestation: Attestation) -> Attestation:
    """The same claim with a valid point that is not the operator's signature."""
    return replace(attestation, signature=make_signature(99, attestation.digest()))


def other_alert(number: int, **changes: Any) -> Alert:
    """Another claim for the same slot."""
    return make_alert(evidence_hash=make_bytes32(f"evidence {number}"), **changes)


def alert_in_slot(number: int, operator_set: OperatorSet = SEVEN, **changes: Any) -> Alert:
    return make_alert(operator_set, slot=make_slot(anchor_number=number), **changes)


def reasons(outcome: TallyOutcome) -> list[Reason]:
    return [refusal.reason for _, refusal in outcome.refused]


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def certificate_of(tally: Tally, alert: Alert) -> Certificate:
    certificate = tally.certificate(alert.digest())
    assert certificate is not None
    return certificate


# --- growing


def test_a_certificate_grows_through_the_levels() -> None:
    tally, alert = make_tally(), make_alert()
    passed = []
    for index in range(7):
        outcome = tally.add([make_attestation(alert, index)], NOW)
        passed.append((max(tally.levels(alert.digest()), default=None), outcome.grown != ()))

    assert passed == [
        (None, False),
        (None, False),
        (Level.LIMIT, True),  # 3/7 > 1/3
        (Level.FREEZE, True),  # 4/7 > 1/2
        (Level.PAUSE, True),  # 5/7 > 2/3
        (Level.PAUSE, True),
        (Level.PAUSE, True),
    ]


def test_weights_exactly_at_a_floor_pass_no_level() -> None:
    tally = make_tally(make_operator_set((1, 1, 1)))
    alert = make_alert(make_operator_set((1, 1, 1)))

    tally.add(sign_all(alert, [0]), NOW)
    at_one_third = tally.levels(alert.digest())
    tally.add(sign_all(alert, [1]), NOW)
    at_two_thirds = tally.levels(alert.digest())

    assert at_one_third == frozenset()
    assert at_two_thirds == {Level.ALERT, Level.LIMIT, Level.FREEZE}


def test_the_certificate_convinces_a_verifier() -> None:
    tally, alert = make_tally(), make_alert()
    tally.add(sign_all(alert, [0, 2, 3, 4, 6]), NOW)

    certificate = certificate_of(tally, alert)

    assert [operator.index for operator in certificate.absent] == [1, 5]
    assert verify_certificate(
        encode_certificate(certificate),
        digest=alert.digest(),
        epoch=SEVEN.epoch,
        header_hash=SEVEN.header_hash(),
        threshold_bps=Bps(6_667),
    ) == (5_000, 7_000)


def test_an_unknown_digest_has_no_weight_no_level_and_no_certificate() -> None:
    tally = make_tally()

    assert (tally.weight(UNKNOWN), tally.total(UNKNOWN), tally.levels(UNKNOWN)) == (0, 0, frozenset())
    assert (tally.certificate(UNKNOWN), tally.alert(UNKNOWN), tally.attestations(UNKNOWN)) == (None, None, ())


def test_what_was_counted_can_be_given_to_a_peer() -> None:
    tally, alert = make_tally(), make_alert()
    counted = sign_all(alert, [4, 1])

    tally.add([*counted, spoil(make_attestation(alert, 2))], NOW)

    assert tally.attestations(alert.digest()) == (counted[1], counted[0])
    assert tally.open_digests() == (alert.digest(),)
    assert tally.alert(alert.digest()) == alert


# --- order


ALERT, RIVAL, ELSEWHERE = make_alert(), other_alert(1), alert_in_slot(7)
HONEST = [*sign_all(ALERT, range(6)), *sign_all(ELSEWHERE, [0, 2])]
EQUIVOCATING = [make_attestation(RIVAL, 5), make_attestation(RIVAL, 6)]
HOSTILE = [
    spoil(make_attestation(ALERT, 0)),
    spoil(make_attestation(ALERT, 6)),
    make_attestation(make_alert(epoch=9)),
]


@settings(max_examples=25, deadline=None)
@given(
    st.permutations([*HONEST, *EQUIVOCATING, *HOSTILE, *HONEST[:2]]),
    st.lists(st.integers(1, 6), min_size=1, max_size=15),
)
def test_the_order_of_delivery_changes_neither_weight_nor_certificate(
    delivered: list[Attestation], batch_sizes: list[int]
) -> None:
    tally, evidence, start = make_tally(), [], 0
    while start < len(delivered):
        size = batch_sizes[start % len(batch_sizes)]
        evidence += tally.add(delivered[start : start + size], NOW).equivocations
        start += size

    assert [tally.weight(each.digest()) for each in (ALERT, RIVAL, ELSEWHERE)] == [6_000, 2_000, 2_000]
    assert encode_certificate(certificate_of(tally, ALERT)) == encode_certificate(EXPECTED_CERTIFICATE)
    assert [(each.operators, {each.first.digest(), each.second.digest()}) for each in evidence] == [
        ((5,), {ALERT.digest(), RIVAL.digest()})
    ]


def expected_certificate() -> Certificate:
    tally = make_tally()
    tally.add(sign_all(ALERT, range(6)), NOW)
    return certificate_of(tally, ALERT)


EXPECTED_CERTIFICATE = expected_certificate()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 2**96 - 1), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=12),
)
def test_counted_weight_is_that_of_distinct_true_signers(
    weights: list[int], deliveries: list[tuple[int, int, bool]]
) -> None:
    operator_set = make_operator_set(tuple(weights))
    tally = make_tally(operator_set)
    alerts = [alert_in_slot(number, operator_set) for number in range(3)]
    expected: list[set[int]] = [set(), set(), set()]
    for index, number, is_spoiled in deliveries:
        attestation = make_attestation(alerts[number], index)
        tally.add([spoil(attestation) if is_spoiled else attestation], NOW)
        if index < len(weights) and not is_spoiled:
            expected[number].add(index)

    for alert, signers in zip(alerts, expected, strict=True):
        assert (
            tally.weight(alert.digest())
            == sum(weights[each] for each in signers)
            <= operator_set.total_weight
        )


# --- bad signatures and duplicates


@pytest.mark.parametrize("bad_place", [0, 3, 6])
def test_one_bad_signature_never_blocks_good_ones(bad_place: int) -> None:
    tally, alert = make_tally(), make_alert()
    batch = sign_all(alert, range(7))
    batch[bad_place] = spoil(batch[bad_place])

    outcome = tally.add(batch, NOW)

    assert [each for each, _ in outcome.refused] == [batch[bad_place]]
    assert reasons(outcome) == [Reason.BAD_SIGNATURE]
    assert len(outcome.new) == 6
    assert tally.weight(alert.digest()) == 6_000
    assert tally.add([make_attestation(alert, bad_place)], NOW).new == (make_attestation(alert, bad_place),)


def test_a_forged_signature_beside_the_true_one_neither_counts_nor_harms() -> None:
    tally, alert = make_tally(), make_alert()
    true, forged = make_attestation(alert, 0), spoil(make_attestation(alert, 0))

    outcome = tally.add([forged, true], NOW)
    later = tally.add([forged], NOW)

    assert (outcome.new, reasons(outcome)) == ((true,), [Reason.BAD_SIGNATURE])
    assert (later.duplicates, reasons(later)) == ((), [Reason.BAD_SIGNATURE])
    assert tally.weight(alert.digest()) == 1_000


def test_a_signature_under_another_tag_does_not_count() -> None:
    alert = make_alert()
    possession = make_signature(0, alert.digest(), Purpose.POSSESSION)

    outcome = make_tally().add([replace(make_attestation(alert), signature=possession)], NOW)

    assert reasons(outcome) == [Reason.BAD_SIGNATURE]


def test_duplicates_count_once_within_and_across_calls() -> None:
    tally, attestation = make_tally(), make_attestation()

    outcomes = [tally.add([attestation] * 3, NOW), tally.add([attestation], NOW)]

    assert [(len(each.new), len(each.duplicates)) for each in outcomes] == [(1, 2), (0, 1)]
    assert tally.weight(attestation.digest()) == 1_000
    assert outcomes[1].grown == ()


def test_copies_of_a_bad_signature_are_all_refused() -> None:
    outcome = make_tally().add([spoil(make_attestation())] * 3, NOW)

    assert (outcome.new, outcome.duplicates, reasons(outcome)) == ((), (), [Reason.BAD_SIGNATURE] * 3)


def test_each_attestation_handed_in_has_exactly_one_outcome() -> None:
    batch = [*HONEST, *EQUIVOCATING, *HOSTILE, *HONEST]

    outcome = make_tally().add(batch, NOW)

    answered = [*outcome.new, *outcome.duplicates, *(each for each, _ in outcome.refused)]
    assert len(answered) == len(batch)
    assert all(answered.count(each) == batch.count(each) for each in batch)


def test_keys_that_cancel_each_other_give_no_certificate_until_somebody_honest_signs() -> None:
    opposite = SecretKey(GROUP_ORDER - int.from_bytes(make_secret(0).to_bytes(), "big"))
    colluding = replace(make_operator(1), public_key=opposite.public_key())
    operator_set = replace(SEVEN, operators=(make_operator(0), colluding, make_operator(2)))
    tally, alert = make_tally(operator_set), make_alert(operator_set)

    tally.add([make_attestation(alert, 0), attest(alert, OperatorIndex(1), opposite)], NOW)
    without_honest = tally.certificate(alert.digest())
    tally.add([make_attestation(alert, 2)], NOW)

    assert without_honest is None
    assert certificate_of(tally, alert).signed_weight == 3_000


# --- equivocation


def test_an_equivocation_is_reported_once_with_proof_and_counts_for_both() -> None:
    tally = make_tally()

    first = tally.add([make_attestation(ALERT, 2)], NOW)
    second = tally.add([make_attestation(RIVAL, 2)], NOW)
    third = tally.add([make_attestation(RIVAL, 2), make_attestation(ALERT, 2)], NOW)

    assert (first.equivocations, third.equivocations) == ((), ())
    (evidence,) = second.equivocations
    assert is_proven(evidence, SEVEN)
    assert (tally.weight(ALERT.digest()), tally.weight(RIVAL.digest())) == (1_000, 1_000)


def test_a_third_digest_for_a_slot_is_refused() -> None:
    tally = make_tally()
    batch = [make_attestation(other_alert(number), 2) for number in range(4)]

    outcomes = [tally.add(batch[:1], NOW), tally.add(batch[1:], NOW)]

    assert len(outcomes[0].new) + len(outcomes[1].new) == MAX_DIGESTS_PER_OPERATOR
    assert reasons(outcomes[1]) == [Reason.EQUIVOCATION] * 2
    assert len(outcomes[1].equivocations) == 1


def test_a_forged_second_digest_accuses_nobody() -> None:
    tally = make_tally()

    outcome = tally.add([make_attestation(ALERT, 2), spoil(make_attestation(RIVAL, 2))], NOW)

    assert (outcome.equivocations, reasons(outcome)) == ((), [Reason.BAD_SIGNATURE])


def test_one_slot_in_two_epochs_is_no_equivocation() -> None:
    later = make_operator_set(epoch=2)
    tally = make_tally(SEVEN, later)

    outcome = tally.add([make_attestation(make_alert(SEVEN), 2), make_attestation(make_alert(later), 2)], NOW)

    assert (len(outcome.new), outcome.equivocations) == (2, ())


# --- refusals before any pairing


@pytest.mark.parametrize(
    ("alert", "index", "now", "reason"),
    [
        (make_alert(network_id=make_bytes32("other")), 0, NOW, Reason.WRONG_NETWORK),
        (make_alert(), 7, NOW, Reason.NOT_A_MEMBER),
        (make_alert(epoch=0), 0, NOW, Reason.OLD_EPOCH),
        (make_alert(epoch=2), 0, NOW, Reason.UNKNOWN_EPOCH),
        (make_alert(header_hash=make_bytes32("other")), 0, NOW, Reason.HEADER_MISMATCH),
        (make_alert(observed_at=CAPTURE_TIME - 1, expires_at=EXPIRES_AT), 0, NOW, Reason.EPOCH_NOT_ACTIVE),
        (make_alert(), 0, EXPIRES_AT + 1, Reason.ALERT_EXPIRED),
        (make_alert(), 0, SEVEN.valid_until + 1, Reason.SET_EXPIRED),
        (make_alert(), 0, OBSERVED_AT - MAX_SECONDS_AHEAD - 1, Reason.ALERT_FROM_FUTURE),
    ],
)
def test_what_does_not_count_here_and_now_is_refused_unverified(
    alert: Alert, index: int, now: int, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consensus.tally.verify_batches", None)  # a pairing would fail loudly

    outcome = make_tally().add([make_attestation(alert, index)], Seconds(now))

    assert (outcome.new, reasons(outcome)) == ((), [reason])


def test_an_alert_counts_until_the_last_second_of_its_window() -> None:
    assert len(make_tally().add([make_attestation()], EXPIRES_AT).new) == 1
    assert len(make_tally().add([make_attestation()], Seconds(OBSERVED_AT - MAX_SECONDS_AHEAD)).new) == 1


# --- bounds


def test_one_call_counts_no_more_than_its_bound() -> None:
    tally = make_tally(max_pending=4)

    outcome = tally.add(sign_all(make_alert(), range(7)), NOW)

    assert (len(outcome.new), reasons(outcome)) == (4, [Reason.TALLY_FULL] * 3)


def test_a_flooding_operator_takes_only_its_own_room() -> None:
    quota = 2
    tally = make_tally(max_slots=quota * MAX_EPOCHS * 7)
    flood = [make_attestation(alert_in_slot(number), 6) for number in range(5)]

    outcomes = [tally.add(flood[:1], NOW), tally.add(flood[1:], NOW)]
    honest = tally.add(sign_all(alert_in_slot(99), range(6)), NOW)

    assert len(outcomes[0].new) + len(outcomes[1].new) == quota
    assert reasons(outcomes[1]) == [Reason.QUOTA_EXCEEDED] * 3
    assert len(honest.new) == 6


def test_an_operator_at_its_quota_still_signs_slots_that_others_opened() -> None:
    tally = make_tally(max_slots=MAX_EPOCHS * 7)
    tally.add([make_attestation(alert_in_slot(1), 6), make_attestation(alert_in_slot(2), 0)], NOW)

    outcome = tally.add([make_attestation(alert_in_slot(2), 6), make_attestation(alert_in_slot(3), 6)], NOW)

    assert [each.alert for each in outcome.new] == [alert_in_slot(2)]
    assert reasons(outcome) == [Reason.QUOTA_EXCEEDED]


def test_forged_attestations_use_up_nobodys_quota() -> None:
    tally = make_tally(max_slots=MAX_EPOCHS * 7)

    tally.add([spoil(make_attestation(alert_in_slot(number), 0)) for number in range(5)], NOW)

    assert len(tally.add([make_attestation(alert_in_slot(9), 0)], NOW).new) == 1
    assert tally.statistics().slots == 1


def test_slots_are_bounded_over_all_operators() -> None:
    tally = make_tally(max_slots=2)
    batch = [make_attestation(alert_in_slot(index), index) for index in range(4)]

    outcome = tally.add(batch, NOW)

    assert (len(outcome.new), reasons(outcome)) == (2, [Reason.TALLY_FULL] * 2)


def test_alerts_per_slot_are_bounded_but_known_ones_still_grow() -> None:
    tally = make_tally(max_alerts_per_slot=2)
    tally.add([make_attestation(other_alert(index), index) for index in range(2)], NOW)

    outcome = tally.add([make_attestation(other_alert(2), 2), make_attestation(other_alert(1), 3)], NOW)

    assert [each.alert for each in outcome.new] == [other_alert(1)]
    assert reasons(outcome) == [Reason.TALLY_FULL]


def test_less_than_a_third_of_the_largest_set_cannot_fill_a_slot() -> None:
    largest = make_operator_set((1_000,) * MAX_OPERATORS)
    tally = make_tally(largest)
    liars = range((MAX_OPERATORS - 1) // 3)
    lies = [
        make_attestation(other_alert(MAX_DIGESTS_PER_OPERATOR * index + number, operator_set=largest), index)
        for index in liars
        for number in range(MAX_DIGESTS_PER_OPERATOR)
    ]
    truth = make_alert(largest)

    flooded = tally.add(lies, NOW)
    tally.add(sign_all(truth, range(len(liars), MAX_OPERATORS)), NOW)

    assert len(flooded.new) == len(lies)
    assert Level.PAUSE in tally.levels(truth.digest())


def test_an_operator_of_the_largest_set_still_has_room() -> None:
    largest = make_operator_set((1_000,) * MAX_OPERATORS)

    outcome = make_tally(largest).add(
        [make_attestation(alert_in_slot(number, largest)) for number in range(30)], NOW
    )

    assert len(outcome.new) == 21
    assert reasons(outcome) == [Reason.QUOTA_EXCEEDED] * 9


# --- time and epochs


def test_pruning_forgets_expired_slots_and_gives_their_room_back() -> None:
    tally = make_tally(max_slots=MAX_EPOCHS * 7)
    short, long = alert_in_slot(1), alert_in_slot(2, expires_at=EXPIRES_AT + 500)
    tally.add([make_attestation(short, 0), make_attestation(long, 1)], NOW)

    at_expiry = tally.prune(EXPIRES_AT)
    after_expiry = tally.prune(Seconds(EXPIRES_AT + 1))

    assert (at_expiry, after_expiry) == ((), (short.digest(),))
    assert (tally.certificate(short.digest()), tally.weight(long.digest())) == (None, 1_000)
    reopened = tally.add(
        [make_attestation(alert_in_slot(3, expires_at=EXPIRES_AT + 500), 0)], Seconds(EXPIRES_AT + 1)
    )
    assert len(reopened.new) == 1


def test_a_slot_is_kept_as_a_whole_until_its_last_alert_expires() -> None:
    tally = make_tally()
    tally.add([make_attestation(ALERT, 2)], NOW)
    longer = make_alert(expires_at=EXPIRES_AT + 500)
    tally.add([make_attestation(longer, 3)], NOW)

    assert tally.prune(Seconds(EXPIRES_AT + 1)) == ()
    outcome = tally.add([make_attestation(longer, 2)], Seconds(EXPIRES_AT + 1))

    assert [each.operators for each in outcome.equivocations] == [(2,)]


def test_the_oldest_epoch_gives_way_with_its_slots() -> None:
    sets = [make_operator_set(epoch=epoch) for epoch in range(1, MAX_EPOCHS + 2)]
    tally = make_tally(*sets[:MAX_EPOCHS])
    old, current = make_alert(sets[0]), make_alert(sets[1])
    tally.add([make_attestation(old), make_attestation(current)], NOW)

    tally.add_operator_set(sets[MAX_EPOCHS])

    assert (tally.weight(old.digest()), tally.weight(current.digest())) == (0, 1_000)
    assert reasons(tally.add([make_attestation(old)], NOW)) == [Reason.OLD_EPOCH]
    assert reason_of(lambda: tally.add_operator_set(sets[0])) == Reason.OLD_EPOCH
    assert tally.statistics() == TallyStatistics(
        epochs=MAX_EPOCHS, slots=1, alerts=1, signatures=1, partials=0
    )


def test_a_second_header_for_an_epoch_is_refused_and_the_same_again_is_not() -> None:
    tally = make_tally()

    tally.add_operator_set(SEVEN)

    assert reason_of(lambda: tally.add_operator_set(make_operator_set((1, 2, 3)))) == Reason.HEADER_MISMATCH


def test_alerts_of_two_epochs_are_counted_with_their_own_weights() -> None:
    later = make_operator_set((10, 20, 30), epoch=2)
    tally = make_tally(SEVEN, later)
    old, new = make_alert(SEVEN), make_alert(later, actions=(make_action(),) * 2)

    tally.add([make_attestation(old, 2), make_attestation(new, 2)], NOW)

    assert (tally.weight(old.digest()), tally.total(old.digest())) == (1_000, 7_000)
    assert (tally.weight(new.digest()), tally.total(new.digest())) == (30, 60)
