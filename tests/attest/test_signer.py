"""The signer: a signature only after its row, and only with the journal of its own key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consensus.attestation import Attestation
from consensus.bls import Purpose, verify
from consensus.errors import Broken, Reason, Refused
from consensus.handover import compute_handover
from consensus.types import BlockNumber, HeaderHash, OperatorIndex
from node.attest.journal import create_journal
from node.attest.signer import Signer
from tests.consensus.factories import (
    NETWORK_ID,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_secret,
    make_signature,
    make_slot,
    make_successor,
)

INDEX = OperatorIndex(3)
HEAD = BlockNumber(4_000)


async def test_an_attestation_is_the_keys_signature_over_the_alerts_digest(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        attestation = await Signer(make_secret(0), journal).attest(make_alert(), INDEX, since=HEAD)

    assert (attestation.alert, attestation.operator_index) == (make_alert(), INDEX)
    assert verify(make_public_key(0), Purpose.ALERT, make_alert().digest(), attestation.signature)


async def test_signing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)

        assert await signer.attest(make_alert(), INDEX, since=HEAD) == await signer.attest(
            make_alert(), INDEX, since=HEAD
        )


@pytest.mark.parametrize(
    "change",
    [{"evidence_hash": make_bytes32("other")}, {"actions": ()}, {"header_hash": make_bytes32("other")}],
    ids=str,
)
async def test_another_alert_for_the_same_slot_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.attest(make_alert(), INDEX, since=HEAD)

        with pytest.raises(Refused) as refusal:
            await signer.attest(make_alert(**change), INDEX, since=HEAD)

    assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED


async def test_another_slot_is_signed(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.attest(make_alert(), INDEX, since=HEAD)

        await signer.attest(make_alert(slot=make_slot(anchor_number=4_201)), INDEX, since=HEAD)

        assert journal.statistics().recorded == 2


async def test_nothing_is_signed_when_the_journal_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[object] = []
    monkeypatch.setattr("node.attest.signer.attest", lambda *arguments: signed.append(arguments))
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        journal._store._connection.execute("PRAGMA query_only=ON")

        with pytest.raises(Broken):
            await Signer(make_secret(0), journal).attest(make_alert(), INDEX, since=HEAD)

    assert signed == []


async def test_a_journal_of_another_key_is_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(1)) as journal:
        with pytest.raises(Refused) as refusal:
            Signer(make_secret(0), journal)

    assert refusal.value.reason is Reason.WRONG_KEY


async def test_the_signer_never_shows_its_key(tmp_path: Path) -> None:
    secret = make_secret(0)

    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        shown = repr(Signer(secret, journal))

    assert secret.to_bytes().hex() not in shown
    assert str(int.from_bytes(secret.to_bytes(), "big")) not in shown


async def test_a_handover_is_signed_under_its_own_tag_after_its_row(tmp_path: Path) -> None:
    outgoing = make_operator_set()
    handover = compute_handover(NETWORK_ID, outgoing, make_successor(outgoing))
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)

        signature = await signer.hand_over(handover)

        assert verify(make_public_key(0), Purpose.HANDOVER, handover.digest(), signature)
        assert not verify(make_public_key(0), Purpose.ALERT, handover.digest(), signature)
        assert journal.statistics().recorded == 1
        with pytest.raises(Refused) as refusal:
            await signer.hand_over(replace(handover, next_set_hash=HeaderHash(make_bytes32("other"))))
    assert refusal.value.reason is Reason.HANDOVER_ALREADY_SIGNED


async def test_our_own_signature_of_another_making_is_said_and_never_contradicted(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)

        with pytest.raises(Refused) as refusal:
            await signer.witness(make_attestation())
        with pytest.raises(Refused) as contradiction:
            await signer.attest(make_alert(actions=()), INDEX, since=HEAD)

        await signer.witness(make_attestation())  # known now
        assert await signer.attest(make_alert(), OperatorIndex(0), since=HEAD) == make_attestation()
    assert refusal.value.reason is Reason.SIGNED_ELSEWHERE
    assert contradiction.value.reason is Reason.SLOT_ALREADY_SIGNED


async def test_a_contradiction_from_elsewhere_is_said_too(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.attest(make_alert(), INDEX, since=HEAD)

        with pytest.raises(Refused, match="contradicts") as refusal:
            await signer.witness(make_attestation(make_alert(actions=())))

    assert refusal.value.reason is Reason.SIGNED_ELSEWHERE


async def test_what_we_made_and_what_is_not_our_keys_passes(tmp_path: Path) -> None:
    forged = Attestation(
        alert=make_alert(), operator_index=INDEX, signature=make_signature(1, make_alert().digest())
    )
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.witness(forged)
        await signer.witness(await signer.attest(make_alert(), INDEX, since=HEAD))

        assert await journal.causes() == ()
        assert journal.statistics().rows == 1
