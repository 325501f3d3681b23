"""Signals that another room works out, block by block; evaluation looks them up.

    traces of a block ─► detectors ─► a number, kept by block hash ─► LookedUpSignal.read

What they read takes longer than a call, so that rules over them are judged apart (`engine.py`): the others do
not wait. Who works them out, and opens the files that they name, is given to the parser as `Outside`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from consensus.alert import Level
from consensus.types import Address, ChainId, Seconds
from node.evaluate.expressions import Undefined
from node.evaluate.signals import Signal
from node.evaluate.views import Block, View, Wants


class BlockValues(Protocol):
    """One integer for each block."""

    def knows(self, block: Block) -> bool:
        """Whether there is an answer for this block now."""
        ...

    async def read(self, view: View) -> int | Undefined:
        """The value at the view's block, or why it has none for anybody. Raises `Unavailable` while it is not
        known here."""
        ...

    @property
    def hardest(self) -> Level:
        """The hardest level that a rule over these values may ask for."""
        ...

    @property
    def remedy(self) -> str:
        """What to do so that a harder level may be asked for; for people."""
        ...

    def form(self) -> Mapping[str, object]:
        """What enters the policy's hash."""
        ...


class Detection(Protocol):
    """A detection policy that was read."""

    def make_values(
        self,
        *,
        chain_id: ChainId,
        contracts: Mapping[str, Address],
        learned: Path | None,
        to_learn: int,
    ) -> BlockValues:
        """The level that each block of these contracts reaches, 0 for none. Raises `Refused`."""
        ...


class SeriesDetection(Protocol):
    """A series policy that was read."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the series that it needs."""
        ...

    def make_values(
        self,
        *,
        chain_id: ChainId,
        rule: str | None,
        sources: Mapping[str, Signal],
        learned: Path | None,
        to_learn: int,
    ) -> BlockValues:
        """The level that one rule, or any, newly reaches at each block, 0 for none; `sources` has a signal
        for each series. Raises `Refused`."""
        ...


class Bridge(Protocol):
    """A bridge policy that was read."""

    @property
    def releases_chain_id(self) -> ChainId:
        """The chain that pays out, which rules over it watch."""
        ...

    def make_values(self, *, take: str, lookback_seconds: Seconds) -> BlockValues:
        """Each block's releases that no burn backs: their `count`, or their `value`."""
        ...


class Outside(Protocol):
    """What a rule policy names of other rooms."""

    @property
    def folder(self) -> Path:
        """Where the policy lies; nothing outside of it is opened."""
        ...

    def read_detection(self, path: Path) -> Detection:
        """The detection policy in a file. Raises `Refused`."""
        ...

    def read_series(self, path: Path) -> SeriesDetection:
        """The series policy in a file. Raises `Refused`."""
        ...

    def read_bridge(self, path: Path) -> Bridge:
        """The bridge policy in a file. Raises `Refused`."""
        ...

    def make_new_contracts(self, contracts: Mapping[str, Address]) -> BlockValues:
        """The highest score of a contract that a block created against these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUpSignal:
    """What `values` has for a block."""

    name: str
    values: BlockValues = field(repr=False, compare=False)
    is_detection: bool = False
    """Whether the trace detectors of a detection policy work it out: they can be asked about a transaction
    that no block holds yet."""

    def wants(self) -> Wants:
        return Wants()

    async def read(self, view: View) -> int | Undefined:
        return await self.values.read(view)

    def form(self) -> dict[str, object]:
        return dict(self.values.form())
