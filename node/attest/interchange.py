"""A journal as a text file: how a key moves to another machine, and a backup that can be read.

JSON lines, in this order: a header, every row in the order of the journal, a watermark for each source
chain, and an end with the count of rows and SHA-256 over every byte before it. Numbers of 64 bits are decimal
strings, bytes are hexadecimal with 0x; no key is left out and none is added. The same journal gives the same
bytes.

    {"kind":"header","format":"tocsin-journal","version":1,"public_key":"0x…","networks":["0x…"]}
    {"kind":"alert","network_id":"0x…","epoch":1,"slot_id":"0x…","digest":"0x…","slot":{…} or null}
    {"kind":"handover","network_id":"0x…","epoch":1,"digest":"0x…"}
    {"kind":"watermark","source_chain_id":"1","anchor_number":"4200"}
    {"kind":"end","rows":2,"sha256":"0x…"}

An import only adds: rows that are missing, and watermarks that are higher. It arms the journal, since no file
can show that it is the newest. Either all of it is taken or nothing.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Final, Literal

import msgspec
import trio

from consensus.alert import Slot
from consensus.bls import PublicKey
from consensus.errors import Reason, Refused, TocsinError
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
from node.attest.journal import already_signed, inspect_journal, require_key
from node.attest.mark import MarkFile
from node.attest.rows import (
    JOURNAL_SCHEMA,
    Row,
    append,
    arm,
    arming_of,
    bind,
    digest_of,
    highest_signed,
    last_row,
    raise_watermark,
    rows_of,
    watermarks_of,
)
from node.private_files import PRIVATE_FILE_MODE
from node.store import Store, create_store

FORMAT: Final = "tocsin-journal"
VERSION: Final = 1
MAX_LINE_BYTES: Final = 4_096
MAX_NETWORKS: Final = 32
IMPORT_CAUSE: Final = "rows were imported"

_Hex32 = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
_Hex192 = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{384}$")]
_Decimal = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,19})$")]
_Epoch = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """One line; the class names its kind."""


class _Header(_Line, frozen=True, tag="header"):
    format: Literal["tocsin-journal"]
    version: Literal[1]
    public_key: _Hex192
    networks: Annotated[list[_Hex32], msgspec.Meta(max_length=MAX_NETWORKS)]


class _Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy_hash: _Hex32
    rule_id: _Hex32
    source_chain_id: _Decimal
    anchor_number: _Decimal
    anchor_hash: _Hex32
    subject: _Hex32


class _Alert(_Line, frozen=True, tag="alert"):
    network_id: _Hex32
    epoch: _Epoch
    slot_id: _Hex32
    digest: _Hex32
    slot: _Slot | None


class _Handover(_Line, frozen=True, tag="handover"):
    network_id: _Hex32
    epoch: _Epoch
    digest: _Hex32


class _Watermark(_Line, frozen=True, tag="watermark"):
    source_chain_id: _Decimal
    anchor_number: _Decimal


class _End(_Line, frozen=True, tag="end"):
    rows: _Count
    sha256: _Hex32


_LINE: Final = msgspec.json.Decoder(_Header | _Alert | _Handover | _Watermark | _End)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    public_key: PublicKey
    rows: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was read: rows that were `added`, and rows that were `known` here."""

    public_key: PublicKey
    added: int
    known: int
    watermarks: dict[ChainId, BlockNumber]


async def export_journal(journal: Path, to: Path) -> Exported:
    """Write the journal of a stopped watcher to a new file, readable by its owner only.

    Raises `Refused`: STORE_EXISTS for `to`, STORE_LOCKED while the watcher runs, and as `open_journal` does.
    """
    async with inspect_journal(journal) as store:
        return await store.transact(lambda connection: _export(connection, journal, to))


async def import_journal(file: Path, journal: Path, *, create: bool = False) -> Imported:
    """Merge an exported file into the journal of a stopped watcher, which is armed by it.

    With `create` the journal is made first, for the key that the file names. Raises `Refused`:
    INTERCHANGE_INVALID, WRONG_KEY, SLOT_ALREADY_SIGNED and HANDOVER_ALREADY_SIGNED when the two contradict
    each other, STORE_EXISTS with `create`, and as `open_journal` does. Then nothing was taken in.
    """
    if not create:
        async with inspect_journal(journal) as store:
            return await _imported(store, lambda connection: _import(connection, journal, file))
    try:
        # the key and the rows in one transaction: a journal that names no key is opened by nobody
        async with create_store(journal, JOURNAL_SCHEMA) as store:
            return await _imported(store, lambda connection: _found(connection, journal, file))
    except TocsinError as error:
        if not (isinstance(error, Refused) and error.reason is Reason.STORE_EXISTS):
            await trio.to_thread.run_sync(_remove, journal)
        raise


async def _imported(store: Store, work: Callable[[sqlite3.Connection], Imported]) -> Imported:
    """Import, and leave a mark that knows of the rows; without one the journal is armed once more."""
    imported = await store.transact(work)
    rows, seal = await store.transact(last_row)
    mark = MarkFile(journal=store.path)
    with suppress(OSError):
        await trio.to_thread.run_sync(lambda: mark.write(mark.here(rows, seal)))
    return imported


# --- out


def _export(connection: sqlite3.Connection, journal: Path, to: Path) -> Exported:
    public_key = require_key(connection, journal)
    with _create(to) as file:
        digest, rows = hashlib.sha256(), 0
        for line in _lines(connection, public_key):
            encoded = msgspec.json.encode(line) + b"\n"
            digest.update(encoded)
            file.write(encoded)
            rows += isinstance(line, _Alert | _Handover)
        file.write(msgspec.json.encode(_End(rows=rows, sha256=_hex(digest.digest()))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return Exported(public_key=public_key, rows=rows, sha256=digest.digest())


def _create(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE), "wb")
    except FileExistsError:
        raise Refused(Reason.STORE_EXISTS, f"{path} exists and is not overwritten; name another") from None
    except OSError as error:
        raise Refused(Reason.STORE_MISSING, f"{path} cannot be created ({error.strerror})") from None


def _lines(connection: sqlite3.Connection, public_key: PublicKey) -> Iterator[_Line]:
    networks = connection.execute(
        "SELECT network_id FROM signed UNION SELECT network_id FROM handed_over ORDER BY network_id"
    ).fetchall()
    yield _Header(
        format=FORMAT,
        version=VERSION,
        public_key=_hex(public_key.to_bytes()),
        networks=[_hex(network_id) for (network_id,) in networks],
    )
    for each in rows_of(connection):
        yield _line_of(each.row)
    watermarks = watermarks_of(connection)
    for chain_id, number in highest_signed(connection).items():
        watermarks[chain_id] = max(number, watermarks.get(chain_id, number))
    for chain_id in sorted(watermarks):
        yield _Watermark(source_chain_id=str(chain_id), anchor_number=str(watermarks[chain_id]))


def _line_of(row: Row) -> _Line:
    if row.slot_id is None:
        return _Handover(network_id=_hex(row.network_id), epoch=row.epoch, digest=_hex(row.digest))
    slot = row.slot
    return _Alert(
        network_id=_hex(row.network_id),
        epoch=row.epoch,
        slot_id=_hex(row.slot_id),
        digest=_hex(row.digest),
        slot=None
        if slot is None
        else _Slot(
            policy_hash=_hex(slot.policy_hash),
            rule_id=_hex(slot.rule_id),
            source_chain_id=str(slot.source_chain_id),
            anchor_number=str(slot.anchor_number),
            anchor_hash=_hex(slot.anchor_hash),
            subject=_hex(slot.subject),
        ),
    )


# --- in


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _found(connection: sqlite3.Connection, journal: Path, file: Path) -> Imported:
    for line in _read(file):
        if isinstance(line, _Header):
            bind(connection, PublicKey(_bytes(line.public_key)))
        break
    return _import(connection, journal, file)


def _import(connection: sqlite3.Connection, journal: Path, file: Path) -> Imported:
    added = known = 0
    public_key: PublicKey | None = None
    for line in _read(file):
        if isinstance(line, _Header):
            public_key = require_key(connection, journal)
            _require_same_key(line, public_key, file=file, journal=journal)
        elif isinstance(line, _Watermark):
            raise_watermark(
                connection,
                ChainId(int(line.source_chain_id)),
                BlockNumber(int(line.anchor_number)),
                arming=arming_of(connection),
            )
        elif isinstance(line, _Alert | _Handover):
            if _merge(connection, _row_of(line)):
                added += 1
            else:
                known += 1
    if public_key is None:
        raise _invalid(file, "it has no header")
    arm(connection, IMPORT_CAUSE)
    return Imported(public_key=public_key, added=added, known=known, watermarks=watermarks_of(connection))


def _merge(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether the row was new. Raises Refused when the journal holds something else in its place."""
    held = digest_of(connection, row)
    if held is None:
        append(connection, row)
    elif held != row.digest:
        raise already_signed(row, held)
    return held is None


def _read(file: Path) -> Iterator[_Line]:
    """The file's lines, checked one by one; the hash, the count and the order at its end. Raises Refused."""
    digest, rows, ended = hashlib.sha256(), 0, False
    try:
        with file.open("rb") as source:
            for place, raw in enumerate(iter(lambda: source.readline(MAX_LINE_BYTES), b""), start=1):
                line = _parse(file, place, raw)
                if ended or isinstance(line, _Header) != (place == 1):
                    raise _invalid(file, f"line {place} is out of order")
                if isinstance(line, _End):
                    _require_whole(file, line, rows=rows, sha256=digest.digest())
                    ended = True
                digest.update(raw)
                rows += isinstance(line, _Alert | _Handover)
                yield line
    except OSError as error:
        raise _invalid(file, f"it cannot be read ({error.strerror})") from error
    if not ended:
        raise _invalid(file, "it has no end: the rest is missing")


def _parse(file: Path, place: int, raw: bytes) -> _Line:
    if not raw.endswith(b"\n"):
        raise _invalid(file, f"line {place} is cut off, or longer than {MAX_LINE_BYTES} bytes")
    try:
        line: _Line = _LINE.decode(raw)
        if isinstance(line, _Alert):
            _require_slot_id(file, place, line)
        if isinstance(line, _Watermark) and max(int(line.source_chain_id), int(line.anchor_number)) >= 2**64:
            raise _invalid(file, f"line {place} has a number of more than 64 bits")
    except msgspec.DecodeError as error:
        raise _invalid(file, f"line {place}: {error}") from error
    return line


def _require_slot_id(file: Path, place: int, line: _Alert) -> None:
    try:
        slot = _row_of(line).slot
    except Refused as error:
        raise _invalid(file, f"line {place}: {error.message}") from error
    if slot is not None and slot.id() != _bytes(line.slot_id):
        raise _invalid(file, f"line {place} has a slot_id that is not that of its slot")


def _require_whole(file: Path, end: _End, *, rows: int, sha256: bytes) -> None:
    if end.rows != rows:
        raise _invalid(file, f"its end speaks of {end.rows} rows, came {rows}")
    if _bytes(end.sha256) != sha256:
        raise _invalid(file, f"its bytes hash to {_hex(sha256)}, its end says {end.sha256}")


def _require_same_key(header: _Header, public_key: PublicKey, *, file: Path, journal: Path) -> None:
    if _bytes(header.public_key) != public_key.to_bytes():
        raise Refused(
            Reason.WRONG_KEY,
            f"{file} was exported from the journal of key {header.public_key[2:18]}…, {journal} is that of "
            f"{public_key.to_bytes().hex()[:16]}…; import it into the journal of its own key",
        )


def _row_of(line: _Alert | _Handover) -> Row:
    return Row(
        network_id=NetworkId(_bytes(line.network_id)),
        epoch=Epoch(line.epoch),
        digest=Digest(_bytes(line.digest)),
        slot_id=SlotId(_bytes(line.slot_id)) if isinstance(line, _Alert) else None,
        slot=_slot_of(line.slot) if isinstance(line, _Alert) and line.slot is not None else None,
    )


def _slot_of(slot: _Slot) -> Slot:
    return Slot(
        policy_hash=PolicyHash(_bytes(slot.policy_hash)),
        rule_id=RuleId(_bytes(slot.rule_id)),
        source_chain_id=ChainId(int(slot.source_chain_id)),
        anchor_number=BlockNumber(int(slot.anchor_number)),
        anchor_hash=BlockHash(_bytes(slot.anchor_hash)),
        subject=_bytes(slot.subject),
    )


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _invalid(file: Path, finding: str) -> Refused:
    return Refused(
        Reason.INTERCHANGE_INVALID,
        f"{file} is no whole export of a journal: {finding}; nothing was taken in. Export it again",
    )
