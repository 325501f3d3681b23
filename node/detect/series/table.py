"""Series in a file: a row a point, in order of time, as CSV or as JSON lines.

    block,time,hash,volume,price            {"block": 100, "time": 1700000000, "volume": 5}
    100,1700000000,0x…,5,200000000000
    101,1700000012,0x…,,200100000000

`block` and `time` (Unix seconds) must be there, `hash` (of the block) may; every other column is a series. An
empty cell, a null or a missing key is unknown at that point, never zero. Numbers are whole: scale what is
not. Without hashes each row stands for a branch of its own, and what is learned cannot be followed live.

The file may be a stranger's: lines and columns are bounded, and whatever is not of the form is refused with
its line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, Seconds
from node.detect.series.sample import Sample

MAX_LINE_BYTES: Final = 1 << 16
MAX_POINTS: Final = 10_000_000
MAX_COLUMNS: Final = 512
OWN_COLUMNS: Final = ("block", "time", "hash")

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,154})", re.ASCII)  # 2**512 has 155 digits
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_MOST_TIME: Final = 2**63
_JSON_LINE: Final = msgspec.json.Decoder(dict[str, int | str | None])


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFile:
    """A file of samples that can be read from the start as often as is needed."""

    path: Path

    @property
    def name(self) -> str:
        """What the samples are called."""
        return self.path.stem

    def samples(self) -> Iterator[Sample]:
        """Every point in order. Raises `Refused` (HISTORY_INVALID; the message starts with path and line)."""
        last: Sample | None = None
        for number, cells in self._rows():
            try:
                sample = _parse_row(cells, last)
            except (ValueError, Refused) as error:
                what = error.message if isinstance(error, Refused) else str(error)
                raise self._refusal(number, what) from None
            yield sample
            last = sample

    def _rows(self) -> Iterator[tuple[int, Mapping[str, int | str | None]]]:
        lines = self._lines()
        number, first = next(lines, (1, ""))
        if not first.lstrip().startswith("{"):
            yield from self._csv_rows(first, lines)
            return
        yield number, self._parse_json(number, first)
        for number, line in lines:
            yield number, self._parse_json(number, line)

    def _csv_rows(
        self, header: str, lines: Iterator[tuple[int, str]]
    ) -> Iterator[tuple[int, Mapping[str, int | str | None]]]:
        names = [each.strip() for each in next(csv.reader([header]), [])]
        if len(set(names)) < len(names) or not {"block", "time"} <= set(names):
            raise self._refusal(
                1, "expected the names of the columns, each once, block and time among them, such as "
                "block,time,volume"
            )  # fmt: skip
        for number, line in lines:
            cells = next(csv.reader([line]), [])
            if len(cells) != len(names):
                raise self._refusal(number, f"expected {len(names)} cells, came {len(cells)}")
            yield number, {name: cell.strip() or None for name, cell in zip(names, cells, strict=True)}

    def _parse_json(self, number: int, line: str) -> Mapping[str, int | str | None]:
        try:
            return _JSON_LINE.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._refusal(
                number, f'expected {{"block": …, "time": …, "series": …}}: {str(error)[:120]}'
            ) from None

    def _lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not empty, by number."""
        try:
            with self.path.open("rb") as file:
                number = 0
                while line := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if len(line) > MAX_LINE_BYTES:
                        raise self._refusal(number, f"more than {MAX_LINE_BYTES} bytes in a line")
                    if number > MAX_POINTS:
                        raise self._refusal(number, f"more than {MAX_POINTS} points; split the file")
                    if text := line.decode("utf-8").strip():
                        yield number, text.removeprefix("\ufeff")
        except OSError as error:
            raise Refused(Reason.HISTORY_INVALID, f"{self.path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise self._refusal(number, "expected UTF-8; save the file as UTF-8") from None

    def _refusal(self, line: int, message: str) -> Refused:
        return Refused(Reason.HISTORY_INVALID, f"{self.path}:{line}: {message}")


def _parse_row(cells: Mapping[str, int | str | None], last: Sample | None) -> Sample:
    """Raises `ValueError`, `Refused`."""
    if len(cells) > MAX_COLUMNS:
        raise ValueError(f"more than {MAX_COLUMNS} columns; leave out what no policy reads")
    block = BlockNumber(_parse_whole("block", cells.get("block"), most=_MOST_TIME))
    timestamp = Seconds(_parse_whole("time", cells.get("time"), most=_MOST_TIME))
    if last is not None and block <= last.block_number:
        raise ValueError(f"expected a block after {last.block_number}, came {block}; sort the rows")
    values = {}
    for name, cell in cells.items():
        if name in OWN_COLUMNS or cell is None:
            continue
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"the column {name[:48]!r}: a name starts with a-z and has at most 48 characters out of a-z, "
                "0-9, _ and -"
            )
        values[name] = _parse_whole(name, cell)
    is_next = last is not None and block == last.block_number + 1
    return Sample(
        block_number=block,
        block_hash=_parse_hash(cells.get("hash"), block),
        parent_hash=last.block_hash if last is not None and is_next else BlockHash(bytes(32)),
        timestamp=timestamp,
        values=values,
    )


def _parse_whole(name: str, cell: Any, *, most: int | None = None) -> int:
    if isinstance(cell, str):
        if not _WHOLE.fullmatch(cell):
            raise ValueError(f"{name}: expected a whole number, came {cell[:40]!r}; scale it to one first")
        cell = int(cell)
    if type(cell) is not int:
        raise ValueError(f"{name}: expected a whole number, came {_shown(cell)}")
    if most is not None and not 0 <= cell < most:
        raise ValueError(f"{name}: expected 0 to {most - 1}, came {cell}")
    return cell


def _shown(cell: Any) -> str:
    return "nothing" if cell is None else repr(cell)[:40]


def _parse_hash(cell: Any, block: BlockNumber) -> BlockHash:
    if cell is None:
        return BlockHash(block.to_bytes(32, "big"))
    if not isinstance(cell, str) or not _HASH.fullmatch(cell):
        raise ValueError("hash: expected 0x and 64 digits")
    return BlockHash(bytes.fromhex(cell[2:]))
