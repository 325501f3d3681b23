"""One history to be played, as a value that another process or machine can take over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consensus.errors import Reason, Refused
from node.backtest.checkpoint import CheckpointFile
from node.backtest.play import Advance, run_backtest
from node.backtest.report import HoldBlocks, Report
from node.detect.learned import Learned
from node.detect.policy import DetectionPolicy
from node.observe.history import RecordedHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a backtest of one history needs."""

    history: Path
    policy: DetectionPolicy
    exploit_hash: str | None
    learned: Learned | None
    hold_blocks: HoldBlocks
    checkpoints: CheckpointFile | None
    fingerprint: bytes | None = None
    """`RecordedHistory.fingerprint` where the job was made; None: it is played there too."""


def play(job: Job, advance: Advance | None = None) -> Report:
    """Play it. Raises as `run_backtest` does, and `Refused` (HISTORY_INVALID) where the history at this path
    is another one here than where the job was made."""
    history = RecordedHistory(job.history)
    if job.fingerprint is not None and history.fingerprint() != job.fingerprint:
        raise Refused(
            Reason.HISTORY_INVALID,
            f"{job.history}: another history stands here than where the backtest was started; share one "
            "folder between the machines",
        )
    return run_backtest(
        history,
        job.policy,
        exploit_hash=job.exploit_hash,
        advance=advance,
        learned=job.learned,
        hold_blocks=job.hold_blocks,
        checkpoints=job.checkpoints,
    )
