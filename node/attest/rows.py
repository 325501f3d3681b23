"""The journal's tables, and what is done with them over an open connection: SQL stands here and nowhere else.

Rows are only ever added. Each has a place, counted over both tables, and a seal over itself and all rows
before it, so that a row which was lost, changed or put in by hand is found.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from consensus.alert import Slot
from consensus.bls import PublicKey
from consensus.types import (
    BlockHash,
    BlockNumber,
    ChainId,
    Digest,
    Epoch,
    NetworkId,
    PolicyHash,
    RuleId,
    SlotId,
)
from node.store import Schema

NO_SEAL: Final = bytes(32)
"""What the first row's seal continues."""

_SIGNED: Final = (
    "CREATE TABLE signed ("
    " sequence INTEGER PRIMARY KEY,"
    " network_id BLOB NOT NULL CHECK (length(network_id) = 32),"
    " epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),"
    " slot_id BLOB NOT NULL CHECK (length(slot_id) = 32),"
    " digest BLOB NOT NULL CHECK (length(digest) = 32),"
    # what the slot id is made of; null in rows of the first version. Numbers of 64 bits are 8 bytes,
    # big-endian: SQLite's own integers are signed
    " policy_hash BLOB CHECK (length(policy_hash) = 32),"
    " rule_id BLOB CHECK (length(rule_id) = 32),"
    " source_chain_id BLOB CHECK (length(source_chain_id) = 8),"
    " anchor_number BLOB CHECK (length(anchor_number) = 8),"
    " anchor_hash BLOB CHECK (length(anchor_hash) = 32),"
    " subject BLOB CHECK (length(subject) = 32),"
    " seal BLOB NOT NULL CHECK (length(seal) = 32),"
    # the second guard: even a journal that forgot to look cannot hold two digests for one slot
    " UNIQUE (network_id, epoch, slot_id)"
    ") STRICT"
)
_HANDED_OVER: Final = (
    "CREATE TABLE handed_over ("
    " sequence INTEGER PRIMARY KEY,"
    " network_id BLOB NOT NULL CHECK (length(network_id) = 32),"
    " epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),"
    " digest BLOB NOT NULL CHECK (length(digest) = 32),"
    " seal BLOB NOT NULL CHECK (length(seal) = 32),"
    " UNIQUE (network_id, epoch)"
    ") STRICT"
)
_WATERMARKS: Final = (
    "CREATE TABLE watermark ("
    " source_chain_id BLOB PRIMARY KEY CHECK (length(source_chain_id) = 8),"
    " anchor_number BLOB NOT NULL CHECK (length(anchor_number) = 8),"
    # the arming for which the watcher's head has been taken in
    " arming INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID"
)
_ARMED: Final = "CREATE TABLE armed ( arming INTEGER PRIMARY KEY, cause TEXT NOT NULL) STRICT"
_NEVERS: Final = (
    *(
        f"CREATE TRIGGER {table}_is_never_{what} BEFORE {event} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{told}'); END"
        for table, told_of in (("signed", "signed slot"), ("handed_over", "signed handover"))
        for event, what, told in (
            ("UPDATE", "changed", f"a {told_of} is never changed"),
            ("DELETE", "removed", f"a {told_of} is never removed"),
        )
    ),
    "CREATE TRIGGER watermark_never_falls BEFORE UPDATE ON watermark"
    " WHEN new.anchor_number < old.anchor_number OR new.source_chain_id <> old.source_chain_id"
    " BEGIN SELECT RAISE(ABORT, 'a watermark never falls'); END",
    "CREATE TRIGGER watermark_is_never_removed BEFORE DELETE ON watermark"
    " BEGIN SELECT RAISE(ABORT, 'a watermark is never removed'); END",
    "CREATE TRIGGER armed_is_never_removed BEFORE DELETE ON armed"
    " BEGIN SELECT RAISE(ABORT, 'a journal is never disarmed'); END",
)
_SIGNER: Final = (
    "CREATE TABLE signer ("
    " singleton INTEGER PRIMARY KEY CHECK (singleton = 1),"
    " public_key BLOB NOT NULL CHECK (length(public_key) = 192)"
    ") STRICT",
    "CREATE TRIGGER signer_is_never_changed BEFORE UPDATE ON signer"
    " BEGIN SELECT RAISE(ABORT, 'a journal never changes its key'); END",
)


class Row(NamedTuple):
    """One row of either table, in the order in which it was written.

    `slot_id` is None for a handover; `slot` is as well, and in rows that are older than its fields.
    """

    network_id: NetworkId
    epoch: Epoch
    digest: Digest
    slot_id: SlotId | None
    slot: Slot | None

    def seal_after(self, seal: bytes) -> bytes:
        """The seal over this row and all before it, whose seal is given: SHA-256."""
        purpose = b"handover" if self.slot_id is None else b"alert"
        fields = (
            seal,
            purpose,
            self.network_id,
            self.epoch.to_bytes(4, "big"),
            self.digest,
            self.slot_id or b"",
        )
        return hashlib.sha256(b"".join(fields)).digest()


class SealedRow(NamedTuple):
    """A row with its place and the seal that the journal holds for it."""

    sequence: int
    row: Row
    seal: bytes


def digest_of(connection: sqlite3.Connection, row: Row) -> bytes | None:
    """What this slot, or this epoch's handover, holds."""
    if row.slot_id is None:
        found = connection.execute(
            "SELECT digest FROM handed_over WHERE network_id = ? AND epoch = ?", (row.network_id, row.epoch)
        )
    else:
        found = connection.execute(
            "SELECT digest FROM signed WHERE network_id = ? AND epoch = ? AND slot_id = ?",
            (row.network_id, row.epoch, row.slot_id),
        )
    held = found.fetchone()
    return None if held is None else bytes(held[0])


def append(connection: sqlite3.Connection, row: Row) -> tuple[int, bytes]:
    """Write the row behind all others; its place and its seal."""
    rows, last = last_row(connection)
    sequence, seal = rows + 1, row.seal_after(last)
    if row.slot_id is None:
        connection.execute(
            "INSERT INTO handed_over VALUES (?, ?, ?, ?, ?)",
            (sequence, row.network_id, row.epoch, row.digest, seal),
        )
    else:
        connection.execute(
            "INSERT INTO signed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sequence, row.network_id, row.epoch, row.slot_id, row.digest, *_columns(row.slot), seal),
        )
    return sequence, seal


def last_row(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """How many rows there are, and the seal over all of them."""
    found = connection.execute(
        "SELECT sequence, seal FROM (SELECT sequence, seal FROM signed UNION ALL"
        " SELECT sequence, seal FROM handed_over) ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return (0, NO_SEAL) if found is None else (int(found[0]), bytes(found[1]))


def _columns(slot: Slot | None) -> tuple[bytes | None, ...]:
    if slot is None:
        return (None,) * 6
    return (
        slot.policy_hash,
        slot.rule_id,
        _word(slot.source_chain_id),
        _word(slot.anchor_number),
        slot.anchor_hash,
        slot.subject,
    )


def _word(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


# --- the watermark


def watermark_of(connection: sqlite3.Connection, chain_id: ChainId, since: BlockNumber) -> BlockNumber | None:
    """The chain's watermark, which takes in the watcher's first head once for each arming; None: unarmed."""
    arming = arming_of(connection)
    if arming == 0:
        return None
    found = connection.execute(
        "SELECT anchor_number, arming FROM watermark WHERE source_chain_id = ?", (_word(chain_id),)
    ).fetchone()
    if found is not None and found[1] == arming:
        return BlockNumber(_number(found[0]))
    watermark = BlockNumber(max(since, 0 if found is None else _number(found[0])))
    raise_watermark(connection, chain_id, watermark, arming=arming)
    return watermark


def raise_watermark(
    connection: sqlite3.Connection, chain_id: ChainId, number: BlockNumber, *, arming: int
) -> None:
    """The higher of both; `arming` is the one for which the watcher's head is in it."""
    connection.execute(
        "INSERT INTO watermark VALUES (?, ?, ?) ON CONFLICT (source_chain_id) DO UPDATE"
        " SET anchor_number = max(anchor_number, excluded.anchor_number), arming = excluded.arming",
        (_word(chain_id), _word(number), arming),
    )


def highest_signed(connection: sqlite3.Connection) -> dict[ChainId, BlockNumber]:
    """The highest block of each chain that a row names."""
    rows = connection.execute(
        "SELECT source_chain_id, max(anchor_number) FROM signed WHERE source_chain_id IS NOT NULL"
        " GROUP BY source_chain_id"
    )
    return {ChainId(_number(chain_id)): BlockNumber(_number(number)) for chain_id, number in rows}


def arm(connection: sqlite3.Connection, cause: str) -> None:
    """From now on nothing new at or below the highest blocks that the rows name, nor below the next head."""
    arming = arming_of(connection)
    for chain_id, number in highest_signed(connection).items():
        raise_watermark(connection, chain_id, number, arming=arming)
    connection.execute("INSERT INTO armed VALUES (?, ?)", (arming + 1, cause))


def arming_of(connection: sqlite3.Connection) -> int:
    """How often the journal was armed."""
    return int(connection.execute("SELECT coalesce(max(arming), 0) FROM armed").fetchone()[0])


def causes_of(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Why the journal is armed, oldest first."""
    return tuple(row[0] for row in connection.execute("SELECT cause FROM armed ORDER BY arming"))


def watermarks_of(connection: sqlite3.Connection) -> dict[ChainId, BlockNumber]:
    """The block of each chain at or below which nothing new is signed, by chain id."""
    rows = connection.execute("SELECT source_chain_id, anchor_number FROM watermark ORDER BY source_chain_id")
    return {ChainId(_number(chain_id)): BlockNumber(_number(number)) for chain_id, number in rows}


def seal_at(connection: sqlite3.Connection, sequence: int) -> bytes:
    """The seal of the row in this place; that of no row where it is empty."""
    found = connection.execute(
        "SELECT seal FROM signed WHERE sequence = ? UNION ALL"
        " SELECT seal FROM handed_over WHERE sequence = ?",
        (sequence, sequence),
    ).fetchone()
    return NO_SEAL if found is None else bytes(found[0])


# --- the file


def rows_of(connection: sqlite3.Connection) -> Iterator[SealedRow]:
    """Every row of both tables, in the order in which they were written. Raises Refused for a bad slot."""
    found = connection.execute(
        "SELECT sequence, network_id, epoch, slot_id, digest, policy_hash, rule_id, source_chain_id,"
        " anchor_number, anchor_hash, subject, seal FROM signed UNION ALL"
        " SELECT sequence, network_id, epoch, NULL, digest, NULL, NULL, NULL, NULL, NULL, NULL, seal"
        " FROM handed_over ORDER BY sequence"
    )
    for sequence, network_id, epoch, slot_id, digest, *fields, seal in found:
        row = Row(
            network_id=NetworkId(network_id),
            epoch=Epoch(epoch),
            digest=Digest(digest),
            slot_id=None if slot_id is None else SlotId(slot_id),
            slot=_slot_of(fields),
        )
        yield SealedRow(sequence, row, bytes(seal))


def _slot_of(fields: list[bytes | None]) -> Slot | None:
    policy_hash, rule_id, source_chain_id, anchor_number, anchor_hash, subject = fields
    if (
        policy_hash is None
        or rule_id is None
        or source_chain_id is None
        or anchor_number is None
        or anchor_hash is None
        or subject is None
    ):
        return None
    return Slot(
        policy_hash=PolicyHash(policy_hash),
        rule_id=RuleId(rule_id),
        source_chain_id=ChainId(_number(source_chain_id)),
        anchor_number=BlockNumber(_number(anchor_number)),
        anchor_hash=BlockHash(anchor_hash),
        subject=subject,
    )


def bind(connection: sqlite3.Connection, public_key: PublicKey) -> None:
    """Say whose journal this is, once."""
    connection.execute("INSERT INTO signer VALUES (1, ?)", (public_key.to_bytes(),))


def _upgrade(connection: sqlite3.Connection) -> None:
    """From version 1, which kept a slot's id alone: its rows stay, and get their seals."""
    connection.execute("ALTER TABLE signed RENAME TO signed_before")
    for name in ("signed_is_never_changed", "signed_is_never_removed"):
        connection.execute(f"DROP TRIGGER {name}")
    for statement in (_SIGNED, _HANDED_OVER, _WATERMARKS, _ARMED, *_NEVERS):
        connection.execute(statement)
    before = connection.execute(
        "SELECT network_id, epoch, slot_id, digest FROM signed_before ORDER BY network_id, epoch, slot_id"
    ).fetchall()
    for network_id, epoch, slot_id, digest in before:
        append(connection, Row(network_id, epoch, digest, slot_id=slot_id, slot=None))
    connection.execute("DROP TABLE signed_before")


JOURNAL_SCHEMA: Final = Schema(
    name="signing journal",
    application_id=0x544F434A,  # "TOCJ"
    version=2,
    statements=(*_SIGNER, _SIGNED, _HANDED_OVER, _WATERMARKS, _ARMED, *_NEVERS),
    upgrade=_upgrade,
)
