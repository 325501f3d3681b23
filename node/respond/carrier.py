"""Carries handovers to every verifier, in the order of their epochs. Anyone may; the watchers take turns.

One task a chain. What a verifier holds says which handover it needs next, so nothing is remembered: after a
restart, a reorganisation or an outage the same look leads on. A proof comes from the votes that were
counted here, or, where those are of another time, from the calldata with which another chain was handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_to_bytes, keccak256
from consensus.handover import HandoverProof
from consensus.operators import HEADER_BYTES
from consensus.types import Address, BlockNumber, ChainId, Digest, Epoch
from node.chain.types import BlockRef
from node.respond.schedule import compute_order, compute_turn
from node.respond.types import CarryingChain, InstalledSet, VerifierPort

MAX_CARRIED: Final = 8
"""Handovers in one transaction, where their bytes allow it."""
MAX_CARRIED_BYTES: Final = 100_000
"""Nodes pass on transactions of 128 KiB; the largest handover has half of it."""
SEARCH_BLOCKS: Final = 10
"""Between two searches of other chains for one that nobody here has votes for."""

_log = structlog.get_logger("handover")


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierStatistics:
    """Counts since the start; `behind` are the verifiers that wait for a handover now, the longest of them
    for `waited_blocks` of its chain."""

    carried: int
    refused: int
    behind: int
    waited_blocks: int


@dataclass(slots=True)
class _Charge:
    """One verifier, and since when it has waited for which epoch."""

    verifier: VerifierPort
    waits_from: Epoch | None = None
    ready_at: BlockNumber | None = None
    searched_at: BlockNumber | None = None
    since: BlockNumber | None = None
    waited_blocks: int = 0
    told: str = ""
    """What the log said last: a verifier that refuses does so at every block."""
    found: dict[Epoch, HandoverProof] = field(default_factory=dict)

    def wait_for(self, epoch: Epoch) -> None:
        """It waits for a successor of `epoch`; a new one means a new turn."""
        if self.waits_from != epoch:
            self.rest()
            self.waits_from = epoch

    def rest(self) -> None:
        self.waits_from = self.ready_at = self.searched_at = self.since = None
        self.waited_blocks = 0
        self.found.clear()


class Carrier:
    """The room: `newest` is the epoch that all chains should have, `proof_of` the votes that were counted.

    `operators` share the work; whoever is none of them comes after them all.
    """

    def __init__(
        self,
        *,
        me: Address,
        operators: Callable[[], Sequence[Address]],
        newest: Callable[[], Epoch],
        proof_of: Callable[[Epoch], HandoverProof | None],
        chains: Mapping[ChainId, CarryingChain],
    ) -> None:
        self._me = me
        self._operators = operators
        self._newest = newest
        self._proof_of = proof_of
        self._chains = chains
        self._charges: dict[ChainId, tuple[_Charge, ...]] = {}
        self._carried = self._refused = 0

    def statistics(self) -> CarrierStatistics:
        charges = [charge for each in self._charges.values() for charge in each]
        return CarrierStatistics(
            carried=self._carried,
            refused=self._refused,
            behind=sum(charge.waits_from is not None for charge in charges),
            waited_blocks=max((charge.waited_blocks for charge in charges), default=0),
        )

    async def run(self) -> None:
        """Look at every head of every chain, until cancelled."""
        async with trio.open_nursery() as nursery:
            for chain_id in self._chains:
                nursery.start_soon(self._tend, chain_id)

    async def _tend(self, chain_id: ChainId) -> None:
        chain = self._chains[chain_id]
        head = await chain.clock.wait_beyond(None)
        while True:
            await self.look(chain_id, head)
            head = await chain.clock.wait_other(head)

    async def look(self, chain_id: ChainId, head: BlockRef) -> bool:
        """Bring the chain's verifiers as far as goes at this head; whether all have the newest epoch."""
        try:
            charges = await self._charges_of(chain_id)
        except (Refused, Unavailable) as error:
            _log.warning("verifiers.unread", chain_id=chain_id, detail=str(error))
            return False
        return all([await self._look_after(chain_id, charge, head) for charge in charges])

    async def _charges_of(self, chain_id: ChainId) -> tuple[_Charge, ...]:
        """A chain's verifiers, looked up once. Raises what looking raises."""
        if chain_id not in self._charges:
            verifiers = await self._chains[chain_id].verifiers()
            self._charges[chain_id] = tuple(_Charge(verifier) for verifier in verifiers)
        return self._charges[chain_id]

    async def _look_after(self, chain_id: ChainId, charge: _Charge, head: BlockRef) -> bool:
        log = _log.bind(chain_id=chain_id, verifier=charge.verifier.address)
        try:
            return await self._advance(chain_id, charge, head, log)
        except Unavailable as unavailable:
            log.warning("handover.unavailable", detail=str(unavailable))
        except Refused as refused:
            self._refused += 1
            if refused.message != charge.told:
                log.warning("handover.refused", reason=refused.reason, detail=refused.message)
            charge.told = refused.message
        return False

    async def _advance(
        self, chain_id: ChainId, charge: _Charge, head: BlockRef, log: structlog.stdlib.BoundLogger
    ) -> bool:
        verifier = charge.verifier
        installed = await verifier.installed()
        if installed.epoch >= self._newest():
            charge.rest()
            return True
        charge.wait_for(installed.epoch)
        charge.since = head.number if charge.since is None else charge.since
        charge.waited_blocks = max(0, head.number - charge.since)
        proofs = await self._gather(chain_id, charge, head)
        if not proofs:
            return False
        _require_follows(proofs[0], installed, charge)
        if charge.ready_at is None:
            charge.ready_at = head.number
        if head.number < self._compute_turn(chain_id, charge, charge.ready_at):
            return False
        try:
            await verifier.simulate(proofs)
        except Refused:
            charge.found.clear()  # an endpoint may have told of one that never was
            raise
        log.info("handover.sending", from_epoch=installed.epoch, epochs=len(proofs))
        landed = await verifier.submit(proofs)
        log.info(
            "handover.landed",
            transaction=landed.transaction_hash,
            block_number=landed.block_number,
            succeeded=landed.succeeded,
            gas_used=landed.gas_used,
        )
        self._carried += len(proofs) if landed.succeeded else 0
        return False  # the next head says how far it is

    async def _gather(self, chain_id: ChainId, charge: _Charge, head: BlockRef) -> list[HandoverProof]:
        """As many handovers in a row as there are proofs for, from what the verifier holds on."""
        assert charge.waits_from is not None
        may_search = charge.searched_at is None or head.number >= charge.searched_at + SEARCH_BLOCKS
        proofs: list[HandoverProof] = []
        size = 0
        for epoch in range(charge.waits_from, min(self._newest(), charge.waits_from + MAX_CARRIED)):
            proof = self._proof_of(Epoch(epoch)) or charge.found.get(Epoch(epoch))
            if proof is None and may_search:
                charge.searched_at = head.number
                proof = await self._find(Epoch(epoch), charge.verifier)
                if proof is not None:
                    charge.found[Epoch(epoch)] = proof
            size += 0 if proof is None else len(proof.outgoing) + len(proof.incoming)
            if proof is None or (proofs and size > MAX_CARRIED_BYTES):
                break
            proofs.append(proof)
        return proofs

    async def _find(self, epoch: Epoch, wanted_by: VerifierPort) -> HandoverProof | None:
        """The handover as another verifier got it; an unreachable chain is passed over."""
        for chain_id, chain in self._chains.items():
            if chain.clock.latest is None:
                continue  # it has not answered yet, and whoever waits for it waits for ever
            try:
                for charge in await self._charges_of(chain_id):
                    proof = await _read_proof(charge.verifier, epoch, wanted_by)
                    if proof is not None:
                        _log.info("handover.found", chain_id=chain_id, epoch=epoch)
                        return proof
            except (Refused, Unavailable) as error:
                _log.warning("handover.unread", chain_id=chain_id, epoch=epoch, detail=str(error))
        return None

    def _compute_turn(self, chain_id: ChainId, charge: _Charge, ready_at: BlockNumber) -> BlockNumber:
        """As for responses, with an order of its own for each verifier and epoch."""
        assert charge.waits_from is not None
        name = (
            chain_id.to_bytes(32, "big")
            + address_to_bytes(charge.verifier.address)
            + charge.waits_from.to_bytes(4, "big")
        )
        operators = self._operators()
        order = compute_order(Digest(keccak256(name)), operators)
        return compute_turn(order, self._me, ready_at=ready_at, signed=frozenset(operators))


def _require_follows(proof: HandoverProof, installed: InstalledSet, charge: _Charge) -> None:
    """Raise `Refused` unless the verifier keeps its set by the header that signed."""
    given = keccak256(proof.outgoing[:HEADER_BYTES])
    if given != installed.set_hash:
        charge.found.clear()  # an endpoint may have told of one that never was
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"verifier {charge.verifier.address} keeps epoch {installed.epoch} as "
            f"0x{installed.set_hash.hex()}, the handover is signed by 0x{given.hex()}; a verifier of another "
            "kind, or in a reset, is not brought further here",
        )


async def _read_proof(verifier: VerifierPort, epoch: Epoch, wanted_by: VerifierPort) -> HandoverProof | None:
    if verifier is wanted_by or (await verifier.installed()).epoch <= epoch:
        return None
    return await verifier.find_proof(epoch)
