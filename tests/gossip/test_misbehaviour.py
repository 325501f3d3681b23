"""Every way for a registered operator to misbehave ends in a ban, and costs the honest ones nothing.

The parameters under test are the real ones (`budgets.Limits()`, `faults.STRIKES`). That honest behaviour
under loss is never punished stands in `test_reconciler.py`; frames on real streams in `test_attacks.py`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus import reconciliation
from consensus.attestation import Attestation
from consensus.errors import Reason
from consensus.reconciliation import Entry, Want
from consensus.types import Digest, Epoch, NetworkId, OperatorIndex, Signers
from node.gossip.faults import STRIKES
from node.gossip.frames import MAX_BODY_BYTES, MAX_FRAME_BYTES, Kind, encode_attestation, encode_frame
from node.gossip.memory import MemoryNetwork
from node.gossip.transport import Path
from tests.consensus.factories import NOW, make_alert, make_attestation, make_signature, make_slot
from tests.gossip.test_reconciler import Hostile, Watcher, alert_number, open_watchers
from tests.gossip.test_room import peer

HOSTILE = 6
PER_SECOND = 50
"""What the hostile peer sends; far below its message budget, so that each fault is punished for itself."""
SECONDS = 20

Write = Callable[[int], bytes]


def frame_of(attestation: Attestation) -> bytes:
    return encode_frame(Kind.ATTESTATION, encode_attestation(attestation))


def forged(number: int) -> bytes:
    """In its own name, over another alert than the signature's."""
    alert = alert_number(number)
    signature = make_signature(HOSTILE, make_alert(slot=make_slot(anchor_number=10**6)).digest())
    return frame_of(Attestation(alert=alert, operator_index=OperatorIndex(HOSTILE), signature=signature))


def equivocating(number: int) -> bytes:
    """Another alert for the same slot, each time, well signed."""
    return frame_of(
        make_attestation(make_alert(evidence_hash=number.to_bytes(32, "big")), operator_index=HOSTILE)
    )


def useless_want(number: int) -> bytes:
    want = Want(entries=(Entry(digest=Digest(number.to_bytes(32, "big")), signers=Signers(1)),))
    return encode_frame(Kind.WANT, reconciliation.encode_want(want))


def unasked_answer(number: int) -> bytes:
    attestation = make_attestation(operator_index=number % 6)
    (answer,) = reconciliation.compute_answers([attestation])
    return encode_frame(Kind.SIGNATURES, reconciliation.encode_signatures(answer))


MISBEHAVIOURS: dict[str, tuple[Write, Reason]] = {
    "garbage": (lambda number: b"garbage %d" % number, Reason.MALFORMED),
    "an unknown version": (
        lambda number: b"\x93\x03\x01\x90" + bytes([number % 256]),
        Reason.UNKNOWN_VERSION,
    ),
    "an unknown kind": (lambda number: b"\x93\x02\x7f\x90" + bytes([number % 256]), Reason.UNKNOWN_KIND),
    "a body above its kind's limit": (
        lambda number: b"\x93\x02\x07" + bytes([number % 256]) * (MAX_BODY_BYTES[Kind.ADDRESS] + 1),
        Reason.OVERSIZED,
    ),
    "a forged signature": (forged, Reason.BAD_SIGNATURE),
    "another's name": (
        lambda number: frame_of(make_attestation(alert_number(number), operator_index=2)),
        Reason.NOT_ITS_OWN,
    ),
    "another network": (
        lambda number: frame_of(
            make_attestation(
                make_alert(network_id=NetworkId(number.to_bytes(32, "big"))), operator_index=HOSTILE
            )
        ),
        Reason.WRONG_NETWORK,
    ),
    "an index beyond the set": (
        lambda number: frame_of(
            replace(make_attestation(alert_number(number)), operator_index=OperatorIndex(7 + number % 9))
        ),
        Reason.NOT_A_MEMBER,
    ),
    "equivocation": (equivocating, Reason.EQUIVOCATION),
    "useless questions": (useless_want, Reason.USELESS_WANT),
    "unasked answers": (unasked_answer, Reason.UNASKED),
}


class Scene:
    """A victim and an honest operator with their tallies; the hostile one writes to the victim."""

    def __init__(self, victim: Watcher, honest: Watcher, hostile: Hostile) -> None:
        self.victim = victim
        self.honest = honest
        self.hostile = hostile

    async def assert_hears_the_honest(self) -> None:
        alert = make_alert(slot=make_slot(anchor_number=999_999))
        await self.honest.sign(alert)
        await wait_all_tasks_blocked()
        assert self.victim.tally.covered(alert.digest()) == 1 << self.honest.number
        assert self.honest.banned() == ()


async def with_scene(play: Callable[[Scene], Awaitable[None]]) -> None:
    network = MemoryNetwork()
    hostile = Hostile(HOSTILE, network)
    await hostile.transport.register({peer(0): ()})
    async with open_watchers(0, 1, network=network) as (victim, honest):
        await play(Scene(victim, honest, hostile))


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_misbehaviour_ends_in_a_ban(name: str, autojump_clock: MockClock) -> None:
    write, reason = MISBEHAVIOURS[name]

    async def play(scene: Scene) -> None:
        sent = 0
        while scene.victim.banned() == ():
            assert sent < PER_SECOND * SECONDS, f"{name}: never banned"
            await scene.hostile.transport.push(peer(0), write(sent))
            sent += 1
            await trio.sleep(1 / PER_SECOND)

        assert scene.victim.banned() == (peer(HOSTILE),)
        counted = scene.victim.refused() | dict(scene.victim.room.statistics().transport.drops)
        assert counted.get(reason, 0) >= 1 or reason is Reason.EQUIVOCATION
        await scene.assert_hears_the_honest()

    await with_scene(play)


async def test_a_flood_of_alerts_that_nobody_else_saw_is_cut_off_before_it_costs_seconds(
    autojump_clock: MockClock,
) -> None:
    """Well signed, each another alert: what they cost is time to verify, and that has a budget."""
    attestations = [
        frame_of(make_attestation(alert_number(number), operator_index=HOSTILE)) for number in range(700)
    ]

    async def play(scene: Scene) -> None:
        for payload in attestations:
            await scene.hostile.transport.push(peer(0), payload)
        await wait_all_tasks_blocked()

        assert scene.victim.banned() == (peer(HOSTILE),)
        assert scene.victim.refused()[Reason.VERIFICATION_OVER_BUDGET] >= 100
        assert scene.victim.tally.statistics().alerts <= 500
        await scene.assert_hears_the_honest()

    await with_scene(play)


async def test_a_flood_of_messages_is_cut_off(autojump_clock: MockClock) -> None:
    """The same well signed attestation, over and over: no fault but their number."""
    payload = frame_of(make_attestation(operator_index=HOSTILE))

    async def play(scene: Scene) -> None:
        for _ in range(1_200):
            await scene.hostile.transport.push(peer(0), payload)
            await trio.lowlevel.checkpoint()

        assert scene.victim.banned() == (peer(HOSTILE),)
        assert scene.victim.room.statistics().transport.drops[Reason.AUTHOR_OVER_BUDGET] >= 100
        await scene.assert_hears_the_honest()

    await with_scene(play)


async def test_a_frame_above_every_limit_is_refused_at_the_door_and_bans(autojump_clock: MockClock) -> None:
    async def play(scene: Scene) -> None:
        door = scene.victim.room._transport.door  # type: ignore[attr-defined]
        for _ in range(4):
            door.take(peer_id=peer(HOSTILE), payload=bytes(MAX_FRAME_BYTES + 1), path=Path.DIRECT)

        assert scene.victim.banned() == (peer(HOSTILE),)
        await scene.assert_hears_the_honest()

    await with_scene(play)


async def test_an_equivocator_is_banned_by_its_own_two_signatures(autojump_clock: MockClock) -> None:
    async def play(scene: Scene) -> None:
        for number in (1, 2):
            assert scene.victim.banned() == ()
            await scene.hostile.transport.push(peer(0), equivocating(number))
            await wait_all_tasks_blocked()

        assert scene.victim.banned() == (peer(HOSTILE),)

    await with_scene(play)


async def test_who_hands_over_anothers_equivocation_is_not_blamed_for_it(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    async with open_watchers(0, 1, network=network) as (first, second):
        forks = [make_alert(evidence_hash=bytes([n]) * 32) for n in range(1, 4)]
        first.tally.add([make_attestation(each, operator_index=2) for each in forks[:2]], NOW)
        second.tally.add([make_attestation(each, operator_index=2) for each in forks[1:]], NOW)

        await trio.sleep(30)

        assert first.refused().get(Reason.EQUIVOCATION, 0) + second.refused().get(Reason.EQUIVOCATION, 0) >= 1
        assert peer(0) not in second.banned()
        assert peer(1) not in first.banned()


async def test_an_accusation_from_an_epoch_that_is_not_kept_is_dropped(autojump_clock: MockClock) -> None:
    async with open_watchers(0, network=MemoryNetwork()) as (watcher,):
        await watcher.room.accuse(Epoch(99), [OperatorIndex(0)])
        assert watcher.banned() == ()


def test_every_price_is_one_that_can_ban_and_no_reason_without_fault_has_one() -> None:
    innocent = {
        Reason.STRANGER_AUTHOR,
        Reason.INBOX_FULL,
        Reason.UNKNOWN_EPOCH,
        Reason.OLD_EPOCH,
        Reason.ALERT_EXPIRED,
        Reason.TALLY_FULL,
        Reason.QUOTA_EXCEEDED,
        Reason.UNSERVED_KIND,
        Reason.NOT_CONNECTED,
    }

    assert not innocent & STRIKES.keys()
    assert all(0 < points <= 100 for points in STRIKES.values())
