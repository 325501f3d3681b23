"""`tocsin shadow`: the detectors on a live chain; nothing is signed, and no key is opened."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from consensus.errors import Reason, Refused
from node.commands.edge import guarded, run_guarded
from node.commands.looking import looking_options, opened, parse_contracts, read_sight

if TYPE_CHECKING:
    from node.detect.learned import Learned

TO_LEARN: Final = 1_000


@click.command("shadow")
@looking_options
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Detection policy, such as docs/policies/general.yaml.",
)
@click.option(
    "--learn",
    "to_learn",
    type=click.IntRange(min=1, max=10_000_000),
    help=f"How many of the protocol's transactions to learn before any is judged.  [default: {TO_LEARN:,}]",
)
@click.option(
    "--learned",
    "learned_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead of --learn: start from what `tocsin learn` wrote, of blocks before those that come.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of prose.")
def shadow_command(
    policy_file: Path,
    contracts: tuple[str, ...],
    to_learn: int | None,
    learned_file: Path | None,
    as_json: bool,
    **where: Any,
) -> None:
    """Judge a live chain's transactions as they come, and say what would have rung. Signs nothing.

    Prints each finding, and each one that a reorg takes back; on SIGTERM or Ctrl-C the same figures as a
    backtest. Needs a node that offers traces (docs/observing.md).
    """
    from node.config import LogFormat
    from node.detect.policy import read_detection_policy
    from node.detect.watch import Watch
    from node.live.course import Course, Line, Summary
    from node.observe.traces import TraceReader
    from node.operate.logs import configure_logs
    from node.shadow.follow import follow_chain
    from node.shutdown import until_told

    policy = guarded(lambda: read_detection_policy(policy_file))
    watched = guarded(lambda: parse_contracts(contracts))
    sight = guarded(lambda: read_sight(**where))
    configure_logs(LogFormat.JSON if as_json else LogFormat.CONSOLE, stream=sys.stderr)
    if learned_file is None:
        course = Course(lambda: Watch(policy), to_learn=TO_LEARN if to_learn is None else to_learn)
    else:
        learned = guarded(lambda: _read_learned(learned_file, to_learn))
        course = guarded(lambda: Course(lambda: learned.make_watch(policy), to_learn=0))

    def tell(line: Line | Summary) -> None:
        click.echo(json.dumps(line.as_dict()) if as_json else str(line))

    async def work() -> None:
        async with opened(sight) as pool:
            await follow_chain(pool, TraceReader(pool, watched), course, tell)

    run_guarded(lambda: until_told(work))
    tell(course.summary())


def _read_learned(file: Path, to_learn: int | None) -> Learned:
    """What was learned before. Raises `Refused` (BAD_CONFIG, STATE_CORRUPT, STATE_FOREIGN)."""
    from node.detect.learned import read_learned

    if to_learn is not None:
        raise Refused(Reason.BAD_CONFIG, "expected either --learn or --learned, came both")
    return read_learned(file)
