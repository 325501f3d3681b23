"""JSON that nests too deep is refused, and not a way to end the process.

JSON decoders descend by recursion and stop at the interpreter's limit. py_ecc, which comes in with keystores,
raises that limit to 100,000; a decoder then runs out of the C stack first, and the process dies (seen from
40,000 levels on).
"""

from __future__ import annotations

import sys
from typing import Final

RECURSION_LIMIT: Final = 10_000
"""Twice what py_ecc's pairing needs, a quarter of what the stack holds."""


def bound_nesting() -> None:
    """Make the next decoder refuse with RecursionError what nests deeper than `RECURSION_LIMIT`."""
    if sys.getrecursionlimit() > RECURSION_LIMIT:
        sys.setrecursionlimit(RECURSION_LIMIT)
