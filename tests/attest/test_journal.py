"""The journal: one digest for each slot, for ever, whoever asks and however often it is reopened."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consensus.errors import Broken, Reason, Refused
from consensus.types import Digest, Epoch, NetworkId, SlotId
from node.attest.journal import Entry, Journal, create_journal, open_journal
from tests.consensus.factories import make_bytes32, make_public_key

KEY = make_public_key(0)
NETWORK = NetworkId(make_bytes32("network"))
SLOT = SlotId(make_bytes32("slot"))
DIGEST = Digest(make_bytes32("digest"))
OTHER_DIGEST = Digest(make_bytes32("other digest"))


async def record(
    journal: Journal,
    digest: Digest = DIGEST,
    *,
    network_id: NetworkId = NETWORK,
    epoch: int = 1,
    slot_id: SlotId = SLOT,
) -> Entry:
    return await journal.record(digest, network_id=network_id, epoch=Epoch(epoch), slot_id=slot_id)


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
        assert await record(journal, OTHER_DIGEST, slot_id=SlotId(bytes(32))) is Entry.NEW
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
        "INSERT INTO signed SELECT network_id, epoch, slot_id, zeroblob(32) FROM signed",
        "INSERT INTO signed VALUES (zeroblob(32), 1, zeroblob(32), zeroblob(31))",
        "INSERT INTO signed VALUES (zeroblob(32), 4294967296, zeroblob(32), zeroblob(32))",
    ],
)
async def test_the_database_itself_refuses_what_the_journal_would_never_do(
    tmp_path: Path, statement: str
) -> None:
    async with create_journal(tmp_path / "j.db", KEY) as journal:
        await record(journal)

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
                        slot_id=SlotId(make_bytes32(f"slot {slot}")),
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
            (epoch, make_bytes32(f"slot {slot}")): make_bytes32(f"digest {digest}")
            for (epoch, slot), digest in self.allowed.items()
        }

    def teardown(self) -> None:
        self.directory.cleanup()


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestJournalMachine = JournalMachine.TestCase
