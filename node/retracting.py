"""Tells others when our chain has left a block that we signed about, and looks again when they tell us.

Nothing is taken back, here or there: a signature that was made can be counted for as long as its window
lasts, and guardians ask their own chain whether the block is one of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from consensus.alert import Alert, Slot
from consensus.errors import Reason, Refused
from consensus.retraction import Retraction, retract
from consensus.types import BlockHash, ChainId, Digest, NetworkId

MAX_SIGNED: Final = 1_024
"""Blocks that we signed about and may have to retract; a reorg is never as long."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at one chain that others cause: each is a request to every endpoint."""

_log = structlog.get_logger("retraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractionStatistics:
    """Counts since the start; `looked` is how often others made us look at a chain."""

    retracted: int
    heard: int
    looked: int


class Retractions:
    """One watcher's retractions, its own and others'.

    Args:
        network_id: retractions of another network are refused.
        has_left: whether our view of the slot's chain has left its block.
        look: asks the endpoints of a chain for its head now; chains that are not watched are refused.
        publish: tells every operator.
        settled: hears of digests that nobody needs to be reminded of any more.
    """

    def __init__(
        self,
        network_id: NetworkId,
        *,
        has_left: Callable[[Slot], bool],
        look: dict[ChainId, Callable[[], None]],
        publish: Callable[[Retraction], Awaitable[None]],
        settled: Callable[[Digest], None],
    ) -> None:
        self._network_id = network_id
        self._has_left = has_left
        self._look = look
        self._publish = publish
        self._settled = settled
        self._signed: OrderedDict[Digest, Slot] = OrderedDict()
        self._told: OrderedDict[BlockHash, None] = OrderedDict()
        self._looked_at: dict[ChainId, float] = {}
        self._retracted = self._heard = self._looked = 0

    def statistics(self) -> RetractionStatistics:
        return RetractionStatistics(retracted=self._retracted, heard=self._heard, looked=self._looked)

    def signed(self, alert: Alert) -> None:
        """This alert was signed here."""
        self._signed[alert.digest()] = alert.slot
        while len(self._signed) > MAX_SIGNED:
            self._signed.popitem(last=False)

    async def check(self, chain_id: ChainId) -> None:
        """Retract the blocks that we signed about and that the chain has left, each once.

        Asked with every head, not with reorgs alone: a signature may be made while a reorg comes in.
        """
        gone = {
            digest: slot
            for digest, slot in self._signed.items()
            if slot.source_chain_id == chain_id and self._has_left(slot)
        }
        for digest, slot in gone.items():
            del self._signed[digest]
            self._settled(digest)
            if slot.anchor_hash in self._told:
                continue
            self._told[slot.anchor_hash] = None
            while len(self._told) > MAX_SIGNED:
                self._told.popitem(last=False)
            self._retracted += 1
            _log.warning(
                "anchor.retracted",
                digest=digest,
                chain_id=chain_id,
                block_number=slot.anchor_number,
                block_hash=slot.anchor_hash,
            )
            await self._publish(retract(self._network_id, slot))

    async def take(self, retraction: Retraction) -> None:
        """Another operator's chain left a block: look at ours soon, where we do not know of it.

        Raises `Refused` (WRONG_NETWORK, WRONG_CHAIN).
        """
        if retraction.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this is network {self._network_id.hex()}, came {retraction.network_id.hex()}",
            )
        look = self._look.get(retraction.chain_id)
        if look is None:
            raise Refused(
                Reason.WRONG_CHAIN,
                f"chains {sorted(self._look)} are watched here, came a retraction on {retraction.chain_id}",
            )
        self._heard += 1
        now = trio.current_time()
        if now - self._looked_at.get(retraction.chain_id, float("-inf")) < LOOK_SECONDS:
            return
        self._looked_at[retraction.chain_id] = now
        self._looked += 1
        _log.info(
            "retraction.heard",
            chain_id=retraction.chain_id,
            block_number=retraction.block_number,
            block_hash=retraction.block_hash,
        )
        look()
