"""The envelope of everything that peers say: which version, which kind, how long it may be.

Wire version 2 is canonical MessagePack `[2, kind, body]`. Its first three bytes therefore say everything that
is checked before a body is parsed: 0x93 (an array of three), 0x02, and the kind as one byte. Wire version 1
knew the bare attestation alone, `[1, alert, operator index, signature]`; it is understood, and sent to peers
that speak nothing newer.

A kind is its number and its limit here, its codec where its type stands, and one line that serves it
(`room.GossipRoom.serve`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from consensus.attestation import MAX_ATTESTATION_BYTES, Attestation
from consensus.attestation import decode as decode_version_1
from consensus.attestation import encode as encode_version_1
from consensus.errors import Reason, Refused

NEWEST_VERSION = 2
OLDEST_VERSION = 1

_HEAD = b"\x93\x02"
"""An array of three fields, the first of which is 2."""
_HEAD_BYTES = len(_HEAD) + 1
_HEAD_1 = b"\x94\x01"
_ARRAY_OF_3 = b"\x93"


class Kind(IntEnum):
    """What a frame's body is."""

    ATTESTATION = 1
    PARTIAL_CERTIFICATE = 2
    INVENTORY = 3
    WANT = 4
    EVIDENCE = 5
    RETRACTION = 6
    ADDRESS = 7
    HANDOVER = 8
    SUMMARY = 9
    SIGNATURES = 10


MAX_BODY_BYTES: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.ATTESTATION: MAX_ATTESTATION_BYTES - 1,
        Kind.PARTIAL_CERTIFICATE: MAX_ATTESTATION_BYTES
        + 256,  # an attestation, a bitmap in the index's place
        Kind.INVENTORY: 24 * 1024,
        Kind.WANT: 24 * 1024,
        Kind.EVIDENCE: 129 * 1024,  # 128 KiB is the longest transaction that mempools pass on
        Kind.RETRACTION: 1024,
        Kind.ADDRESS: 1024,
        Kind.HANDOVER: 1024,
        Kind.SUMMARY: 2 * 1024,
        Kind.SIGNATURES: MAX_ATTESTATION_BYTES + 4 * 1024,  # an alert, and 53 bytes for each of 64 signers
    }
)
"""Checked before the body is parsed. All kinds have a line."""

SPREAD: frozenset[Kind] = frozenset({Kind.ATTESTATION, Kind.RETRACTION, Kind.ADDRESS, Kind.HANDOVER})
"""Kinds that pubsub carries beside direct push: short, and wanted by everybody."""

MAX_FRAME_BYTES = _HEAD_BYTES + max(MAX_BODY_BYTES.values())
MAX_SPREAD_BYTES = _HEAD_BYTES + max(MAX_BODY_BYTES[kind] for kind in SPREAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A kind and the canonical MessagePack of its body, not yet parsed."""

    kind: Kind
    body: bytes

    def to_bytes(self) -> bytes:
        """The wire form in the newest version."""
        return _HEAD + bytes([self.kind]) + self.body


def encode_frame(kind: Kind, body: bytes) -> bytes:
    """The payload of one frame. Raises ValueError for a body above its kind's limit: our own mistake."""
    if not 0 < len(body) <= MAX_BODY_BYTES[kind]:
        raise ValueError(
            f"a body of kind {kind.name} may have 1 to {MAX_BODY_BYTES[kind]} bytes, has {len(body)}; "
            "peers refuse it, so it must not be sent"
        )
    return Frame(kind=kind, body=body).to_bytes()


def parse_frame(payload: bytes) -> Frame:
    """The frame of a payload in either version, within its kind's limit. Raises Refused.

    The body is not looked into; its codec refuses what is not canonical, unknown fields among it.
    """
    if payload.startswith(_HEAD_1):
        return _within_limit(Frame(kind=Kind.ATTESTATION, body=_ARRAY_OF_3 + payload[len(_HEAD_1) :]))
    if not payload.startswith(_HEAD):
        raise _foreign(payload)
    if len(payload) <= _HEAD_BYTES:
        raise Refused(Reason.TRUNCATED, f"a frame has a kind and a body, came {len(payload)} bytes")
    try:
        kind = Kind(payload[len(_HEAD)])
    except ValueError:
        raise Refused(
            Reason.UNKNOWN_KIND, f"kinds 1 to {max(Kind)} are known, came {payload[len(_HEAD)]}"
        ) from None
    return _within_limit(Frame(kind=kind, body=payload[_HEAD_BYTES:]))


def to_version_1(payload: bytes) -> bytes | None:
    """The same in wire version 1; None where that version has no words for it."""
    if payload.startswith(_HEAD_1):
        return payload
    if payload.startswith(_HEAD + bytes([Kind.ATTESTATION]) + _ARRAY_OF_3):
        return _HEAD_1 + payload[_HEAD_BYTES + len(_ARRAY_OF_3) :]
    return None


def encode_attestation(attestation: Attestation) -> bytes:
    """The body of kind ATTESTATION: [alert, operator index, signature], as in version 1 but for its head."""
    return _ARRAY_OF_3 + encode_version_1(attestation)[len(_HEAD_1) :]


def decode_attestation(body: bytes) -> Attestation:
    """Parse the body of kind ATTESTATION. Raises Refused."""
    if not body.startswith(_ARRAY_OF_3):
        raise Refused(Reason.WRONG_LENGTH, "an attestation is an array of 3 fields, came something else")
    return decode_version_1(_HEAD_1 + body[len(_ARRAY_OF_3) :])


def _within_limit(frame: Frame) -> Frame:
    limit = MAX_BODY_BYTES[frame.kind]
    if len(frame.body) > limit:
        raise Refused(
            Reason.OVERSIZED,
            f"a body of kind {frame.kind.name} may have {limit} bytes, came {len(frame.body)}",
        )
    return frame


def _foreign(payload: bytes) -> Refused:
    if len(payload) >= 2 and payload[0] & 0xF0 == 0x90:
        return Refused(
            Reason.UNKNOWN_VERSION,
            f"this build speaks wire versions 1 and 2, in arrays of 4 and 3 fields; came {payload[:2].hex()}",
        )
    return Refused(Reason.MALFORMED, f"a frame is a MessagePack array, came {payload[:2].hex() or 'nothing'}")
