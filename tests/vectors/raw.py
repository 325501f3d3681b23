"""Bytes for vectors, also such as the types of `consensus` would not let anybody build."""

from collections.abc import Sequence

from consensus.bls import FIELD_PRIME
from consensus.certificate import EntryMode
from consensus.operators import OperatorSet


def raw_certificate(
    operator_set: OperatorSet, sigma: bytes, mode: EntryMode, indices: Sequence[int]
) -> bytes:
    """A certificate with any signature and any list."""
    entries = [operator_set.operators[index].leaf_preimage() for index in indices]
    leaves = operator_set.leaves() if indices else ()
    counted = bytes([mode]) + len(entries).to_bytes(2, "big")
    return operator_set.header() + sigma + counted + b"".join(leaves) + b"".join(entries)


def replace_bytes(data: bytes, start: int, value: bytes) -> bytes:
    """The same length, with `value` from `start` on."""
    return data[:start] + value + data[start + len(value) :]


def flip_bit(data: bytes, position: int) -> bytes:
    """The lowest bit of one byte, the other way round."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def plus_p(sigma: bytes) -> bytes:
    """The same point to a reader that reduces x modulo p."""
    x = int.from_bytes(sigma[:48], "big") + FIELD_PRIME
    return x.to_bytes(48, "big") + sigma[48:]


def point_outside_subgroup() -> bytes:
    """The point of G1's curve with the least x that no multiple of the generator reaches: x = 4."""
    x = 4
    y = pow(x**3 + 4, (FIELD_PRIME + 1) // 4, FIELD_PRIME)
    return x.to_bytes(48, "big") + y.to_bytes(48, "big")


def to_hex(data: bytes) -> str:
    """As `vm.parseJson*` reads it."""
    return "0x" + data.hex()
