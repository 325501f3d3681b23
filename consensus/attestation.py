"""One operator's signature over one alert, and its form on the wire.

Wire: MessagePack, canonical, version first: [1, alert, operator index, 48-byte signature]. Decoding measures
before it parses and gives back frozen types, so nobody parses twice. It does not say that the operator is a
member (`check_membership`) nor that the signature is its own (`tally`, in batches).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consensus.alert import Alert
from consensus.alert_codec import decode_alert, encode_alert, read_alert_bytes
from consensus.bls import Purpose, SecretKey, Signature, sign
from consensus.errors import Reason, Refused
from consensus.fields import require_bytes, require_uint
from consensus.operators import Operator, OperatorSet
from consensus.types import Digest, Epoch, OperatorIndex, Signers, SlotId
from consensus.wire import pack, reading, require_canonical, require_field_count, require_size

WIRE_VERSION = 1
MAX_ATTESTATION_BYTES = 16_384

_ATTESTATION_FIELDS = 4
_HEAD = b"\x94\x01"
"""An array of four fields, the first of which is the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """An alert, the index of the operator that claims it, and its signature under the alert tag."""

    alert: Alert
    operator_index: OperatorIndex
    signature: Signature

    def __post_init__(self) -> None:
        if not isinstance(self.alert, Alert):
            raise Refused(Reason.WRONG_TYPE, f"alert must be an Alert, came {type(self.alert).__name__}")
        require_uint("operator_index", self.operator_index, 16)
        if not isinstance(self.signature, Signature):
            raise Refused(
                Reason.WRONG_TYPE, f"signature must be a Signature, came {type(self.signature).__name__}"
            )

    @property
    def signers(self) -> Signers:
        """The operator alone, as a bitmap."""
        return Signers(1 << self.operator_index)

    def digest(self) -> Digest:
        """What is signed."""
        return self.alert.digest()

    def slot_id(self) -> SlotId:
        """The slot that the alert fills."""
        return self.alert.slot_id()


def attest(alert: Alert, operator_index: OperatorIndex, secret: SecretKey) -> Attestation:
    """Sign an alert. Only `node.attest` calls this, after its journal holds the row."""
    signature = sign(secret, Purpose.ALERT, alert.digest())
    return Attestation(alert=alert, operator_index=operator_index, signature=signature)


def check_membership(attestation: Attestation, operator_sets: Mapping[Epoch, OperatorSet]) -> Operator:
    """The operator that the attestation names. Raises Refused when no kept set knows it in this epoch.

    Refuses an unknown or old epoch, another header, an alert observed outside the set's life, and an index
    beyond the set. The signature is not looked at.
    """
    return check_alert(attestation.alert, operator_sets).by_index(attestation.operator_index)


def check_alert(alert: Alert, operator_sets: Mapping[Epoch, OperatorSet]) -> OperatorSet:
    """The kept set that an alert names. Raises Refused as `check_membership` does, but for the index."""
    operator_set = operator_sets.get(alert.epoch)
    if operator_set is None:
        raise _unknown_epoch(alert.epoch, operator_sets)
    if alert.header_hash != operator_set.header_hash():
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"epoch {alert.epoch} has header {operator_set.header_hash().hex()}, "
            f"came {alert.header_hash.hex()}; compare both nodes' operator sets with the registry",
        )
    if not operator_set.capture_time <= alert.observed_at <= operator_set.valid_until:
        raise Refused(
            Reason.EPOCH_NOT_ACTIVE,
            f"epoch {alert.epoch} lives from {operator_set.capture_time} to {operator_set.valid_until}, "
            f"the alert was observed at {alert.observed_at}",
        )
    return operator_set


def encode(attestation: Attestation) -> bytes:
    """The canonical wire bytes, at most MAX_ATTESTATION_BYTES."""
    return b"".join(
        (
            _HEAD,
            encode_alert(attestation.alert),
            pack(attestation.operator_index),
            pack(attestation.signature.compressed),
        )
    )


def decode(data: bytes) -> Attestation:
    """Parse wire bytes from a stranger. Raises Refused with a reason; never anything else."""
    require_size("an attestation", data, MAX_ATTESTATION_BYTES)
    alert, operator_index, signature = _unpack(data)
    require_bytes("signature", signature, 48)
    attestation = Attestation(
        alert=alert, operator_index=OperatorIndex(operator_index), signature=Signature(signature)
    )
    require_canonical("an attestation", data, encode(attestation))
    return attestation


def _unpack(data: bytes) -> tuple[Alert, Any, Any]:
    """The three fields after the version within hard limits; the alert alone is parsed."""
    with reading("an attestation", data) as unpacker:
        field_count = unpacker.read_array_header()
        version = unpacker.unpack() if field_count else None
        if type(version) is not int or version != WIRE_VERSION:
            raise Refused(
                Reason.UNKNOWN_VERSION, f"this build speaks wire version {WIRE_VERSION}, came {version!r:.40}"
            )
        require_field_count("an attestation", field_count, _ATTESTATION_FIELDS)
        alert_bytes = read_alert_bytes(unpacker, data)
        fields = (unpacker.unpack(), unpacker.unpack())
    return decode_alert(alert_bytes), *fields


def _unknown_epoch(epoch: Epoch, operator_sets: Mapping[Epoch, OperatorSet]) -> Refused:
    known = sorted(operator_sets)
    if known and epoch < known[0]:
        return Refused(Reason.OLD_EPOCH, f"epochs from {known[0]} are kept, came {epoch}")
    return Refused(
        Reason.UNKNOWN_EPOCH, f"known epochs are {known}, came {epoch}; read the registry for newer sets"
    )
