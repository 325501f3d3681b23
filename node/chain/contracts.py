"""The registry and the guardian as the node sees them: values of consensus in, values of consensus out.

Reads go through `ChainReader`: pinned to a block, agreed on. A contract that reverts a read, or answers in
another shape, is `Refused`; endpoints that do not agree are `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import base58

from consensus.alert import Action, Alert, Level
from consensus.certificate import Certificate, encode_certificate
from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_from_hex, keccak256
from consensus.operators import OperatorSet
from consensus.types import (
    ActionId,
    Address,
    BlockNumber,
    Bps,
    Epoch,
    HeaderHash,
    NetworkId,
    PolicyHash,
    Seconds,
)
from node.chain.abi import Artifact, describe_revert, load_artifact
from node.chain.reader import ChainReader
from node.chain.types import BlockRef, CallRead, CallReverted, Log

__all__ = [
    "ActionConfig",
    "ActionState",
    "Artifact",
    "Guardian",
    "Outcome",
    "Readiness",
    "Registry",
    "load_artifact",
]

GENESIS = BlockNumber(0)
LOG_WINDOW_BLOCKS = 10_000  # what public endpoints still answer in one eth_getLogs


class Outcome(IntEnum):
    """What a guardian did with a certificate."""

    ACTED = 0
    ALREADY_ACTIVE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionConfig:
    """What a guardian's owner fixed for one action: at most `budget_seconds` of it in every window.

    An action of level alert restricts nothing: its adapter is the zero address, and all but its threshold and
    cooldown are zero.
    """

    adapter: Address
    level: Level
    threshold_bps: Bps
    min_gas: int
    max_duration_seconds: Seconds
    cooldown_seconds: Seconds
    budget_seconds: Seconds
    window_seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionState:
    """Where one action stands; `until` is zero when the network holds no restriction."""

    until: Seconds
    started_at: Seconds
    observed_after: Seconds
    last_ended_at: Seconds
    budget_full_at: Seconds
    is_grace: bool
    owner_lifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether an action could be carried out now; `reason` is a word otherwise."""

    ok: bool
    reason: str


class Registry:
    """The operator registry on the home chain."""

    def __init__(self, address: Address, reader: ChainReader) -> None:
        self.address = address
        self._reader = reader
        self._artifact = load_artifact("OperatorRegistry")

    async def network_id(self, at: BlockRef) -> NetworkId:
        """The name of the network whose operators stand here."""
        (network_id,) = await self._view("networkId", at=at)
        return NetworkId(network_id)

    async def current_epoch(self, at: BlockRef) -> Epoch:
        """The newest epoch at that block; 0 before the first capture."""
        (epoch,) = await self._view("currentEpoch", at=at)
        return Epoch(epoch)

    async def header_hash(self, epoch: Epoch, at: BlockRef) -> HeaderHash:
        """The hash of an epoch's header, as the contract holds it."""
        (header_hash,) = await self._view("headerHash", epoch, at=at)
        return HeaderHash(header_hash)

    async def operator_set(self, epoch: Epoch, at: BlockRef, *, first: BlockNumber = GENESIS) -> OperatorSet:
        """One epoch's operators, checked against the header whose hash the contract holds.

        `first` is the block from which on the registry exists; its event is searched backwards from `at`.
        """
        header_hash = await self.header_hash(epoch, at)
        log = await self._find_capture(epoch, header_hash, at, first)
        captured = self._artifact.decode_log("EpochCaptured", log)
        if keccak256(captured["header"]) != header_hash:
            raise Refused(
                Reason.HEADER_MISMATCH,
                f"the header of epoch {epoch} must hash to 0x{header_hash.hex()}, "
                f"came one that hashes to 0x{keccak256(captured['header']).hex()}",
            )
        addresses = [address_from_hex(raw) for raw in captured["operators"]]
        return OperatorSet.from_chain(
            captured["header"],
            captured["leafPreimages"],
            addresses=addresses,
            peer_ids=await self._peer_ids(addresses, at),
        )

    async def _find_capture(
        self, epoch: Epoch, header_hash: HeaderHash, at: BlockRef, first: BlockNumber
    ) -> Log:
        topics = (self._artifact.topic("EpochCaptured"), epoch.to_bytes(32, "big"), bytes(header_hash))
        for last in range(at.number, first - 1, -LOG_WINDOW_BLOCKS):
            start = BlockNumber(max(first, last - LOG_WINDOW_BLOCKS + 1))
            logs = await self._reader.get_logs_between(self.address, topics, start, BlockNumber(last))
            matching = [log for log in logs if log.address == self.address and log.topics == topics]
            if matching:
                return matching[-1]
        raise Refused(
            Reason.UNKNOWN_EPOCH,
            f"registry {self.address} captured no epoch {epoch} between block {first} and {at.number}",
        )

    async def _peer_ids(self, addresses: Sequence[Address], at: BlockRef) -> list[str]:
        """The operators' peer ids; the registry holds their multihash, whose base58 form is the id."""
        calls = [CallRead(to=self.address, data=self._artifact.encode("operator", who)) for who in addresses]
        peer_ids = []
        for value in await self._reader.read_each(calls, at):
            if isinstance(value, Unavailable):
                raise value
            assert isinstance(value, bytes | CallReverted)
            (*_, peer_id) = _decode_view(self._artifact, "operator", value, self.address, at)
            peer_ids.append(base58.b58encode(peer_id).decode())
        return peer_ids

    async def _view(self, function: str, *arguments: object, at: BlockRef) -> tuple[Any, ...]:
        return await _view(self._reader, self._artifact, self.address, function, *arguments, at=at)


class Guardian:
    """One guardian on one chain."""

    def __init__(self, address: Address, reader: ChainReader) -> None:
        self.address = address
        self._reader = reader
        self._artifact = load_artifact("IGuardian")

    async def network_id(self, at: BlockRef) -> NetworkId:
        """The network that this guardian listens to."""
        (network_id,) = await self._view("networkId", at=at)
        return NetworkId(network_id)

    async def verifier(self, at: BlockRef) -> Address:
        """The contract that counts signatures for it."""
        (verifier,) = await self._view("verifier", at=at)
        return address_from_hex(verifier)

    async def policy_hash(self, at: BlockRef) -> PolicyHash:
        """The policy that its owner approved."""
        (policy_hash,) = await self._view("policyHash", at=at)
        return PolicyHash(policy_hash)

    async def action(self, action_id: ActionId, at: BlockRef) -> ActionConfig | None:
        """What the owner fixed for this action; None where there is no such action."""
        (config,) = await self._view("action", action_id, at=at)
        adapter, level, threshold_bps, min_gas, max_duration, cooldown, budget, window = config
        if threshold_bps == 0:
            return None
        return ActionConfig(
            adapter=address_from_hex(adapter),
            level=Level(level),
            threshold_bps=Bps(threshold_bps),
            min_gas=min_gas,
            max_duration_seconds=Seconds(max_duration),
            cooldown_seconds=Seconds(cooldown),
            budget_seconds=Seconds(budget),
            window_seconds=Seconds(window),
        )

    async def state(self, action_id: ActionId, at: BlockRef) -> ActionState:
        """Where this action stands."""
        (
            (until, started_at, observed_after, last_ended_at, budget_full_at, is_grace, owner_lifted),
        ) = await self._view("state", action_id, at=at)
        return ActionState(
            until=Seconds(until),
            started_at=Seconds(started_at),
            observed_after=Seconds(observed_after),
            last_ended_at=Seconds(last_ended_at),
            budget_full_at=Seconds(budget_full_at),
            is_grace=is_grace,
            owner_lifted=owner_lifted,
        )

    async def readiness(self, action_id: ActionId, at: BlockRef) -> Readiness:
        """Whether this action could be carried out now."""
        ok, reason = await self._view("readiness", action_id, at=at)
        return Readiness(ok=ok, reason=reason.rstrip(b"\0").decode("ascii", "replace"))

    async def is_engaged(self, adapter: Address, at: BlockRef) -> bool:
        """Whether the target itself is restricted, as its adapter reads it."""
        (engaged,) = await _view(self._reader, load_artifact("IAdapter"), adapter, "engaged", at=at)
        return bool(engaged)

    def encode_respond(self, certificate: Certificate, action: Action) -> bytes:
        """Calldata that delivers a certificate for one of its alert's actions, this guardian's."""
        return self.encode_delivery(certificate.alert, action, encode_certificate(certificate))

    def encode_delivery(self, alert: Alert, action: Action, certificate: bytes) -> bytes:
        """The same for a certificate in the bytes that the guardian's verifier takes."""
        if action not in alert.actions or action.guardian != self.address:
            raise Refused(
                Reason.OUT_OF_RANGE,
                f"expected an action of guardian {self.address} that the alert names, "
                f"came one of {action.guardian}",
            )
        return self._artifact.encode(
            "respond",
            alert_tuple(alert),
            [named.leaf() for named in alert.actions],
            alert.actions.index(action),
            action.action_id,
            action.params,
            certificate,
        )

    async def simulate(
        self, certificate: Certificate, action: Action, at: BlockRef, *, gas: int | None = None
    ) -> Outcome:
        """What `respond` would do at that block. Raises `Refused(CALL_REVERTED)` with its error by name."""
        data = self.encode_respond(certificate, action)
        value = await self._reader.eth_call(self.address, data, at, gas=gas)
        (outcome,) = _decode_view(self._artifact, "respond", value, self.address, at)
        return Outcome(outcome)

    async def _view(self, function: str, *arguments: object, at: BlockRef) -> tuple[Any, ...]:
        return await _view(self._reader, self._artifact, self.address, function, *arguments, at=at)


async def _view(
    reader: ChainReader, artifact: Artifact, address: Address, function: str, *arguments: object, at: BlockRef
) -> tuple[Any, ...]:
    value = await reader.eth_call(address, artifact.encode(function, *arguments), at)
    return _decode_view(artifact, function, value, address, at)


def _decode_view(
    artifact: Artifact, function: str, value: bytes | CallReverted, address: Address, at: BlockRef
) -> tuple[Any, ...]:
    if isinstance(value, CallReverted):
        why = describe_revert(value.data, artifact, load_artifact("QuorumVerifier"))
        raise Refused(Reason.CALL_REVERTED, f"{artifact.name}.{function} of {address} at {at}: {why}")
    return artifact.decode(function, value)


def alert_tuple(alert: Alert) -> tuple[object, ...]:
    """In the order of the guardian's `struct Alert`."""
    slot = alert.slot
    return (
        alert.epoch,
        alert.header_hash,
        slot.policy_hash,
        slot.rule_id,
        slot.source_chain_id,
        slot.anchor_number,
        slot.anchor_hash,
        slot.subject,
        int(alert.verdict),
        alert.observed_at,
        alert.expires_at,
        alert.evidence_hash,
        alert.cause_digest,
        alert.cause_depth,
    )
