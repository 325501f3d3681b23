"""Sealed messages over a local stream: Noise with keys that both sides know beforehand.

The pattern is KK: the first message already proves the watcher, the second the signer, and each connection
has fresh keys. File permissions say who may knock; this says who is let in. A message is a frame of two bytes
of length and the ciphertext; it is measured before it is read.
"""

from __future__ import annotations

from typing import Final

import trio
from cryptography.exceptions import InvalidTag
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage

from consensus.errors import Reason, Refused, Unavailable
from node.attest.pairing import Pairing, Role

PROTOCOL: Final = b"Noise_KK_25519_ChaChaPoly_SHA256"
PROLOGUE: Final = b"tocsin signer 1"
MAX_MESSAGE_BYTES: Final = 20 * 1024
"""The longest alert with what stands around it."""
_TAG_BYTES: Final = 16
_LENGTH_BYTES: Final = 2
FRAME_SECONDS: Final = 5.0
"""For the rest of a frame that was begun, for writing one, and for the whole handshake."""


class SealedStream:
    """An authenticated stream of messages. Obtained from `shake_hands`; not for several tasks at once."""

    def __init__(self, stream: trio.abc.Stream, noise: NoiseConnection) -> None:
        self._stream = stream
        self._noise = noise

    async def send(self, message: bytes) -> None:
        """Send one message. Raises `Unavailable` when the other side is gone or does not read."""
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message may have {MAX_MESSAGE_BYTES} bytes, has {len(message)}")
        await _send_frame(self._stream, bytes(self._noise.encrypt(message)))

    async def receive(self) -> bytes:
        """The next message, however long it takes to begin.

        Raises `Unavailable` at the end or when it stalls in the middle, `Refused` (OVERSIZED) before it reads
        too much, and `Refused` (PEER_UNPROVEN) for what the other side did not seal.
        """
        frame = await _receive_frame(self._stream)
        try:
            return bytes(self._noise.decrypt(frame))
        except (NoiseInvalidMessage, InvalidTag):
            raise _unproven("a message does not carry its seal") from None

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def shake_hands(stream: trio.abc.Stream, pairing: Pairing) -> SealedStream:
    """Prove both sides to each other, the watcher first.

    Raises `Refused` (PEER_UNPROVEN) when the other side is not the one that the pairing names, `Unavailable`
    when it goes away or says nothing; a side that does not know us does the same.
    """
    noise = NoiseConnection.from_name(PROTOCOL)
    noise.set_prologue(PROLOGUE)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, pairing.private)
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, pairing.peer)
    if pairing.role is Role.WATCHER:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.start_handshake()
    try:
        with trio.fail_after(FRAME_SECONDS):
            if pairing.role is Role.WATCHER:
                await _send_frame(stream, bytes(noise.write_message()))
                _read_handshake(noise, await _receive_frame(stream))
            else:
                _read_handshake(noise, await _receive_frame(stream))
                await _send_frame(stream, bytes(noise.write_message()))
    except trio.TooSlowError:
        raise Unavailable(f"the other side did not prove itself within {FRAME_SECONDS} s") from None
    return SealedStream(stream, noise)


def _read_handshake(noise: NoiseConnection, frame: bytes) -> None:
    try:
        noise.read_message(frame)
    except (NoiseInvalidMessage, InvalidTag, ValueError):
        raise _unproven("its first message does not fit the pairing") from None


async def _send_frame(stream: trio.abc.Stream, frame: bytes) -> None:
    try:
        with trio.fail_after(FRAME_SECONDS):
            await stream.send_all(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Unavailable("the other side closed the connection") from error
    except trio.TooSlowError:
        raise Unavailable(f"the other side read nothing for {FRAME_SECONDS} s") from None


async def _receive_frame(stream: trio.abc.Stream) -> bytes:
    try:
        first = await stream.receive_some(1)
        with trio.fail_after(FRAME_SECONDS):
            head = first + (await _receive_exactly(stream, _LENGTH_BYTES - len(first)) if first else b"")
            if len(head) < _LENGTH_BYTES:
                raise Unavailable("the other side closed the connection")
            length = int.from_bytes(head, "big")
            if length > MAX_MESSAGE_BYTES + _TAG_BYTES:
                raise Refused(
                    Reason.OVERSIZED,
                    f"a frame may have {MAX_MESSAGE_BYTES + _TAG_BYTES} bytes, this one has {length}",
                )
            return await _receive_exactly(stream, length)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Unavailable("the other side closed the connection") from error
    except trio.TooSlowError:
        raise Unavailable(f"a frame was begun and not finished within {FRAME_SECONDS} s") from None


async def _receive_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        more = await stream.receive_some(count - len(received))
        if not more:
            raise Unavailable("the other side closed the connection")
        received += more
    return bytes(received)


def _unproven(finding: str) -> Refused:
    return Refused(
        Reason.PEER_UNPROVEN,
        f"the other side of the signer's socket is not the one that was paired: {finding}; use the two "
        "files of one `tocsin signer pair`",
    )
