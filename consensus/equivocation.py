"""Proof that operators signed two different alerts for one slot in one epoch: ground for slashing."""

from dataclasses import dataclass

from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.partial import Contribution, PartialCertificate, as_partial, indices_of, verify_partial
from consensus.types import Epoch, OperatorIndex, Signers, SlotId


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivocationEvidence:
    """Two sums of signatures that share signers and exclude each other; no honest operator is in both.

    Either may hold one signature or many: a sum proves each of its signers, as it does on chain, where
    evidence is two certificates. `first` has the smaller digest, whatever came first.
    """

    first: PartialCertificate
    second: PartialCertificate

    def __post_init__(self) -> None:
        first, second = self.first, self.second
        one_place = (
            first.alert.network_id == second.alert.network_id
            and first.alert.epoch == second.alert.epoch
            and first.alert.header_hash == second.alert.header_hash
            and first.slot_id() == second.slot_id()
        )
        if not one_place or not self.signers or not first.digest() < second.digest():
            raise Refused(
                Reason.EVIDENCE_INVALID,
                "evidence needs two digests, ascending, by one operator for one slot, epoch and header; "
                "these two do not conflict",
            )

    @property
    def signers(self) -> Signers:
        """Who signed twice."""
        return Signers(self.first.signers & self.second.signers)

    @property
    def operators(self) -> tuple[OperatorIndex, ...]:
        """Who signed twice, ascending."""
        return indices_of(self.signers)

    @property
    def epoch(self) -> Epoch:
        """The epoch whose set binds the indices to keys."""
        return self.first.alert.epoch

    @property
    def slot_id(self) -> SlotId:
        """The slot that was filled twice."""
        return self.first.slot_id()


def compute_evidence(one: Contribution, other: Contribution) -> EquivocationEvidence:
    """Order two conflicting contributions into evidence. Raises Refused when they do not conflict."""
    first, second = sorted((as_partial(one), as_partial(other)), key=PartialCertificate.digest)
    return EquivocationEvidence(first=first, second=second)


def is_proven(evidence: EquivocationEvidence, operator_set: OperatorSet) -> bool:
    """True when both sums verify in this set: what a stranger checks before believing."""
    if evidence.first.alert.header_hash != operator_set.header_hash():
        return False
    highest = max(evidence.first.signers.bit_length(), evidence.second.signers.bit_length()) - 1
    operator_set.by_index(OperatorIndex(highest))
    return all(verify_partial(each, operator_set) for each in (evidence.first, evidence.second))
