"""When a node passes a merged partial certificate on, to whom, and of which signers.

Pure: the clock comes from outside, and what is known is asked of the tally. For each open alert of a large
set the levels (`node.gossip.levels`) say who hears of us; this says when. What our part holds is told as soon
as it is complete, or when the time for it is over; again, a few times, when it grew. Whoever stays silent is
gone around: another operator of its part is told, and answers what it holds. Who has a quorum answers with
all of it, so that one honest operator that is asked is enough. Once we have a quorum we only tell what others
count on us for. Everything is bounded, for each alert and over all.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from consensus.alert import Alert
from consensus.alert import Level as Rung
from consensus.certificate import compute_levels
from consensus.operators import OperatorSet
from consensus.partial import PartialCertificate, compute_weight
from consensus.types import Digest, OperatorIndex, Signers
from node.gossip.levels import RADIX, Level, Part, compute_levels_of

DIRECT_UP_TO = 16
"""In sets of up to so many everybody tells everybody: fewer messages than levels need, and one step."""

LEVEL_SECONDS = 0.15
"""How long each level waits for those who are late: the longest one-way link that is expected."""

SLACK_SECONDS = 0.05
MAX_SENDS = 3
"""How often one level is told, the first time included; the pause doubles."""

MAX_ASKED = 3
"""How many more operators of a part are asked, one after the other, when something of it is missing."""

MAX_ANSWERS = 2
"""For each peer and alert."""

MAX_COURSES = 1_024
"""Alerts that are forwarded at a time; the oldest gives way."""


class Holdings(Protocol):
    """What the tally knows; `consensus.tally.Tally` is one."""

    def covered(self, digest: Digest) -> Signers: ...

    def merged(self, digest: Digest, within: Signers | None = None) -> PartialCertificate | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One partial certificate for one operator of the alert's set."""

    to: OperatorIndex
    partial: PartialCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderStatistics:
    """Parcels since the start, by why they were made."""

    courses: int
    told: int
    asked: int
    answered: int

    @property
    def sent(self) -> int:
        """All of them."""
        return self.told + self.asked + self.answered


@dataclass(slots=True, kw_only=True)
class _Telling:
    """One level: what was told, and when it may be told again."""

    level: Level
    due_at: float | None = None
    pause_seconds: float
    told: int = 0
    sends: int = 0


@dataclass(slots=True, kw_only=True)
class _Course:
    """One alert on its way through one node."""

    alert: Alert
    operator_set: OperatorSet
    tellings: list[_Telling]
    is_mine: bool
    started_at: float
    asks_due_at: dict[tuple[int, int], float]
    asks: Counter[tuple[int, int]] = field(default_factory=Counter)
    messages: Counter[OperatorIndex] = field(default_factory=Counter)
    answers: Counter[OperatorIndex] = field(default_factory=Counter)
    is_settled: bool = False


class Forwarder:
    """One node's forwarding.

    Args:
        holdings: the tally.
        radix, direct_up_to: the shape of the network, the same at every node.
        level_seconds: see LEVEL_SECONDS.
    """

    def __init__(
        self,
        holdings: Holdings,
        *,
        radix: int = RADIX,
        direct_up_to: int = DIRECT_UP_TO,
        level_seconds: float = LEVEL_SECONDS,
    ) -> None:
        self._holdings = holdings
        self._radix = radix
        self._direct_up_to = direct_up_to
        self._level_seconds = level_seconds
        self._courses: dict[Digest, _Course] = {}
        self._told = self._asked = self._answered = 0

    def statistics(self) -> ForwarderStatistics:
        return ForwarderStatistics(
            courses=len(self._courses), told=self._told, asked=self._asked, answered=self._answered
        )

    def forwards_in(self, operator_set: OperatorSet) -> bool:
        """Whether the set is large enough for levels."""
        return len(operator_set.operators) > self._direct_up_to

    def group(self, alert: Alert, operator_set: OperatorSet, me: OperatorIndex) -> tuple[OperatorIndex, ...]:
        """Whom our own signature goes to first."""
        levels = self._levels_of(alert, operator_set, me)
        return tuple(index for part in levels[0].parts for index in part.primary)

    def learned(self, alert: Alert, operator_set: OperatorSet, me: OperatorIndex, *, at: float) -> None:
        """The tally holds more of this alert than before."""
        digest = alert.digest()
        course = self._courses.get(digest)
        if course is None:
            if not self.forwards_in(operator_set):
                return
            course = self._courses[digest] = self._open(alert, operator_set, me, at)
            if len(self._courses) > MAX_COURSES:
                del self._courses[next(iter(self._courses))]
        covered = self._holdings.covered(digest)
        weight = compute_weight(covered, operator_set)
        course.is_mine = bool(covered >> me & 1)
        course.is_settled = Rung.PAUSE in compute_levels(weight, operator_set.total_weight)
        for telling in course.tellings:
            held = covered & telling.level.block
            if not held & ~telling.told:
                continue
            if telling.sends == 0 and held == telling.level.block:
                telling.due_at = at
            elif telling.due_at is None and telling.sends < MAX_SENDS:
                telling.due_at = at + telling.pause_seconds

    def heard(self, partial: PartialCertificate, sender: OperatorIndex) -> tuple[Parcel, ...]:
        """A partial certificate came from this operator; what it gets in return, if anything.

        Call it for whatever an operator sends, good or not: an answer costs no more than the question.
        """
        course = self._courses.get(partial.digest())
        if course is None or course.answers[sender] >= MAX_ANSWERS or not self._asks(course, sender):
            return ()
        whole = self._holdings.merged(partial.digest())
        if whole is None or not whole.signers & ~partial.signers:
            return ()  # it knows all that we know
        if course.is_settled:
            answer: PartialCertificate | None = None if self._is_quorum(course, partial.signers) else whole
        else:
            answer = self._block_for(course, sender, whole)
        if answer is None:
            return ()
        course.answers[sender] += 1
        self._answered += 1
        return (Parcel(to=sender, partial=answer),)

    def take_due(self, *, at: float) -> tuple[Parcel, ...]:
        """What is to be sent by now."""
        return tuple(
            parcel
            for course in list(self._courses.values())
            for parcel in (*self._take_tellings(course, at), *self._take_asks(course, at))
        )

    def next_due_at(self) -> float | None:
        """When `take_due` has something again; None when nothing is planned."""
        return min(
            (
                due_at
                for course in self._courses.values()
                for due_at in (
                    *(each.due_at for each in course.tellings if each.due_at is not None),
                    *course.asks_due_at.values(),
                )
            ),
            default=None,
        )

    def prune(self, now: int) -> None:
        """Forget the alerts whose window is over."""
        self._courses = {
            digest: course for digest, course in self._courses.items() if course.alert.expires_at >= now
        }

    def _levels_of(self, alert: Alert, operator_set: OperatorSet, me: OperatorIndex) -> tuple[Level, ...]:
        return compute_levels_of(
            me,
            digest=alert.digest(),
            epoch=alert.epoch,
            operator_count=len(operator_set.operators),
            radix=self._radix,
        )

    def _open(self, alert: Alert, operator_set: OperatorSet, me: OperatorIndex, at: float) -> _Course:
        above = self._levels_of(alert, operator_set, me)[1:]
        return _Course(
            alert=alert,
            operator_set=operator_set,
            tellings=[
                _Telling(level=level, pause_seconds=level.number * self._level_seconds) for level in above
            ],
            is_mine=False,
            started_at=at,
            asks_due_at={
                (level.number, number): at + (level.number + 1) * self._level_seconds + SLACK_SECONDS
                for level in above
                for number in range(len(level.parts))
            },
        )

    def _take_tellings(self, course: _Course, at: float) -> Iterator[Parcel]:
        for telling in course.tellings:
            if telling.due_at is None or telling.due_at > at:
                continue
            telling.due_at = None
            if course.is_settled and telling.sends:
                continue  # who still lacks something asks
            partial = self._worth_telling(course, telling.level.block)
            if partial is None or not partial.signers & ~telling.told:
                continue
            telling.told = partial.signers
            telling.sends += 1
            telling.pause_seconds = self._level_seconds * 2**telling.sends
            for part in telling.level.parts:
                for to in part.primary:
                    self._told += 1
                    yield Parcel(to=to, partial=partial)

    def _take_asks(self, course: _Course, at: float) -> Iterator[Parcel]:
        for key, due_at in list(course.asks_due_at.items()):
            if due_at > at:
                continue
            part, level = self._find(course, key)
            if course.is_settled or course.asks[key] >= self._asks_allowed(course, part):
                del course.asks_due_at[key]
                continue
            course.asks_due_at[key] = at + 2 * self._level_seconds * (1 + course.asks[key])
            if not part.members & ~self._holdings.covered(course.alert.digest()):
                continue
            to = part.others[course.asks[key]]
            course.asks[key] += 1
            partial = self._worth_telling(course, level.block) or self._holdings.merged(course.alert.digest())
            if partial is not None:
                self._asked += 1
                yield Parcel(to=to, partial=partial)

    def _asks_allowed(self, course: _Course, part: Part) -> int:
        """One signer's false alarm is not worth asking everybody about; a third's claim is."""
        weight = compute_weight(self._holdings.covered(course.alert.digest()), course.operator_set)
        if compute_levels(weight, course.operator_set.total_weight):
            return min(MAX_ASKED, len(part.others))
        return min(1, len(part.others)) if course.is_mine else 0

    def _worth_telling(self, course: _Course, block: Signers) -> PartialCertificate | None:
        """A whole quorum where we have one: it says all, in the same number of bytes."""
        return self._holdings.merged(course.alert.digest(), None if course.is_settled else block)

    @staticmethod
    def _asks(course: _Course, sender: OperatorIndex) -> bool:
        """Who tells us on its level is expected once; whoever else writes, or again, lacks something."""
        course.messages[sender] += 1
        is_teller = any(
            part.tellers >> sender & 1 for telling in course.tellings for part in telling.level.parts
        )
        return course.messages[sender] > 1 or not is_teller

    def _block_for(
        self, course: _Course, sender: OperatorIndex, whole: PartialCertificate
    ) -> PartialCertificate | None:
        """To one who is not ours to tell: our side of the level that parts us from it."""
        for telling in course.tellings:
            for part in telling.level.parts:
                if part.members >> sender & 1:
                    if sender in part.primary:
                        return None
                    return self._holdings.merged(whole.digest(), telling.level.block)
        return None

    def _is_quorum(self, course: _Course, signers: Signers) -> bool:
        if signers.bit_length() > len(course.operator_set.operators):
            return True  # nonsense, which an answer would not mend
        weight = compute_weight(signers, course.operator_set)
        return Rung.PAUSE in compute_levels(weight, course.operator_set.total_weight)

    @staticmethod
    def _find(course: _Course, key: tuple[int, int]) -> tuple[Part, Level]:
        number, part = key
        level = course.tellings[number - 1].level
        return level.parts[part], level
