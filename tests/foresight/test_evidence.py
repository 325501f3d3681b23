"""Transactions that alerts are about: asked of who signed, then of all, and never taken unasked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.pending_evidence import (
    MAX_TRANSACTION_BYTES,
    Given,
    PendingEvidence,
    Wanted,
    decode_pending_evidence,
    encode_pending_evidence,
)
from node.foresight import evidence
from node.foresight.evidence import GIVEN_PER_PEER, GIVEN_SECONDS, WAIT_SECONDS, EvidenceDesk

TOO_LONG = MAX_TRANSACTION_BYTES + 1
RAW = b"\x02 a transaction"
SUBJECT = keccak256(RAW)


class Wire:
    """What a desk sends, and a desk."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, PendingEvidence]] = []
        self.desk = EvidenceDesk(push=self._push, publish=self._publish)
        self.on_send: Callable[[str, PendingEvidence], None] = lambda _to, _what: None

    async def _push(self, peer: str, what: PendingEvidence) -> None:
        self.sent.append((peer, what))
        self.on_send(peer, what)

    async def _publish(self, what: PendingEvidence) -> None:
        await self._push("everybody", what)


async def test_the_signer_is_asked_first_and_what_it_gives_is_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wire = Wire()
    async with trio.open_nursery() as nursery:
        wire.on_send = lambda _to, _what: nursery.start_soon(wire.desk.take, Given(RAW), "signer")

        assert await wire.desk.fetch(SUBJECT, "signer") == RAW

    assert wire.sent == [("signer", Wanted(SUBJECT))]
    assert trio.current_time() == 0


async def test_then_everybody_is_asked_and_then_it_is_missed(autojump_clock: trio.testing.MockClock) -> None:
    wire = Wire()

    with pytest.raises(Unavailable, match="no member gives"):
        await wire.desk.fetch(SUBJECT, "signer")

    assert [to for to, _ in wire.sent] == ["signer", "everybody", "everybody"]
    assert trio.current_time() == sum(WAIT_SECONDS)
    assert (wire.desk.statistics().missed, wire.desk.statistics().wanted) == (1, 0)


async def test_nothing_is_taken_unasked_and_another_transaction_is_not_the_one() -> None:
    wire = Wire()

    with pytest.raises(Refused) as refused:
        await wire.desk.take(Given(RAW), "peer")

    assert refused.value.reason is Reason.UNASKED_EVIDENCE
    assert wire.desk.statistics().held == 0


async def test_a_second_answer_to_what_was_asked_is_late_and_costs_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wire = Wire()
    with pytest.raises(Unavailable):
        await wire.desk.fetch(SUBJECT, None)

    await wire.desk.take(Given(RAW), "peer")

    assert wire.desk.statistics().held == 0


async def test_two_who_need_it_ask_once(autojump_clock: trio.testing.MockClock) -> None:
    wire, got = Wire(), list[bytes]()

    async def fetch() -> None:
        got.append(await wire.desk.fetch(SUBJECT, "signer"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        nursery.start_soon(fetch)
        await trio.testing.wait_all_tasks_blocked()
        await wire.desk.take(Given(RAW), "signer")

    assert (got, len(wire.sent)) == ([RAW, RAW], 1)


async def test_who_lacks_it_gets_what_is_held_so_often_and_not_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    wire = Wire()
    wire.desk.hold(RAW)

    for _ in range(GIVEN_PER_PEER + 1):
        await wire.desk.take(Wanted(SUBJECT), "greedy")
    await wire.desk.take(Wanted(SUBJECT), "other")
    await wire.desk.take(Wanted(keccak256(b"unknown")), "other")

    assert [to for to, _ in wire.sent].count("greedy") == GIVEN_PER_PEER
    assert ("other", Given(RAW)) in wire.sent
    assert wire.desk.statistics().withheld == 1
    await trio.sleep(GIVEN_SECONDS + 0.1)
    await wire.desk.take(Wanted(SUBJECT), "greedy")
    assert [to for to, _ in wire.sent].count("greedy") == GIVEN_PER_PEER + 1


async def test_what_is_held_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_HELD_BYTES", 100)
    wire = Wire()

    for number in range(20):
        wire.desk.hold(bytes([number]) * 30)

    assert wire.desk.statistics().held_bytes <= 100
    await wire.desk.take(Wanted(keccak256(bytes([19]) * 30)), "peer")
    assert len(wire.sent) == 1


async def test_no_more_than_so_many_are_asked_for_at_a_time(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(evidence, "MAX_WANTED", 1)
    wire = Wire()
    async with trio.open_nursery() as nursery:

        async def fetch(raw: bytes) -> None:
            with pytest.raises(Unavailable):
                await wire.desk.fetch(keccak256(raw), None)

        nursery.start_soon(fetch, b"one")
        nursery.start_soon(fetch, b"two")

    assert len({what for _, what in wire.sent}) == 1


# --- on the wire


@pytest.mark.parametrize("what", [Wanted(SUBJECT), Given(RAW), Given(bytes(MAX_TRANSACTION_BYTES))], ids=repr)
def test_what_is_written_is_read_again(what: PendingEvidence) -> None:
    assert decode_pending_evidence(encode_pending_evidence(what)) == what


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.TRUNCATED),
        (b"\x92\x01", Reason.TRUNCATED),
        (encode_pending_evidence(Given(RAW)) + b"\x00", Reason.TRAILING_BYTES),
        (b"\x91\x01", Reason.WRONG_LENGTH),
        (b"\x01", Reason.WRONG_LENGTH),
        (b"\x92\xc3\xc4\x01a", Reason.WRONG_LENGTH),
        (b"\x92\x03\xc4\x01a", Reason.MALFORMED),
        (b"\x92\x01\xc4\x01a", Reason.WRONG_LENGTH),
        (b"\x92\x02\xc4\x00", Reason.OVERSIZED),
        (b"\x92\x02\x05", Reason.WRONG_TYPE),
        (b"\x92\x02\xc5\x00\x01a", Reason.NOT_CANONICAL),
        (b"\x92\x02\x81\x01\x02", Reason.MALFORMED),
        (b"\x92\x02\xc6" + TOO_LONG.to_bytes(4) + bytes(TOO_LONG), Reason.MALFORMED),
    ],
)
def test_what_is_no_evidence_is_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        decode_pending_evidence(data)

    assert refused.value.reason is reason
