"""What the demonstration needs to know of an attack: how to make it, what it costs, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from consensus.types import ActionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount of one token in its smallest units."""

    units: int
    decimals: int
    symbol: str

    def __str__(self) -> str:
        whole, part = divmod(self.units, 10**self.decimals)
        cents = f".{part * 100 // 10**self.decimals:02d}" if part else ""
        return f"{whole:,}{cents} {self.symbol}"


class Scenario(Protocol):
    """A guarded protocol on chain one, an attack on it, and a second protocol on chain two."""

    title: str
    policy_file: Path
    names: Mapping[ActionId, str]
    """What the policy's actions are called on screen."""
    strikes: Sequence[Mapping[str, Any]]
    """The attacker's transactions, one a block."""
    must_fail: int
    """How many of them have to revert for the defence to have worked."""

    async def trade(self) -> str | None:
        """An honest user does something; what, in words. None where nobody else can act."""
        ...

    async def at_risk(self) -> Money:
        """What an attacker could still take."""
        ...

    async def is_closed(self) -> bool:
        """Whether the hole is out of reach, as the protocol itself says."""
        ...

    async def is_second_braked(self) -> bool:
        """Whether the protocol on the second chain is limited."""
        ...
