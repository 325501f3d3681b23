"""Several operators' signatures over one alert in one: a bitmap of who signed, and the sum of the signatures.

What nodes pass on in place of single attestations. The sum proves every one of its signers, since each key
has proved possession; it is checked by one pairing against the sum of their keys. Signatures add only where
no signer is in both: no chain takes a signer that is added twice.

Wire: MessagePack, canonical: [alert, bitmap, 48-byte signature]. Bit i of the bitmap's byte j stands for
operator 8 j + i; the last byte is not zero. Who forwarded a partial certificate answers for it: nobody else
can be named before it is verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consensus.alert import Alert
from consensus.alert_codec import decode_alert, encode_alert, read_alert_bytes
from consensus.attestation import MAX_ATTESTATION_BYTES, Attestation, check_alert
from consensus.bls import (
    PublicKey,
    Purpose,
    Signature,
    aggregate_public_keys,
    aggregate_signatures,
    subtract_public_keys,
    subtract_signatures,
    verify,
)
from consensus.errors import Reason, Refused
from consensus.fields import require_bytes
from consensus.operators import MAX_OPERATORS, OperatorSet
from consensus.types import Digest, Epoch, OperatorIndex, Signers, SlotId, Weight
from consensus.wire import pack, read_field_count, reading, require_canonical, require_size

MAX_BITMAP_BYTES = MAX_OPERATORS // 8
MAX_PARTIAL_BYTES = MAX_ATTESTATION_BYTES + MAX_BITMAP_BYTES
"""The longest alert with every signer: the bitmap stands in an attestation's index's place."""

_FIELDS = 3
_HEAD = b"\x93"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialCertificate:
    """An alert, its signers, and the sum of their signatures under the alert tag. One signer is enough."""

    alert: Alert
    signers: Signers
    signature: Signature

    def __post_init__(self) -> None:
        if not isinstance(self.alert, Alert):
            raise Refused(Reason.WRONG_TYPE, f"alert must be an Alert, came {type(self.alert).__name__}")
        if type(self.signers) is not int:  # a bool is an int, and no bitmap
            raise Refused(Reason.WRONG_TYPE, f"signers must be a bitmap, came {type(self.signers).__name__}")
        if self.signers <= 0:
            raise Refused(Reason.EMPTY_LIST, "a partial certificate has at least one signer, came none")
        if self.signers.bit_length() > MAX_OPERATORS:
            raise Refused(
                Reason.OUT_OF_RANGE,
                f"signers are operators 0 to {MAX_OPERATORS - 1}, came {self.signers.bit_length() - 1}",
            )
        if not isinstance(self.signature, Signature):
            raise Refused(
                Reason.WRONG_TYPE, f"signature must be a Signature, came {type(self.signature).__name__}"
            )

    def digest(self) -> Digest:
        """What is signed."""
        return self.alert.digest()

    def slot_id(self) -> SlotId:
        """The slot that the alert fills."""
        return self.alert.slot_id()


Contribution = Attestation | PartialCertificate
"""What a tally counts: one signature, or several in one."""


def as_partial(contribution: Contribution) -> PartialCertificate:
    """An attestation as a partial certificate of one signer; a partial certificate as it is."""
    if isinstance(contribution, PartialCertificate):
        return contribution
    return PartialCertificate(
        alert=contribution.alert, signers=contribution.signers, signature=contribution.signature
    )


def compute_signers(indices: Iterable[int]) -> Signers:
    """The bitmap of these operators."""
    signers = 0
    for index in indices:
        signers |= 1 << index
    return Signers(signers)


def indices_of(signers: int) -> tuple[OperatorIndex, ...]:
    """The operators of a bitmap, ascending."""
    return tuple(OperatorIndex(index) for index, bit in enumerate(reversed(bin(signers)[2:])) if bit == "1")


def compute_weight(signers: int, operator_set: OperatorSet) -> Weight:
    """The stake of these signers."""
    return Weight(sum(operator_set.operators[index].weight for index in indices_of(signers)))


def merge(parts: Sequence[Contribution]) -> PartialCertificate:
    """The sum of contributions to one alert that share no signer, in whatever order.

    Refuses an empty list, two alerts, a signer that is in two of them (OVERLAPPING), and a sum at infinity.
    Parts that are verified make a sum that is; others are their sender's to answer for.
    """
    if not parts:
        raise Refused(Reason.EMPTY_LIST, "a merge needs at least one part, came none")
    alert, signers = parts[0].alert, 0
    for part in parts:
        if part.digest() != alert.digest():
            raise Refused(
                Reason.WRONG_ALERT,
                f"parts of one merge sign one alert, came {alert.digest().hex()} and {part.digest().hex()}",
            )
        if signers & part.signers:
            raise Refused(
                Reason.OVERLAPPING,
                f"operators {indices_of(signers & part.signers)} stand in two parts; keep the better one",
            )
        signers |= part.signers
    return PartialCertificate(
        alert=alert,
        signers=Signers(signers),
        signature=aggregate_signatures([part.signature for part in parts]),
    )


def subtract(whole: PartialCertificate, parts: Sequence[Contribution]) -> PartialCertificate:
    """What is left of a verified whole without verified parts of it, which is verified with them.

    Refuses parts that overlap or are not within the whole, and where nobody is left, or only infinity.
    """
    inner = merge(parts)
    if inner.digest() != whole.digest() or inner.signers & ~whole.signers:
        raise Refused(
            Reason.OVERLAPPING,
            f"parts must lie within the whole; operators {indices_of(inner.signers & ~whole.signers)} do not",
        )
    return PartialCertificate(
        alert=whole.alert,
        signers=Signers(whole.signers & ~inner.signers),
        signature=subtract_signatures(whole.signature, [inner.signature]),
    )


def check_signers(contribution: Contribution, operator_sets: Mapping[Epoch, OperatorSet]) -> OperatorSet:
    """The set that the signers are members of. Raises Refused as `check_membership` does, of all of them.

    The signature is not looked at.
    """
    operator_set = check_alert(contribution.alert, operator_sets)
    highest = contribution.signers.bit_length() - 1
    operator_set.by_index(OperatorIndex(highest))
    return operator_set


def compute_signers_key(signers: int, operator_set: OperatorSet) -> PublicKey:
    """The sum of the signers' keys, by whichever way is shorter. Refuses infinity, and nobody at all."""
    operators = operator_set.operators
    indices = indices_of(signers)
    if 2 * len(indices) <= len(operators):
        return aggregate_public_keys([operators[index].public_key for index in indices])
    absent = [operator.public_key for operator in operators if not signers >> operator.index & 1]
    return subtract_public_keys(operator_set.aggregate_key, absent)


def verify_partial(partial: PartialCertificate, operator_set: OperatorSet) -> bool:
    """True when the signature is the sum of the signers' over the alert: one pairing check.

    The signers must be members (`check_signers`).
    """
    key = compute_signers_key(partial.signers, operator_set)
    return verify(key, Purpose.ALERT, partial.digest(), partial.signature)


def encode_partial(partial: PartialCertificate) -> bytes:
    """The canonical wire bytes, at most MAX_PARTIAL_BYTES."""
    bitmap = pack_signers(partial.signers)
    return b"".join((_HEAD, encode_alert(partial.alert), bitmap, pack(partial.signature.compressed)))


def pack_signers(signers: Signers) -> bytes:
    """Signers on the wire: a string of bytes, the first operators in the lowest bits, no zeros at the end."""
    return pack(signers.to_bytes((signers.bit_length() + 7) // 8, "little"))


def decode_partial(data: bytes) -> PartialCertificate:
    """Parse wire bytes from a stranger. Raises Refused with a reason; never anything else."""
    require_size("a partial certificate", data, MAX_PARTIAL_BYTES)
    with reading("a partial certificate", data) as unpacker:
        read_field_count(unpacker, "a partial certificate", _FIELDS)
        alert_bytes = read_alert_bytes(unpacker, data)
        bitmap, signature = unpacker.unpack(), unpacker.unpack()
    signers = _parse_bitmap(bitmap)
    require_bytes("signature", signature, 48)
    partial = PartialCertificate(
        alert=decode_alert(alert_bytes), signers=signers, signature=Signature(signature)
    )
    require_canonical("a partial certificate with its bitmap", data, encode_partial(partial))
    return partial


def _parse_bitmap(bitmap: object) -> Signers:
    if not isinstance(bitmap, bytes):
        raise Refused(Reason.WRONG_TYPE, f"the bitmap must be bytes, came {type(bitmap).__name__}")
    require_size("a bitmap", bitmap, MAX_BITMAP_BYTES)
    return Signers(int.from_bytes(bitmap, "little"))
