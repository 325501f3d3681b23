"""Checkpoints: where a backtest stands, so that one that was killed goes on and ends with the same report.

One sealed file (`node/detect/sealed.py`) for each history in a folder, called like the history. It names what
it is of: policy, history by content, exploit, learned state, durations. Another one's is refused and never
overwritten. The last checkpoint is that of the end, so that of many histories those that are done stay done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from consensus.errors import Reason, Refused
from node.backtest.report import HoldBlocks
from node.backtest.tally import Tally
from node.detect.sealed import read_sealed, seal, write_sealed
from node.detect.shape import Count

CHECKPOINT_FORMAT: Final = "tocsin.checkpoint.v1"
EVERY_TRANSACTIONS: Final = 20_000  # some ten seconds of work; the state must be written whole each time

_Digest = Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{64})?\Z")]
_Place = Annotated[int, msgspec.Meta(ge=-1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a checkpoint is of; two of one subject lead to one report. Hashes are 0x and 64 digits, empty for
    none."""

    policy: _Digest
    history: _Digest
    """`RecordedHistory.fingerprint`."""
    exploit: Annotated[str, msgspec.Meta(max_length=66)]
    learned: _Digest
    hold_blocks: HoldBlocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where it stands after `done` transactions, of which the last stood at `position`."""

    subject: Subject
    done: Count
    position: tuple[_Place, _Place]
    milliseconds: Count
    """How long it took so far."""
    state_hash: _Digest
    """Of everything learned, when scoring began; empty before that."""
    watch: dict[str, Any]
    books: Mapping[str, Any]
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFile:
    """Where the checkpoint of one history is kept, and how often it is written."""

    path: Path
    every_transactions: int = EVERY_TRANSACTIONS

    def read(self, subject: Subject) -> Checkpoint | None:
        """The checkpoint, or None where there is none. Raises `Refused` (STATE_CORRUPT; STATE_FOREIGN for
        another subject's)."""
        if not self.path.exists():
            return None
        body = read_sealed(self.path, CHECKPOINT_FORMAT)
        try:
            checkpoint = msgspec.convert(body, type=Checkpoint, strict=True)
        except (ValueError, RecursionError) as error:
            raise Refused(
                Reason.STATE_CORRUPT, f"{self.path}: expected a checkpoint: {str(error)[:200]}"
            ) from None
        self._require_same(checkpoint.subject, subject)
        return checkpoint

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the file. Raises `Refused` (STATE_CORRUPT) where it cannot be written."""
        write_sealed(self.path, seal(msgspec.to_builtins(checkpoint), CHECKPOINT_FORMAT))

    def _require_same(self, came: Subject, expected: Subject) -> None:
        ours = asdict(expected)
        for name, theirs in asdict(came).items():
            if theirs != ours[name]:
                raise Refused(
                    Reason.STATE_FOREIGN,
                    f"{self.path} is a checkpoint of another {name}: expected {ours[name] or 'none'}, came "
                    f"{theirs or 'none'}; start again as it was started, or choose another folder",
                )
