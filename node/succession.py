"""Has the operators of two sets sign one in after the other, as soon as the registry has captured the second.

At each head of the home chain: where a capture is deep enough, its header is read again from the registry,
the handover is computed and signed once, through the journal, and the vote is told to all until long after it
was counted. Members' votes come in through `take`. The proof is then the carriers' to bring to every chain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import structlog
import trio

from consensus.errors import Refused, Unavailable
from consensus.handover import Handover
from consensus.operators import OperatorSet
from consensus.succession import HandoverVote, Side, Succession
from consensus.types import Epoch, OperatorIndex
from node.attest.door import SigningDoor
from node.chain.clock import HeadClock
from node.chain.contracts import Registry
from node.chain.types import BlockRef

REPEAT_SECONDS: Final = 10.0
"""Between two repetitions of our newest votes until the proof is complete here, and some after that."""
HURRIED_REPEATS: Final = 3
LATER_TICKS: Final = 6
"""From then on they are repeated at every so manyth tick only, for those who were away."""

_log = structlog.get_logger("handover")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessionStatistics:
    """Counts since the start."""

    steps: int
    signed: int
    counted: int
    repeated: int


class SuccessionRoom:
    """Votes in and out.

    Args:
        succession: counts the votes.
        signer: the door to the key; None for who only counts.
        index_of: our place in an epoch's set, None where we are no member.
        sets: the operator sets that the registry has captured, oldest first.
        registry: on the home chain, read again before anything is signed.
        clock: the home chain's heads.
        confirmations: how many blocks a capture must be deep. A set that a reorganisation changes after it
            was signed for cannot be handed over to any more: the journal allows one handover an epoch.
        publish: tells all operators of a vote.
    """

    def __init__(
        self,
        succession: Succession,
        *,
        signer: SigningDoor | None,
        index_of: Callable[[Epoch], OperatorIndex | None],
        sets: Callable[[], tuple[OperatorSet, ...]],
        registry: Registry,
        clock: HeadClock,
        confirmations: int,
        publish: Callable[[HandoverVote], Awaitable[None]],
    ) -> None:
        self._succession = succession
        self._signer = signer
        self._index_of = index_of
        self._sets = sets
        self._registry = registry
        self._clock = clock
        self._confirmations = confirmations
        self._publish = publish
        self._votes: tuple[HandoverVote, ...] = ()
        self._seen: set[Epoch] = set()
        self._signed = self._counted = self._repeated = 0

    @property
    def newest(self) -> Epoch:
        """The newest epoch that is deep enough to be handed over to; 0 before any is."""
        handovers = self._succession.handovers()
        return Epoch(handovers[-1].epoch + 1 if handovers else 0)

    def statistics(self) -> SuccessionStatistics:
        return SuccessionStatistics(
            steps=len(self._succession.handovers()),
            signed=self._signed,
            counted=self._counted,
            repeated=self._repeated,
        )

    async def run(self) -> None:
        """Sign what the registry calls for and repeat our votes, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._repeat)
            head = await self._clock.wait_beyond(None)
            while True:
                await self.look(head)
                head = await self._clock.wait_other(head)

    async def look(self, head: BlockRef) -> None:
        """Take up each step that is deep enough at this head and was not taken up yet."""
        for outgoing, incoming in pairwise(self._sets()):
            is_deep = incoming.capture_block + self._confirmations <= head.number
            if not is_deep or outgoing.epoch in self._seen:
                continue
            try:
                await self._take_up(outgoing, incoming, head)
            except Unavailable as unavailable:  # tried again with the next head
                _log.warning("handover.unavailable", epoch=incoming.epoch, detail=str(unavailable))
            except Refused as refused:
                self._seen.add(outgoing.epoch)
                _log.error(
                    "handover.refused", epoch=incoming.epoch, reason=refused.reason, detail=refused.message
                )

    async def take(self, vote: HandoverVote) -> None:
        """Count a vote that came in. Raises `Refused` as `Succession.add` does."""
        if self._succession.add(vote):
            self._note(vote)

    def _note(self, vote: HandoverVote) -> None:
        self._counted += 1
        progress = self._succession.progress(vote.handover.epoch)
        assert progress is not None
        _log.info(
            "handover.vote",
            epoch=vote.handover.epoch,
            side=vote.side.name.lower(),
            operator_index=vote.operator_index,
            outgoing_weight=progress.outgoing,
            outgoing_total=progress.outgoing_total,
            incoming_weight=progress.incoming,
            incoming_total=progress.incoming_total,
        )

    async def _take_up(self, outgoing: OperatorSet, incoming: OperatorSet, head: BlockRef) -> None:
        captured = await self._registry.header_hash(incoming.epoch, head)
        if captured != incoming.header_hash():
            _log.error(
                "handover.contradicted",
                epoch=incoming.epoch,
                header_hash=incoming.header_hash(),
                captured=captured,
                block_number=head.number,
            )
            return
        handover = self._succession.add_step(outgoing, incoming)
        votes = await self._sign(handover, {Side.OUTGOING: outgoing, Side.INCOMING: incoming})
        self._seen.add(outgoing.epoch)
        for vote in votes:
            if self._succession.add(vote):
                self._note(vote)
            await self._publish(vote)
        self._votes = votes or self._votes

    async def _sign(self, handover: Handover, sets: dict[Side, OperatorSet]) -> tuple[HandoverVote, ...]:
        """Our vote for each side on which our key stands."""
        if self._signer is None:
            return ()
        ours = [(side, index) for side in Side if (index := self._own_index(sets[side])) is not None]
        if not ours:
            return ()
        signature = await self._signer.hand_over(handover)
        self._signed += 1
        _log.info("handover.signed", epoch=handover.epoch, next_set_hash=handover.next_set_hash)
        return tuple(
            HandoverVote(handover=handover, side=side, operator_index=index, signature=signature)
            for side, index in ours
        )

    def _own_index(self, operator_set: OperatorSet) -> OperatorIndex | None:
        """Our place under the key that we hold; None where we are no member, or stand with another key."""
        assert self._signer is not None
        index = self._index_of(operator_set.epoch)
        if index is None or operator_set.by_index(index).public_key != self._signer.public_key:
            return None
        return index

    async def _repeat(self) -> None:
        complete_ticks = silent_ticks = 0
        while True:
            await trio.sleep(REPEAT_SECONDS)
            is_complete = all(self._succession.proof(vote.handover.epoch) for vote in self._votes)
            complete_ticks = complete_ticks + 1 if is_complete else 0
            silent_ticks += 1
            # that all votes are here says nothing of where ours went
            if complete_ticks > HURRIED_REPEATS and silent_ticks < LATER_TICKS:
                continue
            silent_ticks = 0
            for vote in self._votes:
                await self._publish(vote)
                self._repeated += 1
