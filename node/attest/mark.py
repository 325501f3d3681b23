"""How far the journal was when it was last used here: a small file beside it, that an older copy contradicts.

A journal cannot tell by itself that it is last night's. The mark says how many rows there were, the seal over
them, on which machine and in which file. It is written after each row, without waiting for the disk: a mark
that is behind its journal says nothing, one that is ahead of it says that the journal is an old copy.

What restores journal and mark together on one machine (a snapshot of the whole disk) is not seen here; the
signatures that are on the network already are (`Journal.adopt`).
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from node.private_files import PRIVATE_FILE_MODE

MARK_SUFFIX: Final = ".mark"
MARK_BYTES: Final = 512
_MACHINE_FILE: Final = Path("/etc/machine-id")


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the mark file says. `seal` is that of row `rows`, in hexadecimal."""

    rows: int
    seal: str
    machine: str
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFile:
    """The mark of the journal at `journal`."""

    journal: Path

    @property
    def path(self) -> Path:
        return self.journal.with_name(self.journal.name + MARK_SUFFIX)

    def read(self) -> Mark | None:
        """The mark; None where there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes()[:MARK_BYTES].rstrip(b"\n "), type=Mark)
        except (OSError, msgspec.DecodeError):
            return None

    def here(self, rows: int, seal: bytes) -> Mark:
        """The mark that this machine and this file would get."""
        return Mark(rows=rows, seal=seal.hex(), machine=_machine(), inode=self.journal.stat().st_ino)

    def write(self, mark: Mark) -> None:
        """Overwrite the mark in place. Raises OSError; a missing mark only makes the journal careful."""
        content = msgspec.json.encode(mark).ljust(MARK_BYTES - 1) + b"\n"
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, PRIVATE_FILE_MODE)
        try:
            os.pwrite(descriptor, content, 0)
        finally:
            os.close(descriptor)


@cache
def _machine() -> str:
    """A name of this machine that another one does not have, and that says nothing about it."""
    try:
        named = _MACHINE_FILE.read_bytes().strip()
    except OSError:
        named = socket.gethostname().encode()
    return hashlib.sha256(b"tocsin journal" + named).hexdigest()[:16]
