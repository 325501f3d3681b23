"""One source chain, watched: its heads in, the alerts that its policies ask for out.

head ─┬─► rules that are judged at once
      ├─► what keeps up with the chain (live) ─► rules that wait for it
      └─► pending transactions, run on this head's state (foresight)

question ─► whichever of the three judges its rule
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import trio

from consensus.alert import Alert
from consensus.types import BlockHash, ChainId, SlotId
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.evaluate.engine import Engine, make_engines
from node.evaluate.findings import Question
from node.evaluate.lookups import BlockValues, LookedUpSignal
from node.evaluate.outlet import Membership, Outlet
from node.evaluate.policy import PendingDetectionRule, Policy
from node.evaluate.room import EvaluationRoom, RoomStatistics
from node.foresight.evidence import EvidenceDesk
from node.foresight.eyes import Eyes
from node.foresight.room import ForesightRoom, ForesightStatistics
from node.live.room import LiveRoom, LiveStatistics
from node.live.row import JudgedBlock
from node.observe.view import BlockView
from node.opened import OpenChain

HEADS = 64  # a minute of a fast chain; then heads wait


class ChainWatch:
    """All that judges one chain. `policies` are those whose source it is.

    Args:
        eyes: what its pending transactions are seen with; None where no policy asks for them.
        readers: every chain of the configuration: a bridge's rules read its other side.
        membership: asked at each finding, since sets change.
        alerts: where findings leave as alerts.
        desk: bytes of pending transactions, for and from other members.
        answered: hears of each question that has been looked into.
    """

    def __init__(
        self,
        chain: OpenChain,
        policies: Sequence[Policy],
        *,
        eyes: Eyes | None,
        readers: Mapping[ChainId, ChainReader],
        membership: Callable[[], Membership],
        alerts: trio.MemorySendChannel[Alert],
        desk: EvidenceDesk,
        answered: Callable[[Question], None],
    ) -> None:
        def open_room(engines: Iterable[Engine]) -> EvaluationRoom:
            return EvaluationRoom(engines=tuple(engines), membership=membership, alerts=alerts)

        engines = [make_engines(policy) for policy in policies]
        self._chain = chain
        self._answered = answered
        self._views_in, self._views = trio.open_memory_channel[BlockView](HEADS)
        self._judged_in, self._judged = trio.open_memory_channel[JudgedBlock](HEADS)
        self._prompt = open_room(engine for at_once, _ in engines for engine in at_once)
        self._late = open_room(engine for _, waiting in engines for engine in waiting)
        self._live: LiveRoom | None = None
        self._foresight: ForesightRoom | None = None
        if self._late.policies or any(map(_asks_detections, policies)):
            self._live = LiveRoom(
                values=_looked_up(policies),
                pool=chain.connection.tracing,
                ancestry=chain.follower.ancestry,
                judged=self._judged_in,
                is_ready=self._late.is_ready,
                readers=readers,
            )
        if eyes is not None:
            self._foresight = ForesightRoom(
                chain_id=chain.config.chain_id,
                policies=policies,
                eyes=eyes,
                outlet=Outlet(membership=membership, alerts=alerts),
                desk=desk,
                answered=answered,
            )

    def statistics(self) -> tuple[RoomStatistics, RoomStatistics]:
        """Of the rules that are judged at once, and of those that wait."""
        return self._prompt.statistics(), self._late.statistics()

    def foresight_statistics(self) -> ForesightStatistics | None:
        """What came of pending transactions; None where no rule is about them."""
        return None if self._foresight is None else self._foresight.statistics()

    def live_statistics(self) -> LiveStatistics | None:
        """Of what the others wait for; None where none does."""
        return None if self._live is None else self._live.statistics()

    async def see(self, ref: BlockRef) -> None:
        """A head has come. Waits while the heads before it are being judged."""
        await self._views_in.send(self._view(ref))
        if self._live is not None:
            self._live.see(ref)
        if self._foresight is not None:
            self._foresight.head(ref)

    async def run(self) -> None:
        """Judge until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._evaluate)
            if self._live is not None:
                nursery.start_soon(self._evaluate_late, self._live)
                nursery.start_soon(self._live.run)
            if self._foresight is not None:
                nursery.start_soon(self._foresight.run)

    async def answer(self, question: Question, asker: str | None) -> None:
        """Look into what a member saw; `asker` is its peer id, where one is known."""
        if self._foresight is not None and self._foresight.judges(question):
            self._foresight.ask(question, asker)  # it tells when it is answered
            return
        rooms = [room for room in (self._late, self._prompt) if room.judges(question)] or [self._prompt]
        for room in rooms:
            await room.answer(question, self._open_view)
        self._answered(question)

    def forget(self, slot_id: SlotId) -> None:
        """An alert that was raised here was not signed: it may be raised again."""
        for room in (self._prompt, self._late, self._foresight):
            if room is not None:
                room.forget(slot_id)

    async def _evaluate(self) -> None:
        async for view in self._views:
            await self._prompt.evaluate(view)

    async def _evaluate_late(self, live: LiveRoom) -> None:
        async for block in self._judged:
            if self._foresight is not None:
                self._foresight.judged()
            view = live.view(block.ref)
            await (self._late.evaluate if block.is_live else self._late.look_back)(view)

    async def _open_view(self, _chain_id: ChainId, block_hash: BlockHash) -> BlockView:
        ref = await self._chain.reader.block_by_hash(block_hash)
        return self._view(ref) if self._live is None else self._live.view(ref)

    def _view(self, ref: BlockRef) -> BlockView:
        return BlockView(ref, self._chain.reader, self._chain.follower.ancestry)


def _asks_detections(policy: Policy) -> bool:
    return any(isinstance(rule, PendingDetectionRule) for rule in policy.pending_rules)


def _looked_up(policies: Sequence[Policy]) -> Iterator[BlockValues]:
    """What other rooms work out for the rules."""
    for policy in policies:
        for signal in policy.signals:
            if isinstance(signal, LookedUpSignal):
                yield signal.values
