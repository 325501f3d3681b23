"""Operators find one another by signed announcements; relays are let in, and may only pull."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from consensus import reconciliation
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import NetworkId
from node.gossip import addresses as announcing
from node.gossip.addresses import (
    AddressBook,
    Announcement,
    announce,
    decode_announcement,
    dialable,
    encode_announcement,
    require_signed,
)
from node.gossip.exchange import AddressExchange
from node.gossip.frames import MAX_BODY_BYTES, Kind
from node.gossip.hardening import _place_of
from node.gossip.host import open_host
from node.gossip.identity import Identity, is_signed_by
from node.gossip.memory import MemoryNetwork
from node.gossip.transport import Addresses, Path, PeerId, Received
from tests.consensus.factories import NETWORK_ID, NOW, make_attestation, make_operator_set
from tests.gossip.harness import address_of, eventually, make_config, make_seed
from tests.gossip.test_reconciler import Hostile, Watcher, open_watchers
from tests.gossip.test_room import peer

HERE = Identity(make_seed(0))
THERE = Identity(make_seed(1))
HOME = ("/ip4/192.0.2.1/tcp/4601",)
MOVED = ("/dns4/watcher.example/tcp/4601", "/ip6/2001:db8::1/tcp/4601")


def make(identity: Identity = HERE, *, sequence: int = 7, addresses: Addresses = HOME) -> Announcement:
    return announce(identity, NETWORK_ID, sequence=sequence, addresses=addresses)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


# --- one announcement


def test_an_announcement_comes_back_as_it_was_sent() -> None:
    for each in (make(), make(addresses=MOVED), make(sequence=2**64 - 1)):
        assert decode_announcement(encode_announcement(each)) == each
        require_signed(each)


def test_the_longest_announcement_fits_its_frame() -> None:
    longest = tuple(f"/dns4/{letter * 55}.{letter * 55}/tcp/65535" for letter in "abcd")

    assert (
        len(encode_announcement(make(addresses=longest, sequence=2**64 - 1))) <= MAX_BODY_BYTES[Kind.ADDRESS]
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_canonical(data: bytes) -> None:
    try:
        assert encode_announcement(decode_announcement(data)) == data
    except Refused:
        return


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 8},
        {"addresses": MOVED},
        {"network_id": NetworkId(b"\7" * 32)},
        {"peer_id": THERE.peer_id},
        {"signature": bytes(64)},
    ],
)
def test_whatever_is_changed_is_not_signed(change: dict[str, Any]) -> None:
    assert reason_of(lambda: require_signed(replace(make(), **change))) is Reason.FORGED_ANNOUNCEMENT


@pytest.mark.parametrize("peer_id", ["", "no peer id", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"])
def test_nobody_signs_for_an_id_that_holds_no_key(peer_id: str) -> None:
    assert not is_signed_by(PeerId(peer_id), b"data", bytes(64))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "no multiaddr",
        "/ip4/192.0.2.1",
        "/ip4/192.0.2.1/udp/4601",
        "/ip4/0.0.0.0/tcp/4601",
        "/ip6/::/tcp/4601",
        "/ip4/192.0.2.1/tcp/4601/ws",
        f"/ip4/192.0.2.1/tcp/4601/p2p/{THERE.peer_id}",
        "/unix/socket",
    ],
)
def test_what_cannot_be_dialed_is_not_announced(address: str) -> None:
    assert reason_of(lambda: make(addresses=(address,))) is Reason.ADDRESS_INVALID
    assert dialable([address]) == (("/ip4/192.0.2.1/tcp/4601",) if "p2p" in address else ())


@pytest.mark.parametrize("count", [0, announcing.MAX_ADDRESSES + 1])
def test_an_announcement_has_one_to_four_addresses(count: int) -> None:
    assert reason_of(lambda: make(addresses=HOME * count)) is Reason.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (1, "text", Reason.MALFORMED),
        (1, 7, Reason.WRONG_TYPE),
        (1, b"x" * 97, Reason.OVERSIZED),
        (1, b"\xff", Reason.ADDRESS_INVALID),
        (2, -1, Reason.OUT_OF_RANGE),
        (3, b"x", Reason.WRONG_TYPE),
        (3, [b"/ip4/192.0.2.1/tcp/1" + b" " * 128], Reason.OVERSIZED),
        (4, b"short", Reason.WRONG_LENGTH),
    ],
)
def test_what_breaks_the_form_is_refused(place: int, value: Any, reason: Reason) -> None:
    fields = msgpack.unpackb(encode_announcement(make()))
    fields[place] = value

    assert reason_of(lambda: decode_announcement(msgpack.packb(fields))) is reason


def test_unknown_fields_and_longer_forms_are_refused() -> None:
    fields = msgpack.unpackb(encode_announcement(make()))

    assert reason_of(lambda: decode_announcement(msgpack.packb([*fields, 1]))) is Reason.WRONG_LENGTH
    longer = encode_announcement(make()).replace(b"\x07\x91", b"\xcc\x07\x91")
    assert reason_of(lambda: decode_announcement(longer)) is Reason.NOT_CANONICAL


# --- the book


def test_the_newest_counts_and_an_old_one_played_again_does_not() -> None:
    book = AddressBook()
    book.keep_only([HERE.peer_id])

    assert book.take(make(sequence=7))
    assert not book.take(make(sequence=7, addresses=MOVED))
    assert not book.take(make(sequence=6, addresses=MOVED))
    assert book.take(make(sequence=8, addresses=MOVED))
    assert book.all() == (make(sequence=8, addresses=MOVED),)


def test_only_operators_are_kept() -> None:
    book = AddressBook()
    book.keep_only([HERE.peer_id])
    book.take(make())

    assert reason_of(lambda: book.take(make(THERE))) is Reason.STRANGER_AUTHOR
    book.keep_only([THERE.peer_id])
    assert book.all() == ()


def test_a_forgery_is_refused_and_what_was_known_stays() -> None:
    book = AddressBook()
    book.keep_only([HERE.peer_id])
    book.take(make())

    forged = replace(make(sequence=9, addresses=MOVED), signature=make().signature)
    assert reason_of(lambda: book.take(forged)) is Reason.FORGED_ANNOUNCEMENT
    assert book.all() == (make(),)


# --- the exchange


class Told:
    """What an exchange would send, and what it learned."""

    def __init__(self, *, addresses: Addresses = HOME, sequence: int = 5) -> None:
        self.published: list[Announcement] = []
        self.pushed: list[tuple[PeerId, Announcement]] = []
        self.learned: dict[PeerId, Addresses] = {}
        self.exchange = AddressExchange(
            HERE,
            network_id=NETWORK_ID,
            addresses=addresses,
            sequence=sequence,
            publish=self._publish,
            push=self._push,
            learn=self.learned.__setitem__,
        )
        self.exchange.keep_only([HERE.peer_id, THERE.peer_id])

    async def _publish(self, kind: Kind, body: bytes) -> None:
        assert kind is Kind.ADDRESS
        self.published.append(decode_announcement(body))

    async def _push(self, peer_id: PeerId, kind: Kind, body: bytes) -> None:
        assert kind is Kind.ADDRESS
        self.pushed.append((peer_id, decode_announcement(body)))

    async def take(self, announcement: Announcement) -> None:
        received = Received(peer_id=THERE.peer_id, payload=b"", path=Path.DIRECT)
        await self.exchange.take(announcement, received)


async def test_a_peer_that_connects_is_told_of_us_and_of_the_others() -> None:
    told = Told()
    await told.take(make(THERE))

    await told.exchange.greet(peer(9))
    await told.exchange.greet(THERE.peer_id)

    ours = make(sequence=5)
    assert told.pushed == [(peer(9), ours), (peer(9), make(THERE)), (THERE.peer_id, ours)]
    assert told.learned == {THERE.peer_id: HOME}


async def test_who_cannot_be_dialed_announces_nothing(autojump_clock: MockClock) -> None:
    told = Told(addresses=())
    with trio.move_on_after(2_000):
        await told.exchange.run()

    assert told.published == []


async def test_announcements_are_repeated(autojump_clock: MockClock) -> None:
    told = Told()
    with trio.move_on_after(1_250):
        await told.exchange.run()

    assert told.published == [make(sequence=5)] * 3


async def test_an_announcement_of_ours_from_a_clock_ahead_is_outbid() -> None:
    told = Told(sequence=5)

    await told.take(make(sequence=4, addresses=MOVED))
    assert told.published == []
    await told.take(make(sequence=1_000, addresses=MOVED))
    assert told.published == [make(sequence=1_001)]
    await told.take(make(sequence=1_001))
    assert len(told.published) == 1


async def test_a_forged_announcement_in_our_name_moves_nothing() -> None:
    told = Told()
    forged = replace(make(THERE, sequence=2**63), peer_id=HERE.peer_id)

    with pytest.raises(Refused) as refused:
        await told.take(forged)

    assert refused.value.reason is Reason.FORGED_ANNOUNCEMENT
    assert told.published == []


async def test_an_announcement_for_another_network_is_refused() -> None:
    alien = announce(THERE, NetworkId(b"\7" * 32), sequence=1, addresses=HOME)

    with pytest.raises(Refused) as refused:
        await Told().take(alien)

    assert refused.value.reason is Reason.WRONG_NETWORK


def members_of(identities: list[Identity]) -> OperatorSet:
    operators = make_operator_set((1_000,) * len(identities)).operators
    named = [replace(each, peer_id=who.peer_id) for each, who in zip(operators, identities, strict=True)]
    return replace(make_operator_set((1_000,) * len(identities)), operators=tuple(named))


async def test_one_bootstrap_is_enough_to_find_all_the_others_over_real_hosts() -> None:
    """1 and 2 know the address of 0 alone; 1 and 2 find each other by what they announce."""
    identities = [Identity(make_seed(number)) for number in range(3)]
    members = members_of(identities)
    async with (
        open_host(make_config(0)) as first,
        open_host(make_config(1)) as second,
        open_host(make_config(2)) as third,
        trio.open_nursery() as nursery,
    ):
        for identity, host in zip(identities, (first, second, third), strict=True):
            watcher = Watcher(0, host, members)
            watcher.room.exchange_addresses(identity, addresses=dialable(host.listening_on), sequence=1)
            book = {} if host is first else {first.peer_id: (address_of(first),)}
            nursery.start_soon(watcher.run, book)

        await eventually(lambda: third.peer_id in second.connected and second.peer_id in third.connected)
        nursery.cancel_scope.cancel()


# --- relays


async def test_a_relay_pulls_what_operators_hold(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(loses=lambda _sender, _receiver, path: path is Path.PUBSUB)
    async with open_watchers(0, network=network, relays=frozenset({peer(50)})) as (watcher,):
        relay = Watcher(50, network.transport(peer(50)), watcher.members)
        watcher.tally.add([make_attestation(operator_index=index) for index in range(7)], NOW)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run)
            await trio.sleep(5)

            assert relay.holds() == watcher.holds() != {}
            assert watcher.banned() == ()
            assert watcher.transport.statistics().relays == (peer(50),)
            assert watcher.transport.connected == ()
            nursery.cancel_scope.cancel()


async def test_a_relay_that_says_anything_else_is_refused_and_banned(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    relay = Hostile(50, network)
    await relay.transport.register({peer(0): ()})
    async with open_watchers(0, network=network, relays=frozenset({peer(50)})) as (watcher,):
        summary = reconciliation.encode_summary(reconciliation.compute_summary([], 0))
        await relay.push(0, Kind.SUMMARY, summary)
        await wait_all_tasks_blocked()
        assert watcher.refused() == {}

        for _ in range(10):
            await relay.push(0, Kind.RETRACTION, b"\x90")
        await wait_all_tasks_blocked()

        assert watcher.refused() == {Reason.RELAY_SPOKE: 10}
        assert watcher.banned() == (peer(50),)


async def test_a_relay_is_pushed_nothing_that_it_did_not_ask_for(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    relay = Hostile(50, network)
    await relay.transport.register({peer(0): ()})
    async with open_watchers(0, network=network, relays=frozenset({peer(50)})) as (watcher,):
        await watcher.sign(make_attestation().alert)
        await trio.sleep(30)

        paths = set()
        while relay.transport.received.statistics().current_buffer_used:
            paths.add(relay.transport.received.receive_nowait().path)
        assert paths == {Path.PUBSUB}


async def test_a_relay_that_becomes_an_operator_speaks_as_one(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    async with open_watchers(0, 1, network=network, relays=frozenset({peer(1)})) as (watcher, other):
        await other.sign(make_attestation(operator_index=1).alert)
        await wait_all_tasks_blocked()

        assert watcher.holds() == {make_attestation().digest(): 0b10}


# --- connections


@pytest.mark.parametrize(
    ("remote", "place"),
    [
        ("/ip4/192.0.2.1/tcp/9", "192.0.2.1"),
        ("/ip6/2001:db8::1/tcp/9", "2001:db8::/64"),
        ("/ip6/2001:db8::ffff:1/tcp/9", "2001:db8::/64"),
    ],
)
def test_one_customer_is_one_address(remote: str, place: str) -> None:
    assert _place_of(announcing.Multiaddr(remote)) == place
