"""Histories for the tests of the backtest, and what they are played with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from node.backtest.figures import as_dict
from node.backtest.play import run_backtest
from node.backtest.report import Report
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory
from tests.detect.policies import GENERAL
from tests.detect.recordings import hash_of, quiet_history, recorded_theft, write_zip

Blocks = dict[int, dict[str, list[Any]]]

EXPLOIT = hash_of(0xBAD)
QUIET = 120  # transactions, a hundred blocks apart from block 1 000
AFTER = 1_000 + 100 * QUIET
ALL = 4_000  # more than the vault of the quiet history holds, taken twice


def robbed_history(quiet: int = QUIET) -> Blocks:
    """A quiet life, then a theft."""
    return {**quiet_history(quiet), 1_000 + 100 * quiet: {EXPLOIT: recorded_theft(ALL)}}


def record(folder: Path, blocks: Blocks, name: str = "Vault") -> RecordedHistory:
    """The history as a file in the folder."""
    return RecordedHistory(write_zip(folder / f"{name}.zip", blocks))


def play(history: RecordedHistory, exploit: str | None = EXPLOIT, **details: Any) -> Report:
    """A backtest with the general policy."""
    return run_backtest(history, read_detection_policy(GENERAL), exploit_hash=exploit, **details)


def timeless(report: Report) -> dict[str, Any]:
    """All that a report says but how long it took."""
    return as_dict(replace(report, seconds=0))
