"""The signer's side of the socket: who proves to be the paired watcher may ask, by the signer's rules.

A client that is slow, silent or dead costs its own connection: each has a task, a frame that was begun must
be finished in seconds, and there are never more than a few connections.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.alert_codec import decode_alert
from consensus.errors import Reason, Refused, Unavailable
from consensus.partial import decode_partial
from consensus.types import BlockNumber, OperatorIndex
from node.attest.channel import shake_hands
from node.attest.journal import Journal
from node.attest.messages import (
    MAX_DETAIL_CHARACTERS,
    Answer,
    Attest,
    HandOver,
    Hello,
    Key,
    Known,
    NotSigned,
    Request,
    Signed,
    decode_request,
    encode,
    handover_of,
)
from node.attest.pairing import Pairing
from node.attest.signer import Signer

MAX_CONNECTIONS: Final = 16
"""One watcher needs one; the rest are its connections from before, and whoever knocks."""
SOCKET_MODE: Final = 0o660
"""Owner and group may knock. Who may ask is proven afterwards."""
_BACKLOG: Final = 16

_log = structlog.get_logger("signer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatistics:
    """Counts since the start; `refused` by reason, of connections and of requests."""

    connections: int
    open: int
    signed: int
    refused: Mapping[Reason, int]


class SignerService:
    """Serves one signer to whoever holds the other file of the pair."""

    def __init__(self, signer: Signer, journal: Journal, pairing: Pairing) -> None:
        self._signer = signer
        self._journal = journal
        self._pairing = pairing
        self._connections = self._open = self._signed = 0
        self._refused: Counter[Reason] = Counter()

    def statistics(self) -> ServiceStatistics:
        return ServiceStatistics(
            connections=self._connections,
            open=self._open,
            signed=self._signed,
            refused=dict(self._refused),
        )

    async def run(self, listener: trio.SocketListener) -> None:
        """Serve until cancelled. Raises `Broken` when the journal does not write any more."""
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._open >= MAX_CONNECTIONS:
            self._refused[Reason.TOO_MANY_STREAMS] += 1
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        self._open += 1
        process = _process_of(stream)
        try:
            sealed = await shake_hands(stream, self._pairing)
            _log.info("watcher.connected", **process)
            while True:
                message = await sealed.receive()
                answer = await self._answer(message)
                await sealed.send(encode(answer))
        except Refused as refused:
            self._refused[refused.reason] += 1
            _log.warning("watcher.refused", reason=refused.reason, detail=refused.message, **process)
        except Unavailable as gone:
            _log.info("watcher.disconnected", detail=str(gone), **process)
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _answer(self, message: bytes) -> Answer:
        """What the watcher hears. A request that is none ends the connection: it raises `Refused`."""
        request = decode_request(message)
        try:
            return await self._do(request)
        except Refused as refused:
            self._refused[refused.reason] += 1
            _log.error("request.refused", reason=refused.reason, detail=refused.message)
            return NotSigned(reason=refused.reason.value, detail=refused.message[:MAX_DETAIL_CHARACTERS])
        except Unavailable as unavailable:
            _log.error("request.unavailable", detail=str(unavailable))
            return NotSigned(reason=None, detail=str(unavailable)[:MAX_DETAIL_CHARACTERS])

    async def _do(self, request: Request) -> Answer:
        match request:
            case Hello():
                causes = await self._journal.causes()
                return Key(public_key=self._signer.public_key.to_bytes(), causes=list(causes[-8:]))
            case Attest():
                alert = decode_alert(request.alert)
                attestation = await self._signer.attest(
                    alert, OperatorIndex(request.operator_index), since=BlockNumber(request.since)
                )
                self._signed += 1
                _log.info("alert.signed", digest=alert.digest(), slot_id=alert.slot_id(), epoch=alert.epoch)
                return Signed(signature=attestation.signature.to_bytes())
            case HandOver():
                handover = handover_of(request)
                signature = await self._signer.hand_over(handover)
                self._signed += 1
                _log.info("handover.signed", digest=handover.digest(), epoch=handover.epoch)
                return Signed(signature=signature.to_bytes())
            case _:
                await self._signer.witness(decode_partial(request.partial))
                return Known()


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[trio.SocketListener]:
    """A listener on a local socket at `path`, which goes away with it.

    The caller holds the journal, so that whatever socket is left there belongs to a process that has ended.
    Raises `Refused` (STORE_EXISTS) when something else lies there, (STORE_MISSING) when it cannot be made.
    """
    server = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with server:
        await trio.to_thread.run_sync(_remove_stale, path)
        try:
            before = os.umask(0o777 & ~SOCKET_MODE)
            try:
                await server.bind(str(path))
            finally:
                os.umask(before)
        except OSError as error:
            raise Refused(
                Reason.STORE_MISSING,
                f"no socket can be made at {path} ({error.strerror}); make its directory, owned by this "
                "user, and keep the whole path below 100 characters",
            ) from None
        server.listen(_BACKLOG)
        try:
            yield trio.SocketListener(server)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove_stale, path)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Refused(Reason.STORE_EXISTS, f"{path} is no socket and is not removed; name another path")
    path.unlink(missing_ok=True)


def _process_of(stream: trio.SocketStream) -> dict[str, int]:
    """Which process is at the other end, for the log: it proves nothing."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", raw)
    return {"pid": process, "uid": user}
