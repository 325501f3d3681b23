"""Export and import: what leaves a journal comes back whole, never weakens another, or is refused whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from consensus.types import BlockNumber, Digest, Epoch, NetworkId
from node.attest.checkup import Checkup, check_journal
from node.attest.interchange import IMPORT_CAUSE, export_journal, import_journal
from node.attest.journal import Entry, Journal, create_journal, open_journal
from node.cli import EXIT_REFUSED, cli
from node.private_files import PRIVATE_FILE_MODE
from tests.consensus.factories import NETWORK_ID, make_alert, make_bytes32, make_public_key, make_slot
from tests.vectors.generate_journal import VECTOR, fill, write

KEY = make_public_key(0)


async def make_journal(path: Path, *numbers: int, view: str = "view", network: bytes = NETWORK_ID) -> Path:
    """A journal with one row at each of these blocks."""
    async with create_journal(path, KEY) as journal:
        for number in numbers:
            await sign(journal, number, view=view, network=network)
    return path


async def sign(journal: Journal, number: int, *, view: str = "view", network: bytes = NETWORK_ID) -> Entry:
    return await journal.record(
        Digest(make_bytes32(f"{view} {number}")),
        network_id=NetworkId(network),
        epoch=Epoch(1),
        slot=make_slot(anchor_number=number),
        since=BlockNumber(0),
    )


async def exported(journal: Path) -> Path:
    to = journal.with_suffix(".jsonl")
    await export_journal(journal, to)
    return to


def resealed(lines: list[dict[str, Any]]) -> bytes:
    """The lines as a file whose end fits: a forgery that only the other checks can find."""
    body = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    rows = sum(line["kind"] in ("alert", "handover") for line in lines)
    end = {"kind": "end", "rows": rows, "sha256": "0x" + hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")).encode() + b"\n"


def lines_of(file: Path) -> list[dict[str, Any]]:
    """All lines but the end."""
    return [json.loads(line) for line in file.read_text().splitlines()][:-1]


async def refusal_of(file: Path, journal: Path, *, create: bool = False) -> Refused:
    with pytest.raises(Refused) as refusal:
        await import_journal(file, journal, create=create)
    return refusal.value


# --- vectors


async def test_the_export_is_the_vector_byte_for_byte(tmp_path: Path) -> None:
    await write(tmp_path / "again.jsonl")

    assert (tmp_path / "again.jsonl").read_bytes() == VECTOR.read_bytes()


async def test_the_vector_makes_a_journal_that_holds_what_it_says(tmp_path: Path) -> None:
    imported = await import_journal(VECTOR, tmp_path / "j.db", create=True)

    assert (imported.public_key, imported.added, imported.known) == (KEY, 4, 0)
    assert imported.watermarks == {31_337: 9_000, 2**64 - 1: 2**64 - 2}
    assert [note.what for note in (await check_journal(tmp_path / "j.db")).notes] == [
        f"it is armed: {IMPORT_CAUSE}"
    ]
    alert = make_alert()
    async with open_journal(tmp_path / "j.db", KEY) as journal:
        held = {"network_id": alert.network_id, "epoch": alert.epoch, "since": BlockNumber(0)}
        assert await journal.record(alert.digest(), slot=alert.slot, **held) is Entry.SAME
        with pytest.raises(Refused) as refusal:
            await journal.record(Digest(bytes(32)), slot=alert.slot, **held)
    assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED


# --- there and back


async def test_a_row_of_the_first_version_goes_there_and_back_without_its_fields(tmp_path: Path) -> None:
    lines = lines_of(VECTOR)
    lines[1]["slot"] = None
    (tmp_path / "old.jsonl").write_bytes(resealed(lines))

    await import_journal(tmp_path / "old.jsonl", tmp_path / "j.db", create=True)

    assert lines_of(await exported(tmp_path / "j.db"))[1] == lines[1]
    assert (await check_journal(tmp_path / "j.db")).faults == ()
    alert = make_alert()
    async with open_journal(tmp_path / "j.db", KEY) as journal:
        entry = await journal.record(
            alert.digest(),
            network_id=alert.network_id,
            epoch=alert.epoch,
            slot=alert.slot,
            since=BlockNumber(0),
        )
    assert entry is Entry.SAME


async def test_an_import_merges_and_arms_and_takes_nothing_away(tmp_path: Path) -> None:
    theirs = await make_journal(tmp_path / "theirs.db", 10, 20)
    ours = await make_journal(tmp_path / "ours.db", 20, 30)

    imported = await import_journal(await exported(theirs), ours)

    assert (imported.added, imported.known, imported.watermarks) == (1, 1, {31_337: 30})
    async with open_journal(ours, KEY) as journal:
        assert await journal.causes() == (IMPORT_CAUSE,)
        for number in (10, 20, 30):
            assert await sign(journal, number) is Entry.SAME
        with pytest.raises(Refused) as refusal:
            await sign(journal, 29)
        assert await sign(journal, 31) is Entry.NEW
    assert refusal.value.reason is Reason.BELOW_WATERMARK


async def test_a_file_of_watermarks_alone_is_enough_to_refuse_what_lies_below(tmp_path: Path) -> None:
    journal = await make_journal(tmp_path / "j.db")
    header, *_ = lines_of(await exported(journal))
    watermark = {"kind": "watermark", "source_chain_id": "31337", "anchor_number": "500"}
    (tmp_path / "only.jsonl").write_bytes(resealed([header, watermark]))

    await import_journal(tmp_path / "only.jsonl", journal)

    async with open_journal(journal, KEY) as opened:
        with pytest.raises(Refused) as refusal:
            await sign(opened, 500)
        assert await sign(opened, 501) is Entry.NEW
    assert refusal.value.reason is Reason.BELOW_WATERMARK


async def test_a_lower_watermark_does_not_weaken_a_higher_one(tmp_path: Path) -> None:
    old = await exported(await make_journal(tmp_path / "old.db", 10))
    new = await make_journal(tmp_path / "new.db", 10, 90)
    await import_journal(await exported(new), new)

    imported = await import_journal(old, new)

    assert imported.watermarks == {31_337: 90}


@given(
    first=st.sets(st.integers(0, 30), max_size=5),
    second=st.sets(st.integers(0, 30), max_size=5),
    asked=st.integers(0, 40),
)
@settings(max_examples=15, deadline=None)
def test_after_any_import_nothing_that_either_journal_refused_is_signed(
    tmp_path_factory: pytest.TempPathFactory, first: set[int], second: set[int], asked: int
) -> None:
    async def scenario(folder: Path) -> None:
        a = await make_journal(folder / "a.db", *first)
        b = await make_journal(folder / "b.db", *second)
        await import_journal(await exported(a), b)
        highest = max(first | second, default=-1)
        async with open_journal(b, KEY) as journal:
            if asked > max(highest, 0):
                assert await sign(journal, asked, view="another view") is Entry.NEW
                return
            with pytest.raises(Refused) as refusal:
                await sign(journal, asked, view="another view")
            was_signed = asked in first | second
            expected = Reason.SLOT_ALREADY_SIGNED if was_signed else Reason.BELOW_WATERMARK
            assert refusal.value.reason is expected

    trio.run(scenario, tmp_path_factory.mktemp("import"))


async def test_a_contradiction_refuses_the_whole_import(tmp_path: Path) -> None:
    theirs = await exported(await make_journal(tmp_path / "theirs.db", 5, 10, view="another view"))
    ours = await make_journal(tmp_path / "ours.db", 10)

    refusal = await refusal_of(theirs, ours)

    assert refusal.reason is Reason.SLOT_ALREADY_SIGNED
    async with open_journal(ours, KEY) as journal:
        assert journal.statistics().rows == 1
        assert await journal.causes() == ()


async def test_the_export_of_another_key_is_refused(tmp_path: Path) -> None:
    async with create_journal(tmp_path / "other.db", make_public_key(1)):
        pass

    assert (await refusal_of(VECTOR, tmp_path / "other.db")).reason is Reason.WRONG_KEY


async def test_an_import_that_was_to_create_a_journal_and_failed_leaves_none(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_bytes(VECTOR.read_bytes()[:-40])

    refusal = await refusal_of(tmp_path / "cut.jsonl", tmp_path / "j.db", create=True)

    assert refusal.reason is Reason.INTERCHANGE_INVALID
    assert not (tmp_path / "j.db").exists(), "an empty journal would let the key sign anything again"


async def test_an_import_never_overwrites_a_journal_and_never_makes_one_unasked(tmp_path: Path) -> None:
    journal = await make_journal(tmp_path / "j.db", 10)

    assert (await refusal_of(VECTOR, journal, create=True)).reason is Reason.STORE_EXISTS
    assert journal.exists()
    assert (await refusal_of(VECTOR, tmp_path / "none.db")).reason is Reason.STORE_MISSING


async def test_while_the_journal_is_open_nothing_is_exported_imported_or_checked(tmp_path: Path) -> None:
    journal = tmp_path / "j.db"
    async with create_journal(journal, KEY):
        for work in (
            export_journal(journal, tmp_path / "e"),
            import_journal(VECTOR, journal),
            check_journal(journal),
        ):
            with pytest.raises(Refused) as refusal:
                await work
            assert refusal.value.reason is Reason.STORE_LOCKED


async def test_an_export_is_private_and_overwrites_nothing(tmp_path: Path) -> None:
    journal = await make_journal(tmp_path / "j.db", 10)
    file = await exported(journal)

    with pytest.raises(Refused) as refusal:
        await export_journal(journal, file)

    assert refusal.value.reason is Reason.STORE_EXISTS
    assert file.stat().st_mode & 0o777 == PRIVATE_FILE_MODE


# --- files that are no whole export


def change(place: int, **fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[place].update(fields)


MUTANTS: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "no header": lambda lines: lines.pop(0),
    "two headers": lambda lines: lines.insert(1, lines[0]),
    "another format": change(0, format="eip-3076"),
    "a later version": change(0, version=2),
    "an unknown kind": change(1, kind="vote"),
    "an unknown field": change(1, note="hello"),
    "a field that is missing": lambda lines: lines[1].pop("epoch"),
    "an epoch of 33 bits": change(1, epoch=2**32),
    "a digest of 31 bytes": change(1, digest="0x" + "00" * 31),
    "a slot id that is another slot's": change(1, slot_id="0x" + "00" * 32),
    "a chain id of 65 bits": lambda lines: lines[1]["slot"].update(source_chain_id=str(2**64)),
    "a number with a leading zero": lambda lines: lines[1]["slot"].update(anchor_number="007"),
    "a watermark of 65 bits": change(-1, anchor_number=str(2**64)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_line_that_breaks_the_format_is_refused_though_the_hash_fits(
    tmp_path: Path, mutant: str
) -> None:
    journal = await make_journal(tmp_path / "j.db", 10)
    lines = lines_of(VECTOR)
    MUTANTS[mutant](lines)
    (tmp_path / "bad.jsonl").write_bytes(resealed(lines))

    assert (await refusal_of(tmp_path / "bad.jsonl", journal)).reason is Reason.INTERCHANGE_INVALID


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "not JSON": lambda _: b"journal\\n",
    "a line of a megabyte": lambda raw: raw[:10] + b" " * 1_000_000 + raw[10:],
    "cut in a line": lambda raw: raw[: len(raw) // 2],
    "without its end": lambda raw: b"".join(raw.splitlines(keepends=True)[:-1]),
    "a row left out": lambda raw: b"".join(
        raw.splitlines(keepends=True)[:1] + raw.splitlines(keepends=True)[2:]
    ),
    "a byte changed": lambda raw: raw.replace(b'"epoch":1', b'"epoch":3', 1),
    "something after its end": lambda raw: raw + raw.splitlines(keepends=True)[-2],
    "another count": lambda raw: raw.replace(b'"rows":4', b'"rows":3'),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_refused_whole(tmp_path: Path, damage: str) -> None:
    journal = await make_journal(tmp_path / "j.db", 10)
    (tmp_path / "bad.jsonl").write_bytes(DAMAGES[damage](VECTOR.read_bytes()))

    refusal = await refusal_of(tmp_path / "bad.jsonl", journal)

    assert refusal.reason is Reason.INTERCHANGE_INVALID
    async with open_journal(journal, KEY) as opened:
        assert (opened.statistics().rows, await opened.causes()) == (1, ())


async def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    journal = await make_journal(tmp_path / "j.db")

    assert (await refusal_of(tmp_path / "none", journal)).reason is Reason.INTERCHANGE_INVALID


# --- check


async def checked(path: Path, *tampering: str) -> Checkup:
    """What a checkup says after this SQL, which the triggers would not let by."""
    async with create_journal(path, KEY) as journal:
        await fill(journal)
        for trigger in ("changed", "removed"):
            await journal._store.transact(
                lambda db, name=trigger: db.execute(f"DROP TRIGGER signed_is_never_{name}")
            )
        for statement in tampering:
            await journal._store.transact(lambda db, sql=statement: db.execute(sql))
    return await check_journal(path)


async def test_a_sound_journal_has_no_faults_and_says_why_it_is_careful(tmp_path: Path) -> None:
    found = await checked(tmp_path / "j.db")

    assert (found.rows, found.handovers, found.faults) == (4, 1, ())
    assert [note.what for note in found.notes] == [
        "it is armed: this key has signed what the journal did not hold"
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM signed WHERE sequence = 2", "row 2 is missing"),
        ("UPDATE signed SET digest = zeroblob(32) WHERE sequence = 1", "row 1 or one before it was changed"),
        ("UPDATE signed SET slot_id = zeroblob(32) WHERE sequence = 4", "row 4 or one before it was changed"),
        ("UPDATE signed SET anchor_number = zeroblob(8) WHERE sequence = 1", "slot id that is not that of"),
        ("UPDATE signed SET sequence = 9 WHERE sequence = 4", "row 4 is missing"),
    ],
)
async def test_a_row_that_was_tampered_with_is_named(tmp_path: Path, statement: str, expected: str) -> None:
    found = await checked(tmp_path / "j.db", statement)

    assert expected in found.faults[0].what
    assert "import an export" in found.faults[0].do


async def test_a_checkup_notices_an_older_copy_and_changes_nothing(tmp_path: Path) -> None:
    path = await make_journal(tmp_path / "j.db", 10)
    before = path.read_bytes()
    async with open_journal(path, KEY) as journal:
        await sign(journal, 20)
    path.write_bytes(before)

    for _ in range(2):
        found = await check_journal(path)
        assert [("old copy" in note.what, note.do) for note in found.notes] == [
            (True, "use the newest one if there is another; the next start arms this one")
        ]


# --- the commands


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["journal", *arguments])


def test_the_commands_move_a_journal_to_another_folder(tmp_path: Path) -> None:
    trio.run(make_journal, tmp_path / "old.db", 10, 20)
    old, new, file = (str(tmp_path / name) for name in ("old.db", "new.db", "moved.jsonl"))

    out = run("export", "--journal", old, "--to", file, "--json")
    back = run("import", file, "--journal", new, "--create", "--json")
    checked = run("check", "--journal", new, "--json")

    assert [each.exit_code for each in (out, back, checked)] == [0, 0, 0]
    assert json.loads(out.output)["rows"] == json.loads(back.output)["added"] == 2
    told = json.loads(checked.output)
    assert (told["rows"], told["faults"], told["watermarks"]) == (2, [], {"31337": 20})
    assert "every row is sound" in run("check", "--journal", new).output


def test_the_commands_say_what_is_wrong_and_end_with_2(tmp_path: Path) -> None:
    trio.run(checked, tmp_path / "j.db", "DELETE FROM signed WHERE sequence = 1")

    found = run("check", "--journal", str(tmp_path / "j.db"))
    missing = run("export", "--journal", str(tmp_path / "none.db"), "--to", str(tmp_path / "e"))

    assert found.exit_code == missing.exit_code == EXIT_REFUSED
    assert "FAULT  row 1 is missing" in found.output
    assert "every row is sound" not in found.output
    assert "store_missing" in missing.output


def test_the_commands_of_the_operators_page_move_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
    asked = [line.split("$ tocsin ")[1].split() for line in page.splitlines() if "$ tocsin journal " in line]
    assert [each[1] for each in asked] == ["check", "export", "import", "check"]
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        (folder / "data").mkdir(parents=True)
    trio.run(make_journal, old / "data" / "journal.sqlite", 10, 20)

    for command in asked:
        if command[1] == "import":
            (old / "moved.jsonl").rename(new / "moved.jsonl")
        monkeypatch.chdir(new if (new / "moved.jsonl").exists() else old)
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output

    assert trio.run(check_journal, new / "data" / "journal.sqlite").rows == 2
