"""Is this journal whole, row by row, and is it the one that was last used here?

It looks and changes nothing. What it cannot know is whether another copy of the key has signed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.bls import PublicKey
from consensus.errors import Refused
from consensus.types import BlockNumber, ChainId
from node.attest.journal import find_doubt, inspect_journal, require_key
from node.attest.mark import MarkFile
from node.attest.rows import NO_SEAL, SealedRow, causes_of, highest_signed, last_row, rows_of, watermarks_of

MAX_FINDINGS: Final = 20
"""More say nothing new: the file is not to be used."""

_RESTORE: Final = (
    "keep the file for inspection, and import an export made after the last signature into a new one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong with the journal, and what to do about it."""

    what: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What a journal holds. `faults` mean that it must not be used; `notes` that it is careful, and why."""

    public_key: PublicKey
    rows: int
    handovers: int
    highest: dict[ChainId, BlockNumber]
    watermarks: dict[ChainId, BlockNumber]
    faults: tuple[Finding, ...]
    notes: tuple[Finding, ...]


async def check_journal(path: Path) -> Checkup:
    """Look through the journal of a stopped watcher. Raises `Refused` as `open_journal` does."""
    async with inspect_journal(path) as store:
        return await store.transact(lambda connection: _check(connection, path))


def _check(connection: sqlite3.Connection, path: Path) -> Checkup:
    handovers, faults, seal, expected = 0, list[Finding](), NO_SEAL, 0
    try:
        for each in rows_of(connection):
            expected += 1
            faults += _faults_of(each, expected=expected, seal=seal)
            seal, expected = each.seal, each.sequence
            handovers += each.row.slot_id is None
            if len(faults) >= MAX_FINDINGS:
                break
    except Refused as refused:
        faults.append(Finding(what=f"row {expected} cannot be read: {refused.message}", do=_RESTORE))
    rows, last = last_row(connection)
    return Checkup(
        public_key=require_key(connection, path),
        rows=rows,
        handovers=handovers,
        highest=highest_signed(connection),
        watermarks=watermarks_of(connection),
        faults=tuple(faults[:MAX_FINDINGS]),
        notes=tuple(_notes(connection, path, rows=rows, seal=last)),
    )


def _faults_of(each: SealedRow, *, expected: int, seal: bytes) -> list[Finding]:
    found = []
    if each.sequence != expected:
        missing = (
            f"row {expected} is missing"
            if each.sequence > expected
            else f"row {each.sequence} is there twice"
        )
        found.append(Finding(what=missing, do=_RESTORE))
    elif each.row.seal_after(seal) != each.seal:
        found.append(
            Finding(
                what=f"row {each.sequence} or one before it was changed: its seal is another", do=_RESTORE
            )
        )
    slot = each.row.slot
    if slot is not None and slot.id() != each.row.slot_id:
        found.append(
            Finding(what=f"row {each.sequence} has a slot id that is not that of its fields", do=_RESTORE)
        )
    return found


def _notes(connection: sqlite3.Connection, path: Path, *, rows: int, seal: bytes) -> list[Finding]:
    notes = [
        Finding(
            what=f"it is armed: {cause}",
            do="nothing: new blocks are signed, older ones up to the watermark are not",
        )
        for cause in causes_of(connection)
    ]
    doubt = find_doubt(connection, MarkFile(journal=path), rows=rows, seal=seal)
    if doubt is not None:
        notes.append(
            Finding(
                what=f"this may not be the journal that was last used here: {doubt}",
                do="use the newest one if there is another; the next start arms this one",
            )
        )
    return notes
