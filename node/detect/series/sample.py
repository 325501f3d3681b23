"""What was read at one block: a value for each series, or none where nobody could say.

A series is a name with one integer a block. `Periods` makes one integer an hour of it, where blocks are too
short a time for what is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, Seconds

VALUE_BITS: Final = 512
"""A value and its opposite lie below 2**512, the largest number of the expressions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The series at one block of the canonical chain. A name that is missing is unknown there, never zero.

    Raises `Refused` (OUT_OF_RANGE, WRONG_TYPE) for a value that is no integer of `VALUE_BITS`.
    """

    block_number: BlockNumber
    block_hash: BlockHash
    parent_hash: BlockHash
    timestamp: Seconds
    values: Mapping[str, int]

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if type(value) is not int:
                raise Refused(
                    Reason.WRONG_TYPE,
                    f"series {name}: expected an integer at block {self.block_number}, came a "
                    f"{type(value).__name__}; scale it to a fixed-point integer first",
                )
            if abs(value) >> VALUE_BITS:
                raise Refused(
                    Reason.OUT_OF_RANGE,
                    f"series {name}: expected less than 2**{VALUE_BITS} at block {self.block_number}, came a "
                    f"number of {value.bit_length()} bits",
                )


class How(StrEnum):
    """How the values of a period become one."""

    SUM = "sum"
    """For what flows: volume, number of trades."""
    LAST = "last"
    """For what stands: a price, a share, a balance."""
    MOST = "most"
    """For what peaks: a deviation."""


class Periods:
    """Makes one sample a period, such as an hour, of samples at every block.

    A period's sample comes with the first block after it, and bears that period's last block. A sum over a
    period of which a block is missing is unknown, and so is all of a period that the samples began or
    resumed in the middle of.
    """

    def __init__(self, *, seconds: Seconds, how: Mapping[str, How]) -> None:
        self._seconds = seconds
        self._how = how
        self._last: Sample | None = None
        self._gathered: dict[str, int] = {}
        self._is_whole = False
        self._missed: set[str] = set()

    def add(self, sample: Sample) -> Sample | None:
        """Take in the next block's sample; gives the period's that it ends, None while it lasts."""
        last, finished = self._last, None
        if last is None or sample.block_number != last.block_number + 1:
            self._begin(is_whole=False)
        elif sample.timestamp // self._seconds != last.timestamp // self._seconds:
            finished = self._finish(last)
            self._begin(is_whole=True)
        for name, how in self._how.items():
            self._gather(name, how, sample.values.get(name))
        self._last = sample
        return finished

    def _begin(self, *, is_whole: bool) -> None:
        self._gathered, self._missed, self._is_whole = {}, set(), is_whole

    def _gather(self, name: str, how: How, value: int | None) -> None:
        if value is None:
            self._missed.add(name)
        elif how is How.SUM:
            self._gathered[name] = self._gathered.get(name, 0) + value
        elif how is How.MOST:
            self._gathered[name] = max(self._gathered.get(name, value), value)
        else:
            self._gathered[name] = value

    def _finish(self, last: Sample) -> Sample | None:
        if not self._is_whole:
            return None
        return Sample(
            block_number=last.block_number,
            block_hash=last.block_hash,
            parent_hash=last.parent_hash,
            timestamp=last.timestamp,
            values={name: value for name, value in self._gathered.items() if name not in self._missed},
        )
