"""Proof that one operator signed two different alerts for one slot in one epoch: ground for slashing."""

from dataclasses import dataclass

from consensus.attestation import Attestation
from consensus.bls import Purpose, verify
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import Epoch, OperatorIndex, SlotId


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivocationEvidence:
    """Two attestations that no honest operator makes. `first` has the smaller digest, whatever came first."""

    first: Attestation
    second: Attestation

    def __post_init__(self) -> None:
        first, second = self.first, self.second
        one_place = (
            first.operator_index == second.operator_index
            and first.alert.network_id == second.alert.network_id
            and first.alert.epoch == second.alert.epoch
            and first.alert.header_hash == second.alert.header_hash
            and first.slot_id() == second.slot_id()
        )
        if not one_place or not first.digest() < second.digest():
            raise Refused(
                Reason.EVIDENCE_INVALID,
                "evidence needs two digests, ascending, by one operator for one slot, epoch and header; "
                "these two do not conflict",
            )

    @property
    def operator_index(self) -> OperatorIndex:
        """Who signed twice."""
        return self.first.operator_index

    @property
    def epoch(self) -> Epoch:
        """The epoch whose set binds the index to a key."""
        return self.first.alert.epoch

    @property
    def slot_id(self) -> SlotId:
        """The slot that was filled twice."""
        return self.first.slot_id()


def compute_evidence(one: Attestation, other: Attestation) -> EquivocationEvidence:
    """Order two conflicting attestations into evidence. Raises Refused when they do not conflict."""
    first, second = sorted((one, other), key=Attestation.digest)
    return EquivocationEvidence(first=first, second=second)


def is_proven(evidence: EquivocationEvidence, operator_set: OperatorSet) -> bool:
    """True when both signatures are the operator's in this set: what a stranger checks before believing."""
    if evidence.first.alert.header_hash != operator_set.header_hash():
        return False
    public_key = operator_set.by_index(evidence.operator_index).public_key
    return all(
        verify(public_key, Purpose.ALERT, each.digest(), each.signature)
        for each in (evidence.first, evidence.second)
    )
