"""Watches signals over time: learns what is usual, then judges block by block, along the canonical chain.

    learn … learn ─► begin ─► judge ─► judge ─► judge
                                 ▲                │
                                 └──── retract ◄──┘   a reorg: to a copy, then what stayed

One copy of everything lags `DEPTH` blocks behind. When blocks are retracted it is copied, and those
between it and the fork are played to the copy again: so that no detector needs to know how to go back.

A rule's learned findings are fused as those of transactions are (`node/detect/fusion.py`): the p-values
of its signals that are not common are combined by the truncated product method. A level is reached where
the result keeps to the level's budget and the rule's own past did not show more of it than that. Signals
of one rule depend on each other, and the second condition corrects for it. A stated bound asks for its
signal's level by itself. Learned evidence raises nothing above alert unless the policy names the hash of
what was learned.

What asked for a brake does not join the past that scores are weighed by; baselines learn everything, clipped.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypedDict

import msgspec

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import BlockHash, BlockNumber, Seconds
from node.detect.calibration import Calibration
from node.detect.detector import State
from node.detect.evidence import CERTAIN, Ppb
from node.detect.fusion import combine
from node.detect.series.detector import Reading
from node.detect.series.finding import (
    Basis,
    Finding,
    Hint,
    Proposal,
    RuleJudgement,
    Unjudged,
    WeighedFinding,
)
from node.detect.series.fixed import compute_log2
from node.detect.series.policy import SeriesPolicy, SignalRule
from node.detect.series.sample import Sample
from node.detect.series.tail import TailPast
from node.detect.series.vocabulary import Each
from node.detect.shape import Count, parse
from node.detect.watch import canonical

DEPTH: Final = 256
"""The deepest reorg that is followed, in points; as deep as heads are (`node/observe/heads.py`)."""


_Flag = Literal[0, 1]


class _State(TypedDict):
    policy: str
    line: Any


class _LineState(TypedDict):
    last: list[int | str]
    may_brake: _Flag
    rules: dict[str, Any]


_Last = tuple[Count, Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")], Count]


class _RuleState(TypedDict):
    signals: dict[str, tuple[Any, Any, _Flag]]
    past: Any
    steps: dict[str, Count]
    raised: tuple[Literal[-1, 0, 1, 2, 3], Count]


class SeriesWatch:
    """All rules of a policy over samples in the order of the canonical chain."""

    def __init__(self, policy: SeriesPolicy) -> None:
        self.policy = policy
        self._tip = _Line(policy)
        self._base = self._tip
        self._kept: deque[Sample] = deque()
        self._has_begun = False

    @property
    def last_block(self) -> BlockNumber:
        """Of the last sample that was learned or judged; -1 before any."""
        return self._tip.last_block

    @property
    def is_published(self) -> bool:
        """Whether learned evidence may raise more than an alert."""
        return self._tip.may_brake

    def learn(self, sample: Sample) -> None:
        """Take in a sample of the training span. Raises `Refused` (OUT_OF_ORDER)."""
        if self._has_begun:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"block {sample.block_number} came to be learned after judging began; learn the whole "
                "training span first",
            )
        self._tip.step(sample)

    def begin(self) -> bytes:
        """End the training span, whose last block must be final; gives the hash of what was learned.

        A policy that names this hash lets learned evidence brake.
        """
        learned = self.state_hash()
        self._has_begun = True
        self._tip.may_brake = learned == self.policy.learned
        self._base = copy.deepcopy(self._tip)
        return learned

    def judge(self, sample: Sample) -> tuple[RuleJudgement, ...]:
        """What each rule says at the next block. Raises `Refused` (OUT_OF_ORDER) for a block that does
        not come later, or is of another branch than the last."""
        if not self._has_begun:
            self.begin()
        judgements = self._tip.step(sample)
        self._kept.append(sample)
        if len(self._kept) > DEPTH:
            self._base.step(self._kept.popleft())
        return judgements

    def retract(self, first: BlockNumber) -> None:
        """Go back to before block `first`: it and all after it left the chain.

        Raises `Refused` (OUT_OF_ORDER) where that lies further back than `DEPTH` points, or in what was
        learned.
        """
        if first <= self._base.last_block:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"block {first} was retracted, and what was judged up to block {self._base.last_block} "
                "is not taken back any more; learn anew up to a final block",
            )
        while self._kept and self._kept[-1].block_number >= first:
            self._kept.pop()
        self._tip = copy.deepcopy(self._base)
        for sample in self._kept:
            self._tip.step(sample)

    def state(self) -> dict[str, Any]:
        """Everything that the next judgement depends on, as plain JSON values."""
        return {"policy": self.policy.rules_hash.hex(), "line": self._tip.state()}

    def restore(self, state: object) -> None:
        """Take over what `state` gave at the end of a training span, into a watch that has seen nothing.

        Raises `Refused` (STATE_FOREIGN) for the state of another policy, and (STATE_CORRUPT) for what `state`
        never gives there.
        """
        try:
            parsed = parse(state, _State)
            if parsed["policy"] != self.policy.rules_hash.hex():
                raise Refused(
                    Reason.STATE_FOREIGN,
                    f"learned under the rules 0x{parsed['policy']}, and this policy's are "
                    f"0x{self.policy.rules_hash.hex()}; learn anew under it",
                )
            self._tip.restore(parsed["line"])
        except (ValueError, KeyError) as error:
            raise Refused(Reason.STATE_CORRUPT, f"learned state: {error}; learn it anew") from None
        if self._tip.may_brake or canonical(self.state()) != canonical(state):
            raise Refused(
                Reason.STATE_CORRUPT, "learned state is not in the form that learning gives; learn it anew"
            )

    def state_hash(self) -> bytes:
        """keccak256 over everything that the next judgement depends on, in canonical form; 32 bytes.

        It does not cover what only hints depend on.
        """
        return keccak256(canonical(self.state()))


class _Line:
    """Everything known along one branch, up to one block."""

    def __init__(self, policy: SeriesPolicy) -> None:
        self._policy = policy
        self._rules = {name: _Rule(name, signals, policy) for name, signals in policy.rules.items()}
        self._last: Sample | None = None
        self.may_brake = False

    def __deepcopy__(self, memo: dict[int, object]) -> _Line:
        twin = _Line.__new__(_Line)
        memo[id(self._policy)] = self._policy
        for name, value in vars(self).items():
            setattr(twin, name, copy.deepcopy(value, memo))
        return twin

    @property
    def last_block(self) -> BlockNumber:
        return BlockNumber(-1) if self._last is None else self._last.block_number

    def step(self, sample: Sample) -> tuple[RuleJudgement, ...]:
        has_gap = self._require_next(sample)
        self._last = sample
        return tuple(
            rule.step(sample, has_gap=has_gap, may_brake=self.may_brake) for rule in self._rules.values()
        )

    def state(self) -> State:
        last = self._last
        return {
            "last": [] if last is None else [last.block_number, last.block_hash.hex(), last.timestamp],
            "may_brake": int(self.may_brake),
            "rules": {name: rule.state() for name, rule in self._rules.items()},
        }

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError`, `KeyError` for a rule that is not there."""
        parsed = parse(state, _LineState)
        if parsed["last"]:
            number, block_hash, timestamp = parse(parsed["last"], _Last)
            self._last = Sample(
                block_number=BlockNumber(number),
                block_hash=BlockHash(bytes.fromhex(block_hash)),
                parent_hash=BlockHash(bytes(32)),  # of the last one only number, hash and time are asked
                timestamp=Seconds(timestamp),
                values={},
            )
        self.may_brake = bool(parsed["may_brake"])
        for name, rule in self._rules.items():
            rule.restore(parsed["rules"][name])

    def _require_next(self, sample: Sample) -> bool:
        """Whether points are missing before this one."""
        last = self._last
        if last is None:
            return False
        if sample.block_number <= last.block_number or sample.timestamp < last.timestamp:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"expected a block after {last.block_number} of time {last.timestamp}, came "
                f"{sample.block_number} of time {sample.timestamp}; retract what left the chain first",
            )
        if self._policy.each is Each.PERIOD:
            seconds = self._policy.seconds_per_point
            return sample.timestamp // seconds - last.timestamp // seconds > 1
        if sample.block_number > last.block_number + 1:
            return True
        if sample.parent_hash != last.block_hash:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"block {sample.block_number} has the parent 0x{sample.parent_hash.hex()}, the last one is "
                f"0x{last.block_hash.hex()}; retract what left the chain first",
            )
        return False


class _Signal:
    """A detector with the past of its scores."""

    def __init__(self, name: str, rule: SignalRule, window: int) -> None:
        self.name = name
        self.most = rule.most
        self._series = rule.series
        self.detector = rule.make_detector()
        self.past = TailPast(window)
        self.has_missed = False

    def missing(self, sample: Sample) -> tuple[str, ...]:
        return tuple(name for names in self._series.values() for name in names if name not in sample.values)

    def observe(self, sample: Sample) -> Finding | Hint | Proposal | None:
        if self.has_missed:
            self.detector.resume()
            self.has_missed = False
        return self.detector.observe(
            Reading(
                block_number=sample.block_number,
                timestamp=sample.timestamp,
                values={
                    role: tuple(sample.values[name] for name in names) for role, names in self._series.items()
                },
            )
        )

    def weigh(self, finding: Finding) -> WeighedFinding:
        p_value = self.past.p_value(finding.score) if finding.basis is Basis.LEARNED else None
        return WeighedFinding(signal=self.name, finding=finding, p_value=p_value)


class _Rule:
    """One rule's signals, and what they came to together in the past."""

    def __init__(self, name: str, signals: Mapping[str, SignalRule], policy: SeriesPolicy) -> None:
        self._name = name
        self._policy = policy
        self._signals = {signal: _Signal(signal, each, policy.window) for signal, each in signals.items()}
        self._past = Calibration(policy.window)
        self._cuts = {level: cut for level in Level if (cut := policy.p_value(level)) is not None}
        self._steps: dict[str, int] = {}
        self._raised: Level | None = None
        self._points_since = 0

    def step(self, sample: Sample, *, has_gap: bool, may_brake: bool) -> RuleJudgement:
        found, hints, proposals, unjudged = self._observe(sample, has_gap=has_gap)
        weighed = [self._signals[name].weigh(finding) for name, finding in found.items()]
        counted = tuple(
            each for each in weighed if each.p_value is None or each.p_value <= self._policy.common
        )
        p_values = sorted(each.p_value for each in counted if each.p_value is not None)
        strangeness = combine(tuple(p_values), self._policy.common)
        level, reason = self._reach(counted, strangeness, may_brake=may_brake)
        if level is None and hints:
            level, reason = Level.ALERT, "a hint, which is not signed"
        self._learn(found, strangeness, level)
        return RuleJudgement(
            rule=self._name,
            block_number=sample.block_number,
            level=self._raise(level),
            strangeness=strangeness,
            findings=counted,
            hints=hints,
            proposals=proposals,
            unjudged=unjudged,
            reason=reason,
        )

    def state(self) -> State:
        return {
            "signals": {
                name: [signal.detector.state(), signal.past.state(), int(signal.has_missed)]
                for name, signal in self._signals.items()
            },
            "past": self._past.state(),
            "steps": self._steps,
            "raised": [-1 if self._raised is None else int(self._raised), self._points_since],
        }

    def restore(self, state: object) -> None:
        """Take over what `state` gave. Raises `ValueError`, `KeyError` for a signal that is not there."""
        parsed = parse(state, _RuleState)
        for name, signal in self._signals.items():
            detector, past, has_missed = parsed["signals"][name]
            signal.detector.restore(detector)
            signal.past.restore(past)
            signal.has_missed = bool(has_missed)
        self._past.restore(parsed["past"])
        self._steps = dict(parsed["steps"])
        level, self._points_since = parsed["raised"]
        self._raised = None if level == -1 else Level(level)

    def _observe(
        self, sample: Sample, *, has_gap: bool
    ) -> tuple[dict[str, Finding], tuple[Hint, ...], tuple[Proposal, ...], tuple[Unjudged, ...]]:
        found: dict[str, Finding] = {}
        hints: list[Hint] = []
        proposals: list[Proposal] = []
        unjudged: list[Unjudged] = []
        for name, signal in self._signals.items():
            signal.has_missed |= has_gap
            missing = signal.missing(sample)
            if missing:
                signal.has_missed = True
                unjudged.append(Unjudged(signal=name, missing=missing))
                continue
            match signal.observe(sample):
                case Finding() as finding:
                    found[name] = finding
                case Hint() as hint:
                    hints.append(hint)
                case Proposal() as proposal:
                    if proposal.step != self._steps.get(name, 0):
                        proposals.append(proposal)
                    self._steps[name] = proposal.step
                case None:
                    pass
        return found, tuple(hints), tuple(proposals), tuple(unjudged)

    def _reach(
        self, counted: tuple[WeighedFinding, ...], strangeness: Ppb, *, may_brake: bool
    ) -> tuple[Level | None, str]:
        """The hardest level that is reached, whatever was raised before, and why."""
        stated = [each for each in counted if each.p_value is None]
        hardest = max(stated, key=lambda each: self._signals[each.signal].most, default=None)
        learned_level = self._reach_learned(counted, strangeness, may_brake=may_brake)
        stated_level = None if hardest is None else self._signals[hardest.signal].most
        if (
            hardest is not None
            and stated_level is not None
            and stated_level >= (learned_level or Level.ALERT)
        ):
            return stated_level, f"{hardest.signal}: {hardest.finding.summary}"
        if learned_level is None:
            return None, ""
        names = ", ".join(each.signal for each in counted if each.p_value is not None)
        held = "" if may_brake else "; what was learned is not published, so it cannot brake"
        return learned_level, f"{names}: by chance once in {CERTAIN // strangeness} points{held}"

    def _reach_learned(
        self, counted: tuple[WeighedFinding, ...], strangeness: Ppb, *, may_brake: bool
    ) -> Level | None:
        mosts = [self._signals[each.signal].most for each in counted if each.p_value is not None]
        if not mosts:
            return None
        most = max(mosts) if may_brake else Level.ALERT
        for level in sorted(self._cuts, reverse=True):
            cut = self._cuts[level]
            shown = self._past.count_as_high(_score_of(strangeness)) * CERTAIN
            if level <= most and strangeness <= cut and shown <= self._past.counted * cut:
                return level
        return None

    def _learn(self, found: Mapping[str, Finding], strangeness: Ppb, level: Level | None) -> None:
        for name, signal in self._signals.items():
            finding = found.get(name)
            if level is not None and finding is not None and level >= signal.most:
                signal.detector.reset()
            if level is None or level < Level.LIMIT:
                is_learned = finding is not None and finding.basis is Basis.LEARNED
                signal.past.learn(finding.score if finding is not None and is_learned else 0)
        if level is None or level < Level.LIMIT:
            self._past.learn(_score_of(strangeness))

    def _raise(self, level: Level | None) -> Level | None:
        """The level, where it is harder than what was raised within the cooldown."""
        self._points_since += 1
        if self._raised is not None and self._points_since > self._policy.cooldown_points:
            self._raised = None
        if level is None or (self._raised is not None and level <= self._raised):
            return None
        self._raised, self._points_since = level, 0
        return level


def _score_of(strangeness: Ppb) -> int:
    """A strangeness as a score, the stranger the larger; 0 for none."""
    return compute_log2(CERTAIN) - compute_log2(strangeness)
