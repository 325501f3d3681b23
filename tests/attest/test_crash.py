"""SIGKILL at each point of signing, and at any moment: a restarted signer signs the same, or nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from consensus.errors import Reason
from node.attest.journal import create_journal
from tests.attest.crashing_signer import POINTS
from tests.consensus.factories import make_alert, make_attestation, make_bytes32, make_public_key

REPOSITORY = Path(__file__).parents[2]
# Before the commit nothing was promised, so either alert may follow; from the commit on, only the first.
NOTHING_PROMISED = ("before-insert", "after-insert", "before-commit")


def start(journal: Path, point: str, evidence: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.attest.crashing_signer", str(journal), point, evidence]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(journal: Path, point: str, evidence: str) -> tuple[int, str]:
    """Exit code, and what was published or refused."""
    with start(journal, point, evidence) as process:
        output, errors = process.communicate()
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode, output.decode().strip()


def signature_over(evidence: str) -> str:
    alert = make_alert(evidence_hash=make_bytes32(evidence))
    return make_attestation(alert).signature.to_bytes().hex()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    async def create() -> None:
        async with create_journal(path, make_public_key(0)):
            pass

    path = tmp_path / "journal.db"
    trio.run(create)
    return path


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_the_signer_signs_the_same_or_nothing(journal: Path, point: str) -> None:
    code, published = run(journal, point, "first view")
    assert (code, published) == (-signal.SIGKILL, "")

    _, second = run(journal, "never", "second view")
    _, first = run(journal, "never", "first view")

    if point in NOTHING_PROMISED:
        assert (second, first) == (signature_over("second view"), Reason.SLOT_ALREADY_SIGNED)
    else:
        assert (second, first) == (Reason.SLOT_ALREADY_SIGNED, signature_over("first view"))


def test_a_kill_at_any_moment_never_leads_to_two_signatures(journal: Path) -> None:
    seed = 20_261_120
    chance = random.Random(seed)
    published: set[str] = set()

    for number in range(8):
        with start(journal, "never", f"view {number}") as process:
            try:
                process.wait(timeout=chance.uniform(0.2, 1.2))
            except subprocess.TimeoutExpired:
                process.kill()
            output, _ = process.communicate()
        published.add(output.decode().strip())

    signatures = published - {"", str(Reason.SLOT_ALREADY_SIGNED)}
    assert len(signatures) <= 1, f"two signatures for one slot; seed {seed}"
    assert run(journal, "never", "another view")[1] == Reason.SLOT_ALREADY_SIGNED or not signatures
