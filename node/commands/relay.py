"""`tocsin relay`: carries certificates and handovers between chains; needs no stake and no key that signs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.commands.edge import EXIT_UNAVAILABLE, JSON_OPTION, guarded, run_guarded, say

if TYPE_CHECKING:
    from node.relay import RelayReport


@click.command("relay")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Your relay.toml."
)
@click.option("--once", is_flag=True, help="Do what can be done now, say what it was, and end: for cron.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with --once, or log lines of JSON."
)
def relay_command(config_file: Path, once: bool, as_json: bool) -> None:
    """Carry certificates and handovers to every configured chain. Pays gas from an account of its own.

    Ends on SIGTERM. Nothing is kept: it may be killed and started at any time.

    \b
    Exit codes of --once:
      0  every chain is level
      2  the configuration or the key is at fault
      3  a chain did not answer, is behind, or refused; try again later
    """
    from node.config import LogFormat, load_relay_config
    from node.operate.logs import configure_logs
    from node.relay import relay_once, run_relay
    from node.shutdown import until_told

    config = guarded(lambda: load_relay_config(config_file))
    if not once:
        configure_logs(LogFormat.JSON if as_json else config.log_format)
        run_guarded(lambda: until_told(lambda: run_relay(config)))
        return
    configure_logs(LogFormat.JSON if as_json else config.log_format, stream=sys.stderr)
    report: RelayReport = run_guarded(lambda: relay_once(config))
    click.echo(json.dumps(report.as_dict()) if as_json else _describe(report))
    if not report.is_complete:
        sys.exit(EXIT_UNAVAILABLE)


def _describe(report: RelayReport) -> str:
    lines = [
        f"account     {report.account}",
        f"handovers   {report.handovers} carried, {report.behind} missing",
    ]
    lines += [
        f"{each.outcome:<11} {each.action[:18]}… on chain {each.chain_id}: {each.guardian} {each.detail}"
        for each in report.deliveries
    ]
    lines += [f"unavailable chain {chain_id}" for chain_id in report.unavailable]
    return "\n".join(lines)


@click.command("relay")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder for the keystore.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the password on one line, readable by you alone (chmod 600).",
)
@JSON_OPTION
def keys_relay_command(directory: Path, password_file: Path, as_json: bool) -> None:
    """Make the account from which a relay pays, and its p2p identity. Existing ones are never overwritten."""
    from node.keys import make_relay_keys

    directory.mkdir(parents=True, exist_ok=True)
    account, identity = directory / "relay-account.json", directory / "relay-p2p.json"
    address, peer_id = run_guarded(lambda: make_relay_keys(account, identity, password_file))
    say(
        as_json,
        {"account": address, "peer_id": peer_id},
        f"account  {address}   (send it coin for gas on every chain)\n"
        f"peer id  {peer_id}   (for operators that let it pull: their gossip.relays)\n"
        "Next: write relay.toml (docs/relay.md has one to copy), then tocsin relay --config relay.toml",
    )
