"""Whole-number arithmetic for signals: fixed point in millionths, logarithms, a median, an entropy.

Everything rounds down, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NewType

Micro = NewType("Micro", int)
"""A number in millionths: 1_000_000 is one."""

ONE: Final = Micro(1_000_000)

_FRACTION_BITS: Final = 24  # a 24th bit is 6e-8, finer than a millionth
_WORK_BITS: Final = 62


def compute_log2(value: int) -> Micro:
    """The logarithm to the base 2 of a positive integer, so that `ONE` is a doubling; below by at most 2
    millionths.

    Bit by bit: the square of a mantissa in [1, 2) is 2 or more exactly where the next bit of its logarithm is
    one (Knuth, TAOCP 1, 1.2.2, exercise 25).
    """
    if value < 1:
        raise ValueError(f"expected a positive number, came {value}")
    whole = value.bit_length() - 1
    mantissa = value << _WORK_BITS >> whole
    fraction = 0
    for _ in range(_FRACTION_BITS):
        mantissa = mantissa * mantissa >> _WORK_BITS
        carry = mantissa >> (_WORK_BITS + 1)
        fraction = fraction << 1 | carry
        mantissa >>= carry
    return Micro(whole * ONE + (fraction * ONE >> _FRACTION_BITS))


def compute_median(values: Sequence[int]) -> int:
    """The middle value; of an even number of values the lower of the two in the middle."""
    if not values:
        raise ValueError("the median of nothing was asked for")
    return sorted(values)[(len(values) - 1) // 2]


def compute_entropy(parts: Sequence[int]) -> Micro:
    """How evenly a whole is split, from 0 (one part has all) to `ONE` (all are equal).

    Shannon's entropy in bits over its maximum, log2 of the number of parts: Σ p · log2(1 / p) / log2(n) with
    p = part / Σ parts. At least two parts, none negative, not all zero.
    """
    whole = sum(parts)
    if len(parts) < 2 or min(parts) < 0 or whole == 0:
        raise ValueError(f"expected two or more parts of something, came {len(parts)} that sum to {whole}")
    bits = sum(part * (compute_log2(whole) - compute_log2(part)) for part in parts if part)
    return Micro(min(ONE, bits * ONE // (whole * compute_log2(len(parts)))))
