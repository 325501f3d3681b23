"""Alerts in, attestations out: by a member, through the journal, through every door, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.bls import Signature
from consensus.errors import Reason, Refused, Unavailable
from consensus.handover import Handover
from consensus.partial import Contribution, PartialCertificate, compute_signers
from consensus.types import BlockNumber, Digest, Epoch, OperatorIndex, Seconds
from node.attest.door import SigningDoor
from node.attest.journal import create_journal
from node.attest.room import GATHER_SECONDS, MAX_HEARD, SigningRoom
from node.attest.signer import Signer
from tests.consensus.factories import (
    CHAIN_ID,
    EXPIRES_AT,
    OBSERVED_AT,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_secret,
    make_slot,
)


def after_the_beginning(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was said after the one line that every run begins with."""
    assert logs[0]["event"] == "signing.begun"
    return [dict(line) for line in logs[1:]]


class Outcome:
    """What left the room, door by door, and what it said."""

    def __init__(self) -> None:
        self.tally: list[Attestation] = []
        self.gossip: list[Attestation] = []
        self.raised: list[Digest] = []
        self.said: list[str] = []
        self.logs: list[dict[str, object]] = []


def make_room(signer: SigningDoor, **changes: Any) -> SigningRoom:
    """A member's room on a quiet chain."""
    quiet: dict[str, Any] = {
        "index_of": lambda _epoch: OperatorIndex(0),
        "raised": lambda _digest: None,
        "since": lambda _chain: BlockNumber(0),
        "is_orphaned": lambda _slot: False,
        "now": lambda: OBSERVED_AT,
        "dropped": lambda _alert: None,
        "signed": lambda _alert: None,
        "listen_seconds": 0,
    }
    return SigningRoom(signer, **(quiet | changes))


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
            room = make_room(
                Signer(make_secret(0), journal),
                index_of=lambda _epoch: None if index is None else OperatorIndex(index),
                raised=outcome.raised.append,
            )
            await room.run(alerts_out, (tally_in, gossip_in))
    for door in (tally_in, gossip_in):
        await door.aclose()
    outcome.tally = [attestation async for attestation in tally_out]
    outcome.gossip = [attestation async for attestation in gossip_out]
    outcome.logs = after_the_beginning(logs)
    outcome.said = [str(line["event"]) for line in outcome.logs]
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
        await make_room(signer, index_of=index_of).run(alerts, (door_in,))

    assert asked == [epoch]
    assert door.receive_nowait().operator_index == epoch


class Door:
    """A door to a key that is away for a while; behind it is the real signature, without a journal."""

    public_key = make_public_key(0)

    def __init__(self, *, away_for: int = 0) -> None:
        self.away_for = away_for
        self.asked: list[int] = []
        self.witnessed: list[Digest] = []
        self.strange: set[Digest] = set()
        self.is_away = False

    async def attest(self, alert: Alert, operator_index: OperatorIndex, *, since: BlockNumber) -> Attestation:
        self.asked.append(since)
        if len(self.asked) <= self.away_for:
            raise Unavailable("the signer does not answer")
        return make_attestation(alert, operator_index)

    async def hand_over(self, handover: Handover) -> Signature:
        raise AssertionError("no handover belongs here")

    async def witness(self, contribution: Contribution) -> None:
        self.witnessed.append(contribution.digest())
        if self.is_away:
            raise Unavailable("the signer does not answer")
        if contribution.digest() in self.strange:
            raise Refused(Reason.SIGNED_ELSEWHERE, "not ours")


async def sign_through(
    door: Door, *alerts: Alert, **changes: Any
) -> tuple[SigningRoom, list[Attestation], list[dict[str, Any]]]:
    alerts_in, alerts_out = trio.open_memory_channel[Alert](len(alerts))
    signed_in, signed = trio.open_memory_channel[Attestation](len(alerts))
    for alert in alerts:
        alerts_in.send_nowait(alert)
    await alerts_in.aclose()
    room = make_room(door, **changes)
    with capture_logs() as logs:
        await room.run(alerts_out, (signed_in,))
    await signed_in.aclose()
    return room, [each async for each in signed], after_the_beginning(logs)


async def test_an_alert_waits_while_the_key_is_away_and_is_signed_when_it_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    other = make_alert(slot=make_slot(anchor_number=4_201))

    room, signed, logs = await sign_through(Door(away_for=9), make_alert(), other)

    assert [each.alert for each in signed] == [make_alert(), other]
    assert [line["event"] for line in logs] == [
        "signing.unavailable",
        "signing.available",
        "attestation.signed",
        "attestation.signed",
    ]
    assert (logs[0]["log_level"], logs[0]["waiting"]) == ("error", 1)
    assert (room.statistics().signed, room.statistics().unavailable) == (2, 1)


async def test_an_alert_whose_window_ends_while_the_key_is_away_is_dropped_and_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door(away_for=1_000)

    room, signed, logs = await sign_through(
        door, make_alert(), now=lambda: EXPIRES_AT if len(door.asked) < 3 else Seconds(EXPIRES_AT + 1)
    )

    assert signed == []
    assert len(door.asked) == 3
    assert room.statistics().expired == 1
    assert logs[-1]["reason"] is Reason.ALERT_EXPIRED


async def test_an_alert_for_an_orphaned_block_is_not_signed_and_may_be_raised_again() -> None:
    door, dropped = Door(), list[Alert]()

    room, signed, logs = await sign_through(
        door, make_alert(), is_orphaned=lambda _slot: True, dropped=dropped.append
    )

    assert (signed, door.asked) == ([], [])
    assert dropped == [make_alert()]
    assert room.statistics().orphaned == 1
    assert logs[0]["reason"] is Reason.ANCHOR_ORPHANED


async def test_a_reorg_while_the_key_is_away_reaches_the_alert_that_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door(away_for=2)

    room, signed, _ = await sign_through(
        door, make_alert(), is_orphaned=lambda slot: slot == make_slot() and len(door.asked) == 2
    )

    assert signed == []
    assert room.statistics().orphaned == 1


async def test_the_door_hears_with_which_head_the_watcher_began() -> None:
    door = Door()

    await sign_through(door, make_alert(), since={CHAIN_ID: BlockNumber(77)}.__getitem__)

    assert door.asked == [77]


# --- the silent period, and what is heard in our name


async def test_nothing_is_signed_before_the_listening_is_over(mock_clock: trio.testing.MockClock) -> None:
    door = Door()
    alerts_in, alerts = trio.open_memory_channel[Alert](1)
    signed_in, signed = trio.open_memory_channel[Attestation](1)
    alerts_in.send_nowait(make_alert())
    room = make_room(door, listen_seconds=5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run, alerts, (signed_in,))
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(4.9)
        await trio.testing.wait_all_tasks_blocked()
        assert (door.asked, room.is_listening) == ([], True)

        mock_clock.jump(0.2)
        await trio.testing.wait_all_tasks_blocked()
        assert not room.is_listening
        nursery.cancel_scope.cancel()

    assert signed.receive_nowait().alert == make_alert()


async def test_a_jump_of_the_wall_clock_neither_ends_the_listening_nor_changes_what_is_signed(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("time", "time_ns"):
        monkeypatch.setattr(f"time.{name}", lambda: pytest.fail("signing read the wall clock"))
    alerts_in, alerts = trio.open_memory_channel[Alert](1)
    signed_in, signed = trio.open_memory_channel[Attestation](1)
    alerts_in.send_nowait(make_alert())

    async with (
        create_journal(tmp_path / "j.db", make_public_key(0)) as journal,
        trio.open_nursery() as nursery,
    ):
        room = make_room(Signer(make_secret(0), journal), listen_seconds=5)
        nursery.start_soon(room.run, alerts, (signed_in,))
        await trio.testing.wait_all_tasks_blocked()
        assert room.is_listening
        mock_clock.jump(5)
        assert await signed.receive() == make_attestation()
        nursery.cancel_scope.cancel()


async def hear(room: SigningRoom, *contributions: Contribution) -> None:
    """Let the room hear these, and look at them until there is nothing left to look at."""
    for each in contributions:
        room.heard(each)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.look_at_heard)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_merged", [False, True])
async def test_a_signature_in_our_name_that_we_did_not_make_stops_the_watcher(
    is_merged: bool, autojump_clock: trio.testing.MockClock
) -> None:
    door = Door()
    door.strange.add(make_alert().digest())
    heard: Contribution = make_attestation()
    if is_merged:
        heard = PartialCertificate(
            alert=heard.alert, signers=compute_signers([0, 3]), signature=heard.signature
        )

    with pytest.raises(ExceptionGroup) as group:
        await hear(make_room(door), heard)

    assert group.group_contains(Refused, match="signed_elsewhere")


async def test_whatever_else_was_signed_elsewhere_is_taken_in_before_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()
    lost = [make_attestation(make_alert(slot=make_slot(anchor_number=number))) for number in range(3)]
    door.strange |= {each.digest() for each in lost}
    room = make_room(door)

    async def tell_later() -> None:
        await trio.sleep(GATHER_SECONDS / 2)
        room.heard(lost[2])

    async def hear_all() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_later)
            await hear(room, *lost[:2])

    with pytest.raises(ExceptionGroup) as group:
        await hear_all()

    assert group.group_contains(Refused, match="signed_elsewhere")
    assert door.witnessed == [each.digest() for each in lost]


async def test_what_is_in_other_names_or_of_epochs_without_us_is_none_of_our_business(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()

    await hear(make_room(door), make_attestation(operator_index=1))
    await hear(make_room(door, index_of=lambda _epoch: None), make_attestation())

    assert door.witnessed == []


async def test_our_own_signature_that_comes_back_is_not_looked_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()
    room, signed, _ = await sign_through(door, make_alert())

    await hear(room, *signed)

    assert door.witnessed == []


async def test_what_was_heard_while_the_key_was_away_is_looked_at_before_anything_is_signed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door = Door()
    door.is_away = True
    door.strange.add(make_alert().digest())
    room = make_room(door)
    await hear(room, make_attestation())
    door.is_away = False
    alerts_in, alerts = trio.open_memory_channel[Alert](1)
    alerts_in.send_nowait(make_alert(slot=make_slot(anchor_number=4_201)))
    await alerts_in.aclose()

    with pytest.raises(Refused, match="signed_elsewhere"):
        await room.run(alerts, ())

    assert door.asked == []


async def test_what_is_heard_in_our_name_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    door.is_away = True
    room = make_room(door)
    for number in range(MAX_HEARD + 50):
        room.heard(make_attestation(make_alert(slot=make_slot(anchor_number=number))))
    door.is_away = False

    await hear(room)

    assert len(door.witnessed) == MAX_HEARD


async def test_nothing_is_signed_about_a_chain_that_showed_no_head_yet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    door, heads = Door(), iter([None, None, BlockNumber(5)])

    _, signed, logs = await sign_through(door, make_alert(), since=lambda _chain: next(heads))

    assert len(signed) == 1
    assert door.asked == [5]
    assert "has shown no head" in logs[0]["detail"]


async def test_who_retracts_hears_of_what_was_signed_and_of_nothing_else(tmp_path: Path) -> None:
    told: list[Alert] = []

    await sign_through(Door(), make_alert(), signed=told.append)
    await sign_through(Door(), make_alert(), signed=told.append, index_of=lambda _epoch: None)

    assert told == [make_alert()]
