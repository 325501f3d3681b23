"""Both sides of a bridge along the branches that their chains are on, and what a block releases unbacked.

    burns of the source chain ───┐  by claim     ┌─► a block's releases that nothing backs:
    releases of the other chain ─┴─ and by block ┴   how many, or what they are worth

What is said of a block is a function of the events within `lookback_seconds` before it: a release is judged
with the burns and the earlier releases of its own claim in that span (`bridge_mismatch.py`), once the source
was told in full beyond the release's time. So it does not matter when a watcher started, as long as it has
read the span. What a reorg takes back leaves the book; burns that are older than the span back nothing.

Memory is bounded: of each token the largest burns are kept, up to the policy's `outstanding_burns`; a release
that is no larger than what had to go is unknown, and not unbacked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.bridge import Burn, Claim, Release
from node.detect.bridge_mismatch import Backing, BridgeMismatch
from node.detect.bridge_policy import BridgePolicy
from node.evaluate.expressions import Undefined
from node.evaluate.views import Block, View
from node.trace import Token

MARGIN_SECONDS: Final = Seconds(6 * 3_600)
"""Kept beyond the span, so that the blocks of a cooldown and of a member's question can be judged too."""
MAX_RELEASES: Final = 200_000
"""Within the span; with more, nothing is said of any block until they are fewer."""


class Take(StrEnum):
    """What a signal takes of a block's releases that nothing backs."""

    COUNT = "count"
    VALUE = "value"
    """In the unit of the bridge policy; tokens of unknown worth count for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeEvent:
    """One burn or release, and the block that it is in. `reference` is the transaction's hash."""

    claim: Claim
    number: BlockNumber
    block_hash: BlockHash
    at: Seconds
    reference: str


@dataclass(slots=True)
class Side:
    """One side's events, in the order of their blocks, up to `last`."""

    since: Seconds | None = None
    """Everything from this time on was told; None: nothing was."""
    last: Block | None = None
    _events: deque[BridgeEvent] = field(default_factory=deque)
    _by_claim: dict[Claim, list[BridgeEvent]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._events)

    def begin(self, since: Seconds) -> None:
        """Forget everything; what follows is all of this time on."""
        self.since, self.last = since, None
        self._events.clear()
        self._by_claim.clear()

    def add(self, events: Iterable[BridgeEvent]) -> None:
        """Take in events, in the order of their blocks."""
        for each in events:
            self._events.append(each)
            self._by_claim.setdefault(each.claim, []).append(each)

    def reach(self, block: Block) -> None:
        """Everything up to this block was told."""
        self.last = block

    def retract(self, number: BlockNumber) -> None:
        """The chain left its block of this number, and all after it."""
        while self._events and self._events[-1].number >= number:
            self._remove(self._events.pop())

    def forget(self, before: Seconds) -> None:
        """What is older than this is of no use any more."""
        self.since = before if self.since is None else max(self.since, before)
        while self._events and self._events[0].at < before:
            self._remove(self._events.popleft())

    def drop(self, event: BridgeEvent) -> None:
        """Leave one event out, for want of room."""
        self._events.remove(event)
        self._remove(event)

    def of(self, claim: Claim) -> Iterable[BridgeEvent]:
        """The events of this claim, in order."""
        return tuple(self._by_claim.get(claim, ()))

    def at(self, number: BlockNumber) -> tuple[BridgeEvent, ...]:
        """The events of one block."""
        found = []
        for each in reversed(self._events):
            if each.number < number:
                break
            if each.number == number:
                found.append(each)
        return tuple(reversed(found))

    def _remove(self, event: BridgeEvent) -> None:
        of_claim = self._by_claim[event.claim]
        of_claim.remove(event)
        if not of_claim:
            del self._by_claim[event.claim]


class BridgeBook:
    """What both chains say. `node/live/bridge.py` fills it."""

    def __init__(self, policy: BridgePolicy, lookback_seconds: Seconds) -> None:
        self.policy = policy
        self.lookback_seconds = lookback_seconds
        self.burns = Side()
        self.releases = Side()
        self._wait_seconds = BridgeMismatch(policy.parameters).longest_wait_seconds
        self._counts: dict[Token, int] = {}
        self._sizes: dict[Token, list[tuple[int, int, BridgeEvent]]] = {}
        self._largest_forgotten: dict[Token, int] = {}
        self._made = 0

    @property
    def burns_seen_until(self) -> Seconds:
        """Every burn at or before this time was told: the second before the last block, since the next may
        bear the same time."""
        return Seconds(-1 if self.burns.last is None else self.burns.last.timestamp - 1)

    def add_burns(self, events: Iterable[BridgeEvent]) -> None:
        """Take in burns, in the order of their blocks; the smallest of a token make room."""
        for each in events:
            self.burns.add((each,))
            token = each.claim.token
            self._made += 1
            heappush(self._sizes.setdefault(token, []), (each.claim.units, self._made, each))
            self._counts[token] = self._counts.get(token, 0) + 1
            if self._counts[token] > self.policy.parameters.outstanding_burns:
                self._forget_smallest(token)

    def begin_burns(self, since: Seconds) -> None:
        """Forget all burns; what follows is all of this time on."""
        self.burns.begin(since)
        self._counts.clear()
        self._sizes.clear()
        self._largest_forgotten.clear()

    def retract_burns(self, number: BlockNumber) -> None:
        """The burns' chain left its block of this number, and all after it."""
        self.burns.retract(number)
        self._recount()

    def prune(self) -> None:
        """Forget what is older than the span that any block still looks back over."""
        if self.releases.last is None:
            return
        oldest = Seconds(self.releases.last.timestamp - self.lookback_seconds - MARGIN_SECONDS)
        self.burns.forget(oldest)
        self.releases.forget(oldest)
        self._recount()

    def knows(self, block: Block) -> bool:
        """Whether something can be said of this block now."""
        last, sides = self.releases.last, (self.releases, self.burns)
        if last is None or block.number > last.number:
            return False
        if any(side.since is None or side.since > block.timestamp - self.lookback_seconds for side in sides):
            return False
        if not self.releases.at(block.number):
            return True
        return self.burns_seen_until >= block.timestamp + self._wait_seconds

    def value(self, block: Block, take: Take) -> int | Undefined:
        """The block's releases that nothing backs. Raises `Unavailable` where that is not known yet."""
        releases = self.releases.at(block.number)
        if not self.knows(block) or any(each.block_hash != block.hash for each in releases):
            raise Unavailable(
                f"what backs the releases of block {block.number} is not known: the other chain was read up "
                f"to {self.burns_seen_until}, the block is of {block.timestamp} (bridge.* in the log)"
            )
        if not releases:
            return 0
        if len(self.releases) > MAX_RELEASES:
            return Undefined(
                Reason.SIGNAL_UNDEFINED,
                f"more than {MAX_RELEASES} releases within the span; shorten lookback_seconds",
            )
        return self._judge(block, releases, take)

    def _judge(self, block: Block, releases: tuple[BridgeEvent, ...], take: Take) -> int | Undefined:
        since = block.timestamp - self.lookback_seconds
        until = block.timestamp + self.policy.parameters.clock_seconds
        claims = {each.claim for each in releases}
        mismatch = BridgeMismatch(
            self.policy.parameters,
            outstanding=[
                Burn(claim=each.claim, burnt_at=each.at, reference=each.reference)
                for claim in claims
                for each in self.burns.of(claim)
                if since <= each.at <= until
            ],
            seen_until=Seconds(block.timestamp + self._wait_seconds),
        )
        earlier = [
            each
            for claim in claims
            for each in self.releases.of(claim)
            if each.at >= since and each.number < block.number
        ]
        for each in sorted(earlier, key=lambda event: event.number):
            mismatch.add_release(_release(each))
        unbacked, worth, unknown = 0, 0, 0
        for each in releases:
            for verdict in mismatch.add_release(_release(each)):
                if verdict.backing is Backing.UNBACKED and not self._may_be_forgotten(each.claim):
                    unbacked += 1
                    worth += verdict.value or 0
                elif verdict.backing is not Backing.BACKED:
                    unknown += 1
        if unknown and not unbacked:
            return Undefined(
                Reason.SIGNAL_UNDEFINED,
                f"{unknown} releases of block {block.number} may be of burns that were forgotten for want of "
                "room",
            )
        return unbacked if take is Take.COUNT else worth

    def _may_be_forgotten(self, claim: Claim) -> bool:
        return claim.units <= self._largest_forgotten.get(claim.token, -1)

    def _forget_smallest(self, token: Token) -> None:
        sizes = self._sizes[token]
        while sizes:
            units, _, event = heappop(sizes)
            if event in self.burns.of(event.claim):
                self.burns.drop(event)
                self._counts[token] -= 1
                self._largest_forgotten[token] = max(units, self._largest_forgotten.get(token, -1))
                return

    def _recount(self) -> None:
        """Sizes of burns that have left the book leave too, when they are most of it."""
        for token, sizes in self._sizes.items():
            kept = [each for each in sizes if each[2] in self.burns.of(each[2].claim)]
            self._sizes[token], self._counts[token] = sorted(kept, key=lambda each: each[:2]), len(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge policy that a rule policy names."""

    policy: BridgePolicy

    @property
    def releases_chain_id(self) -> ChainId:
        """The chain that pays out, which rules over it watch."""
        return self.policy.releases.chain_id

    def make_values(self, *, take: str, lookback_seconds: Seconds) -> BridgeValues:
        """Nothing known yet."""
        return BridgeValues(self.policy, take=Take(take), lookback_seconds=lookback_seconds)


class BridgeValues:
    """Implements `BlockValues`: a block's unbacked releases, by a bridge policy. A function of what both
    chains hold, so that rules over it may ask for any level."""

    hardest = Level.PAUSE
    remedy = ""

    def __init__(self, policy: BridgePolicy, *, take: Take, lookback_seconds: Seconds) -> None:
        self.book = BridgeBook(policy, lookback_seconds)
        self.take = take

    @property
    def policy(self) -> BridgePolicy:
        """By which both sides are read and matched."""
        return self.book.policy

    @property
    def burns_chain_id(self) -> ChainId:
        """The chain that has to be read beside the policy's own."""
        return self.policy.burns.chain_id

    def knows(self, block: Block) -> bool:
        """Whether there is an answer for this block now."""
        return self.book.knows(block)

    async def read(self, view: View) -> int | Undefined:
        """The value at the view's block. Raises `Unavailable` while the other chain lags."""
        return self.book.value(view.ref, self.take)

    def form(self) -> Mapping[str, object]:
        """What enters the policy's hash."""
        return {
            "bridge": f"0x{self.policy.hash.hex()}",
            "take": self.take.value,
            "lookback_seconds": self.book.lookback_seconds,
        }


def _release(event: BridgeEvent) -> Release:
    return Release(claim=event.claim, released_at=event.at, reference=event.reference)
