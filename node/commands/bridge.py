"""`tocsin bridge`: what a bridge's policy would have said of both its recorded sides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from node.commands.edge import JSON_OPTION, guarded, say

Command = TypeVar("Command", bound=Callable[..., Any])


def _file(name: str, shown: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}",
        f"{name}_file",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        help=shown,
    )


@click.command("bridge")
@_file("policy", "Bridge policy, such as docs/policies/bridge.yaml.")
@_file("burns", "What was burnt on the source side, as CSV.")
@_file("releases", "What was released on the other side, as CSV.")
@JSON_OPTION
def bridge_command(policy_file: Path, burns_file: Path, releases_file: Path, as_json: bool) -> None:
    """Match a bridge's recorded releases with its burns, and say which have none.

    The columns are timestamp, tx_hash, withdrawal_id, token, beneficiary and amount, with tokens named as on
    the side of the releases.

    \b
    Exit codes:
      0  both sides were played; what was found stands in what is printed
      2  the policy or a file was refused
    """
    from node.backtest.bridge import play_bridge, summarise
    from node.detect.bridge_mismatch import BridgeMismatch
    from node.detect.bridge_policy import read_bridge_policy
    from node.observe.bridge_logs import EventReader
    from node.observe.bridge_records import read_burns, read_releases

    policy = guarded(lambda: read_bridge_policy(policy_file))
    for shape in (policy.burns, policy.releases):
        guarded(partial(EventReader, shape))  # a policy that could not be watched is not tried out
    burns, releases = guarded(lambda: (read_burns(burns_file), read_releases(releases_file)))
    told = guarded(lambda: list(play_bridge(BridgeMismatch(policy.parameters), burns, releases)))
    fields = {"policy": policy.name, "hash": f"0x{policy.hash.hex()}", **summarise(told)}
    say(as_json, fields, _prose(fields))


def _prose(fields: dict[str, Any]) -> str:
    head = (
        f"{fields['policy']}: {fields['releases']} releases, {fields['backed']} backed, "
        f"{fields['unbacked']} unbacked, {fields['unknown']} unknown"
    )
    lines = [
        f"{each['released_at']}  {each['level'] or each['backing']:<8} {each['evidence']}"
        for each in fields["findings"]
    ]
    return "\n".join([head, *lines])
