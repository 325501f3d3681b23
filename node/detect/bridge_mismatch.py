"""Bridge mismatch: a release on one chain that no burn on the other chain stands behind.

A release is *backed* by a burn of the same claim (id, token, beneficiary and amount alike) that no earlier
release has used and that is not later than the release, give or take `clock_seconds` by which the two
chains' clocks differ. It is judged once the source chain's agreed view has passed the release's time by
`finality_seconds`; until then it is *unknown*, since the burn may only be late. So a verdict is a function of
what happened on both chains, not of the order in which the two were heard.

Memory is bounded. Of the burns that nobody collects, each token's largest are kept; where small ones had to
be forgotten, a release that is no larger than they were is unknown, and a larger one is still judged. Cost:
a few steps for each event. Misses: a forged message that copies a true one in all four fields before the
true one is collected, and what is stolen on the source side.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import Seconds
from node.bridge import Burn, Claim, Release
from node.detect.detector import shown
from node.trace import Token, TokenUnits

MAX_TOKENS: Final = 4_096
"""Tokens of which burns are remembered, beside those that the policy values; anybody can deploy one more."""

NOTHING_SEEN: Final = Seconds(-1)


class Backing(StrEnum):
    """What stands behind a release."""

    BACKED = "backed"
    UNBACKED = "unbacked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenValue:
    """A token's worth in the policy's unit: `units * numerator // denominator`."""

    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        if self.numerator < 0 or self.denominator < 1:
            raise Refused(
                Reason.OUT_OF_RANGE,
                "a token's value has a numerator of at least 0 and a denominator of at least 1, came "
                f"{self.numerator} / {self.denominator}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeParameters:
    """How two sides are compared, and what unbacked releases may lead to."""

    finality_seconds: Seconds
    """How far the source chain must be past a release before a missing burn counts as missing."""
    clock_seconds: Seconds
    """How much later than the release, by the chains' own clocks, its burn may stand."""
    outstanding_burns: int
    """Burns that are remembered of each token."""
    waiting_releases: int
    """Releases that may wait for the source chain; the oldest beyond it are given up as unknown."""
    window_seconds: Seconds
    """Unbacked value is summed over this span."""
    least_values: tuple[tuple[Level, int], ...]
    """For each level the unbacked value within the window that it takes, from the easiest level on."""
    values: Mapping[Token, TokenValue]
    """What tokens are worth. An unbacked release of any other token reaches the first level, no more."""

    def __post_init__(self) -> None:
        counts = (self.outstanding_burns, self.waiting_releases, self.window_seconds)
        if min(counts) < 1 or min(self.finality_seconds, self.clock_seconds) < 0:
            raise Refused(Reason.OUT_OF_RANGE, "a bridge's bounds are at least 1, and its delays at least 0")
        levels, values = zip(*self.least_values, strict=True) if self.least_values else ((), ())
        if not levels or list(levels) != sorted(set(levels)) or list(values) != sorted(values):
            raise Refused(
                Reason.OUT_OF_RANGE,
                "a bridge needs at least one level, from the easiest on, each with no less value than the "
                f"one before; came {[(level.name, value) for level, value in self.least_values]}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one release. `level` is None unless it is unbacked."""

    release: Release
    backing: Backing
    burn: Burn | None
    value: int | None
    """Of the release, in the policy's unit; None where the policy does not say what the token is worth."""
    window_value: int
    """Of all unbacked releases in the window that ends with this one."""
    level: Level | None
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStatistics:
    """What is kept, and what could not be told."""

    outstanding: int
    waiting: int
    forgotten: int
    unknown: int


class BridgeMismatch:
    """Keeps the burns that nobody has collected, and the releases that the source is not far enough for.

    For a start in the middle, `outstanding` are the burns that were not collected by then, and the source
    has been read up to `seen_until`.
    """

    def __init__(
        self,
        parameters: BridgeParameters,
        *,
        outstanding: Iterable[Burn] = (),
        seen_until: Seconds = NOTHING_SEEN,
    ) -> None:
        self._parameters = parameters
        self._burns = _Outstanding(parameters.outstanding_burns, parameters.values)
        self._seen_until = NOTHING_SEEN
        self._judged_until = NOTHING_SEEN
        self._waiting: list[tuple[int, Claim, str, Release]] = []
        self._window: deque[tuple[Seconds, int]] = deque()
        self._window_value = 0
        self._unknown = 0
        for burn in outstanding:
            self.add_burn(burn)
        self._seen_until = seen_until

    @property
    def seen_until(self) -> Seconds:
        """Every burn at or before this time has been told."""
        return self._seen_until

    @property
    def longest_wait_seconds(self) -> Seconds:
        """How far the source must be past a release for a verdict."""
        return max(self._parameters.finality_seconds, self._parameters.clock_seconds)

    @property
    def waiting(self) -> tuple[Release, ...]:
        """The releases that are unknown for now, from the oldest on."""
        return tuple(release for *_, release in self._waiting)

    def statistics(self) -> BridgeStatistics:
        """What is kept, and what could not be told so far."""
        return BridgeStatistics(
            outstanding=len(self._burns),
            waiting=len(self._waiting),
            forgotten=self._burns.forgotten,
            unknown=self._unknown,
        )

    def add_burn(self, burn: Burn) -> None:
        """Take in a burn. Raises `Refused` (OUT_OF_ORDER) where its time was said to be told in full."""
        if burn.burnt_at <= self._seen_until:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"burn {burn.reference} is of {burn.burnt_at}, and the source was read up to "
                f"{self._seen_until}: releases were judged without it; read the source from there again",
            )
        self._burns.add(burn)

    def add_release(self, release: Release) -> tuple[Verdict, ...]:
        """Take in a release: the verdicts that are due now, its own too if the source is far enough.

        Raises `Refused` (OUT_OF_ORDER) for a release that is older than one that was judged.
        """
        if release.released_at < self._judged_until:
            raise Refused(
                Reason.OUT_OF_ORDER,
                f"release {release.reference} is of {release.released_at}, and releases up to "
                f"{self._judged_until} were judged; tell releases in the order of their blocks",
            )
        key = (release.released_at, release.claim, release.reference, release)
        insort(self._waiting, key, key=lambda each: each[:3])
        return (*self._settle(), *self._give_up())

    def advance_source(self, seen_until: Seconds) -> tuple[Verdict, ...]:
        """Every burn at or before this time has been told: the verdicts that were waiting for it."""
        self._seen_until = max(self._seen_until, seen_until)
        return tuple(self._settle())

    def _settle(self) -> Iterable[Verdict]:
        # in the order of their times: a later release must not use the burn that an earlier one needs
        due = 0
        while due < len(self._waiting) and self._is_due(self._waiting[due][-1]):
            due += 1
        ready, self._waiting = self._waiting[:due], self._waiting[due:]
        if ready:
            self._judged_until = ready[-1][-1].released_at
        return [self._judge(release) for *_, release in ready]

    def _is_due(self, release: Release) -> bool:
        return release.released_at + self.longest_wait_seconds <= self._seen_until

    def _give_up(self) -> Iterable[Verdict]:
        excess = max(0, len(self._waiting) - self._parameters.waiting_releases)
        given_up, self._waiting = self._waiting[:excess], self._waiting[excess:]
        return [
            self._unknown_verdict(
                release,
                f"more than {self._parameters.waiting_releases} releases wait for a source chain that was "
                f"read up to {self._seen_until} only",
            )
            for *_, release in given_up
        ]

    def _judge(self, release: Release) -> Verdict:
        burn = self._burns.take(release.claim, Seconds(release.released_at + self._parameters.clock_seconds))
        if burn is not None:
            return self._verdict(release, Backing.BACKED, f"backed by burn {burn.reference}", burn=burn)
        if self._burns.may_have_forgotten(release.claim):
            return self._unknown_verdict(
                release, "burns of this size were forgotten for want of room; it may be one of them"
            )
        return self._unbacked_verdict(release)

    def _unbacked_verdict(self, release: Release) -> Verdict:
        value = self._value(release)
        self._add_to_window(release.released_at, value or 0)
        claim = release.claim
        worth = "of unknown value" if value is None else f"worth {value}"
        summary = (
            f"{claim.units} of {shown(claim.token)} {worth} went to {shown(claim.beneficiary)} as message "
            f"{claim.message_id}, which no unused burn up to {release.released_at} backs; "
            f"{self._window_value} unbacked within {self._parameters.window_seconds} s"
        )
        return self._verdict(release, Backing.UNBACKED, summary, level=self._level(value))

    def _unknown_verdict(self, release: Release, why: str) -> Verdict:
        self._unknown += 1
        return self._verdict(release, Backing.UNKNOWN, why)

    def _verdict(
        self,
        release: Release,
        backing: Backing,
        summary: str,
        *,
        burn: Burn | None = None,
        level: Level | None = None,
    ) -> Verdict:
        return Verdict(
            release=release,
            backing=backing,
            burn=burn,
            value=self._value(release),
            window_value=self._window_value,
            level=level,
            summary=summary,
        )

    def _value(self, release: Release) -> int | None:
        worth = self._parameters.values.get(release.claim.token)
        return None if worth is None else release.claim.units * worth.numerator // worth.denominator

    def _add_to_window(self, at: Seconds, value: int) -> None:
        if self._window and self._window[-1][0] == at:
            value_there = self._window.pop()[1]
            self._window.append((at, value_there + value))
        else:
            self._window.append((at, value))
        self._window_value += value
        while self._window[0][0] < at - self._parameters.window_seconds:
            self._window_value -= self._window.popleft()[1]

    def _level(self, value: int | None) -> Level | None:
        reached = [level for level, least in self._parameters.least_values if self._window_value >= least]
        if value is None and not reached:
            return self._parameters.least_values[0][0]
        return reached[-1] if reached else None


class _Outstanding:
    """Burns by claim. Of each token the `room` largest; what had to go is remembered by its size."""

    def __init__(self, room: int, known: Iterable[Token]) -> None:
        self._room = room
        self._by_claim: dict[Claim, list[tuple[Seconds, str, Burn]]] = {}
        self._counts: dict[Token, int] = dict.fromkeys(known, 0)
        self._most_tokens = MAX_TOKENS + len(self._counts)
        self._sizes: dict[Token, list[tuple[TokenUnits, Claim]]] = {}
        self._largest_forgotten: dict[Token, int] = {}
        self._has_forgotten_tokens = False
        self.forgotten = 0

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, burn: Burn) -> None:
        token = burn.claim.token
        if token not in self._counts and len(self._counts) >= self._most_tokens:
            self._has_forgotten_tokens = True
            self.forgotten += 1
            return
        insort(
            self._by_claim.setdefault(burn.claim, []),
            (burn.burnt_at, burn.reference, burn),
            key=lambda each: each[:2],
        )
        heappush(self._sizes.setdefault(token, []), (burn.claim.units, burn.claim))
        self._counts[token] = self._counts.get(token, 0) + 1
        if self._counts[token] > self._room:
            self._forget_smallest(token)

    def take(self, claim: Claim, until: Seconds) -> Burn | None:
        """The earliest burn of this claim that is not later than `until`, which is then used."""
        burns = self._by_claim.get(claim)
        if not burns or burns[0][0] > until:
            return None
        burn = burns.pop(0)[-1]
        self._drop_empty(claim)
        return burn

    def may_have_forgotten(self, claim: Claim) -> bool:
        if claim.token not in self._counts:
            return self._has_forgotten_tokens
        return claim.units <= self._largest_forgotten.get(claim.token, -1)

    def _forget_smallest(self, token: Token) -> None:
        """The latest burn of the smallest claim; claims that were collected are passed over."""
        sizes = self._sizes[token]
        while True:
            units, claim = heappop(sizes)
            burns = self._by_claim.get(claim)
            if burns:
                burns.pop()
                self._drop_empty(claim)
                break
        self._largest_forgotten[token] = max(units, self._largest_forgotten.get(token, -1))
        self.forgotten += 1

    def _drop_empty(self, claim: Claim) -> None:
        self._counts[claim.token] -= 1
        if not self._by_claim[claim]:
            del self._by_claim[claim]
        self._compact(claim.token)

    def _compact(self, token: Token) -> None:
        """Sizes of collected claims leave when they are most of the heap, so that it stays bounded too."""
        if len(self._sizes[token]) > 2 * max(self._room, 64):
            self._sizes[token] = sorted(
                (claim.units, claim)
                for claim, burns in self._by_claim.items()
                if claim.token == token
                for _ in burns
            )
