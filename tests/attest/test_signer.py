"""The signer: a signature only after its row, and only with the journal of its own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consensus.bls import Purpose, verify
from consensus.errors import Broken, Reason, Refused
from consensus.types import OperatorIndex
from node.attest.journal import create_journal
from node.attest.signer import Signer
from tests.consensus.factories import make_alert, make_bytes32, make_public_key, make_secret, make_slot

INDEX = OperatorIndex(3)


async def test_an_attestation_is_the_keys_signature_over_the_alerts_digest(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        attestation = await Signer(make_secret(0), journal).attest(make_alert(), INDEX)

    assert (attestation.alert, attestation.operator_index) == (make_alert(), INDEX)
    assert verify(make_public_key(0), Purpose.ALERT, make_alert().digest(), attestation.signature)


async def test_signing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)

        assert await signer.attest(make_alert(), INDEX) == await signer.attest(make_alert(), INDEX)


@pytest.mark.parametrize(
    "change",
    [{"evidence_hash": make_bytes32("other")}, {"actions": ()}, {"header_hash": make_bytes32("other")}],
    ids=str,
)
async def test_another_alert_for_the_same_slot_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.attest(make_alert(), INDEX)

        with pytest.raises(Refused) as refusal:
            await signer.attest(make_alert(**change), INDEX)

    assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED


async def test_another_slot_is_signed(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await signer.attest(make_alert(), INDEX)

        await signer.attest(make_alert(slot=make_slot(anchor_number=4_201)), INDEX)

        assert journal.statistics().recorded == 2


async def test_nothing_is_signed_when_the_journal_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[object] = []
    monkeypatch.setattr("node.attest.signer.attest", lambda *arguments: signed.append(arguments))
    async with create_journal(tmp_path / "j.db", make_public_key(0)) as journal:
        journal._store._connection.execute("PRAGMA query_only=ON")

        with pytest.raises(Broken):
            await Signer(make_secret(0), journal).attest(make_alert(), INDEX)

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
