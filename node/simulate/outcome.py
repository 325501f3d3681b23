"""What crosses between the watcher and the process that runs transactions: lines of JSON."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class OpenTask(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """Forget everything, and run on the state behind `url`, within this block. `slots` are loaded ahead."""

    url: str
    block_number: int
    timestamp: int
    block_gas: int
    chain_id: int
    accounts: list[str]
    slots: list[tuple[str, int]]


class RunTask(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run one transaction. `watched` are the accounts whose storage and holdings are told."""

    sender: str
    to: str | None
    data: str
    value_wei: int
    gas: int
    watched: list[str]
    tokens: list[str]
    asks_moved: bool = True
    """Whether the holdings of other tokens that move are told too."""


class Touched(msgspec.Struct, frozen=True, array_like=True):
    """A word of a watched contract's storage that was read or written."""

    contract: str
    slot: int
    before: int
    after: int
    is_written: bool


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A token's balance of an account; None where the token does not answer with a number."""

    token: str
    holder: str
    before: int | None
    after: int | None


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """Tokens that moved, or the chain's own coin."""

    token: str
    sender: str
    receiver: str
    units: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome"):
    """What a transaction did."""

    succeeded: bool
    reason: str
    gas_used: int
    touched: list[Touched]
    moved: list[Moved]
    held: list[Held]
    created: str | None
    seconds: float
    """In the EVM and around it, in the worker; for statistics alone."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown"):
    """It could not be told what the transaction does."""

    why: str


class NotLetIn(msgspec.Struct, frozen=True, kw_only=True, tag="not_let_in"):
    """The state does not let the transaction in: it could not be in the next block."""

    why: str


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The state is ready."""


Task = OpenTask | RunTask
Answer = Outcome | Unknown | NotLetIn | Opened


def write_line(value: Task | Answer) -> bytes:
    """One line."""
    return msgspec.json.encode(value) + b"\n"


def read_line(line: bytes, kind: type[T] | Any) -> T:
    """The value in a line; numbers have up to 256 bits. Raises ValueError where it is none of that kind."""
    try:
        value: T = msgspec.json.decode(line, type=kind)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return value
