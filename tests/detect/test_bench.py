"""The bench of the detectors: skips aloud without data, and holds the general policy to what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consensus.alert import Level
from node.backtest.play import Outcome, run_backtest
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory
from tests.bench import detect
from tests.bench.documented import PAGE, find_differences
from tests.detect.recordings import hash_of, quiet_history, recorded_theft, write_zip
from tests.detect.test_backtest import AFTER, ALL, EXPLOIT, QUIET


def test_without_histories_the_bench_says_that_it_skips(capsys: pytest.CaptureFixture[str]) -> None:
    detect.main(None, detect.POLICY)

    assert "no recorded histories" in json.loads(capsys.readouterr().out)["skipped"]


def test_the_bench_prints_a_line_for_each_history_and_one_with_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = quiet_history(QUIET)
    write_zip(tmp_path / "Robbed.zip", {**quiet, AFTER: {EXPLOIT: recorded_theft(ALL)}})
    write_zip(tmp_path / "Quiet.zip", quiet)
    write_zip(tmp_path / "Missed.zip", quiet)
    labels = {"Robbed": EXPLOIT, "Quiet": None, "Missed": hash_of(QUIET - 1)}
    (tmp_path / "labels.json").write_text(
        json.dumps({name: {"exploit_tx": exploit} for name, exploit in labels.items()})
    )

    detect.main(tmp_path, detect.POLICY)

    *lines, sums = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["history"], line["exploit"]) for line in lines] == [
        ("Robbed", "at"),
        ("Quiet", None),
        ("Missed", "missed"),
    ]
    assert (sums["histories"], sums["exploits"], sums["flagged"]) == (3, 2, 1)
    assert sums["benign"] == 60 + 60 + 59
    assert sums["detectors"]["reentrancy"]["exploits"] == ["Robbed"]


@pytest.mark.parametrize("name", ["Punk_1", "UmbrellaNetwork", "SphereX"])
def test_the_general_policy_sees_real_exploits_and_leaves_real_benign_life_alone(name: str) -> None:
    folder = detect.find_histories()
    if folder is None:
        pytest.skip("no recorded histories on this machine; set TOCSIN_HISTORIES")
    exploit = json.loads((folder / "labels.json").read_text())[name]["exploit_tx"]

    report = run_backtest(
        RecordedHistory(folder / f"{name}.zip"), read_detection_policy(detect.POLICY), exploit_hash=exploit
    )

    assert report.exploit in ({None} if exploit is None else {Outcome.BEFORE, Outcome.AT})
    assert report.count(Level.LIMIT) == 0


PUNK: dict[str, object] = {
    **{"history": "Punk_1", "policy_hash": "0x", "learned": 54, "benign": 50, "exploit": "at"},
    **{"level": "pause", "alerts": 0, "limits": 0, "pauses": 0},
}
SPAN = {
    "learned_percent": 10,
    "benign": 4_395,
    "flagged": 5,
    "exploits": 5,
    "alerts": 2,
    "limits": 0,
    "pauses": 0,
}
CALLER = {"exploits": ["BaconProtocol", "UmbrellaNetwork"], "benign_found": 0, "benign_strange": 0}
DETECTORS = {"histories": 6, "detectors": {"contract_caller": CALLER}}
LOSS = {
    **{"bench": "bridge_loss", "pause_after_seconds": 4_500},
    **{"lost_usd": 78_425_004, "saved_usd": 81_152_593, "saved_percent": 50.9},
}


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        (PUNK, PUNK | {"alerts": 1}),
        (PUNK, PUNK | {"exploit": "missed"}),
        (SPAN, SPAN | {"flagged": 4}),
        (DETECTORS, {**DETECTORS, "detectors": {"contract_caller": CALLER | {"benign_found": 1}}}),
        (DETECTORS, {**DETECTORS, "detectors": {"contract_caller": CALLER | {"exploits": []}}}),
        (LOSS, LOSS | {"lost_usd": 78_525_004}),
    ],
)
def test_a_figure_that_the_page_tells_otherwise_is_named(
    line: dict[str, object], changed: dict[str, object]
) -> None:
    page = PAGE.read_text()

    assert find_differences([line, {"metric": "something else"}], page) == (1, [])
    rows, (wrong,) = find_differences([changed], page)
    assert rows == 1
    assert wrong.startswith("expected | ")
