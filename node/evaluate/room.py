"""The room: views of blocks in, alerts out; questions of other members answered from our own view.

Every block is evaluated in order. What cannot be read is asked for again a few times, then left as unknown:
logged, counted, and never taken for an answer. Rules that wait for another room have a room of their own, to
which a block comes when that room is done with it; a question that comes earlier waits, within a bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
import trio

from consensus.alert import Alert
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockHash, ChainId, PolicyHash, SlotId
from node.evaluate.engine import Engine
from node.evaluate.findings import Finding, Question, Unknown
from node.evaluate.outlet import Membership, Outlet
from node.evaluate.views import Block, View

MAX_WAITING = 64  # questions about blocks that another room has yet to look into
RETRY_SECONDS = (0.1, 0.3, 0.9)  # an endpoint that has not seen the block yet; one block time in all

_log = structlog.get_logger("evaluate")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStatistics:
    """Counts since the start; `unknown` by reason."""

    blocks: int
    alerts: int
    questions: int
    waiting: int
    waited_in_vain: int
    unknown: Mapping[Reason, int]


class EvaluationRoom:
    """Evaluates every policy of one chain. `membership` is asked at each finding, since sets change."""

    def __init__(
        self,
        *,
        engines: tuple[Engine, ...],
        membership: Callable[[], Membership],
        alerts: trio.MemorySendChannel[Alert],
    ) -> None:
        self._engines = engines
        self._outlet = Outlet(membership=membership, alerts=alerts)
        self._turn = trio.Lock()  # a block and a question about it are looked into one after the other
        self._waiting: OrderedDict[Question, None] = OrderedDict()
        self._blocks = self._asked = self._waited_in_vain = 0
        self._unknown = self._outlet.unknown

    @property
    def policies(self) -> frozenset[PolicyHash]:
        """The policies that questions may be about."""
        return frozenset(engine.policy.hash for engine in self._engines)

    def judges(self, question: Question) -> bool:
        """Whether the rule that a question is about is judged here."""
        return any(_is_about(question, engine) for engine in self._engines)

    def is_ready(self, block: Block) -> bool:
        """Whether an engine here waits for nothing more that another room has to say of a block."""
        return any(not engine.waits_for(block) for engine in self._engines)

    def statistics(self) -> RoomStatistics:
        return RoomStatistics(
            blocks=self._blocks,
            alerts=self._outlet.raised,
            questions=self._asked,
            waiting=len(self._waiting),
            waited_in_vain=self._waited_in_vain,
            unknown=dict(self._unknown),
        )

    def forget(self, slot_id: SlotId) -> None:
        """Raise this slot anew when its block is evaluated again: what was raised was not signed."""
        self._outlet.forget(slot_id)

    async def evaluate(self, view: View) -> None:
        """Every rule of every policy at this block; each finding leaves as an alert, once."""
        async with self._turn:
            await self._evaluate(view)
            await self._answer_waiting(view)

    async def look_back(self, view: View) -> None:
        """Questions alone that waited for this block, which is too old to be evaluated for itself."""
        async with self._turn:
            await self._answer_waiting(view)

    async def _evaluate(self, view: View) -> None:
        self._blocks += 1
        for engine in self._engines:
            if engine.waits_for(view.ref):
                continue
            said = await engine.evaluate(view)
            for pause in RETRY_SECONDS:
                if not any(_is_resolvable(each) for each in said):
                    break
                await trio.sleep(pause)
                said = await engine.evaluate(view)
            for each in said:
                await self._say(engine, each)

    async def answer(
        self, question: Question, open_view: Callable[[ChainId, BlockHash], Awaitable[View]]
    ) -> None:
        """Evaluate the rule that a member saw fire, at the block that it named; raise what we see there."""
        self._asked += 1
        engine = self._find(question)
        if engine is None:
            # a member may sign any pair of policy and chain: one that does not belong together asks nothing
            self._unknown[Reason.WRONG_POLICY] += 1
            _log.warning(
                "question.unanswered", reason=Reason.WRONG_POLICY, block_number=question.anchor_number
            )
            return
        try:
            view = await open_view(question.chain_id, question.anchor_hash)
        except (Refused, Unavailable) as error:
            self._give_up(question, error)
            return
        async with self._turn:
            if engine.waits_for(view.ref):
                self._wait(question)
            else:
                await self._answer(engine, question, view)

    def _find(self, question: Question) -> Engine | None:
        """The engine that judges the rule, or another of the policy, to say that there is no such rule."""
        engines = [engine for engine in self._engines if engine.policy.hash == question.policy_hash]
        return next((engine for engine in engines if _is_about(question, engine)), next(iter(engines), None))

    def _wait(self, question: Question) -> None:
        """Keep a question until its block has been looked into; the oldest makes room."""
        self._waiting[question] = None
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
            self._waited_in_vain += 1
        _log.info("question.waits", rule=question.rule_id, block_number=question.anchor_number)

    async def _answer_waiting(self, view: View) -> None:
        for question in [each for each in self._waiting if each.anchor_hash == view.ref.hash]:
            engine = self._find(question)
            if engine is not None and not engine.waits_for(view.ref):
                del self._waiting[question]
                await self._answer(engine, question, view)

    async def _answer(self, engine: Engine, question: Question, view: View) -> None:
        try:
            said = await engine.answer(question, view)
        except (Refused, Unavailable) as error:
            self._give_up(question, error)
            return
        if said is None:
            _log.warning("question.denied", rule=question.rule_id, block_number=question.anchor_number)
        else:
            await self._say(engine, said)

    def _give_up(self, question: Question, error: Refused | Unavailable) -> None:
        reason = error.reason if isinstance(error, Refused) else Reason.SOURCE_UNAVAILABLE
        self._unknown[reason] += 1
        _log.warning(
            "question.unanswered", reason=reason, detail=str(error), block_number=question.anchor_number
        )

    async def _say(self, engine: Engine, said: Finding | Unknown) -> None:
        await self._outlet.say(engine.policy, said)


def _is_about(question: Question, engine: Engine) -> bool:
    return engine.policy.hash == question.policy_hash and engine.judges(question.rule_id)


def _is_resolvable(said: Finding | Unknown) -> bool:
    return isinstance(said, Unknown) and said.reason is Reason.SOURCE_UNAVAILABLE
