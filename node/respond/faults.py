"""The registry's book of faults on the home chain, and the call that takes an equivocator's stake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_abi.abi import encode as encode_abi

from consensus.alert import ALERT_TYPEHASH
from consensus.certificate import certify, encode_certificate
from consensus.equivocation import EquivocationEvidence
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.operators import Operator, OperatorSet
from consensus.partial import PartialCertificate
from consensus.types import Address
from node.chain.abi import describe_revert, load_artifact
from node.chain.clock import HeadClock
from node.chain.contracts import alert_tuple
from node.chain.reader import ChainReader
from node.chain.sender import Call, TransactionSender
from node.chain.types import CallReverted, Receipt

BASE_GAS: Final = 900_000  # two certificates with a pairing each
GAS_PER_ACCUSED: Final = 200_000  # a seat, a fault, stake that is burnt and a reward
GAS_PER_BYTE: Final = 80


class FaultsOnChain:
    """`FaultsPort` over JSON-RPC."""

    def __init__(
        self, registry: Address, *, reader: ChainReader, sender: TransactionSender, clock: HeadClock
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._sender = sender
        self._clock = clock
        self._artifact = load_artifact("OperatorRegistry")

    async def unpunished(
        self, evidence: EquivocationEvidence, operators: Sequence[Operator]
    ) -> tuple[Operator, ...]:
        """Those of them that have not paid for this fault yet, at the latest head."""
        fault = compute_alert_fault(evidence)
        left = []
        for operator in operators:
            (is_punished,) = await self._view("isPunished", fault, operator.address)
            if not is_punished:
                left.append(operator)
        return tuple(left)

    async def simulate(
        self, evidence: EquivocationEvidence, operator_set: OperatorSet, accused: Sequence[Operator]
    ) -> None:
        """Try the report at the latest head. Raises `Refused(CALL_REVERTED)` in the registry's words."""
        data = self._encode(evidence, operator_set, accused)
        head = await self._clock.wait_beyond(None)
        tried = await self._reader.eth_call(self._registry, data, head, gas=_gas_limit(data, accused))
        if isinstance(tried, CallReverted):
            raise Refused(
                Reason.CALL_REVERTED,
                f"registry {self._registry} would refuse: {describe_revert(tried.data, self._artifact)}",
            )

    async def report(
        self, evidence: EquivocationEvidence, operator_set: OperatorSet, accused: Sequence[Operator]
    ) -> Receipt:
        """Send it and wait for its block."""
        data = self._encode(evidence, operator_set, accused)
        return await self._sender.send(
            Call(
                chain_id=self._reader.chain_id,
                to=self._registry,
                data=data,
                gas_limit=_gas_limit(data, accused),
            )
        )

    def _encode(
        self, evidence: EquivocationEvidence, operator_set: OperatorSet, accused: Sequence[Operator]
    ) -> bytes:
        conflict = (
            encode_certificate(certify(evidence.first, operator_set)),
            encode_certificate(certify(evidence.second, operator_set)),
            b"".join(operator_set.leaves()),
            b"".join(operator.leaf_preimage() for operator in accused),
        )
        return self._artifact.encode(
            "slashForAlerts", _statement(evidence.first), _statement(evidence.second), conflict
        )

    async def _view(self, function: str, *arguments: object) -> tuple[Any, ...]:
        head = await self._clock.wait_beyond(None)
        value = await self._reader.eth_call(self._registry, self._artifact.encode(function, *arguments), head)
        if isinstance(value, CallReverted):
            why = describe_revert(value.data, self._artifact)
            raise Refused(Reason.CALL_REVERTED, f"{function} of registry {self._registry}: {why}")
        return self._artifact.decode(function, value)


def compute_alert_fault(evidence: EquivocationEvidence) -> bytes:
    """The registry's name of the fault: `alertFault` of OperatorRegistry.sol."""
    return keccak256(
        encode_abi(["bytes32", "uint32", "bytes32"], [ALERT_TYPEHASH, evidence.epoch, evidence.slot_id])
    )


def _statement(partial: PartialCertificate) -> tuple[object, ...]:
    return alert_tuple(partial.alert), partial.alert.actions_hash()


def _gas_limit(data: bytes, accused: Sequence[Operator]) -> int:
    return BASE_GAS + GAS_PER_ACCUSED * len(accused) + GAS_PER_BYTE * len(data)
