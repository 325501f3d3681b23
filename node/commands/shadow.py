"""`tocsin shadow`: the detectors on a live chain; nothing is signed, and no key is opened."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from node.commands.edge import guarded, run_guarded
from node.commands.looking import looking_options, opened, parse_contracts, read_sight


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
    default=1_000,
    show_default=True,
    help="How many of the protocol's transactions to learn from before any is judged.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of prose.")
def shadow_command(
    policy_file: Path, contracts: tuple[str, ...], to_learn: int, as_json: bool, **where: Any
) -> None:
    """Judge a live chain's transactions as they come, and say what would have rung. Signs nothing.

    Prints each finding, and each one that a reorg takes back; on SIGTERM or Ctrl-C the same figures as a
    backtest. Needs a node that offers traces (docs/observing.md).
    """
    from node.config import LogFormat
    from node.detect.policy import read_detection_policy
    from node.detect.watch import Watch
    from node.observe.traces import TraceReader
    from node.operate.logs import configure_logs
    from node.shadow.course import Course, Line, Summary
    from node.shadow.follow import follow_chain
    from node.shutdown import until_told

    policy = guarded(lambda: read_detection_policy(policy_file))
    watched = guarded(lambda: parse_contracts(contracts))
    sight = guarded(lambda: read_sight(**where))
    configure_logs(LogFormat.JSON if as_json else LogFormat.CONSOLE, stream=sys.stderr)
    course = Course(lambda: Watch(policy), to_learn=to_learn)

    def tell(line: Line | Summary) -> None:
        click.echo(json.dumps(line.as_dict()) if as_json else str(line))

    async def work() -> None:
        async with opened(sight) as pool:
            await follow_chain(pool, TraceReader(pool, watched), course, tell)

    run_guarded(lambda: until_told(work))
    tell(course.summary())
