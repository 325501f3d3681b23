"""Says whenever the set of connected operators changes, so that "quiet" can be told from "alone"."""

from __future__ import annotations

import structlog
import trio

from node.gossip.transport import GossipTransport, PeerId

LOOK_SECONDS = 0.5

_log = structlog.get_logger("operate")


async def report_peers(transport: GossipTransport) -> None:
    """Log `peers.changed` with the number connected and registered, until cancelled."""
    known: tuple[PeerId, ...] | None = None
    while True:
        statistics = transport.statistics()
        if statistics.connected != known:
            known = statistics.connected
            _log.info(
                "peers.changed",
                connected=len(known),
                registered=statistics.registered,
                banned=len(statistics.banned),
            )
        await trio.sleep(LOOK_SECONDS)
