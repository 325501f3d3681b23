"""Policies for tests: text with good defaults, in which a test changes what its property depends on."""

from __future__ import annotations

from pathlib import Path

from node.evaluate.policy import Policy, parse_policy

EXAMPLE = Path(__file__).parents[2] / "deploy" / "policies" / "example.yaml"

TOKEN = "0x6B175474E89094C44Da98b954EedeAC495271d0F"
POOL = "0x27182842E098f60e3D576794A5bFFb0777E025d3"
GUARDIAN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
GUARDIAN_AWAY = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"

_TEXT = """
tocsin: 1
name: test
version: 1
ttl_seconds: 900
source_chain_id: 31337
contracts:
  token: {{chain_id: 31337, address: "{token}"}}
  pool: {{chain_id: 31337, address: "{pool}"}}
  home: {{chain_id: 31337, address: "{guardian}"}}
  away: {{chain_id: 10, address: "{guardian_away}"}}
signals:
  x: {{call: "token.balanceOf(address)(uint256)", args: [pool]}}
  y: {{call: "pool.total()(uint256)"}}
actions:
  brake: {{guardian: home, action: limit, level: limit}}
  stop: {{guardian: home, action: pause, level: pause}}
  stop-away: {{guardian: away, action: pause, level: pause, params: "0x0102"}}
rules:
  watch:
{rule}
"""

EXPRESSION_RULE = """
    kind: expression
    when: {when}
    cooldown_blocks: {cooldown_blocks}
    actions: [stop-away, brake, stop]
"""

DRAIN_RULE = """
    kind: drain
    signal: x
    window_blocks: {window_blocks}
    threshold_bps: {threshold_bps}
    cooldown_blocks: {cooldown_blocks}
    actions: [stop]
"""


def make_policy_text(rule: str | None = None) -> str:
    """The text of a policy with one rule, called watch."""
    return _TEXT.format(
        token=TOKEN,
        pool=POOL,
        guardian=GUARDIAN,
        guardian_away=GUARDIAN_AWAY,
        rule=rule or EXPRESSION_RULE.format(when="x > 100", cooldown_blocks=0),
    )


def make_policy(when: str = "x > 100", *, cooldown_blocks: int = 0) -> Policy:
    """A policy with one expression rule, called watch."""
    rule = EXPRESSION_RULE.format(when=when, cooldown_blocks=cooldown_blocks)
    return parse_policy(make_policy_text(rule).encode())


def make_drain_policy(
    *, window_blocks: int = 2, threshold_bps: int = 6_000, cooldown_blocks: int = 0
) -> Policy:
    """A policy with one drain rule over x, called watch."""
    rule = DRAIN_RULE.format(
        window_blocks=window_blocks, threshold_bps=threshold_bps, cooldown_blocks=cooldown_blocks
    )
    return parse_policy(make_policy_text(rule).encode())
