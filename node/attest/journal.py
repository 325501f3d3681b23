"""One row for each slot that this key has signed: written to the disk before the signature exists.

The journal is what makes two signatures for one slot impossible across crashes and restarts. It belongs to
one public key, and only ever grows: the database itself refuses to change or remove a row.

A journal guards one machine. Two machines with the same key, or one with an old copy of its journal, are not
covered: move the file with the key, and stop the old machine first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from consensus.bls import PublicKey
from consensus.errors import Reason, Refused
from consensus.types import Digest, Epoch, NetworkId, SlotId
from node.store import Schema, Store, create_store, open_store

JOURNAL_SCHEMA: Final = Schema(
    name="signing journal",
    application_id=0x544F434A,  # "TOCJ"
    version=1,
    statements=(
        "CREATE TABLE signer ("
        " singleton INTEGER PRIMARY KEY CHECK (singleton = 1),"
        " public_key BLOB NOT NULL CHECK (length(public_key) = 192)"
        ") STRICT",
        "CREATE TABLE signed ("
        " network_id BLOB NOT NULL CHECK (length(network_id) = 32),"
        " epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),"
        " slot_id BLOB NOT NULL CHECK (length(slot_id) = 32),"
        " digest BLOB NOT NULL CHECK (length(digest) = 32),"
        # the second guard: even a journal that forgot to look cannot hold two digests for one slot
        " PRIMARY KEY (network_id, epoch, slot_id)"
        ") STRICT, WITHOUT ROWID",
        "CREATE TRIGGER signed_is_never_changed BEFORE UPDATE ON signed"
        " BEGIN SELECT RAISE(ABORT, 'a signed slot is never changed'); END",
        "CREATE TRIGGER signed_is_never_removed BEFORE DELETE ON signed"
        " BEGIN SELECT RAISE(ABORT, 'a signed slot is never removed'); END",
        "CREATE TRIGGER signer_is_never_changed BEFORE UPDATE ON signer"
        " BEGIN SELECT RAISE(ABORT, 'a journal never changes its key'); END",
    ),
)


class Entry(Enum):
    """What recording found: a new slot, or the very alert that was recorded before."""

    NEW = "new"
    SAME = "same"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatistics:
    """Since the journal was opened."""

    recorded: int
    repeated: int
    refused: int


class Journal:
    """An open journal of one key. Obtained from `create_journal` or `open_journal`."""

    def __init__(self, store: Store, public_key: PublicKey) -> None:
        self._store = store
        self.public_key = public_key
        self._recorded = self._repeated = self._refused = 0

    async def record(self, digest: Digest, *, network_id: NetworkId, epoch: Epoch, slot_id: SlotId) -> Entry:
        """Allow this digest for its slot, durably: when this returns, no other can ever be allowed.

        Raises `Refused` (SLOT_ALREADY_SIGNED) when the slot holds another digest, and `Broken` when the disk
        does not take the row; in both cases nothing may be signed.
        """
        try:
            entry = await self._store.transact(
                lambda connection: _record(
                    connection, digest, network_id=network_id, epoch=epoch, slot_id=slot_id
                )
            )
        except Refused:
            self._refused += 1
            raise
        if entry is Entry.NEW:
            self._recorded += 1
        else:
            self._repeated += 1
        return entry

    def statistics(self) -> JournalStatistics:
        return JournalStatistics(recorded=self._recorded, repeated=self._repeated, refused=self._refused)


@asynccontextmanager
async def create_journal(path: Path, public_key: PublicKey) -> AsyncIterator[Journal]:
    """A new journal, for a key that has never signed. Raises `Refused` (STORE_EXISTS)."""
    async with create_store(path, JOURNAL_SCHEMA) as store:
        await store.transact(lambda connection: _bind(connection, public_key))
        yield Journal(store, public_key)


@asynccontextmanager
async def open_journal(path: Path, public_key: PublicKey) -> AsyncIterator[Journal]:
    """The journal of this key. A missing one is refused, not created: the key may have signed before.

    Raises `Refused`: STORE_MISSING, STORE_LOCKED, STORE_CORRUPT, STORE_FOREIGN, or WRONG_KEY.
    """
    async with open_store(path, JOURNAL_SCHEMA) as store:
        await store.transact(lambda connection: _require_key(connection, path, public_key))
        yield Journal(store, public_key)


def _record(
    connection: sqlite3.Connection, digest: Digest, *, network_id: NetworkId, epoch: Epoch, slot_id: SlotId
) -> Entry:
    row = connection.execute(
        "SELECT digest FROM signed WHERE network_id = ? AND epoch = ? AND slot_id = ?",
        (network_id, epoch, slot_id),
    ).fetchone()
    if row is not None:
        if row[0] == digest:
            return Entry.SAME
        raise Refused(
            Reason.SLOT_ALREADY_SIGNED,
            f"slot 0x{slot_id.hex()} of epoch {epoch} holds digest 0x{row[0].hex()}, came 0x{digest.hex()}; "
            "a second signature would be slashed. Find out why this node sees two versions of one block",
        )
    connection.execute("INSERT INTO signed VALUES (?, ?, ?, ?)", (network_id, epoch, slot_id, digest))
    return Entry.NEW


def _bind(connection: sqlite3.Connection, public_key: PublicKey) -> None:
    connection.execute("INSERT INTO signer VALUES (1, ?)", (public_key.to_bytes(),))


def _require_key(connection: sqlite3.Connection, path: Path, public_key: PublicKey) -> None:
    row = connection.execute("SELECT public_key FROM signer").fetchone()
    if row is None:
        raise Refused(
            Reason.STORE_CORRUPT,
            f"{path} names no key: its creation was cut short, and nothing was signed with it. Remove it and "
            "create the journal again",
        )
    if row[0] != public_key.to_bytes():
        raise Refused(
            Reason.WRONG_KEY,
            f"{path} is the journal of key {row[0].hex()[:16]}…, the keystore holds "
            f"{public_key.to_bytes().hex()[:16]}…; point to the journal of this key",
        )
