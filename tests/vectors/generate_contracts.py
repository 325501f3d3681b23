"""Writes contracts.json: malformed points which only the chain's precompiles must refuse.

    python -m tests.vectors.generate_contracts

Everything that both languages compute stands in the vectors of `generate.py`; these are inputs that Python's
types cannot even hold.
"""

from __future__ import annotations

import json
from pathlib import Path

from py_arkworks_bls12381 import G2Point

from consensus.bls import FIELD_PRIME, SecretKey

PATH = Path(__file__).with_name("contracts.json")


def find_g2_off_subgroup() -> bytes:
    """The first point of the curve with x = (k, 0) that lies outside of the subgroup of prime order."""
    for k in range(1, 1000):
        for sign in (0x80, 0xA0):  # compressed: x.c1 | x.c0 with zcash's flags
            compressed = bytes([sign]) + bytes(47) + k.to_bytes(48, "big")
            try:
                point = G2Point.from_compressed_bytes_unchecked(compressed)
            except ValueError:
                continue
            if not point.is_in_subgroup():
                return bytes(point.to_xy_bytes_be())
    raise RuntimeError("expected a point off the subgroup below x = 1000")


def make_g2_not_canonical() -> bytes:
    """A valid key with p added to x.c0: the same point to a reader that reduces."""
    for scalar in range(1, 1000):
        raw = SecretKey(scalar).public_key().raw
        x = int.from_bytes(raw[:48], "big") + FIELD_PRIME
        if x < 2**384:
            return x.to_bytes(48, "big") + raw[48:]
    raise RuntimeError("expected a coordinate below 2**384 - p")


def render() -> str:
    """The file's text."""
    vectors = {
        "g2_off_subgroup": "0x" + find_g2_off_subgroup().hex(),
        "g2_not_canonical": "0x" + make_g2_not_canonical().hex(),
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(render())
