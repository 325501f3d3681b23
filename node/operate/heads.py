"""Says when a chain's heads stop coming and why: "nothing happens" is not "nothing is seen"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import structlog
import trio

from consensus.types import ChainId
from node.observe.heads import HeadStatistics

LOOK_SECONDS = 3.0  # a few polls: one that fails between two blocks is not worth a line

_log = structlog.get_logger("operate")


class Follower(Protocol):
    """Who follows a chain; `HeadFollower` of node/observe does."""

    def statistics(self) -> HeadStatistics: ...


async def report_heads(followers: Mapping[ChainId, Follower]) -> None:
    """Log `head.unavailable` when a chain's sources stop agreeing, `head.available` at the next block."""
    before = {chain_id: follower.statistics() for chain_id, follower in followers.items()}
    lost: set[ChainId] = set()
    while True:
        await trio.sleep(LOOK_SECONDS)
        for chain_id, follower in followers.items():
            now, then = follower.statistics(), before[chain_id]
            before[chain_id] = now
            has_moved, has_failed = now.emitted > then.emitted, now.unavailable > then.unavailable
            if has_moved and chain_id in lost:
                lost.remove(chain_id)
                _log.info("head.available", chain_id=chain_id)
            elif has_failed and not has_moved and chain_id not in lost:
                lost.add(chain_id)
                _log.warning("head.unavailable", chain_id=chain_id, detail=now.last_unavailable)
