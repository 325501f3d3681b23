"""An integer that a policy must give a detector, with its bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An integer that a policy sets; both bounds are allowed."""

    name: str
    least: int
    most: int


def bps(name: str) -> Parameter:
    """A share or multiple in basis points, up to a thousand times the whole."""
    return Parameter(name=name, least=1, most=10_000_000)


def count(name: str) -> Parameter:
    """A number of things, up to a million."""
    return Parameter(name=name, least=1, most=1_000_000)
