"""Certificates that somebody delivered to a guardian, read from the calldata of the transaction that did it.

What landed on one chain is all that the others need: the calldata has the alert, the leaves of its actions
and the certificate. The actions themselves, whose leaves are hashes, come from the policy that the alert
names. Nothing that an endpoint says is believed: a certificate is checked against the registry's operator
sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consensus.alert import Action, Alert, Slot, Verdict
from consensus.certificate import Certificate, recover_certificate
from consensus.errors import Reason, Refused, Unavailable
from consensus.operators import OperatorSet
from consensus.types import (
    Address,
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
from node.chain.abi import Artifact, load_artifact
from node.chain.contracts import LOG_WINDOW_BLOCKS
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The arguments of a call to a guardian that took effect: its alert in the contract's order of fields."""

    alert: tuple[Any, ...]
    leaves: tuple[bytes, ...]
    certificate: bytes


class DeliveryReader:
    """What was delivered to some guardians of one chain."""

    def __init__(self, guardians: Sequence[Address], *, pool: RpcPool, reader: ChainReader) -> None:
        self._guardians = tuple(dict.fromkeys(guardians))
        self._pool = pool
        self._reader = reader
        self._artifact = load_artifact("IGuardian")
        self._topics = {self._artifact.topic(event) for event in ("Responded", "Alerted")}

    async def between(self, first: BlockNumber, last: BlockNumber) -> tuple[Delivery, ...]:
        """Every delivery in those blocks that took effect, in order. Raises `Unavailable`."""
        transactions: dict[bytes, Address] = {}
        for guardian in self._guardians:
            for start in range(first, last + 1, LOG_WINDOW_BLOCKS):
                end = BlockNumber(min(last, start + LOG_WINDOW_BLOCKS - 1))
                for log in await self._reader.get_logs_between(guardian, (), BlockNumber(start), end):
                    if log.topics and log.topics[0] in self._topics:
                        transactions[log.transaction_hash] = guardian
        read = [await self._read(each, guardian) for each, guardian in transactions.items()]
        return tuple(each for each in read if each is not None)

    async def _read(self, transaction_hash: bytes, guardian: Address) -> Delivery | None:
        told: Any = await self._pool.call("eth_getTransactionByHash", (f"0x{transaction_hash.hex()}",))
        if told is None:
            return None  # a reorganisation took it back between the two answers
        try:
            if str(told["to"]).lower() != guardian.lower():
                return None  # by way of another contract, whose calldata says nothing
            data = bytes.fromhex(str(told["input"]).removeprefix("0x"))
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(
                f"transaction 0x{transaction_hash.hex()} on chain {self._pool.chain_id} has `to` and "
                f"`input` in hex, came {str(told)[:80]!r}"
            ) from error
        return parse_delivery(data, self._artifact)


def parse_delivery(data: bytes, artifact: Artifact) -> Delivery | None:
    """What the calldata of `respond` or `respondMany` delivers; None for that of anything else.

    Raises `Refused(CONTRACT_MISMATCH)` where the arguments are not of their types.
    """
    if artifact.calls("respond", data):
        alert, leaves, _index, _action_id, _params, certificate = artifact.decode_call("respond", data)
    elif artifact.calls("respondMany", data):
        alert, leaves, _items, certificate = artifact.decode_call("respondMany", data)
    else:
        return None
    return Delivery(alert=alert, leaves=tuple(leaves), certificate=certificate)


def rebuild_certificate(
    delivery: Delivery,
    *,
    network_id: NetworkId,
    actions: Mapping[bytes, Action],
    operator_sets: Sequence[OperatorSet],
) -> Certificate:
    """The certificate that was delivered, over an alert with all its actions.

    `actions` are those of the policies that are known here, by leaf. Raises `Refused`: UNKNOWN_ACTION for an
    alert under another policy, UNKNOWN_EPOCH, and what `recover_certificate` raises.
    """
    named = [actions.get(leaf) for leaf in delivery.leaves]
    if not named or any(action is None for action in named):
        raise Refused(
            Reason.UNKNOWN_ACTION,
            f"the alert has {len(delivery.leaves)} actions, of which {named.count(None)} stand in no policy "
            "here; add the policy that it names to the configuration",
        )
    alert = _parse_alert(delivery.alert, network_id, [action for action in named if action is not None])
    for operator_set in operator_sets:
        if operator_set.epoch == alert.epoch:
            return recover_certificate(delivery.certificate, alert, operator_set)
    raise Refused(
        Reason.UNKNOWN_EPOCH,
        f"epochs {[each.epoch for each in operator_sets]} are known here, came {alert.epoch}",
    )


def _parse_alert(fields: tuple[Any, ...], network_id: NetworkId, actions: Sequence[Action]) -> Alert:
    """In the order of the guardian's `struct Alert`. Raises `Refused` for what no alert may say."""
    (
        epoch,
        header_hash,
        policy_hash,
        rule_id,
        source_chain_id,
        anchor_number,
        anchor_hash,
        subject,
        verdict,
        observed_at,
        expires_at,
        evidence_hash,
        cause_digest,
        cause_depth,
    ) = fields
    if verdict not in set(Verdict):
        raise Refused(Reason.OUT_OF_RANGE, f"verdict must be 1 or 2, came {verdict}")
    return Alert(
        network_id=network_id,
        epoch=Epoch(epoch),
        header_hash=HeaderHash(header_hash),
        slot=Slot(
            policy_hash=PolicyHash(policy_hash),
            rule_id=RuleId(rule_id),
            source_chain_id=ChainId(source_chain_id),
            anchor_number=BlockNumber(anchor_number),
            anchor_hash=BlockHash(anchor_hash),
            subject=subject,
        ),
        verdict=Verdict(verdict),
        observed_at=Seconds(observed_at),
        expires_at=Seconds(expires_at),
        evidence_hash=evidence_hash,
        cause_digest=cause_digest,
        cause_depth=cause_depth,
        actions=tuple(actions),
    )
