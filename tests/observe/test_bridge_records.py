"""A bridge's recorded sides: read in the order of time, refused where a row is none."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from node.observe import bridge_records
from node.observe.bridge_records import read_burns, read_releases

HEAD = "timestamp,tx_hash,withdrawal_id,token,beneficiary,amount,more"
COIN, ALICE = "0x" + "a" * 40, "0x" + "1" * 40


def row(at: int = 5, **changes: str) -> str:
    fields = {
        "timestamp": str(at),
        "tx_hash": f"0x{at:064x}",
        "withdrawal_id": "7",
        "token": COIN,
        "beneficiary": ALICE,
        "amount": str(2**256 - 1),
    }
    return ",".join([*(fields | changes).values(), "passed over"])


def written(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "side.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_both_sides_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    path = written(tmp_path, row(9), row(5))

    assert [burn.burnt_at for burn in read_burns(path)] == [5, 9]
    first, _ = read_releases(path)
    assert first.claim == (7, COIN, ALICE, 2**256 - 1)
    assert first.reference == f"0x{5:064x}"


@pytest.mark.parametrize(
    "bad",
    [
        row(timestamp="-5"),
        row(timestamp="1e3"),
        row(timestamp=str(2**64)),
        row(tx_hash="0x12"),
        row(withdrawal_id=""),
        row(token="0xABC"),
        row(beneficiary="0x" + "A" * 40),
        row(amount=str(2**256)),
        row(amount="1.5"),
        "5,0x",
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(tmp_path: Path, bad: str) -> None:
    path = written(tmp_path, row(), bad)

    for read in (read_burns, read_releases):
        with pytest.raises(Refused, match="line 3") as raised:
            read(path)
        assert raised.value.reason is Reason.HISTORY_INVALID


def test_a_file_without_its_columns_or_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="no bridge's record"):
        read_burns(tmp_path / "nothing.csv")
    with pytest.raises(Refused, match="lacks the columns beneficiary, amount"):
        read_burns(written(tmp_path, head="timestamp,tx_hash,withdrawal_id,token"))
    monkeypatch.setattr(bridge_records, "MAX_BYTES", 10)
    with pytest.raises(Refused, match="split it"):
        read_burns(written(tmp_path, row()))


@given(st.binary(max_size=300), st.booleans())
def test_no_file_does_worse_than_being_refused(content: bytes, has_head: bool) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write((HEAD.encode() + b"\n" if has_head else b"") + content)
        file.flush()
        with contextlib.suppress(Refused):
            read_burns(Path(file.name))
