"""How a watcher and its signer know each other: two files, each with its own key and the other's public one.

X25519 keys, made together by `tocsin signer pair` and then kept apart. Neither of the two signs alerts: who
takes the watcher's file can ask the signer, within its rules, and no more.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from noise.backends.default.keypairs import KeyPair25519

from consensus.errors import Reason, Refused
from node.private_files import PRIVATE_FILE_MODE, require_private

KEY_BYTES: Final = 32
MAX_PAIR_BYTES: Final = 4_096


class Role(StrEnum):
    """Which of the two a file belongs to."""

    WATCHER = "watcher"
    SIGNER = "signer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """One side's own key, which is never shown, and the other side's public key."""

    role: Role
    private: bytes
    peer: bytes

    def __repr__(self) -> str:
        return f"Pairing(role={self.role}, peer={self.peer.hex()[:16]}…)"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    role: Role
    private: str
    peer: str


def file_of(directory: Path, role: Role) -> Path:
    """Where one side's file is written."""
    return directory / f"{role}.pair"


def create_pair(directory: Path) -> tuple[Path, Path]:
    """Make both sides' files: the watcher's, the signer's. Raises `Refused` (STORE_EXISTS)."""
    keys = {role: secrets.token_bytes(KEY_BYTES) for role in Role}
    public = {role: bytes(KeyPair25519.from_private_bytes(key).public_bytes) for role, key in keys.items()}
    for role in Role:
        if file_of(directory, role).exists():
            raise Refused(
                Reason.STORE_EXISTS,
                f"{file_of(directory, role)} exists and is not overwritten; remove both files",
            )
    for role, other in ((Role.WATCHER, Role.SIGNER), (Role.SIGNER, Role.WATCHER)):
        content = _File(role=role, private=keys[role].hex(), peer=public[other].hex())
        _write(file_of(directory, role), msgspec.json.encode(content))
    return file_of(directory, Role.WATCHER), file_of(directory, Role.SIGNER)


def read_pair(path: Path, role: Role) -> Pairing:
    """This side's file. Raises `Refused`: FILE_EXPOSED, or PAIRING_INVALID when it is not this side's."""
    try:
        require_private(path)
        parsed = msgspec.json.decode(path.read_bytes()[:MAX_PAIR_BYTES], type=_File)
        private, peer = bytes.fromhex(parsed.private), bytes.fromhex(parsed.peer)
    except OSError as error:
        raise _invalid(path, f"it cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, ValueError):  # what it holds instead is not said: it may be a key
        raise _invalid(path, "it breaks its form") from None
    if len(private) != KEY_BYTES or len(peer) != KEY_BYTES:
        raise _invalid(path, f"its keys must have {KEY_BYTES} bytes")
    if parsed.role is not role:
        raise _invalid(path, f"it belongs to the {parsed.role}, this is the {role}")
    return Pairing(role=role, private=private, peer=peer)


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    except OSError as error:
        raise Refused(
            Reason.STORE_MISSING, f"{path} cannot be created ({error.strerror}); make its directory first"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content + b"\n")


def _invalid(path: Path, finding: str) -> Refused:
    return Refused(
        Reason.PAIRING_INVALID,
        f"{path} is no pairing that can be used here: {finding}; make both with `tocsin signer pair`",
    )
