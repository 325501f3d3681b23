"""What the detectors make of a chain as it comes, block by block, and what a reorg takes back.

                         settled                     may still be retracted
    ├──────────────────────────────────────┼────────────────────────────────────┤
     base: has learned from and judged these   recent: traces and judgements of each
                                               head: base, and recent taken in after it

The head judges each block at once. When blocks are retracted, what was judged of them is withdrawn, and the
head is made anew from the base and the blocks that stayed: so whatever was learned is of the canonical chain
alone. A transaction is therefore taken in twice, once at the head and once when its block has settled.

The first `to_learn` transactions are learned and not judged, as in a backtest. From then on every transaction
counts as benign in the figures: nobody labels a live chain.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from consensus.alert import Level
from consensus.types import BlockNumber
from node.chain.types import BlockRef
from node.detect.evidence import CERTAIN, Judgement
from node.detect.watch import Watch
from node.observe.heads import MAX_BRANCH, HeadEvent, HeadKind
from node.observe.traces import TraceGap
from node.trace import TransactionTrace

COUNTED: Final = (("alerts", Level.ALERT), ("limits", Level.LIMIT), ("pauses", Level.PAUSE))
"""Each count holds those of the harder levels, as in a backtest's report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A transaction that reached a level."""

    ref: BlockRef
    judgement: Judgement
    level: Level

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        judgement = self.judgement
        return {
            "event": "finding",
            **_place(self.ref),
            "transaction": judgement.transaction_hash,
            "level": self.level.name.lower(),
            "strangeness_ppb": judgement.strangeness,
            "reason": judgement.reason,
            "evidence": [
                {
                    "detector": each.evidence.detector,
                    "score": each.evidence.score,
                    "p_value_ppb": each.p_value,
                    "summary": each.evidence.summary,
                }
                for each in judgement.evidence
            ],
        }

    def __str__(self) -> str:
        judgement = self.judgement
        lines = [
            f"{self.level.name.lower():<7} block {self.ref.number}  {judgement.transaction_hash}",
            f"        {judgement.reason}",
            *(
                f"        {each.evidence.detector} (1 in {CERTAIN // each.p_value}): {each.evidence.summary}"
                for each in judgement.evidence
            ),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A finding in a block that the chain has left: it does not hold any more."""

    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        finding = self.finding
        return {
            "event": "withdrawn",
            **_place(finding.ref),
            "transaction": finding.judgement.transaction_hash,
            "level": finding.level.name.lower(),
        }

    def __str__(self) -> str:
        finding = self.finding
        return (
            f"withdrawn {finding.level.name.lower()} of {finding.judgement.transaction_hash}: the chain left "
            f"block {finding.ref.number}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """Blocks of which nothing is known."""

    ref: BlockRef
    blocks: int
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"event": "uncovered", **_place(self.ref), "blocks": self.blocks, "detail": self.detail}

    def __str__(self) -> str:
        return f"uncovered {self.blocks} block(s) up to {self.ref.number}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A reorg went below the settled blocks: what was learned of them is thrown away."""

    ref: BlockRef

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"event": "restarted", **_place(self.ref)}

    def __str__(self) -> str:
        return (
            f"restarted at block {self.ref.number}: the chain left blocks that were learned from, and "
            "learning begins again"
        )


Line = Finding | Withdrawn | Uncovered | Restarted
"""What there is to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a shadow run; the same as a backtest's, with every transaction taken for benign."""

    head: BlockRef | None
    blocks: int
    learned: int
    scored: int
    counts: Mapping[str, int]
    uncovered_blocks: int
    withdrawn: int
    retracted_blocks: int
    restarts: int
    policy_hash: bytes
    state_hash: bytes

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "event": "summary",
            "block_number": None if self.head is None else self.head.number,
            "blocks": self.blocks,
            "learned": self.learned,
            "scored": self.scored,
            **self.counts,
            "per_thousand": {
                name: round(1000 * count / self.scored, 3) if self.scored else None
                for name, count in self.counts.items()
            },
            "uncovered_blocks": self.uncovered_blocks,
            "withdrawn": self.withdrawn,
            "retracted_blocks": self.retracted_blocks,
            "restarts": self.restarts,
            "policy_hash": f"0x{self.policy_hash.hex()}",
            "state_hash": f"0x{self.state_hash.hex()}",
        }

    def __str__(self) -> str:
        def rate(count: int) -> str:
            per_thousand = f"{1000 * count / self.scored:.2f} per thousand" if self.scored else "none scored"
            return f"{count} of {self.scored} transactions, {per_thousand}"

        return "\n".join(
            (
                f"blocks      {self.blocks}, of which {self.uncovered_blocks} uncovered",
                f"learned     {self.learned} transactions, then scored {self.scored}",
                *(f"{name:<11} {rate(count)}" for name, count in self.counts.items()),
                f"reorgs      {self.retracted_blocks} blocks retracted, {self.withdrawn} findings withdrawn",
                f"state       0x{self.state_hash.hex()}",
            )
        )


@dataclass(slots=True)
class _Taken:
    """A watch, and how many transactions it has learned from."""

    watch: Watch
    learned: int = 0

    def take(self, traces: Sequence[TransactionTrace], to_learn: int) -> list[Judgement]:
        """Learn from the transactions of a block while there is something to learn, and judge the rest."""
        judged: list[Judgement] = []
        for trace in traces:
            if self.learned < to_learn:
                self.watch.learn(trace)
                self.learned += 1
            else:
                judged.append(self.watch.judge(trace))
        return judged


@dataclass(slots=True)
class _Block:
    """A block that may still be retracted."""

    ref: BlockRef
    traces: tuple[TransactionTrace, ...]
    covered: bool
    scored: int = 0
    findings: list[Finding] = field(default_factory=list)


class Course:
    """Takes blocks in as they are announced. `make_watch` gives a watch as it is at the start."""

    def __init__(
        self, make_watch: Callable[[], Watch], *, to_learn: int, keep_blocks: int = MAX_BRANCH
    ) -> None:
        self._make_watch = make_watch
        self._to_learn = to_learn
        self._keep_blocks = keep_blocks
        self._base = _Taken(make_watch())
        self._head = _Taken(make_watch())
        self._recent: deque[_Block] = deque()
        self._settled: BlockNumber | None = None
        self._last: BlockRef | None = None
        self._counts: Counter[str] = Counter()
        self._blocks = self._scored = 0
        self._uncovered = self._withdrawn = self._retracted = self._restarts = 0

    def take(self, event: HeadEvent, traces: tuple[TransactionTrace, ...] | TraceGap) -> list[Line]:
        """The next block, and what there is to tell of it. Events must come as `HeadFollower` emits them."""
        lines = self._retract(event)
        if event.skipped:
            self._uncovered += event.skipped
            lines.append(
                Uncovered(
                    ref=event.ref,
                    blocks=event.skipped,
                    detail="too many blocks came while nothing could be read, and they were given up",
                )
            )
        covered = not isinstance(traces, TraceGap)
        if isinstance(traces, TraceGap):
            self._uncovered += 1
            if not self._recent or self._recent[-1].covered:  # the first of a row tells of all; the count too
                lines.append(Uncovered(ref=event.ref, blocks=1, detail=str(traces)))
            traces = ()
        block = _Block(ref=event.ref, traces=traces, covered=covered)
        judged = self._head.take(traces, self._to_learn)
        block.scored = len(judged)
        for judgement in judged:
            if judgement.level is not None:
                block.findings.append(Finding(ref=event.ref, judgement=judgement, level=judgement.level))
        self._count(block, 1)
        self._recent.append(block)
        self._last = event.ref
        self._settle()
        return [*lines, *block.findings]

    @property
    def is_judging(self) -> bool:
        """Whether everything is learned that is to be, so that the next transaction is judged."""
        return self._head.learned >= self._to_learn

    @property
    def watch(self) -> Watch:
        """What has judged every block that was taken in; it goes on with the next."""
        return self._head.watch

    @property
    def learned(self) -> int:
        """How many transactions were learned from."""
        return self._head.learned

    def summary(self) -> Summary:
        """The figures so far."""
        return Summary(
            head=self._last,
            blocks=self._blocks,
            learned=self._head.learned,
            scored=self._scored,
            counts={name: self._counts[name] for name, _ in COUNTED},
            uncovered_blocks=self._uncovered,
            withdrawn=self._withdrawn,
            retracted_blocks=self._retracted,
            restarts=self._restarts,
            policy_hash=self._head.watch.policy.hash,
            state_hash=self._head.watch.state_hash(),
        )

    def _retract(self, event: HeadEvent) -> list[Line]:
        """Take back whatever stood at this block's number and above."""
        lines: list[Line] = []
        had_traces = False
        while self._recent and self._recent[-1].ref.number >= event.ref.number:
            block = self._recent.pop()
            had_traces |= bool(block.traces)
            self._retracted += 1
            self._uncovered -= not block.covered
            self._withdrawn += len(block.findings)
            self._count(block, -1)
            lines += [Withdrawn(finding=finding) for finding in reversed(block.findings)]
        if self._settled is not None and (event.ref.number <= self._settled or self._is_deeper(event)):
            self._restart()
            lines.append(Restarted(ref=event.ref))
        elif had_traces:
            self._head = copy.deepcopy(self._base)
            for block in self._recent:
                self._head.take(block.traces, self._to_learn)
        return lines

    def _is_deeper(self, event: HeadEvent) -> bool:
        """Whether the chain left all blocks that its follower remembers, and so settled ones perhaps."""
        return event.kind is HeadKind.RESUMED and not event.skipped and self._last is not None

    def _restart(self) -> None:
        self._base, self._head = _Taken(self._make_watch()), _Taken(self._make_watch())
        self._recent.clear()
        self._settled = None
        self._restarts += 1

    def _settle(self) -> None:
        while len(self._recent) > self._keep_blocks:
            block = self._recent.popleft()
            self._base.take(block.traces, self._to_learn)
            self._settled = block.ref.number

    def _count(self, block: _Block, sign: int) -> None:
        self._blocks += sign
        self._scored += sign * block.scored
        for finding in block.findings:
            for name, level in COUNTED:
                self._counts[name] += sign * (finding.level >= level)


def _place(ref: BlockRef) -> dict[str, Any]:
    return {
        "chain_id": ref.chain_id,
        "block_number": ref.number,
        "block_hash": f"0x{ref.hash.hex()}",
        "timestamp": ref.timestamp,
    }
