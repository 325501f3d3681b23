"""Judges every rule of a policy at one block. What comes out is a function of the chain at that block alone.

Two watchers sign the same alert only if neither start-up time nor what was seen earlier matters, so nothing
that decides is remembered; it is asked of the chain again, and only kept as a cache:

- A rule *fires* at the block where it becomes true: it is true there, and it was not true at the parent. A
  parent at which it had no value (a reverted call, before the contract existed) counts as not true.
- It fires at most once in each *cooldown window*: block numbers are cut into windows of `cooldown_blocks`,
  aligned at multiples of it, and only the first edge inside a window fires. A cooldown that starts anew at
  every edge could be held open for ever by someone who makes the rule flicker; one that starts at the last
  firing would depend on the whole past. A window is decided by at most `cooldown_blocks` blocks. The price:
  two firings may be close together when a window's border lies between them.
- What has no value is Unknown, for the rule and the block; so is what no source could answer for. The second
  may be asked again: evaluating a block twice costs only what was not answered the first time.

A rule over signals that another room works out (`lookups.py`) waits for that room; the others must not wait
with it. So a policy may have two engines, of some of its rules each (`make_engines`).

Looking back over a window needs the state of those blocks: a watcher that has just started over a node that
keeps 128 blocks of state answers Unknown for a longer window, until it has seen the window's blocks itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consensus.alert import compute_rule_id
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, RuleId
from node.evaluate.expressions import Read, Undefined
from node.evaluate.findings import Anchor, Finding, Question, Unknown, compute_evidence_hash, observe
from node.evaluate.judging import Judge, reads_of
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.policy import Policy, Rule
from node.evaluate.recent import Recent
from node.evaluate.views import Block, View, Wants

# Room in the caches beyond what one branch needs, for the blocks of a reorganisation.
SPARE_BLOCKS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """What the engine has done since it started."""

    blocks_evaluated: int
    last_block_number: BlockNumber | None
    findings: int
    unknowns: Mapping[Reason, int]
    cached_values: int


class Engine:
    """Evaluates one policy, or some of its `rules`.

    Holds no state but caches keyed by block hash, each with a bound.
    """

    def __init__(self, policy: Policy, rules: Sequence[Rule] | None = None) -> None:
        self.policy = policy
        self.rules = policy.rules if rules is None else tuple(rules)
        self._signals = {signal.name: signal for signal in policy.signals}
        self._judges = {rule.name: Judge.of(rule.condition) for rule in self.rules}
        reads = {read for judge in self._judges.values() for read in judge.reads}
        deepest = max((read.blocks_ago for read in reads), default=0)
        self._names = tuple(sorted({read.signal for read in reads if read.blocks_ago == 0}))
        self._awaited = tuple(
            signal.values
            for signal in map(self._signals.__getitem__, sorted({read.signal for read in reads}))
            if isinstance(signal, LookedUpSignal)
        )
        longest = max(rule.cooldown_blocks for rule in self.rules)
        # by block, then by the name of the signal or rule
        self._values: Recent[int | Undefined] = Recent(deepest + SPARE_BLOCKS)
        self._truths: Recent[bool | Undefined] = Recent(longest + SPARE_BLOCKS)
        self._blocks_evaluated = 0
        self._last_block_number: BlockNumber | None = None
        self._findings = 0
        self._unknowns: Counter[Reason] = Counter()

    def judges(self, rule_id: RuleId) -> bool:
        """Whether the rule with this id is one of this engine's."""
        return any(compute_rule_id(rule.name) == rule_id for rule in self.rules)

    def waits_for(self, block: Block) -> bool:
        """Whether another room has yet to say something of this block that the rules here read."""
        return not all(values.knows(block) for values in self._awaited)

    async def evaluate(self, view: View) -> tuple[Finding | Unknown, ...]:
        """What there is to say at this block, in the order of the rules' names; empty on a quiet block.

        Raises `Refused` (WRONG_CHAIN) for a block of another chain than the policy's.
        """
        self._require_chain(view)
        try:
            await self._prefetch(view)
        except Unavailable as error:
            outcomes: Iterable[Finding | Unknown | None] = [
                _unavailable(rule, view, error) for rule in self.rules
            ]
        else:
            outcomes = [await self._judge(rule, view) for rule in self.rules]
        said = tuple(outcome for outcome in outcomes if outcome is not None)
        self._count(view, said)
        return said

    async def answer(self, question: Question, view: View) -> Finding | Unknown | None:
        """What our own view of the anchor says about the rule that somebody else saw fire; None: it did not.

        Raises `Refused` when the question names another policy (WRONG_POLICY), a rule that this one does not
        have (UNKNOWN_RULE), or another block than the view's (ANCHOR_MISMATCH).
        """
        if question.policy_hash != self.policy.hash:
            raise Refused(
                Reason.WRONG_POLICY,
                f"asked about policy 0x{question.policy_hash.hex()}; this engine evaluates "
                f"{self.policy.name}, 0x{self.policy.hash.hex()}",
            )
        self._require_chain(view)
        rule = self.policy.rule(question.rule_id)
        if rule.name not in self._judges:
            raise Refused(
                Reason.UNKNOWN_RULE,
                f"rule {rule.name} of {self.policy.name} is judged by another engine; ask that one",
            )
        ref = view.ref
        asked = (question.chain_id, question.anchor_number, question.anchor_hash)
        if asked != (ref.chain_id, ref.number, ref.hash):
            raise Refused(
                Reason.ANCHOR_MISMATCH,
                f"asked about block {question.anchor_number} 0x{question.anchor_hash.hex()} of chain "
                f"{question.chain_id}; the view is of block {ref.number} 0x{ref.hash.hex()}",
            )
        return await self._judge(rule, view)

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(
            blocks_evaluated=self._blocks_evaluated,
            last_block_number=self._last_block_number,
            findings=self._findings,
            unknowns=dict(self._unknowns),
            cached_values=sum(len(row) for cache in (self._values, self._truths) for row in cache.rows()),
        )

    async def _judge(self, rule: Rule, view: View) -> Finding | Unknown | None:
        try:
            truth = await self._truth(rule, view)
            if isinstance(truth, Undefined):
                return _unknown(rule, view, truth)
            if not truth or not await self._is_edge(rule, view) or await self._fired_in_window(rule, view):
                return None
            return await self._finding(rule, view)
        except Unavailable as error:
            return _unavailable(rule, view, error)

    async def _is_edge(self, rule: Rule, view: View) -> bool:
        """Whether the rule is true at this block and was not at its parent."""
        if await self._truth(rule, view) is not True:
            return False
        if view.ref.number == 0:
            return True
        return await self._truth(rule, await view.ancestor(1)) is not True

    async def _fired_in_window(self, rule: Rule, view: View) -> bool:
        """Whether an earlier block of this block's cooldown window already had the edge."""
        blocks_before = view.ref.number % rule.cooldown_blocks if rule.cooldown_blocks else 0
        earlier = view
        for _ in range(blocks_before):
            earlier = await earlier.ancestor(1)
            if await self._is_edge(rule, earlier):
                return True
        return False

    async def _finding(self, rule: Rule, view: View) -> Finding:
        anchor = Anchor.of(view.ref)
        reads = self._judges[rule.name].reads
        observations = observe(dict(zip(reads, await self._values_of(rule, view), strict=True)))
        return Finding(
            rule=rule.name,
            anchor=anchor,
            observations=observations,
            evidence_hash=compute_evidence_hash(rule.name, anchor, observations),
        )

    async def _truth(self, rule: Rule, view: View) -> bool | Undefined:
        row = self._truths.row(view.ref.hash)
        truth = row.get(rule.name)
        if truth is None:
            truth = self._judges[rule.name].truth(await self._values_of(rule, view))
            row[rule.name] = truth
        return truth

    async def _values_of(self, rule: Rule, view: View) -> list[int | Undefined]:
        """A value for each of the rule's reads, needed or not: the evidence names them all."""
        values: list[int | Undefined] = []
        then, row, ago = view, self._values.row(view.ref.hash), 0
        reads = self._judges[rule.name].reads
        fetched = -1
        for read in reads:
            if read.blocks_ago != ago:
                ago = read.blocks_ago
                if view.ref.number < ago:
                    values.append(_before_genesis(read, view))
                    ago = -1
                    continue
                then = await view.ancestor(ago)
                row = self._values.row(then.ref.hash)
            value = row.get(read.signal)
            if value is None:
                if fetched != ago:
                    own = {each.signal for each in reads if each.blocks_ago == ago}
                    await self._fetch(sorted(own - row.keys()), then)
                    fetched = ago
                value = row[read.signal] = await self._signals[read.signal].read(then)
            values.append(value)
        return values

    async def _prefetch(self, view: View) -> None:
        """One round trip for everything that the rules read at this very block."""
        row = self._values.row(view.ref.hash)
        await self._fetch([name for name in self._names if name not in row], view)

    async def _fetch(self, names: Sequence[str], view: View) -> None:
        wants = Wants()
        for name in names:
            wants |= self._signals[name].wants()
        if len(wants) > 1:
            await view.prefetch(wants.calls, slots=wants.slots, balances=wants.balances, events=wants.events)

    def _require_chain(self, view: View) -> None:
        if view.ref.chain_id != self.policy.source_chain_id:
            raise Refused(
                Reason.WRONG_CHAIN,
                f"policy {self.policy.name} is evaluated on chain {self.policy.source_chain_id}, came block "
                f"{view.ref.number} of chain {view.ref.chain_id}; give each policy its own chain's views",
            )

    def _count(self, view: View, said: Iterable[Finding | Unknown]) -> None:
        self._blocks_evaluated += 1
        self._last_block_number = view.ref.number
        for each in said:
            if isinstance(each, Unknown):
                self._unknowns[each.reason] += 1
            else:
                self._findings += 1


def make_engines(policy: Policy) -> tuple[tuple[Engine, ...], tuple[Engine, ...]]:
    """The engines whose rules are judged at once, and those whose rules wait for other rooms, one for each
    set of signals that they wait for."""
    kinds: dict[tuple[str, ...], list[Rule]] = {}
    looked_up = {signal.name for signal in policy.signals if isinstance(signal, LookedUpSignal)}
    for rule in policy.rules:
        read = {each.signal for each in reads_of(rule.condition)}
        kinds.setdefault(tuple(sorted(read & looked_up)), []).append(rule)
    prompt = tuple(Engine(policy, rules) for awaited, rules in kinds.items() if not awaited)
    return prompt, tuple(Engine(policy, rules) for awaited, rules in sorted(kinds.items()) if awaited)


def _before_genesis(read: Read, view: View) -> Undefined:
    return Undefined(
        Reason.HISTORY_TOO_SHORT,
        f"{read.signal} is read {read.blocks_ago} blocks back, block {view.ref.number} has fewer before it",
    )


def _unknown(rule: Rule, view: View, undefined: Undefined) -> Unknown:
    return Unknown(
        rule=rule.name,
        anchor=Anchor.of(view.ref),
        reason=undefined.reason,
        message=undefined.message,
    )


def _unavailable(rule: Rule, view: View, error: Unavailable) -> Unknown:
    return _unknown(rule, view, Undefined(Reason.SOURCE_UNAVAILABLE, str(error)))
