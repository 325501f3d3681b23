"""Attestations in; growing certificates and evidence of equivocation out.

A pure state machine: time comes in as a value, nothing waits. Cheap checks stand before any pairing,
signatures over one digest are checked together, and every map is bounded, by quotas per operator so that one
member that floods takes only its own room. Who sent an attestation is gossip's to know; to charge it, read
`refused`.

An operator that equivocates counts for both digests: the chain would accept both signatures, a certificate
never shrinks, and the order of delivery changes nothing. A third digest in one slot is refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from consensus.alert import MAX_TTL_SECONDS, Alert, Level
from consensus.attestation import Attestation, check_membership
from consensus.bls import PublicKey, Purpose, Signature, verify_batch
from consensus.certificate import Certificate, build_certificate, compute_levels
from consensus.equivocation import EquivocationEvidence, compute_evidence
from consensus.errors import Reason, Refused
from consensus.operators import Operator, OperatorSet
from consensus.types import Digest, Epoch, NetworkId, OperatorIndex, Seconds, SlotId, Weight

MAX_EPOCHS = 3
"""The current epoch, the previous one in its grace, and the next one before its activation."""

MAX_DIGESTS_PER_OPERATOR = 2
"""Per slot: two different ones are the evidence, a third adds nothing but load."""

MAX_SECONDS_AHEAD = MAX_TTL_SECONDS
"""How far observed_at may lie ahead. Bounds how long a flood is kept; safety does not rest on any clock."""

_SlotKey = tuple[Epoch, SlotId]
_Claim = tuple[OperatorIndex, Signature]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyOutcome:
    """What one `add` did. Each attestation handed in is in exactly one of new, duplicates and refused.

    `grown` are the digests whose weight rose and now exceeds the lowest floor: their certificate is worth
    sending. `equivocations` were first proven by this call.
    """

    new: tuple[Attestation, ...]
    duplicates: tuple[Attestation, ...]
    refused: tuple[tuple[Attestation, Refused], ...]
    equivocations: tuple[EquivocationEvidence, ...]
    grown: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyStatistics:
    """How full the tally is."""

    epochs: int
    slots: int
    alerts: int
    signatures: int


@dataclass(slots=True, kw_only=True)
class _Count:
    """The verified signatures over one alert."""

    alert: Alert
    signatures: dict[OperatorIndex, Signature] = field(default_factory=dict)
    weight: int = 0


@dataclass(slots=True, kw_only=True)
class _OpenSlot:
    """The alerts of one slot and epoch, and which operator opened it."""

    opened_by: OperatorIndex
    counts: dict[Digest, _Count] = field(default_factory=dict)

    def digests_of(self, index: OperatorIndex) -> list[Digest]:
        return [digest for digest, count in self.counts.items() if index in count.signatures]

    def expires_at(self) -> int:
        return max(count.alert.expires_at for count in self.counts.values())


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An outcome being written."""

    new: list[Attestation] = field(default_factory=list)
    duplicates: list[Attestation] = field(default_factory=list)
    refused: list[tuple[Attestation, Refused]] = field(default_factory=list)
    equivocations: list[EquivocationEvidence] = field(default_factory=list)
    risen: dict[Digest, None] = field(default_factory=dict)  # a set that keeps the order


class Tally:
    """Counts attestations of one network. Not shared between tasks: one owner feeds it and prunes it.

    `max_slots` bounds open slots of all epochs, and is divided into equal quotas per operator; an open slot
    is charged to the operator whose attestation opened it. `max_pending` bounds one `add`, and with it the
    pairings that one call may cost.
    """

    def __init__(
        self,
        network_id: NetworkId,
        *,
        max_slots: int = 16_384,
        max_alerts_per_slot: int = 256,
        max_pending: int = 1_024,
    ) -> None:
        self._network_id = network_id
        self._max_slots = max_slots
        self._max_alerts_per_slot = max_alerts_per_slot
        self._max_pending = max_pending
        self._sets: dict[Epoch, OperatorSet] = {}
        self._slots: dict[_SlotKey, _OpenSlot] = {}
        self._slot_of: dict[Digest, _SlotKey] = {}
        self._opened: Counter[tuple[Epoch, OperatorIndex]] = Counter()

    def add_operator_set(self, operator_set: OperatorSet) -> None:
        """Learn an epoch's set; the oldest beyond MAX_EPOCHS goes, with its slots. Repeats are fine.

        Raises Refused for a second header of a known epoch, and for an epoch older than those kept.
        """
        known = self._sets.get(operator_set.epoch)
        if known is not None and known.header_hash() != operator_set.header_hash():
            raise Refused(
                Reason.HEADER_MISMATCH,
                f"epoch {operator_set.epoch} is known with header {known.header_hash().hex()}, "
                f"came {operator_set.header_hash().hex()}; read the registry at a finalized block",
            )
        if known is None and len(self._sets) >= MAX_EPOCHS:
            oldest = min(self._sets)
            if operator_set.epoch < oldest:
                raise Refused(Reason.OLD_EPOCH, f"epochs from {oldest} are kept, came {operator_set.epoch}")
            del self._sets[oldest]
            self._drop([key for key in self._slots if key[0] == oldest])
        self._sets[operator_set.epoch] = operator_set

    def add(self, attestations: Sequence[Attestation], now: Seconds) -> TallyOutcome:
        """Count what is a member's, in time and signed; say of every attestation what became of it.

        A bad signature is found by bisection and never keeps a good one from counting.
        """
        draft = _Draft()
        pending = self._admit(attestations, now, draft)
        for digest, claims in pending.items():
            self._count_signed(digest, claims, draft)
        return TallyOutcome(
            new=tuple(draft.new),
            duplicates=tuple(draft.duplicates),
            refused=tuple(draft.refused),
            equivocations=tuple(draft.equivocations),
            grown=tuple(digest for digest in draft.risen if self.levels(digest)),
        )

    def prune(self, now: Seconds) -> tuple[Digest, ...]:
        """Forget the slots whose alerts have all expired; return their digests. Call once per block."""
        return self._drop([key for key, slot in self._slots.items() if slot.expires_at() < now])

    def certificate(self, digest: Digest) -> Certificate | None:
        """The sum of all verified signatures over this digest; None when there is nothing to show a chain.

        That is so for an unknown digest, and where colluding keys cancel each other so that their sum is
        infinity, which no chain accepts: the next honest signature mends it.
        """
        count = self._find(digest)
        if count is None:
            return None
        try:
            return build_certificate(count.alert, self._sets[count.alert.epoch], count.signatures)
        except Refused as refusal:
            if refusal.reason is Reason.POINT_AT_INFINITY:
                return None
            raise

    def weight(self, digest: Digest) -> Weight:
        """The weight that signed this digest; 0 for an unknown one."""
        count = self._find(digest)
        return Weight(0 if count is None else count.weight)

    def total(self, digest: Digest) -> Weight:
        """The total weight of the digest's operator set; 0 for an unknown digest."""
        count = self._find(digest)
        return Weight(0 if count is None else self._sets[count.alert.epoch].total_weight)

    def levels(self, digest: Digest) -> frozenset[Level]:
        """The levels whose floor the signed weight exceeds."""
        return compute_levels(self.weight(digest), self.total(digest))

    def alert(self, digest: Digest) -> Alert | None:
        """The alert behind a counted digest."""
        count = self._find(digest)
        return None if count is None else count.alert

    def attestations(self, digest: Digest) -> tuple[Attestation, ...]:
        """All verified attestations over this digest, by operator index, for peers that lack them."""
        count = self._find(digest)
        return (
            ()
            if count is None
            else tuple(_attestation_of(count, index) for index in sorted(count.signatures))
        )

    def open_digests(self) -> tuple[Digest, ...]:
        """The digests that are counted at present."""
        return tuple(self._slot_of)

    def statistics(self) -> TallyStatistics:
        """How full the tally is."""
        counts = [count for slot in self._slots.values() for count in slot.counts.values()]
        return TallyStatistics(
            epochs=len(self._sets),
            slots=len(self._slots),
            alerts=len(counts),
            signatures=sum(len(count.signatures) for count in counts),
        )

    def _admit(
        self, attestations: Sequence[Attestation], now: Seconds, draft: _Draft
    ) -> dict[Digest, dict[_Claim, list[Attestation]]]:
        """What has passed every check but its signature, by digest; equal copies together."""
        pending: dict[Digest, dict[_Claim, list[Attestation]]] = {}
        for position, attestation in enumerate(attestations):
            try:
                self._require_pending_room(position)
                self._require_counted_here(attestation, now)
                if self._is_counted(attestation):
                    draft.duplicates.append(attestation)
                    continue
                self._require_room(attestation)
            except Refused as refusal:
                draft.refused.append((attestation, refusal))
                continue
            claim = (attestation.operator_index, attestation.signature)
            pending.setdefault(attestation.digest(), {}).setdefault(claim, []).append(attestation)
        return pending

    def _count_signed(self, digest: Digest, claims: dict[_Claim, list[Attestation]], draft: _Draft) -> None:
        copies_by_position = list(claims.values())
        signed = [(self._key_of(copies[0]), copies[0].signature) for copies in copies_by_position]
        bad = set(verify_batch(digest, Purpose.ALERT, signed))
        for position, copies in enumerate(copies_by_position):
            try:
                if position in bad:
                    raise _bad_signature(copies[0])
                self._require_room(copies[0])  # again: others of this call may have taken it
            except Refused as refusal:
                draft.refused += [(copy, refusal) for copy in copies]
                continue
            self._count(copies[0], draft)
            draft.duplicates += copies[1:]

    def _count(self, attestation: Attestation, draft: _Draft) -> None:
        digest, index = attestation.digest(), attestation.operator_index
        slot = self._open(attestation)
        conflicting = slot.digests_of(index)
        count = slot.counts.setdefault(digest, _Count(alert=attestation.alert))
        count.signatures[index] = attestation.signature
        count.weight += self._operator_of(attestation).weight
        self._slot_of[digest] = _key(attestation)
        draft.new.append(attestation)
        draft.risen[digest] = None
        for other in conflicting:
            earlier = _attestation_of(slot.counts[other], index)
            draft.equivocations.append(compute_evidence(earlier, attestation))

    def _open(self, attestation: Attestation) -> _OpenSlot:
        key, index = _key(attestation), attestation.operator_index
        if key not in self._slots:
            self._slots[key] = _OpenSlot(opened_by=index)
            self._opened[key[0], index] += 1
        return self._slots[key]

    def _drop(self, keys: Iterable[_SlotKey]) -> tuple[Digest, ...]:
        dropped: list[Digest] = []
        for key in keys:
            slot = self._slots.pop(key)
            owner = (key[0], slot.opened_by)
            self._opened[owner] -= 1
            if not self._opened[owner]:
                del self._opened[owner]
            for digest in slot.counts:
                del self._slot_of[digest]
                dropped.append(digest)
        return tuple(dropped)

    def _require_pending_room(self, position: int) -> None:
        if position >= self._max_pending:
            raise Refused(
                Reason.TALLY_FULL,
                f"one call counts up to {self._max_pending} attestations; hand in the rest again",
            )

    def _require_counted_here(self, attestation: Attestation, now: Seconds) -> None:
        alert = attestation.alert
        if alert.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this network is {self._network_id.hex()}, the alert is for {alert.network_id.hex()}",
            )
        check_membership(attestation, self._sets)
        valid_until = self._sets[alert.epoch].valid_until
        if now > valid_until:
            raise Refused(
                Reason.SET_EXPIRED, f"epoch {alert.epoch} was valid until {valid_until}, now is {now}"
            )
        if now > alert.expires_at:
            raise Refused(Reason.ALERT_EXPIRED, f"the alert expired at {alert.expires_at}, now is {now}")
        if alert.observed_at > now + MAX_SECONDS_AHEAD:
            raise Refused(
                Reason.ALERT_FROM_FUTURE,
                f"observed_at may be up to {MAX_SECONDS_AHEAD} s ahead of {now}, is {alert.observed_at}; "
                "check this machine's clock",
            )

    def _is_counted(self, attestation: Attestation) -> bool:
        """True for a copy of a counted attestation. One key has one signature per digest: another is bad."""
        count = self._find(attestation.digest())
        known = None if count is None else count.signatures.get(attestation.operator_index)
        if known is not None and known != attestation.signature:
            raise _bad_signature(attestation)
        return known is not None

    def _require_room(self, attestation: Attestation) -> None:
        slot = self._slots.get(_key(attestation))
        if slot is None:
            self._require_room_for_slot(attestation)
            return
        digest, index = attestation.digest(), attestation.operator_index
        if len(slot.digests_of(index)) >= MAX_DIGESTS_PER_OPERATOR:
            raise Refused(
                Reason.EQUIVOCATION, f"operator {index} has signed two other digests for this slot already"
            )
        if digest not in slot.counts and len(slot.counts) >= self._max_alerts_per_slot:
            raise Refused(Reason.TALLY_FULL, f"a slot holds up to {self._max_alerts_per_slot} alerts")

    def _require_room_for_slot(self, attestation: Attestation) -> None:
        epoch, index = attestation.alert.epoch, attestation.operator_index
        if len(self._slots) >= self._max_slots:
            raise Refused(
                Reason.TALLY_FULL, f"up to {self._max_slots} slots are open; wait until some expire"
            )
        quota = max(1, self._max_slots // (MAX_EPOCHS * len(self._sets[epoch].operators)))
        if self._opened[epoch, index] >= quota:
            raise Refused(Reason.QUOTA_EXCEEDED, f"operator {index} may hold {quota} slots open, and does")

    def _find(self, digest: Digest) -> _Count | None:
        key = self._slot_of.get(digest)
        return None if key is None else self._slots[key].counts[digest]

    def _operator_of(self, attestation: Attestation) -> Operator:
        return self._sets[attestation.alert.epoch].by_index(attestation.operator_index)

    def _key_of(self, attestation: Attestation) -> PublicKey:
        return self._operator_of(attestation).public_key


def _key(attestation: Attestation) -> _SlotKey:
    return attestation.alert.epoch, attestation.slot_id()


def _attestation_of(count: _Count, index: OperatorIndex) -> Attestation:
    return Attestation(alert=count.alert, operator_index=index, signature=count.signatures[index])


def _bad_signature(attestation: Attestation) -> Refused:
    return Refused(
        Reason.BAD_SIGNATURE,
        f"the signature must be that of operator {attestation.operator_index} of epoch "
        f"{attestation.alert.epoch} over {attestation.digest().hex()}, is not",
    )
