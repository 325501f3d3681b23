"""The store refuses to start on anything that it cannot trust, and says what to do."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from consensus.errors import Broken, Reason, Refused, Unavailable
from node.store import Schema, Store, create_store, open_store

SCHEMA = Schema(
    name="test store",
    application_id=77,
    version=1,
    statements=("CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",),
)


def insert(name: str, value: int) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO facts VALUES (?, ?)", (name, value))


async def read_all(store: Store) -> list[tuple[str, int]]:
    return await store.transact(
        lambda connection: list(connection.execute("SELECT * FROM facts ORDER BY name"))
    )


async def refusal_of(opening: AbstractAsyncContextManager[Store]) -> Refused:
    with pytest.raises(Refused) as refusal:
        async with opening:
            pass
    return refusal.value


HOLDER = """
import sys, pathlib, trio
from node.store import open_store
from tests.attest.test_store import SCHEMA

async def main():
    async with open_store(pathlib.Path(sys.argv[1]), SCHEMA):
        print("held", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)

trio.run(main)
"""


def hold_in_another_process(path: Path) -> subprocess.Popen[bytes]:
    """A process that opens the store, says `held`, and lets go when its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def modes_in(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def make_store(path: Path) -> None:
    async with create_store(path, SCHEMA) as store:
        for number in range(200):
            await store.transact(insert(f"fact {number}", number))


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async with create_store(path, SCHEMA) as store:
        await store.transact(insert("a", 1))
    async with open_store(path, SCHEMA) as store:
        assert await read_all(store) == [("a", 1)]


async def test_an_error_undoes_the_whole_transaction(tmp_path: Path) -> None:
    def write_then_fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
        raise Refused(Reason.MALFORMED, "second thoughts")

    async with create_store(tmp_path / "a.db", SCHEMA) as store:
        with pytest.raises(Refused, match="second thoughts"):
            await store.transact(write_then_fail)

        assert await read_all(store) == []


async def test_a_write_that_sqlite_refuses_is_broken_and_leaves_nothing(tmp_path: Path) -> None:
    def write_twice(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
        connection.execute("INSERT INTO facts VALUES ('a', 2)")

    async with create_store(tmp_path / "a.db", SCHEMA) as store:
        with pytest.raises(Broken, match="could not be written"):
            await store.transact(write_twice)

        assert await read_all(store) == []


async def test_a_full_disk_takes_nothing_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    async with create_store(tmp_path / "a.db", SCHEMA) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count={pages}")

        with pytest.raises(Unavailable, match="Make room"):
            await store.transact(insert("x" * 100_000, 1))

        assert await read_all(store) == []
        store._connection.execute("PRAGMA max_page_count=1000000")
        await store.transact(insert("x" * 100_000, 1))
        assert len(await read_all(store)) == 1


def upgrade_to_two(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE more (name TEXT) STRICT")
    connection.execute("INSERT INTO more SELECT name FROM facts")


VERSION_2 = Schema(name="facts", application_id=77, version=2, statements=(), upgrade=upgrade_to_two)


async def test_a_store_of_the_version_before_is_upgraded_and_keeps_its_rows(tmp_path: Path) -> None:
    async with create_store(tmp_path / "a.db", SCHEMA) as store:
        await store.transact(insert("kept", 1))

    for _ in range(2):  # the second time there is nothing left to upgrade
        async with open_store(tmp_path / "a.db", VERSION_2) as store:
            found = await store.transact(lambda db: db.execute("SELECT name FROM more").fetchall())
            assert found == [("kept",)]


async def test_an_upgrade_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        upgrade_to_two(connection)
        connection.execute("INSERT INTO nowhere VALUES (1)")

    await make_store(tmp_path / "a.db")

    refusal = await refusal_of(open_store(tmp_path / "a.db", replace(VERSION_2, upgrade=fail)))

    assert refusal.reason is Reason.STORE_CORRUPT
    async with open_store(tmp_path / "a.db", SCHEMA):
        pass


async def test_a_store_two_versions_old_is_refused(tmp_path: Path) -> None:
    await make_store(tmp_path / "a.db")

    refusal = await refusal_of(open_store(tmp_path / "a.db", replace(VERSION_2, version=3)))

    assert refusal.reason is Reason.STORE_FOREIGN


async def test_a_cancelled_write_is_on_the_disk_or_was_never_begun(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async with create_store(path, SCHEMA) as store:
        with trio.CancelScope() as scope:

            def write_and_be_cancelled(connection: sqlite3.Connection) -> None:
                trio.from_thread.run_sync(scope.cancel)
                connection.execute("INSERT INTO facts VALUES ('a', 1)")

            await store.transact(write_and_be_cancelled)
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert await read_all(store) == [("a", 1)]


async def test_a_new_store_is_private(tmp_path: Path) -> None:
    async with create_store(tmp_path / "a.db", SCHEMA):
        modes = modes_in(tmp_path)

    assert set(modes.values()) == {0o600}


async def test_creating_over_an_existing_store_is_refused(tmp_path: Path) -> None:
    await make_store(tmp_path / "a.db")

    refusal = await refusal_of(create_store(tmp_path / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_EXISTS


async def test_a_store_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    refusal = await refusal_of(create_store(tmp_path / "none" / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_MISSING
    assert "make its directory" in refusal.message


async def test_a_missing_store_is_refused_and_not_created(tmp_path: Path) -> None:
    refusal = await refusal_of(open_store(tmp_path / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_MISSING
    assert modes_in(tmp_path) == {}


async def test_a_store_that_is_open_is_refused_to_the_same_process(tmp_path: Path) -> None:
    async with create_store(tmp_path / "a.db", SCHEMA):
        refusal = await refusal_of(open_store(tmp_path / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_LOCKED


async def test_a_store_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await make_store(path)
    with hold_in_another_process(path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        refusal = await refusal_of(open_store(path, SCHEMA))
        holder.communicate()

    assert refusal.reason is Reason.STORE_LOCKED
    assert "stop that process" in refusal.message
    async with open_store(path, SCHEMA):
        pass  # free again


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"certainly not a database, whatever its name may say" * 100)

    refusal = await refusal_of(open_store(tmp_path / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_CORRUPT
    assert "keep the file for inspection" in refusal.message


async def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await make_store(path)
    content = bytearray(path.read_bytes())
    content[-4_096:-2_048] = b"\xa5" * 2_048
    path.write_bytes(content)

    refusal = await refusal_of(open_store(path, SCHEMA))

    assert refusal.reason is Reason.STORE_CORRUPT


async def test_a_truncated_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await make_store(path)
    path.write_bytes(path.read_bytes()[:-4_096])

    refusal = await refusal_of(open_store(path, SCHEMA))

    assert refusal.reason is Reason.STORE_CORRUPT


async def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()

    refusal = await refusal_of(open_store(tmp_path / "a.db", SCHEMA))

    assert refusal.reason is Reason.STORE_FOREIGN


@pytest.mark.parametrize(("application_id", "version"), [(78, 1), (77, 2), (77, 0)])
async def test_another_rooms_or_releases_store_is_refused(
    tmp_path: Path, application_id: int, version: int
) -> None:
    await make_store(tmp_path / "a.db")
    other = Schema(name="other", application_id=application_id, version=version, statements=())

    refusal = await refusal_of(open_store(tmp_path / "a.db", other))

    assert refusal.reason is Reason.STORE_FOREIGN
