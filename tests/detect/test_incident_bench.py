"""The bench of a recorded attack: skips aloud without data, and sees the attack before it is mined."""

from __future__ import annotations

import json

import pytest

from tests.bench import incident


def test_without_a_recording_the_bench_says_that_it_skips(capsys: pytest.CaptureFixture[str]) -> None:
    incident.main(None)

    assert "no recorded incident" in json.loads(capsys.readouterr().out)["skipped"]


async def test_the_recorded_attack_is_flagged_before_its_block_and_a_customer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = incident.find_incident()
    if folder is None:
        pytest.skip("no recorded incident on this machine; set TOCSIN_INCIDENT")
    monkeypatch.setattr(incident, "ROUNDS", 3)

    flags, *times = await incident.run(folder)

    assert (flags["public_attack"], flags["private_attack"]) == ("before", "at")
    assert (flags["benign_succeeds"], flags["benign_flagged"]) == (True, False)
    assert [line["n"] for line in times] == [3, 3]
