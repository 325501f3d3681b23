"""The watcher's side of the socket: the door to a key that is in another process.

It connects when it is first needed, and again after every failure. One request is under way at a time; one
that is cut short takes its connection along, so that no answer is ever taken for another's. Asking again is
harmless: the signer signs the same, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.alert import Alert
from consensus.alert_codec import encode_alert
from consensus.attestation import Attestation
from consensus.bls import PublicKey, Purpose, Signature, verify
from consensus.errors import Broken, Reason, Refused, Unavailable
from consensus.handover import Handover
from consensus.partial import Contribution, as_partial, encode_partial
from consensus.types import BlockNumber, Digest, OperatorIndex
from node.attest.channel import SealedStream, shake_hands
from node.attest.messages import (
    Answer,
    Attest,
    Hello,
    Key,
    Known,
    NotSigned,
    Request,
    Signed,
    Witness,
    decode_answer,
    encode,
    request_handover,
)
from node.attest.pairing import Pairing

ANSWER_SECONDS: Final = 10.0
"""For one answer: a signature takes milliseconds, a disk that is busy some seconds."""

RECONNECT_SECONDS: Final = 1.0

_log = structlog.get_logger("attest")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatistics:
    """Counts since the start; `waiting` requests stand in line now."""

    connected: int
    answered: int
    unavailable: int
    waiting: int


class RemoteSigner:
    """A `SigningDoor` to the signer that listens at `path`."""

    def __init__(self, path: Path, pairing: Pairing) -> None:
        self._path = path
        self._pairing = pairing
        self._stream: SealedStream | None = None
        self._public_key: PublicKey | None = None
        self._turn = trio.Lock()
        self._is_missed = False
        self._connected = self._answered = self._unavailable = 0

    def statistics(self) -> RemoteStatistics:
        return RemoteStatistics(
            connected=self._connected,
            answered=self._answered,
            unavailable=self._unavailable,
            waiting=self._turn.statistics().tasks_waiting,
        )

    @property
    def public_key(self) -> PublicKey:
        """The signer's key, which it said when it was first reached. Raises `Unavailable` before."""
        if self._public_key is None:
            raise Unavailable(f"the signer at {self._path} was not reached yet; is it running?")
        return self._public_key

    async def stay_connected(self) -> None:
        """Connect again whenever the connection is lost, until cancelled: not only when there is an alert."""
        while True:
            await trio.sleep(RECONNECT_SECONDS)
            try:
                await self.greet()
            except (Unavailable, Refused) as error:
                if not self._is_missed:
                    _log.error("signing.unavailable", detail=str(error), waiting=self.statistics().waiting)
                self._is_missed = True
            else:
                self._is_missed = False

    async def greet(self) -> None:
        """Connect where there is no connection; at the start, what cannot work is found by it.

        Raises `Refused` (PEER_UNPROVEN) for a signer that was not paired with this watcher, `Unavailable`
        while there is none; requests connect by themselves later.
        """
        async with self._turn:
            if self._stream is None:
                await self._connect()

    async def attest(self, alert: Alert, operator_index: OperatorIndex, *, since: BlockNumber) -> Attestation:
        signature = await self._sign(
            Attest(alert=encode_alert(alert), operator_index=operator_index, since=since),
            Purpose.ALERT,
            alert.digest(),
        )
        return Attestation(alert=alert, operator_index=operator_index, signature=signature)

    async def hand_over(self, handover: Handover) -> Signature:
        return await self._sign(request_handover(handover), Purpose.HANDOVER, handover.digest())

    async def witness(self, contribution: Contribution) -> None:
        answer = await self._ask(Witness(partial=encode_partial(as_partial(contribution))))
        if not isinstance(answer, Known):
            raise _unexpected(answer)

    async def aclose(self) -> None:
        """Close the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _sign(self, request: Request, purpose: Purpose, digest: Digest) -> Signature:
        answer = await self._ask(request)
        if not isinstance(answer, Signed):
            raise _unexpected(answer)
        signature = Signature(answer.signature)
        if self._public_key is None or not verify(self._public_key, purpose, digest, signature):
            raise Broken(
                f"the signer at {self._path} answered with a signature that is not its key's over "
                f"0x{digest.hex()}; run the same release on both sides"
            )
        return signature

    async def _ask(self, request: Request) -> Answer:
        """One answer. Raises what the signer refused, and `Unavailable` when there was none."""
        async with self._turn:
            try:
                if self._stream is None:
                    await self._connect()
                answer = await self._exchange(request)
            except Unavailable as error:
                self._unavailable += 1
                raise Unavailable(f"the signer at {self._path} gave no answer: {error}") from error
            except Refused as refused:  # its socket is there, and it is not the one that was paired
                self._unavailable += 1
                raise Unavailable(
                    f"the signer at {self._path} cannot be trusted: {refused.message}"
                ) from refused
            self._answered += 1
        if isinstance(answer, NotSigned):
            raise _failure_of(answer)
        return answer

    async def _exchange(self, request: Request) -> Answer:
        assert self._stream is not None
        stream, self._stream = self._stream, None  # taken back only when the answer is whole
        try:
            with trio.fail_after(ANSWER_SECONDS):
                await stream.send(encode(request))
                answer = decode_answer(await stream.receive())
        except trio.TooSlowError:
            raise Unavailable(f"no answer within {ANSWER_SECONDS} s") from None
        else:
            self._stream = stream
            return answer
        finally:
            if self._stream is None:
                await stream.aclose()

    async def _connect(self) -> None:
        try:
            raw = await trio.open_unix_socket(str(self._path))
        except OSError as error:
            raise Unavailable(f"nobody listens there ({error.strerror})") from error
        except ValueError as error:  # a path that is longer than a socket's may be
            raise Refused(Reason.BAD_CONFIG, f"{self._path} is no path for a socket: {error}") from error
        try:
            self._stream = await shake_hands(raw, self._pairing)
        except BaseException:
            await trio.aclose_forcefully(raw)
            raise
        answer = await self._exchange(Hello())
        if not isinstance(answer, Key):
            raise _unexpected(answer)
        key = PublicKey(answer.public_key)
        if self._public_key not in (None, key):
            raise Refused(
                Reason.WRONG_KEY,
                f"the signer at {self._path} had another key before; if that is meant, start again",
            )
        self._public_key = key
        self._connected += 1
        for cause in answer.causes:
            _log.warning("journal.armed", detail=cause)
        _log.info("signer.connected", public_key=key.to_bytes()[:8])


def _failure_of(answer: NotSigned) -> Refused | Unavailable:
    if answer.reason is None:
        return Unavailable(answer.detail)
    try:
        reason = Reason(answer.reason)
    except ValueError:
        return Refused(Reason.MALFORMED, f"the signer refuses with {answer.reason[:80]!r}: {answer.detail}")
    return Refused(reason, answer.detail)


def _unexpected(answer: Answer) -> Broken:
    return Broken(f"the signer answered with {type(answer).__name__}; run the same release on both sides")
