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
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

from consensus.alert import Level
from consensus.errors import Broken, Reason, Refused
from consensus.fields import keccak256
from node.detect.calibration import Calibration
from node.detect.catalogue import find_detector
from node.detect.detector import Detector
from node.detect.evidence import PPB_IN_PPM, Evidence, Family, Judgement, Ppb, Weighed
from node.detect.fusion import StrangePast, compute_level, compute_strangeness, parse_evidence
from node.detect.policy import DetectionPolicy
from node.detect.shape import Count, Name, parse
from node.trace import TransactionTrace

Position = tuple[int, int]
"""Block number, and place within the block; (-1, -1) is before everything."""


class _State(TypedDict):
    policy: str
    last_position: tuple[int, int]
    is_judging: bool
    detectors: dict[Name, Any]
    calibrations: dict[Name, Any]
    past: list[Any]
    waiting: list[list[str | Count]]


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
        self._waiting: deque[tuple[TransactionTrace, tuple[Evidence, ...]]] = deque()
        self.last_position: Position = (-1, -1)
        """Of the last transaction that was learned or judged."""
        self.is_judging = False
        """Whether the training span is over."""

    def learn(self, transaction: TransactionTrace) -> None:
        """Take in a benign transaction of the training span.

        Raises `Refused` (OUT_OF_ORDER) for one that is not later than the last, or after the first judgement.
        """
        if self.is_judging:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"transaction {transaction.hash} came to be learned after judging began; learn the whole "
                "training span first",
            )
        self._advance(transaction)
        self._settle(transaction, found_in(self._judge(transaction)))
        self._follow(transaction)

    def judge(self, transaction: TransactionTrace) -> Judgement:
        """What there is to say of a transaction that is later than all before. Raises `Refused`
        (OUT_OF_ORDER)."""
        self._advance(transaction)
        self.is_judging = True
        self._settle_until(transaction.block_number - self.policy.settle_blocks)
        judgement = self._judge(transaction)
        self._follow(transaction)
        if judgement.level is None or judgement.level < Level.LIMIT:
            self._waiting.append((transaction, found_in(judgement)))
        return judgement

    def preview(self, transaction: TransactionTrace, families: Collection[Family]) -> Judgement:
        """What there is to say of a transaction that may never happen, by these families alone: nothing is
        learned from it, and nothing follows it."""
        return self._judge(transaction, families)

    def state_hash(self) -> bytes:
        """keccak256 over `state` in canonical form; 32 bytes."""
        return keccak256(canonical(self.state()))

    def state(self) -> dict[str, Any]:
        """Everything that the next judgement depends on, as plain JSON values. Of transactions that wait to
        be learned it holds what names them and what they scored, not their traces."""
        return {
            "policy": self.policy.hash.hex(),
            "last_position": list(self.last_position),
            "is_judging": self.is_judging,
            "detectors": {detector.name: detector.state() for detector in self._detectors},
            "calibrations": {name: each.state() for name, each in self._calibrations.items()},
            "past": self._past.state(),
            "waiting": [
                [
                    transaction.hash,
                    *transaction.position,
                    *(part for each in evidence for part in (each.detector, each.score)),
                ]
                for transaction, evidence in self._waiting
            ],
        }

    def restore(self, state: object, waiting: Mapping[Position, TransactionTrace]) -> None:
        """Take over what `state` gave, into a watch that has seen nothing.

        `waiting` holds by position the traces that waited to be learned; others may be among them. Raises
        `Refused` (STATE_FOREIGN) for the state of another policy, or of transactions that are not there, and
        (STATE_CORRUPT) for what `state` never gives.
        """
        try:
            parsed: _State = parse(state, _State)
            self._require_own(parsed)
            for detector in self._detectors:
                with _placed(f"detectors.{detector.name}"):
                    _restore(detector, parsed["detectors"].get(detector.name))
            for name, calibration in self._calibrations.items():
                with _placed(f"calibrations.{name}"):
                    calibration.restore(parsed["calibrations"].get(name))
            families = {detector.name: detector.family for detector in self._detectors}
            with _placed("past"):
                self._past.restore(parsed["past"], families)
            for told in parsed["waiting"]:
                with _placed("waiting"):
                    self._restore_waiting(told, waiting, families)
            self.last_position = parsed["last_position"]
            self.is_judging = parsed["is_judging"]
            is_same = canonical(self.state()) == canonical(state)
        except ValueError as error:
            raise Refused(Reason.STATE_CORRUPT, f"learned state: {error}") from None
        if not is_same:
            raise Refused(
                Reason.STATE_CORRUPT,
                "learned state says something that a watch never says; learn it anew with tocsin learn",
            )

    def _advance(self, transaction: TransactionTrace) -> None:
        if transaction.position <= self.last_position:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"transaction {transaction.hash} stands at {transaction.position}, and "
                f"{self.last_position} was seen already: a span that was learned from is not scored",
            )
        self.last_position = transaction.position

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

    def _require_own(self, parsed: _State) -> None:
        if parsed["policy"] != self.policy.hash.hex():
            raise Refused(
                Reason.STATE_FOREIGN,
                f"this state was learned under policy 0x{parsed['policy'][:64]}, and the policy given is "
                f"{self.policy.name}, 0x{self.policy.hash.hex()}; give the one that it was learned under, or "
                "learn anew",
            )

    def _restore_waiting(
        self,
        told: list[str | int],
        transactions: Mapping[Position, TransactionTrace],
        families: Mapping[str, Family],
    ) -> None:
        hashed, block_number, index = parse(told[:3], tuple[str, Count, Count])
        transaction = transactions.get((block_number, index))
        if transaction is None or transaction.hash != hashed:
            raise Refused(
                Reason.STATE_FOREIGN,
                f"the history has no transaction {hashed[:80]!r} at {(block_number, index)}, which waits to "
                "be learned; give the history that this state is of",
            )
        self._waiting.append((transaction, parse_evidence(told[3:], families)))

    def _settle_until(self, block_number: int) -> None:
        while self._waiting and self._waiting[0][0].block_number <= block_number:
            self._settle(*self._waiting.popleft())

    def _settle(self, transaction: TransactionTrace, evidence: tuple[Evidence, ...]) -> None:
        """Into the baselines, and what it scored before it got there into the calibrations."""
        scores = {each.detector: each.score for each in evidence}
        for detector in self._detectors:
            self._calibrations[detector.name].learn(scores.get(detector.name, 0))
            detector.learn(transaction)
        self._past.learn(evidence)


def found_in(judgement: Judgement) -> tuple[Evidence, ...]:
    """The evidence of a judgement, without its weight."""
    return tuple(each.evidence for each in judgement.evidence)


def canonical(state: object) -> bytes:
    """Plain JSON values in one form: sorted keys, no blanks, ASCII. Raises `ValueError` for what is none."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _restore(detector: Detector, state: object) -> None:
    try:
        detector.restore(state)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - others wrote plugins, and the state may be a stranger's
        raise ValueError(
            f"{error}" if isinstance(error, ValueError) else f"cannot be read: {error!r}"
        ) from None


@contextmanager
def _placed(place: str) -> Iterator[None]:
    """A `ValueError` from within says where it was found."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


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
