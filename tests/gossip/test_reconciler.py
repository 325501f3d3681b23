"""A lost message may delay and never lose: whole rooms with their tallies, under a clock that jumps."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus import reconciliation
from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.errors import Reason
from consensus.operators import OperatorSet
from consensus.partial import PartialCertificate, as_partial, compute_signers, decode_partial, merge
from consensus.reconciliation import Entry, Inventory, Summary, Want
from consensus.tally import Tally
from consensus.types import Digest, OperatorIndex, Seconds, Signers
from node.gossip import reconciler
from node.gossip.asked import ANSWERABLE_SECONDS, PATIENCE_SECONDS, SILENCE_SECONDS, Asked
from node.gossip.frames import Kind
from node.gossip.holdings import TallyHoldings
from node.gossip.host import open_host
from node.gossip.memory import MemoryNetwork
from node.gossip.room import GossipRoom
from node.gossip.transport import Addresses, GossipTransport, PeerId, Received
from tests.consensus.factories import (
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_operator_set,
    make_signature,
    make_slot,
)
from tests.gossip.harness import book_of, eventually, make_config
from tests.gossip.test_room import peer

LEVEL_SECONDS = 5
AWAY_SECONDS = 300
ALL = range(7)


class Watcher:
    """One operator's room and tally, joined as the pipeline joins them."""

    def __init__(
        self,
        number: int,
        transport: GossipTransport,
        members: OperatorSet,
        *,
        relays: frozenset[PeerId] = frozenset(),
    ) -> None:
        self.number = number
        self.members = members
        self.transport = transport
        self.tally = Tally(NETWORK_ID)
        self.tally.add_operator_set(members)
        self.outgoing, self._outgoing_end = trio.open_memory_channel[Attestation](1_000)
        incoming, self._incoming = trio.open_memory_channel[Attestation](1_000)
        self.room = GossipRoom(
            transport=self.transport,
            network_id=NETWORK_ID,
            incoming=incoming,
            now=lambda: NOW,
            holdings=TallyHoldings(self.tally),
            jitter=random.Random(number),
            relays=relays,
        )

    async def run(self, addresses: Mapping[PeerId, Addresses] = MappingProxyType({})) -> None:
        await self.room.use_operator_sets((self.members,), addresses)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.room.run, self._outgoing_end)
            nursery.start_soon(self._count)

    async def _count(self) -> None:
        async for first in self._incoming:
            batch = [first]
            while self._incoming.statistics().current_buffer_used:
                batch.append(self._incoming.receive_nowait())
            outcome = self.tally.add(batch, NOW)
            for refused, error in outcome.refused:
                await self.room.blame(refused, error.reason)
            for evidence in outcome.equivocations:
                await self.room.accuse(evidence.epoch, evidence.operators)

    async def sign(self, alert: Alert) -> None:
        """Our own tally first, then everybody, as in the pipeline."""
        attestation = make_attestation(alert, operator_index=self.number)
        self.tally.add([attestation], NOW)
        await self.outgoing.send(attestation)

    def holds(self) -> dict[Digest, Signers]:
        return {digest: self.tally.covered(digest) for digest in self.tally.open_digests()}

    def refused(self) -> dict[Reason, int]:
        return dict(self.room.statistics().refused)

    def banned(self) -> tuple[PeerId, ...]:
        return self.room.statistics().transport.banned


class Hostile:
    """A registered operator that writes what it likes."""

    def __init__(self, number: int, network: MemoryNetwork) -> None:
        self.transport = network.transport(peer(number))

    async def push(self, number: int, kind: Kind, body: bytes) -> None:
        await self.transport.push(peer(number), bytes([0x93, 2, kind]) + body)

    def heard(self, kind: Kind) -> list[bytes]:
        found = []
        while True:
            try:
                payload = self.transport.received.receive_nowait().payload
            except trio.WouldBlock:
                return found
            if payload[2] == kind:
                found.append(payload[3:])


@asynccontextmanager
async def open_watchers(
    *numbers: int, network: MemoryNetwork, relays: frozenset[PeerId] = frozenset()
) -> AsyncIterator[list[Watcher]]:
    members = make_operator_set()
    watchers = [
        Watcher(number, network.transport(peer(number)), members, relays=relays) for number in numbers
    ]
    async with trio.open_nursery() as nursery:
        for watcher in watchers:
            nursery.start_soon(watcher.run)
        await wait_all_tasks_blocked()
        yield watchers
        nursery.cancel_scope.cancel()


def alert_number(number: int) -> Alert:
    return make_alert(slot=make_slot(anchor_number=number))


async def sign_all(watchers: list[Watcher], alerts: int, *, first: int = 1) -> None:
    for number in range(first, first + alerts):
        for watcher in watchers:
            await watcher.sign(alert_number(number))


def is_level(watchers: list[Watcher], alerts: int) -> bool:
    full = compute_signers(OperatorIndex(watcher.number) for watcher in watchers)
    return all(
        len(held) == alerts and all(signers == full for signers in held.values())
        for held in (watcher.holds() for watcher in watchers)
    )


# --- a lost message may delay, never lose


async def test_a_network_that_lost_every_push_and_all_of_pubsub_is_level_within_five_seconds(
    autojump_clock: MockClock,
) -> None:
    outage = 0.0
    network = MemoryNetwork(loses=lambda *_: trio.current_time() < outage)
    async with open_watchers(*ALL, network=network) as watchers:
        outage = trio.current_time() + AWAY_SECONDS
        await sign_all(watchers, alerts=10)
        await wait_all_tasks_blocked()
        assert all(signers.bit_count() == 1 for watcher in watchers for signers in watcher.holds().values())

        await trio.sleep(AWAY_SECONDS + LEVEL_SECONDS)

        assert is_level(watchers, alerts=10)
        assert [watcher.banned() for watcher in watchers] == [()] * len(watchers)


async def test_a_watcher_that_was_away_for_long_is_level_within_five_seconds(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    async with open_watchers(*ALL, network=network) as watchers:
        late, others = watchers[0], watchers[1:]
        for other in others:
            network.cut(late.transport.peer_id, other.transport.peer_id)
        await sign_all(others, alerts=8)
        await trio.sleep(AWAY_SECONDS)
        assert late.holds() == {}

        for other in others:
            network.heal(late.transport.peer_id, other.transport.peer_id)
        await trio.sleep(LEVEL_SECONDS)

        assert late.holds() == others[0].holds()
        assert len(late.holds()) == 8
        assert late.room.statistics().refused == {}


async def test_one_neighbour_is_enough_to_learn_what_all_said(autojump_clock: MockClock) -> None:
    """The others are gone for good: what they signed is had from whoever holds it."""
    network = MemoryNetwork()
    async with open_watchers(*ALL, network=network) as watchers:
        late, neighbour, gone = watchers[0], watchers[1], watchers[2:]
        for other in watchers[1:]:
            network.cut(late.transport.peer_id, other.transport.peer_id)
        await sign_all(watchers[1:], alerts=8)
        await wait_all_tasks_blocked()
        for other in gone:
            network.stop(other.transport.peer_id)

        network.heal(late.transport.peer_id, neighbour.transport.peer_id)
        await trio.sleep(LEVEL_SECONDS)

        assert late.holds() == neighbour.holds()
        assert len(late.holds()) == 8
        assert late.banned() == neighbour.banned() == ()


@pytest.mark.parametrize("seed", range(4))
async def test_heavy_loss_delays_and_bans_nobody(seed: int, autojump_clock: MockClock) -> None:
    chance = random.Random(seed)
    network = MemoryNetwork(loses=lambda *_: chance.random() < 0.5)
    async with open_watchers(*ALL, network=network) as watchers:
        await sign_all(watchers, alerts=5)

        with trio.fail_after(120):
            while not is_level(watchers, alerts=5):  # noqa: ASYNC110 - the clock jumps
                await trio.sleep(1)

        assert [watcher.banned() for watcher in watchers] == [()] * len(watchers)


async def test_more_alerts_than_inventories_hold_are_levelled_too(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(reconciliation, "MAX_ENTRIES", 4)
    monkeypatch.setattr(reconciler, "MAX_ENTRIES", 4)
    network = MemoryNetwork(loses=lambda _sender, _receiver, _path: trio.current_time() < 1)
    async with open_watchers(0, 1, network=network) as (first, second):
        for number in range(1, 61):
            first.tally.add([make_attestation(alert_number(number), operator_index=0)], NOW)
        await trio.sleep(1)

        with trio.fail_after(30):
            while first.holds() != second.holds():  # noqa: ASYNC110 - the clock jumps
                await trio.sleep(1)

        assert len(second.holds()) == 60


async def test_where_all_hold_the_same_a_round_costs_one_short_frame_a_peer(
    autojump_clock: MockClock,
) -> None:
    async with open_watchers(0, 1, network=MemoryNetwork()) as watchers:
        await sign_all(watchers, alerts=5)
        await trio.sleep(10)
        before = [watcher.room.statistics().reconciled for watcher in watchers]

        await trio.sleep(60)

        for watcher, then in zip(watchers, before, strict=True):
            now = watcher.room.statistics().reconciled
            assert now is not None
            assert then is not None
            assert now.rounds >= then.rounds + 20
            assert now.summaries_equal >= then.summaries_equal + 20
            assert (now.inventories_sent, now.wants_sent) == (then.inventories_sent, then.wants_sent)


async def test_a_signature_that_the_tally_cannot_use_is_not_asked_for_again_and_again(
    autojump_clock: MockClock,
) -> None:
    """Two peers hold different pairs of an equivocator's digests: each lacks one that it will never count."""
    network = MemoryNetwork()
    async with open_watchers(0, 1, network=network) as (first, second):
        forks = [make_alert(evidence_hash=bytes([n]) * 32) for n in range(1, 4)]
        for watcher, chosen in ((first, forks[:2]), (second, forks[1:])):
            watcher.tally.add([make_attestation(each, operator_index=2) for each in chosen], NOW)

        await trio.sleep(120)

        assert first.banned() == second.banned() == ()
        assert second.refused() == {Reason.EQUIVOCATION: pytest.approx(2, abs=1)}


async def test_what_is_held_as_a_sum_alone_is_pulled_as_a_sum(autojump_clock: MockClock) -> None:
    async with open_watchers(0, 1, network=MemoryNetwork()) as (first, second):
        partials = [as_partial(make_attestation(operator_index=index)) for index in (2, 3, 4)]
        first.tally.add([merge(partials)], NOW)
        first.tally.add([make_attestation(operator_index=5)], NOW)
        taken: list[PartialCertificate] = []

        async def take(partial: PartialCertificate, _received: Received) -> None:
            taken.append(partial)

        second.room.serve(Kind.PARTIAL_CERTIFICATE, decode=decode_partial, take=take)
        await trio.sleep(LEVEL_SECONDS)

        assert [compute_signers([2, 3, 4]) & each.signers for each in taken] == [0b11100]
        assert second.holds() == {make_alert().digest(): compute_signers([5])}


async def test_a_watcher_that_was_away_is_level_over_real_hosts() -> None:
    """What 0 and the absent 2 to 6 signed reaches 1, which comes late and knows 0 alone."""
    async with (
        open_host(make_config(0)) as first,
        open_host(make_config(1)) as second,
        trio.open_nursery() as nursery,
    ):
        hosts = [first, second]
        operators = make_operator_set().operators
        named = [replace(each, peer_id=host.peer_id) for each, host in zip(operators, hosts, strict=False)]
        members = replace(make_operator_set(), operators=(*named, *operators[2:]))
        here, late = (Watcher(number, host, members) for number, host in enumerate(hosts))
        alerts = [make_alert(members, slot=make_slot(anchor_number=number)) for number in range(20)]
        nursery.start_soon(here.run)
        for alert in alerts:
            await here.sign(alert)
            here.tally.add([make_attestation(alert, operator_index=index) for index in range(2, 7)], NOW)

        nursery.start_soon(late.run, book_of(hosts))

        await eventually(lambda: late.holds() == here.holds())
        assert [signers.bit_count() for signers in late.holds().values()] == [6] * 20
        assert late.banned() == here.banned() == ()
        nursery.cancel_scope.cancel()


# --- hostile peers


async def open_answer(hostile: Hostile, alert: Alert, indices: tuple[int, ...]) -> bytes:
    """What a peer asks of us after we have told it that we hold these."""
    entries = (Entry(digest=alert.digest(), signers=compute_signers(map(OperatorIndex, indices))),)
    with trio.fail_after(LEVEL_SECONDS):
        while not (summaries := hostile.heard(Kind.SUMMARY)):  # noqa: ASYNC110 - the clock jumps
            await trio.sleep(0.1)
    bits = reconciliation.decode_summary(summaries[-1]).bits
    bucket = reconciliation.compute_bucket(alert.digest(), bits)
    listed = Inventory(bits=bits, bucket=bucket, entries=entries)
    await hostile.push(0, Kind.INVENTORY, reconciliation.encode_inventory(listed))
    await wait_all_tasks_blocked()
    return b"".join(hostile.heard(Kind.WANT))


@asynccontextmanager
async def one_victim() -> AsyncIterator[tuple[Watcher, Hostile]]:
    network = MemoryNetwork()
    hostile = Hostile(6, network)
    await hostile.transport.register({peer(0): ()})
    async with open_watchers(0, network=network) as (victim,):
        yield victim, hostile


def answer_of(alert: Alert, *signed_by: tuple[int, int]) -> bytes:
    """Signatures of operators by whatever keys."""
    pairs = tuple(
        (OperatorIndex(index), make_signature(key, alert.digest()).compressed) for index, key in signed_by
    )
    return reconciliation.encode_signatures(reconciliation.Signatures(alert=alert, signatures=pairs))


async def test_signatures_that_were_asked_for_count_whoever_hands_them_over(
    autojump_clock: MockClock,
) -> None:
    async with one_victim() as (victim, hostile):
        assert await open_answer(hostile, make_alert(), (2, 3))

        await hostile.push(0, Kind.SIGNATURES, answer_of(make_alert(), (2, 2), (3, 3)))
        await wait_all_tasks_blocked()

        assert victim.holds() == {make_alert().digest(): 0b1100}


async def test_who_hands_over_a_forgery_answers_for_it_and_the_named_operator_does_not(
    autojump_clock: MockClock,
) -> None:
    async with one_victim() as (victim, hostile):
        for number in range(1, 5):
            alert = alert_number(number)
            assert victim.banned() == ()
            assert await open_answer(hostile, alert, (2,))
            await hostile.push(0, Kind.SIGNATURES, answer_of(alert, (2, 5)))
            await wait_all_tasks_blocked()

        assert victim.holds() == {}
        assert victim.refused() == {Reason.BAD_SIGNATURE: 4}
        assert victim.banned() == (peer(6),)


@pytest.mark.parametrize("asked", [(), (2,)])
async def test_signatures_that_nobody_asked_for_are_refused_and_end_in_a_ban(
    asked: tuple[int, ...], autojump_clock: MockClock
) -> None:
    async with one_victim() as (victim, hostile):
        if asked:
            await open_answer(hostile, make_alert(), asked)

        for _ in range(20):
            await hostile.push(0, Kind.SIGNATURES, answer_of(make_alert(), (2, 2), (3, 3)))
        await wait_all_tasks_blocked()

        assert victim.holds() == {}
        assert victim.refused()[Reason.UNASKED] == 20
        assert victim.banned() == (peer(6),)


async def test_an_answer_is_taken_once(autojump_clock: MockClock) -> None:
    async with one_victim() as (victim, hostile):
        await open_answer(hostile, make_alert(), (2,))

        for _ in range(2):
            await hostile.push(0, Kind.SIGNATURES, answer_of(make_alert(), (2, 2)))
        await wait_all_tasks_blocked()

        assert victim.refused() == {Reason.UNASKED: 1}


async def test_inventories_that_answer_nothing_end_in_a_ban(autojump_clock: MockClock) -> None:
    entry = Entry(digest=make_alert().digest(), signers=Signers(1))
    body = reconciliation.encode_inventory(Inventory(bits=0, bucket=0, entries=(entry,)))
    async with one_victim() as (victim, hostile):
        await trio.sleep(60)  # as many summaries as may be open have been told
        for _ in range(reconciler.MAX_INVENTORIES_AWAITED + 20):
            await hostile.push(0, Kind.INVENTORY, body)
        await wait_all_tasks_blocked()

        assert victim.refused() == {Reason.UNASKED: 20}
        assert victim.banned() == (peer(6),)


async def test_answers_to_several_summaries_that_come_late_are_no_fault(autojump_clock: MockClock) -> None:
    entry = Entry(digest=make_alert().digest(), signers=Signers(1))
    body = reconciliation.encode_inventory(Inventory(bits=0, bucket=0, entries=(entry,)))
    async with one_victim() as (victim, hostile):
        await trio.sleep(8)
        heard = len(hostile.heard(Kind.SUMMARY))
        for _ in range(heard * reconciler.INVENTORIES_PER_SUMMARY):
            await hostile.push(0, Kind.INVENTORY, body)
        await wait_all_tasks_blocked()

        assert heard >= 3
        assert victim.refused() == {}


async def test_useless_questions_end_in_a_ban(autojump_clock: MockClock) -> None:
    want = Want(entries=(Entry(digest=Digest(b"\7" * 32), signers=Signers(1)),))
    async with one_victim() as (victim, hostile):
        for _ in range(100):
            await hostile.push(0, Kind.WANT, reconciliation.encode_want(want))
        await wait_all_tasks_blocked()

        assert victim.refused()[Reason.USELESS_WANT] == reconciler.QUESTIONS.message_burst
        assert victim.refused()[Reason.QUESTIONS_OVER_BUDGET] > 0
        assert victim.banned() == (peer(6),)


async def test_a_flood_of_summaries_ends_in_a_ban(autojump_clock: MockClock) -> None:
    body = reconciliation.encode_summary(Summary(bits=6, roots=(b"\7" * 16,) * 64))
    async with one_victim() as (victim, hostile):
        await victim.sign(make_alert())
        for _ in range(200):
            await hostile.push(0, Kind.SUMMARY, body)
        await wait_all_tasks_blocked()

        assert victim.refused()[Reason.QUESTIONS_OVER_BUDGET] >= 100
        assert victim.banned() == (peer(6),)


async def test_what_one_peer_is_answered_has_a_bound(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(reconciler, "ANSWERS", replace(reconciler.ANSWERS, message_burst=40))
    async with one_victim() as (victim, hostile):
        await sign_all([victim], alerts=10)
        every = tuple(
            Entry(digest=digest, signers=Signers(1)) for digest in sorted(victim.tally.open_digests())
        )
        await wait_all_tasks_blocked()
        hostile.heard(Kind.SIGNATURES)

        for _ in range(10):
            await hostile.push(0, Kind.WANT, reconciliation.encode_want(Want(entries=every)))
        await wait_all_tasks_blocked()

        assert len(hostile.heard(Kind.SIGNATURES)) == reconciler.ANSWERS.message_burst
        assert victim.refused() == {}
        statistics = victim.room.statistics().reconciled
        assert statistics is not None
        assert (statistics.answers_sent, statistics.answers_withheld) == (40, 6)


async def test_a_peer_that_promises_and_does_not_deliver_only_delays(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(loses=lambda *_: trio.current_time() < 1)
    hostile = Hostile(6, network)
    await hostile.transport.register({peer(0): (), peer(1): ()})
    async with open_watchers(0, 1, network=network) as (victim, honest):
        honest.tally.add([make_attestation(operator_index=1)], NOW)
        await trio.sleep(1)

        async def promise() -> None:
            while True:
                await open_answer(hostile, make_alert(), (1,))
                await trio.sleep(0.05)

        with trio.move_on_after(10):
            await promise()

        assert victim.holds() == honest.holds() == {make_alert().digest(): 0b10}


# --- what was asked of whom


D = Digest(b"\1" * 32)
BOTH = Signers(0b11)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nobody_else_is_asked_for_the_same_until_patience_is_over() -> None:
    clock = Clock()
    asked = Asked(clock)

    assert asked.choose(peer(1), D, Signers(0b01)) == 0b01
    assert asked.choose(peer(2), D, BOTH) == 0b10
    clock.now += PATIENCE_SECONDS
    assert asked.choose(peer(3), D, BOTH) == BOTH


def test_who_did_not_answer_is_passed_over_for_a_while() -> None:
    clock = Clock()
    asked = Asked(clock)
    asked.choose(peer(1), D, BOTH)

    clock.now += SILENCE_SECONDS - 1
    assert asked.choose(peer(1), D, BOTH) == 0
    clock.now += 1
    assert asked.choose(peer(1), D, BOTH) == BOTH


def test_an_answer_comes_in_parts_each_once_and_in_time() -> None:
    clock = Clock()
    asked = Asked(clock)
    asked.choose(peer(1), D, BOTH)

    assert not asked.answered(peer(2), D, Signers(0b01))
    assert not asked.answered(peer(1), D, Signers(0b111))
    assert asked.answered(peer(1), D, Signers(0b01))
    assert not asked.answered(peer(1), D, Signers(0b01))
    clock.now += ANSWERABLE_SECONDS
    assert not asked.answered(peer(1), D, Signers(0b10))


def test_what_rests_is_not_asked_for() -> None:
    clock = Clock()
    asked = Asked(clock)
    asked.rest(D, Signers(0b01))
    asked.rest(D, Signers(0b10))

    assert asked.choose(peer(1), D, Signers(0b111)) == 0b100
    clock.now += ANSWERABLE_SECONDS
    assert asked.choose(peer(2), D, BOTH) == BOTH


def test_questions_have_a_bound() -> None:
    asked = Asked(Clock(), max_digests=10)
    for number in range(100):
        asked.choose(peer(1), Digest(bytes([number]) * 32), BOTH)

    assert len(asked) == 10
    assert asked.answered(peer(1), Digest(bytes([99]) * 32), BOTH)
    assert not asked.answered(peer(1), Digest(bytes([89]) * 32), BOTH)


async def test_an_inventory_that_is_too_long_lists_the_newest_and_some_of_the_others(
    autojump_clock: MockClock,
) -> None:
    entries = [
        (Seconds(number), Entry(digest=Digest(number.to_bytes(32, "big")), signers=Signers(1)))
        for number in range(1_000)
    ]
    async with one_victim() as (victim, _):
        compare = victim.room._reconciler
        assert compare is not None

        listed = [
            {int.from_bytes(each.digest, "big") for each in compare._list(entries, 0, 0).entries}
            for _ in range(40)
        ]

        assert all(len(each) == 256 and each >= set(range(872, 1_000)) for each in listed)
        assert len(set.union(*listed)) >= 990
