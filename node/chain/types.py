"""The frozen values of this room; nothing else happens here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from consensus.fields import require_bytes, require_uint
from consensus.types import Address, BlockHash, BlockNumber, ChainId, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One JSON-RPC endpoint. Only `name` is ever said: the addresses may hold credentials."""

    name: str
    http: str = field(repr=False)
    ws: str | None = field(default=None, repr=False)


class RouteKind(StrEnum):
    """What an endpoint past the public pool takes."""

    PRIVATE = "private"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """One way past the public pool."""

    kind: RouteKind
    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRef:
    """One block of one chain, by its hash."""

    chain_id: ChainId
    number: BlockNumber
    hash: BlockHash
    parent_hash: BlockHash
    timestamp: Seconds

    def __post_init__(self) -> None:
        require_uint("number", self.number, 64)
        require_uint("timestamp", self.timestamp, 64)
        require_bytes("hash", self.hash, 32)
        require_bytes("parent_hash", self.parent_hash, 32)

    def __str__(self) -> str:
        return f"block {self.number} (0x{self.hash.hex()}) of chain {self.chain_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReverted:
    """The contract said no: a value like any other, the same for everybody who asks at that block."""

    data: bytes
    """What the contract returned with the revert: its error's selector and arguments, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event of one block."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    index: int
    transaction_hash: bytes
    block_number: BlockNumber
    block_hash: BlockHash


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRead:
    """What a contract answers to `data`."""

    to: Address
    data: bytes
    gas: int | None = None
    """How much gas the call gets; the endpoint's own cap where None."""
    code: bytes = b""
    """Code that stands at `to` for this call in place of what is there; empty: what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRead:
    """How much native coin an account holds, in wei."""

    account: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRead:
    """One 32-byte word of a contract's storage."""

    account: Address
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRead:
    """The code of an account, empty where it has none."""

    account: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceRead:
    """How many transactions an account has sent, or contracts it has created."""

    account: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsRead:
    """The events of one block, from `addresses` (empty: any), with `topics` (None: any) in their places."""

    addresses: tuple[Address, ...] = ()
    topics: tuple[bytes | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A mined transaction."""

    transaction_hash: bytes
    block_hash: BlockHash
    block_number: BlockNumber
    succeeded: bool
    gas_used: int


Read = CallRead | BalanceRead | StorageRead | CodeRead | NonceRead | LogsRead
ReadValue = bytes | CallReverted | int | tuple[Log, ...]
