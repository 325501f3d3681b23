"""The room: mempools in, alerts out; members' questions answered by running the transaction ourselves.

    mempools ─► pool ─► admission ─► runner ─► judge ─► alert, with the transaction's hash as its subject
    question ─► evidence (ours, or a member's) ─┘

A rule that names a detection waits a little until that has judged the block; what it is asked about then is
run by endpoints that trace.

An own finding leaves once for each rule and transaction, as long as its alert lives, and `MAX_RAISED` leave
for each rule and block: an alert costs every member a signature, a row in its journal and an evaluation, and
all of them ask for the same actions. A question costs its member one of its open questions (the tally bounds
them); `MAX_ANSWERED` are answered yes for each rule and block. So whoever fills a mempool with exploits makes
each watcher sign at most that often.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockHash, ChainId, PolicyHash, Seconds, SlotId
from node.chain.signed import SignedTransaction, parse_signed
from node.chain.types import BlockRef
from node.detect.levels import Levels
from node.evaluate.findings import Anchor, Finding, Question
from node.evaluate.outlet import Outlet
from node.evaluate.policy import ForeseenRule, PendingDetectionRule, PendingRule, Policy
from node.foresight.admission import Standing
from node.foresight.evidence import EvidenceDesk, Peer
from node.foresight.eyes import Eyes
from node.foresight.judge import concerns_detection, judge, judge_by_detection, levels_of
from node.foresight.pool import PendingPool
from node.foresight.runner import Runner
from node.observe.mempool import MempoolFollower
from node.pending import PendingTransaction, Simulation
from node.trace import Account

POLL_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
"""Between polls of a mempool that gives no answer."""
MAX_RAISED: Final = 4
MAX_ANSWERED: Final = 64
MAX_QUESTIONS: Final = 64
"""That wait for a transaction, or for their turn; more are dropped and counted."""
ANSWERERS: Final = 8
"""Questions that are looked into at a time: most of that is waiting for a transaction."""
MAX_REMEMBERED: Final = 4_096
DETECTION_SECONDS: Final = 4.0
"""For a detection to judge the block that a transaction is run at; a third of an Ethereum block."""

_log = structlog.get_logger("foresight")

Ruled = tuple[Policy, ForeseenRule]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForesightStatistics:
    """Counts since the start, and what is held."""

    held: int
    seen: int
    run: int
    raised: int
    over_limit: int
    """Findings that were not raised or answered since as many were at that block."""
    unknown: int
    """Runs whose outcome cannot be told."""
    passed_over: int
    questions: int
    questions_dropped: int
    unread_mempools: int
    entry_points: int
    """Functions of new contracts that were run."""
    entry_points_drain: int
    """Those that would drain a contract of ours."""
    entry_points_unknown: int
    """Runs whose outcome cannot be told."""
    newcomers_unseen: int
    """Blocks whose new contracts were not looked at, and contracts beyond those that are looked at."""
    unfounded: int
    """Announcements over websockets that led to no transaction; the polls beneath tell of them."""
    reconnects: int
    """Times that a mempool's websocket broke."""


class ForesightRoom:
    """Runs the pending transactions of one chain by the rules of kind `pending` of its policies."""

    def __init__(
        self,
        *,
        chain_id: ChainId,
        policies: Sequence[Policy],
        eyes: Eyes,
        outlet: Outlet,
        desk: EvidenceDesk,
        answered: Callable[[Question], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`answered` is told of each question that was dealt with."""
        self._chain_id = chain_id
        self._rules: tuple[Ruled, ...] = tuple(
            (policy, rule)
            for policy in policies
            if policy.source_chain_id == chain_id
            for rule in policy.pending_rules
        )
        self._policies = {policy.hash: policy for policy, _ in self._rules}
        self._eyes = eyes
        self._outlet = outlet
        self._desk = desk
        self._answered = answered
        self._poll_seconds = poll_seconds
        self._pool = PendingPool(eyes.watched)
        self._head: BlockRef | None = None
        self._awake = trio.Event()
        self._judged = trio.Event()
        self._waited_at: BlockHash | None = None
        self._ask, self._asked = trio.open_memory_channel[tuple[Question, Peer | None]](MAX_QUESTIONS)
        self._raised: OrderedDict[tuple[PolicyHash, str, bytes], tuple[Seconds, SlotId]] = OrderedDict()
        self._at_block: OrderedDict[tuple[BlockHash, PolicyHash, str, int], int] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._unread: set[int] = set()

    def statistics(self) -> ForesightStatistics:
        """What it has come to so far."""
        counts, newcomers = self._counts, self._eyes.newcomers.statistics()
        return ForesightStatistics(
            held=len(self._pool),
            seen=counts["seen"],
            run=counts["run"],
            raised=counts["raised"],
            over_limit=counts["over_limit"],
            unknown=counts["unknown"],
            passed_over=self._pool.passed_over + sum(each.passed_over for each in self._eyes.mempools),
            questions=counts["questions"],
            questions_dropped=counts["dropped"],
            unread_mempools=len(self._unread),
            entry_points=newcomers.run,
            entry_points_drain=newcomers.drains,
            entry_points_unknown=newcomers.unknown,
            newcomers_unseen=newcomers.unseen,
            unfounded=sum(each.unfounded for each in self._eyes.mempools),
            reconnects=sum(each.reconnects for each in self._eyes.mempools),
        )

    def judges(self, question: Question) -> bool:
        """Whether the question is about a transaction, and one of the policies here."""
        return any(question.subject) and question.policy_hash in self._policies

    def head(self, ref: BlockRef) -> None:
        """A new block: everything that may still come is run again on its state."""
        self._head = ref
        self._awake.set()
        self._eyes.newcomers.head(ref)

    def judged(self) -> None:
        """A detection has judged another block."""
        self._judged.set()
        self._judged = trio.Event()

    def ask(self, question: Question, signer: Peer | None) -> None:
        """Look into what a member signed; `signer` is where its transaction is asked for first."""
        self._counts["questions"] += 1
        try:
            self._ask.send_nowait((question, signer))
        except trio.WouldBlock:
            self._drop(question, Refused(Reason.TALLY_FULL, "too many questions wait for transactions"))

    def forget(self, slot_id: SlotId) -> None:
        """What was raised for this slot was not signed: it may be raised anew."""
        self._outlet.forget(slot_id)
        for key in [key for key, (_, raised) in self._raised.items() if raised == slot_id]:
            del self._raised[key]

    async def run(self) -> None:
        """Follow, run and answer until cancelled."""
        async with trio.open_nursery() as nursery:
            for place, mempool in enumerate(self._eyes.mempools):
                nursery.start_soon(mempool.listen)
                nursery.start_soon(self._hear, mempool)
                nursery.start_soon(self._follow, place, mempool)
            nursery.start_soon(self._run_all)
            nursery.start_soon(self._eyes.newcomers.run)
            for _ in range(ANSWERERS):
                nursery.start_soon(self._answer_all)

    # --- what our own mempools show

    async def _follow(self, place: int, mempool: MempoolFollower) -> None:
        pause_seconds = self._poll_seconds
        while True:
            try:
                found = await mempool.poll_signed()
            except Unavailable as error:
                if place not in self._unread:  # once, until it answers again
                    self._unread.add(place)
                    _log.warning(
                        "mempool.unread",
                        chain_id=self._chain_id,
                        detail=f"{error}; pending transactions are seen by the other endpoints, or in their "
                        "block",
                    )
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = self._poll_seconds
                self._unread.discard(place)
                self._take_in(found)
            await trio.sleep(pause_seconds)

    async def _hear(self, mempool: MempoolFollower) -> None:
        """What is announced, at once. What cannot be read is left to `_follow`."""
        while True:
            heard = await mempool.hear_signed()
            if heard is not None:
                self._take_in((heard,))

    def _take_in(self, found: Sequence[SignedTransaction]) -> None:
        self._counts["seen"] += len(found)
        self._pool.add(found)
        if found:
            self._awake.set()

    async def _run_all(self) -> None:
        while True:
            await self._awake.wait()
            self._awake = trio.Event()
            while self._head is not None:
                signed = self._pool.take_next(self._head)
                if signed is None:
                    break
                await self._run_own(signed, self._head)

    async def _run_own(self, signed: SignedTransaction, at: BlockRef) -> None:
        try:
            standing = await self._eyes.standing_of(signed, at)
            if standing in (Standing.PAST, Standing.FOREIGN):
                self._pool.drop(signed.hash)
            if standing is not Standing.MINABLE:
                return
            for ruled in self._rules_by_wait():
                for (policy, rule), finding in await self._look(signed, at, ruled):
                    await self._raise(policy, rule, finding, signed)
            self._counts["run"] += 1
        except Refused:
            self._pool.drop(signed.hash)  # no block's state lets it in as it is
        except Unavailable as error:
            self._count_unknown(signed, at, error)

    def _rules_by_wait(self) -> Iterator[Sequence[Ruled]]:
        """What can be said at once first."""
        yield [each for each in self._rules if isinstance(each[1], PendingRule)]
        yield [each for each in self._rules if isinstance(each[1], PendingDetectionRule)]

    async def _raise(
        self, policy: Policy, rule: ForeseenRule, finding: Finding, signed: SignedTransaction
    ) -> None:
        key = (policy.hash, rule.name, signed.hash)
        if key in self._raised and finding.anchor.timestamp < self._raised[key][0]:
            return
        if not self._may_say(policy, rule, finding, most=MAX_RAISED):
            return
        self._desk.hold(signed.raw)  # before anybody can ask for it
        alert = await self._outlet.say(policy, finding)
        if alert is None:
            return
        self._counts["raised"] += 1
        self._raised[key] = (alert.expires_at, alert.slot_id())
        while len(self._raised) > MAX_REMEMBERED:
            self._raised.popitem(last=False)

    def _count_unknown(self, signed: SignedTransaction, at: BlockRef, error: Unavailable) -> None:
        self._counts["unknown"] += 1
        self._outlet.unknown[Reason.SOURCE_UNAVAILABLE] += 1
        # strangers decide how many there are: they are told one by one to whoever looks that closely
        _log.debug("pending.unknown", subject=signed.hash, block_number=at.number, detail=str(error))

    # --- what members ask

    async def _answer_all(self) -> None:
        async for question, signer in self._asked:
            try:
                await self._answer(question, signer)
            except (Refused, Unavailable) as error:
                self._drop(question, error)
            else:
                self._answered(question)

    async def _answer(self, question: Question, signer: Peer | None) -> None:
        policy = self._policies[question.policy_hash]
        rule = policy.pending_rule(question.rule_id)
        if question.chain_id != self._chain_id:
            raise Refused(
                Reason.WRONG_CHAIN, f"{policy.name} is about chain {self._chain_id}, not {question.chain_id}"
            )
        at = await self._eyes.block_of(question.anchor_hash)
        if at.number != question.anchor_number:
            raise Refused(
                Reason.ANCHOR_MISMATCH, f"{at} is named as block {question.anchor_number} by the question"
            )
        signed = await self._find(question.subject, signer)
        standing = await self._eyes.standing_of(signed, at)
        if standing is not Standing.MINABLE:
            raise Refused(Reason.PENDING_INVALID, f"0x{question.subject.hex()} at {at}: {standing.value}")
        found = await self._look(signed, at, ((policy, rule),))
        if not found:
            _log.warning(
                "question.denied", rule=question.rule_id, block_number=at.number, subject=signed.hash
            )
        for _, finding in found:
            if self._may_say(policy, rule, finding, most=MAX_ANSWERED):
                self._desk.hold(signed.raw)
                await self._outlet.say(policy, finding)
        self._counts["run"] += 1

    async def _find(self, subject: bytes, signer: Peer | None) -> SignedTransaction:
        held = self._pool.get(subject)
        return held or parse_signed(await self._desk.fetch(subject, signer))

    def _drop(self, question: Question, error: Refused | Unavailable) -> None:
        self._counts["dropped"] += 1
        reason = error.reason if isinstance(error, Refused) else Reason.SOURCE_UNAVAILABLE
        self._outlet.unknown[reason] += 1
        _log.warning(
            "question.unanswered",
            reason=reason,
            detail=str(error),
            block_number=question.anchor_number,
            subject=question.subject,
        )
        self._answered(question)

    # --- both

    async def _look(
        self, signed: SignedTransaction, at: BlockRef, rules: Sequence[Ruled]
    ) -> list[tuple[Ruled, Finding]]:
        """What these rules say of it, run once for each block time that they name."""
        transaction, runs = _as_pending(signed), dict[tuple[Runner, Seconds], Simulation]()
        found = []
        for policy, rule in rules:
            runner = self._runner_of(rule)
            if (runner, rule.block_seconds) not in runs:
                runs[runner, rule.block_seconds] = await runner.run(
                    transaction, at, block_seconds=rule.block_seconds
                )
            simulation = runs[runner, rule.block_seconds]
            finding = None
            if isinstance(rule, PendingRule):
                finding = judge(rule, simulation, Anchor.of(at), signed.hash)
            elif concerns_detection(simulation):
                await self._wait_judged(levels_of(rule), at)
                finding = judge_by_detection(rule, simulation, at, signed.hash)
            if finding is not None:
                found.append(((policy, rule), finding))
        return found

    def _runner_of(self, rule: ForeseenRule) -> Runner:
        return (
            self._eyes.runner
            if isinstance(rule, PendingRule)
            else self._eyes.tracers[levels_of(rule).watched]
        )

    async def _wait_judged(self, levels: Levels, at: BlockRef) -> None:
        """Until the detection has judged this block; in vain once for each block, and no longer."""
        if levels.knows(at) or self._waited_at == at.hash:
            return
        with trio.move_on_after(DETECTION_SECONDS) as patience:
            while not levels.knows(at):
                await self._judged.wait()
        if patience.cancelled_caught:
            self._waited_at = at.hash

    def _may_say(self, policy: Policy, rule: ForeseenRule, finding: Finding, *, most: int) -> bool:
        key = (finding.anchor.hash, policy.hash, rule.name, most)
        said = self._at_block.get(key, 0)
        if said >= most:
            self._counts["over_limit"] += 1
            return False
        self._at_block[key] = said + 1
        while len(self._at_block) > MAX_REMEMBERED:
            self._at_block.popitem(last=False)
        return True


def _as_pending(signed: SignedTransaction) -> PendingTransaction:
    return PendingTransaction(
        hash=f"0x{signed.hash.hex()}",
        sender=Account(signed.sender.lower()),
        to=None if signed.to is None else Account(signed.to.lower()),
        data=signed.data,
        value_wei=signed.value_wei,
        gas=signed.gas,
    )
