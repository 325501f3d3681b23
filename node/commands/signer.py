"""`tocsin signer`: the BLS key and its journal in a process of their own, away from the network."""

from __future__ import annotations

from pathlib import Path

import click

from node.commands.edge import JSON_OPTION, guarded, run_guarded, say
from node.commands.journal import JOURNAL_OPTION
from node.config import LogFormat


@click.group("signer")
def signer_command() -> None:
    """Hold the BLS key in a process that no network reaches.

    \b
      1. tocsin signer pair     two files, by which the watcher and the signer know each other
      2. tocsin signer run      serve signatures on a local socket
      3. config.toml            [signer] socket and pair, and no keys.bls_keystore
    """


@signer_command.command("pair")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder for both files.",
)
@JSON_OPTION
def pair_command(directory: Path, as_json: bool) -> None:
    """Make watcher.pair and signer.pair: each side's own key and the other's public one."""
    from node.attest.pairing import create_pair

    watcher, signer = guarded(lambda: create_pair(directory))
    say(
        as_json,
        {"watcher": str(watcher), "signer": str(signer)},
        f"watcher  {watcher}   (signer.pair in its config.toml)\n"
        f"signer   {signer}   (tocsin signer run --pair)\n"
        "Next: give each file to its own user alone (chown, chmod 600), and keep no copy of the other.",
    )


@signer_command.command("run")
@click.option(
    "--keystore",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("bls.json"),
    show_default=True,
    help="The EIP-2335 keystore of the BLS key.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the keystore's password on one line, readable by you alone.",
)
@JOURNAL_OPTION
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("signer.sock"),
    show_default=True,
    help="Where to listen; owner and group may connect.",
)
@click.option(
    "--pair",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("signer.pair"),
    show_default=True,
    help="This side's file of `tocsin signer pair`.",
)
@click.option(
    "--log-format",
    type=click.Choice([each.value for each in LogFormat]),
    default=LogFormat.CONSOLE.value,
    show_default=True,
)
def run_command(
    keystore: Path, password_file: Path, journal: Path, socket: Path, pair: Path, log_format: str
) -> None:
    """Sign what the paired watcher asks for, within the journal's rules. Ends on SIGTERM."""
    from node.attest.running import run_signer
    from node.operate.logs import configure_logs
    from node.shutdown import until_told

    configure_logs(LogFormat(log_format))
    run_guarded(
        lambda: until_told(
            lambda: run_signer(
                keystore=keystore, password_file=password_file, journal=journal, socket=socket, pair=pair
            )
        )
    )
