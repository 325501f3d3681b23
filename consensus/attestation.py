"""One operator's signature over one alert, and its form on the wire.

Wire: MessagePack, canonical, version first: [1, alert, operator index, 48-byte signature]. Decoding measures
before it parses and gives back frozen types, so nobody parses twice. It does not say that the operator is a
member (`check_membership`) nor that the signature is its own (`tally`, in batches).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from consensus.alert import MAX_ACTIONS, MAX_PARAMS_BYTES, Action, Alert, Slot, Verdict
from consensus.bls import Purpose, SecretKey, Signature, sign
from consensus.errors import Reason, Refused
from consensus.fields import address_from_bytes, address_to_bytes, require_bytes, require_uint
from consensus.operators import Operator, OperatorSet
from consensus.types import (
    ActionId,
    BlockHash,
    BlockNumber,
    ChainId,
    Digest,
    Epoch,
    HeaderHash,
    NetworkId,
    OperatorIndex,
    PolicyHash,
    RuleId,
    Seconds,
    SlotId,
)

WIRE_VERSION = 1
MAX_ATTESTATION_BYTES = 16_384

_ATTESTATION_FIELDS = 4
_ALERT_FIELDS = 11
_SLOT_FIELDS = 6
_ACTION_FIELDS = 4


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
    alert = attestation.alert
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
    return operator_set.by_index(attestation.operator_index)


def encode(attestation: Attestation) -> bytes:
    """The canonical wire bytes, at most MAX_ATTESTATION_BYTES."""
    alert, slot = attestation.alert, attestation.alert.slot
    slot_fields = [
        slot.policy_hash,
        slot.rule_id,
        slot.source_chain_id,
        slot.anchor_number,
        slot.anchor_hash,
        slot.subject,
    ]
    actions = [
        [action.chain_id, address_to_bytes(action.guardian), action.action_id, action.params]
        for action in alert.actions
    ]
    alert_fields = [
        alert.network_id,
        alert.epoch,
        alert.header_hash,
        slot_fields,
        int(alert.verdict),
        alert.observed_at,
        alert.expires_at,
        alert.evidence_hash,
        alert.cause_digest,
        alert.cause_depth,
        actions,
    ]
    fields = [WIRE_VERSION, alert_fields, attestation.operator_index, attestation.signature.compressed]
    return bytes(msgpack.packb(fields, use_bin_type=True))


def decode(data: bytes) -> Attestation:
    """Parse wire bytes from a stranger. Raises Refused with a reason; never anything else."""
    if len(data) > MAX_ATTESTATION_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"an attestation may have {MAX_ATTESTATION_BYTES} bytes, came {len(data)}"
        )
    alert_fields, operator_index, signature = _unpack(data)
    require_bytes("signature", signature, 48)
    attestation = Attestation(
        alert=_parse_alert(alert_fields),
        operator_index=OperatorIndex(operator_index),
        signature=Signature(signature),
    )
    if encode(attestation) != data:
        raise Refused(
            Reason.NOT_CANONICAL, "an attestation must be in the shortest MessagePack form, is in a longer"
        )
    return attestation


def _unpack(data: bytes) -> tuple[Any, Any, Any]:
    """The three fields after the version, as plain lists, integers and bytes within hard limits."""
    unpacker = msgpack.Unpacker(
        use_list=True,
        raw=False,
        strict_map_key=True,
        max_buffer_size=MAX_ATTESTATION_BYTES,
        max_str_len=0,
        max_bin_len=MAX_PARAMS_BYTES,
        max_array_len=MAX_ACTIONS,
        max_map_len=0,
        max_ext_len=0,
    )
    try:
        unpacker.feed(data)
        field_count = unpacker.read_array_header()
        version = unpacker.unpack() if field_count else None
        if type(version) is not int or version != WIRE_VERSION:
            raise Refused(
                Reason.UNKNOWN_VERSION, f"this build speaks wire version {WIRE_VERSION}, came {version!r:.40}"
            )
        if field_count != _ATTESTATION_FIELDS:
            raise Refused(
                Reason.WRONG_LENGTH, f"an attestation has {_ATTESTATION_FIELDS} fields, came {field_count}"
            )
        fields = (unpacker.unpack(), unpacker.unpack(), unpacker.unpack())
    except msgpack.OutOfData:
        raise Refused(Reason.TRUNCATED, f"an attestation ends early, after {len(data)} bytes") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise Refused(Reason.MALFORMED, "an attestation must be MessagePack within limits, is not") from error
    if unpacker.tell() != len(data):
        raise Refused(
            Reason.TRAILING_BYTES, f"an attestation ends at byte {unpacker.tell()}, came {len(data)} bytes"
        )
    return fields


def _parse_alert(value: Any) -> Alert:
    (
        network_id,
        epoch,
        header_hash,
        slot,
        verdict,
        observed_at,
        expires_at,
        evidence_hash,
        cause_digest,
        cause_depth,
        actions,
    ) = _fields("alert", value, _ALERT_FIELDS)
    return Alert(
        network_id=NetworkId(network_id),
        epoch=Epoch(epoch),
        header_hash=HeaderHash(header_hash),
        slot=_parse_slot(slot),
        verdict=_parse_verdict(verdict),
        observed_at=Seconds(observed_at),
        expires_at=Seconds(expires_at),
        evidence_hash=evidence_hash,
        cause_digest=cause_digest,
        cause_depth=cause_depth,
        actions=tuple(_parse_action(action) for action in _list("actions", actions)),
    )


def _parse_slot(value: Any) -> Slot:
    policy_hash, rule_id, source_chain_id, anchor_number, anchor_hash, subject = _fields(
        "slot", value, _SLOT_FIELDS
    )
    return Slot(
        policy_hash=PolicyHash(policy_hash),
        rule_id=RuleId(rule_id),
        source_chain_id=ChainId(source_chain_id),
        anchor_number=BlockNumber(anchor_number),
        anchor_hash=BlockHash(anchor_hash),
        subject=subject,
    )


def _parse_verdict(value: Any) -> Verdict:
    require_uint("verdict", value, 8)
    try:
        return Verdict(value)
    except ValueError:
        raise Refused(Reason.OUT_OF_RANGE, f"verdict must be 1 or 2, came {value}") from None


def _parse_action(value: Any) -> Action:
    chain_id, guardian, action_id, params = _fields("action", value, _ACTION_FIELDS)
    require_bytes("guardian", guardian, 20)
    return Action(
        chain_id=ChainId(chain_id),
        guardian=address_from_bytes(guardian),
        action_id=ActionId(action_id),
        params=params,
    )


def _fields(name: str, value: Any, count: int) -> list[Any]:
    fields = _list(name, value)
    if len(fields) != count:
        raise Refused(Reason.WRONG_LENGTH, f"{name} has {count} fields, came {len(fields)}")
    return fields


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Refused(Reason.WRONG_TYPE, f"{name} must be an array, came {type(value).__name__}")
    return value


def _unknown_epoch(epoch: Epoch, operator_sets: Mapping[Epoch, OperatorSet]) -> Refused:
    known = sorted(operator_sets)
    if known and epoch < known[0]:
        return Refused(Reason.OLD_EPOCH, f"epochs from {known[0]} are kept, came {epoch}")
    return Refused(
        Reason.UNKNOWN_EPOCH, f"known epochs are {known}, came {epoch}; read the registry for newer sets"
    )
