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

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import trio

from consensus.alert import Slot
from consensus.bls import PublicKey
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber, ChainId, Digest, Epoch, NetworkId
from node.attest.mark import MarkFile
from node.attest.rows import (
    JOURNAL_SCHEMA,
    Row,
    append,
    arm,
    bind,
    causes_of,
    digest_of,
    last_row,
    seal_at,
    watermark_of,
    watermarks_of,
)
from node.store import Store, create_store, open_store


class Entry(Enum):
    """What recording found: a new slot, or the very thing that was recorded before."""

    NEW = "new"
    SAME = "same"


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
            held = digest_of(connection, row)
            if held is None:
                place = append(connection, row)  # first: the watermark is to take it in
                arm(connection, "this key has signed what the journal did not hold")
                return Entry.NEW, *place
            if held != digest:
                arm(connection, "this key has signed something else for a slot that the journal holds")
                return held, 0, b""
            return Entry.SAME, 0, b""

        outcome, sequence, seal = await self._store.transact(take_in)
        if isinstance(outcome, bytes):
            raise already_signed(row, outcome)
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
        return await self._store.transact(causes_of)

    async def watermarks(self) -> dict[ChainId, BlockNumber]:
        """The block of each source chain at or below which nothing new is signed."""
        return await self._store.transact(watermarks_of)

    async def _settle_at_home(self, *, is_new: bool) -> None:
        """Compare the mark with the journal, arm the journal where they differ, and write the mark anew."""

        def look(connection: sqlite3.Connection) -> tuple[int, bytes]:
            rows, seal = last_row(connection)
            doubt = None if is_new else find_doubt(connection, self._mark, rows=rows, seal=seal)
            if doubt is not None:
                arm(connection, doubt)
            return rows, seal

        rows, seal = await self._store.transact(look)
        await self._remark(rows, seal)


@asynccontextmanager
async def create_journal(path: Path, public_key: PublicKey) -> AsyncIterator[Journal]:
    """A new journal, for a key that has never signed. Raises `Refused` (STORE_EXISTS)."""
    async with create_store(path, JOURNAL_SCHEMA) as store:
        await store.transact(lambda connection: bind(connection, public_key))
        journal = Journal(store, public_key, MarkFile(journal=path))
        await journal._settle_at_home(is_new=True)
        yield journal


@asynccontextmanager
async def open_journal(path: Path, public_key: PublicKey) -> AsyncIterator[Journal]:
    """The journal of this key.

    A missing one is refused, not created: the key may have signed before. One that the mark beside it
    contradicts is armed. Raises `Refused`: STORE_MISSING, STORE_LOCKED, STORE_CORRUPT, STORE_FOREIGN, or
    WRONG_KEY.
    """
    async with open_store(path, JOURNAL_SCHEMA) as store:
        await store.transact(lambda connection: require_key(connection, path, public_key))
        journal = Journal(store, public_key, MarkFile(journal=path))
        await journal._settle_at_home(is_new=False)
        yield journal


def _record(
    connection: sqlite3.Connection, row: Row, *, since: BlockNumber | None
) -> tuple[Entry, int, bytes] | Refused:
    """The row's place, or why it gets none: returned, so that a watermark that was raised stays so."""
    held = digest_of(connection, row)
    if held is not None:
        return (Entry.SAME, 0, b"") if held == row.digest else already_signed(row, held)
    if row.slot is not None and since is not None:
        watermark = watermark_of(connection, row.slot.source_chain_id, since)
        if watermark is not None and row.slot.anchor_number <= watermark:
            return _below_watermark(row.slot, watermark, causes_of(connection)[-1])
    return Entry.NEW, *append(connection, row)


def find_doubt(connection: sqlite3.Connection, file: MarkFile, *, rows: int, seal: bytes) -> str | None:
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
    if seal_at(connection, mark.rows).hex() != mark.seal:
        return f"row {mark.rows} is not the one that the mark speaks of"
    return None


@asynccontextmanager
async def inspect_journal(path: Path) -> AsyncIterator[Store]:
    """The database of a journal whose watcher is stopped, of whatever key: to look after, never to sign by.

    Raises `Refused` as `open_journal` does, but for the key.
    """
    async with open_store(path, JOURNAL_SCHEMA) as store:
        yield store


def require_key(connection: sqlite3.Connection, path: Path, public_key: PublicKey | None = None) -> PublicKey:
    """The key that the journal belongs to: this one, where one is named. Raises `Refused`."""
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


# --- refusals


def already_signed(row: Row, held: bytes) -> Refused:
    """What a slot or an epoch that holds another digest is refused with."""
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
