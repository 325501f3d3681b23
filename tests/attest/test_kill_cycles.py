"""Kill -9 around signing, many times: a short run of `tests.bench.journal`, and whether it would notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attest.crashing_signer import POINTS
from tests.bench.journal import Promises

REPOSITORY = Path(__file__).parents[2]
SEED = 20_261_121


@pytest.mark.parametrize(("door", "cycles"), [("process", 20), ("socket", 12)])
def test_kills_over_all_points_break_no_promise(door: str, cycles: int) -> None:
    asked = ["--cycles", str(cycles), "--seed", str(SEED), "--door", door]
    command = [sys.executable, "-m", "tests.bench.journal", *asked]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, f"seed {SEED}\n{ran.stdout}\n{ran.stderr}"
    *points, whole = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {line["point"] for line in points if line["killed"]} >= set(POINTS)
    assert (whole["broken"], whole["armed"]) == ([], 0)
    assert whole["killed"] + whole["outlived"] == cycles
    assert whole["acknowledged"] >= whole["published"] > 0
    assert whole["refused"]["slot_already_signed"] > 0


@pytest.mark.parametrize(
    "said",
    [
        ("acknowledged 01 aa", "acknowledged 01 bb"),
        ("acknowledged 01 aa", "published 01 bb cc"),
        ("published 01 aa cc", "published 01 aa dd"),
        ("lost: 01 aa",),
        ("wrong refusal: below_watermark",),
    ],
)
def test_a_broken_promise_is_noticed(said: tuple[str, ...]) -> None:
    promises = Promises()

    for line in said:
        promises.hear(f"{line}\n")

    assert len(promises.broken) == 1


def test_kept_promises_are_none_broken() -> None:
    promises = Promises()

    for line in ("acknowledged 01 aa", "published 01 aa cc", "published 01 aa cc", "refused 01 why"):
        promises.hear(f"{line}\n")

    assert promises.broken == []
