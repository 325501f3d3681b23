"""The benches beside the main one: they say what they skip, and count what they should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import spans
from tests.detect.recordings import hash_of, quiet_history, recorded_theft, write_zip
from tests.detect.test_backtest import AFTER, ALL, EXPLOIT, QUIET


def test_without_histories_the_bench_of_shares_says_that_it_skips(capsys: pytest.CaptureFixture[str]) -> None:
    spans.main(None, spans.POLICY)

    assert "no recorded histories" in json.loads(capsys.readouterr().out)["skipped"]


def test_a_share_of_a_history_is_learned_and_the_rest_is_scored(tmp_path: Path) -> None:
    robbed = write_zip(
        tmp_path / "Robbed.zip", {**quiet_history(QUIET), AFTER: {EXPLOIT: recorded_theft(ALL)}}
    )

    line = spans.play_share(robbed, spans.POLICY, EXPLOIT, 80)

    assert line is not None
    assert (line["benign"], line["exploit"]) == (QUIET - (QUIET + 1) * 80 // 100, "pause")
    assert line["alerts"] == line["limits"] == line["pauses"] == 0


def test_a_history_whose_attack_would_be_learned_is_left_out(tmp_path: Path) -> None:
    quiet = write_zip(tmp_path / "Quiet.zip", quiet_history(QUIET))

    assert spans.play_share(quiet, spans.POLICY, hash_of(QUIET // 2), 80) is None
