"""Where a command's histories come from: files, or blocks of a node, which are read into a file first.

    history.zip, a folder                 what `tocsin record` or somebody else recorded
    http://127.0.0.1:8545#100:200         blocks 100 to 200 of a node
    config.toml#100:200                   the same from the endpoints of a configuration, which must agree

Where a history's first half ends is known only when all of it was read, so blocks are recorded first and
played then: what comes out is what recording them by hand would have given. They lie in a folder that goes
with the command, or stay beside its checkpoints. No name, message or report holds an address: it may have a
credential in it.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import Address, BlockNumber, ChainId
from node.commands.edge import guarded, run_guarded
from node.commands.looking import Sight, opened, parse_blocks, parse_contracts, read_sight
from node.commands.progress import showing
from node.config import LogFormat

TIMEOUT_SECONDS: Final = 30.0  # for one answer of an address that was given; a trace takes its time
HISTORY_HELP: Final = (
    "Recorded history: a ZIP file or a folder of <block>.json files; or blocks of a node, "
    "as URL#FROM:TO or CONFIG.TOML#FROM:TO, with --contracts."
)

_RANGE: Final = re.compile(r"(?P<source>.+)#(?P<blocks>[^#]*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRange:
    """Blocks of a node, first and last included."""

    source: str
    """An address, or the path of a configuration; never shown."""
    first: BlockNumber
    last: BlockNumber


def history_options(command: click.decorators.FC) -> click.decorators.FC:
    """The options that blocks of a node need beside `--history`."""
    for option in (
        click.option(
            "--chain-id", type=click.IntRange(min=1), help="Which chain of the configuration to read."
        ),
        click.option(
            "--contracts",
            multiple=True,
            help="For blocks of a node: the protocol's addresses, with commas between; of a proxy, its own.",
        ),
    ):
        command = option(command)
    return command


def parse_history(text: str) -> Path | BlockRange:
    """What `--history` names: a path that is there, else blocks where it has the form. Raises `Refused`
    (BAD_CONFIG)."""
    is_address = text.startswith(("http://", "https://"))
    if not is_address and Path(text).exists():
        return Path(text)
    matched = _RANGE.fullmatch(text)
    if matched is None and is_address:
        raise Refused(
            Reason.BAD_CONFIG, "--history: of a node, expected URL#FROM:TO, came an address without blocks"
        )
    if matched is None:
        return Path(text)
    first, last = parse_blocks(matched["blocks"], option="--history")
    return BlockRange(source=matched["source"], first=first, last=last)


@contextmanager
def on_disk(
    histories: Sequence[str],
    *,
    contracts: Sequence[str],
    chain_id: int | None,
    folder: Path | None,
    as_json: bool,
) -> Iterator[list[Path]]:
    """The path of each history, in their order, while the block lasts.

    Blocks of a node are recorded into `folder`, where they stay and a stopped reading goes on; without one,
    into a folder that is removed in the end. Our own errors end the command.
    """
    named: list[Path | BlockRange] = guarded(lambda: [parse_history(each) for each in histories])
    if not any(isinstance(each, BlockRange) for each in named):
        if contracts or chain_id is not None:
            raise click.UsageError("--contracts and --chain-id belong to blocks of a node, URL#FROM:TO")
        yield [each for each in named if isinstance(each, Path)]
        return
    watched = guarded(lambda: parse_contracts(contracts))
    if folder is not None:
        make_folder(folder)
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-blocks-")))
        yield [
            each if isinstance(each, Path) else _record(each, watched, chain_id, place, as_json=as_json)
            for each in named
        ]


def make_folder(folder: Path) -> None:
    """Make a folder that a command was given, if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.FileError(str(folder), hint=error.strerror) from None


def name_of(blocks: BlockRange, chain_id: ChainId, contracts: Sequence[Address]) -> str:
    """What a history of these blocks is called: by chain, blocks and contracts, not by a node's address."""
    watched = ",".join(sorted(each.lower() for each in contracts))
    return f"chain-{chain_id}-{blocks.first}-{blocks.last}-{keccak256(watched.encode())[:4].hex()}"


def _record(
    blocks: BlockRange, contracts: Sequence[Address], chain_id: int | None, folder: Path, *, as_json: bool
) -> Path:
    from node.chain.reader import ChainReader
    from node.observe.recording import record
    from node.observe.traces import TraceReader
    from node.operate.logs import configure_logs

    sight = guarded(lambda: read_range_sight(blocks, chain_id))
    configure_logs(LogFormat.JSON if as_json else LogFormat.CONSOLE, stream=sys.stderr)
    with showing([f"reading blocks {blocks.first} to {blocks.last}"]) as advance:

        async def work() -> Path:
            async with opened(sight) as pool:
                out = folder / f"{name_of(blocks, pool.chain_id, contracts)}.zip"
                if not out.exists():
                    await record(
                        ChainReader(pool),
                        TraceReader(pool, contracts),
                        first=blocks.first,
                        last=blocks.last,
                        out=out,
                        advance=lambda done, total: advance(0, done, total),
                    )
                return out

        path: Path = run_guarded(work)
    return path


def read_range_sight(blocks: BlockRange, chain_id: int | None) -> Sight:
    """Where these blocks are read. Raises `Refused` (BAD_CONFIG)."""
    is_address = blocks.source.startswith(("http://", "https://"))
    return read_sight(
        config_file=None if is_address else Path(blocks.source),
        chain_id=chain_id,
        urls=(blocks.source,) if is_address else (),
        agreement=None,
        timeout_seconds=TIMEOUT_SECONDS,
    )
