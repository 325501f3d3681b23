"""Numbers that several detectors measure by."""

from __future__ import annotations

from typing import Final

WHOLE_BPS: Final = 10_000
"""All of something, in basis points."""

HIGHEST_BPS: Final = 1_000 * WHOLE_BPS
"""Beyond this a record is no stranger than it is already."""

SMALL: Final = 1 << 128
"""A word below it is a plain number; from it on flags, an address, several numbers, or one below zero."""
