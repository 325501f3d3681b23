"""Keystores: what was written comes back, nothing leaks, and nothing doubtful is opened."""

from __future__ import annotations

import json
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consensus.errors import Reason, Refused
from node.attest.keystore import (
    IdentitySeed,
    create_bls_keystore,
    create_identity_keystore,
    create_transaction_keystore,
    load_bls_keystore,
    load_identity_keystore,
    load_transaction_keystore,
    read_password,
)
from tests.consensus.factories import make_public_key, make_secret

WORK_FACTOR = 2
PASSWORD = "correct horse battery staple"
SECRET = make_secret(0)

LOADERS: dict[str, Callable[[Path, str], object]] = {
    "bls": load_bls_keystore,
    "transaction": load_transaction_keystore,
    "identity": load_identity_keystore,
}


def make_keystore(directory: Path, kind: str) -> Path:
    path = directory / f"{kind}.json"
    if kind == "bls":
        create_bls_keystore(path, PASSWORD, SECRET, work_factor=WORK_FACTOR)
    elif kind == "transaction":
        create_transaction_keystore(path, PASSWORD, work_factor=WORK_FACTOR)
    else:
        create_identity_keystore(path, PASSWORD, work_factor=WORK_FACTOR)
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    keystore = json.loads(path.read_text())
    change(keystore)
    path.write_text(json.dumps(keystore))


def refusal_of(load: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as refusal:
        load()
    return refusal.value


def test_the_bls_key_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "bls.json"

    public_key = create_bls_keystore(path, PASSWORD, SECRET, work_factor=WORK_FACTOR)

    assert public_key == make_public_key(0)
    assert load_bls_keystore(path, PASSWORD).to_bytes() == SECRET.to_bytes()
    assert json.loads(path.read_text())["version"] == 4


def test_a_keystore_of_the_default_strength_opens(tmp_path: Path) -> None:
    path = tmp_path / "bls.json"

    create_bls_keystore(path, PASSWORD, SECRET)

    assert json.loads(path.read_text())["crypto"]["kdf"]["params"]["n"] == 262_144
    assert load_bls_keystore(path, PASSWORD).to_bytes() == SECRET.to_bytes()


def test_the_transaction_account_comes_back(tmp_path: Path) -> None:
    address = create_transaction_keystore(tmp_path / "tx.json", PASSWORD, work_factor=WORK_FACTOR)

    assert load_transaction_keystore(tmp_path / "tx.json", PASSWORD).address == str(address)


def test_the_identity_comes_back_and_differs_from_the_next(tmp_path: Path) -> None:
    seed = create_identity_keystore(tmp_path / "a.json", PASSWORD, work_factor=WORK_FACTOR)
    other = create_identity_keystore(tmp_path / "b.json", PASSWORD, work_factor=WORK_FACTOR)

    assert load_identity_keystore(tmp_path / "a.json", PASSWORD).to_bytes() == seed.to_bytes()
    assert seed.to_bytes() != other.to_bytes()


@pytest.mark.parametrize("kind", LOADERS)
def test_a_keystore_is_private(tmp_path: Path, kind: str) -> None:
    assert stat.S_IMODE(make_keystore(tmp_path, kind).stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", LOADERS)
def test_a_keystore_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    path = make_keystore(tmp_path, kind)
    before = path.read_bytes()

    assert refusal_of(lambda: make_keystore(tmp_path, kind)).reason is Reason.STORE_EXISTS
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", LOADERS)
def test_a_keystore_in_a_missing_directory_is_refused(tmp_path: Path, kind: str) -> None:
    refusal = refusal_of(lambda: make_keystore(tmp_path / "none", kind))

    assert refusal.reason is Reason.STORE_MISSING


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_a_keystore_that_others_can_read_is_refused(tmp_path: Path, kind: str, mode: int) -> None:
    path = make_keystore(tmp_path, kind)
    path.chmod(mode)

    assert refusal_of(lambda: LOADERS[kind](path, PASSWORD)).reason is Reason.FILE_EXPOSED


@pytest.mark.parametrize("kind", LOADERS)
def test_a_wrong_password_is_refused(tmp_path: Path, kind: str) -> None:
    path = make_keystore(tmp_path, kind)

    assert refusal_of(lambda: LOADERS[kind](path, "wrong")).reason is Reason.KEYSTORE_LOCKED


def test_a_keystore_that_names_another_public_key_is_refused(tmp_path: Path) -> None:
    path = make_keystore(tmp_path, "bls")
    edit(path, lambda keystore: keystore.update(pubkey=make_public_key(1).to_bytes().hex()))

    assert refusal_of(lambda: load_bls_keystore(path, PASSWORD)).reason is Reason.WRONG_KEY


@pytest.mark.parametrize("kind", ["transaction", "identity"])
def test_a_keystore_that_names_another_address_is_refused(tmp_path: Path, kind: str) -> None:
    path = make_keystore(tmp_path, kind)
    edit(path, lambda keystore: keystore.update(address="00" * 20))

    assert refusal_of(lambda: LOADERS[kind](path, PASSWORD)).reason is Reason.WRONG_KEY


@pytest.mark.parametrize(
    ("made", "loaded"), [("transaction", "bls"), ("bls", "transaction"), ("bls", "identity")]
)
def test_a_keystore_of_another_kind_is_refused(tmp_path: Path, made: str, loaded: str) -> None:
    path = make_keystore(tmp_path, made)

    assert refusal_of(lambda: LOADERS[loaded](path, PASSWORD)).reason is Reason.KEYSTORE_INVALID


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"4",
        b"[" * 10_000,
        b'{"version": 4}',
        b'{"version": 3}',
        b'{"version": 3, "crypto": 1}',
        b'{"version": 4, "crypto": {"kdf": {"function": "scrypt"}}}',
        b'{"version": 3, "crypto": {"kdf": "pbkdf2", "kdfparams": {"c": 1000000000}}}',
        b'{"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": 2, "r": 8, "p": 1, "dklen": 32}}}',
        b'{"version": 4, "crypto": {"kdf": {"function": "scrypt", "params":'
        b' {"n": 2, "r": 8, "p": 1, "dklen": 32}}}}',
        b" " * 20_000,
    ],
)
def test_what_is_no_keystore_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / "k.json"
    path.write_bytes(content)
    path.chmod(0o600)

    assert refusal_of(lambda: LOADERS[kind](path, PASSWORD)).reason is Reason.KEYSTORE_INVALID


@pytest.mark.parametrize(
    "parameter", [{"n": 2**30}, {"r": 1_000}, {"p": 1_000}, {"dklen": 10**9}, {"n": "2"}]
)
def test_a_keystore_that_would_take_the_machines_memory_is_refused(
    tmp_path: Path, parameter: dict[str, Any]
) -> None:
    path = make_keystore(tmp_path, "bls")
    edit(path, lambda keystore: keystore["crypto"]["kdf"]["params"].update(parameter))

    assert refusal_of(lambda: load_bls_keystore(path, PASSWORD)).reason is Reason.KEYSTORE_INVALID


def test_a_keystore_whose_key_is_out_of_range_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_keystore(tmp_path, "bls")
    monkeypatch.setattr("node.attest.keystore.decode_keyfile_json", lambda *_arguments: bytes(32))

    assert refusal_of(lambda: load_bls_keystore(path, PASSWORD)).reason is Reason.KEYSTORE_INVALID


def test_no_refusal_shows_key_or_password(tmp_path: Path) -> None:
    path = make_keystore(tmp_path, "bls")
    edit(path, lambda keystore: keystore.update(pubkey="00"))

    for password in (PASSWORD, "wrong password"):
        try:
            load_bls_keystore(path, password)
        except Refused as refusal:
            shown = "".join(traceback.format_exception(refusal)) + repr(refusal)
        assert SECRET.to_bytes().hex() not in shown
        assert password not in shown


def test_an_identity_is_never_shown() -> None:
    seed = IdentitySeed(bytes(range(32)))

    assert bytes(range(32)).hex() not in repr(seed) + str(seed)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_an_identity_of_another_length_is_refused(length: int) -> None:
    assert refusal_of(lambda: IdentitySeed(bytes(length))).reason is Reason.WRONG_LENGTH


@pytest.mark.parametrize("content", [b"pass word", b"pass word\n", b"pass word\r\n"])
def test_a_password_is_the_files_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)

    assert read_password(path) == "pass word"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff", b"a" * 1_025])
def test_a_doubtful_password_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(0o600)

    assert refusal_of(lambda: read_password(path)).reason is Reason.PASSWORD_INVALID


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("password")
    path.chmod(0o644)

    assert refusal_of(lambda: read_password(path)).reason is Reason.FILE_EXPOSED


def test_a_missing_password_file_is_refused(tmp_path: Path) -> None:
    assert refusal_of(lambda: read_password(tmp_path / "none")).reason is Reason.PASSWORD_INVALID
