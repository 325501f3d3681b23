"""The certificate of chains without the BLS precompiles: an ECDSA signature of each signer.

Twin of contracts/src/libraries/EcdsaCertificateLib.sol; tests/vectors/ecdsa.json ties the two. Such a chain
knows a set by more than its header, which binds no addresses:

    set          header 302 | n entries: address 20 | weight u96
    certificate  set | k u16 | k signatures: index u16 | r 32 | vs 32 (EIP-2098)

Alerts and handovers are the same objects as elsewhere. What an operator signs here is their digest under a
type hash of this kind of vote, with the key of the address that it registered from.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature

from consensus.certificate import WHOLE_BPS, meets
from consensus.errors import Reason, Refused
from consensus.fields import (
    ADDRESS_BYTES,
    WORD_BYTES,
    address_from_bytes,
    address_to_bytes,
    keccak256,
    require_address,
    require_bytes,
    require_uint,
)
from consensus.operators import HEADER_BYTES, MAX_OPERATORS, Header, OperatorSet, parse_header
from consensus.types import Address, Bps, Digest, Epoch, OperatorIndex, Weight

ECDSA_ORDER = int("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
MAX_S = ECDSA_ORDER // 2
"""Above it stands the same signature once more, mirrored."""

SECRET_KEY_BYTES = 32
ENTRY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_ECDSA_CERTIFICATE_BYTES = (
    HEADER_BYTES + MAX_OPERATORS * ENTRY_BYTES + 2 + MAX_OPERATORS * (2 + SIGNATURE_BYTES)
)

ZERO_ADDRESS = Address("0x" + "00" * ADDRESS_BYTES)

_COUNT = struct.Struct(">H")
_PARITY = 1 << 255


class Vote(Enum):
    """What a signature is for; the value is its type hash, so that it never passes for the other."""

    ALERT = keccak256(b"TocsinEcdsaAlert(bytes32 digest)")
    HANDOVER = keccak256(b"TocsinEcdsaHandover(bytes32 digest)")


def compute_message_hash(vote: Vote, digest: Digest) -> bytes:
    """keccak256(abi.encode(type hash, digest)): what is signed."""
    require_bytes("digest", digest, WORD_BYTES)
    return keccak256(vote.value + digest)


# --- signatures


@dataclass(frozen=True, slots=True)
class EcdsaSignature:
    """r and, in one word as of EIP-2098, s and the parity of y. One that exists is not mirrored."""

    r: int
    s: int
    parity: int

    def __post_init__(self) -> None:
        require_uint("parity", self.parity, 1)
        if not 0 < self.r < ECDSA_ORDER:
            raise Refused(Reason.OUT_OF_RANGE, "r must be between 1 and the group's order")
        if not 0 < self.s <= MAX_S:
            raise Refused(Reason.NOT_CANONICAL, "s must be between 1 and half of the group's order")

    @classmethod
    def from_bytes(cls, data: bytes) -> "EcdsaSignature":
        """Parse the 64 bytes r | vs."""
        require_bytes("signature", data, SIGNATURE_BYTES)
        vs = int.from_bytes(data[WORD_BYTES:], "big")
        return cls(r=int.from_bytes(data[:WORD_BYTES], "big"), s=vs % _PARITY, parity=vs // _PARITY)

    def to_bytes(self) -> bytes:
        """r | vs, 64 bytes."""
        vs = self.s + self.parity * _PARITY
        return self.r.to_bytes(WORD_BYTES, "big") + vs.to_bytes(WORD_BYTES, "big")


class EcdsaSecretKey:
    """A secp256k1 key. Never shown: neither `repr` nor an error holds it."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        require_bytes("secret key", secret, SECRET_KEY_BYTES)
        if not 0 < int.from_bytes(secret, "big") < ECDSA_ORDER:
            raise Refused(Reason.KEY_OUT_OF_RANGE, "secret key must be between 1 and the group's order")
        self._key = PrivateKey(secret)

    def __repr__(self) -> str:
        return f"EcdsaSecretKey(of {self.address()})"

    def address(self) -> Address:
        """The account that this key signs for."""
        return address_from_bytes(self._key.public_key.to_canonical_address())


def sign_vote(secret: EcdsaSecretKey, vote: Vote, digest: Digest) -> EcdsaSignature:
    """Sign one digest; the same key and digest give the same bytes (RFC 6979)."""
    made = secret._key.sign_msg_hash(compute_message_hash(vote, digest))
    return EcdsaSignature(r=made.r, s=made.s, parity=made.v)


def recover_signer(vote: Vote, digest: Digest, signature: EcdsaSignature) -> Address:
    """The account whose key made the signature. Raises Refused where no key can have."""
    return recover_address(compute_message_hash(vote, digest), signature)


def recover_address(message_hash: bytes, signature: EcdsaSignature) -> Address:
    """The account whose key signed these 32 bytes. Raises Refused where no key can have."""
    recoverable = Signature(vrs=(signature.parity, signature.r, signature.s))
    try:
        public_key = recoverable.recover_public_key_from_msg_hash(message_hash)
    except BadSignature:
        raise Refused(Reason.BAD_SIGNATURE, "no key has made this signature") from None
    return address_from_bytes(public_key.to_canonical_address())


# --- sets


@dataclass(frozen=True, slots=True, kw_only=True)
class EcdsaEntry:
    """One operator as such a chain knows it."""

    signer: Address
    weight: Weight

    def __post_init__(self) -> None:
        require_address("signer", self.signer)
        require_uint("weight", self.weight, 96)

    def to_bytes(self) -> bytes:
        """address 20 | weight u96."""
        return address_to_bytes(self.signer) + self.weight.to_bytes(12, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class EcdsaSet:
    """An operator set as such a chain keeps it: the header that alerts name, and who signs for each place."""

    header: Header
    entries: tuple[EcdsaEntry, ...]

    def __post_init__(self) -> None:
        if len(self.entries) != self.header.operator_count:
            raise Refused(
                Reason.SET_INVALID,
                f"a header of {self.header.operator_count} operators needs as many entries, "
                f"came {len(self.entries)}",
            )
        for place, entry in enumerate(self.entries):
            if entry.signer == ZERO_ADDRESS or entry.weight == 0:
                raise Refused(
                    Reason.SET_INVALID, f"operator {place} must have a weight and an address that is not zero"
                )
        if len({entry.signer for entry in self.entries}) != len(self.entries):
            raise Refused(Reason.SET_INVALID, "each operator must have its own address; one stands twice")
        total = sum(entry.weight for entry in self.entries)
        if total != self.header.total_weight:
            raise Refused(
                Reason.WEIGHT_MISMATCH,
                f"header says total weight {self.header.total_weight}, the operators have {total}",
            )

    @classmethod
    def of(cls, operator_set: OperatorSet) -> "EcdsaSet":
        """The set of the home chain's registry, for such a chain."""
        return cls(
            header=parse_header(operator_set.header()),
            entries=tuple(
                EcdsaEntry(signer=operator.address, weight=operator.weight)
                for operator in operator_set.operators
            ),
        )

    def to_bytes(self) -> bytes:
        """What the chain hashes, and every certificate carries."""
        return self.header.to_bytes() + b"".join(entry.to_bytes() for entry in self.entries)

    def hash(self) -> bytes:
        """keccak256 of the bytes: what a handover names, and the chain stores."""
        return keccak256(self.to_bytes())


def parse_ecdsa_set(data: bytes) -> EcdsaSet:
    """Read a set. Raises Refused on any length but the header's, or on a set that breaks its rules."""
    header = parse_header(data[:HEADER_BYTES])
    end = _set_bytes(header.operator_count)
    require_bytes("set", data, end)
    return EcdsaSet(
        header=header,
        entries=tuple(
            EcdsaEntry(
                signer=address_from_bytes(data[at : at + ADDRESS_BYTES]),
                weight=Weight(int.from_bytes(data[at + ADDRESS_BYTES : at + ENTRY_BYTES], "big")),
            )
            for at in range(HEADER_BYTES, end, ENTRY_BYTES)
        ),
    )


# --- certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class EcdsaCertificate:
    """A set and signatures of some of its operators, in order of index. Says nothing of what they signed."""

    operators: EcdsaSet
    signatures: tuple[tuple[OperatorIndex, EcdsaSignature], ...]

    def __post_init__(self) -> None:
        count = len(self.operators.entries)
        previous = -1
        for index, _ in self.signatures:
            if not previous < index < count:
                raise Refused(
                    Reason.ENTRIES_INVALID,
                    f"indices must increase strictly below {count}, came {index} after {previous}",
                )
            previous = index

    @property
    def signed_weight(self) -> Weight:
        """Weight of the operators whose signatures are here."""
        return Weight(sum(self.operators.entries[index].weight for index, _ in self.signatures))

    def to_bytes(self) -> bytes:
        """The calldata bytes."""
        votes = (_COUNT.pack(index) + signature.to_bytes() for index, signature in self.signatures)
        return self.operators.to_bytes() + _COUNT.pack(len(self.signatures)) + b"".join(votes)


def build_ecdsa_certificate(
    operators: EcdsaSet, signatures: Mapping[OperatorIndex, EcdsaSignature], *, share: tuple[int, int]
) -> EcdsaCertificate:
    """The fewest verified signatures whose weight exceeds `share`, (numerator, denominator), of the total.

    Each costs its submitter about 5,000 gas. Raises Refused where all together do not exceed it.
    """
    total = operators.header.total_weight
    chosen: list[OperatorIndex] = []
    signed = 0
    for index in sorted(signatures, key=lambda index: (-_entry_at(operators, index).weight, index)):
        if meets(signed, total, *share):
            break
        chosen.append(index)
        signed += operators.entries[index].weight
    if not meets(signed, total, *share):
        raise Refused(
            Reason.THRESHOLD_NOT_MET,
            f"needs weight above {share[0]}/{share[1]} of {total}, has {signed} "
            f"from {len(signatures)} of {len(operators.entries)} operators; wait for more signatures",
        )
    return EcdsaCertificate(
        operators=operators, signatures=tuple((index, signatures[index]) for index in sorted(chosen))
    )


def decode_ecdsa_certificate(data: bytes) -> EcdsaCertificate:
    """Parse calldata bytes from anyone. Raises Refused on any length but the exact one."""
    if len(data) > MAX_ECDSA_CERTIFICATE_BYTES:
        raise Refused(
            Reason.OVERSIZED,
            f"a certificate may have {MAX_ECDSA_CERTIFICATE_BYTES} bytes, came {len(data)}",
        )
    _require_at_least(data, HEADER_BYTES + _COUNT.size)
    count_at = _set_bytes(_COUNT.unpack_from(data, 4)[0])
    votes_at = count_at + _COUNT.size
    _require_at_least(data, votes_at)
    vote_bytes = _COUNT.size + SIGNATURE_BYTES
    end = votes_at + _COUNT.unpack_from(data, count_at)[0] * vote_bytes
    _require_at_least(data, end)
    if len(data) > end:
        raise Refused(Reason.TRAILING_BYTES, f"this certificate has {end} bytes, came {len(data)}")
    return EcdsaCertificate(
        operators=parse_ecdsa_set(data[:count_at]),
        signatures=tuple(
            (
                OperatorIndex(_COUNT.unpack_from(data, at)[0]),
                EcdsaSignature.from_bytes(data[at + _COUNT.size : at + vote_bytes]),
            )
            for at in range(votes_at, end, vote_bytes)
        ),
    )


def verify_ecdsa_certificate(
    data: bytes, *, digest: Digest, epoch: Epoch, set_hash: bytes, threshold_bps: Bps
) -> tuple[Weight, Weight]:
    """The signed and the total weight, as IQuorumVerifier.verify gives them. Raises Refused otherwise.

    `set_hash` is that of the set which the caller trusts for this epoch. Quorum comes before signatures.
    """
    certificate = decode_ecdsa_certificate(data)
    operators = certificate.operators
    if operators.hash() != set_hash or operators.header.epoch != epoch:
        raise Refused(
            Reason.HEADER_MISMATCH,
            f"epoch {epoch} has set {set_hash.hex()}, "
            f"came epoch {operators.header.epoch} with {operators.hash().hex()}",
        )
    signed, total = certificate.signed_weight, operators.header.total_weight
    if not meets(signed, total, threshold_bps, WHOLE_BPS):
        raise Refused(
            Reason.THRESHOLD_NOT_MET,
            f"needs weight above {threshold_bps} bps of {total}, has {signed}; wait for more signatures",
        )
    require_signed(certificate, Vote.ALERT, digest)
    return signed, total


def require_signed(certificate: EcdsaCertificate, vote: Vote, digest: Digest) -> None:
    """Raise Refused unless each signature is that of its operator over the digest, as this kind of vote."""
    for index, signature in certificate.signatures:
        expected = certificate.operators.entries[index].signer
        recovered = recover_signer(vote, digest, signature)
        if recovered != expected:
            raise Refused(
                Reason.BAD_SIGNATURE, f"signature {index} must be that of {expected}, is of {recovered}"
            )


def _entry_at(operators: EcdsaSet, index: OperatorIndex) -> EcdsaEntry:
    if not 0 <= index < len(operators.entries):
        raise Refused(
            Reason.NOT_A_MEMBER,
            f"the set has operators 0 to {len(operators.entries) - 1}, came {index}",
        )
    return operators.entries[index]


def _set_bytes(operator_count: int) -> int:
    return HEADER_BYTES + operator_count * ENTRY_BYTES


def _require_at_least(data: bytes, length: int) -> None:
    if len(data) < length:
        raise Refused(Reason.TRUNCATED, f"this certificate has at least {length} bytes, came {len(data)}")
