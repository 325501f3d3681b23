"""The real `tocsin signer run`, and a watcher without any BLS keystore: killed, restarted, told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.bls import PublicKey, Purpose, verify
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, OperatorIndex
from node.attest.door import SigningDoor
from node.attest.pairing import create_pair
from node.config import Keys, load_config
from node.keys import JOURNAL_FILE, make_keys, open_keys
from node.signing import open_signing_door
from tests.consensus.factories import make_alert

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
CONFIG = """
policies = ["policy.yaml"]

[keys]
transaction_keystore = "transaction.json"
p2p_keystore = "p2p.json"
password_file = "password"

[network]
home_chain = 1
registry = "0x5FbDB2315678afecb367f032d93F642f64180aa3"

[signer]
socket = "../signer/s"
pair = "watcher.pair"

[[chains]]
id = 1
name = "one"
agreement = 1
[[chains.endpoints]]
name = "own"
http = "http://127.0.0.1:1"
"""


async def make_homes(root: Path) -> tuple[Path, Path, PublicKey]:
    """A watcher's folder, its signer's, and the key that only the second one has."""
    watcher, signer = root / "watcher", root / "signer"
    for folder in (watcher, signer):
        folder.mkdir()
        (folder / "password").write_text("correct horse\n")
        (folder / "password").chmod(0o600)
    made = await make_keys(
        Keys(
            bls_keystore=signer / "bls.json",
            transaction_keystore=watcher / "transaction.json",
            p2p_keystore=watcher / "p2p.json",
            password_file=watcher / "password",
        ),
        signer / "data",
        work_factor=2,
    )
    create_pair(signer)
    (signer / "watcher.pair").rename(watcher / "watcher.pair")
    (watcher / "config.toml").write_text(CONFIG)
    return watcher, signer, made.public_key


@contextmanager
def running_signer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`tocsin signer run` in its folder; killed at the end where it still lives."""
    command = [sys.executable, "-m", "node", "signer", "run", "--password-file", "password", "--socket", "s"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def check_journal_by_command(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", "journal", "check"],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


async def sign(door: SigningDoor, alert: Alert) -> Attestation:
    return await door.attest(alert, OperatorIndex(0), since=BlockNumber(0))


async def sign_when_there(door: SigningDoor, alert: Alert) -> Attestation:
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            try:
                return await sign(door, alert)
            except Unavailable:
                await trio.sleep(0.05)


async def test_a_watcher_without_the_key_signs_through_the_signer_that_has_it(tmp_path: Path) -> None:
    watcher, signer, public_key = await make_homes(tmp_path)
    assert not list(watcher.rglob("bls.json"))
    assert not list(watcher.rglob(JOURNAL_FILE))

    async with open_signing_door(load_config(watcher / "config.toml")) as door:
        with pytest.raises(Unavailable):  # not there yet: the watcher runs all the same
            await sign(door, make_alert())
        with running_signer(signer) as process:
            attestation = await sign_when_there(door, make_alert())
            assert verify(public_key, Purpose.ALERT, make_alert().digest(), attestation.signature)
            assert door.public_key == public_key
            process.kill()
            process.wait()
            with pytest.raises(Unavailable):
                await sign(door, make_alert())

        with running_signer(signer) as process:
            assert await sign_when_there(door, make_alert()) == attestation
            with pytest.raises(Refused) as refusal:
                await sign(door, make_alert(actions=()))
            checked = await trio.to_thread.run_sync(check_journal_by_command, signer)
            process.send_signal(signal.SIGTERM)
            code = await trio.to_thread.run_sync(process.wait)

    assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED
    assert (checked.returncode, "store_locked" in checked.stderr) == (2, True)
    assert code == 0
    assert not (signer / "s").exists()
    assert "correct horse" not in (signer / "log").read_text()


async def test_registering_asks_for_the_keystore_that_the_configuration_leaves_out(tmp_path: Path) -> None:
    watcher, _, _ = await make_homes(tmp_path)

    with pytest.raises(Refused, match=r"expected keys\.bls_keystore") as refusal:
        await open_keys(load_config(watcher / "config.toml").keys)

    assert refusal.value.reason is Reason.BAD_CONFIG


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('pair = "watcher.pair"', ""),
        ('socket = "../signer/s"', ""),
        ('socket = "../signer/s"\npair = "watcher.pair"', ""),
        ("[keys]", '[keys]\nbls_keystore = "bls.json"'),
    ],
)
def test_the_key_is_in_one_process_and_reached_by_a_whole_pairing(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.replace(old, new))

    with pytest.raises(Refused) as refusal:
        load_config(tmp_path / "config.toml")

    assert refusal.value.reason is Reason.BAD_CONFIG


@pytest.mark.parametrize("seconds", ["-1", "301", "nan"])
def test_a_listening_period_that_cannot_work_is_refused(tmp_path: Path, seconds: str) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.replace("[signer]", f"[signer]\nlisten_seconds = {seconds}"))

    with pytest.raises(Refused, match="listen_seconds"):
        load_config(tmp_path / "config.toml")
