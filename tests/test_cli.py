"""The command line: what it teaches, what it refuses and how it ends. No chain is needed for any of it."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

import node.keys
from node.cli import EXIT_BROKEN, EXIT_REFUSED, EXIT_UNAVAILABLE, cli
from node.config import Keys
from node.keys import JOURNAL_FILE, make_keys
from node.policies import read_policy

REPOSITORY = Path(__file__).resolve().parents[1]
PASSWORD = "correct horse battery staple"
SECRET_PATH = "s3cret-path"
NOBODY_LISTENS = "http://127.0.0.1:9"


def run(*arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(cli, list(arguments), catch_exceptions=False)


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as an operator starts it."""
    command = [sys.executable, "-m", "node", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def write_password(folder: Path, *, mode: int = 0o600, text: str = PASSWORD) -> Path:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def _weak_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keystores in milliseconds instead of seconds; they guard nothing here."""
    for name in ("create_bls_keystore", "create_transaction_keystore", "create_identity_keystore"):
        strong = getattr(node.keys, name)
        monkeypatch.setattr(
            node.keys,
            name,
            lambda *arguments, strong=strong, work_factor: strong(*arguments, work_factor=2),
        )


def make_home(folder: Path) -> Path:
    """A watcher's folder with keys, journal and a configuration; its configuration file."""
    keys = Keys(
        bls_keystore=folder / "bls.json",
        transaction_keystore=folder / "transaction.json",
        p2p_keystore=folder / "p2p.json",
        password_file=write_password(folder),
    )
    trio.run(lambda: make_keys(keys, folder / "data", work_factor=2))
    config = folder / "config.toml"
    policy = REPOSITORY / "deploy" / "policies" / "example.yaml"
    config.write_text(
        f"""policies = ["{policy}"]
log_format = "json"
rpc_timeout_seconds = 0.5
[keys]
bls_keystore = "bls.json"
transaction_keystore = "transaction.json"
p2p_keystore = "p2p.json"
password_file = "password"
[network]
home_chain = 1
registry = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
[[chains]]
id = 1
name = "home"
agreement = 1
[[chains.endpoints]]
name = "mine"
http = "{NOBODY_LISTENS}/{SECRET_PATH}"
"""
    )
    return config


# --- help and version


def test_the_version_is_that_of_the_installed_distribution() -> None:
    started = start("version", "--json")

    assert started.returncode == 0
    assert set(json.loads(started.stdout)) == {"version"}
    assert json.loads(started.stdout)["version"] in run("version").output


def test_help_leads_from_nothing_to_a_running_watcher() -> None:
    said = run("--help").output

    steps = [said.index(step) for step in ("tocsin keys new", "tocsin operator register", "tocsin run")]
    assert steps == sorted(steps)
    assert "tocsin demo" in said


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "new"),
        ("operator", "register"),
        ("run",),
        ("demo",),
        ("version",),
        ("keys",),
        ("operator",),
        ("policy", "hash"),
        ("policy", "check"),
        ("policy", "schema"),
        ("policy", "backtest"),
        ("policy",),
    ],
)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    told = run(*command, "--help")

    assert told.exit_code == 0
    assert len(told.output.split("Options:")[0].split()) > 6


@pytest.mark.parametrize("command", [("keys", "new"), ("operator", "register"), ("run",), ("demo",)])
def test_no_option_takes_a_secret_itself(command: tuple[str, ...]) -> None:
    said = run(*command, "--help").output

    assert "--password " not in said
    assert "--key" not in said
    assert "--private" not in said


@pytest.mark.parametrize("command", ["demo", "replay"])
def test_a_folder_without_an_incident_is_refused_by_name(tmp_path: Path, command: str) -> None:
    started = start(command, "--incident", str(tmp_path / "nothing"), "--directory", str(tmp_path / "demo"))

    assert started.returncode == EXIT_REFUSED
    assert "expected incident.json" in started.stderr
    assert "not part of this repository" in started.stderr
    assert "Traceback" not in started.stderr


# --- policy hash


def test_the_hash_that_an_owner_approves_is_that_which_the_watchers_compute() -> None:
    file = REPOSITORY / "deploy" / "policies" / "example.yaml"

    told = run("policy", "hash", str(file), "--json")

    read = read_policy(file)
    assert json.loads(told.output) == {
        "policy": read.name,
        "hash": f"0x{read.hash.hex()}",
        "rules": [rule.name for rule in read.rules],
    }
    assert run("policy", "hash", str(file)).output == f"0x{read.hash.hex()}\n"


@pytest.mark.parametrize("content", [None, "tocsin: 2"], ids=["no file", "no policy"])
def test_what_is_no_policy_has_no_hash(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_text(content)

    told = run("policy", "hash", str(file))

    assert told.exit_code == EXIT_REFUSED
    assert "policy" in told.output


# --- keys new


def new_keys(folder: Path, password: Path, *more: str) -> Result:
    return run("keys", "new", "--directory", str(folder), "--password-file", str(password), *more)


@pytest.mark.usefixtures("_weak_keys")
def test_new_keys_come_with_an_empty_journal_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    made = new_keys(tmp_path / "home", write_password(tmp_path), "--json")

    assert made.exit_code == 0, made.output
    told = json.loads(made.output)
    assert set(told) == {"operator", "public_key", "peer_id"}
    assert len(bytes.fromhex(told["public_key"][2:])) == 192
    files = [tmp_path / "home" / name for name in ("bls.json", "transaction.json", "p2p.json")]
    journal = tmp_path / "home" / "data" / JOURNAL_FILE
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*files, journal)} == {0o600}
    with closing(sqlite3.connect(journal)) as connection:
        assert connection.execute("SELECT count(*) FROM signed").fetchone() == (0,)


@pytest.mark.usefixtures("_weak_keys")
def test_new_keys_say_what_to_do_next_and_nothing_secret(tmp_path: Path) -> None:
    made = new_keys(tmp_path, write_password(tmp_path))

    assert "tocsin operator register" in made.output
    assert "Next:" in made.output
    assert PASSWORD not in made.output


@pytest.mark.usefixtures("_weak_keys")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700])
def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    made = new_keys(tmp_path, write_password(tmp_path, mode=mode))

    assert made.exit_code == EXIT_REFUSED
    assert "file_exposed" in made.output
    assert "chmod 600" in made.output
    assert not (tmp_path / "bls.json").exists()


@pytest.mark.usefixtures("_weak_keys")
@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n"])
def test_a_password_that_is_no_line_of_text_is_refused(tmp_path: Path, text: str) -> None:
    made = new_keys(tmp_path, write_password(tmp_path, text=text))

    assert made.exit_code == EXIT_REFUSED
    assert "password_invalid" in made.output


@pytest.mark.usefixtures("_weak_keys")
@pytest.mark.parametrize("existing", ["bls.json", "transaction.json", "p2p.json", f"data/{JOURNAL_FILE}"])
def test_nothing_is_overwritten_and_nothing_is_left_half_made(tmp_path: Path, existing: str) -> None:
    password = write_password(tmp_path)
    kept = tmp_path / "home" / existing
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")

    made = new_keys(tmp_path / "home", password)

    assert made.exit_code == EXIT_REFUSED
    assert "store_exists" in made.output
    assert kept.name in made.output
    assert kept.read_text() == "precious"
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == [kept]


# --- run: refuses to start, and says what to do


def refused(config: Path) -> str:
    """What `tocsin run` says when it refuses to start."""
    started = start("run", "--config", str(config))
    assert started.returncode == EXIT_REFUSED, started.stdout + started.stderr
    assert "Traceback" not in started.stderr
    assert "watcher.ready" not in started.stdout
    assert SECRET_PATH not in started.stdout + started.stderr
    return started.stderr


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "--config" in refused(tmp_path / "config.toml")


def test_a_watcher_without_its_journal_does_not_start_and_makes_no_new_one(tmp_path: Path) -> None:
    config = make_home(tmp_path)
    journal = tmp_path / "data" / JOURNAL_FILE
    journal.unlink()

    said = refused(config)

    assert "store_missing" in said
    assert "Restore only a copy that was made after the last signature" in said
    assert not journal.exists(), "an empty journal would let the key sign a slot twice"


@pytest.mark.parametrize("damage", ["header", "cut", "text"])
def test_a_watcher_with_a_corrupted_journal_does_not_start_and_keeps_the_file(
    tmp_path: Path, damage: str
) -> None:
    config = make_home(tmp_path)
    journal = tmp_path / "data" / JOURNAL_FILE
    content = journal.read_bytes()
    broken = {
        "header": b"\0" * 100 + content[100:],
        "cut": content[: len(content) // 2],
        "text": b"not a database at all" * 400,
    }[damage]
    journal.write_bytes(broken)

    said = refused(config)

    assert "store_corrupt" in said
    assert "keep the file for inspection" in said
    assert "Never put an older copy or an empty one in its place" in said
    assert journal.read_bytes() == broken


def test_a_watcher_whose_journal_another_process_holds_does_not_start(tmp_path: Path) -> None:
    config = make_home(tmp_path)
    with closing(sqlite3.connect(tmp_path / "data" / JOURNAL_FILE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")

        said = refused(config)

    assert "store_locked" in said
    assert "stop that process" in said
    assert "Two watchers must never share one key" in said


def test_a_watcher_with_the_journal_of_another_key_does_not_start(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    config = make_home(tmp_path / "mine")
    make_home(tmp_path / "theirs")
    os.replace(tmp_path / "theirs" / "data" / JOURNAL_FILE, tmp_path / "mine" / "data" / JOURNAL_FILE)

    assert "wrong_key" in refused(config)


def test_a_watcher_with_a_wrong_password_does_not_start(tmp_path: Path) -> None:
    config = make_home(tmp_path)
    write_password(tmp_path, text="another password")

    said = refused(config)

    assert "keystore_locked" in said
    assert "another password" not in said


def test_a_policy_for_a_chain_without_endpoints_is_refused(tmp_path: Path) -> None:
    config = make_home(tmp_path)
    config.write_text(
        config.read_text().replace("home_chain = 1", "home_chain = 5").replace("id = 1", "id = 5")
    )

    said = refused(config)

    assert "watches chain 1" in said
    assert "[[chains]]" in said


def test_a_source_that_does_not_answer_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    started = start("run", "--config", str(make_home(tmp_path)))

    assert started.returncode == EXIT_UNAVAILABLE
    assert "chain 1" in started.stderr
    assert SECRET_PATH not in started.stdout + started.stderr
    assert "Traceback" not in started.stderr


def test_the_ways_to_end_can_be_told_apart() -> None:
    assert len({0, 1, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_BROKEN}) == 5
