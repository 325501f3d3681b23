"""The SQLite base: one file, one process, every commit on the disk before the call returns.

Each room that keeps something brings its own `Schema` and its own file. A store that is held by another
process, damaged, or somebody else's is not opened: guessing would be worse than standing still.

Nothing else in this process may open the database file, not even to read it: closing any other descriptor of
a file drops POSIX locks on it, and with them the guarantee that no second process writes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import trio

from consensus.errors import Broken, Reason, Refused, Unavailable
from node.private_files import PRIVATE_FILE_MODE

_Result = TypeVar("_Result")

_NO_SPACE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
"""A full disk, or a quota: SQLite took the transaction back, and the next one may find room."""

_WHAT_TO_DO: Final = (
    "Restore only a copy that was made after the last signature; where there is none, make new keys. Never "
    "put an older copy or an empty one in its place: what it does not know of may be signed twice"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A room's tables; `application_id` tells its files from all others, `version` from its own past.

    `upgrade` turns a store of the version before into one of this, within the transaction that says so; None
    where there was no other.
    """

    name: str
    application_id: int
    version: int
    statements: tuple[str, ...]
    upgrade: Callable[[sqlite3.Connection], None] | None = None


class Store:
    """An open database. Work is done in a worker thread, one piece at a time, and never abandoned there."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._turn = trio.Lock()

    @property
    def path(self) -> Path:
        return self._path

    async def transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run `work` in one transaction; when this returns, what it wrote is on the disk.

        What `work` raises undoes the transaction and is raised here. Where there is no space, that is
        `Unavailable`: nothing was written, and the store can be used again. A database that cannot write for
        any other reason raises `Broken`.
        A cancellation takes effect before the work starts or after it is on the disk, never between.
        """
        async with self._turn:
            return await trio.to_thread.run_sync(self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in _NO_SPACE:
                raise Unavailable(
                    f"{self._path} could not be written ({error}): no space is left for it. Make room on its "
                    "disk, or raise the quota; nothing is lost, and writing goes on by itself"
                ) from error
            raise Broken(
                f"{self._path} could not be written ({error}); nothing may be built on it. Check the disk's "
                "space and health, then start again"
            ) from error
        return result

    def _close(self) -> None:
        self._connection.close()


@asynccontextmanager
async def create_store(path: Path, schema: Schema) -> AsyncIterator[Store]:
    """A new store, readable by its owner only. Raises `Refused` (STORE_EXISTS) when `path` is taken."""
    await trio.to_thread.run_sync(_create_file, path)
    async with _opened(path, schema, is_new=True) as store:
        yield store


@asynccontextmanager
async def open_store(path: Path, schema: Schema) -> AsyncIterator[Store]:
    """An existing store. Raises `Refused`: STORE_MISSING, STORE_LOCKED, STORE_CORRUPT or STORE_FOREIGN."""
    if not await trio.Path(path).is_file():
        raise Refused(
            Reason.STORE_MISSING,
            f"expected the {schema.name} at {path}, found none; {_WHAT_TO_DO}",
        )
    async with _opened(path, schema, is_new=False) as store:
        yield store


@asynccontextmanager
async def _opened(path: Path, schema: Schema, *, is_new: bool) -> AsyncIterator[Store]:
    connection = await trio.to_thread.run_sync(lambda: _connect(path, schema, is_new=is_new))
    store = Store(connection, path)
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store._close)


def _create_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE))
    except FileExistsError:
        raise Refused(
            Reason.STORE_EXISTS, f"{path} exists and is not overwritten; open it, or choose another path"
        ) from None
    except OSError as error:
        raise Refused(
            Reason.STORE_MISSING,
            f"{path} cannot be created ({error.strerror}); make its directory, owned by this user",
        ) from None
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _connect(path: Path, schema: Schema, *, is_new: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _damaged(path, schema, str(error)) from error
    try:
        _take(connection)
        if is_new:
            _install(connection, schema)
        else:
            _upgrade(connection, schema)
        _require_own(connection, path, schema)
        _require_sound(connection, path, schema)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise _damaged(path, schema, str(error)) from error
        raise Refused(
            Reason.STORE_LOCKED,
            f"{path} is held by another process; stop that process. Two watchers must never share one key",
        ) from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _damaged(path, schema, str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _take(connection: sqlite3.Connection) -> None:
    """Lock the file for this process, before anything in it is believed."""
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute(
        "BEGIN EXCLUSIVE"
    )  # SQLite takes the lock at the first access, and keeps it from then on
    connection.execute("COMMIT")


def _install(connection: sqlite3.Connection, schema: Schema) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    for statement in schema.statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={schema.application_id}")
    connection.execute(f"PRAGMA user_version={schema.version}")
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection, schema: Schema) -> None:
    """A store of the version before, made into one of this: wholly, or not at all."""
    if schema.upgrade is None or _identity_of(connection) != (schema.application_id, schema.version - 1):
        return
    connection.execute("BEGIN EXCLUSIVE")
    schema.upgrade(connection)
    connection.execute(f"PRAGMA user_version={schema.version}")
    connection.execute("COMMIT")


def _identity_of(connection: sqlite3.Connection) -> tuple[int, int]:
    """The application and the version that a file names."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    return application_id, connection.execute("PRAGMA user_version").fetchone()[0]


def _require_own(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    application_id, version = _identity_of(connection)
    if (application_id, version) != (schema.application_id, schema.version):
        raise Refused(
            Reason.STORE_FOREIGN,
            f"expected a {schema.name} of version {schema.version} (application {schema.application_id}) "
            f"at {path}, found version {version} (application {application_id}); point to the right file, "
            "or run the release that wrote it",
        )


def _require_sound(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if findings != ["ok"]:
        raise _damaged(path, schema, str(findings[0]))
    modes = {
        "journal_mode": "wal",
        "locking_mode": "exclusive",
        "synchronous": 2,  # FULL
    }
    for name, expected in modes.items():
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != expected:
            raise Broken(
                f"{path} must run with {name}={expected}, SQLite says {found}; is the file on a local disk?"
            )


def _damaged(path: Path, schema: Schema, finding: str) -> Refused:
    return Refused(
        Reason.STORE_CORRUPT,
        f"{path} is not a sound {schema.name} ({finding}); keep the file for inspection. {_WHAT_TO_DO}",
    )
