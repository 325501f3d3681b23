"""What crosses the doors of this room, and what it asks of a chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from consensus.alert import Action, Level
from consensus.certificate import Certificate
from consensus.handover import HandoverProof
from consensus.types import (
    ActionId,
    Address,
    BlockNumber,
    Bps,
    ChainId,
    Digest,
    Epoch,
    HeaderHash,
    Seconds,
)
from node.chain.clock import HeadClock
from node.chain.types import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the guardian's owner fixed for one action: its level and the share of stake it needs."""

    level: Level
    threshold_bps: Bps


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a guardian says of one action now (in force until when, 0 = not), and what its target says."""

    restricted_until: Seconds
    engaged: bool

    def in_force(self, now: Seconds) -> bool:
        """Whether the restriction holds at chain time `now`: by the guardian's book and on the target."""
        return self.restricted_until > now and self.engaged


class Simulation(StrEnum):
    """What a dry run of the response says."""

    WOULD_ACT = "would_act"
    ALREADY_ACTIVE = "already_active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A restriction seen in force. `transaction` is ours, or None where another submitter's landed first."""

    digest: Digest
    chain_id: ChainId
    guardian: Address
    action_id: ActionId
    level: Level
    transaction: bytes | None
    block_number: BlockNumber
    restricted_until: Seconds


class GuardianPort(Protocol):
    """One guardian on one chain, as the responder needs it. Reads raise `Unavailable`, refusals `Refused`."""

    async def terms(self, action_id: ActionId) -> Terms: ...

    async def standing(self, action_id: ActionId) -> Standing: ...

    async def simulate(self, certificate: Certificate, action: Action) -> Simulation: ...

    async def submit(self, certificate: Certificate, action: Action) -> Receipt: ...

    async def expire(self, action_id: ActionId) -> Receipt: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSet:
    """The operator set that acts on a chain: its epoch, and the hash by which the chain keeps it."""

    epoch: Epoch
    set_hash: HeaderHash


class VerifierPort(Protocol):
    """One quorum verifier on one chain. Reads raise `Unavailable`, refusals `Refused`."""

    @property
    def address(self) -> Address: ...

    async def installed(self) -> InstalledSet: ...

    async def simulate(self, proofs: Sequence[HandoverProof]) -> None: ...

    async def submit(self, proofs: Sequence[HandoverProof]) -> Receipt: ...

    async def find_proof(self, epoch: Epoch) -> HandoverProof | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryingChain:
    """A chain to which handovers are carried, and from which they are read.

    `verifiers` finds those that are cared for; it raises `Unavailable` while the chain does not answer.
    """

    clock: HeadClock
    verifiers: Callable[[], Awaitable[tuple[VerifierPort, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringChain:
    """A chain on which this watcher can act.

    An effect counts as lasting once it has stood for `confirmations` blocks.
    """

    clock: HeadClock
    guardian: Callable[[Address], GuardianPort]
    confirmations: int
