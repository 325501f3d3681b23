"""`tocsin status`: what a running watcher says of itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from consensus.errors import Reason, Refused
from node.commands.edge import EXIT_NOT_READY, JSON_OPTION, run_guarded


@click.command("status")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("config.toml"),
    show_default=True,
    help="The watcher's configuration: its operate.listen says where to ask.",
)
@JSON_OPTION
def status_command(config_file: Path, as_json: bool) -> None:
    """What am I watching, how fresh is it, who is heard, what is wrong, and what to do about it.

    Ends with 0 where the watcher is ready, with 5 where it runs and is not, with 3 where nobody answers.
    """
    from node.config import DEFAULT_OPERATE_LISTEN, load_config
    from node.operate.asking import fetch_status
    from node.operate.status import render_status

    async def ask() -> dict[str, Any]:
        listen = load_config(config_file).operate.listen
        if listen is None:
            raise Refused(
                Reason.BAD_CONFIG,
                f"{config_file.name} has no operate.listen; write [operate] with listen = "
                f'"{DEFAULT_OPERATE_LISTEN}", and start the watcher anew',
            )
        return await fetch_status(f"http://{listen}")

    status = run_guarded(ask)
    click.echo(json.dumps(status) if as_json else render_status(status))
    if not status["ready"]:
        sys.exit(EXIT_NOT_READY)
