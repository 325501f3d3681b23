"""The backtest: what is learned, what is set aside, what is counted, and what the command prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consensus.alert import Level
from consensus.errors import Reason, Refused
from node.backtest.figures import as_dict
from node.backtest.play import QUARANTINE_BLOCKS, Outcome, Report, run_backtest
from node.cli import EXIT_REFUSED, cli
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory
from tests.detect.policies import GENERAL
from tests.detect.recordings import (
    hash_of,
    quiet_history,
    recorded_deposit,
    recorded_theft,
    write_zip,
)

EXPLOIT = hash_of(0xBAD)
QUIET = 120  # transactions, a hundred blocks apart from block 1 000
AFTER = 1_000 + 100 * QUIET
ALL = 4_000  # more than the vault of the quiet history holds, taken twice


def robbed_history() -> dict[int, dict[str, list[Any]]]:
    return {**quiet_history(QUIET), AFTER: {EXPLOIT: recorded_theft(ALL)}}


def play(tmp_path: Path, blocks: dict[int, dict[str, list[Any]]], exploit: str | None) -> Report:
    path = write_zip(tmp_path / "Vault.zip", blocks)
    return run_backtest(RecordedHistory(path), read_detection_policy(GENERAL), exploit_hash=exploit)


def timeless(report: Report) -> dict[str, Any]:
    """All that a report says but how long it took."""
    return as_dict(replace(report, seconds=0))


def test_an_exploit_is_flagged_at_its_transaction_and_quiet_life_is_not(tmp_path: Path) -> None:
    report = play(tmp_path, robbed_history(), EXPLOIT)

    assert report.exploit is Outcome.AT
    assert report.level is Level.PAUSE
    assert {"reentrancy", "balance_drain"} <= set(report.detectors)
    assert [report.count(level) for level in Level] == [0, 0, 0, 0]


def test_the_first_half_is_learned_and_the_rest_is_scored(tmp_path: Path) -> None:
    report = play(tmp_path, robbed_history(), EXPLOIT)

    assert (report.learned, report.scored, report.benign) == (60, 61, 60)


def test_transactions_of_which_nothing_was_recorded_do_not_count(tmp_path: Path) -> None:
    blocks = robbed_history()
    for number in list(blocks)[:40]:
        blocks[number] = {hash_of(10**6 + number): [], **blocks[number], hash_of(10**7 + number): [[], []]}

    assert timeless(play(tmp_path, blocks, EXPLOIT)) == timeless(play(tmp_path, robbed_history(), EXPLOIT))


def test_rows_just_before_the_exploit_are_attack_and_flag_it_early(tmp_path: Path) -> None:
    blocks = {**robbed_history(), AFTER - QUARANTINE_BLOCKS: {hash_of(0xBAC): recorded_theft(ALL // 2)}}

    report = play(tmp_path, blocks, EXPLOIT)

    assert report.exploit is Outcome.BEFORE
    assert (report.learned, report.scored, report.benign) == (61, 61, 59)
    assert report.count(Level.ALERT) == 0


def test_a_theft_one_block_earlier_than_that_is_a_false_alarm(tmp_path: Path) -> None:
    blocks = {**robbed_history(), AFTER - QUARANTINE_BLOCKS - 1: {hash_of(0xBAC): recorded_theft(ALL)}}

    report = play(tmp_path, blocks, EXPLOIT)

    assert report.count(Level.PAUSE) == report.count(Level.LIMIT) == report.count(Level.ALERT) == 1
    assert (report.scored, report.benign) == (61, 60)


def test_what_follows_the_exploit_is_neither_benign_nor_a_find(tmp_path: Path) -> None:
    blocks = {
        **quiet_history(QUIET),
        AFTER: {EXPLOIT: recorded_deposit()},
        AFTER + 5_000: {hash_of(0xBAE): recorded_theft(ALL)},
    }

    report = play(tmp_path, blocks, EXPLOIT)

    assert report.exploit is Outcome.MISSED
    assert report.level is None
    assert report.detectors == ()
    assert (report.scored - report.benign, report.count(Level.ALERT)) == (2, 0)


def test_a_control_has_no_exploit(tmp_path: Path) -> None:
    report = play(tmp_path, quiet_history(QUIET), None)

    assert (report.exploit, report.level, report.detectors) == (None, None, ())
    assert report.scored == report.benign == 60


@pytest.mark.parametrize("label", [hash_of(0), hash_of(5), hash_of(9)])
def test_an_exploit_in_the_half_that_is_learned_from_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(Refused, match="what was learned from is not scored") as caught:
        play(tmp_path, quiet_history(20), label)

    assert caught.value.reason is Reason.LABEL_INVALID


def test_an_exploit_whose_run_up_was_learned_from_is_refused(tmp_path: Path) -> None:
    blocks = {number: {hash_of(number): recorded_deposit()} for number in range(1, 201)}

    with pytest.raises(Refused, match="longer history"):
        play(tmp_path, blocks, hash_of(100 + QUARANTINE_BLOCKS))
    assert play(tmp_path, blocks, hash_of(101 + QUARANTINE_BLOCKS)).scored == 100


@pytest.mark.parametrize("label", ["0x12", "", "no hash at all"])
def test_a_label_that_the_history_does_not_have_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(Refused) as caught:
        play(tmp_path, robbed_history(), label)

    assert caught.value.reason is Reason.LABEL_INVALID


def test_a_label_in_capitals_is_the_same_label(tmp_path: Path) -> None:
    assert play(tmp_path, robbed_history(), "0x" + EXPLOIT[2:].upper()).exploit is Outcome.AT


def test_two_runs_agree_in_all_but_the_time(tmp_path: Path) -> None:
    first, second = (play(tmp_path, robbed_history(), EXPLOIT) for _ in range(2))

    assert timeless(first) == timeless(second)
    assert first.alarms == second.alarms


def test_what_is_scored_does_not_change_what_was_learned(tmp_path: Path) -> None:
    other = {**quiet_history(QUIET), AFTER: {EXPLOIT: recorded_deposit()}}

    assert play(tmp_path, robbed_history(), EXPLOIT).state_hash == play(tmp_path, other, EXPLOIT).state_hash


# ---------------------------------------------------------------------- the command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["backtest", "--policy", str(GENERAL), *arguments])


def test_the_command_prints_one_object_with_the_keys_that_scorers_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "Vault.zip", robbed_history())

    result = run("--history", str(path), "--exploit-tx", EXPLOIT, "--json")

    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert list(printed)[:10] == [
        *("history", "scored", "benign", "exploit", "level", "detectors", "alerts", "limits", "pauses"),
        "seconds",
    ]
    assert (printed["history"], printed["exploit"], printed["level"]) == ("Vault", "at", "pause")


def test_a_control_prints_null_for_the_exploit(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "Vault.zip", quiet_history(QUIET))

    printed = json.loads(run("--history", str(path), "--json").stdout)

    assert printed["exploit"] is None
    assert printed["level"] is None


def test_without_json_a_person_can_read_what_rang_and_why(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "Vault.zip", robbed_history())

    result = run("--history", str(path), "--exploit-tx", EXPLOIT)

    assert result.exit_code == 0
    assert "flagged at its transaction, level pause" in result.stdout
    assert "hard evidence: emptied-by-reentry" in result.stdout
    assert "0x2e1a7d4d" in result.stdout


def test_a_refused_input_ends_with_its_reason_and_code(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")

    result = run("--history", str(tmp_path / "text.zip"))

    assert result.exit_code == EXIT_REFUSED
    assert "history_invalid" in result.stderr
