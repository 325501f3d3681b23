"""No space for the row, by the kernel's own refusal: no signature, no damage, and on when there is space."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
IN_A_SMALL_FILE_SYSTEM = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = "mount -t tmpfs -o size=400k tmpfs {folder} && "


@cache
def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have a file system of our own."""
    command = [*IN_A_SMALL_FILE_SYSTEM, MOUNT.format(folder=shlex.quote(str(folder))) + "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def starve(how: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.attest.starving_signer", how, str(folder)]
    if how == "tmpfs":
        if not can_mount(folder):
            pytest.skip("this machine allows no mount namespace of one's own; the quota is tried without")
        command = [
            *IN_A_SMALL_FILE_SYSTEM,
            MOUNT.format(folder=shlex.quote(str(folder))) + shlex.join(command),
        ]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


@pytest.mark.parametrize("how", ["quota", "tmpfs"])
def test_without_space_nothing_is_signed_and_with_space_it_goes_on(tmp_path: Path, how: str) -> None:
    told = starve(how, tmp_path)

    assert told["rows"] == told["signed"], "a row for each signature, and none for the refused one"
    assert len(told["refusals"]) == 2
    assert all("no space is left" in refusal for refusal in told["refusals"])
    assert told["rows_after"] == told["checked_rows"] == told["signed"] + 1
    assert (told["faults"], told["notes"]) == (0, 0)
