"""`tocsin policy backtest`: a rule policy over blocks of the past, read from a node; nothing is signed."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import open_pool
from node.chain.types import Endpoint
from node.commands.edge import JSON_OPTION, guarded, run_guarded, say
from node.evaluate.engine import Engine, make_engines
from node.evaluate.findings import Finding
from node.evaluate.policy import Policy
from node.observe.ancestry import Ancestry
from node.observe.view import BlockView
from node.policies import read_policy

MAX_BLOCKS: Final = 1_000_000
TIMEOUT_SECONDS: Final = 30.0
_MOST_URL_BYTES: Final = 4_096


@dataclass(slots=True)
class Played:
    """What a policy would have said."""

    first: int
    last: int
    findings: list[Finding] = field(default_factory=list)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many blocks a rule could not be judged at, by rule and reason."""


@click.command("backtest")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--http-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the address of one JSON-RPC endpoint that has the state of these blocks, on one line.",
)
@click.option("--blocks", type=click.IntRange(1, MAX_BLOCKS), required=True, help="How many blocks.")
@click.option("--last", type=click.IntRange(0), help="The last of them; the chain's newest where left out.")
@JSON_OPTION
def backtest(file: Path, http_file: Path, blocks: int, last: int | None, as_json: bool) -> None:
    """Judge past blocks by a rule policy, and say where it would have rung and what it could not judge.

    \b
    Exit codes:
      0  the blocks were judged, whatever came of it
      2  the policy or the file with the address was refused
      3  the endpoint did not answer
    """
    policy = guarded(lambda: _require_playable(read_policy(file)))
    endpoint = _endpoint(http_file)
    played = run_guarded(lambda: _play(policy, endpoint, blocks, last))
    say(as_json, _as_dict(policy, played), _render(policy, played))


def _require_playable(policy: Policy) -> Policy:
    """Raises `Refused` (POLICY_INVALID) where a rule waits for what is not played here."""
    _, waiting = make_engines(policy)
    rules = sorted(rule.name for engine in waiting for rule in engine.rules)
    if rules:
        raise Refused(
            Reason.POLICY_INVALID,
            f"{', '.join(rules)} of {policy.name} cannot be played by this command, which reads no traces: "
            "play the detection policy by `tocsin backtest`, a series policy by `tocsin series backtest`, "
            "and the other rules from a file without these",
        )
    return policy


async def _play(policy: Policy, endpoint: Endpoint, blocks: int, last: int | None) -> Played:
    async with open_pool(
        policy.source_chain_id, (endpoint,), agreement=1, timeout_seconds=TIMEOUT_SECONDS
    ) as pool:
        reader, ancestry, engine = ChainReader(pool), Ancestry(), Engine(policy)
        end = await reader.latest_number() if last is None else last
        played = Played(first=max(0, end - blocks + 1), last=end)
        with click.progressbar(
            range(played.first, end + 1), label=policy.name, file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as numbers:
            for number in numbers:
                ref = await reader.block_by_number(BlockNumber(number))
                ancestry.add(ref)
                for said in await engine.evaluate(BlockView(ref, reader, ancestry)):
                    if isinstance(said, Finding):
                        played.findings.append(said)
                    else:
                        played.unknown[said.rule, said.reason] += 1
        return played


def _endpoint(path: Path) -> Endpoint:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_URL_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        content = ""
    if not content.startswith(("http://", "https://")) or len(content.split()) != 1:
        raise click.UsageError(f"{path} should hold the address of one endpoint: http://… or https://…")
    return Endpoint(name="endpoint", http=content)


def _as_dict(policy: Policy, played: Played) -> dict[str, Any]:
    return {
        "policy": policy.name,
        "hash": f"0x{policy.hash.hex()}",
        "first_block": played.first,
        "last_block": played.last,
        "findings": [
            {
                "rule": each.rule,
                "block": each.anchor.number,
                "timestamp": each.anchor.timestamp,
                "actions": [
                    action.name for rule in policy.rules if rule.name == each.rule for action in rule.actions
                ],
                "values": {
                    f"{value.signal}@-{value.blocks_ago}": None if value.value is None else str(value.value)
                    for value in each.observations
                },
            }
            for each in played.findings
        ],
        "unknown": [
            {"rule": rule, "reason": reason, "blocks": blocks}
            for (rule, reason), blocks in sorted(played.unknown.items())
        ],
    }


def _render(policy: Policy, played: Played) -> str:
    told = _as_dict(policy, played)
    lines = [
        f"policy    {policy.name}  {told['hash']}",
        f"blocks    {played.first} to {played.last}",
        f"rang      {len(played.findings)} times",
    ]
    for each in told["findings"]:
        asks = ", ".join(each["actions"]) or "nobody"
        lines.append(f"  block {each['block']}  {each['rule']}  asks {asks}")
        lines += [f"      {name:24} {value}" for name, value in list(each["values"].items())[:8]]
    lines += [
        f"unknown   {each['rule']}  {each['reason']}  at {each['blocks']} blocks" for each in told["unknown"]
    ]
    return "\n".join(lines)
