"""The room: alerts of our own evaluation in, our attestations out. Nothing else is ever signed here."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog
import trio

from consensus.alert import Alert, Slot
from consensus.attestation import Attestation
from consensus.errors import Reason, Refused, Unavailable
from consensus.partial import Contribution
from consensus.types import BlockNumber, ChainId, Digest, Epoch, OperatorIndex, Seconds
from node.attest.door import SigningDoor

MAX_HEARD: Final = 256
"""Signatures in our name that wait to be looked at; one of them is enough to stop."""
MAX_SIGNED: Final = 4_096
"""Digests that were signed in this run, so that each of our own is not looked up again when it comes back."""
GATHER_SECONDS: Final = 3.0
"""From the first signature in our name that we did not make to the end: peers tell of others meanwhile."""
RETRY_SECONDS: Final = 0.5
"""Between two attempts while the key cannot be reached or its journal has no space."""

_log = structlog.get_logger("attest")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningStatistics:
    """Counts since the start, in alerts. Now: whether an alert waits for the key or its journal, and how many
    wait behind it."""

    signed: int
    skipped: int
    refused: int
    orphaned: int
    expired: int
    unavailable: int
    is_unavailable: bool
    waiting: int


class SigningRoom:
    """Signs what was raised here, one alert after the other.

    Args:
        signer: the door to the key.
        index_of: our place in an epoch's set, None where we are no member.
        raised: hears of every alert first, so that nobody asks whether we see what we are about to sign.
        since: the head of a chain with which this watcher began; None while there was none: nothing is
            signed about a chain that was not seen.
        is_orphaned: whether we know that a slot's block is not of its chain any more.
        now: the chains' own time, by which alerts expire.
        dropped: hears of an alert that was not signed because its block was orphaned: should the chain come
            back to that block, the alert is wanted again.
        signed: hears of every alert that was signed.
        listen_seconds: how long nothing is signed after the start. What another process has signed with this
            key, or this one before its journal was put back, is on the network and comes in meanwhile.
    """

    def __init__(
        self,
        signer: SigningDoor,
        *,
        index_of: Callable[[Epoch], OperatorIndex | None],
        raised: Callable[[Digest], None],
        since: Callable[[ChainId], BlockNumber | None],
        is_orphaned: Callable[[Slot], bool],
        now: Callable[[], Seconds],
        dropped: Callable[[Alert], None],
        signed: Callable[[Alert], None],
        listen_seconds: float,
    ) -> None:
        self._signer = signer
        self._index_of = index_of
        self._raised = raised
        self._since = since
        self._is_orphaned = is_orphaned
        self._now = now
        self._dropped = dropped
        self._tell_signed = signed
        self._listen_seconds = listen_seconds
        self.is_listening = True
        self._heard = deque[Contribution]()
        self._is_heard = trio.Event()
        self._look = trio.Lock()
        self._own: OrderedDict[Digest, None] = OrderedDict()
        self._alerts: trio.MemoryReceiveChannel[Alert] | None = None
        self._signed = self._skipped = self._refused = 0
        self._orphaned = self._expired = self._unavailable = 0
        self._is_unavailable = False

    def statistics(self) -> SigningStatistics:
        return SigningStatistics(
            signed=self._signed,
            skipped=self._skipped,
            refused=self._refused,
            orphaned=self._orphaned,
            expired=self._expired,
            unavailable=self._unavailable,
            is_unavailable=self._is_unavailable,
            waiting=0 if self._alerts is None else self._alerts.statistics().current_buffer_used,
        )

    def heard(self, contribution: Contribution) -> None:
        """A signature that the tally found good. What is not in our name, or was made here, passes."""
        index = self._index_of(contribution.alert.epoch)
        if index is None or not contribution.signers >> index & 1 or contribution.digest() in self._own:
            return
        if len(self._heard) < MAX_HEARD:
            self._heard.append(contribution)
        self._is_heard.set()

    async def look_at_heard(self) -> None:
        """Hold what is heard in our name against the journal, until cancelled.

        Raises `Refused` (SIGNED_ELSEWHERE): the key is used elsewhere, or was, after the journal we have.
        """
        while True:
            await self._is_heard.wait()
            self._is_heard = trio.Event()
            try:
                await self._witness_all()
            except Unavailable:  # said by the alert that waits, and looked at before anything is signed
                await trio.sleep(RETRY_SECONDS)
                self._is_heard.set()
            except Refused as refused:
                await self._stop(refused)

    async def _witness_all(self) -> None:
        """Have all that was heard taken in; raise the first refusal then."""
        refusal: Refused | None = None
        async with self._look:
            while self._heard:
                try:
                    await self._signer.witness(self._heard[0])
                except Refused as refused:
                    refusal = refusal or refused
                self._remember(self._heard.popleft().digest())
        if refusal is not None:
            raise refusal

    async def _stop(self, refused: Refused) -> NoReturn:
        """Take in what else comes, then end.

        Where there was one such signature there may be more, and each that is missed would end the next life.
        """
        _log.error("signing.stopped", reason=refused.reason, detail=refused.message)
        await trio.sleep(GATHER_SECONDS)
        with suppress(Refused, Unavailable):
            await self._witness_all()
        raise refused

    async def run(
        self,
        alerts: trio.MemoryReceiveChannel[Alert],
        to: tuple[trio.MemorySendChannel[Attestation], ...],
    ) -> None:
        """Listen; then journal and sign each alert, and send the attestation through every door in `to`, in
        that order.

        A refusal of the journal is final for its slot and is logged as an error: two different alerts for one
        slot mean that our view contradicted itself. While the key cannot be reached the alert waits, until
        its window is over or its block is orphaned, and all others behind it.
        """
        self._alerts = alerts
        await trio.sleep(self._listen_seconds)  # by the monotonic clock: no step of the wall clock ends it
        self.is_listening = False
        _log.info("signing.begun", listened_seconds=self._listen_seconds)
        async for alert in alerts:
            attestation = await self._sign(alert)
            if attestation is None:
                continue
            self._tell_signed(alert)
            for door in to:
                await door.send(attestation)
            self._signed += 1
            _log.info(
                "attestation.signed",
                digest=alert.digest(),
                slot_id=alert.slot_id(),
                epoch=alert.epoch,
                operator_index=attestation.operator_index,
            )

    async def _sign(self, alert: Alert) -> Attestation | None:
        self._raised(alert.digest())
        index = self._index_of(alert.epoch)
        if index is None:
            self._skipped += 1
            _log.warning(
                "attestation.skipped", digest=alert.digest(), epoch=alert.epoch, reason=Reason.NOT_A_MEMBER
            )
            return None
        try:
            return await self._sign_at(index, alert)
        finally:
            self._is_unavailable = False

    async def _sign_at(self, index: OperatorIndex, alert: Alert) -> Attestation | None:
        while self._is_wanted(alert):
            try:
                await self._witness_all()
                since = self._require_head(alert.slot.source_chain_id)
                attestation = await self._signer.attest(alert, index, since=since)
            except Refused as refused:
                if refused.reason is Reason.SIGNED_ELSEWHERE:
                    await self._stop(refused)
                self._refused += 1
                _log.error(
                    "attestation.refused",
                    digest=alert.digest(),
                    reason=refused.reason,
                    detail=refused.message,
                )
                return None
            except Unavailable as unavailable:
                if not self._is_unavailable:
                    self._unavailable += 1
                    waiting = self.statistics().waiting
                    _log.error("signing.unavailable", detail=str(unavailable), waiting=waiting)
                self._is_unavailable = True
                await trio.sleep(RETRY_SECONDS)
            else:
                if self._is_unavailable:
                    _log.warning("signing.available", digest=alert.digest())
                self._remember(alert.digest())
                return attestation
        return None

    def _require_head(self, chain_id: ChainId) -> BlockNumber:
        since = self._since(chain_id)
        if since is None:
            raise Unavailable(f"chain {chain_id} has shown no head since this watcher began")
        return since

    def _remember(self, digest: Digest) -> None:
        self._own[digest] = None
        while len(self._own) > MAX_SIGNED:
            self._own.popitem(last=False)

    def _is_wanted(self, alert: Alert) -> bool:
        """Whether a signature may still be good for anything. Asked right before each attempt."""
        if self._is_orphaned(alert.slot):
            self._orphaned += 1
            self._dropped(alert)
            reason = Reason.ANCHOR_ORPHANED
        elif self._now() > alert.expires_at:
            self._expired += 1
            reason = Reason.ALERT_EXPIRED
        else:
            return True
        _log.warning(
            "attestation.dropped",
            digest=alert.digest(),
            reason=reason,
            chain_id=alert.slot.source_chain_id,
            block_number=alert.slot.anchor_number,
        )
        return False
