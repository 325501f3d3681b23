"""What a watcher asks of its signer, and what it hears: MessagePack arrays, the kind first, one answer each.

The request for a signature is the whole alert, never a digest: the signer computes what it signs.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from consensus.attestation import MAX_ATTESTATION_BYTES
from consensus.errors import Reason, Refused
from consensus.handover import Handover
from consensus.partial import MAX_PARTIAL_BYTES
from consensus.types import Epoch, HeaderHash, NetworkId

MAX_DETAIL_CHARACTERS: Final = 2_000

_Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Signature = Annotated[bytes, msgspec.Meta(min_length=48, max_length=48)]
_Alert = Annotated[bytes, msgspec.Meta(max_length=MAX_ATTESTATION_BYTES)]
_Uint16 = Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
_Uint32 = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Uint63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Heads: what the library can bound, and no chain will be as long."""


class Hello(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0):
    """Whose signer is this? Answered by `Key`."""


class Attest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Sign this alert. Answered by `Signed`."""

    alert: _Alert
    operator_index: _Uint16
    since: _Uint63


class HandOver(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Sign this handover. Answered by `Signed`."""

    network_id: _Bytes32
    epoch: _Uint32
    set_hash: _Bytes32
    next_set_hash: _Bytes32


class Witness(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Look at this partial certificate, in which our signature is. Answered by `Known`."""

    partial: Annotated[bytes, msgspec.Meta(max_length=MAX_PARTIAL_BYTES)]


Request = Hello | Attest | HandOver | Witness


class Key(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0):
    """The public key, 192 bytes, and why the journal is armed, if it is."""

    public_key: Annotated[bytes, msgspec.Meta(min_length=192, max_length=192)]
    causes: Annotated[list[str], msgspec.Meta(max_length=8)]


class Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """A signature, 48 bytes."""

    signature: _Signature


class Known(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """The journal knows of it, or it is nobody's."""


class NotSigned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Refused, with the code of the reason; or, without one, not possible now."""

    reason: str | None
    detail: Annotated[str, msgspec.Meta(max_length=MAX_DETAIL_CHARACTERS)]


Answer = Key | Signed | Known | NotSigned

_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_ANSWER: Final = msgspec.msgpack.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """The bytes of a request or an answer."""
    return msgspec.msgpack.encode(message)


def decode_request(data: bytes) -> Request:
    """Parse what a watcher sent. Raises `Refused` (MALFORMED)."""
    try:
        request: Request = _REQUEST.decode(data)
    except msgspec.DecodeError as error:
        raise Refused(Reason.MALFORMED, f"no request of a watcher: {error}") from error
    return request


def decode_answer(data: bytes) -> Answer:
    """Parse what a signer sent. Raises `Refused` (MALFORMED)."""
    try:
        answer: Answer = _ANSWER.decode(data)
    except msgspec.DecodeError as error:
        raise Refused(Reason.MALFORMED, f"no answer of a signer: {error}") from error
    return answer


def request_handover(handover: Handover) -> HandOver:
    """The request for this handover's signature."""
    return HandOver(
        network_id=handover.network_id,
        epoch=handover.epoch,
        set_hash=handover.set_hash,
        next_set_hash=handover.next_set_hash,
    )


def handover_of(request: HandOver) -> Handover:
    """What is to be signed."""
    return Handover(
        network_id=NetworkId(request.network_id),
        epoch=Epoch(request.epoch),
        set_hash=HeaderHash(request.set_hash),
        next_set_hash=HeaderHash(request.next_set_hash),
    )
