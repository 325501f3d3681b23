"""How much weight signed one alert, and the bytes that prove it to a chain.

Twin of contracts/src/libraries/CertificateLib.sol; tests/vectors/certificates.json ties the two. What a
certificate is good for is the guardian's to say: the threshold stands in its storage, never in these bytes.

    header 302 | sigma 96 (x | y) | mode u8 | k u16
    and where k > 0: n * 32 leaves | k * (index u16 | weight u96 | pk 192)

Mode 0 lists the absent, whose keys are subtracted from the header's apk; mode 1 lists the signers, whose keys
are summed. With nobody listed all have signed, and the mode must be 0.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from consensus.alert import FLOORS, Alert, Level
from consensus.bls import (
    SIGNATURE_XY_BYTES,
    PublicKey,
    Purpose,
    Signature,
    aggregate_public_keys,
    aggregate_signatures,
    subtract_public_keys,
    verify,
)
from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_bytes
from consensus.operators import (
    HEADER_BYTES,
    LEAF_PREIMAGE_BYTES,
    MAX_OPERATORS,
    Header,
    Leaf,
    Operator,
    OperatorSet,
    parse_header,
    parse_leaf,
)
from consensus.partial import PartialCertificate, compute_signers, indices_of
from consensus.types import Bps, Digest, Epoch, HeaderHash, OperatorIndex, Weight

WHOLE_BPS = 10_000
LEAF_BYTES = 32
MAX_CERTIFICATE_BYTES = (
    HEADER_BYTES + SIGNATURE_XY_BYTES + 3 + MAX_OPERATORS * (LEAF_BYTES + LEAF_PREIMAGE_BYTES)
)

_MODE_AT = HEADER_BYTES + SIGNATURE_XY_BYTES
_COUNT_AT = _MODE_AT + 1
MIN_CERTIFICATE_BYTES = _COUNT_AT + 2
"""The fixed part, which is all where nobody is listed."""


class EntryMode(IntEnum):
    """Whom a certificate's entries list."""

    ABSENT = 0
    SIGNERS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An alert, who signed it and who did not, and the sum of the signatures.

    `absent` and `present` are the operators of one set in order of index; together they are the whole set.
    """

    alert: Alert
    header: bytes
    leaves: tuple[bytes, ...]
    absent: tuple[Operator, ...]
    present: tuple[Operator, ...]
    signature: Signature
    signed_weight: Weight
    total_weight: Weight

    def digest(self) -> Digest:
        """What was signed."""
        return self.alert.digest()

    def levels(self) -> frozenset[Level]:
        """The levels whose floor the signed weight exceeds."""
        return compute_levels(self.signed_weight, self.total_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProof:
    """The calldata `certificate`, parsed: lengths exact, mode known, entries strictly increasing.

    It says nothing yet of who signed what: `verify_certificate` does.
    """

    header: Header
    signature: Signature
    mode: EntryMode
    leaves: tuple[bytes, ...]
    entries: tuple[Leaf, ...]

    def __post_init__(self) -> None:
        count, entry_count = self.header.operator_count, len(self.entries)
        if entry_count == 0 and self.mode is not EntryMode.ABSENT:
            raise Refused(Reason.MODE_INVALID, f"with no entries the mode must be 0, came {int(self.mode)}")
        if entry_count > count:
            raise Refused(Reason.ENTRIES_INVALID, f"a set of {count} cannot have {entry_count} entries")
        expected_leaves = count if entry_count else 0
        if len(self.leaves) != expected_leaves:
            raise Refused(
                Reason.WRONG_LENGTH, f"{expected_leaves} leaves are expected, came {len(self.leaves)}"
            )
        for leaf in self.leaves:
            require_bytes("leaf", leaf, LEAF_BYTES)
        previous = -1
        for entry in self.entries:
            if not previous < entry.index < count:
                raise Refused(
                    Reason.ENTRIES_INVALID,
                    f"indices must increase strictly below {count}, came {entry.index} after {previous}",
                )
            previous = entry.index

    def to_bytes(self) -> bytes:
        """The calldata bytes."""
        return b"".join(
            (
                self.header.to_bytes(),
                self.signature.to_xy_bytes(),
                bytes([self.mode]),
                len(self.entries).to_bytes(2, "big"),
                *self.leaves,
                *(entry.to_bytes() for entry in self.entries),
            )
        )


def meets(signed: int, total: int, numerator: int, denominator: int) -> bool:
    """True when signed/total is strictly above numerator/denominator, without a division that truncates."""
    return signed > 0 and signed * denominator > total * numerator


def compute_levels(signed: int, total: int) -> frozenset[Level]:
    """The levels whose floor this weight exceeds."""
    return frozenset(level for level, floor in FLOORS.items() if meets(signed, total, *floor))


def build_certificate(
    alert: Alert, operator_set: OperatorSet, signatures: Mapping[OperatorIndex, Signature]
) -> Certificate:
    """Sum verified signatures over one alert. Refuses an empty mapping, a stranger's index, another set."""
    _require_set(alert, operator_set)
    _part(operator_set, signatures)
    signature = aggregate_signatures([signatures[index] for index in sorted(signatures)])
    signers = compute_signers(signatures)
    return certify(PartialCertificate(alert=alert, signers=signers, signature=signature), operator_set)


def certify(partial: PartialCertificate, operator_set: OperatorSet) -> Certificate:
    """A verified partial certificate as chains take it. Refuses a stranger's index, and another set."""
    _require_set(partial.alert, operator_set)
    present, absent = _part(operator_set, frozenset(indices_of(partial.signers)))
    return Certificate(
        alert=partial.alert,
        header=operator_set.header(),
        leaves=operator_set.leaves(),
        absent=absent,
        present=present,
        signature=partial.signature,
        signed_weight=_sum_weights(present),
        total_weight=operator_set.total_weight,
    )


def encode_certificate(certificate: Certificate) -> bytes:
    """The calldata bytes in the shorter mode; the absent where both are equally long."""
    return encode_certificate_as(certificate, _shorter_mode(certificate.present, certificate.absent))


def encode_certificate_as(certificate: Certificate, mode: EntryMode) -> bytes:
    """The calldata bytes in a given mode. With nobody absent only ABSENT exists."""
    return _encode(
        certificate.header,
        certificate.leaves,
        signature=certificate.signature,
        mode=mode,
        listed=certificate.absent if mode is EntryMode.ABSENT else certificate.present,
    )


def encode_signatures(operator_set: OperatorSet, signatures: Mapping[OperatorIndex, Signature]) -> bytes:
    """Sum verified signatures over one digest of any kind, as calldata in the shorter mode.

    Refuses an empty mapping and a stranger's index.
    """
    present, absent = _part(operator_set, signatures)
    mode = _shorter_mode(present, absent)
    return _encode(
        operator_set.header(),
        operator_set.leaves(),
        signature=aggregate_signatures([signatures[operator.index] for operator in present]),
        mode=mode,
        listed=absent if mode is EntryMode.ABSENT else present,
    )


def decode_certificate(data: bytes) -> CertificateProof:
    """Parse calldata bytes from anyone. Raises Refused on any length but the exact one."""
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"a certificate may have {MAX_CERTIFICATE_BYTES} bytes, came {len(data)}"
        )
    if len(data) < MIN_CERTIFICATE_BYTES:
        raise Refused(
            Reason.TRUNCATED, f"a certificate has at least {MIN_CERTIFICATE_BYTES} bytes, came {len(data)}"
        )
    entry_count = int.from_bytes(data[_COUNT_AT:MIN_CERTIFICATE_BYTES], "big")
    header = parse_header(data[:HEADER_BYTES])
    leaf_count = header.operator_count if entry_count else 0
    entries_at = MIN_CERTIFICATE_BYTES + leaf_count * LEAF_BYTES
    end = entries_at + entry_count * LEAF_PREIMAGE_BYTES
    if len(data) < end:
        raise Refused(Reason.TRUNCATED, f"this certificate has {end} bytes, came {len(data)}")
    if len(data) > end:
        raise Refused(Reason.TRAILING_BYTES, f"this certificate has {end} bytes, came {len(data)}")
    return CertificateProof(
        header=header,
        signature=Signature.from_xy_bytes(data[HEADER_BYTES:_MODE_AT]),
        mode=_parse_mode(data[_MODE_AT]),
        leaves=_split(data[MIN_CERTIFICATE_BYTES:entries_at], LEAF_BYTES),
        entries=tuple(parse_leaf(entry) for entry in _split(data[entries_at:end], LEAF_PREIMAGE_BYTES)),
    )


def verify_certificate(
    data: bytes, *, digest: Digest, epoch: Epoch, header_hash: HeaderHash, threshold_bps: Bps
) -> tuple[Weight, Weight]:
    """The signed and the total weight, as IQuorumVerifier.verify gives them. Raises Refused otherwise.

    `header_hash` is the one that the caller trusts for this epoch. In the contract's order: header, leaves,
    quorum, and only then the pairing.
    """
    proof = decode_certificate(data)
    if proof.header.hash() != header_hash or proof.header.epoch != epoch:
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"epoch {epoch} has header {header_hash.hex()}, "
            f"came epoch {proof.header.epoch} with {proof.header.hash().hex()}",
        )
    signed, total = measure(proof)
    if not meets(signed, total, threshold_bps, WHOLE_BPS):
        raise Refused(
            Reason.THRESHOLD_NOT_MET,
            f"needs weight above {threshold_bps} bps of {total}, has {signed}; wait for more attestations",
        )
    require_signed(proof, Purpose.ALERT, digest)
    return signed, total


def recover_certificate(data: bytes, alert: Alert, operator_set: OperatorSet) -> Certificate:
    """The certificate over `alert` in calldata that somebody delivered: who signed, and that they did.

    Raises Refused as `decode_certificate` and `verify_certificate` do; any weight above none will do.
    """
    _require_set(alert, operator_set)
    signed, total = verify_certificate(
        data,
        digest=alert.digest(),
        epoch=alert.epoch,
        header_hash=alert.header_hash,
        threshold_bps=Bps(0),
    )
    proof = decode_certificate(data)
    listed = {OperatorIndex(entry.index) for entry in proof.entries}
    everybody = {operator.index for operator in operator_set.operators}
    present, absent = _part(operator_set, listed if proof.mode is EntryMode.SIGNERS else everybody - listed)
    return Certificate(
        alert=alert,
        header=operator_set.header(),
        leaves=operator_set.leaves(),
        absent=absent,
        present=present,
        signature=proof.signature,
        signed_weight=signed,
        total_weight=total,
    )


def measure(proof: CertificateProof) -> tuple[Weight, Weight]:
    """The signed and the total weight. Raises Refused where an entry is not the header's."""
    _require_leaves(proof)
    listed = sum(entry.weight for entry in proof.entries)
    total = proof.header.total_weight
    if proof.mode is EntryMode.SIGNERS:
        return Weight(listed), total
    if listed > total:
        raise Refused(Reason.WEIGHT_MISMATCH, f"the absent weigh {listed}, more than the set's total {total}")
    return Weight(total - listed), total


def require_signed(proof: CertificateProof, purpose: Purpose, digest: Digest) -> None:
    """Raise Refused unless the signature over `digest` is that of all the proof's signers together."""
    if not verify(_compute_signers_key(proof), purpose, digest, proof.signature):
        raise Refused(
            Reason.BAD_SIGNATURE,
            "the aggregate signature must be that of the listed signers over this digest",
        )


def _require_set(alert: Alert, operator_set: OperatorSet) -> None:
    if alert.header_hash != operator_set.header_hash():
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"the alert names header {alert.header_hash.hex()}, "
            f"the set has {operator_set.header_hash().hex()}",
        )


def _part(
    operator_set: OperatorSet, signers: Collection[OperatorIndex]
) -> tuple[tuple[Operator, ...], tuple[Operator, ...]]:
    """Who signed and who did not, each in order of index."""
    present = tuple(operator_set.by_index(index) for index in sorted(signers))
    absent = tuple(operator for operator in operator_set.operators if operator.index not in signers)
    return present, absent


def _require_leaves(proof: CertificateProof) -> None:
    if not proof.entries:
        return
    if keccak256(b"".join(proof.leaves)) != proof.header.leaves_hash:
        raise Refused(Reason.LEAVES_MISMATCH, "the leaf list must hash to the header's leavesHash, does not")
    for entry in proof.entries:
        if entry.hash() != proof.leaves[entry.index]:
            raise Refused(Reason.LEAF_MISMATCH, f"entry {entry.index} must hash to its leaf, does not")


def _compute_signers_key(proof: CertificateProof) -> PublicKey:
    keys = [entry.public_key for entry in proof.entries]
    if proof.mode is EntryMode.SIGNERS:
        return aggregate_public_keys(keys)
    return subtract_public_keys(proof.header.aggregate_key, keys)


def _encode(
    header: bytes,
    leaves: tuple[bytes, ...],
    *,
    signature: Signature,
    mode: EntryMode,
    listed: tuple[Operator, ...],
) -> bytes:
    return CertificateProof(
        header=parse_header(header),
        signature=signature,
        mode=mode,
        leaves=leaves if listed else (),
        entries=tuple(operator.leaf_entry() for operator in listed),
    ).to_bytes()


def _shorter_mode(present: tuple[Operator, ...], absent: tuple[Operator, ...]) -> EntryMode:
    return EntryMode.SIGNERS if len(present) < len(absent) else EntryMode.ABSENT


def _parse_mode(value: int) -> EntryMode:
    try:
        return EntryMode(value)
    except ValueError:
        raise Refused(Reason.MODE_INVALID, f"mode must be 0 (absent) or 1 (signers), came {value}") from None


def _split(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[start : start + size] for start in range(0, len(data), size))


def _sum_weights(operators: Iterable[Operator]) -> Weight:
    return Weight(sum(operator.weight for operator in operators))
