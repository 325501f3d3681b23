"""A watcher whose journal was put back with everything beside it: only what its peers hold can tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trio

from node.devnet.operators import LISTEN_SECONDS, Home
from tests.e2e.test_network import REPOSITORY, journal_rows, lift, trip, tripwire_network

LISTENING = 30.0  # longer than peers take to tell what they hold
ENDS_WITHIN_SECONDS = 90


def files_of(home: Home) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in (home.folder / "data").iterdir()}


def put_back(files: dict[Path, bytes]) -> None:
    """As a snapshot of the disk would: the same files, with what they held then, and none that came since."""
    (folder,) = {each.parent for each in files}
    for each in folder.iterdir():
        if each not in files:
            each.unlink()
    for path, content in files.items():
        path.write_bytes(content)


async def run_until_it_ends(home: Home) -> tuple[int, str]:
    """A life of the watcher that it ends itself: its code, and its last words."""
    with trio.fail_after(ENDS_WITHIN_SECONDS):
        ended = await trio.run_process(
            [sys.executable, "-m", "node", "run", "--config", str(home.config)],
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )
    return ended.returncode, ended.stdout.decode()


async def test_a_watcher_on_a_restored_snapshot_hears_its_own_signature_stops_and_then_goes_on_above_it(
    tmp_path: Path,
) -> None:
    async with tripwire_network(tmp_path / "network") as (network, ear):
        home, watcher = network.homes[3], network.watchers["w4"]
        await watcher.stop()
        before = files_of(home)
        ear.mark()
        await watcher.start()
        await ear.wait("w4", "watcher.ready")
        await trip(network, ear)
        digest = (await ear.wait("w4", "attestation.signed")).fields["digest"]
        await ear.wait("w1", "attestation.received", digest=digest, operator=home.address)
        await watcher.stop()
        assert [row[1] for row in journal_rows(home)] == [digest]

        put_back(before)
        assert journal_rows(home) == []
        config = home.config.read_text()
        home.config.write_text(config.replace(f"= {LISTEN_SECONDS}", f"= {LISTENING}"))
        code, said = await run_until_it_ends(home)

        assert (code, "signed_elsewhere" in said) == (2, True), said[-2_000:]
        assert "attestation.signed" not in said
        assert [row[1] for row in journal_rows(home)] == [digest], "it is known from here on"

        home.config.write_text(config)
        await lift(network, ear)
        ear.mark()
        await watcher.start()
        await ear.wait("w4", "journal.armed")
        await ear.wait("w4", "signing.begun")  # what comes up to here lies below its watermark
        await trip(network, ear)
        await ear.wait_until(
            lambda: any(said.fields["digest"] != digest for said in ear.all("w4", "attestation.signed")),
            "w4 to sign the new block; the old alert it may sign again, which is the same signature",
        )
        await watcher.stop()
