"""`tocsin`: parses, loads the configuration, calls the pipeline. No rule of the domain stands here.

Each command says what to do next. Nothing secret is ever taken from the command line.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import click

from node.commands.backtest import backtest, learn
from node.commands.bridge import bridge_command
from node.commands.edge import (
    EXIT_BROKEN,
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    JSON_OPTION,
    guarded,
    run_guarded,
    say,
)
from node.commands.journal import journal_command
from node.commands.policy import check, schema
from node.commands.record import record_command
from node.commands.relay import keys_relay_command, relay_command
from node.commands.rules import backtest as backtest_rules
from node.commands.series import series_group
from node.commands.shadow import shadow_command
from node.commands.signer import signer_command
from node.commands.status import status_command
from node.config import Keys, load_config

__all__ = ["EXIT_BROKEN", "EXIT_REFUSED", "EXIT_UNAVAILABLE", "cli", "main"]


def main() -> None:
    """Entry point of the `tocsin` command."""
    cli()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Independent, staked watchers that brake EVM protocols while an exploit is still running.

    \b
    Run a watcher:
      1. tocsin keys new            three keys and an empty signing journal
      2. tocsin operator register   bond stake, prove possession of the BLS key
      3. tocsin run                 watch, attest, respond
      4. tocsin status              what it sees, who is heard, what is wrong

    \b
    Look around first:
      tocsin demo                   a live attack on local chains, stopped by seven watchers
    """


cli.add_command(journal_command)
cli.add_command(signer_command)
cli.add_command(record_command)
cli.add_command(relay_command)
cli.add_command(series_group)
cli.add_command(shadow_command)
cli.add_command(bridge_command)
cli.add_command(status_command)


@cli.group()
def keys() -> None:
    """Make and look after an operator's keys."""


keys.add_command(keys_relay_command)


@keys.command("new")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder for the keystores and, in data/, the signing journal.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the password on one line, readable by you alone (chmod 600).",
)
@JSON_OPTION
def keys_new(directory: Path, password_file: Path, as_json: bool) -> None:
    """Make the BLS key (EIP-2335), the transaction key and the p2p identity (v3), and an empty journal.

    Existing files are never overwritten. The journal belongs to the BLS key: back both up together, and
    never run two watchers with one key.
    """
    from node.keys import make_keys

    directory.mkdir(parents=True, exist_ok=True)
    paths = Keys(
        bls_keystore=directory / "bls.json",
        transaction_keystore=directory / "transaction.json",
        p2p_keystore=directory / "p2p.json",
        password_file=password_file,
    )
    made = run_guarded(lambda: make_keys(paths, directory / "data"))
    say(
        as_json,
        {
            "operator": made.address,
            "public_key": f"0x{made.public_key.to_bytes().hex()}",
            "peer_id": made.peer_id,
        },
        f"operator    {made.address}   (send it the bond, and some coin for gas)\n"
        f"peer id     {made.peer_id}\n"
        f"public key  0x{made.public_key.to_bytes().hex()[:32]}…\n"
        f"Next: write config.toml (docs/operators.md has one to copy),"
        " then tocsin operator register --config config.toml",
    )


@cli.group()
def operator() -> None:
    """Join the operator set."""


@operator.command("register")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Your config.toml."
)
@click.option("--bond", type=int, required=True, help="Stake in the smallest units of the network's token.")
@click.option("--metadata", default="", help="What people should know of you, such as a URL; 256 bytes.")
@JSON_OPTION
def operator_register(config_file: Path, bond: int, metadata: str, as_json: bool) -> None:
    """Approve the bond, prove possession of the BLS key, and register with the registry in the configuration.

    The set that signs is captured at the next epoch: you take part from then on.
    """
    from node.registration import register_from_config

    registered = run_guarded(
        lambda: register_from_config(load_config(config_file), bond=bond, metadata=metadata)
    )
    say(
        as_json,
        {
            "operator": registered.operator,
            "peer_id": registered.peer_id,
            "transaction": f"0x{registered.transaction.hex()}",
        },
        f"registered  {registered.operator}\n"
        f"peer id     {registered.peer_id}\n"
        f"in          0x{registered.transaction.hex()}\n"
        "Next: tocsin run --config config.toml. You sign from the next captured epoch on.",
    )


@cli.group()
def policy() -> None:
    """Look at a protocol's policy file."""


policy.add_command(check)
policy.add_command(schema)
policy.add_command(backtest_rules)


@policy.command("hash")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@JSON_OPTION
def policy_hash(file: Path, as_json: bool) -> None:
    """Check a policy file and print the hash that the guardian's owner approves with setPolicy(bytes32)."""
    from node.policies import read_policy

    read = guarded(lambda: read_policy(file))
    hashed = f"0x{read.hash.hex()}"
    rules = [rule.name for rule in read.rules]
    say(as_json, {"policy": read.name, "hash": hashed, "rules": rules}, hashed)


@cli.command("run")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Your config.toml."
)
def run(config_file: Path) -> None:
    """Watch the chains, sign what your own view confirms, and carry certificates to guardians.

    Ends on SIGTERM.
    """
    from node.operate.logs import configure_logs
    from node.pipeline import run_watcher
    from node.shutdown import until_told

    config = guarded(lambda: load_config(config_file))
    configure_logs(config.log_format)
    run_guarded(lambda: until_told(lambda: run_watcher(config)))


NODES_OPTION = click.option(
    "--nodes", type=click.IntRange(4, 40), default=7, show_default=True, help="How many watchers."
)
DIRECTORY_OPTION = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where keys, databases and logs of the run go; emptied first.",
)


@cli.command("demo")
@NODES_OPTION
@click.option(
    "--incident",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a recorded incident instead of the made-up pool; the same as tocsin replay.",
)
@DIRECTORY_OPTION
@JSON_OPTION
def demo(nodes: int, incident: Path | None, directory: Path, as_json: bool) -> None:
    """Watch an attack being stopped: two local chains, independent watcher processes, two of them faulty."""
    _demonstrate(nodes=nodes, incident=incident, directory=directory, as_json=as_json)


@cli.command("replay")
@click.option(
    "--incident",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of a recorded incident: incident.json and genesis.json.",
)
@NODES_OPTION
@DIRECTORY_OPTION
@JSON_OPTION
def replay(incident: Path, nodes: int, directory: Path, as_json: bool) -> None:
    """Play a recorded attack, with its real code, storage and calls, on a local chain with the watchers on.

    \b
    Exit codes:
      0  the attack was stopped
      1  it was not
      2  the folder holds no incident
    """
    _demonstrate(nodes=nodes, incident=incident, directory=directory, as_json=as_json)


def _demonstrate(*, nodes: int, incident: Path | None, directory: Path, as_json: bool) -> None:
    from node.devnet.demo import run_demo

    outcome = run_guarded(
        lambda: run_demo(nodes=nodes, incident=incident, directory=directory, quiet=as_json)
    )
    if as_json:
        click.echo(json.dumps(outcome.as_dict()))
    sys.exit(0 if outcome.stopped else 1)


@cli.command("version")
@JSON_OPTION
def version(as_json: bool) -> None:
    """Print the version."""
    installed = installed_version("tocsin")
    say(as_json, {"version": installed}, f"tocsin {installed}")


cli.add_command(backtest)
cli.add_command(learn)
