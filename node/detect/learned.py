"""Learned state as a file: what was learned, from which span, under which policy.

It is a sealed file (`node/detect/sealed.py`). Its body names the span, so that nobody scores what it was
learned from, and holds the state of the watch, which names the policy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from consensus.errors import Reason, Refused
from node.detect.policy import DetectionPolicy
from node.detect.sealed import compute_seal, read_sealed, seal, unseal
from node.detect.shape import Count
from node.detect.watch import Position, Watch

LEARNED_FORMAT: Final = "tocsin.learned.v1"


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    history: Annotated[str, msgspec.Meta(max_length=4096)]
    transactions: Annotated[int, msgspec.Meta(ge=1)]
    rows: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
    last_position: tuple[Count, Count]
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
            "state": self.state,
        }


def read_learned(path: Path) -> Learned:
    """The learned state in a file. Raises `Refused` (STATE_CORRUPT, STATE_FOREIGN); the message starts with
    the file's path."""
    return _parse_body(read_sealed(path, LEARNED_FORMAT), place=f"{path}: ")


def parse_learned(content: bytes) -> Learned:
    """The learned state in the bytes of a file; whether its state fits a policy is for `make_watch` to say.

    Raises `Refused` (STATE_CORRUPT; STATE_FOREIGN for another version).
    """
    return _parse_body(unseal(content, LEARNED_FORMAT))


def _parse_body(body: dict[str, Any], *, place: str = "") -> Learned:
    try:
        parsed = msgspec.convert(body, type=_Body, strict=True)
    except (ValueError, RecursionError) as error:
        raise Refused(Reason.STATE_CORRUPT, f"{place}expected learned state: {str(error)[:200]}") from None
    return Learned(
        history=parsed.history,
        transactions=parsed.transactions,
        rows=bytes.fromhex(parsed.rows[2:]),
        last_position=parsed.last_position,
        state=parsed.state,
    )
