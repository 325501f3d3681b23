"""Shapes of learned state as it is read back: strict, so that a wrong file is refused and never half
understood.

Each detector's `restore` says with these what its `state` looks like; `parse` holds a value against them.
That what is read back is in the one form that `state` writes is then checked in one place, by writing it
again (`Watch.restore`).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from node.trace import Account, Holding, Slot, Token

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number that is never below zero: a count, an amount in a token's smallest unit, a place in time."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64}\Z")]
"""An account, a token or a detector."""

Selector = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,64}\Z")]
"""A function; empty in a plain payment."""

Pair = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64} [!-~]{1,64}\Z")]
"""A token and its holder."""

Place = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64} 0x[0-9a-f]{1,64}\Z")]
"""A contract and a slot of its storage."""


def parse(state: object, shape: Any) -> Any:
    """The value in this shape. Raises `ValueError` with the place in the value."""
    return msgspec.convert(state, type=shape, strict=True)


def as_holding(pair: Pair) -> Holding:
    """The token and the holder that a pair names."""
    token, holder = pair.split(" ")
    return Token(Account(token)), Account(holder)


def as_place(place: Place) -> tuple[Account, Slot]:
    """The contract and the slot that a place names."""
    contract, slot = place.split(" ")
    return Account(contract), Slot(int(slot, 16))
