"""One row for each slot that this key has signed, and each handover: on the disk before the signature exists.

The journal is what makes two signatures for one slot impossible across crashes and restarts. It belongs to
one public key, and only ever grows: the database itself refuses to change or remove a row. Each row carries a
seal over itself and all rows before it.

A journal that was moved, imported into, restored from a copy, or contradicted by a signature of its own key
is *armed*: it may lack rows, so nothing new is signed at or below the watermark of a source chain any more.
The watermark is the highest block that its rows name, and where it is higher, the head that the watcher began
with; both only rise. In normal running there is none, and a late signature for an older block is fine.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import trio

from consensus.alert import Slot
from consensus.bls import PublicKey
from consensus.errors import Reason, Refused
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
from node.attest.mark import MarkFile
from node.store import Schema, Store, create_store, open_store

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


class Entry(Enum):
    """What recording found: a new slot, or the very thing that was recorded before."""

    NEW = "new"
    SAME = "same"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatistics:
    """Since the journal was opened; `rows` in all its life."""

    rows: int
    recorded: int
    repeated: int
    refused: int
    unmarked: int
    """Rows after which the mark beside the journal could not be written."""


class Journal:
    """An open journal of one key. Obtained from `create_journal` or `open_journal`."""

    def __init__(self, store: Store, public_key: PublicKey, mark: MarkFile) -> None:
        self._store = store
        self._mark = mark
        self.public_key = public_key
        self._recorded = self._repeated = self._refused = self._unmarked = self._rows = 0

    async def record(
        self, digest: Digest, *, network_id: NetworkId, epoch: Epoch, slot: Slot, since: BlockNumber
    ) -> Entry:
        """Allow this digest for its slot, durably: when this returns, no other can ever be allowed.

        `since` is the head of the slot's chain with which the watcher began. Raises `Refused`
        (SLOT_ALREADY_SIGNED) when the slot holds another digest, `Refused` (BELOW_WATERMARK) when the journal
        is armed and the slot is new and not above its chain's watermark, `Unavailable` when the disk has no
        space, and `Broken` when it does not take the row for another reason. Nothing may be signed then.
        """
        row = Row(network_id=network_id, epoch=epoch, digest=digest, slot_id=slot.id(), slot=slot)
        return await self._enter(row, since=since)

    async def record_handover(self, digest: Digest, *, network_id: NetworkId, epoch: Epoch) -> Entry:
        """Allow this handover as the only one of its epoch, durably. Raises as `record` does, with
        HANDOVER_ALREADY_SIGNED."""
        return await self._enter(Row(network_id, epoch, digest, slot_id=None, slot=None), since=None)

    async def adopt(self, digest: Digest, *, network_id: NetworkId, epoch: Epoch, slot: Slot) -> Entry:
        """Take in what this key has signed and the journal may not know of.

        SAME when it does. NEW when it did not: the row is kept like one of our own and the journal is armed,
        for who signs with this key elsewhere may have signed more. Raises `Refused` (SLOT_ALREADY_SIGNED)
        when the slot holds another digest: then the key has signed twice, and the journal is armed as well.
        """
        row = Row(network_id=network_id, epoch=epoch, digest=digest, slot_id=slot.id(), slot=slot)

        def take_in(connection: sqlite3.Connection) -> tuple[Entry | bytes, int, bytes]:
            held = _digest_of(connection, row)
            if held is None:
                place = _append(connection, row)  # first: the watermark is to take it in
                _arm(connection, "this key has signed what the journal did not hold")
                return Entry.NEW, *place
            if held != digest:
                _arm(connection, "this key has signed something else for a slot that the journal holds")
                return held, 0, b""
            return Entry.SAME, 0, b""

        outcome, sequence, seal = await self._store.transact(take_in)
        if isinstance(outcome, bytes):
            raise _already_signed(row, outcome)
        if outcome is Entry.NEW:
            await self._remark(sequence, seal)
        return outcome

    async def _enter(self, row: Row, *, since: BlockNumber | None) -> Entry:
        outcome = await self._store.transact(lambda connection: _record(connection, row, since=since))
        if isinstance(outcome, Refused):
            self._refused += 1
            raise outcome
        entry, sequence, seal = outcome
        if entry is Entry.NEW:
            self._recorded += 1
            await self._remark(sequence, seal)
        else:
            self._repeated += 1
        return entry

    async def _remark(self, rows: int, seal: bytes) -> None:
        """Only now, when the row is on the disk: a mark ahead of its journal would call it an old copy."""
        self._rows = rows
        try:
            await trio.to_thread.run_sync(lambda: self._mark.write(self._mark.here(rows, seal)))
        except OSError:
            self._unmarked += 1

    def statistics(self) -> JournalStatistics:
        return JournalStatistics(
            rows=self._rows,
            recorded=self._recorded,
            repeated=self._repeated,
            refused=self._refused,
            unmarked=self._unmarked,
        )

    async def causes(self) -> tuple[str, ...]:
        """Why the journal is armed, oldest first; empty where it is not."""
        return await self._store.transact(_causes)

    async def watermarks(self) -> dict[ChainId, BlockNumber]:
        """The block of each source chain at or below which nothing new is signed."""
        return await self._store.transact(_watermarks)

    async def _settle_at_home(self, *, is_new: bool) -> None:
        """Compare the mark with the journal, arm the journal where they differ, and write the mark anew."""

        def look(connection: sqlite3.Connection) -> tuple[int, bytes]:
            rows, seal = _last(connection)
            doubt = None if is_new else _doubt(connection, self._mark, rows=rows, seal=seal)
            if doubt is not None:
                _arm(connection, doubt)
            return rows, seal

        rows, seal = await self._store.transact(look)
        await self._remark(rows, seal)


@asynccontextmanager
async def create_journal(path: Path, public_key: PublicKey) -> AsyncIterator[Journal]:
    """A new journal, for a key that has never signed. Raises `Refused` (STORE_EXISTS)."""
    async with create_store(path, JOURNAL_SCHEMA) as store:
        await store.transact(lambda connection: _bind(connection, public_key))
        journal = Journal(store, public_key, MarkFile(journal=path))
        await journal._settle_at_home(is_new=True)
        yield journal


@asynccontextmanager
async def open_journal(path: Path, public_key: PublicKey | None = None) -> AsyncIterator[Journal]:
    """The journal of this key; of any, where none is named, for who only looks after the file.

    A missing one is refused, not created: the key may have signed before. One that the mark beside it
    contradicts is armed. Raises `Refused`: STORE_MISSING, STORE_LOCKED, STORE_CORRUPT, STORE_FOREIGN, or
    WRONG_KEY.
    """
    async with open_store(path, JOURNAL_SCHEMA) as store:
        bound = await store.transact(lambda connection: _require_key(connection, path, public_key))
        journal = Journal(store, bound, MarkFile(journal=path))
        await journal._settle_at_home(is_new=False)
        yield journal


def _record(
    connection: sqlite3.Connection, row: Row, *, since: BlockNumber | None
) -> tuple[Entry, int, bytes] | Refused:
    """The row's place, or why it gets none: returned, so that a watermark that was raised stays so."""
    held = _digest_of(connection, row)
    if held is not None:
        return (Entry.SAME, 0, b"") if held == row.digest else _already_signed(row, held)
    if row.slot is not None and since is not None:
        watermark = _watermark_of(connection, row.slot.source_chain_id, since)
        if watermark is not None and row.slot.anchor_number <= watermark:
            return _below_watermark(row.slot, watermark, _causes(connection)[-1])
    return Entry.NEW, *_append(connection, row)


def _digest_of(connection: sqlite3.Connection, row: Row) -> bytes | None:
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


def _append(connection: sqlite3.Connection, row: Row) -> tuple[int, bytes]:
    """Write the row behind all others; its place and its seal."""
    rows, last = _last(connection)
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


def _last(connection: sqlite3.Connection) -> tuple[int, bytes]:
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


def _watermark_of(
    connection: sqlite3.Connection, chain_id: ChainId, since: BlockNumber
) -> BlockNumber | None:
    """The chain's watermark, which takes in the watcher's first head once for each arming; None: unarmed."""
    arming = _arming(connection)
    if arming == 0:
        return None
    found = connection.execute(
        "SELECT anchor_number, arming FROM watermark WHERE source_chain_id = ?", (_word(chain_id),)
    ).fetchone()
    if found is not None and found[1] == arming:
        return BlockNumber(_number(found[0]))
    watermark = BlockNumber(max(since, 0 if found is None else _number(found[0])))
    _set_watermark(connection, chain_id, watermark, arming=arming)
    return watermark


def _set_watermark(
    connection: sqlite3.Connection, chain_id: ChainId, number: BlockNumber, *, arming: int
) -> None:
    connection.execute(
        "INSERT INTO watermark VALUES (?, ?, ?) ON CONFLICT (source_chain_id) DO UPDATE"
        " SET anchor_number = max(anchor_number, excluded.anchor_number), arming = excluded.arming",
        (_word(chain_id), _word(number), arming),
    )


def _arm(connection: sqlite3.Connection, cause: str) -> None:
    """From now on nothing new at or below the highest blocks that the rows name, nor below the next head."""
    arming = _arming(connection)
    highest = connection.execute(
        "SELECT source_chain_id, max(anchor_number) FROM signed WHERE source_chain_id IS NOT NULL"
        " GROUP BY source_chain_id"
    ).fetchall()
    for chain_id, number in highest:
        _set_watermark(connection, ChainId(_number(chain_id)), BlockNumber(_number(number)), arming=arming)
    connection.execute("INSERT INTO armed VALUES (?, ?)", (arming + 1, cause))


def _arming(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(arming), 0) FROM armed").fetchone()[0])


def _causes(connection: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute("SELECT cause FROM armed ORDER BY arming"))


def _watermarks(connection: sqlite3.Connection) -> dict[ChainId, BlockNumber]:
    rows = connection.execute("SELECT source_chain_id, anchor_number FROM watermark ORDER BY source_chain_id")
    return {ChainId(_number(chain_id)): BlockNumber(_number(number)) for chain_id, number in rows}


def _doubt(connection: sqlite3.Connection, file: MarkFile, *, rows: int, seal: bytes) -> str | None:
    """Why this may not be the journal that was last used here."""
    mark, here = file.read(), file.here(rows, seal)
    if mark is None:
        return "no mark stands beside the journal"
    if mark.machine != here.machine:
        return "the mark was written on another machine"
    if mark.inode != here.inode:
        return "the mark was written beside another file"
    if mark.rows > rows:
        return f"the mark speaks of {mark.rows} rows, the journal has {rows}: it is an old copy"
    if _seal_at(connection, mark.rows).hex() != mark.seal:
        return f"row {mark.rows} is not the one that the mark speaks of"
    return None


def _seal_at(connection: sqlite3.Connection, sequence: int) -> bytes:
    found = connection.execute(
        "SELECT seal FROM signed WHERE sequence = ? UNION ALL"
        " SELECT seal FROM handed_over WHERE sequence = ?",
        (sequence, sequence),
    ).fetchone()
    return NO_SEAL if found is None else bytes(found[0])


# --- the file


def _rows(connection: sqlite3.Connection) -> Iterator[SealedRow]:
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


def _bind(connection: sqlite3.Connection, public_key: PublicKey) -> None:
    connection.execute("INSERT INTO signer VALUES (1, ?)", (public_key.to_bytes(),))


def _require_key(connection: sqlite3.Connection, path: Path, public_key: PublicKey | None) -> PublicKey:
    row = connection.execute("SELECT public_key FROM signer").fetchone()
    if row is None:
        raise Refused(
            Reason.STORE_CORRUPT,
            f"{path} names no key: its creation was cut short, and nothing was signed with it. Remove it and "
            "create the journal again",
        )
    if public_key is None:
        return PublicKey(row[0])
    if row[0] != public_key.to_bytes():
        raise Refused(
            Reason.WRONG_KEY,
            f"{path} is the journal of key {row[0].hex()[:16]}…, the keystore holds "
            f"{public_key.to_bytes().hex()[:16]}…; point to the journal of this key",
        )
    return public_key


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
        _append(connection, Row(network_id, epoch, digest, slot_id=slot_id, slot=None))
    connection.execute("DROP TABLE signed_before")


JOURNAL_SCHEMA: Final = Schema(
    name="signing journal",
    application_id=0x544F434A,  # "TOCJ"
    version=2,
    statements=(*_SIGNER, _SIGNED, _HANDED_OVER, _WATERMARKS, _ARMED, *_NEVERS),
    upgrade=_upgrade,
)


# --- refusals


def _already_signed(row: Row, held: bytes) -> Refused:
    if row.slot_id is None:
        return Refused(
            Reason.HANDOVER_ALREADY_SIGNED,
            f"epoch {row.epoch} was handed over by digest 0x{held.hex()}, came 0x{row.digest.hex()}; an "
            "epoch has one successor. Compare this node's view of the registry with another's",
        )
    return Refused(
        Reason.SLOT_ALREADY_SIGNED,
        f"slot 0x{row.slot_id.hex()} of epoch {row.epoch} holds digest 0x{held.hex()}, came "
        f"0x{row.digest.hex()}; a second signature would be slashed. Find out why this node sees two "
        "versions of one block",
    )


def _below_watermark(slot: Slot, watermark: BlockNumber, cause: str) -> Refused:
    return Refused(
        Reason.BELOW_WATERMARK,
        f"block {slot.anchor_number} of chain {slot.source_chain_id} is not above {watermark}, below which "
        f"this journal may lack rows ({cause}); later blocks are signed. Nothing needs to be done",
    )
