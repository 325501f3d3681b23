"""`tocsin learn`, and a backtest that starts from what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from click.testing import CliRunner, Result

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, ChainId
from node.backtest.plan import QUARANTINE_BLOCKS
from node.backtest.play import learn_history
from node.cli import EXIT_REFUSED, cli
from node.detect.learned import Learned, RecordedSpan, parse_learned
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory, Recording
from tests.backtest.histories import (
    AFTER,
    EXPLOIT,
    QUIET,
    play,
    record,
    robbed_history,
    timeless,
)
from tests.detect.policies import GENERAL
from tests.detect.recordings import hash_of, quiet_history, recorded_deposit, recorded_theft
from tests.detect.traces import VAULT


def learn(history: RecordedHistory, until_block: int | None = None) -> Learned:
    return learn_history(history, read_detection_policy(GENERAL), until_block=until_block)


def test_learning_first_and_scoring_later_is_the_same_as_in_one_run(tmp_path: Path) -> None:
    history = record(tmp_path, robbed_history())

    assert timeless(play(history, learned=learn(history))) == timeless(play(history))


def test_the_last_block_to_learn_from_decides_what_is_scored(tmp_path: Path) -> None:
    history = record(tmp_path, robbed_history())

    learned = learn(history, until_block=1_000 + 100 * 79)

    assert (learned.transactions, learned.last_position) == (80, (1_000 + 100 * 79, 0))
    report = play(history, learned=learned)
    assert (report.learned, report.scored, report.benign) == (80, 41, 40)


@pytest.mark.parametrize(
    ("until_block", "ends", "is_hash_known"),
    [(None, None, False), (5_000, 5_000, False), (10**6, 20_000, True)],
)
def test_what_was_learned_of_a_recording_says_of_which_blocks_it_is(
    until_block: int | None, ends: int | None, is_hash_known: bool, tmp_path: Path
) -> None:
    history = record(tmp_path, quiet_history(QUIET))
    recording = Recording(
        chain_id=ChainId(7),
        contracts=(VAULT,),
        first=BlockNumber(0),
        last=BlockNumber(20_000),
        last_hash=BlockHash(bytes([9]) * 32),
    )
    with ZipFile(tmp_path / f"{history.name}.zip", "a") as archive:
        archive.writestr("recording.json", recording.to_bytes())

    learned = parse_learned(learn(history, until_block).to_bytes())

    if ends is None:
        assert learned.recorded is None
    else:
        assert learned.recorded == RecordedSpan(
            chain_id=recording.chain_id,
            contracts=recording.contracts,
            until_block=BlockNumber(ends),
            until_hash=recording.last_hash if is_hash_known else None,
        )


def test_what_was_learned_elsewhere_scores_a_later_history_whole(tmp_path: Path) -> None:
    quiet = record(tmp_path, quiet_history(QUIET), "Quiet")
    theft = record(tmp_path, {AFTER: {EXPLOIT: recorded_theft(1_000)}}, "Theft")

    report = play(theft, learned=learn(quiet, until_block=AFTER))

    assert (report.learned, report.scored, report.exploit) == (QUIET, 1, "at")


def test_a_span_that_was_learned_from_is_not_scored(tmp_path: Path) -> None:
    history = record(tmp_path, quiet_history(QUIET))

    with pytest.raises(Refused, match="what was learned from is not scored") as caught:
        play(history, None, learned=learn(history, until_block=10**9))

    assert caught.value.reason is Reason.OUT_OF_ORDER


@pytest.mark.parametrize("other", ["another first", "one left out", "one more"])
def test_a_history_that_goes_back_behind_the_end_with_other_rows_is_refused(
    tmp_path: Path, other: str
) -> None:
    blocks = quiet_history(QUIET)
    learned = learn(record(tmp_path, blocks), until_block=5_000)
    if other == "another first":
        blocks[1_000] = {hash_of(10**6): recorded_deposit()}
    elif other == "one left out":
        del blocks[1_300]
    else:
        blocks[1_350] = {hash_of(10**6): recorded_deposit()}

    with pytest.raises(Refused, match="does not begin with those transactions") as caught:
        play(record(tmp_path, blocks, "Other"), None, learned=learned)

    assert caught.value.reason is Reason.OUT_OF_ORDER


@pytest.mark.parametrize(("early", "is_refused"), [(QUARANTINE_BLOCKS, True), (QUARANTINE_BLOCKS + 1, False)])
def test_an_exploit_whose_run_up_was_learned_from_is_refused(
    tmp_path: Path, early: int, is_refused: bool
) -> None:
    history = record(tmp_path, {**robbed_history(), AFTER - early: {hash_of(10**6): recorded_deposit()}})
    learned = learn(history, until_block=AFTER - early)

    if not is_refused:
        assert play(history, learned=learned).scored == 1
        return
    with pytest.raises(Refused, match="what was learned from is not scored") as caught:
        play(history, learned=learned)
    assert caught.value.reason is Reason.LABEL_INVALID


@pytest.mark.parametrize(("transactions", "until_block"), [(1, None), (20, 999)])
def test_a_span_without_a_transaction_is_refused(
    tmp_path: Path, transactions: int, until_block: int | None
) -> None:
    with pytest.raises(Refused, match="no transaction to learn from") as caught:
        learn(record(tmp_path, quiet_history(transactions)), until_block)

    assert caught.value.reason is Reason.OUT_OF_RANGE


# ---------------------------------------------------------------------- the commands


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(cli, [command, "--policy", str(GENERAL), *map(str, arguments)])


def printed(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def test_the_commands_learn_and_score(tmp_path: Path) -> None:
    record(tmp_path, robbed_history())
    history, learned = tmp_path / "Vault.zip", tmp_path / "learned.json"

    said = printed(run("learn", "--history", history, "--out", learned, "--json"))
    scored = printed(
        run("backtest", "--learned", learned, "--history", history, "--exploit-tx", EXPLOIT, "--json")
    )

    assert (said["learned"], said["last_block"]) == (60, 1_000 + 100 * 59)
    assert json.loads(learned.read_bytes())["hash"] == said["learned_hash"]
    assert (scored["exploit"], scored["level"], scored["learned"], scored["scored"]) == (
        "at",
        "pause",
        60,
        61,
    )


def test_learn_tells_a_person_what_to_do_next(tmp_path: Path) -> None:
    record(tmp_path, robbed_history())

    said = run("learn", "--history", tmp_path / "Vault.zip", "--out", tmp_path / "learned.json")

    assert "60 transactions, the last in block 6900" in said.stdout
    assert f"tocsin backtest --learned {tmp_path / 'learned.json'}" in said.stdout


def test_a_damaged_file_ends_the_command_with_its_reason(tmp_path: Path) -> None:
    record(tmp_path, robbed_history())
    (tmp_path / "learned.json").write_text("{}")

    result = run("backtest", "--learned", tmp_path / "learned.json", "--history", tmp_path / "Vault.zip")

    assert result.exit_code == EXIT_REFUSED
    assert "state_corrupt" in result.stderr
