"""A backtest that was killed goes on from its checkpoint and ends with the same report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consensus.errors import Reason, Refused
from node.backtest.checkpoint import CHECKPOINT_FORMAT, CheckpointFile
from node.backtest.play import learn_history
from node.backtest.report import HoldBlocks, Report
from node.detect.policy import read_detection_policy
from node.detect.sealed import read_sealed, seal
from node.observe.history import RecordedHistory
from tests.backtest.histories import EXPLOIT, QUIET, Blocks, play, record, robbed_history, timeless
from tests.detect.policies import GENERAL
from tests.detect.recordings import hash_of, recorded_call, recorded_theft

ROOT = Path(__file__).resolve().parents[2]


class KilledError(Exception):
    """Stands for the end of the process."""


def busy_history() -> Blocks:
    """Robbed at the end, with alarms before, so that there is something to lose at every place; from the
    middle on every block is close enough to the last for its transactions to wait when the next one comes."""
    blocks = robbed_history()
    blocks[1_000 + 100 * 90 + 1] = {hash_of(10**6): recorded_theft(100)}
    blocks[1_000 + 100 * 90 + 2] = {hash_of(10**6 + 1): [[recorded_call("0x12345678")], []]}
    blocks[1_000 + 100 * 90 + 3] = {hash_of(10**6 + 2): recorded_theft(50)}
    blocks[1_000 + 100 * QUIET - 20] = {hash_of(10**6 + 3): recorded_theft(400)}
    return blocks


def play_until(history: RecordedHistory, checkpoints: CheckpointFile, end: int) -> None:
    def advance(done: int, total: int) -> None:
        if done == end:
            raise KilledError

    with pytest.raises(KilledError):
        play(history, checkpoints=checkpoints, advance=advance)


@pytest.mark.parametrize("end", [1, 30, 59, 60, 61, 62, 92, 93, 94, 95, 120, 124, 125])
def test_wherever_it_is_cut_off_it_ends_with_the_same_report(tmp_path: Path, end: int) -> None:
    history = record(tmp_path, busy_history())
    checkpoints = CheckpointFile(path=tmp_path / "Vault.checkpoint.json", every_transactions=1)
    whole = play(history)
    play_until(history, checkpoints, end)
    seen: list[int] = []

    resumed = play(history, checkpoints=checkpoints, advance=lambda done, total: seen.append(done))

    assert seen == list(range(end, 126)), "it began anew, or left one out"
    assert timeless(resumed) == timeless(whole)
    assert resumed.timeline == whole.timeline
    assert resumed.state_hash == whole.state_hash
    assert (resumed.false_alarms, resumed.held_up) == (whole.false_alarms, whole.held_up)


def test_what_is_done_stays_done(tmp_path: Path) -> None:
    history = record(tmp_path, busy_history())
    checkpoints = CheckpointFile(path=tmp_path / "Vault.checkpoint.json")
    first = play(history, checkpoints=checkpoints)

    again = play(history, checkpoints=checkpoints, advance=lambda done, total: pytest.fail("played again"))

    assert timeless(again) == timeless(first)


def test_learned_state_and_a_checkpoint_go_together(tmp_path: Path) -> None:
    history = record(tmp_path, busy_history())
    learned = learn_history(history, read_detection_policy(GENERAL), until_block=6_000)
    checkpoints = CheckpointFile(path=tmp_path / "Vault.checkpoint.json", every_transactions=7)
    whole = play(history, learned=learned)

    def advance(done: int, total: int) -> None:
        if done == 100:
            raise KilledError

    for _ in range(2):  # the second time it is cut off after it went on
        with pytest.raises(KilledError):
            play(history, learned=learned, checkpoints=checkpoints, advance=advance)

    assert timeless(play(history, learned=learned, checkpoints=checkpoints)) == timeless(whole)


# ---------------------------------------------------------------------- refusals


def interrupted(tmp_path: Path) -> tuple[RecordedHistory, CheckpointFile]:
    history = record(tmp_path, busy_history())
    checkpoints = CheckpointFile(path=tmp_path / "Vault.checkpoint.json", every_transactions=10)
    play_until(history, checkpoints, 95)
    return history, checkpoints


def with_another_policy(tmp_path: Path, history: RecordedHistory, checkpoints: CheckpointFile) -> Report:
    other = tmp_path / "other.yaml"
    other.write_text(GENERAL.read_text().replace("version: 1\n", "version: 2\n", 1))
    from node.backtest.play import run_backtest

    return run_backtest(history, read_detection_policy(other), exploit_hash=EXPLOIT, checkpoints=checkpoints)


def with_another_history(tmp_path: Path, history: RecordedHistory, checkpoints: CheckpointFile) -> Report:
    blocks = busy_history()
    blocks[1_000][hash_of(10**7)] = []
    return play(record(tmp_path, blocks), checkpoints=checkpoints)


def with_another_exploit(tmp_path: Path, history: RecordedHistory, checkpoints: CheckpointFile) -> Report:
    return play(history, None, checkpoints=checkpoints)


def with_learned_state(tmp_path: Path, history: RecordedHistory, checkpoints: CheckpointFile) -> Report:
    learned = learn_history(history, read_detection_policy(GENERAL))
    return play(history, learned=learned, checkpoints=checkpoints)


def with_other_durations(tmp_path: Path, history: RecordedHistory, checkpoints: CheckpointFile) -> Report:
    return play(history, hold_blocks=HoldBlocks(pause=3), checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("again", "name"),
    [
        (with_another_policy, "policy"),
        (with_another_history, "history"),
        (with_another_exploit, "exploit"),
        (with_learned_state, "learned"),
        (with_other_durations, "hold_blocks"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_by_name_and_kept(
    tmp_path: Path, again: Callable[[Path, RecordedHistory, CheckpointFile], Report], name: str
) -> None:
    history, checkpoints = interrupted(tmp_path)
    kept = checkpoints.path.read_bytes()

    with pytest.raises(Refused, match=f"a checkpoint of another {name}: expected") as caught:
        again(tmp_path, history, checkpoints)

    assert caught.value.reason is Reason.STATE_FOREIGN
    assert checkpoints.path.read_bytes() == kept


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    history, checkpoints = interrupted(tmp_path)
    body = read_sealed(checkpoints.path, CHECKPOINT_FORMAT)
    checkpoints.path.write_bytes(seal(body, "tocsin.checkpoint.v9"))

    with pytest.raises(Refused, match=r"came 'tocsin\.checkpoint\.v9'") as caught:
        play(history, checkpoints=checkpoints)

    assert caught.value.reason is Reason.STATE_FOREIGN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"done": -1}, "expected a checkpoint"),
        ({"tally": {"scored": "many"}}, "expected a checkpoint"),
        ({"books": {}}, "books: "),
        ({"watch": {}}, "learned state"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    history, checkpoints = interrupted(tmp_path)
    body = read_sealed(checkpoints.path, CHECKPOINT_FORMAT) | change
    checkpoints.path.write_bytes(seal(body, CHECKPOINT_FORMAT))

    with pytest.raises(Refused, match=said) as caught:
        play(history, checkpoints=checkpoints)

    assert caught.value.reason is Reason.STATE_CORRUPT


# ---------------------------------------------------------------------- a real process


def command(history: Path, folder: Path, every: int) -> list[str]:
    return [
        *(sys.executable, "-m", "node", "backtest", "--policy", str(GENERAL), "--history", str(history)),
        *("--exploit-tx", EXPLOIT, "--resume", str(folder), "--checkpoint-every", str(every), "--json"),
    ]


def done_in(checkpoint: Path) -> int:
    if not checkpoint.exists():
        return 0
    done: int = read_sealed(checkpoint, CHECKPOINT_FORMAT)["done"]
    return done


def test_a_backtest_killed_midway_goes_on_and_prints_the_same(tmp_path: Path) -> None:
    history = record(tmp_path, robbed_history(600))
    archive, folder = tmp_path / "Vault.zip", tmp_path / "checkpoints"
    checkpoint = folder / "Vault.checkpoint.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command(archive, folder, 5), env=environment, stdout=subprocess.PIPE)
    while first.poll() is None and done_in(checkpoint) < 100:
        time.sleep(0.005)  # another process offers nothing to wait on but another look
    first.send_signal(signal.SIGKILL)
    printed, _ = first.communicate()
    assert (first.returncode, printed) == (-signal.SIGKILL, b""), "it ended before it was killed"
    assert 100 <= done_in(checkpoint) < 601

    second = subprocess.run(command(archive, folder, 500), env=environment, capture_output=True, check=True)

    resumed = json.loads(second.stdout)
    untimed = {"seconds": 0, "transactions_per_second": None}
    assert resumed | untimed == timeless(play(history)) | untimed
    assert done_in(checkpoint) == 601
