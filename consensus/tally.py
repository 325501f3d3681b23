"""Attestations and partial certificates in; growing certificates and evidence of equivocation out.

A pure state machine: time comes in as a value, nothing waits. Cheap checks stand before any pairing,
all signatures of one call are checked together, and every map is bounded, by quotas per operator so that one
member that floods takes only its own room. Who sent an attestation is gossip's to know; to charge it, read
`refused`.

An operator that equivocates counts for both digests: the chain would accept both signatures, a certificate
never shrinks, and the order of delivery changes nothing. A third digest in one slot is refused, unless it
comes in a sum with others' signatures: to refuse theirs with it would let one liar keep honest weight out.

Single signatures are taken out of every sum that they are part of, which leaves the rest; a rest of one
signer is that operator's own signature. Of the sums that then still overlap, `cover` chooses those that weigh
most together with the single signatures.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from consensus.alert import MAX_TTL_SECONDS, Alert, Level
from consensus.attestation import Attestation
from consensus.bls import PublicKey, Purpose, Signature, aggregate_signatures, verify_batches
from consensus.certificate import Certificate, certify, compute_levels
from consensus.cover import choose_disjoint
from consensus.equivocation import EquivocationEvidence, compute_evidence
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.partial import (
    Contribution,
    PartialCertificate,
    check_signers,
    compute_signers_key,
    compute_weight,
    indices_of,
    merge,
    subtract,
)
from consensus.types import Digest, Epoch, NetworkId, OperatorIndex, Seconds, Signers, SlotId, Weight

MAX_EPOCHS = 3
"""The current epoch, the previous one in its grace, and the next one before its activation."""

MAX_DIGESTS_PER_OPERATOR = 2
"""Per slot: two different ones are the evidence, a third adds nothing but load."""

MAX_PARTIALS = 32
"""Sums that are kept for one alert beside the single signatures: one for each part of the levels of a network
of 500, and some that came by other ways. The lightest that no certificate rests on gives way."""

MAX_VERIFIED = 128
"""Sums of one alert that are known to be good, whether or not they are kept: a copy costs no pairing."""

MAX_SECONDS_AHEAD = MAX_TTL_SECONDS
"""How far observed_at may lie ahead. Bounds how long a flood is kept; safety does not rest on any clock."""

_SlotKey = tuple[Epoch, SlotId]
_Claim = tuple[Signers, Signature]
_Verdict = tuple[list[Contribution], Refused | None]
"""Copies of one claim, and what speaks against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyOutcome:
    """What one `add` did. Each contribution handed in is in exactly one of new, duplicates and refused.

    `grown` are the digests whose weight rose and now exceeds the lowest floor: their certificate is worth
    sending. `equivocations` were first proven by this call.
    """

    new: tuple[Contribution, ...]
    duplicates: tuple[Contribution, ...]
    refused: tuple[tuple[Contribution, Refused], ...]
    equivocations: tuple[EquivocationEvidence, ...]
    grown: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyStatistics:
    """How full the tally is."""

    epochs: int
    slots: int
    alerts: int
    signatures: int
    partials: int


@dataclass(slots=True, kw_only=True)
class _Count:
    """What is verified over one alert, and the heaviest choice of it that shares no signer.

    `singles` and `partials` are what is held; `claimed` is everybody who is known to have signed, `covered`
    those whose signatures add up to the certificate. `best` is None where they add up to infinity.
    """

    alert: Alert
    operator_set: OperatorSet
    singles: dict[OperatorIndex, Attestation] = field(default_factory=dict)
    partials: dict[Signers, PartialCertificate] = field(default_factory=dict)
    verified: dict[Signers, Signature] = field(default_factory=dict)
    single_signers: int = 0
    claimed: int = 0
    covered: int = 0
    weight: int = 0
    best: PartialCertificate | None = None

    def is_known(self, contribution: Contribution) -> bool:
        """True for a copy of what was verified. Signers have one signature per alert: another is bad."""
        signers = contribution.signers
        if not signers & ~self.single_signers:
            parts = [self.singles[index].signature for index in indices_of(signers)]
            known = parts[0] if len(parts) == 1 else aggregate_signatures(parts)
        elif signers in self.verified:
            known = self.verified[signers]
        else:
            return False
        if known != contribution.signature:
            raise _bad_signature(contribution)
        return True

    def hold(self, contribution: Contribution) -> None:
        """Keep what is verified; `settle` when all that came with it is kept."""
        self.claimed |= contribution.signers
        if isinstance(contribution, PartialCertificate) and contribution.signers.bit_count() > 1:
            self.verified[contribution.signers] = contribution.signature
            if len(self.verified) > MAX_VERIFIED:
                del self.verified[next(iter(self.verified))]
            self.partials[contribution.signers] = contribution
        else:
            self._hold_single(contribution)

    def settle(self) -> bool:
        """Take singles out of sums, and choose anew; True when more weight is covered than before."""
        self._peel()
        covered, best = self._choose(self.single_signers, self.partials)
        self._evict()
        weight = compute_weight(covered, self.operator_set)
        if weight < self.weight:
            return False  # a search that was cut short; what was chosen before stays good
        has_grown = weight > self.weight
        self.covered, self.weight, self.best = covered, weight, best
        return has_grown

    def merged(self, within: Signers | None) -> PartialCertificate | None:
        """The heaviest sum, of these signers alone where they are named."""
        if within is None:
            return self.best
        inside = {signers: each for signers, each in self.partials.items() if not signers & ~within}
        return self._choose(self.single_signers & within, inside)[1]

    def contributions(self) -> list[Contribution]:
        """All that is held: for evidence."""
        singles = [self.singles[index] for index in sorted(self.singles)]
        return [*singles, *(self.partials[signers] for signers in sorted(self.partials))]

    def _hold_single(self, contribution: Contribution) -> None:
        if isinstance(contribution, PartialCertificate):
            (index,) = indices_of(contribution.signers)
            contribution = Attestation(
                alert=self.alert, operator_index=index, signature=contribution.signature
            )
        self.singles[contribution.operator_index] = contribution
        self.single_signers |= contribution.signers

    def _peel(self) -> None:
        """Take the single signatures out of every sum, until no sum is left with one signer alone."""
        waiting = list(self.partials.values())
        while waiting:
            partial = waiting.pop()
            known = partial.signers & self.single_signers
            if not known:
                continue
            if known == partial.signers:
                del self.partials[partial.signers]
                continue
            try:
                rest = subtract(partial, [self.singles[index] for index in indices_of(known)])
            except Refused:
                continue  # colluding keys whose signatures cancel: only the whole can be used
            del self.partials[partial.signers]
            if rest.signers.bit_count() == 1:
                self._hold_single(rest)
                waiting = list(self.partials.values())
            else:
                self.partials[rest.signers] = rest

    def _choose(
        self, singles: int, partials: dict[Signers, PartialCertificate]
    ) -> tuple[Signers, PartialCertificate | None]:
        """The signers covered by the heaviest disjoint choice, and their sum."""
        chosen = choose_disjoint(
            list(partials), lambda signers: compute_weight(signers & ~singles, self.operator_set)
        )
        covered = 0
        for signers in chosen:
            covered |= signers
        parts: list[Contribution] = [partials[signers] for signers in chosen]
        parts += [self.singles[index] for index in indices_of(singles & ~covered)]
        if not parts:
            return Signers(0), None
        covered |= singles
        try:
            return Signers(covered), merge(parts)
        except Refused as refusal:
            if refusal.reason is not Reason.POINT_AT_INFINITY:
                raise
            return Signers(covered), None

    def _evict(self) -> None:
        if len(self.partials) <= MAX_PARTIALS:
            return
        chosen = choose_disjoint(
            list(self.partials), lambda signers: compute_weight(signers, self.operator_set)
        )
        others = sorted(
            self.partials.keys() - set(chosen),
            key=lambda signers: (compute_weight(signers, self.operator_set), -signers),
        )
        for signers in others[: len(self.partials) - MAX_PARTIALS]:
            del self.partials[signers]


@dataclass(slots=True, kw_only=True)
class _OpenSlot:
    """The alerts of one slot and epoch, which operator opened it, and who is proven to have signed two."""

    opened_by: OperatorIndex
    counts: dict[Digest, _Count] = field(default_factory=dict)
    proven: int = 0

    def has_room_for(self, index: OperatorIndex, digest: Digest) -> bool:
        """Whether the operator has signed fewer than two other digests here."""
        others = sum(count.claimed >> index & 1 for other, count in self.counts.items() if other != digest)
        return others < MAX_DIGESTS_PER_OPERATOR

    def expires_at(self) -> int:
        return max(count.alert.expires_at for count in self.counts.values())


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An outcome being written."""

    new: list[Contribution] = field(default_factory=list)
    duplicates: list[Contribution] = field(default_factory=list)
    refused: list[tuple[Contribution, Refused]] = field(default_factory=list)
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

    def add(self, contributions: Sequence[Contribution], now: Seconds) -> TallyOutcome:
        """Count what is members', in time and signed; say of every contribution what became of it.

        A bad signature is found by bisection and never keeps a good one from counting.
        """
        draft = _Draft()
        pending = self._admit(contributions, now, draft)
        for digest, verdicts in self._verify(pending).items():
            self._count_signed(digest, verdicts, draft)
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
        partial = self.merged(digest)
        return None if partial is None else certify(partial, self._sets[partial.alert.epoch])

    def merged(self, digest: Digest, within: Signers | None = None) -> PartialCertificate | None:
        """The heaviest sum of verified signatures over this digest, as peers are told it; None without any.

        With `within`, of these operators alone: what holds others' signatures too is left out.
        """
        count = self._find(digest)
        return None if count is None else count.merged(within)

    def covered(self, digest: Digest) -> Signers:
        """Whose signatures the certificate holds; 0 for an unknown digest."""
        count = self._find(digest)
        return Signers(0 if count is None else count.covered)

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
        """All single attestations over this digest, by operator index, for peers that lack them.

        Those that are known only as part of a sum are not among them: `merged` has them.
        """
        count = self._find(digest)
        return () if count is None else tuple(count.singles[index] for index in sorted(count.singles))

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
            signatures=sum(len(count.singles) for count in counts),
            partials=sum(len(count.partials) for count in counts),
        )

    def _admit(
        self, contributions: Sequence[Contribution], now: Seconds, draft: _Draft
    ) -> dict[Digest, dict[_Claim, list[Contribution]]]:
        """What has passed every check but its signature, by digest; equal copies together."""
        pending: dict[Digest, dict[_Claim, list[Contribution]]] = {}
        for position, contribution in enumerate(contributions):
            try:
                self._require_pending_room(position)
                self._require_counted_here(contribution, now)
                if self._is_counted(contribution):
                    draft.duplicates.append(contribution)
                    continue
                self._require_room(contribution)
            except Refused as refusal:
                draft.refused.append((contribution, refusal))
                continue
            claim = (contribution.signers, contribution.signature)
            pending.setdefault(contribution.digest(), {}).setdefault(claim, []).append(contribution)
        return pending

    def _count_signed(self, digest: Digest, verdicts: list[_Verdict], draft: _Draft) -> None:
        """Sums and single signatures over one digest: what is good, while there is room."""
        is_held = False
        for copies, refusal in verdicts:
            try:
                if refusal is not None:
                    raise refusal
                self._require_room(copies[0])  # again: others of this call may have taken it
            except Refused as reason:
                draft.refused += [(copy, reason) for copy in copies]
                continue
            self._hold(copies[0], draft)
            draft.duplicates += copies[1:]
            is_held = True
        count = self._find(digest)
        if is_held and count is not None and count.settle():
            draft.risen[digest] = None

    def _verify(
        self, pending: Mapping[Digest, dict[_Claim, list[Contribution]]]
    ) -> dict[Digest, list[_Verdict]]:
        """Each claim with what speaks against it: each sum is its signers' keys' own, all in one batch."""
        verdicts: dict[Digest, list[_Verdict]] = {digest: [] for digest in pending}
        signed: dict[Digest, list[tuple[list[Contribution], PublicKey]]] = {}
        for digest, claims in pending.items():
            for copies in claims.values():
                claim = copies[0]
                try:
                    key = compute_signers_key(claim.signers, self._sets[claim.alert.epoch])
                except Refused as refusal:  # colluding keys that cancel each other
                    verdicts[digest].append((copies, refusal))
                else:
                    signed.setdefault(digest, []).append((copies, key))
        batches = [
            (digest, [(key, copies[0].signature) for copies, key in each]) for digest, each in signed.items()
        ]
        found = verify_batches(Purpose.ALERT, batches) if batches else ()
        for (digest, each), bad in zip(signed.items(), found, strict=True):
            verdicts[digest] += [
                (copies, _bad_signature(copies[0]) if position in bad else None)
                for position, (copies, _) in enumerate(each)
            ]
        return verdicts

    def _hold(self, contribution: Contribution, draft: _Draft) -> None:
        digest, alert = contribution.digest(), contribution.alert
        slot = self._open(contribution)
        if digest not in slot.counts:
            slot.counts[digest] = _Count(alert=alert, operator_set=self._sets[alert.epoch])
            self._slot_of[digest] = _key(contribution)
        slot.counts[digest].hold(contribution)
        draft.new.append(contribution)
        for other, count in slot.counts.items():
            if other != digest and count.claimed & contribution.signers & ~slot.proven:
                self._accuse(slot, contribution, count, draft)

    def _accuse(self, slot: _OpenSlot, contribution: Contribution, rival: _Count, draft: _Draft) -> None:
        """Evidence against everybody who is in both, and not yet proven: by as few signatures as are held."""
        for held in sorted(rival.contributions(), key=lambda each: each.signers.bit_count()):
            if held.signers & contribution.signers & ~slot.proven:
                evidence = compute_evidence(held, contribution)
                slot.proven |= evidence.signers
                draft.equivocations.append(evidence)

    def _open(self, contribution: Contribution) -> _OpenSlot:
        key = _key(contribution)
        if key not in self._slots:
            index = self._require_opener(contribution)
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

    def _require_counted_here(self, contribution: Contribution, now: Seconds) -> None:
        alert = contribution.alert
        if alert.network_id != self._network_id:
            raise Refused(
                Reason.WRONG_NETWORK,
                f"this network is {self._network_id.hex()}, the alert is for {alert.network_id.hex()}",
            )
        check_signers(contribution, self._sets)
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

    def _is_counted(self, contribution: Contribution) -> bool:
        count = self._find(contribution.digest())
        return count is not None and count.is_known(contribution)

    def _require_room(self, contribution: Contribution) -> None:
        slot = self._slots.get(_key(contribution))
        if slot is None:
            self._require_opener(contribution)
            return
        digest, is_single = contribution.digest(), contribution.signers.bit_count() == 1
        if digest in slot.counts and not is_single:
            return
        if not any(slot.has_room_for(index, digest) for index in indices_of(contribution.signers)):
            raise Refused(
                Reason.EQUIVOCATION,
                f"operators {indices_of(contribution.signers)} have signed two other digests for this slot "
                "already",
            )
        if digest not in slot.counts and len(slot.counts) >= self._max_alerts_per_slot:
            raise Refused(Reason.TALLY_FULL, f"a slot holds up to {self._max_alerts_per_slot} alerts")

    def _require_opener(self, contribution: Contribution) -> OperatorIndex:
        """The first of the signers that may open another slot, and is charged for this one."""
        epoch = contribution.alert.epoch
        if len(self._slots) >= self._max_slots:
            raise Refused(
                Reason.TALLY_FULL, f"up to {self._max_slots} slots are open; wait until some expire"
            )
        quota = max(1, self._max_slots // (MAX_EPOCHS * len(self._sets[epoch].operators)))
        for index in indices_of(contribution.signers):
            if self._opened[epoch, index] < quota:
                return index
        raise Refused(
            Reason.QUOTA_EXCEEDED,
            f"operators {indices_of(contribution.signers)} may hold {quota} slots open each, and do",
        )

    def _find(self, digest: Digest) -> _Count | None:
        key = self._slot_of.get(digest)
        return None if key is None else self._slots[key].counts[digest]


def _key(contribution: Contribution) -> _SlotKey:
    return contribution.alert.epoch, contribution.slot_id()


def _bad_signature(contribution: Contribution) -> Refused:
    return Refused(
        Reason.BAD_SIGNATURE,
        f"the signature must be that of operators {indices_of(contribution.signers)} of epoch "
        f"{contribution.alert.epoch} over {contribution.digest().hex()}, is not",
    )
