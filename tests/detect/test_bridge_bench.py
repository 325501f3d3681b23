"""The bench of a bridge's two sides: skips aloud without data, and counts what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import bridge

COIN, ALICE = "0x" + "a" * 40, "0x" + "1" * 40
RAID_BEGAN = bridge.MIDDLE_SECONDS + 1_000


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def row(at: int, number: int, amount: int, *more: str) -> str:
    return ",".join([str(at), f"0x{at:060x}{number:04x}", str(number), COIN, ALICE, str(amount), *more])


def write_side(path: Path, *rows: str) -> None:
    head = "timestamp,tx_hash,withdrawal_id,token,beneficiary,amount,value_usd"
    path.write_text("\n".join([head, *rows]) + "\n")


def write_bridge(folder: Path) -> None:
    """Five honest messages, one of them collected late; a forged release long before; a raid of two."""
    burns = [row(10 + number, number, 100) for number in range(5)]
    honest = [row(100 + number, number, 100) for number in range(4)]
    late = row(RAID_BEGAN - 500, 4, 100)
    forged = row(200, 77, 3)
    raid = [row(RAID_BEGAN, 90, 5_000_000), row(RAID_BEGAN + 30, 91, 15_000_000)]
    write_side(folder / "burns_moonbeam.csv", *burns)
    write_side(folder / "withdrawals_ethereum.csv", *honest, forged, late, *raid)
    write_side(
        folder / "attack_withdrawals.csv",
        *(f"{each},{dollars}" for each, dollars in zip(raid, ("500000.00", "1500000.00"), strict=True)),
    )


def test_without_a_record_the_bench_says_that_it_skips(capsys: pytest.CaptureFixture[str]) -> None:
    bridge.main(None, certificate_seconds=0.25, block_seconds=12)

    (line,) = lines_of(capsys)
    assert "no recorded bridge" in str(line["skipped"])


def test_the_bench_counts_the_raid_what_came_before_and_what_a_pause_saves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bridge(tmp_path)

    bridge.main(tmp_path, certificate_seconds=1, block_seconds=12)

    verdicts, start, *losses = lines_of(capsys)
    assert (verdicts["backed"], verdicts["raid_unbacked"], verdicts["raid_releases"]) == (5, 2, 2)
    assert verdicts["raid_slowest_verdict_seconds"] == 0
    assert (verdicts["unbacked_before"], verdicts["limits_before"]) == (1, 0)
    assert (verdicts["raid_first_level"], verdicts["raid_releases_at_pause"]) == ("pause", 2)
    assert (start["outstanding"], start["unbacked_before_warm"], start["unbacked_before_cold"]) == (1, 0, 1)
    curve = {line["pause_after_seconds"]: (line["lost_usd"], line["saved_percent"]) for line in losses}
    assert curve[0] == curve[13] == (500_000, 75.0)
    assert curve[60] == (2_000_000, 0.0)
    assert (losses[-1]["certificate_seconds"], losses[-1]["block_seconds"]) == (1, 12)


def test_on_the_real_record_every_raid_release_is_unbacked_at_once_and_hardly_any_before() -> None:
    folder = bridge.find_bridge()
    if folder is None:
        pytest.skip("no recorded bridge on this machine; set TOCSIN_BRIDGE")
    raid, values = bridge.read_raid(folder)

    line = bridge.measure_verdicts(
        bridge.read_burns(folder / "burns_moonbeam.csv"),
        bridge.read_releases(folder / "withdrawals_ethereum.csv"),
        raid,
        values,
    )

    assert line["raid_unbacked"] == line["raid_releases"] == 382
    assert line["raid_slowest_verdict_seconds"] == 0
    assert line["unbacked_before"] <= 5
    assert line["limits_before"] == 0
