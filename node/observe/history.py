"""Recorded histories: every transaction of a protocol, from a ZIP file or a folder, in order of time.

The form: one `<block number>.json` for each block, in it `{transaction hash: [calls, transfers]}`, or `[]`
for a transaction of which nothing was recorded.

- call: `[contract, selector, status, start, end, kind, accesses]`; `accesses` is
  `{contract: [["sload" | "sstore", slot, value, pc, step], …]}` or `[]`, where `step` may be missing.
  A call whose status is not `complete` was undone by the EVM, and is left out.
- transfer: `[token, from, to, amount]`.

Beside the blocks there may be `recording.json`, which says what was recorded: `{"format":
"tocsin.recording.v1", "chain_id": …, "contracts": […], "first": …, "last": …, "last_hash": "0x…"}`.

The file is a stranger's. Names within it are only ever parsed as block numbers, never used as paths; nothing
is unpacked to the disk; sizes are bounded before a byte is read; and whatever is not of the form is refused
with the file and the place in it.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber, ChainId
from node.trace import (
    Account,
    CallFrame,
    CallKind,
    Slot,
    StorageAccess,
    Token,
    TokenUnits,
    TransactionTrace,
    Transfer,
    compute_parents,
)

MAX_BLOCKS: Final = 5_000_000
MAX_BLOCK_BYTES: Final = 64 * 1024 * 1024  # the largest recorded so far has 0.7 MiB
MAX_HISTORY_BYTES: Final = 64 * 1024**3
MAX_TRANSACTIONS_OF_A_BLOCK: Final = 10_000
MAX_CALLS: Final = 20_000  # of one transaction; a block's gas pays for fewer
MAX_STEP: Final = 2**40

# One folder may stand before the name, as zip makes it of a folder.
_MEMBER: Final = re.compile(r"(?:[^./\\][^/\\]{0,99}/)?(0|[1-9][0-9]{0,18})\.json", re.ASCII)
_COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # others unpack with much memory
_ENCRYPTED: Final = 0x1
_WORD_LIMIT: Final = 2**256

_Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]
_Word = Annotated[str, msgspec.Meta(min_length=3, max_length=66)]  # parsed by _parse_word
_Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{64}\Z")]
_Selector = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,64}\Z")]  # none in a plain payment
_Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,64}\Z")]
_Step = Annotated[int, msgspec.Meta(ge=-1, le=MAX_STEP)]


class _Access(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    operation: Literal["sload", "sstore"]
    slot: _Word
    value: _Word
    program_counter: _Step
    step: _Step | None = None


class _Call(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    contract: _Address
    selector: _Selector
    status: _Name
    start: _Step
    end: _Step
    kind: CallKind
    accesses: dict[_Address, list[_Access]] | list[_Access]


class _Transfer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    token: _Name  # an address, or what the recorder calls the chain's own coin
    sender: _Address
    receiver: _Address
    units: int


class _Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    calls: list[_Call] | None = None
    transfers: list[_Transfer] | None = None


RECORDING_FORMAT: Final = "tocsin.recording.v1"
RECORDING_NAME: Final = "recording.json"
MAX_RECORDING_BYTES: Final = 1 << 20
_RECORDING_MEMBER: Final = re.compile(rf"(?:[^./\\][^/\\]{{0,99}}/)?{re.escape(RECORDING_NAME)}", re.ASCII)


class _Recording(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: Literal["tocsin.recording.v1"]
    chain_id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    contracts: Annotated[list[_Address], msgspec.Meta(min_length=1, max_length=1024)]
    first: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    last: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    last_hash: _Hash


_BLOCK = msgspec.json.Decoder(dict[_Hash, _Row])
_OUTLINE = msgspec.json.Decoder(dict[str, list[msgspec.Raw]])
_NOTHING: Final[Mapping[Account, tuple[StorageAccess, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A transaction in a history's outline."""

    hash: str
    block_number: BlockNumber
    is_empty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a history is a recording of: all that touched these contracts in these blocks, both ends in it."""

    chain_id: ChainId
    contracts: tuple[Account, ...]
    """Sorted."""
    first: BlockNumber
    last: BlockNumber
    last_hash: BlockHash

    def to_bytes(self) -> bytes:
        """The content of `recording.json`."""
        return msgspec.json.encode(
            _Recording(
                format=RECORDING_FORMAT,
                chain_id=self.chain_id,
                contracts=[str(each) for each in self.contracts],
                first=self.first,
                last=self.last,
                last_hash=f"0x{self.last_hash.hex()}",
            )
        )


class RecordedHistory:
    """A history that can be read from the start as often as is needed; a block at a time is in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.resolve().name.removesuffix(".zip")

    def transactions(self, *, from_block: int = 0) -> Iterator[TransactionTrace]:
        """Every transaction in order of time, empty ones too, from a block on.

        Raises `Refused` (HISTORY_INVALID).
        """
        for number, place, content in self._blocks(from_block):
            yield from parse_block(content, number, place=place)

    def outline(self) -> Iterator[Row]:
        """Every transaction in the same order, read no further than whether anything was recorded of it.

        Raises `Refused` (HISTORY_INVALID).
        """
        for number, place, content in self._blocks():
            yield from _outline_block(content, number, place=place)

    def recording(self) -> Recording | None:
        """What was recorded; None where the history does not say. Raises `Refused` (HISTORY_INVALID)."""
        if self._path.is_dir():
            path = self._path / RECORDING_NAME
            if not path.is_file() or path.is_symlink():
                return None
            with path.open("rb") as file:
                return parse_recording(file.read(MAX_RECORDING_BYTES + 1), place=f"{path}")
        with self._opened() as archive:
            told = [each for each in archive.infolist() if _RECORDING_MEMBER.fullmatch(each.filename)]
            if not told:
                return None
            place = f"{self._path}: {RECORDING_NAME}"
            if len(told) > 1 or told[0].file_size > MAX_RECORDING_BYTES:
                raise _refusal(place, f"expected one member of at most {MAX_RECORDING_BYTES} bytes")
            self._require_plain(told[0])
            return parse_recording(self._unpack(archive, told[0], place), place=place)

    def fingerprint(self) -> bytes:
        """SHA-256 over number and content of every block; 32 bytes, the same for a ZIP file and for the
        folder that it holds. Raises `Refused` (HISTORY_INVALID)."""
        whole = hashlib.sha256()
        for number, _, content in self._blocks():
            whole.update(b"%d %d\n" % (number, len(content)))
            whole.update(content)
        return whole.digest()

    def _blocks(self, from_block: int = 0) -> Iterator[tuple[BlockNumber, str, bytes]]:
        """Number, place for messages, and content of each block, by number."""
        if self._path.is_dir():
            return self._blocks_of_folder(from_block)
        return self._blocks_of_zip(from_block)

    def _blocks_of_folder(self, from_block: int) -> Iterator[tuple[BlockNumber, str, bytes]]:
        sizes: dict[BlockNumber, int] = {}
        for entry in self._path.iterdir():
            if entry.name == RECORDING_NAME:
                continue
            number = self._number_of(entry.name, known=sizes)
            if entry.is_symlink() or not entry.is_file():
                raise _refusal(f"{entry}", "expected a plain file; a history holds no links and no folders")
            sizes[number] = entry.stat().st_size
        self._require_bounded(sizes)
        for number in sorted(each for each in sizes if each >= from_block):
            path = self._path / f"{number}.json"
            with path.open("rb") as file:
                yield number, f"{path}", self._read(file.read(MAX_BLOCK_BYTES + 1), path.name)

    def _blocks_of_zip(self, from_block: int) -> Iterator[tuple[BlockNumber, str, bytes]]:
        with self._opened() as archive:
            members: dict[BlockNumber, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                if info.is_dir() or _RECORDING_MEMBER.fullmatch(info.filename):
                    continue
                members[self._number_of(info.filename, known=members)] = info
                self._require_plain(info)
            self._require_bounded({number: info.file_size for number, info in members.items()})
            for number in sorted(each for each in members if each >= from_block):
                place = f"{self._path}: {_shown(members[number].filename)}"
                yield number, place, self._unpack(archive, members[number], place)

    def _require_plain(self, info: zipfile.ZipInfo) -> None:
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _COMPRESSIONS:
            raise _refusal(
                f"{self._path}: {_shown(info.filename)}", "expected a plain deflated or stored member"
            )

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            archive = zipfile.ZipFile(self._path)
        except OSError as error:
            raise _refusal(f"{self._path}", f"cannot be read: {error.strerror}") from None
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise _refusal(
                f"{self._path}", f"expected a ZIP file or a folder of <block>.json files: {error}"
            ) from None
        with archive:
            yield archive

    def _unpack(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> bytes:
        try:
            with archive.open(info) as member:
                return self._read(member.read(MAX_BLOCK_BYTES + 1), place)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise _refusal(place, f"the archive is damaged here: {error}") from None

    def _read(self, content: bytes, place: str) -> bytes:
        """What a header says of a size is a claim; this is the size."""
        if len(content) > MAX_BLOCK_BYTES:
            raise _refusal(place, f"more than {MAX_BLOCK_BYTES} bytes in one block; split the recording")
        return content

    def _number_of(self, name: str, *, known: Mapping[BlockNumber, object]) -> BlockNumber:
        matched = _MEMBER.fullmatch(name)
        if matched is None or int(matched[1]) >= 2**63:
            raise _refusal(f"{self._path}: {_shown(name)}", "expected the name <block number>.json")
        number = BlockNumber(int(matched[1]))
        if number in known:
            raise _refusal(f"{self._path}: {_shown(name)}", f"block {number} is there twice; keep one")
        if len(known) >= MAX_BLOCKS:
            raise _refusal(f"{self._path}", f"more than {MAX_BLOCKS} blocks; split the history")
        return number

    def _require_bounded(self, sizes: Mapping[BlockNumber, int]) -> None:
        if not sizes:
            raise _refusal(f"{self._path}", "expected at least one <block number>.json, came none")
        for number, size in sizes.items():
            if size > MAX_BLOCK_BYTES:
                raise _refusal(
                    f"{self._path}: {number}.json", f"{size} bytes; at most {MAX_BLOCK_BYTES} are read"
                )
        total = sum(sizes.values())
        if total > MAX_HISTORY_BYTES:
            raise _refusal(f"{self._path}", f"{total} bytes unpacked; at most {MAX_HISTORY_BYTES} are read")


def parse_recording(content: bytes, *, place: str) -> Recording:
    """What `recording.json` says. Raises `Refused` (HISTORY_INVALID) with `place`."""
    if len(content) > MAX_RECORDING_BYTES:
        raise _refusal(place, f"more than {MAX_RECORDING_BYTES} bytes; make the recording anew")
    try:
        told = msgspec.json.decode(content, type=_Recording)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(place, f"expected what was recorded: {_shown(str(error), 200)}") from None
    if told.first > told.last:
        raise _refusal(place, f"expected blocks in order, came {told.first} to {told.last}")
    return Recording(
        chain_id=ChainId(told.chain_id),
        contracts=tuple(sorted({Account(each.lower()) for each in told.contracts})),
        first=BlockNumber(told.first),
        last=BlockNumber(told.last),
        last_hash=BlockHash(bytes.fromhex(told.last_hash[2:])),
    )


def parse_block(content: bytes, number: BlockNumber, *, place: str) -> Iterator[TransactionTrace]:
    """The transactions of one block in the order of the file. Raises `Refused` (HISTORY_INVALID) with
    `place`."""
    try:
        rows = _BLOCK.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(place, f"expected {{hash: [calls, transfers]}}: {_shown(str(error), 200)}") from None
    if len(rows) > MAX_TRANSACTIONS_OF_A_BLOCK:
        raise _refusal(place, f"{len(rows)} transactions in a block; at most {MAX_TRANSACTIONS_OF_A_BLOCK}")
    for index, (transaction_hash, row) in enumerate(rows.items()):
        try:
            yield _parse_row(row, transaction_hash.lower(), number, index)
        except ValueError as error:
            raise _refusal(f"{place}: {transaction_hash}", f"{error}") from None


def _parse_row(row: _Row, transaction_hash: str, number: BlockNumber, index: int) -> TransactionTrace:
    """Raises `ValueError`."""
    if (row.calls is None) != (row.transfers is None):
        raise ValueError("expected [calls, transfers] or [], came calls without transfers")
    return TransactionTrace(
        hash=transaction_hash,
        block_number=number,
        index=index,
        frames=_parse_frames(row.calls or []),
        transfers=tuple(_parse_transfer(each) for each in row.transfers or ()),
    )


def _parse_frames(calls: list[_Call]) -> tuple[CallFrame, ...]:
    if len(calls) > MAX_CALLS:
        raise ValueError(f"{len(calls)} calls in one transaction; at most {MAX_CALLS} are read")
    ordered = sorted((call for call in calls if call.status == "complete"), key=lambda c: (c.start, -c.end))
    spans = [(call.start, call.end) for call in ordered]
    for start, end in spans:
        if end < start:
            raise ValueError(f"expected a call to end at or after its start, came {start} to {end}")
    return tuple(
        CallFrame(
            contract=Account(call.contract.lower()),
            selector=call.selector.lower(),
            kind=call.kind,
            start_step=call.start,
            end_step=call.end,
            parent=parent,
            accesses=_parse_accesses(call.accesses),
        )
        for call, parent in zip(ordered, compute_parents(spans), strict=True)
    )


def _parse_accesses(
    accesses: dict[str, list[_Access]] | list[_Access],
) -> Mapping[Account, tuple[StorageAccess, ...]]:
    if isinstance(accesses, list):
        if accesses:
            raise ValueError("expected accesses as {contract: [...]}, or [] for none, came a list of them")
        return _NOTHING
    return MappingProxyType(
        {Account(contract.lower()): _in_order_of_steps(done) for contract, done in accesses.items()}
    )


def _in_order_of_steps(done: list[_Access]) -> tuple[StorageAccess, ...]:
    # A recording may list a frame's own accesses before those of the frames within it.
    if all(access.step is not None for access in done):
        done = sorted(done, key=lambda access: access.step or 0)
    return tuple(
        StorageAccess(Slot(_parse_word(access.slot)), _parse_word(access.value), access.operation == "sstore")
        for access in done
    )


@lru_cache(maxsize=1 << 16)  # the same slots come again and again; measured at a third of the reading time
def _parse_word(text: str) -> int:
    # int() alone would also take blanks, underscores and the digits of other scripts.
    if not text.startswith("0x") or not text.isalnum() or not text.isascii():
        raise ValueError(f"expected a word of storage as 0x and 1 to 64 digits, came {_shown(text)}")
    return int(text, 16)


def _parse_transfer(transfer: _Transfer) -> Transfer:
    if not 0 <= transfer.units < _WORD_LIMIT:
        raise ValueError("expected a transfer's amount from 0 to below 2**256")
    return Transfer(
        Token(Account(transfer.token.lower())),
        Account(transfer.sender.lower()),
        Account(transfer.receiver.lower()),
        TokenUnits(transfer.units),
    )


def _outline_block(content: bytes, number: BlockNumber, *, place: str) -> Iterator[Row]:
    try:
        rows = _OUTLINE.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(place, f"expected {{hash: [calls, transfers]}}: {_shown(str(error), 200)}") from None
    for transaction_hash, row in rows.items():
        is_empty = all(bytes(part) == b"[]" for part in row)
        yield Row(hash=transaction_hash.lower(), block_number=number, is_empty=is_empty)


def _refusal(place: str, message: str) -> Refused:
    return Refused(Reason.HISTORY_INVALID, f"{place}: {message}")


def _shown(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else f"{text[: most - 1]}…")[1:-1]
