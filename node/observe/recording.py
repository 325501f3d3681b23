"""Writes recorded histories from live traces, in the form that `node/observe/history.py` reads.

    blocks, settled, in order ─► traces ─► <out>.part/<block>.json, progress.json ─► <out>

A recording can be stopped at any time and goes on where it was. It has no holes: a block without traces ends
it, to be tried again. Blocks that left nothing on the watched contracts have no file. Steps of the EVM are
not told (`node/observe/execution.py`): accesses stand in their order, with -1 for the program counter.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockHash, BlockNumber, ChainId
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.observe.history import RECORDING_FORMAT, RECORDING_NAME, Recording
from node.observe.traces import GapKind, TraceGap, TraceReader
from node.trace import Account, CallFrame, TransactionTrace

STRIDE: Final = 16  # blocks that are traced at once; an endpoint works on as many requests of ours
ATTEMPTS: Final = 3  # for a block that too few endpoints agree on
FIRST_RETRY_SECONDS: Final = 0.5
MAX_PROGRESS_BYTES: Final = 1 << 20
_PROGRESS: Final = "progress.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a recording came to."""

    blocks: int
    """Looked at, those of earlier runs too."""
    transactions: int
    """Written, those of earlier runs too."""


class _Progress(msgspec.Struct, forbid_unknown_fields=True):
    """How far a recording is, and of what it is."""

    format: str
    chain_id: int
    contracts: list[str]
    first: int
    last: int
    next: int
    transactions: int
    parent: str | None = None
    """Hash of the last block that was recorded."""


def encode_block(traces: Sequence[TransactionTrace]) -> bytes:
    """One block as a history holds it: JSON of `{transaction hash: [calls, transfers]}`."""
    rows = {
        trace.hash: [
            [_encode_frame(frame) for frame in trace.frames],
            [[each.token, each.sender, each.receiver, each.units] for each in trace.transfers],
        ]
        for trace in traces
    }
    return json.dumps(rows, separators=(",", ":"), allow_nan=False).encode("ascii")


def _encode_frame(frame: CallFrame) -> list[Any]:
    accesses = {
        owner: [
            ["sstore" if each.is_write else "sload", hex(each.slot), hex(each.value), -1] for each in done
        ]
        for owner, done in frame.accesses.items()
    }
    span = (frame.start_step, frame.end_step)
    return [frame.contract, frame.selector, "complete", *span, frame.kind.value, accesses or []]


async def record(
    reader: ChainReader,
    traces: TraceReader,
    *,
    first: BlockNumber,
    last: BlockNumber,
    out: Path,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> Recorded:
    """Record the blocks from `first` to `last` into the ZIP file `out`, or go on with that.

    `advance` is told how many blocks are done, of how many. Raises `Refused` (OUT_OF_RANGE;
    RECORDING_CONFLICT where `out` is there, or was begun as another recording), `Unavailable` where a block
    cannot be read, or has no traces.
    """
    if not 0 <= first <= last:
        raise Refused(Reason.OUT_OF_RANGE, f"expected blocks FROM:TO in order, came {first}:{last}")
    recording = _Recording.open(out, reader.chain_id, traces.watched, first=first, last=last)
    latest = await reader.latest_number()
    if last > latest:
        raise Refused(
            Reason.OUT_OF_RANGE, f"block {last} is not there yet; the newest is {latest}: record up to that"
        )
    while recording.next <= last:
        numbers = range(recording.next, min(recording.next + STRIDE, last + 1))
        refs = await _read_refs(reader, [BlockNumber(number) for number in numbers])
        for ref, seen in zip(refs, await _read_all(traces, refs), strict=True):
            recording.add(ref, seen)
            advance(recording.next - first, last - first + 1)
    return recording.finish()


async def read_patiently(
    traces: TraceReader,
    ref: BlockRef,
    *,
    sleep: Callable[[float], Awaitable[None]] = trio.sleep,
) -> tuple[TransactionTrace, ...] | TraceGap:
    """The traces of a block that some endpoints may not have yet: tried again before it is a gap."""
    pause_seconds = FIRST_RETRY_SECONDS
    for _ in range(ATTEMPTS - 1):
        seen = await traces.read(ref)
        if not isinstance(seen, TraceGap) or seen.kind is GapKind.NOT_OFFERED:
            return seen
        await sleep(pause_seconds)
        pause_seconds *= 2
    return await traces.read(ref)


async def _read_refs(reader: ChainReader, numbers: Sequence[BlockNumber]) -> list[BlockRef]:
    refs: list[BlockRef] = []
    for number, ref in zip(numbers, await reader.blocks_by_number(numbers), strict=True):
        if isinstance(ref, Unavailable):
            raise ref
        if ref is None:
            raise Unavailable(f"block {number} is not known to enough endpoints; start again to go on")
        refs.append(ref)
    return refs


async def _read_all(traces: TraceReader, refs: Sequence[BlockRef]) -> list[tuple[TransactionTrace, ...]]:
    """The traces of several blocks at once. Raises `Unavailable` with the first gap."""
    seen: dict[int, tuple[TransactionTrace, ...] | TraceGap] = {}

    async def read(ref: BlockRef) -> None:
        seen[ref.number] = await read_patiently(traces, ref)

    async with trio.open_nursery() as nursery:
        for ref in refs:
            nursery.start_soon(read, ref)
    whole: list[tuple[TransactionTrace, ...]] = []
    for ref in refs:
        of_block = seen[ref.number]
        if isinstance(of_block, TraceGap):
            raise Unavailable(f"{of_block}; a recording has no holes: start again to go on from there")
        whole.append(of_block)
    return whole


class _Recording:
    """The folder beside the output that holds what is done so far."""

    def __init__(self, out: Path, progress: _Progress) -> None:
        self._out = out
        self._folder = _folder_of(out)
        self._progress = progress

    @classmethod
    def open(
        cls,
        out: Path,
        chain_id: ChainId,
        watched: frozenset[Account],
        *,
        first: BlockNumber,
        last: BlockNumber,
    ) -> _Recording:
        """Begin, or go on with what was begun for the same contracts and blocks."""
        if out.exists():
            raise _conflict(out, "is there already; name another --out, or move it away")
        wanted = _Progress(
            format=RECORDING_FORMAT,
            chain_id=chain_id,
            contracts=sorted(watched),
            first=first,
            last=last,
            next=first,
            transactions=0,
        )
        folder = _folder_of(out)
        begun = _read_progress(folder / _PROGRESS) if folder.exists() else None
        if begun is not None:
            if not _is_same(begun, wanted):
                raise _conflict(folder, "was begun with other contracts or blocks, or on another chain")
            return cls(out, begun)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _conflict(folder, f"cannot be made ({error.strerror})") from None
        return cls(out, wanted)

    @property
    def next(self) -> BlockNumber:
        """The first block that is not done."""
        return BlockNumber(self._progress.next)

    def add(self, ref: BlockRef, traces: Sequence[TransactionTrace]) -> None:
        """Keep a block's traces, then that they are kept. Raises `Unavailable` after a reorg."""
        parent = self._progress.parent
        if parent is not None and parent != ref.parent_hash.hex():
            raise Unavailable(
                f"{ref} does not follow the block that was recorded before it: the chain was reorganised. "
                f"Remove {self._folder} and record blocks that are settled"
            )
        if traces:
            _write_whole(self._folder / f"{ref.number}.json", encode_block(traces))
        self._progress = msgspec.structs.replace(
            self._progress,
            next=ref.number + 1,
            transactions=self._progress.transactions + len(traces),
            parent=ref.hash.hex(),
        )
        _write_whole(self._folder / _PROGRESS, msgspec.json.encode(self._progress))

    def finish(self) -> Recorded:
        """Pack everything into the output, whole or not at all."""
        progress = self._progress
        if not progress.transactions:
            raise Refused(
                Reason.HISTORY_INVALID,
                f"blocks {progress.first} to {progress.last} left nothing on the watched contracts: there is "
                "no history to write; check the addresses, or record more blocks",
            )
        beside = self._folder / "packed"
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in sorted(int(path.stem) for path in self._folder.glob("[0-9]*.json")):
                archive.write(self._folder / f"{number}.json", f"{number}.json")
            archive.writestr(RECORDING_NAME, self._recorded().to_bytes())
        beside.replace(self._out)
        shutil.rmtree(self._folder)
        return Recorded(
            blocks=progress.last - progress.first + 1,
            transactions=progress.transactions,
        )

    def _recorded(self) -> Recording:
        progress = self._progress
        assert progress.parent is not None
        return Recording(
            chain_id=ChainId(progress.chain_id),
            contracts=tuple(Account(each) for each in sorted(progress.contracts)),
            first=BlockNumber(progress.first),
            last=BlockNumber(progress.last),
            last_hash=BlockHash(bytes.fromhex(progress.parent)),
        )


def _folder_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _is_same(begun: _Progress, wanted: _Progress) -> bool:
    def of(progress: _Progress) -> tuple[object, ...]:
        return (progress.format, progress.chain_id, progress.contracts, progress.first, progress.last)

    return of(begun) == of(wanted) and wanted.first <= begun.next <= wanted.last + 1


def _read_progress(path: Path) -> _Progress | None:
    """None where nothing was kept yet."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_PROGRESS_BYTES), type=_Progress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _conflict(path, f"cannot be read as the progress of a recording ({error})") from None


def _write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all, whenever we are stopped."""
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise _conflict(path, f"cannot be written ({error.strerror}); make room and start again") from None


def _conflict(path: Path, what: str) -> Refused:
    return Refused(Reason.RECORDING_CONFLICT, f"{path} {what}")
