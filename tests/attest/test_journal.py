"""The journal: one digest for each slot, for ever, whoever asks and however often it is reopened."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consensus.alert import Slot
from consensus.errors import Broken, Reason, Refused
from consensus.types import BlockNumber, Digest, Epoch, NetworkId
from node.attest.journal import JOURNAL_SCHEMA, Entry, Journal, create_journal, open_journal
from node.store import Schema, create_store
from tests.consensus.factories import make_bytes32, make_public_key, make_slot

KEY = make_public_key(0)
NETWORK = NetworkId(make_bytes32("network"))
SLOT = make_slot()
DIGEST = Digest(make_bytes32("digest"))
OTHER_DIGEST = Digest(make_bytes32("other digest"))


async def record(
    journal: Journal,
    digest: Digest = DIGEST,
    *,
    network_id: NetworkId = NETWORK,
    epoch: int = 1,
    slot: Slot = SLOT,
    since: int = 0,
) -> Entry:
    return await journal.record(
        digest, network_id=network_id, epoch=Epoch(epoch), slot=slot, since=BlockNumber(since)
    )


async def test_a_second_digest_for_a_slot_is_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)

        with pytest.raises(Refused) as refusal:
            await record(journal, OTHER_DIGEST)

        assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED


async def test_the_same_digest_is_allowed_again(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        assert await record(journal) is Entry.NEW
        assert await record(journal) is Entry.SAME


async def test_a_slot_stays_taken_when_the_journal_is_reopened(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)

    async with open_journal(tmp_path / "j.db", KEY) as journal:
        assert await record(journal) is Entry.SAME
        with pytest.raises(Refused):
            await record(journal, OTHER_DIGEST)


async def test_networks_epochs_and_slots_do_not_share_rows(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)

        assert await record(journal, OTHER_DIGEST, epoch=2) is Entry.NEW
        assert await record(journal, OTHER_DIGEST, slot=make_slot(anchor_number=4_201)) is Entry.NEW
        assert await record(journal, OTHER_DIGEST, network_id=NetworkId(bytes(32))) is Entry.NEW


async def test_of_ten_conflicting_records_at_once_exactly_one_succeeds(tmp_path: Path) -> None:
    outcomes: list[Entry | Reason] = []

    async with create_journal(tmp_path / "j.db", KEY) as journal, trio.open_nursery() as nursery:

        async def try_to_record(number: int) -> None:
            try:
                outcomes.append(await record(journal, Digest(make_bytes32(f"digest {number}"))))
            except Refused as refusal:
                outcomes.append(refusal.reason)

        for number in range(10):
            nursery.start_soon(try_to_record, number)

    assert outcomes.count(Entry.NEW) == 1
    assert outcomes.count(Reason.SLOT_ALREADY_SIGNED) == 9


async def test_the_journal_of_another_key_is_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY):
        pass

    with pytest.raises(Refused) as refusal:
        async with open_journal(tmp_path / "j.db", make_public_key(1)):
            pass

    assert refusal.value.reason is Reason.WRONG_KEY


async def test_a_missing_journal_is_refused_for_the_key_may_have_signed(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        async with open_journal(tmp_path / "j.db", KEY):
            pass

    assert refusal.value.reason is Reason.STORE_MISSING


async def test_a_journal_whose_creation_was_cut_short_is_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY):
        pass
    with sqlite3.connect(tmp_path / "j.db") as connection:
        connection.execute("DELETE FROM signer")
    connection.close()

    with pytest.raises(Refused, match="names no key"):
        async with open_journal(tmp_path / "j.db", KEY):
            pass


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE signed SET digest = zeroblob(32)",
        "DELETE FROM signed",
        "UPDATE signer SET public_key = zeroblob(192)",
        "INSERT INTO signer VALUES (2, zeroblob(192))",
        "INSERT INTO signed (network_id, epoch, slot_id, digest, seal)"
        " SELECT network_id, epoch, slot_id, zeroblob(32), seal FROM signed",
        "INSERT INTO signed (network_id, epoch, slot_id, digest, seal)"
        " VALUES (zeroblob(32), 1, zeroblob(32), zeroblob(31), zeroblob(32))",
        "INSERT INTO signed (network_id, epoch, slot_id, digest, seal)"
        " VALUES (zeroblob(32), 4294967296, zeroblob(32), zeroblob(32), zeroblob(32))",
        "UPDATE handed_over SET digest = zeroblob(32)",
        "DELETE FROM handed_over",
        "INSERT INTO handed_over SELECT 9, network_id, epoch, zeroblob(32), seal FROM handed_over",
        "UPDATE watermark SET anchor_number = zeroblob(8)",
        "DELETE FROM watermark",
        "DELETE FROM armed",
    ],
)
async def test_the_database_itself_refuses_what_the_journal_would_never_do(
    tmp_path: Path, statement: str
) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)
        await journal.record_handover(DIGEST, network_id=NETWORK, epoch=Epoch(1))
        await journal.adopt(OTHER_DIGEST, network_id=NETWORK, epoch=Epoch(7), slot=SLOT)

        with pytest.raises(Broken):
            await journal._store.transact(lambda connection: connection.execute(statement))

        assert await record(journal) is Entry.SAME


async def test_statistics_count_what_was_recorded_repeated_and_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)
        await record(journal)
        with pytest.raises(Refused):
            await record(journal, OTHER_DIGEST)

        statistics = journal.statistics()

    assert (statistics.recorded, statistics.repeated, statistics.refused) == (1, 1, 1)


# --- handovers


async def hand_over(journal: Journal, digest: Digest = DIGEST, *, epoch: int = 1) -> Entry:
    return await journal.record_handover(digest, network_id=NETWORK, epoch=Epoch(epoch))


async def test_an_epoch_is_handed_over_once(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        assert await hand_over(journal) is Entry.NEW
        assert await hand_over(journal) is Entry.SAME
        assert await hand_over(journal, OTHER_DIGEST, epoch=2) is Entry.NEW

        with pytest.raises(Refused) as refusal:
            await hand_over(journal, OTHER_DIGEST)

    assert refusal.value.reason is Reason.HANDOVER_ALREADY_SIGNED


async def test_an_armed_journal_still_signs_new_handovers_which_have_no_block(tmp_path: Path) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        assert await hand_over(journal, epoch=2) is Entry.NEW


# --- the watermark: what a moved or restored journal may have forgotten


def at(number: int, *, chain: int = 31_337) -> Slot:
    return make_slot(anchor_number=number, source_chain_id=chain)


@asynccontextmanager
async def armed_journal(path: Path) -> AsyncIterator[Journal]:
    """A journal with rows at blocks 10 and 20, reopened without its mark."""
    async with create_journal(path, KEY) as journal:
        for number in (10, 20):
            await record(journal, slot=at(number))
    path.with_name("j.db.mark").unlink()
    async with open_journal(path, KEY) as journal:
        yield journal


async def refused_as(work: Awaitable[object]) -> Reason:
    with pytest.raises(Refused) as refusal:
        await work
    return refusal.value.reason


async def test_in_normal_running_a_late_alert_for_an_older_block_is_signed(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal, slot=at(20), since=30)

    async with open_journal(tmp_path / "j.db", KEY) as journal:
        assert await record(journal, slot=at(10), since=40) is Entry.NEW
        assert await journal.causes() == ()


@pytest.mark.parametrize("number", [15, 20])
async def test_an_armed_journal_signs_nothing_new_up_to_its_highest_block(
    tmp_path: Path, number: int
) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        slot = make_slot(anchor_number=number, subject=make_bytes32("a pending transaction"))

        assert await refused_as(record(journal, slot=slot)) is Reason.BELOW_WATERMARK
        assert await record(journal, slot=at(21)) is Entry.NEW


async def test_an_armed_journal_repeats_what_it_holds_and_nothing_else_for_it(tmp_path: Path) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        assert await record(journal, slot=at(20)) is Entry.SAME
        assert await refused_as(record(journal, OTHER_DIGEST, slot=at(20))) is Reason.SLOT_ALREADY_SIGNED


async def test_an_armed_journal_signs_nothing_new_up_to_the_head_that_the_watcher_began_with(
    tmp_path: Path,
) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        assert await refused_as(record(journal, slot=at(100), since=100)) is Reason.BELOW_WATERMARK
        # the head counts once: later starts of the same journal do not push it on
        assert await refused_as(record(journal, slot=at(100), since=0)) is Reason.BELOW_WATERMARK
        assert await record(journal, slot=at(101), since=500) is Entry.NEW


async def test_a_chain_of_which_an_armed_journal_has_no_row_begins_at_the_head(tmp_path: Path) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        assert await refused_as(record(journal, slot=at(7, chain=5), since=7)) is Reason.BELOW_WATERMARK
        assert await record(journal, slot=at(8, chain=5), since=7) is Entry.NEW


async def test_the_watermark_outlives_a_restart(tmp_path: Path) -> None:
    async with armed_journal(tmp_path / "j.db") as journal:
        await refused_as(record(journal, slot=at(100), since=100))

    async with open_journal(tmp_path / "j.db", KEY) as journal:
        assert len(await journal.causes()) == 1
        assert await journal.watermarks() == {31_337: 100}
        assert await refused_as(record(journal, slot=at(99), since=0)) is Reason.BELOW_WATERMARK


@given(numbers=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6), asked=st.integers(0, 2**64 - 1))
@settings(max_examples=20, deadline=None)
def test_whatever_was_signed_the_watermark_is_its_highest_block(numbers: list[int], asked: int) -> None:
    async def scenario(path: Path) -> None:
        async with create_journal(path, KEY) as journal:
            for number in numbers:
                await record(journal, slot=at(number))
        path.with_name("j.db.mark").unlink()
        async with open_journal(path, KEY) as journal:
            assert await journal.watermarks() == {31_337: max(numbers)}
            slot = make_slot(anchor_number=asked, subject=make_bytes32("another"))
            if asked <= max(numbers):
                assert await refused_as(record(journal, slot=slot)) is Reason.BELOW_WATERMARK
            else:
                assert await record(journal, slot=slot) is Entry.NEW

    with tempfile.TemporaryDirectory() as folder:
        trio.run(scenario, Path(folder) / "j.db")


# --- the mark: is this the journal that was last used here?


def files_of(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


async def test_an_older_copy_put_back_under_the_newer_mark_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with create_journal(path, KEY) as journal:
        await record(journal, slot=at(10))
    last_night = path.read_bytes()
    async with open_journal(path, KEY) as journal:
        await record(journal, slot=at(20))
    path.write_bytes(last_night)  # the same file, as `cp` would leave it

    async with open_journal(path, KEY) as journal:
        assert "old copy" in (await journal.causes())[0]
        assert (
            await refused_as(record(journal, OTHER_DIGEST, slot=at(20), since=20)) is Reason.BELOW_WATERMARK
        )


async def test_another_history_of_the_same_length_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with create_journal(path, KEY) as journal:
        pass
    empty = path.read_bytes()
    async with open_journal(path, KEY) as journal:
        await record(journal, slot=at(10))
    mark = path.with_name("j.db.mark").read_bytes()
    path.write_bytes(empty)
    async with open_journal(path, KEY) as journal:
        await record(journal, OTHER_DIGEST, slot=at(1_000))
    path.with_name("j.db.mark").write_bytes(mark)

    async with open_journal(path, KEY) as journal:
        assert "is not the one that the mark speaks of" in (await journal.causes())[-1]


async def test_a_folder_that_was_copied_is_noticed_by_its_other_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with create_journal(tmp_path / "a" / "j.db", KEY):
        pass
    for name, content in files_of(tmp_path / "a" / "j.db").items():
        (tmp_path / "b" / name).write_bytes(content)

    async with open_journal(tmp_path / "b" / "j.db", KEY) as journal:
        assert "another file" in (await journal.causes())[0]


async def test_another_machine_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with create_journal(tmp_path / "j.db", KEY):
        pass
    monkeypatch.setattr("node.attest.mark._machine", lambda: "another")

    async with open_journal(tmp_path / "j.db", KEY) as journal:
        assert "another machine" in (await journal.causes())[0]


async def test_a_mark_that_lags_after_a_kill_arms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with create_journal(path, KEY) as journal:
        await record(journal, slot=at(10))
        mark = path.with_name("j.db.mark").read_bytes()
        await record(journal, slot=at(20))
    path.with_name("j.db.mark").write_bytes(mark)

    async with open_journal(path, KEY) as journal:
        assert await journal.causes() == ()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 600, b'{"rows": "many"}'])
async def test_a_mark_that_cannot_be_read_arms_the_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j.db"
    async with create_journal(path, KEY):
        pass
    path.with_name("j.db.mark").write_bytes(content)

    async with open_journal(path, KEY) as journal:
        assert await journal.causes() == ("no mark stands beside the journal",)


async def test_a_mark_that_cannot_be_written_is_counted_and_signing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with create_journal(path, KEY) as journal:
        path.with_name("j.db.mark").unlink()
        path.with_name("j.db.mark").mkdir()

        assert await record(journal) is Entry.NEW
        assert journal.statistics().unmarked == 1


# --- signatures of our key that came from elsewhere


async def test_what_the_key_signed_elsewhere_is_taken_in_and_arms_the_journal(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal, slot=at(10))

        entry = await journal.adopt(DIGEST, network_id=NETWORK, epoch=Epoch(1), slot=at(30))

        assert entry is Entry.NEW
        assert await record(journal, slot=at(30)) is Entry.SAME
        assert await refused_as(record(journal, OTHER_DIGEST, slot=at(30))) is Reason.SLOT_ALREADY_SIGNED
        assert await refused_as(record(journal, slot=at(29))) is Reason.BELOW_WATERMARK


async def test_our_own_signature_heard_again_changes_nothing(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal, slot=at(10))

        assert await journal.adopt(DIGEST, network_id=NETWORK, epoch=Epoch(1), slot=at(10)) is Entry.SAME
        assert await journal.causes() == ()


async def test_a_contradiction_of_our_own_key_is_refused_and_arms_the_journal(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal, slot=at(10))

        adopting = journal.adopt(OTHER_DIGEST, network_id=NETWORK, epoch=Epoch(1), slot=at(10))

        assert await refused_as(adopting) is Reason.SLOT_ALREADY_SIGNED
        assert len(await journal.causes()) == 1
        assert await refused_as(record(journal, slot=at(9))) is Reason.BELOW_WATERMARK


# --- the first version


VERSION_1 = (
    "CREATE TABLE signer (singleton INTEGER PRIMARY KEY, public_key BLOB NOT NULL) STRICT",
    "CREATE TABLE signed (network_id BLOB NOT NULL, epoch INTEGER NOT NULL, slot_id BLOB NOT NULL,"
    " digest BLOB NOT NULL, PRIMARY KEY (network_id, epoch, slot_id)) STRICT, WITHOUT ROWID",
    "CREATE TRIGGER signed_is_never_changed BEFORE UPDATE ON signed BEGIN SELECT RAISE(ABORT, ''); END",
    "CREATE TRIGGER signed_is_never_removed BEFORE DELETE ON signed BEGIN SELECT RAISE(ABORT, ''); END",
    "CREATE TRIGGER signer_is_never_changed BEFORE UPDATE ON signer BEGIN SELECT RAISE(ABORT, ''); END",
)


async def test_a_journal_of_the_first_version_keeps_its_rows_and_is_armed(tmp_path: Path) -> None:
    old = Schema(name="old", application_id=JOURNAL_SCHEMA.application_id, version=1, statements=VERSION_1)
    async with create_store(tmp_path / "j.db", old) as store:
        await store.transact(lambda db: db.execute("INSERT INTO signer VALUES (1, ?)", (KEY.to_bytes(),)))
        rows = [(NETWORK, 1, at(number).id(), DIGEST) for number in (10, 20)]
        await store.transact(lambda db: db.executemany("INSERT INTO signed VALUES (?, ?, ?, ?)", rows))

    async with open_journal(tmp_path / "j.db", KEY) as journal:
        assert journal.statistics().rows == 2
        assert await record(journal, slot=at(10)) is Entry.SAME
        assert await refused_as(record(journal, OTHER_DIGEST, slot=at(20))) is Reason.SLOT_ALREADY_SIGNED
        assert await refused_as(record(journal, slot=at(30), since=30)) is Reason.BELOW_WATERMARK
        with pytest.raises(Broken):
            await journal._store.transact(lambda db: db.execute("DELETE FROM signed"))


class JournalMachine(RuleBasedStateMachine):
    """Records, conflicts and reopenings in any order, against a dictionary that remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "j.db"
        self.allowed: dict[tuple[int, int], int] = {}
        self.pending: list[tuple[int, int, int]] = []
        trio.run(self._create)

    async def _create(self) -> None:
        async with create_journal(self.path, KEY):
            pass

    @rule(epoch=st.integers(0, 2), slot=st.integers(0, 2), digest=st.integers(0, 2))
    def ask(self, epoch: int, slot: int, digest: int) -> None:
        self.pending.append((epoch, slot, digest))

    @rule()
    def reopen_and_record_what_was_asked(self) -> None:
        asked, self.pending = self.pending, []
        trio.run(self._record_all, asked)

    async def _record_all(self, asked: list[tuple[int, int, int]]) -> None:
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(open_journal(self.path, KEY))
            for epoch, slot, digest in asked:
                expected = self.allowed.setdefault((epoch, slot), digest)
                try:
                    await record(
                        journal,
                        Digest(make_bytes32(f"digest {digest}")),
                        epoch=epoch,
                        slot=make_slot(anchor_number=slot),
                    )
                    is_allowed = True
                except Refused:
                    is_allowed = False
                assert is_allowed == (expected == digest)

    @invariant()
    def the_disk_holds_exactly_what_was_allowed(self) -> None:
        connection = sqlite3.connect(self.path)
        held = {
            (row[0], row[1]): row[2]
            for row in connection.execute("SELECT epoch, slot_id, digest FROM signed")
        }
        connection.close()
        assert held == {
            (epoch, make_slot(anchor_number=slot).id()): make_bytes32(f"digest {digest}")
            for (epoch, slot), digest in self.allowed.items()
        }

    def teardown(self) -> None:
        self.directory.cleanup()


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestJournalMachine = JournalMachine.TestCase
