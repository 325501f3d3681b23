"""`tocsin record`: what happened to a protocol, from a node into a history."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from node.commands.edge import JSON_OPTION, guarded, run_guarded, say
from node.commands.looking import looking_options, opened, parse_blocks, parse_contracts, read_sight


@click.command("record")
@looking_options
@click.option("--blocks", required=True, metavar="FROM:TO", help="First and last block, both recorded.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="ZIP file to write; while it is made, what is done lies beside it in a folder with .part behind.",
)
@JSON_OPTION
def record_command(contracts: tuple[str, ...], blocks: str, out: Path, as_json: bool, **where: Any) -> None:
    """Record every transaction that touched a protocol, for `tocsin backtest` to play.

    Needs a node that offers traces (docs/observing.md), and settled blocks. Started again after a stop, it
    goes on where it was.
    """
    from node.chain.reader import ChainReader
    from node.config import LogFormat
    from node.observe.recording import record
    from node.observe.traces import TraceReader
    from node.operate.logs import configure_logs

    first, last = guarded(lambda: parse_blocks(blocks))
    watched = guarded(lambda: parse_contracts(contracts))
    sight = guarded(lambda: read_sight(**where))
    configure_logs(LogFormat.JSON if as_json else LogFormat.CONSOLE, stream=sys.stderr)
    with click.progressbar(length=last - first + 1, label=out.name, file=sys.stderr, hidden=as_json) as bar:

        async def work() -> Any:
            async with opened(sight) as pool:
                return await record(
                    ChainReader(pool),
                    TraceReader(pool, watched),
                    first=first,
                    last=last,
                    out=out,
                    advance=lambda done, _: bar.update(done - bar.pos),
                )

        recorded = run_guarded(work)
    say(
        as_json,
        {"blocks": recorded.blocks, "transactions": recorded.transactions, "history": str(out)},
        f"recorded    {recorded.transactions} transactions in {recorded.blocks} blocks\n"
        f"written     {out}\n"
        f"Next: tocsin backtest --policy docs/policies/general.yaml --history {out}",
    )
