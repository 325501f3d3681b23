"""What was learned of signals over time, as a sealed file (`node/detect/sealed.py`).

Its body holds the state of the watch when its training span ended, and of which chain the samples were. The
hash that a series policy names under `learned` is that of the state (`SeriesWatch.begin`): it covers the
policy's rules too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import BlockHash, BlockNumber, ChainId
from node.detect.sealed import MAX_SEALED_BYTES, compute_seal, read_sealed, seal
from node.detect.series.policy import SeriesPolicy
from node.detect.series.watch import SeriesWatch
from node.detect.shape import Count
from node.detect.watch import canonical

SERIES_LEARNED_FORMAT: Final = "tocsin.series-learned.v1"

_Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    series: Annotated[str, msgspec.Meta(max_length=4096)]
    chain_id: Annotated[int, msgspec.Meta(ge=1)] | None
    points: Annotated[int, msgspec.Meta(ge=1)]
    last_block: Count
    last_hash: _Hash | None
    state: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLearned:
    """What was learned of a span that ended before the first judgement."""

    series: str
    """What the samples were called; for people."""
    chain_id: ChainId | None
    """The chain that they were read from; None for a file that does not say."""
    points: int
    last_block: BlockNumber
    last_hash: BlockHash | None
    """Of the last block; None for samples without the hashes of their blocks."""
    state: dict[str, Any]
    """As `SeriesWatch.state` gave it."""

    @property
    def state_hash(self) -> bytes:
        """What a series policy names under `learned`, so that this may brake; 32 bytes."""
        return keccak256(canonical(self.state))

    def make_watch(self, policy: SeriesPolicy) -> SeriesWatch:
        """A watch that knows this and has begun to judge. Raises `Refused` (STATE_FOREIGN, STATE_CORRUPT)."""
        watch = SeriesWatch(policy)
        watch.restore(self.state)
        if watch.last_block != self.last_block:
            raise Refused(Reason.STATE_CORRUPT, "learned state ends elsewhere than it says; learn it anew")
        watch.begin()
        return watch

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return seal(self._body(), SERIES_LEARNED_FORMAT)

    def hash(self) -> str:
        """The file's hash, as 0x and 64 digits."""
        return compute_seal(self._body(), SERIES_LEARNED_FORMAT)

    def _body(self) -> dict[str, Any]:
        return {
            "series": self.series,
            "chain_id": self.chain_id,
            "points": self.points,
            "last_block": self.last_block,
            "last_hash": None if self.last_hash is None else f"0x{self.last_hash.hex()}",
            "state": self.state,
        }


def read_series_learned(path: Path, *, most_bytes: int = MAX_SEALED_BYTES) -> SeriesLearned:
    """The learned state in a file. Raises `Refused` (STATE_CORRUPT, STATE_FOREIGN); the message starts with
    the file's path."""
    body = read_sealed(path, SERIES_LEARNED_FORMAT, most_bytes=most_bytes)
    try:
        parsed = msgspec.convert(body, type=_Body, strict=True)
    except ValueError as error:
        raise Refused(
            Reason.STATE_CORRUPT, f"{path}: expected learned state of series: {str(error)[:200]}"
        ) from None
    return SeriesLearned(
        series=parsed.series,
        chain_id=None if parsed.chain_id is None else ChainId(parsed.chain_id),
        points=parsed.points,
        last_block=BlockNumber(parsed.last_block),
        last_hash=None if parsed.last_hash is None else BlockHash(bytes.fromhex(parsed.last_hash[2:])),
        state=parsed.state,
    )
