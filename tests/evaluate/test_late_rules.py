"""Rules that wait for another room: the others do not wait with them, and a question waits for its block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio

from consensus.alert import Alert, Level, compute_rule_id
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId, RuleId, Seconds
from node.evaluate.engine import Engine, make_engines
from node.evaluate.expressions import Undefined
from node.evaluate.findings import Finding, Question, Unknown
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.policy import Policy, parse_policy
from node.evaluate.room import MAX_WAITING, EvaluationRoom, Membership
from node.evaluate.views import Block, View
from tests.consensus.factories import NETWORK_ID, make_operator_set
from tests.evaluate.policies import make_policy_text
from tests.evaluate.recorded import GENESIS_TIME, RecordedBlock, RecordedChain, RecordedView, make_chain

RULES = """
  plain: {kind: expression, when: x > 100, cooldown_blocks: 0, actions: []}
  waits: {kind: expression, when: y > 0, cooldown_blocks: 0, actions: []}
  waits-too: {kind: expression, when: y > 1 and x > 0, cooldown_blocks: 0, actions: []}
  waits-longer: {kind: expression, when: y > 2 and z > 0, cooldown_blocks: 0, actions: []}
"""


class Numbers:
    """What another room has found out so far, by block hash."""

    hardest = Level.PAUSE
    remedy = ""

    def __init__(self) -> None:
        self.known: dict[BlockHash, int] = {}

    def knows(self, block: Block) -> bool:
        return block.hash in self.known

    async def read(self, view: View) -> int | Undefined:
        if view.ref.hash not in self.known:
            raise Unavailable(f"block {view.ref.number} is not known yet")
        return self.known[view.ref.hash]

    def form(self) -> Mapping[str, object]:
        return {"numbers": 1}


class Stage:
    """Five blocks at which x is 101, and two other rooms that say y and z."""

    def __init__(self) -> None:
        head = make_policy_text().partition("rules:")[0].replace("signals:", "signals:\n  z: {balance: pool}")
        policy = parse_policy(f"{head}rules:{RULES}".encode())
        self.y, self.z = Numbers(), Numbers()
        signals = tuple(each for each in policy.signals if each.name == "x")
        looked_up = tuple(LookedUpSignal(name=name, values=getattr(self, name)) for name in "yz")
        self.policy: Policy = replace(policy, signals=signals + looked_up)
        plain = replace(policy, signals=signals)
        self.chain: RecordedChain
        self.blocks: list[RecordedBlock]
        self.chain, self.blocks = make_chain(plain, [{"x": value} for value in (0, 101, 101, 101, 101)])
        self.prompt, self.late = make_engines(self.policy)
        self.alerts_in, self.alerts = trio.open_memory_channel[Alert](64)
        operators = make_operator_set(capture_time=GENESIS_TIME - 9, valid_until=GENESIS_TIME + 10**7)
        membership = Membership(
            network_id=NETWORK_ID, operator_sets=(operators,), activation_delay=Seconds(0)
        )
        self.room = EvaluationRoom(engines=self.late, membership=lambda: membership, alerts=self.alerts_in)

    def view(self, number: int) -> RecordedView:
        return self.chain.view(self.blocks[number])

    async def open_view(self, _chain_id: ChainId, block_hash: BlockHash) -> RecordedView:
        return self.chain.view(self.chain.blocks[block_hash])

    def know(self, numbers: Numbers, *values: int) -> None:
        numbers.known = {block.hash: value for block, value in zip(self.blocks, values, strict=False)}

    def question(self, rule: str, number: int, **changes: Any) -> Question:
        block = self.blocks[number]
        fields: dict[str, Any] = {
            "policy_hash": self.policy.hash,
            "rule_id": compute_rule_id(rule),
            "chain_id": block.chain_id,
            "anchor_number": block.number,
            "anchor_hash": block.hash,
        }
        return Question(**(fields | changes))

    def raised(self) -> list[tuple[RuleId, int]]:
        raised = []
        while self.alerts.statistics().current_buffer_used:
            alert = self.alerts.receive_nowait()
            raised.append((alert.slot.rule_id, alert.slot.anchor_number))
        return raised


def names(engine: Engine) -> list[str]:
    return [rule.name for rule in engine.rules]


def test_rules_are_grouped_by_what_they_wait_for() -> None:
    stage = Stage()

    assert [names(engine) for engine in stage.prompt] == [["plain"]]
    assert [names(engine) for engine in stage.late] == [["waits", "waits-too"], ["waits-longer"]]


async def test_rules_that_wait_for_nothing_are_judged_at_once() -> None:
    stage = Stage()
    (engine,) = stage.prompt

    said = await engine.evaluate(stage.view(1))

    assert not engine.waits_for(stage.blocks[1])
    assert [(type(each), each.rule) for each in said] == [(Finding, "plain")]


async def test_a_rule_is_judged_when_all_that_it_reads_is_known() -> None:
    stage = Stage()
    stage.know(stage.y, 0, 3)
    await stage.room.evaluate(stage.view(1))
    first = stage.raised()

    stage.know(stage.z, 0, 1)
    await stage.room.evaluate(stage.view(1))

    assert first == [(compute_rule_id(rule), 1) for rule in ("waits", "waits-too")]
    assert stage.raised() == [(compute_rule_id("waits-longer"), 1)], "what was said is not said again"
    assert stage.room.statistics().unknown == {}


async def test_an_engine_that_is_asked_too_early_says_that_it_does_not_know() -> None:
    stage = Stage()

    said = await stage.late[0].evaluate(stage.view(1))

    assert all(isinstance(each, Unknown) and each.reason is Reason.SOURCE_UNAVAILABLE for each in said)
    assert len(said) == 2


async def test_a_rule_does_not_fire_while_its_parent_is_not_known() -> None:
    stage = Stage()
    stage.y.known = {stage.blocks[2].hash: 1}

    said = await stage.late[0].evaluate(stage.view(2))

    assert [(type(each), each.rule) for each in said] == [(Unknown, "waits")], "it may have been true before"


async def test_an_engine_does_not_answer_for_the_rules_of_another() -> None:
    stage = Stage()

    with pytest.raises(Refused, match="judged by another engine") as caught:
        await stage.prompt[0].answer(stage.question("waits", 1), stage.view(1))

    assert caught.value.reason is Reason.UNKNOWN_RULE
    assert stage.room.judges(stage.question("waits", 1))
    assert not stage.room.judges(stage.question("plain", 1))


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_question_waits_until_its_block_is_known(is_live: bool) -> None:
    stage = Stage()
    stage.know(stage.y, 0)
    await stage.room.answer(stage.question("waits", 1), stage.open_view)
    assert (stage.raised(), stage.room.statistics().waiting) == ([], 1)

    stage.know(stage.y, 0, 1)
    await stage.room.look_back(stage.view(0))
    assert stage.raised() == []
    await (stage.room.evaluate if is_live else stage.room.look_back)(stage.view(1))

    assert stage.raised() == [(compute_rule_id("waits"), 1)]
    assert stage.room.statistics().waiting == 0


async def test_a_block_that_is_looked_back_at_raises_nothing_that_nobody_asked_about() -> None:
    stage = Stage()
    stage.know(stage.y, 0, 2)
    stage.know(stage.z, 0, 1)

    await stage.room.look_back(stage.view(1))

    assert stage.raised() == []


async def test_a_question_that_waited_may_be_denied() -> None:
    stage = Stage()
    await stage.room.answer(stage.question("waits", 1), stage.open_view)
    stage.know(stage.y, 0, 0)

    await stage.room.look_back(stage.view(1))

    assert (stage.raised(), stage.room.statistics().waiting) == ([], 0)


async def test_so_many_questions_wait_and_the_oldest_makes_room() -> None:
    stage = Stage()
    parent = stage.blocks[-1]
    for _ in range(MAX_WAITING + 3):
        parent = stage.chain.extend(parent, {})
        question = stage.question(
            "waits", 1, anchor_number=BlockNumber(parent.number), anchor_hash=parent.hash
        )
        await stage.room.answer(question, stage.open_view)
        await stage.room.answer(question, stage.open_view)

    statistics = stage.room.statistics()
    assert (statistics.waiting, statistics.waited_in_vain) == (MAX_WAITING, 3)
