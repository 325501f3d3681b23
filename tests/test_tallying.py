"""The task around the tally: what it tells on, to whom, and how often it lets itself be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

import node.tallying
from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.certificate import Certificate
from consensus.errors import Reason
from consensus.partial import Contribution
from consensus.tally import Tally
from consensus.types import BlockNumber, Digest, OperatorIndex, PolicyHash, Seconds
from node.evaluate.findings import Question
from node.tallying import MAX_OPEN_QUESTIONS, Tallying
from tests.consensus.factories import (
    EXPIRES_AT,
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_slot,
)

OURS = make_slot().policy_hash
QUESTIONS = 16


class Desk:
    """A tallying task of seven operators, and all its neighbours in the hands of the test."""

    def __init__(self) -> None:
        self.now = NOW
        self.blamed: list[tuple[Attestation, Reason]] = []
        self.learned: list[Digest] = []
        self.settled: list[Digest] = []
        self.heard: list[Contribution] = []
        self.incoming, self._incoming_out = trio.open_memory_channel[Attestation](64)
        certificates_in, self.certificates = trio.open_memory_channel[Certificate](64)
        questions_in, self.questions = trio.open_memory_channel[Question](QUESTIONS)
        tally = Tally(NETWORK_ID)
        tally.add_operator_set(make_operator_set())
        self.tallying = Tallying(
            tally,
            now=self._clock,
            policies=frozenset({OURS}),
            certificates=certificates_in,
            questions=questions_in,
            blame=self._blame,
            learned=self.learned.append,
            settled=self.settled.append,
            heard=self.heard.append,
        )

    async def run(self) -> None:
        await self.tallying.run(self._incoming_out)

    async def count(self, *attestations: Attestation) -> None:
        """They come in one burst; returns when they are dealt with."""
        for attestation in attestations:
            self.incoming.send_nowait(attestation)
        await trio.testing.wait_all_tasks_blocked()

    def grown(self) -> list[Certificate]:
        """The certificates that were told on since the last look."""
        return drain(self.certificates)

    def asked(self) -> list[Question]:
        """The questions that were raised since the last look."""
        return drain(self.questions)

    def _clock(self) -> Seconds:
        return self.now

    async def _blame(self, attestation: Attestation, reason: Reason) -> None:
        self.blamed.append((attestation, reason))


def drain(channel: trio.MemoryReceiveChannel) -> list:  # type: ignore[type-arg]
    values = []
    while True:
        try:
            values.append(channel.receive_nowait())
        except trio.WouldBlock:
            return values


@asynccontextmanager
async def tallying() -> AsyncIterator[Desk]:
    desk = Desk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        yield desk
        nursery.cancel_scope.cancel()


def make_alert_at(block: int) -> Alert:
    """An alert of our policy about that block."""
    return make_alert(
        slot=make_slot(anchor_number=BlockNumber(block), anchor_hash=make_bytes32(f"anchor {block}"))
    )


async def test_a_certificate_leaves_as_soon_as_it_is_good_for_a_level_and_again_whenever_it_grows() -> None:
    async with tallying() as desk:
        await desk.count(make_attestation(operator_index=0), make_attestation(operator_index=1))
        assert desk.grown() == []

        for index in (2, 3, 4):
            await desk.count(make_attestation(operator_index=index))

        assert [certificate.signed_weight for certificate in desk.grown()] == [3_000, 4_000, 5_000]


async def test_a_burst_is_told_of_once() -> None:
    async with tallying() as desk:
        await desk.count(*(make_attestation(operator_index=index) for index in range(7)))

        assert [certificate.signed_weight for certificate in desk.grown()] == [7_000]


async def test_gossip_may_rest_once_two_thirds_have_signed_and_not_before() -> None:
    async with tallying() as desk:
        await desk.count(*(make_attestation(operator_index=index) for index in range(4)))
        assert desk.settled == []

        await desk.count(make_attestation(operator_index=4))

        assert desk.settled == [make_alert().digest()]


async def test_a_bad_signature_is_charged_to_its_sender_and_the_honest_count() -> None:
    stolen = replace(make_attestation(operator_index=5), operator_index=OperatorIndex(6))
    async with tallying() as desk:
        await desk.count(*(make_attestation(operator_index=index) for index in range(3)), stolen)

        assert desk.blamed == [(stolen, Reason.BAD_SIGNATURE)]
        assert [certificate.signed_weight for certificate in desk.grown()] == [3_000]
        assert desk.tallying.statistics().refused == 1


async def test_a_duplicate_costs_nobody_anything() -> None:
    async with tallying() as desk:
        await desk.count(make_attestation(), make_attestation())
        await desk.count(make_attestation())

        assert desk.blamed == []
        assert desk.tallying.statistics().duplicates == 2
        assert desk.tallying.statistics().counted == 1


async def test_two_signatures_for_one_slot_are_proven() -> None:
    other = make_alert(evidence_hash=make_bytes32("another view"))
    async with tallying() as desk:
        await desk.count(make_attestation(), make_attestation(other))

        assert desk.tallying.statistics().equivocations == 1


async def test_what_expired_by_the_chains_time_is_refused() -> None:
    async with tallying() as desk:
        desk.now = Seconds(EXPIRES_AT + 1)
        await desk.count(make_attestation())

        assert [reason for _, reason in desk.blamed] == [Reason.ALERT_EXPIRED]
        assert desk.asked() == []


async def test_what_a_member_saw_and_we_did_not_is_asked_once() -> None:
    slot = make_slot()
    async with tallying() as desk:
        await desk.count(make_attestation(operator_index=0))
        await desk.count(make_attestation(operator_index=1), make_attestation(operator_index=2))

        (question,) = desk.asked()
        assert question == Question(
            policy_hash=slot.policy_hash,
            rule_id=slot.rule_id,
            chain_id=slot.source_chain_id,
            anchor_number=slot.anchor_number,
            anchor_hash=slot.anchor_hash,
        )
        desk.tallying.answered(question)
        await desk.count(make_attestation(operator_index=3))
        assert desk.asked() == []


async def test_nobody_asks_whether_we_see_what_we_raised_ourselves() -> None:
    async with tallying() as desk:
        desk.tallying.raised_here(make_alert().digest())
        await desk.count(make_attestation())

        assert desk.asked() == []


async def test_a_policy_that_we_do_not_watch_is_counted_and_not_asked_about() -> None:
    foreign = make_alert(slot=make_slot(policy_hash=PolicyHash(make_bytes32("another policy"))))
    async with tallying() as desk:
        await desk.count(*(make_attestation(foreign, index) for index in range(5)))

        assert desk.asked() == []
        assert [certificate.signed_weight for certificate in desk.grown()] == [5_000]


async def test_a_forged_attestation_asks_nothing() -> None:
    async with tallying() as desk:
        await desk.count(replace(make_attestation(operator_index=1), operator_index=OperatorIndex(0)))

        assert desk.asked() == []


async def test_one_operators_claims_are_looked_into_a_few_at_a_time_and_anothers_still_at_once() -> None:
    async with tallying() as desk:
        await desk.count(*(make_attestation(make_alert_at(block)) for block in range(MAX_OPEN_QUESTIONS + 3)))
        asked = desk.asked()
        assert len(asked) == MAX_OPEN_QUESTIONS
        assert desk.tallying.statistics().questions_dropped == 3

        await desk.count(make_attestation(make_alert_at(1_000), operator_index=1))
        assert [question.anchor_number for question in desk.asked()] == [1_000]

        desk.tallying.answered(asked[0])
        await desk.count(make_attestation(make_alert_at(2_000)))
        assert [question.anchor_number for question in desk.asked()] == [2_000]


async def test_a_dropped_claim_is_asked_about_when_the_next_member_makes_it() -> None:
    async with tallying() as desk:
        await desk.count(*(make_attestation(make_alert_at(block)) for block in range(MAX_OPEN_QUESTIONS + 1)))
        desk.asked()

        await desk.count(make_attestation(make_alert_at(MAX_OPEN_QUESTIONS), operator_index=1))

        assert [question.anchor_number for question in desk.asked()] == [MAX_OPEN_QUESTIONS]


async def test_when_evaluation_does_not_keep_up_claims_are_dropped_and_counting_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node.tallying, "MAX_OPEN_QUESTIONS", 10**6)
    async with tallying() as desk:
        await desk.count(*(make_attestation(make_alert_at(block)) for block in range(QUESTIONS + 2)))

        assert desk.tallying.statistics().questions == QUESTIONS
        assert desk.tallying.statistics().questions_dropped == 2
        assert desk.tallying.statistics().counted == QUESTIONS + 2


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.tallying, "MAX_REMEMBERED", 2)
    first = make_alert_at(1)
    async with tallying() as desk:
        for alert in (first, make_alert_at(2), make_alert_at(3)):
            desk.tallying.raised_here(alert.digest())
        await desk.count(make_attestation(first))

        assert len(desk.asked()) == 1, "the oldest was forgotten: it is looked into once more"


async def test_what_is_signed_is_heard_once_and_a_forgery_never() -> None:
    forged = replace(make_attestation(operator_index=1), operator_index=OperatorIndex(2))

    async with tallying() as desk:
        await desk.count(make_attestation(operator_index=0), forged)
        await desk.count(make_attestation(operator_index=0))

    assert desk.heard == [make_attestation(operator_index=0)]
