"""A cheap stand-in for the curve, behind the very calls that `consensus.bls` makes.

A point is its own discrete logarithm modulo the real group's order, so that all algebra holds: sums, keys,
batches, bitmaps, subtraction. A check costs a multiplication in place of a pairing, and a run milliseconds.

Nothing that these tests send can be forged: its players hold keys as `SecretKey`, and combine points by the
calls of `consensus.bls` alone. Whoever divided one point by another would forge here and cannot on the curve;
nobody does. For the simulation only; some of its runs use the real curve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import consensus.bls
from consensus.bls import GROUP_ORDER

_SCALAR_BYTES = 32


class Scalar:
    """An integer modulo the group's order."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value % GROUP_ORDER

    @classmethod
    def from_be_bytes(cls, raw: bytes) -> Scalar:
        return cls(int.from_bytes(raw, "big"))

    def to_be_bytes(self) -> bytes:
        return self.value.to_bytes(_SCALAR_BYTES, "big")


class _Point:
    """A point as its logarithm; both groups calculate alike."""

    __slots__ = ("log",)

    def __init__(self, log: int = 1) -> None:
        self.log = log % GROUP_ORDER

    @classmethod
    def identity(cls) -> _Point:
        return cls(0)

    @classmethod
    def multiexp_unchecked(cls, points: Sequence[_Point], scalars: Sequence[Scalar]) -> _Point:
        return cls(sum(point.log * scalar.value for point, scalar in zip(points, scalars, strict=True)))

    def __add__(self, other: _Point) -> _Point:
        return type(self)(self.log + other.log)

    def __sub__(self, other: _Point) -> _Point:
        return type(self)(self.log - other.log)

    def __neg__(self) -> _Point:
        return type(self)(-self.log)

    def __mul__(self, scalar: Scalar) -> _Point:
        return type(self)(self.log * scalar.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Point) and self.log == other.log

    def __hash__(self) -> int:
        return hash(self.log)

    def is_in_subgroup(self) -> bool:
        return True

    def _to_bytes(self, length: int) -> bytes:
        return self.log.to_bytes(length, "big")

    @classmethod
    def _from_bytes(cls, raw: bytes) -> _Point:
        log = int.from_bytes(raw, "big")
        if log >= GROUP_ORDER:
            raise ValueError("no point has this logarithm")
        return cls(log)


class G1Point(_Point):
    """A signature, or a hashed message."""

    __slots__ = ()

    @classmethod
    def hash_to_curve(cls, message: bytes, tag: bytes) -> G1Point:
        return cls(int.from_bytes(hashlib.sha512(tag + message).digest(), "big"))

    def to_compressed_bytes(self) -> bytes:
        return b"\x80" + self._to_bytes(47)

    @classmethod
    def from_compressed_bytes_unchecked(cls, raw: bytes) -> _Point:
        return cls._from_bytes(raw[1:])

    def to_xy_bytes_be(self) -> bytes:
        return self._to_bytes(48) + bytes(48)

    @classmethod
    def from_xy_bytes_unchecked_be(cls, raw: bytes) -> _Point:
        return cls._from_bytes(raw[:48])


class G2Point(_Point):
    """A public key."""

    __slots__ = ()

    def to_xy_bytes_be(self) -> bytes:
        return self._to_bytes(48) + bytes(144)

    @classmethod
    def from_xy_bytes_unchecked_be(cls, raw: bytes) -> _Point:
        if any(raw[48:]):
            raise ValueError("no point has these coordinates")
        return cls._from_bytes(raw[:48])


class GT:
    """The pairing: the product of logarithms."""

    @staticmethod
    def pairing_check(left: Sequence[_Point], right: Sequence[_Point]) -> bool:
        return sum(one.log * other.log for one, other in zip(left, right, strict=True)) % GROUP_ORDER == 0


@contextmanager
def ideal_curve() -> Iterator[None]:
    """Keys and signatures are ideal within; none of them may leave."""
    consensus.bls._hash_to_g1.cache_clear()
    with patch.multiple(
        consensus.bls, G1Point=G1Point, G2Point=G2Point, GT=GT, Scalar=Scalar, _MINUS_G2=-G2Point()
    ):
        try:
            yield
        finally:
            consensus.bls._hash_to_g1.cache_clear()
