"""`tocsin learn` and `tocsin backtest`: what the trace detectors would have done with recorded histories."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consensus.errors import Reason, Refused
from node.commands.edge import JSON_OPTION, guarded, say
from node.commands.histories import HISTORY_HELP, history_options, make_folder, on_disk

if TYPE_CHECKING:
    from node.backtest.checkpoint import CheckpointFile
    from node.backtest.job import Job
    from node.backtest.report import Report
    from node.commands.progress import Advance
    from node.observe.history import RecordedHistory

POLICY_OPTION = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Detection policy, such as docs/policies/general.yaml.",
)


@click.command("learn")
@POLICY_OPTION
@click.option(
    "--history",
    "history",
    required=True,
    help=HISTORY_HELP,
)
@history_options
@click.option(
    "--until-block",
    type=click.IntRange(min=0),
    help="Last block to learn from; left out, the first half of the transactions is learned from.",
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
    history: str,
    contracts: tuple[str, ...],
    chain_id: int | None,
    until_block: int | None,
    out_file: Path,
    as_json: bool,
) -> None:
    """Learn from a training span of a history alone, and write what was learned to a file.

    Take care that the span is benign: what it holds is usual from then on.
    """
    from node.backtest.play import learn_history
    from node.backtest.shown import printable
    from node.commands.progress import showing
    from node.detect.policy import read_detection_policy
    from node.detect.sealed import write_sealed
    from node.observe.history import RecordedHistory

    policy = guarded(lambda: read_detection_policy(policy_file))
    with on_disk([history], contracts=contracts, chain_id=chain_id, folder=None, as_json=as_json) as (path,):
        recorded = RecordedHistory(path)
        with showing([printable(recorded.name)]) as advance:
            learned = guarded(
                lambda: learn_history(
                    recorded,
                    policy,
                    until_block=until_block,
                    advance=lambda done, total: advance(0, done, total),
                )
            )
    guarded(lambda: write_sealed(out_file, learned.to_bytes()))
    block_number, recorded = learned.last_position[0], learned.recorded
    say(
        as_json,
        {
            "history": learned.history,
            "learned": learned.transactions,
            "last_block": block_number,
            "until_block": None if recorded is None else recorded.until_block,
            "contracts": [] if recorded is None else list(recorded.contracts),
            "policy_hash": f"0x{policy.hash.hex()}",
            "learned_hash": learned.hash(),
        },
        f"learned     {learned.transactions} transactions, the last in block {block_number}\n"
        + (f"up to       block {recorded.until_block}\n" if recorded else "")
        + f"written     {out_file}\n"
        f"hash        {learned.hash()}\n"
        f"Next: tocsin backtest --learned {out_file}, with the same policy.",
    )


@click.command("backtest")
@POLICY_OPTION
@click.option(
    "--history",
    "history_texts",
    required=True,
    multiple=True,
    help=f"{HISTORY_HELP} May be given several times.",
)
@history_options
@click.option(
    "--exploit-tx",
    "exploit_hashes",
    multiple=True,
    help="Hash of an exploit's transaction, in whichever history; left out for controls.",
)
@click.option(
    "--labels",
    "labels_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help='Instead of --exploit-tx: a file {"history": {"exploit_tx": "0x…" or null}}.',
)
@click.option(
    "--learned",
    "learned_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Start from what `tocsin learn` wrote; what it learned from is not scored.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 1024), help="Histories at a time; left out, one for each core."
)
@click.option(
    "--resume",
    "resume_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoints: when started again with the same folder, a backtest goes on where it was.",
)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Transactions between checkpoints.",
)
@click.option(
    "--hold-blocks",
    type=(click.IntRange(0, 10**9), click.IntRange(0, 10**9), click.IntRange(0, 10**9)),
    default=(1_800, 1_800, 1_800),
    show_default=True,
    metavar="LIMIT FREEZE PAUSE",
    help="How long a restriction of each level lasts, in blocks: what false alarms would have cost.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the report as one page, with plots.",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "dask"]),
    default="processes",
    show_default=True,
    help="What runs histories side by side: processes here, or a Dask cluster.",
)
@click.option(
    "--scheduler", help="Address of a Dask scheduler; left out, --engine dask starts a cluster here."
)
@JSON_OPTION
def backtest(
    policy_file: Path,
    history_texts: tuple[str, ...],
    contracts: tuple[str, ...],
    chain_id: int | None,
    exploit_hashes: tuple[str, ...],
    labels_file: Path | None,
    learned_file: Path | None,
    jobs: int | None,
    resume_folder: Path | None,
    checkpoint_every: int,
    hold_blocks: tuple[int, int, int],
    html_file: Path | None,
    engine: str,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Learn on the first half of a history, judge the second, and say what would have rung.

    With --json one object; for several histories one object a line, and a last line with the sums.

    \b
    Exit codes:
      0  the histories were played; whether the exploits were flagged stands in what is printed
      2  the policy, a history, a label or a file of learned state was refused
    """
    from node.backtest.job import Job
    from node.backtest.report import HoldBlocks
    from node.backtest.shown import printable
    from node.commands.progress import showing
    from node.detect.learned import read_learned
    from node.detect.policy import read_detection_policy
    from node.observe.history import RecordedHistory

    if labels_file and exploit_hashes:
        raise click.UsageError("give --exploit-tx or --labels, not both")
    if scheduler and engine != "dask":
        raise click.UsageError("--scheduler needs --engine dask")
    policy = guarded(lambda: read_detection_policy(policy_file))
    learned = guarded(lambda: read_learned(learned_file)) if learned_file else None
    held = HoldBlocks(limit=hold_blocks[0], freeze=hold_blocks[1], pause=hold_blocks[2])
    if html_file:
        guarded(_require_plots)

    def plan(path: Path, name: str, exploit: str | None) -> Job:
        return Job(
            history=path,
            policy=policy,
            exploit_hash=exploit,
            learned=learned,
            hold_blocks=held,
            checkpoints=_checkpoints(resume_folder, name, checkpoint_every),
        )

    def play(planned: Sequence[Job], advance: Advance) -> list[Report]:
        if engine == "dask":
            from node.backtest.cluster import run_on_cluster

            return run_on_cluster(planned, scheduler=scheduler, workers=jobs or _cores(), advance=advance)
        from node.backtest.processes import run_in_processes

        return run_in_processes(planned, processes=jobs or _cores(), advance=advance)

    with on_disk(
        history_texts, contracts=contracts, chain_id=chain_id, folder=resume_folder, as_json=as_json
    ) as paths:
        histories = [RecordedHistory(path) for path in paths]
        names = [history.name for history in histories]
        guarded(lambda: _require_distinct(names))
        exploits = guarded(lambda: _pair(histories, exploit_hashes, labels_file))
        planned = [plan(*each) for each in zip(paths, names, exploits, strict=True)]
        with showing([printable(name) for name in names]) as advance:
            reports: list[Report] = guarded(lambda: play(planned, advance))
    if html_file:
        guarded(lambda: _write_page(html_file, reports))
    _print(reports, as_json=as_json)


def _pair(
    histories: Sequence[RecordedHistory], exploit_hashes: Sequence[str], labels_file: Path | None
) -> list[str | None]:
    from node.backtest.labels import find_exploits, read_labels

    if labels_file:
        return read_labels(labels_file, histories)
    return find_exploits(exploit_hashes, histories)


def _require_distinct(names: Sequence[str]) -> None:
    """Labels, checkpoints and reports call a history by its name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(
            Reason.LABEL_INVALID, f"two histories are called {twice[0]!r}; give each a name of its own"
        )


def _checkpoints(folder: Path | None, name: str, every: int) -> CheckpointFile | None:
    from node.backtest.checkpoint import CheckpointFile

    if folder is None:
        return None
    make_folder(folder)
    return CheckpointFile(path=folder / f"{name}.checkpoint.json", every_transactions=every)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _require_plots() -> None:
    """Before hours of work, not after."""
    from node.backtest.plot import require_matplotlib

    require_matplotlib()


def _write_page(path: Path, reports: Sequence[Report]) -> None:
    from node.backtest.page import render_page

    content = render_page(reports)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from None


def _print(reports: Sequence[Report], *, as_json: bool) -> None:
    from node.backtest.figures import as_dict, is_exact
    from node.backtest.sums import sum_as_dict
    from node.backtest.text import print_reports

    if not is_exact():
        click.echo(
            "tocsin: confidence intervals are left out: pip install 'tocsin[backtest]' for scipy", err=True
        )
    if not as_json:
        print_reports(reports)
        return
    for report in reports:
        click.echo(json.dumps(as_dict(report)))
    if len(reports) > 1:
        click.echo(json.dumps(sum_as_dict(reports)))
