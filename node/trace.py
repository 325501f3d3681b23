"""One transaction as its trace shows it: call frames, what they did to storage, and tokens that moved.

The one shape that trace detectors know. A recorded history fills it (`node/observe/history.py`), and so can
`debug_traceTransaction` of a live node; nothing here says where a trace came from. Frames are those of the
*watched* contracts; what other contracts did in between is not seen, only that a frame lies within another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple, NewType

from consensus.types import BlockNumber

Account = NewType("Account", str)
"""An address as 0x and 40 hexadecimal digits in lower case; traces are not written for people, so no
checksum."""

Token = NewType("Token", str)
"""The `Account` of a token's contract."""

TokenUnits = NewType("TokenUnits", int)
"""An amount in a token's smallest unit; below 2**256."""

Slot = NewType("Slot", int)
"""Place of a word in a contract's storage; below 2**256."""

Holding = tuple[Token, Account]
"""A token, and who holds it."""

ZERO_ACCOUNT: Final = Account("0x" + "00" * 20)
"""Where tokens come from when they are minted, and go to when they are burnt."""


class CallKind(StrEnum):
    """How a frame was entered."""

    FIRST_CALL = "firstcall"
    """By the transaction itself: an account without code called the watched contract directly."""
    CALL = "call"
    STATIC_CALL = "staticcall"
    DELEGATE_CALL = "delegatecall"
    CALL_CODE = "callcode"
    CREATE = "create"
    CREATE2 = "create2"


BORROWED_CODE: Final = frozenset({CallKind.DELEGATE_CALL, CallKind.CALL_CODE})
"""Frames that run another contract's code on the storage of the frame around them."""


class StorageAccess(NamedTuple):
    """One SLOAD or SSTORE; `value` is what was read or written."""

    slot: Slot
    value: int
    is_write: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFrame:
    """One call into a watched contract.

    `start_step` and `end_step` count the transaction's EVM steps, and the frame holds what lies between them;
    a frame that the transaction itself entered starts at -1. `parent` is the place, in the transaction's
    frames, of the innermost frame around this one. `accesses` holds by contract what was done to storage
    while the frame ran, within nested frames too, in the order of steps where those are known.
    """

    contract: Account
    selector: str
    kind: CallKind
    start_step: int
    end_step: int
    parent: int | None
    accesses: Mapping[Account, tuple[StorageAccess, ...]]
    writes_storage: bool = field(init=False)

    def __post_init__(self) -> None:
        writes = any(access.is_write for done in self.accesses.values() for access in done)
        object.__setattr__(self, "writes_storage", writes)


class Transfer(NamedTuple):
    """Tokens that moved from one account to another."""

    token: Token
    sender: Account
    receiver: Account
    units: TokenUnits


@dataclass(frozen=True, kw_only=True)
class TransactionTrace:
    """One transaction of a block. `frames` come by start, an outer one before those within it."""

    hash: str
    block_number: BlockNumber
    index: int
    """Place among the transactions of its block that are recorded, from 0."""
    frames: tuple[CallFrame, ...]
    transfers: tuple[Transfer, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing of the watched contracts was touched: there is nothing to learn and nothing to judge."""
        return not self.frames and not self.transfers

    @property
    def position(self) -> tuple[int, int]:
        """Where it stands in the order of time."""
        return (self.block_number, self.index)

    @cached_property
    def writing_frames(self) -> tuple[int, ...]:
        """The frames that changed storage, by start. Delegate calls are left out: what they run is the code
        of the frame around them, so that a proxy would count everything twice."""
        return tuple(
            place
            for place, frame in enumerate(self.frames)
            if frame.writes_storage and frame.kind not in BORROWED_CODE
        )

    @cached_property
    def outermost_frames(self) -> tuple[CallFrame, ...]:
        """The frames through which the watched contracts were entered."""
        return tuple(frame for frame in self.frames if frame.parent is None)

    @cached_property
    def watched(self) -> frozenset[Account]:
        """The watched contracts that were called."""
        return frozenset(frame.contract for frame in self.frames)

    @cached_property
    def watched_accesses(self) -> tuple[tuple[Account, StorageAccess], ...]:
        """Everything done to the storage of the watched contracts that were called, once, in order by
        contract."""
        return tuple(
            (contract, access)
            for frame in self.outermost_frames
            for contract, done in frame.accesses.items()
            if contract in self.watched
            for access in done
        )

    @cached_property
    def net(self) -> Mapping[Holding, int]:
        """What each holding gained, in the token's units; below zero where it lost."""
        net: Counter[Holding] = Counter()
        for transfer in self.transfers:
            net[(transfer.token, transfer.sender)] -= transfer.units
            net[(transfer.token, transfer.receiver)] += transfer.units
        return net

    @cached_property
    def came(self) -> Mapping[Holding, int]:
        """What came to each holding, whatever left it again."""
        came: Counter[Holding] = Counter()
        for transfer in self.transfers:
            if transfer.sender != transfer.receiver:
                came[(transfer.token, transfer.receiver)] += transfer.units
        return came

    @cached_property
    def left(self) -> Mapping[Holding, int]:
        """What left each holding, whatever came to it again."""
        left: Counter[Holding] = Counter()
        for transfer in self.transfers:
            if transfer.sender != transfer.receiver:
                left[(transfer.token, transfer.sender)] += transfer.units
        return left


def compute_parents(spans: Sequence[tuple[int, int]]) -> tuple[int | None, ...]:
    """For each (start, end), the place of the innermost one that holds it; `spans` come by start, longest
    first."""
    parents: list[int | None] = []
    open_spans: list[int] = []
    for place, (_, end) in enumerate(spans):
        while open_spans and spans[open_spans[-1]][1] < end:
            open_spans.pop()
        parents.append(open_spans[-1] if open_spans else None)
        open_spans.append(place)
    return tuple(parents)
