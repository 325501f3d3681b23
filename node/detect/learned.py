"""Learned state as a file: what was learned, from which span, under which policy.

It is a sealed file (`node/detect/sealed.py`). Its body names the span, so that nobody scores what it was
learned from, and holds the state of the watch, which names the policy. Where the history says of which chain,
contracts and blocks it is a recording, and whole blocks were learned from, the body says that too: a watcher
can then go on from the block after (`node/live`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, ChainId
from node.detect.policy import DetectionPolicy
from node.detect.sealed import compute_seal, read_sealed, seal, unseal
from node.detect.shape import Count
from node.detect.watch import Position, Watch
from node.trace import Account

LEARNED_FORMAT: Final = "tocsin.learned.v2"


class _Recorded(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    chain_id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    contracts: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{40}\Z")]],
        msgspec.Meta(min_length=1, max_length=1024),
    ]
    until_block: Count
    until_hash: Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{64})?\Z")]


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    history: Annotated[str, msgspec.Meta(max_length=4096)]
    transactions: Annotated[int, msgspec.Meta(ge=1)]
    rows: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
    last_position: tuple[Count, Count]
    recorded: _Recorded | None
    state: dict[str, Any]


class RowsHash:
    """A running hash over the transactions of a span: which they are, where they stand, in which order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, transaction_hash: str, block_number: int) -> None:
        """Take in the next transaction."""
        self._hash.update(f"{block_number} {transaction_hash}\n".encode())

    def digest(self) -> bytes:
        """SHA-256 over all that came so far; 32 bytes."""
        return self._hash.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpan:
    """What a recording says of the blocks that were learned from, all of which are whole."""

    chain_id: ChainId
    contracts: tuple[Account, ...]
    """Those whose transactions were recorded, sorted."""
    until_block: BlockNumber
    """The last block, whether or not it held a transaction of theirs."""
    until_hash: BlockHash | None
    """Its hash; None where the recording goes on after it, and does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What was learned of a span that ended before the first judgement."""

    history: str
    """The name of the history that the span is of; for people."""
    transactions: int
    """How many were learned from: the first of that history that are not empty."""
    rows: bytes
    """`RowsHash` over them."""
    last_position: Position
    state: dict[str, Any]
    """As `Watch.state` gave it."""
    recorded: RecordedSpan | None = None
    """None where the history does not say, or a block was learned from in part."""

    def make_watch(self, policy: DetectionPolicy) -> Watch:
        """A watch that knows this. Raises `Refused` (STATE_FOREIGN, STATE_CORRUPT)."""
        watch = Watch(policy)
        watch.restore(self.state, {})
        if watch.is_judging or watch.last_position != self.last_position:
            raise Refused(
                Reason.STATE_CORRUPT,
                "learned state ends elsewhere than it says, or has judged already; learn it anew",
            )
        return watch

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return seal(self._body(), LEARNED_FORMAT)

    def hash(self) -> str:
        """The file's hash, as 0x and 64 digits."""
        return compute_seal(self._body(), LEARNED_FORMAT)

    def _body(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "transactions": self.transactions,
            "rows": f"0x{self.rows.hex()}",
            "last_position": list(self.last_position),
            "recorded": None if self.recorded is None else _recorded_body(self.recorded),
            "state": self.state,
        }


def _recorded_body(recorded: RecordedSpan) -> dict[str, Any]:
    until_hash = recorded.until_hash
    return {
        "chain_id": recorded.chain_id,
        "contracts": list(recorded.contracts),
        "until_block": recorded.until_block,
        "until_hash": "" if until_hash is None else f"0x{until_hash.hex()}",
    }


def read_learned(path: Path, *, most_bytes: int | None = None) -> Learned:
    """The learned state in a file. Raises `Refused` (STATE_CORRUPT, STATE_FOREIGN); the message starts with
    the file's path."""
    return _parse_body(read_sealed(path, LEARNED_FORMAT, most_bytes=most_bytes), place=f"{path}: ")


def parse_learned(content: bytes) -> Learned:
    """The learned state in the bytes of a file; whether its state fits a policy is for `make_watch` to say.

    Raises `Refused` (STATE_CORRUPT; STATE_FOREIGN for another version).
    """
    return _parse_body(unseal(content, LEARNED_FORMAT))


def _parse_body(body: dict[str, Any], *, place: str = "") -> Learned:
    try:
        parsed = msgspec.convert(body, type=_Body, strict=True)
    except ValueError as error:
        raise Refused(Reason.STATE_CORRUPT, f"{place}expected learned state: {str(error)[:200]}") from None
    return Learned(
        history=parsed.history,
        transactions=parsed.transactions,
        rows=bytes.fromhex(parsed.rows[2:]),
        last_position=parsed.last_position,
        state=parsed.state,
        recorded=None if parsed.recorded is None else _parse_recorded(parsed, place=place),
    )


def _parse_recorded(body: _Body, *, place: str) -> RecordedSpan:
    recorded = body.recorded
    assert recorded is not None
    if body.last_position[0] > recorded.until_block or recorded.contracts != sorted(set(recorded.contracts)):
        raise Refused(
            Reason.STATE_CORRUPT,
            f"{place}expected learned state that ends at or before its last block, of contracts in order; "
            "learn it anew",
        )
    return RecordedSpan(
        chain_id=ChainId(recorded.chain_id),
        contracts=tuple(Account(each) for each in recorded.contracts),
        until_block=BlockNumber(recorded.until_block),
        until_hash=BlockHash(bytes.fromhex(recorded.until_hash[2:])) if recorded.until_hash else None,
    )
