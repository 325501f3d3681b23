"""The room: every block judged, silence asked again, questions answered by our own view only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
import trio.testing

from consensus.alert import Alert, compute_rule_id
from consensus.errors import Reason, Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId, PolicyHash, RuleId, Seconds
from node.evaluate.engine import Engine
from node.evaluate.findings import Question
from node.evaluate.outlet import Membership
from node.evaluate.policy import Policy
from node.evaluate.room import RETRY_SECONDS, EvaluationRoom
from tests.consensus.factories import NETWORK_ID, make_bytes32, make_operator_set
from tests.evaluate.policies import make_policy
from tests.evaluate.recorded import GENESIS_TIME, RecordedBlock, RecordedChain, RecordedView, make_chain


class Stage:
    """A room over a recorded chain. `values` is what x is at each block; the rule fires above 100."""

    def __init__(self, values: Sequence[int], *, capture_time: int = GENESIS_TIME - 1_000) -> None:
        self.policy: Policy = make_policy("x > 100")
        self.chain: RecordedChain
        self.blocks: list[RecordedBlock]
        self.chain, self.blocks = make_chain(self.policy, [{"x": value} for value in values])
        self._alerts_in, self.alerts = trio.open_memory_channel[Alert](16)
        operator_set = make_operator_set(capture_time=capture_time, valid_until=capture_time + 10**7)
        self.membership = Membership(
            network_id=NETWORK_ID, operator_sets=(operator_set,), activation_delay=Seconds(0)
        )
        self.room = EvaluationRoom(
            engines=(Engine(self.policy),), membership=lambda: self.membership, alerts=self._alerts_in
        )
        self.opened: list[BlockHash] = []

    async def evaluate(self, number: int) -> None:
        await self.room.evaluate(self.chain.view(self.blocks[number]))

    async def answer(self, question: Question) -> None:
        await self.room.answer(question, self.open_view)

    async def open_view(self, _chain_id: ChainId, block_hash: BlockHash) -> RecordedView:
        self.opened.append(block_hash)
        if block_hash not in self.chain.blocks:
            raise Unavailable("no source has that block")
        return self.chain.view(self.chain.blocks[block_hash])

    def question(self, number: int, **changes: object) -> Question:
        """What a member that saw the rule fire there makes us ask."""
        block = self.blocks[number]
        fields: dict[str, object] = {
            "policy_hash": self.policy.hash,
            "rule_id": compute_rule_id("watch"),
            "chain_id": block.chain_id,
            "anchor_number": block.number,
            "anchor_hash": block.hash,
        }
        return Question(**(fields | changes))  # type: ignore[arg-type]

    def raised(self) -> list[Alert]:
        """The alerts that left since the last look."""
        alerts = []
        while True:
            try:
                alerts.append(self.alerts.receive_nowait())
            except trio.WouldBlock:
                return alerts


@asynccontextmanager
async def evaluating(stage: Stage, number: int) -> AsyncIterator[None]:
    """Evaluation of a block, while the block of the `with` runs; done when it is left."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.evaluate, number)
        await trio.testing.wait_all_tasks_blocked()
        yield


async def test_a_finding_leaves_as_an_alert_of_that_block_and_the_set_active_then() -> None:
    stage = Stage([0, 101])

    await stage.evaluate(0)
    await stage.evaluate(1)

    (alert,) = stage.raised()
    assert alert.slot.anchor_hash == stage.blocks[1].hash
    assert alert.observed_at == stage.blocks[1].timestamp
    assert alert.epoch == stage.membership.operator_sets[0].epoch
    assert alert.network_id == NETWORK_ID


async def test_a_source_that_comes_back_within_the_retries_is_no_unknown(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage([0, 101])
    stage.chain.silent.add(stage.blocks[1].hash)

    async with evaluating(stage, 1):
        assert stage.raised() == []
        stage.chain.silent.clear()

    assert len(stage.raised()) == 1
    assert stage.room.statistics().unknown == {}


async def test_a_source_that_stays_away_leaves_an_unknown_and_no_alert(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage([0, 101, 102])
    stage.chain.silent.add(stage.blocks[1].hash)

    began = trio.current_time()
    await stage.evaluate(1)

    assert stage.raised() == []
    assert stage.room.statistics().unknown == {Reason.SOURCE_UNAVAILABLE: 1}
    assert trio.current_time() - began == sum(RETRY_SECONDS), "a few times, then the next block has its turn"


async def test_what_the_chain_itself_leaves_undefined_is_not_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage([0, 101])
    stage.blocks[1] = stage.chain.extend(stage.blocks[0], {}, branch="no contract there")

    began = trio.current_time()
    await stage.evaluate(1)

    assert trio.current_time() == began
    assert stage.room.statistics().unknown == {Reason.SIGNAL_UNDEFINED: 1}


async def test_a_slot_that_was_raised_is_not_raised_again_by_whatever_way() -> None:
    stage = Stage([0, 101])

    await stage.evaluate(1)
    await stage.evaluate(1)
    await stage.answer(stage.question(1))

    assert len(stage.raised()) == 1
    assert stage.room.statistics().alerts == 1


async def test_a_question_is_answered_with_the_very_alert_that_the_block_would_have_raised() -> None:
    asked, seen = Stage([0, 101]), Stage([0, 101])

    await asked.answer(asked.question(1))
    await seen.evaluate(1)

    assert asked.raised() == seen.raised() != []


async def test_what_our_own_view_denies_is_not_raised_whoever_signed_it() -> None:
    stage = Stage([0, 100])

    await stage.answer(stage.question(1))

    assert stage.raised() == []
    assert stage.room.statistics().questions == 1


async def test_a_question_that_cannot_be_answered_changes_nothing() -> None:
    stage = Stage([0, 101])
    elsewhere = BlockHash(make_bytes32("a block that nobody has"))

    for question in (
        stage.question(1, anchor_hash=elsewhere),
        stage.question(1, anchor_number=BlockNumber(7)),
        stage.question(1, rule_id=RuleId(make_bytes32("a rule that nobody wrote"))),
    ):
        await stage.answer(question)

    assert stage.raised() == []
    assert stage.room.statistics().unknown == {
        Reason.SOURCE_UNAVAILABLE: 1,
        Reason.ANCHOR_MISMATCH: 1,
        Reason.UNKNOWN_RULE: 1,
    }


async def test_a_policy_of_another_chain_is_refused_before_anything_is_read() -> None:
    stage = Stage([0, 101])

    await stage.answer(stage.question(1, policy_hash=PolicyHash(make_bytes32("another room's policy"))))

    assert stage.opened == []
    assert stage.room.statistics().unknown == {Reason.WRONG_POLICY: 1}


async def test_a_source_that_is_silent_about_the_anchor_leaves_the_question_unknown() -> None:
    stage = Stage([0, 101])
    stage.chain.silent.add(stage.blocks[1].hash)

    await stage.answer(stage.question(1))

    assert stage.raised() == []
    assert stage.room.statistics().unknown == {Reason.SOURCE_UNAVAILABLE: 1}


async def test_before_the_first_epoch_is_active_nothing_is_raised_and_it_is_counted() -> None:
    stage = Stage([0, 101], capture_time=GENESIS_TIME + 10**6)

    await stage.evaluate(1)

    assert stage.raised() == []
    assert stage.room.statistics().unknown == {Reason.UNKNOWN_EPOCH: 1}
