"""Evidence: convicts who signed two alerts for one slot, and nobody else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.attestation import Attestation
from consensus.equivocation import EquivocationEvidence, compute_evidence, is_proven
from consensus.errors import Reason, Refused
from consensus.partial import merge, subtract
from tests.consensus.factories import (
    EXPIRES_AT,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_slot,
)

SET = make_operator_set()
ONE = make_attestation(make_alert(), 2)
OTHER = make_attestation(make_alert(evidence_hash=make_bytes32("other")), 2)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def test_two_digests_for_one_slot_are_evidence_in_either_order() -> None:
    evidence = compute_evidence(ONE, OTHER)

    assert evidence == compute_evidence(OTHER, ONE)
    assert (evidence.operators, evidence.epoch, evidence.slot_id) == ((2,), 1, ONE.slot_id())
    assert is_proven(evidence, SET)


@pytest.mark.parametrize(
    "other",
    [
        ONE,
        make_attestation(make_alert(evidence_hash=make_bytes32("other")), 3),
        make_attestation(make_alert(slot=make_slot(anchor_number=1)), 2),
        make_attestation(make_alert(epoch=2), 2),
        make_attestation(make_alert(header_hash=make_bytes32("other")), 2),
        make_attestation(make_alert(network_id=make_bytes32("other")), 2),
    ],
    ids=[
        "same digest",
        "another operator",
        "another slot",
        "another epoch",
        "another header",
        "another network",
    ],
)
def test_what_an_honest_operator_may_sign_is_no_evidence(other: Attestation) -> None:
    assert reason_of(lambda: compute_evidence(ONE, other)) == Reason.EVIDENCE_INVALID


def test_a_sum_of_signatures_proves_whoever_signed_twice_and_nobody_else() -> None:
    one = merge([make_attestation(ONE.alert, index) for index in (0, 2, 3)])
    other = merge([make_attestation(OTHER.alert, index) for index in (2, 3, 6)])

    evidence = compute_evidence(one, other)

    assert evidence.operators == (2, 3)
    assert is_proven(evidence, SET)
    honest = subtract(other, [OTHER, make_attestation(OTHER.alert, 3)])
    assert reason_of(lambda: compute_evidence(one, honest)) == Reason.EVIDENCE_INVALID


def test_evidence_has_one_order_so_that_it_is_submitted_once() -> None:
    evidence = compute_evidence(ONE, OTHER)

    assert (
        reason_of(lambda: EquivocationEvidence(first=evidence.second, second=evidence.first))
        == Reason.EVIDENCE_INVALID
    )


@pytest.mark.parametrize("forged_side", ["first", "second"])
def test_a_signature_of_somebody_else_convicts_nobody(forged_side: str) -> None:
    evidence = compute_evidence(ONE, OTHER)
    framed = getattr(evidence, forged_side)
    forged = replace(framed, signature=make_attestation(framed.alert, 5).signature)

    assert not is_proven(replace(evidence, **{forged_side: forged}), SET)


def test_evidence_is_judged_by_its_own_set() -> None:
    later = make_operator_set(epoch=2)

    assert not is_proven(compute_evidence(ONE, OTHER), later)


def test_evidence_against_an_index_beyond_the_set_is_refused() -> None:
    one = make_attestation(make_alert(), 9)
    other = make_attestation(make_alert(expires_at=EXPIRES_AT + 1), 9)

    assert reason_of(lambda: is_proven(compute_evidence(one, other), SET)) == Reason.NOT_A_MEMBER
