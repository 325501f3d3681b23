"""Votes for handovers in, proofs out: how the operators of two sets come to sign one in after the other.

A vote is one operator's signature under a handover, and the side that it counts for: whoever stands in both
sets with one key sends the same signature for each. Only handovers that were computed here, from operator
sets that the registry captured, are counted.

Wire body, canonical MessagePack: [network, epoch, set hash, next set hash, side, operator index, signature].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from consensus.bls import Purpose, Signature, verify
from consensus.certificate import encode_signatures, meets
from consensus.errors import Reason, Refused
from consensus.fields import require_bytes, require_uint
from consensus.handover import QUORUM, Handover, HandoverProof, compute_handover
from consensus.operators import Operator, OperatorSet
from consensus.types import Epoch, HeaderHash, NetworkId, OperatorIndex, Weight
from consensus.wire import fields_of, pack, reading, require_canonical, require_size

MAX_STEPS = 64
"""Handovers that are kept, the newest; at 256 operators a side about 100 KiB each."""

MAX_VOTE_BYTES = 192
_VOTE_FIELDS = 7


class Side(IntEnum):
    """Which of the two certificates a vote counts for."""

    OUTGOING = 0
    INCOMING = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverVote:
    """One operator's signature under a handover, under its index in the set of that side."""

    handover: Handover
    side: Side
    operator_index: OperatorIndex
    signature: Signature

    def __post_init__(self) -> None:
        require_uint("operator_index", self.operator_index, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """The weight that has signed on either side, of how much."""

    outgoing: Weight
    outgoing_total: Weight
    incoming: Weight
    incoming_total: Weight


@dataclass(slots=True, kw_only=True)
class _Step:
    """One handover that the registry calls for, and who has signed it."""

    handover: Handover
    sets: Mapping[Side, OperatorSet]
    signatures: dict[Side, dict[OperatorIndex, Signature]] = field(
        default_factory=lambda: {side: {} for side in Side}
    )

    def weight(self, side: Side) -> Weight:
        return Weight(sum(self.sets[side].by_index(index).weight for index in self.signatures[side]))

    def has_quorum(self, side: Side) -> bool:
        return meets(self.weight(side), self.sets[side].total_weight, *QUORUM)


class Succession:
    """Counts votes of one network. Not shared between tasks."""

    def __init__(self, network_id: NetworkId) -> None:
        self._network_id = network_id
        self._steps: dict[Epoch, _Step] = {}

    def add_step(self, outgoing: OperatorSet, incoming: OperatorSet) -> Handover:
        """Learn of two sets in a row, as captured; what their operators sign. Repeats are fine.

        Raises Refused where the second does not follow the first, and HANDOVER_CONFLICT where it follows with
        another set than before: the registry has changed its past.
        """
        handover = compute_handover(self._network_id, outgoing, incoming)
        known = self._steps.get(outgoing.epoch)
        if known is None:
            sets = {Side.OUTGOING: outgoing, Side.INCOMING: incoming}
            self._steps[outgoing.epoch] = _Step(handover=handover, sets=sets)
            for oldest in sorted(self._steps)[:-MAX_STEPS]:
                del self._steps[oldest]
        elif known.handover != handover:
            raise Refused(
                Reason.HANDOVER_CONFLICT,
                f"epoch {outgoing.epoch} hands over to header {known.handover.next_set_hash.hex()}, came "
                f"{handover.next_set_hash.hex()}; read the registry at a finalized block",
            )
        return handover

    def handovers(self) -> tuple[Handover, ...]:
        """Those that are kept, by the outgoing epoch, oldest first."""
        return tuple(self._steps[epoch].handover for epoch in sorted(self._steps))

    def add(self, vote: HandoverVote) -> bool:
        """Count a vote; False for one that is counted already. Raises Refused.

        WRONG_NETWORK, UNKNOWN_EPOCH where no such step is known here (yet), HANDOVER_CONFLICT for other sets
        than ours, NOT_A_MEMBER, BAD_SIGNATURE. Everything cheap comes before the pairing.
        """
        step, operator = self._step_of(vote), self.operator_of(vote)
        counted = step.signatures[vote.side]
        known = counted.get(vote.operator_index)
        if known == vote.signature:
            return False
        # one key has one signature under one digest: where ours is counted, another is wrong unseen
        is_signed = known is None and verify(
            operator.public_key, Purpose.HANDOVER, vote.handover.digest(), vote.signature
        )
        if not is_signed:
            raise Refused(
                Reason.BAD_SIGNATURE,
                f"operator {vote.operator_index} of epoch {step.sets[vote.side].epoch} must have signed the "
                "handover, the signature is another",
            )
        counted[vote.operator_index] = vote.signature
        return True

    def operator_of(self, vote: HandoverVote) -> Operator:
        """Whose vote it says it is. Raises Refused as `add` does; the signature is not looked at."""
        return self._step_of(vote).sets[vote.side].by_index(vote.operator_index)

    def progress(self, epoch: Epoch) -> StepProgress | None:
        """How far the handover of an outgoing epoch has come; None for one that is not kept."""
        step = self._steps.get(epoch)
        if step is None:
            return None
        return StepProgress(
            outgoing=step.weight(Side.OUTGOING),
            outgoing_total=step.sets[Side.OUTGOING].total_weight,
            incoming=step.weight(Side.INCOMING),
            incoming_total=step.sets[Side.INCOMING].total_weight,
        )

    def proof(self, epoch: Epoch) -> HandoverProof | None:
        """The calldata of the handover of an outgoing epoch; None before two thirds of both sets signed.

        None as well where colluding keys cancel each other so that a sum is infinity: the next honest vote
        mends it.
        """
        step = self._steps.get(epoch)
        if step is None or not all(step.has_quorum(side) for side in Side):
            return None
        try:
            outgoing, incoming = (encode_signatures(step.sets[side], step.signatures[side]) for side in Side)
        except Refused as refusal:
            if refusal.reason is Reason.POINT_AT_INFINITY:
                return None
            raise
        return HandoverProof(outgoing=outgoing, incoming=incoming)

    def _step_of(self, vote: HandoverVote) -> _Step:
        handover = vote.handover
        if handover.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this is network {self._network_id.hex()}, came {handover.network_id.hex()}",
            )
        step = self._steps.get(handover.epoch)
        if step is None:
            raise Refused(
                Reason.UNKNOWN_EPOCH,
                f"handovers of epochs {sorted(self._steps)} are known here, came one of {handover.epoch}; it "
                "is counted when it comes again after the registry was read",
            )
        if handover != step.handover:
            raise Refused(
                Reason.HANDOVER_CONFLICT,
                f"epoch {handover.epoch} hands over from {step.handover.set_hash.hex()} to "
                f"{step.handover.next_set_hash.hex()}, came from {handover.set_hash.hex()} to "
                f"{handover.next_set_hash.hex()}",
            )
        return step


def encode_vote(vote: HandoverVote) -> bytes:
    """The canonical wire bytes, at most MAX_VOTE_BYTES."""
    handover = vote.handover
    return pack(
        [
            handover.network_id,
            handover.epoch,
            handover.set_hash,
            handover.next_set_hash,
            int(vote.side),
            vote.operator_index,
            vote.signature.compressed,
        ]
    )


def decode_vote(data: bytes) -> HandoverVote:
    """Parse wire bytes from a stranger. Raises Refused with a reason; never anything else."""
    require_size("a handover vote", data, MAX_VOTE_BYTES)
    with reading("a handover vote", data) as unpacker:
        fields = unpacker.unpack()
    vote = _parse_vote(fields)
    require_canonical("a handover vote", data, encode_vote(vote))
    return vote


def _parse_vote(fields: Any) -> HandoverVote:
    network_id, epoch, set_hash, next_set_hash, side, operator_index, signature = fields_of(
        "a handover vote", fields, _VOTE_FIELDS
    )
    require_uint("side", side, 8)
    if side not in set(Side):
        raise Refused(Reason.OUT_OF_RANGE, f"side must be 0 (outgoing) or 1 (incoming), came {side}")
    require_bytes("signature", signature, 48)
    return HandoverVote(
        handover=Handover(
            network_id=NetworkId(network_id),
            epoch=Epoch(epoch),
            set_hash=HeaderHash(set_hash),
            next_set_hash=HeaderHash(next_set_hash),
        ),
        side=Side(side),
        operator_index=OperatorIndex(operator_index),
        signature=Signature(signature),
    )
