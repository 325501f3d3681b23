"""The reader of recorded histories: takes the form, and refuses everything else by name and place."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, ChainId
from node.observe import history as module
from node.observe.history import RecordedHistory, Recording, parse_block
from node.trace import CallKind
from tests.detect.recordings import (
    hash_of,
    recorded_call,
    recorded_deposit,
    write_folder,
    write_zip,
)
from tests.detect.traces import COIN, DEPOSIT, USER, VAULT, read, write

BLOCK = BlockNumber(12)


def parse(rows: Any) -> list[Any]:
    return list(parse_block(json.dumps(rows).encode(), BLOCK, place="12.json"))


def refusal(path: Path) -> Refused:
    with pytest.raises(Refused) as caught:
        list(RecordedHistory(path).transactions())
    assert caught.value.reason is Reason.HISTORY_INVALID
    return caught.value


def read_or_refused(work: Callable[[], object]) -> None:
    """Any other exception than a refusal of the history is the reader's own fault."""
    with suppress(Refused):
        work()


def test_blocks_come_in_order_of_number_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {n: {hash_of(n): recorded_deposit()} for n in (30, 4, 200)})

    assert [each.block_number for each in RecordedHistory(path).transactions()] == [4, 30, 200]


def test_a_folder_reads_as_its_zip_does(tmp_path: Path) -> None:
    blocks = {n: {hash_of(n): recorded_deposit(n), hash_of(n + 1): []} for n in (5, 70)}

    zipped = list(RecordedHistory(write_zip(tmp_path / "a.zip", blocks)).transactions())
    unzipped = list(RecordedHistory(write_folder(tmp_path / "a", blocks)).transactions())

    assert zipped == unzipped
    assert [each.is_empty for each in zipped] == [False, True, False, True]


RECORDING = Recording(
    chain_id=ChainId(7),
    contracts=(VAULT,),
    first=BlockNumber(3),
    last=BlockNumber(80),
    last_hash=BlockHash(bytes([9]) * 32),
)


def write_recording(folder: Path, content: bytes, *, times: int = 1) -> tuple[Path, Path]:
    """The same history as a ZIP file and as a folder, with what it is a recording of."""
    blocks = {5: {hash_of(5): recorded_deposit()}}
    zipped = write_zip(folder / "a.zip", blocks)
    with zipfile.ZipFile(zipped, "a") as archive, suppress(UserWarning):
        for place in range(times):
            archive.writestr(f"{'x' * place}/recording.json"[not place :], content)
    unzipped = write_folder(folder / "a", blocks)
    (unzipped / "recording.json").write_bytes(content)
    return zipped, unzipped


def test_a_history_says_what_it_is_a_recording_of_and_is_the_same_without(tmp_path: Path) -> None:
    for path in write_recording(tmp_path, RECORDING.to_bytes()):
        history = RecordedHistory(path)
        assert history.recording() == RECORDING
        assert [each.block_number for each in history.transactions()] == [5]
        assert [row.block_number for row in history.outline()] == [5]
    bare = write_zip(tmp_path / "b.zip", {5: {hash_of(5): recorded_deposit()}})
    assert RecordedHistory(bare).recording() is None
    assert RecordedHistory(bare).fingerprint() == RecordedHistory(tmp_path / "a.zip").fingerprint()


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[" * 100_000,
        RECORDING.to_bytes().replace(b".v1", b".v2"),
        RECORDING.to_bytes().replace(b'"first":3', b'"first":81'),
        RECORDING.to_bytes().replace(VAULT.encode(), b"vault"),
        RECORDING.to_bytes() + b" " * (1 << 20),
    ],
)
def test_what_a_history_says_of_itself_is_read_strictly(content: bytes, tmp_path: Path) -> None:
    for path in write_recording(tmp_path, content):
        with pytest.raises(Refused, match=r"recording\.json") as caught:
            RecordedHistory(path).recording()
        assert caught.value.reason is Reason.HISTORY_INVALID


def test_a_history_that_says_twice_what_it_is_is_refused(tmp_path: Path) -> None:
    path, _ = write_recording(tmp_path, RECORDING.to_bytes(), times=2)

    with pytest.raises(Refused, match="expected one member"):
        RecordedHistory(path).recording()


def test_the_outline_names_what_the_transactions_are(tmp_path: Path) -> None:
    blocks = {5: {hash_of(1): recorded_deposit(), hash_of(2): []}, 6: {hash_of(3): [[], []]}}
    history = RecordedHistory(write_zip(tmp_path / "a.zip", blocks))

    outline = [(row.hash, row.block_number, row.is_empty) for row in history.outline()]

    assert outline == [(each.hash, each.block_number, each.is_empty) for each in history.transactions()]


def test_a_transaction_is_read_with_all_that_was_recorded() -> None:
    (transaction,) = parse(
        {hash_of(1): [[recorded_call("0xAABBCCDD")], [[COIN.upper().replace("X", "x"), USER, VAULT, 2**200]]]}
    )

    (frame,) = transaction.frames
    assert (frame.contract, frame.selector, frame.kind) == (VAULT, "0xaabbccdd", CallKind.FIRST_CALL)
    assert frame.accesses[VAULT] == (read(7, 1), write(7, 2))
    assert transaction.transfers[0] == (COIN, USER, VAULT, 2**200)


def test_nesting_follows_from_the_steps() -> None:
    inner, outer, after = (recorded_call(kind="call", span=span) for span in ((20, 30), (10, 40), (50, 60)))

    (transaction,) = parse({hash_of(1): [[inner, outer, after], []]})

    assert [frame.start_step for frame in transaction.frames] == [10, 20, 50]
    assert [frame.parent for frame in transaction.frames] == [None, 0, None]


def test_accesses_are_put_in_the_order_of_their_steps() -> None:
    late_first = {VAULT: [["sstore", "0x1", "0x2", 1, 90], ["sload", "0x1", "0x1", 1, 10]]}

    (transaction,) = parse({hash_of(1): [[recorded_call(accesses=late_first)], []]})

    assert transaction.frames[0].accesses[VAULT] == (read(1, 1), write(1, 2))


def test_accesses_without_steps_keep_their_order() -> None:
    no_steps = {VAULT: [["sstore", "0x1", "0x2", 90], ["sload", "0x1", "0x1", 10]]}

    (transaction,) = parse({hash_of(1): [[recorded_call(accesses=no_steps)], []]})

    assert transaction.frames[0].accesses[VAULT] == (write(1, 2), read(1, 1))


def test_a_call_that_did_not_complete_is_left_out() -> None:
    (transaction,) = parse({hash_of(1): [[recorded_call(status="reverted")], []]})

    assert transaction.is_empty


WRONG_ROWS: dict[str, Any] = {
    "not a map": [],
    "a short hash": {"0x12": []},
    "calls without transfers": {hash_of(1): [[]]},
    "a third part": {hash_of(1): [[], [], []]},
    "a call with a part missing": {hash_of(1): [[recorded_call()[:-1]], []]},
    "a call with a part too many": {hash_of(1): [[[*recorded_call(), 1]], []]},
    "an unknown kind": {hash_of(1): [[recorded_call(kind="jump")], []]},
    "a contract that is no address": {hash_of(1): [[recorded_call(contract="0x12")], []]},
    "an end before the start": {hash_of(1): [[recorded_call(span=(9, 8))], []]},
    "a start before the transaction": {hash_of(1): [[recorded_call(span=(-2, 8))], []]},
    "a step as text": {hash_of(1): [[recorded_call(span=("1", 8))], []]},  # type: ignore[arg-type]
    "accesses in a list": {hash_of(1): [[recorded_call(accesses=[["sload", "0x1", "0x1", 1, 1]])], []]},
    "an unknown operation": {
        hash_of(1): [[recorded_call(accesses={VAULT: [["tload", "0x1", "0x1", 1, 1]]})], []]
    },
    "a slot of 65 digits": {
        hash_of(1): [[recorded_call(accesses={VAULT: [["sload", "0x" + "1" * 65, "0x1", 1, 1]]})], []]
    },
    "a value with an underscore": {
        hash_of(1): [[recorded_call(accesses={VAULT: [["sload", "0x1", "0x1_0", 1, 1]]})], []]
    },
    "a value in foreign digits": {
        hash_of(1): [[recorded_call(accesses={VAULT: [["sload", "0x1", "0x٣", 1, 1]]})], []]
    },
    "an amount below zero": {hash_of(1): [[], [[COIN, USER, VAULT, -1]]]},
    "an amount of 2**256": {hash_of(1): [[], [[COIN, USER, VAULT, 2**256]]]},
    "an amount with a fraction": {hash_of(1): [[], [[COIN, USER, VAULT, 1.5]]]},
}


@pytest.mark.parametrize("rows", WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_what_is_not_of_the_form_is_refused_with_its_place(rows: Any) -> None:
    with pytest.raises(Refused, match=r"12\.json") as caught:
        parse(rows)

    assert caught.value.reason is Reason.HISTORY_INVALID


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"' + hash_of(1).encode() + b'": [[], [[1e999]]]}',
    ],
)
def test_bytes_that_are_no_json_are_refused_by_both_passes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("12.json", content)

    assert "12.json" in refusal(path).message
    if b"1e999" not in content:  # the outline does not look at amounts
        with pytest.raises(Refused):
            list(RecordedHistory(path).outline())


@pytest.mark.parametrize(
    "name",
    [
        "../12.json",
        "/12.json",
        "a/b/12.json",
        "12.json.exe",
        "twelve.json",
        "012.json",
        "-1.json",
        "a\\12.json",
        f"{2**63}.json",
    ],
)
def test_a_name_that_is_no_block_number_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "{}")

    assert "<block number>.json" in refusal(path).message


def test_a_block_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/12.json", "{}")
        archive.writestr("b/12.json", "{}")

    assert "twice" in refusal(path).message


def test_a_block_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("12.json", b" " * (module.MAX_BLOCK_BYTES + 1))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))

    assert f"{module.MAX_BLOCK_BYTES + 1} bytes" in refusal(path).message


def test_a_history_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(tmp_path / "a.zip", {n: {hash_of(n): recorded_deposit()} for n in range(5)})
    monkeypatch.setattr(module, "MAX_HISTORY_BYTES", 1_000)

    assert "unpacked" in refusal(path).message


def test_too_many_calls_and_transactions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLS", 2)
    monkeypatch.setattr(module, "MAX_TRANSACTIONS_OF_A_BLOCK", 2)

    with pytest.raises(Refused, match="3 calls"):
        parse({hash_of(1): [[recorded_call()] * 3, []]})
    with pytest.raises(Refused, match="3 transactions"):
        parse({hash_of(n): [] for n in range(3)})


def test_a_member_that_needs_another_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("12.json", "{}")

    assert "deflated" in refusal(path).message


def test_an_empty_archive_a_missing_file_and_a_text_file_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    (tmp_path / "text.zip").write_text("not a zip")

    assert "came none" in refusal(tmp_path / "empty.zip").message
    assert "expected a ZIP" in refusal(tmp_path / "text.zip").message
    assert "cannot be read" in refusal(tmp_path / "absent.zip").message


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "a", {1: {}})
    (path / "2.json").symlink_to(path / "1.json")

    assert "plain file" in refusal(path).message


@given(
    cut=st.integers(min_value=0, max_value=400),
    flips=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 255)), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(write_zip(folder / "a.zip", {1: {hash_of(1): recorded_deposit()}}).read_bytes())
    for place, change in flips:
        content[place % len(content)] ^= change
    (folder / "a.zip").write_bytes(content[: len(content) - cut])

    read_or_refused(lambda: list(RecordedHistory(folder / "a.zip").transactions()))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from([VAULT, COIN, "call", "complete", "sload", "0x1", DEPOSIT]),
    lambda inner: (
        st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from([VAULT, "x"]), inner, max_size=3)
    ),
    max_leaves=30,
)


@given(row=JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_in_a_row_is_read_or_refused_and_nothing_else(row: Any) -> None:
    read_or_refused(lambda: parse({hash_of(1): row}))


@given(content=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_in_a_block_are_read_or_refused_and_nothing_else(content: bytes) -> None:
    read_or_refused(lambda: list(parse_block(content, BLOCK, place="12.json")))
