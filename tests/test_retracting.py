"""Blocks that were signed about and left: told once, heard cheaply, and nothing counted is taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio.testing

from consensus.alert import Alert, Slot
from consensus.errors import Reason, Refused
from consensus.retraction import Retraction, retract
from consensus.types import ChainId, Digest
from node.retracting import LOOK_SECONDS, MAX_SIGNED, Retractions
from tests.consensus.factories import CHAIN_ID, NETWORK_ID, make_alert, make_bytes32, make_slot


class Desk:
    """Retractions of a watcher of one chain, with all that it would reach in the hands of the test."""

    def __init__(self) -> None:
        self.left: set[Slot] = set()
        self.published: list[Retraction] = []
        self.settled: list[Digest] = []
        self.looks = 0
        self.retractions = Retractions(
            NETWORK_ID,
            has_left=lambda slot: slot in self.left,
            look={CHAIN_ID: self._look},
            publish=self._publish,
            settled=self.settled.append,
        )

    def _look(self) -> None:
        self.looks += 1

    async def _publish(self, retraction: Retraction) -> None:
        self.published.append(retraction)


def alert_at(number: int) -> Alert:
    return make_alert(slot=make_slot(anchor_number=number, anchor_hash=make_bytes32(f"block {number}")))


async def test_a_block_that_was_signed_about_and_left_is_retracted_once() -> None:
    desk, gone, stays = Desk(), alert_at(1), alert_at(2)
    for alert in (gone, stays):
        desk.retractions.signed(alert)
    desk.left.add(gone.slot)

    for _ in range(2):
        await desk.retractions.check(CHAIN_ID)

    assert desk.published == [retract(NETWORK_ID, gone.slot)]
    assert desk.settled == [gone.digest()], "nobody needs to be reminded of it"
    assert desk.retractions.statistics().retracted == 1


async def test_two_alerts_about_one_block_are_one_retraction() -> None:
    desk = Desk()
    for subject in ("one", "two"):
        alert = make_alert(slot=make_slot(subject=make_bytes32(subject)))
        desk.retractions.signed(alert)
        desk.left.add(alert.slot)

    await desk.retractions.check(CHAIN_ID)

    assert len(desk.published) == 1
    assert len(desk.settled) == 2


async def test_what_was_not_signed_or_is_of_another_chain_is_not_retracted() -> None:
    desk, alert = Desk(), alert_at(1)
    desk.left.add(alert.slot)

    await desk.retractions.check(CHAIN_ID)
    desk.retractions.signed(alert)
    await desk.retractions.check(ChainId(CHAIN_ID + 1))

    assert desk.published == []


async def test_memory_of_what_was_signed_is_bounded() -> None:
    desk = Desk()
    for number in range(MAX_SIGNED + 100):
        alert = alert_at(number)
        desk.retractions.signed(alert)
        desk.left.add(alert.slot)

    await desk.retractions.check(CHAIN_ID)

    assert len(desk.published) == MAX_SIGNED


async def test_a_retraction_that_is_heard_makes_us_look_and_never_more_often_than_once_a_second(
    mock_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    heard = retract(NETWORK_ID, make_slot())

    for number in range(50):
        await desk.retractions.take(replace(heard, block_hash=make_bytes32(f"{number}")))
    assert desk.looks == 1

    mock_clock.jump(LOOK_SECONDS)
    await desk.retractions.take(heard)
    assert desk.looks == 2
    assert desk.published == desk.settled == [], "what others say takes nothing back"


async def test_a_retraction_of_another_network_or_chain_is_refused() -> None:
    desk = Desk()
    heard = retract(NETWORK_ID, make_slot())

    with pytest.raises(Refused) as network:
        await desk.retractions.take(replace(heard, network_id=make_bytes32("another")))
    with pytest.raises(Refused) as chain:
        await desk.retractions.take(replace(heard, chain_id=ChainId(5)))

    assert (network.value.reason, chain.value.reason) == (Reason.WRONG_NETWORK, Reason.WRONG_CHAIN)
    assert desk.looks == 0
