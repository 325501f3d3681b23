"""An alert on the wire: the part that attestations, partial certificates and whatever else cites one share.

MessagePack, canonical: [network, epoch, header hash, slot, verdict, observedAt, expiresAt, evidence, cause,
depth, actions]. In an incident the same alert comes in every operator's message, so that it is parsed and
hashed once and looked up by its bytes from then on.
"""

from functools import lru_cache
from typing import Any

from consensus.alert import Action, Alert, Slot, Verdict
from consensus.errors import Reason, Refused
from consensus.fields import address_from_bytes, address_to_bytes, require_bytes, require_uint
from consensus.types import (
    ActionId,
    BlockHash,
    BlockNumber,
    ChainId,
    Epoch,
    HeaderHash,
    NetworkId,
    PolicyHash,
    RuleId,
    Seconds,
)
from consensus.wire import fields_of, list_of, pack, reading, require_canonical

MAX_PARSED_ALERTS = 512
"""At most 16 KiB each, so 8 MiB; an incident has tens. Whoever floods with others makes us parse, no more."""

_ALERT_FIELDS = 11
_SLOT_FIELDS = 6
_ACTION_FIELDS = 4


@lru_cache(maxsize=MAX_PARSED_ALERTS)
def encode_alert(alert: Alert) -> bytes:
    """The canonical bytes."""
    slot = alert.slot
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
    return pack(
        [
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
    )


@lru_cache(maxsize=MAX_PARSED_ALERTS)
def decode_alert(data: bytes) -> Alert:
    """Parse what `read_alert_bytes` cut out. Raises Refused with a reason; never anything else."""
    with reading("an alert", data) as unpacker:
        fields = unpacker.unpack()
    alert = _parse_alert(fields)
    require_canonical("an alert", data, encode_alert(alert))
    return alert


def read_alert_bytes(unpacker: Any, data: bytes) -> bytes:
    """Step over one value and return its bytes, unparsed, for `decode_alert`."""
    start = unpacker.tell()
    unpacker.skip()
    return data[start : unpacker.tell()]


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
    ) = fields_of("alert", value, _ALERT_FIELDS)
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
        actions=tuple(_parse_action(action) for action in list_of("actions", actions)),
    )


def _parse_slot(value: Any) -> Slot:
    policy_hash, rule_id, source_chain_id, anchor_number, anchor_hash, subject = fields_of(
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
    chain_id, guardian, action_id, params = fields_of("action", value, _ACTION_FIELDS)
    require_bytes("guardian", guardian, 20)
    return Action(
        chain_id=ChainId(chain_id),
        guardian=address_from_bytes(guardian),
        action_id=ActionId(action_id),
        params=params,
    )
