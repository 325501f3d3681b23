"""Alerts in, attestations out: by a member, through the journal, through every door, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.errors import Reason
from consensus.types import Digest, Epoch, OperatorIndex
from node.attest.journal import create_journal
from node.attest.room import sign_alerts
from node.attest.signer import Signer
from tests.consensus.factories import (
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_secret,
    make_slot,
)


class Outcome:
    """What left the room, door by door, and what it said."""

    def __init__(self) -> None:
        self.tally: list[Attestation] = []
        self.gossip: list[Attestation] = []
        self.raised: list[Digest] = []
        self.said: list[str] = []
        self.logs: list[dict[str, object]] = []


async def run(folder: Path, *alerts: Alert, index: int | None = 0) -> Outcome:
    """Hand these alerts to a room whose operator has this place in every epoch."""
    outcome = Outcome()
    alerts_in, alerts_out = trio.open_memory_channel[Alert](len(alerts))
    tally_in, tally_out = trio.open_memory_channel[Attestation](len(alerts))
    gossip_in, gossip_out = trio.open_memory_channel[Attestation](len(alerts))
    async with create_journal(folder / "journal.sqlite", make_public_key(0)) as journal, alerts_in:
        for alert in alerts:
            await alerts_in.send(alert)
        await alerts_in.aclose()
        with capture_logs() as logs:
            await sign_alerts(
                alerts_out,
                signer=Signer(make_secret(0), journal),
                index_of=lambda _epoch: None if index is None else OperatorIndex(index),
                raised=outcome.raised.append,
                to=(tally_in, gossip_in),
            )
    for door in (tally_in, gossip_in):
        await door.aclose()
    outcome.tally = [attestation async for attestation in tally_out]
    outcome.gossip = [attestation async for attestation in gossip_out]
    outcome.logs = [dict(line) for line in logs]
    outcome.said = [str(line["event"]) for line in logs]
    return outcome


async def test_a_members_alert_is_signed_and_leaves_by_every_door(tmp_path: Path) -> None:
    outcome = await run(tmp_path, make_alert())

    assert outcome.tally == outcome.gossip == [make_attestation()]
    assert outcome.raised == [make_alert().digest()]
    assert outcome.said == ["attestation.signed"]


async def test_who_is_no_member_of_the_epoch_signs_nothing_and_says_so(tmp_path: Path) -> None:
    outcome = await run(tmp_path, make_alert(), index=None)

    assert outcome.tally == outcome.gossip == []
    assert outcome.raised == [make_alert().digest()], "it was seen here: nobody needs to ask"
    assert outcome.said == ["attestation.skipped"]


async def test_a_second_alert_for_a_slot_is_refused_by_the_journal_and_the_room_goes_on(
    tmp_path: Path,
) -> None:
    contradiction = make_alert(evidence_hash=make_bytes32("another view"))
    other_slot = make_alert(slot=make_slot(anchor_hash=make_bytes32("another block")))

    outcome = await run(tmp_path, make_alert(), contradiction, other_slot)

    assert [attestation.alert for attestation in outcome.gossip] == [make_alert(), other_slot]
    assert outcome.said == ["attestation.signed", "attestation.refused", "attestation.signed"]
    assert outcome.logs[1]["reason"] is Reason.SLOT_ALREADY_SIGNED
    assert outcome.logs[1]["log_level"] == "error"


async def test_the_same_alert_again_is_the_same_attestation(tmp_path: Path) -> None:
    outcome = await run(tmp_path, make_alert(), make_alert())

    assert outcome.gossip == [make_attestation(), make_attestation()]


@pytest.mark.parametrize("epoch", [1, 2])
async def test_the_place_is_that_of_the_alerts_own_epoch(tmp_path: Path, epoch: int) -> None:
    asked: list[Epoch] = []
    alert = make_alert(make_operator_set(epoch=epoch))
    alerts_in, alerts = trio.open_memory_channel[Alert](1)
    door_in, door = trio.open_memory_channel[Attestation](1)
    alerts_in.send_nowait(alert)
    await alerts_in.aclose()

    def index_of(of: Epoch) -> OperatorIndex:
        asked.append(of)
        return OperatorIndex(of)

    async with create_journal(tmp_path / "journal.sqlite", make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)
        await sign_alerts(alerts, signer=signer, index_of=index_of, raised=lambda _: None, to=(door_in,))

    assert asked == [epoch]
    assert door.receive_nowait().operator_index == epoch
