"""Draws docs/backtest.svg: `python -m tests.render_backtest > docs/backtest.svg`.

The history is made up here: 900 deposits and withdrawals of a vault, now and then a large one or a new
function, and at the end a theft by re-entry, rehearsed forty blocks before.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from node.backtest.play import run_backtest
from node.backtest.plot import draw_report
from node.backtest.report import Report
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory
from tests.backtest.histories import Blocks
from tests.detect.policies import GENERAL
from tests.detect.recordings import (
    hash_of,
    recorded_call,
    recorded_deposit,
    recorded_theft,
    recorded_withdrawal,
    write_zip,
)

TRANSACTIONS = 900
BLOCKS_APART = 40
EXPLOIT = hash_of(0xBAD)


def make_history() -> Blocks:
    """The same on every machine."""
    chance = Random(18)
    blocks: Blocks = {}
    held = 0
    for n in range(TRANSACTIONS):
        units = chance.randint(50, 150)
        is_withdrawal = held > 2_000 and chance.random() < 0.5
        if n > 40 and chance.random() < 0.02:
            units = held * chance.randint(30, 60) // 100
            is_withdrawal = True
        row = recorded_withdrawal(units) if is_withdrawal else recorded_deposit(units)
        if n > 100 and chance.random() < 0.01:
            row[0].append(recorded_call(f"0x{chance.getrandbits(32):08x}", span=(60, 90), kind="call"))
        held += -units if is_withdrawal else units
        blocks[1_000_000 + BLOCKS_APART * n] = {hash_of(n): row}
    after = 1_000_000 + BLOCKS_APART * TRANSACTIONS
    blocks[after] = {hash_of(10**6): recorded_theft(held // 40)}
    blocks[after + 40] = {EXPLOIT: recorded_theft(held * 9 // 20)}
    return blocks


def make_report() -> Report:
    """The backtest of that history under the general policy."""
    with tempfile.TemporaryDirectory() as folder:
        history = RecordedHistory(write_zip(Path(folder) / "Made-up vault.zip", make_history()))
        return run_backtest(history, read_detection_policy(GENERAL), exploit_hash=EXPLOIT)


def render_picture() -> str:
    """The plot as a file of its own."""
    return draw_report(make_report(), standalone=True)


if __name__ == "__main__":
    print(render_picture(), end="")
