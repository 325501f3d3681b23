"""BLS12-381 keys and signatures, min-sig: signatures in G1, public keys in G2 (RFC 9380 hash to curve).

A `PublicKey` or `Signature` that exists is a canonical point of the prime-order subgroup and not infinity: it
is parsed once, at construction, and not checked again. That several keys may be summed for one message rests
on the proof of possession, which the registry demands. Nothing is constant-time beyond what arkworks is.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from consensus.errors import Reason, Refused
from consensus.fields import require_bytes
from consensus.types import Digest

SECRET_KEY_BYTES = 32
PUBLIC_KEY_BYTES = 192
SIGNATURE_BYTES = 48
SIGNATURE_XY_BYTES = 96

FIELD_PRIME = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16
)
GROUP_ORDER = int("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)

_COORDINATE_BYTES = 48
_COEFFICIENT_BYTES = 16  # 128 bits: a wrong batch passes with probability 2**-128
_DIGESTS_A_CHECK = 4  # more pairs are worked on by several threads, which wait for each other on busy cores
_FEW = 3  # so many points are faster multiplied one by one than by a multi-exponentiation
_BATCH_DOMAIN = b"TOCSIN-BATCH-V01"

# zcash's flags in the first byte of a compressed point
_FLAG_COMPRESSED = 0x80
_FLAG_INFINITY = 0x40
_FLAGS = 0xE0

_MINUS_G2 = -G2Point()


class Purpose(Enum):
    """What a signature is for; the value is its domain-separation tag.

    One tag per kind of message, so that a possession proof never passes for an alert.
    """

    ALERT = b"TOCSIN-ALERT-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    HANDOVER = b"TOCSIN-HANDOVER-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
    POSSESSION = b"TOCSIN-POSSESSION-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A G2 point as 192 raw bytes, x.c0 | x.c1 | y.c0 | y.c1, each coordinate 48 bytes big-endian."""

    raw: bytes
    _point: G2Point = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_bytes("public key", self.raw, PUBLIC_KEY_BYTES)
        _require_canonical_coordinates("public key", self.raw)
        if not any(self.raw):
            raise Refused(Reason.POINT_AT_INFINITY, "public key must not be infinity")
        try:
            point = G2Point.from_xy_bytes_unchecked_be(self.raw)
        except ValueError:
            raise Refused(Reason.POINT_OFF_CURVE, "public key must be a point of G2's curve") from None
        if not point.is_in_subgroup():
            raise Refused(Reason.POINT_OUTSIDE_SUBGROUP, "public key must lie in the subgroup of prime order")
        object.__setattr__(self, "_point", point)

    def __reduce__(self) -> tuple[type["PublicKey"], tuple[bytes]]:
        return PublicKey, (self.raw,)

    def to_bytes(self) -> bytes:
        """The 192 raw bytes."""
        return self.raw


@dataclass(frozen=True, slots=True)
class Signature:
    """A G1 point as 48 compressed bytes (zcash flags)."""

    compressed: bytes
    _point: G1Point = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_bytes("signature", self.compressed, SIGNATURE_BYTES)
        flags = self.compressed[0] & _FLAGS
        if not flags & _FLAG_COMPRESSED:
            raise Refused(Reason.POINT_NOT_CANONICAL, "signature must carry the compression flag")
        if flags & _FLAG_INFINITY:
            raise Refused(Reason.POINT_AT_INFINITY, "signature must not be infinity")
        x = int.from_bytes(bytes([self.compressed[0] & ~_FLAGS]) + self.compressed[1:], "big")
        if x >= FIELD_PRIME:
            raise Refused(Reason.POINT_NOT_CANONICAL, "signature's x must be below the field's prime")
        try:
            point = G1Point.from_compressed_bytes_unchecked(self.compressed)
        except ValueError:
            raise Refused(
                Reason.POINT_OFF_CURVE, "signature's x must be that of a point of G1's curve"
            ) from None
        if not point.is_in_subgroup():
            raise Refused(Reason.POINT_OUTSIDE_SUBGROUP, "signature must lie in the subgroup of prime order")
        object.__setattr__(self, "_point", point)

    def __reduce__(self) -> tuple[type["Signature"], tuple[bytes]]:
        return Signature, (self.compressed,)

    @classmethod
    def from_xy_bytes(cls, raw: bytes) -> "Signature":
        """Parse the 96 raw bytes x | y that stand in calldata."""
        require_bytes("signature", raw, SIGNATURE_XY_BYTES)
        _require_canonical_coordinates("signature", raw)
        try:
            point = G1Point.from_xy_bytes_unchecked_be(raw)
        except ValueError:
            raise Refused(Reason.POINT_OFF_CURVE, "signature must be a point of G1's curve") from None
        return cls(point.to_compressed_bytes())  # which checks for infinity, and the subgroup

    def to_bytes(self) -> bytes:
        """The 48 compressed bytes."""
        return self.compressed

    def to_xy_bytes(self) -> bytes:
        """The 96 raw bytes x | y for calldata, where decompression would cost more than the bytes."""
        return self._point.to_xy_bytes_be()


class SecretKey:
    """A scalar between 1 and the group's order. Never shown: neither `repr` nor an error holds it."""

    __slots__ = ("_scalar",)

    def __init__(self, scalar: int) -> None:
        if not 0 < scalar < GROUP_ORDER:
            raise Refused(Reason.KEY_OUT_OF_RANGE, "secret key must be between 1 and the group's order")
        self._scalar = Scalar.from_be_bytes(scalar.to_bytes(SECRET_KEY_BYTES, "big"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SecretKey":
        """Parse 32 bytes, big-endian, as an EIP-2335 keystore holds them."""
        if len(raw) != SECRET_KEY_BYTES:
            raise Refused(Reason.WRONG_LENGTH, f"secret key must have 32 bytes, came {len(raw)}")
        return cls(int.from_bytes(raw, "big"))

    @classmethod
    def generate(cls) -> "SecretKey":
        """A new key from the operating system's randomness."""
        return cls(1 + secrets.randbelow(GROUP_ORDER - 1))

    def to_bytes(self) -> bytes:
        """The 32 bytes, big-endian, for a keystore."""
        return self._scalar.to_be_bytes()

    def public_key(self) -> PublicKey:
        """The key's public half."""
        return PublicKey((G2Point() * self._scalar).to_xy_bytes_be())

    def __repr__(self) -> str:
        return "SecretKey(<redacted>)"

    __str__ = __repr__

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a SecretKey is not pickled; write it to an EIP-2335 keystore")


def sign(secret: SecretKey, purpose: Purpose, digest: Digest) -> Signature:
    """Sign 32 bytes under the purpose's tag. Deterministic: one key has one signature per message."""
    point = _hash_to_g1(purpose, digest) * secret._scalar
    return _signature_of(point)


def verify(public_key: PublicKey, purpose: Purpose, digest: Digest, signature: Signature) -> bool:
    """True when the signature is the key's: e(sigma, -G2) * e(H(digest), pk) == 1."""
    return _is_signed(public_key._point, signature._point, _hash_to_g1(purpose, digest))


def aggregate_signatures(signatures: Sequence[Signature]) -> Signature:
    """The sum of signatures over one message. Refuses an empty list, and a sum at infinity."""
    _require_elements("signatures", signatures)
    total = signatures[0]._point
    for signature in signatures[1:]:
        total = total + signature._point
    if total == G1Point.identity():
        raise Refused(Reason.POINT_AT_INFINITY, "aggregate signature must not be infinity")
    return _signature_of(total)


def subtract_signatures(aggregate: Signature, parts: Sequence[Signature]) -> Signature:
    """The aggregate without these parts of it. Refuses a difference at infinity."""
    total = aggregate._point
    for signature in parts:
        total = total - signature._point
    if total == G1Point.identity():
        raise Refused(Reason.POINT_AT_INFINITY, "the rest of an aggregate signature must not be infinity")
    return _signature_of(total)


def aggregate_public_keys(public_keys: Sequence[PublicKey]) -> PublicKey:
    """The sum of keys that have each proven possession. Refuses an empty list, and a sum at infinity."""
    _require_elements("public keys", public_keys)
    total = public_keys[0]._point
    for public_key in public_keys[1:]:
        total = total + public_key._point
    if total == G2Point.identity():
        raise Refused(Reason.POINT_AT_INFINITY, "aggregate public key must not be infinity")
    return _public_key_of(total)


def subtract_public_keys(aggregate: PublicKey, absent: Sequence[PublicKey]) -> PublicKey:
    """The aggregate without the absent keys. Refuses infinity: with everybody absent, anything is signed."""
    total = aggregate._point
    for public_key in absent:
        total = total - public_key._point
    if total == G2Point.identity():
        raise Refused(Reason.POINT_AT_INFINITY, "the signers' aggregate key must not be infinity")
    return _public_key_of(total)


def verify_aggregate(
    public_keys: Sequence[PublicKey], purpose: Purpose, digest: Digest, signature: Signature
) -> bool:
    """True when the signature is the sum of all these keys' signatures over one digest."""
    return verify(aggregate_public_keys(public_keys), purpose, digest, signature)


def verify_batch(
    digest: Digest, purpose: Purpose, signed: Sequence[tuple[PublicKey, Signature]]
) -> tuple[int, ...]:
    """The positions of bad signatures among many over one digest, ascending; empty when all are good."""
    return verify_batches(purpose, [(digest, signed)])[0]


def verify_batches(
    purpose: Purpose, batches: Sequence[tuple[Digest, Sequence[tuple[PublicKey, Signature]]]]
) -> tuple[tuple[int, ...], ...]:
    """For each digest with its signatures, the positions of the bad ones, ascending.

    One pairing check for every few digests: e(sum c_i sigma_i, -G2) * prod_d e(H_d, sum c_i pk_i), a Miller
    loop a digest and one final exponentiation. Where it fails, the same for each digest, then bisection.
    Without the random c_i two bad signatures could cancel each other. They are hashed from every digest, key
    and signature: no signer can know them before its own signature is fixed (Fiat-Shamir).
    """
    for _, signed in batches:
        _require_elements("signatures", signed)
    if len(batches) == 1 and len(batches[0][1]) == 1:  # one key needs no coefficient
        ((digest, ((public_key, signature),)),) = batches
        return (() if verify(public_key, purpose, digest, signature) else (0,),)
    coefficients = iter(_batch_coefficients(purpose, batches))
    sums = [
        _BatchSum(_hash_to_g1(purpose, digest), signed, [next(coefficients) for _ in signed])
        for digest, signed in batches
    ]
    return tuple(
        bad
        for start in range(0, len(sums), _DIGESTS_A_CHECK)
        for bad in _find_bad(sums[start : start + _DIGESTS_A_CHECK])
    )


class _BatchSum:
    """Signatures over one digest, weighed and summed up."""

    def __init__(
        self, message: G1Point, signed: Sequence[tuple[PublicKey, Signature]], coefficients: list[Scalar]
    ) -> None:
        self._keys = [public_key._point for public_key, _ in signed]
        self._signatures = [signature._point for _, signature in signed]
        self._coefficients = coefficients
        if len(signed) == 1:  # weighing message and signature says the same as weighing key and signature
            factor = coefficients[0]
            self.message, self.key, self.signature = (
                message * factor,
                self._keys[0],
                self._signatures[0] * factor,
            )
        else:
            self.message = message
            self.key, self.signature = self._sum_up(0, len(signed))

    def find_bad(self) -> tuple[int, ...]:
        """The positions of the bad ones, ascending."""
        if _is_signed(self.key, self.signature, self.message):
            return ()
        return tuple(self._bisect(0, len(self._keys), self.key, self.signature))

    def _sum_up(self, start: int, stop: int) -> tuple[G2Point, G1Point]:
        keys, signatures = self._keys[start:stop], self._signatures[start:stop]
        factors = self._coefficients[start:stop]
        if len(keys) > _FEW:
            return G2Point.multiexp_unchecked(keys, factors), G1Point.multiexp_unchecked(signatures, factors)
        key, signature = keys[0] * factors[0], signatures[0] * factors[0]
        for position in range(1, len(keys)):
            key += keys[position] * factors[position]
            signature += signatures[position] * factors[position]
        return key, signature

    def _bisect(self, start: int, stop: int, key: G2Point, signature: G1Point) -> list[int]:
        """The bad ones among these, whose sums are known not to fit."""
        if stop - start == 1:
            return [start]
        middle = (start + stop) // 2
        left_key, left = self._sum_up(start, middle)
        right_key, right = key - left_key, signature - left  # which costs nothing beside summing up again
        if _is_signed(left_key, left, self.message):
            return self._bisect(middle, stop, right_key, right)  # the whole does not fit: it is the right
        bad = self._bisect(start, middle, left_key, left)
        if not _is_signed(right_key, right, self.message):
            bad += self._bisect(middle, stop, right_key, right)
        return bad


def _find_bad(sums: Sequence[_BatchSum]) -> tuple[tuple[int, ...], ...]:
    if len(sums) > 1 and GT.pairing_check(
        [sum((each.signature for each in sums[1:]), sums[0].signature), *(each.message for each in sums)],
        [_MINUS_G2, *(each.key for each in sums)],
    ):
        return ((),) * len(sums)
    return tuple(each.find_bad() for each in sums)


def hash_to_curve(message: bytes, tag: bytes) -> bytes:
    """RFC 9380 BLS12381G1_XMD:SHA-256_SSWU_RO_ as 96 raw bytes x | y, for vectors and for twins."""
    return G1Point.hash_to_curve(message, tag).to_xy_bytes_be()


@lru_cache(maxsize=1_024)  # half a millisecond each; all signers of an alert sign the same digest
def _hash_to_g1(purpose: Purpose, digest: Digest) -> G1Point:
    require_bytes("digest", digest, 32)
    return G1Point.hash_to_curve(digest, purpose.value)


def _is_signed(key: G2Point, signature: G1Point, message: G1Point) -> bool:
    return GT.pairing_check([signature, message], [_MINUS_G2, key])


def _batch_coefficients(
    purpose: Purpose, batches: Sequence[tuple[Digest, Sequence[tuple[PublicKey, Signature]]]]
) -> list[Scalar]:
    transcript = hashlib.sha256(_BATCH_DOMAIN + purpose.value)
    for digest, signed in batches:
        transcript.update(digest + len(signed).to_bytes(4, "big"))
        for public_key, signature in signed:
            transcript.update(public_key.raw + signature.compressed)
    seed = transcript.digest()
    count = sum(len(signed) for _, signed in batches)
    blocks = (hashlib.sha256(seed + position.to_bytes(8, "big")).digest() for position in range(count))
    return [Scalar(int.from_bytes(block[:_COEFFICIENT_BYTES], "big")) for block in blocks]


def _require_elements(name: str, elements: Sequence[object]) -> None:
    # pairing_check([]) is True: an empty product is one, so nobody at all would have "signed"
    if not elements:
        raise Refused(Reason.EMPTY_LIST, f"{name} must hold at least one element, came none")


def _require_canonical_coordinates(name: str, raw: bytes) -> None:
    for start in range(0, len(raw), _COORDINATE_BYTES):
        if int.from_bytes(raw[start : start + _COORDINATE_BYTES], "big") >= FIELD_PRIME:
            raise Refused(
                Reason.POINT_NOT_CANONICAL,
                f"{name}'s coordinate at byte {start} must be below the field's prime",
            )


def _signature_of(point: G1Point) -> Signature:
    """Wrap a point that came from subgroup arithmetic and is not infinity, without parsing it again."""
    signature = object.__new__(Signature)
    object.__setattr__(signature, "compressed", point.to_compressed_bytes())
    object.__setattr__(signature, "_point", point)
    return signature


def _public_key_of(point: G2Point) -> PublicKey:
    public_key = object.__new__(PublicKey)
    object.__setattr__(public_key, "raw", point.to_xy_bytes_be())
    object.__setattr__(public_key, "_point", point)
    return public_key
