"""The checkers find what they are for, and nothing where nothing is."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.attestation import Attestation
from consensus.errors import Refused
from consensus.types import BlockNumber, OperatorIndex
from node.attest.journal import create_journal, open_journal
from node.attest.signer import Signer
from node.devnet.processes import Said
from tests.chaos.record import Record
from tests.chaos.verdicts import (
    Act,
    JournalRow,
    check_equivocation,
    check_memory,
    check_proofs,
    check_thresholds,
)
from tests.consensus.factories import make_alert, make_bytes32, make_secret

FIRST = BlockNumber(0)
NAMES = ("w1", "w2", "w3", "w4")
HONEST = ("w1", "w2", "w3")


def signed_by(*names: str, digest: str = "0xaa", slot: str = "0x01") -> dict[str, dict[str, set[str]]]:
    return {name: {slot: {digest}} for name in names}


def test_one_digest_a_slot_is_no_violation() -> None:
    signed = {"w1": {"0x01": {"0xaa"}, "0x02": {"0xbb"}}}
    journals = {"w1": [JournalRow(slot_id="0x01", digest="0xaa"), JournalRow(slot_id="0x02", digest="0xbb")]}

    assert check_equivocation(HONEST, signed=signed, journals=journals) == []


def test_a_signature_without_a_row_is_a_violation_also_when_it_is_the_only_one() -> None:
    found = check_equivocation(HONEST, signed=signed_by("w1"), journals={"w1": []})

    assert [each.property for each in found] == ["every signature is recorded"]


def test_who_is_not_honest_may_equivocate() -> None:
    assert check_equivocation(HONEST, signed={"w4": {"0x01": {"0xaa", "0xbb"}}}, journals={}) == []


def heard_from(attestation: Attestation) -> Said:
    """The line with which a member takes an attestation of w1."""
    fields = {
        "operator": "0xw1",
        "slot_id": f"0x{attestation.slot_id().hex()}",
        "digest": f"0x{attestation.digest().hex()}",
    }
    return Said(watcher="w2", event="attestation.received", at_ms=0, fields=fields)


@pytest.mark.parametrize("is_journal_deleted", [False, True])
async def test_a_watcher_whose_journal_is_deleted_equivocates_and_is_caught(
    tmp_path: Path, is_journal_deleted: bool
) -> None:
    secret, path = make_secret(1), tmp_path / "journal.sqlite"
    alert = make_alert()
    another = replace(alert, evidence_hash=make_bytes32("what a lying endpoint shows"))
    record = Record(by_operator={"0xw1": "w1"}, by_peer={})
    async with create_journal(path, secret.public_key()) as journal:
        record.hear(heard_from(await Signer(secret, journal).attest(alert, OperatorIndex(0), since=FIRST)))

    if is_journal_deleted:
        path.unlink()
        opening = create_journal(path, secret.public_key())
    else:
        opening = open_journal(path, secret.public_key())
    async with opening as journal:
        with nullcontext() if is_journal_deleted else pytest.raises(Refused):
            signed = await Signer(secret, journal).attest(another, OperatorIndex(0), since=FIRST)
            record.hear(heard_from(signed))

    found = check_equivocation(HONEST, signed=record.signed, journals={})
    assert [each.property for each in found] == ["no honest equivocation"] * is_journal_deleted


def test_proof_against_an_honest_watcher_is_a_violation_and_against_another_is_none() -> None:
    record = Record(by_operator={}, by_peer={})
    signed = {"digest": "0xaa", "slot_id": "0x01", "operator_index": 2}
    record.hear(Said(watcher="w1", event="attestation.signed", at_ms=0, fields=signed))
    record.hear(
        Said(watcher="w4", event="attestation.signed", at_ms=0, fields={**signed, "operator_index": 0})
    )
    for operators in ([0], [0, 2]):
        proof = {"slot_id": "0x01", "operators": operators}
        record.hear(Said(watcher="w2", event="equivocation.proven", at_ms=0, fields=proof))

    found = check_proofs(HONEST, proven=record.proven, index_of=record.index_of)

    assert [each.detail for each in found] == ["somebody can prove it of w1 in slot 0x01"]


def test_an_act_on_more_than_two_thirds_is_no_violation() -> None:
    act = Act(digest="0xaa", signed_weight=300, block_number=7)
    signed = signed_by("w1", "w2")

    assert check_thresholds([act], signed=signed, names=NAMES, honest=HONEST, total_weight=400) == []


def test_an_act_on_exactly_two_thirds_is_a_violation() -> None:
    act = Act(digest="0xaa", signed_weight=200, block_number=7)
    signed = signed_by("w1", "w2", "w3")

    found = check_thresholds([act], signed=signed, names=NAMES, honest=HONEST, total_weight=300)

    assert [each.property for each in found] == ["no action without true threshold"]


def test_an_act_that_too_few_can_have_signed_is_a_violation_whatever_its_event_says() -> None:
    act = Act(digest="0xaa", signed_weight=400, block_number=7)

    found = check_thresholds([act], signed=signed_by("w1"), names=NAMES, honest=HONEST, total_weight=400)

    assert [each.property for each in found] == ["no action without true threshold"]
    assert "['w1', 'w4']" in found[0].detail


def test_a_process_above_the_bound_is_a_violation() -> None:
    assert check_memory({"w1": 100, "w2": 101}, bound_bytes=100)[0].detail.startswith("w2")
    assert check_memory({"w1": 100}, bound_bytes=100) == []
