"""A bridge's two sides from recorded files: CSV, one event a row, told in the order of time.

The columns that are read are `timestamp` (Unix seconds), `tx_hash`, `withdrawal_id`, `token`, `beneficiary`
and `amount`; others are passed over. `token` is the token's name on the side of the releases.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from consensus.errors import Reason, Refused
from consensus.types import Seconds
from node.bridge import Burn, Claim, MessageId, Release
from node.trace import Account, Token, TokenUnits

MAX_BYTES: Final = 256 * 2**20
COLUMNS: Final = ("timestamp", "tx_hash", "withdrawal_id", "token", "beneficiary", "amount")

_NUMBER: Final = re.compile(r"[0-9]{1,78}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)

Event = TypeVar("Event", Burn, Release)


def read_burns(path: Path) -> tuple[Burn, ...]:
    """The burns of a file, by time. Raises `Refused` (HISTORY_INVALID) with the line at fault."""
    burns = _read(path, lambda claim, at, hash_: Burn(claim=claim, burnt_at=at, reference=hash_))
    return tuple(sorted(burns, key=lambda burn: burn.burnt_at))


def read_releases(path: Path) -> tuple[Release, ...]:
    """The releases of a file, by time. Raises `Refused` (HISTORY_INVALID) with the line at fault."""
    releases = _read(path, lambda claim, at, hash_: Release(claim=claim, released_at=at, reference=hash_))
    return tuple(sorted(releases, key=lambda release: release.released_at))


def _read(path: Path, make: Callable[[Claim, Seconds, str], Event]) -> list[Event]:
    if not path.is_file():
        raise Refused(Reason.HISTORY_INVALID, f"no bridge's record at {path}; give a CSV file")
    if path.stat().st_size > MAX_BYTES:
        raise Refused(Reason.HISTORY_INVALID, f"{path} is larger than {MAX_BYTES} bytes; split it by time")
    with path.open(encoding="ascii", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise Refused(Reason.HISTORY_INVALID, f"{path} lacks the columns {', '.join(missing)}")
        try:
            return [make(*_parse(row)) for row in reader]
        except (csv.Error, Refused) as error:
            raise Refused(Reason.HISTORY_INVALID, f"{path}, line {reader.line_num}: {error}") from error


def _parse(row: dict[str, str]) -> tuple[Claim, Seconds, str]:
    claim = Claim(
        message_id=MessageId(_number(row, "withdrawal_id")),
        token=Token(Account(row["token"] or "")),
        beneficiary=Account(row["beneficiary"] or ""),
        units=TokenUnits(_number(row, "amount")),
    )
    return claim, Seconds(_number(row, "timestamp")), _matched(row, "tx_hash", _HASH)


def _number(row: dict[str, str], column: str) -> int:
    return int(_matched(row, column, _NUMBER))


def _matched(row: dict[str, str], column: str, pattern: re.Pattern[str]) -> str:
    text = row[column] or ""
    if not pattern.fullmatch(text):
        raise Refused(Reason.HISTORY_INVALID, f"{column} matches {pattern.pattern}, came {text[:80]!r}")
    return text
