"""Says what the responder has read back from the chains."""

from __future__ import annotations

import structlog
import trio

from node.respond.types import Effect

_log = structlog.get_logger("watcher")


async def report_effects(effects: trio.MemoryReceiveChannel[Effect]) -> None:
    """Log `effect.verified` for each, until the channel ends."""
    async for effect in effects:
        _log.info(
            "effect.verified",
            digest=effect.digest,
            chain_id=effect.chain_id,
            guardian=effect.guardian,
            action=effect.action_id,
            rung=effect.level.name.lower(),
            transaction=effect.transaction,
            block_number=effect.block_number,
            restricted_until=effect.restricted_until,
        )
