"""The room: alerts of our own evaluation in, our attestations out. Nothing else is ever signed here."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.errors import Refused
from consensus.types import Digest, Epoch, OperatorIndex
from node.attest.signer import Signer

_log = structlog.get_logger("attest")


async def sign_alerts(
    alerts: trio.MemoryReceiveChannel[Alert],
    *,
    signer: Signer,
    index_of: Callable[[Epoch], OperatorIndex | None],
    raised: Callable[[Digest], None],
    to: tuple[trio.MemorySendChannel[Attestation], ...],
) -> None:
    """Journal and sign each alert, and send the attestation through every door in `to`, in that order.

    `index_of` is our place in an epoch's set, None where we are no member; `raised` hears of every alert
    first, so that nobody asks whether we see what we are about to sign. A refusal of the journal is final
    for its slot and is logged as an error: two different alerts for one slot mean that our view
    contradicted itself.
    """
    async for alert in alerts:
        raised(alert.digest())
        index = index_of(alert.epoch)
        if index is None:
            _log.warning(
                "attestation.skipped", digest=alert.digest(), epoch=alert.epoch, reason="not_a_member"
            )
            continue
        try:
            attestation = await signer.attest(alert, index)
        except Refused as refused:
            _log.error(
                "attestation.refused", digest=alert.digest(), reason=refused.reason, detail=refused.message
            )
            continue
        for door in to:
            await door.send(attestation)
        _log.info(
            "attestation.signed",
            digest=alert.digest(),
            slot_id=alert.slot_id(),
            epoch=alert.epoch,
            operator_index=index,
        )
