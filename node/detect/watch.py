"""Watches one protocol: learns what is usual, then judges each transaction by what came before it alone.

    learn ─────► judge ─► judge ─► judge …        one way: a span that was learned from is never scored
                   │
                   └─ below limit, `settle_blocks` later ─► learned

A judged transaction joins the baseline late, and only when it asked for no brake: so a theft in several
steps does not make itself usual while it runs. Facts of the chain, such as balances, follow every
transaction at once.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from consensus.alert import Level
from consensus.errors import Broken, Reason, Refused
from consensus.fields import keccak256
from node.detect.calibration import Calibration
from node.detect.catalogue import find_detector
from node.detect.detector import Detector
from node.detect.evidence import PPB_IN_PPM, Evidence, Family, Judgement, Ppb, Weighed
from node.detect.fusion import StrangePast, compute_level, compute_strangeness
from node.detect.policy import DetectionPolicy
from node.trace import TransactionTrace


class Watch:
    """All detectors of a policy over one protocol's transactions, which must come in order of time."""

    def __init__(self, policy: DetectionPolicy) -> None:
        self.policy = policy
        self._detectors = [_make(name, values) for name, values in policy.detectors.items()]
        self._calibrations = {
            detector.name: Calibration(policy.calibration_transactions) for detector in self._detectors
        }
        self._common = Ppb(policy.common_ppm * PPB_IN_PPM)
        self._past = StrangePast(window=policy.calibration_transactions, common=self._common)
        self._waiting: deque[tuple[TransactionTrace, Judgement]] = deque()
        self._last_position: tuple[int, int] = (-1, -1)
        self._has_judged = False

    def learn(self, transaction: TransactionTrace) -> None:
        """Take in a benign transaction of the training span.

        Raises `Refused` (OUT_OF_ORDER) for one that is not later than the last, or after the first judgement.
        """
        if self._has_judged:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"transaction {transaction.hash} came to be learned after judging began; learn the whole "
                "training span first",
            )
        self._advance(transaction)
        self._settle(transaction, self._judge(transaction))
        self._follow(transaction)

    def judge(self, transaction: TransactionTrace) -> Judgement:
        """What there is to say of a transaction that is later than all before. Raises `Refused`
        (OUT_OF_ORDER)."""
        self._advance(transaction)
        self._has_judged = True
        self._settle_until(transaction.block_number - self.policy.settle_blocks)
        judgement = self._judge(transaction)
        self._follow(transaction)
        if judgement.level is None or judgement.level < Level.LIMIT:
            self._waiting.append((transaction, judgement))
        return judgement

    def preview(self, transaction: TransactionTrace, families: Collection[Family]) -> Judgement:
        """What there is to say of a transaction that may never happen, by these families alone: nothing is
        learned from it, and nothing follows it."""
        return self._judge(transaction, families)

    def state_hash(self) -> bytes:
        """keccak256 over everything that the next judgement depends on, in canonical form; 32 bytes."""
        state = {
            "policy": self.policy.hash.hex(),
            "last_position": self._last_position,
            "detectors": {detector.name: detector.state() for detector in self._detectors},
            "calibrations": {name: each.state() for name, each in self._calibrations.items()},
            "past": self._past.state(),
            "waiting": [
                [
                    transaction.hash,
                    *((each.evidence.detector, each.evidence.score) for each in judged.evidence),
                ]
                for transaction, judged in self._waiting
            ],
        }
        return keccak256(
            json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
        )

    def _advance(self, transaction: TransactionTrace) -> None:
        if transaction.position <= self._last_position:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"transaction {transaction.hash} stands at {transaction.position}, and "
                f"{self._last_position} was seen already: a span that was learned from is not scored",
            )
        self._last_position = transaction.position

    def _judge(
        self, transaction: TransactionTrace, families: Collection[Family] = tuple(Family)
    ) -> Judgement:
        found = (_ask(detector, transaction) for detector in self._detectors if detector.family in families)
        weighed = self._weigh(evidence for evidence in found if evidence is not None)
        strangeness = compute_strangeness(weighed, self._common)
        level, reason = compute_level(
            weighed, strangeness, policy=self.policy, past=self._past, weigh=self._weigh
        )
        return Judgement(
            transaction_hash=transaction.hash,
            block_number=transaction.block_number,
            level=level,
            strangeness=strangeness,
            evidence=weighed,
            reason=reason,
        )

    def _weigh(self, found: Iterable[Evidence]) -> tuple[Weighed, ...]:
        return tuple(
            Weighed(evidence=each, p_value=self._calibrations[each.detector].p_value(each.score))
            for each in found
        )

    def _follow(self, transaction: TransactionTrace) -> None:
        for detector in self._detectors:
            detector.follow(transaction)

    def _settle_until(self, block_number: int) -> None:
        while self._waiting and self._waiting[0][0].block_number <= block_number:
            self._settle(*self._waiting.popleft())

    def _settle(self, transaction: TransactionTrace, judgement: Judgement) -> None:
        """Into the baselines, and what it scored before it got there into the calibrations."""
        scores = {each.evidence.detector: each.evidence.score for each in judgement.evidence}
        for detector in self._detectors:
            self._calibrations[detector.name].learn(scores.get(detector.name, 0))
            detector.learn(transaction)
        self._past.learn([each.evidence for each in judgement.evidence])


def _make(name: str, parameters: Mapping[str, int]) -> Detector:
    detector = find_detector(name)
    if detector is None:
        raise Broken(f"expected the detector {name!r}, which the policy was read with; it is gone")
    return detector(**parameters)


def _ask(detector: Detector, transaction: TransactionTrace) -> Evidence | None:
    try:
        return detector.judge(transaction)
    except Exception as error:
        raise Broken(
            f"the detector {detector.name!r} failed at transaction {transaction.hash} with "
            f"{type(error).__name__}: {error}; take it out of the policy, or mend it"
        ) from error
