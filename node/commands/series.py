"""`tocsin series`: signals over time, learned and played from a file or from a node; nothing is signed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consensus.errors import Reason, Refused
from consensus.types import BlockNumber, ChainId
from node.commands.edge import JSON_OPTION, guarded, run_guarded, say
from node.commands.histories import BlockRange, parse_history, read_range_sight

if TYPE_CHECKING:
    from node.detect.series.table import SeriesFile

POLICY_OPTION = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Series policy, such as docs/policies/series.yaml.",
)
SERIES_OPTION = click.option(
    "--series",
    "series_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="CSV or JSON lines: block, time and a column for each series; `tocsin series record` writes one.",
)


@click.group("series")
def series_group() -> None:
    """Signals over time: record them from a node, learn from them, play them to a series policy."""


@series_group.command("learn")
@POLICY_OPTION
@SERIES_OPTION
@click.option(
    "--until-block",
    type=click.IntRange(min=0),
    help="Last block to learn from; left out, the first half of the points is learned from.",
)
@click.option(
    "--chain-id", type=click.IntRange(min=1), help="Of which chain the series are; needed to follow it live."
)
@click.option(
    "--out",
    "out_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to write what was learned.",
)
@JSON_OPTION
def learn(
    policy_file: Path,
    series_file: Path,
    until_block: int | None,
    chain_id: int | None,
    out_file: Path,
    as_json: bool,
) -> None:
    """Learn what is usual from a training span of series, and write it to a sealed file.

    Take care that the span is benign: what it holds is usual from then on.
    """
    from node.backtest.series import learn_series
    from node.commands.progress import showing
    from node.detect.sealed import write_sealed
    from node.detect.series.policy import read_series_policy

    policy = guarded(lambda: read_series_policy(policy_file))
    table = _table(series_file)
    points = guarded(lambda: _count_points(table, until_block))
    with showing([table.name]) as advance:
        learned = guarded(
            lambda: learn_series(
                table.samples(),
                policy,
                name=table.name,
                points=points,
                chain_id=None if chain_id is None else ChainId(chain_id),
                advance=lambda done, total: advance(0, done, total),
            )
        )
    guarded(lambda: write_sealed(out_file, learned.to_bytes()))
    state_hash = f"0x{learned.state_hash.hex()}"
    say(
        as_json,
        {
            "series": learned.series,
            "learned": learned.points,
            "last_block": learned.last_block,
            "policy_hash": f"0x{policy.hash.hex()}",
            "learned_hash": state_hash,
        },
        f"learned     {learned.points} points, the last of block {learned.last_block}\n"
        f"written     {out_file}\n"
        f"hash        {state_hash}\n"
        f"Next: write `learned: {state_hash}` into the policy, so that what was learned may brake.",
    )


@series_group.command("backtest")
@POLICY_OPTION
@SERIES_OPTION
@click.option(
    "--learned",
    "learned_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Start from what `tocsin series learn` wrote; what it learned from is not scored.",
)
@click.option(
    "--attack-block",
    type=click.IntRange(min=0),
    help="First block of an attack: points from there on are no false alarms. Left out for quiet times.",
)
@JSON_OPTION
def backtest(
    policy_file: Path, series_file: Path, learned_file: Path | None, attack_block: int | None, as_json: bool
) -> None:
    """Learn on the first half of the points, judge the second, and say what would have rung.

    \b
    Exit codes:
      0  the series were played, whatever came of it
      2  the policy, the series, the attack's block or learned state was refused
    """
    from node.backtest.series import play_series
    from node.backtest.series_report import as_dict, render_text
    from node.commands.progress import showing
    from node.detect.series.learned import read_series_learned
    from node.detect.series.policy import read_series_policy

    policy = guarded(lambda: read_series_policy(policy_file))
    table = _table(series_file)
    learned = guarded(lambda: read_series_learned(learned_file)) if learned_file else None
    with showing([table.name]) as advance:
        report = guarded(
            lambda: play_series(
                table.samples,
                policy,
                name=table.name,
                attack_block=None if attack_block is None else BlockNumber(attack_block),
                learned=learned,
                advance=lambda done, total: advance(0, done, total),
            )
        )
    click.echo(json.dumps(as_dict(report)) if as_json else render_text(report))


@series_group.command("record")
@click.option(
    "--signals",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Rule policy whose signals are the series, each under its name.",
)
@click.option(
    "--blocks",
    "blocks",
    required=True,
    metavar="URL#FROM:TO",
    help="Blocks of a node that has their state, as URL#FROM:TO or CONFIG.TOML#FROM:TO.",
)
@click.option(
    "--out",
    "out_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="CSV file to write; where it is there already, it goes on after its last block.",
)
@JSON_OPTION
def record(policy_file: Path, blocks: str, out_file: Path, as_json: bool) -> None:
    """Write the signals of a rule policy at each block into a file, for `tocsin series` to learn and play.

    What has no value at a block, such as a call that reverts, is left empty there.
    """
    from node.chain.reader import ChainReader
    from node.commands.looking import opened
    from node.commands.progress import showing
    from node.live.sampling import read_sample
    from node.observe.ancestry import Ancestry
    from node.observe.view import BlockView
    from node.policies import read_policy

    policy = guarded(lambda: read_policy(policy_file))
    wanted = guarded(lambda: _require_range(blocks))
    names = [signal.name for signal in policy.signals]
    begun = guarded(lambda: _last_recorded(out_file, names))
    first = wanted.first if begun is None else max(wanted.first, begun + 1)
    sight = guarded(lambda: read_range_sight(wanted, policy.source_chain_id))
    with showing([out_file.name]) as advance, _writing(out_file, names, is_new=begun is None) as write:

        async def work() -> None:
            async with opened(sight) as pool:
                reader, ancestry = ChainReader(pool), Ancestry()
                for number in range(first, wanted.last + 1):
                    ref = await reader.block_by_number(BlockNumber(number))
                    ancestry.add(ref)
                    sample = await read_sample(
                        BlockView(ref, reader, ancestry), {each.name: each for each in policy.signals}
                    )
                    write(
                        [number, ref.timestamp, f"0x{ref.hash.hex()}"]
                        + [sample.values.get(name, "") for name in names]
                    )
                    advance(0, number - wanted.first + 1, wanted.last - wanted.first + 1)

        run_guarded(work)
    points = wanted.last - wanted.first + 1
    say(
        as_json,
        {"points": points, "series": names, "out": str(out_file)},
        f"recorded    {len(names)} series at {points} blocks\n"
        f"written     {out_file}\n"
        f"Next: tocsin series learn --policy series.yaml --series {out_file} --out series.learned",
    )


def _table(path: Path) -> SeriesFile:
    from node.detect.series.table import SeriesFile

    return SeriesFile(path=path)


def _count_points(table: SeriesFile, until_block: int | None) -> int:
    numbers = [sample.block_number for sample in table.samples()]
    if until_block is None:
        return len(numbers) // 2
    return sum(number <= until_block for number in numbers)


def _require_range(text: str) -> BlockRange:
    wanted = parse_history(text)
    if not isinstance(wanted, BlockRange):
        raise Refused(Reason.BAD_CONFIG, "--blocks: expected URL#FROM:TO or CONFIG.TOML#FROM:TO")
    return wanted


def _last_recorded(path: Path, names: list[str]) -> BlockNumber | None:
    """The last block of a file that was begun; None where there is none. Raises `Refused`
    (RECORDING_CONFLICT)."""
    if not path.exists():
        return None
    with path.open(encoding="ascii", errors="replace") as file:
        header = file.readline().strip()
    if header != ",".join(["block", "time", "hash", *names]):
        raise Refused(
            Reason.RECORDING_CONFLICT,
            f"{path} was recorded of other signals; name another --out, or move it away",
        )
    last: BlockNumber | None = None
    for sample in _table(path).samples():
        last = sample.block_number
    return last


@contextmanager
def _writing(path: Path, names: list[str], *, is_new: bool) -> Iterator[Any]:
    """Writes a row at a time, each whole."""
    try:
        with path.open("w" if is_new else "a", encoding="ascii", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")

            def write(cells: list[Any]) -> None:
                rows.writerow(cells)
                file.flush()

            if is_new:
                write(["block", "time", "hash", *names])
            yield write
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from None
