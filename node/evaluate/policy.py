"""A protocol's policy: what to look at, when to ring, and which guardians to ask for what. One YAML file.

`parse_policy` reads the file strictly; what cannot be read is refused with the line and what to write. The
parsed policy has one canonical form, and its hash is what the protocol's owner approves in the guardian:
comments, order of keys and spacing do not change it, everything that changes a verdict or an action does.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.alert import (
    MAX_ACTIONS,
    MAX_ALERT_PARAMS_BYTES,
    MAX_PARAMS_BYTES,
    MAX_TTL_SECONDS,
    Action,
    Level,
    compute_action_id,
    compute_rule_id,
)
from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_address
from consensus.types import Address, Bps, ChainId, PolicyHash, RuleId, Seconds
from node.evaluate.document import Node, parse_file, read_document
from node.evaluate.expressions import (
    FUNCTIONS,
    MAX_BLOCKS_AGO,
    Arithmetic,
    Compare,
    Comparison,
    Compute,
    Condition,
    Connective,
    Join,
    Literal,
    Read,
    canonical_text,
    parse_condition,
)
from node.evaluate.signals import Signal, encode_call, parse_call

POLICY_FORMAT: Final = 1
MAX_CONTRACTS: Final = 256
MAX_SIGNALS: Final = 256
MAX_ACTIONS_DECLARED: Final = 256
MAX_RULES: Final = 128
# The cooldown is decided from the chain, by looking back over it; this bounds what a watcher that has just
# started may have to read.
MAX_COOLDOWN_BLOCKS: Final = 1_024
WHOLE_BPS: Final = 10_000

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
_ACTION_NAME: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_HEXADECIMAL: Final = re.compile(r"0x([0-9a-fA-F]{2})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract that the policy looks at, or a guardian that it asks."""

    name: str
    chain_id: ChainId
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAction:
    """A response that a rule may ask for; `level` repeats what the owner set for it in the guardian."""

    name: str
    guardian: str
    action_name: str
    level: Level
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionRule:
    """True while its condition holds."""

    name: str
    condition: Condition
    cooldown_blocks: int
    actions: tuple[PolicyAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRule:
    """True while at least `threshold_bps` of what `signal` was `window_blocks` ago has left since."""

    name: str
    signal: str
    window_blocks: int
    threshold_bps: Bps
    cooldown_blocks: int
    actions: tuple[PolicyAction, ...]

    @property
    def condition(self) -> Condition:
        """The same in the language of expressions: nothing can drain from an empty balance."""
        start, now = Read(self.signal, self.window_blocks), Read(self.signal)
        outflow = Compute(Arithmetic.SUBTRACT, start, now)
        return Join(
            Connective.AND,
            (
                Compare(Comparison.GREATER, start, Literal(0)),
                Compare(
                    Comparison.AT_LEAST,
                    Compute(Arithmetic.MULTIPLY, outflow, Literal(WHOLE_BPS)),
                    Compute(Arithmetic.MULTIPLY, start, Literal(self.threshold_bps)),
                ),
            ),
        )


Rule = ExpressionRule | DrainRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A parsed policy. `hash` names it: keccak256 of `canonical_bytes()`."""

    name: str
    version: int
    ttl_seconds: Seconds
    source_chain_id: ChainId
    contracts: tuple[Contract, ...]
    signals: tuple[Signal, ...]
    actions: tuple[PolicyAction, ...]
    rules: tuple[Rule, ...]
    hash: PolicyHash = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", PolicyHash(keccak256(self.canonical_bytes())))

    def canonical_bytes(self) -> bytes:
        """The policy as JSON with sorted keys, no blanks and ASCII only; equal policies have equal bytes."""
        return json.dumps(
            {
                "format": f"tocsin.policy.v{POLICY_FORMAT}",
                "name": self.name,
                "version": self.version,
                "ttl_seconds": self.ttl_seconds,
                "source_chain_id": self.source_chain_id,
                "contracts": {each.name: _contract_form(each) for each in self.contracts},
                "signals": {each.name: _signal_form(each) for each in self.signals},
                "actions": {each.name: _action_form(each) for each in self.actions},
                "rules": {each.name: _rule_form(each) for each in self.rules},
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        ).encode("ascii")

    def rule(self, rule_id: RuleId) -> Rule:
        """The rule with this id. Raises `Refused` (UNKNOWN_RULE)."""
        for rule in self.rules:
            if compute_rule_id(rule.name) == rule_id:
                return rule
        raise Refused(
            Reason.UNKNOWN_RULE,
            f"policy {self.name} has no rule with id 0x{rule_id.hex()}; its rules are "
            f"{', '.join(each.name for each in self.rules)}",
        )


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises `Refused`; the message starts with the file's path."""
    return parse_file(path, parse_policy)


def parse_policy(content: bytes) -> Policy:
    """The policy in the bytes of a file. Raises `Refused` (POLICY_INVALID, EXPRESSION_INVALID)."""
    fields = read_document(content).fields(
        required=(
            *("tocsin", "name", "version", "ttl_seconds", "source_chain_id"),
            *("contracts", "signals", "actions", "rules"),
        )
    )
    fields["tocsin"].integer(least=POLICY_FORMAT, most=POLICY_FORMAT)
    source_chain_id = _parse_chain_id(fields["source_chain_id"])
    contracts = _parse_contracts(fields["contracts"])
    signals = _parse_signals(fields["signals"], contracts, source_chain_id=source_chain_id)
    actions = _parse_actions(fields["actions"], contracts)
    return Policy(
        name=_parse_name(fields["name"]),
        version=fields["version"].integer(least=1, most=2**32 - 1),
        ttl_seconds=Seconds(fields["ttl_seconds"].integer(least=1, most=MAX_TTL_SECONDS)),
        source_chain_id=source_chain_id,
        contracts=tuple(contracts.values()),
        signals=tuple(signals.values()),
        actions=tuple(actions.values()),
        rules=_parse_rules(fields["rules"], signals, actions),
    )


# ---------------------------------------------------------------------- sections of the file


def _parse_contracts(node: Node) -> dict[str, Contract]:
    contracts: dict[str, Contract] = {}
    for name, entry in _named_entries(node, most=MAX_CONTRACTS, pattern=_IDENTIFIER):
        fields = entry.fields(required=("chain_id", "address"))
        contracts[name] = Contract(
            name=name,
            chain_id=_parse_chain_id(fields["chain_id"]),
            address=_parse_address(fields["address"]),
        )
    return contracts


def _parse_signals(
    node: Node, contracts: Mapping[str, Contract], *, source_chain_id: ChainId
) -> dict[str, Signal]:
    addresses = {each.name: each.address for each in contracts.values()}
    signals: dict[str, Signal] = {}
    for name, entry in _named_entries(node, most=MAX_SIGNALS, pattern=_IDENTIFIER):
        if name in FUNCTIONS or keyword.iskeyword(name):
            raise entry.refusal(f"{name!r} is a word of the expression language; choose another name")
        fields = entry.fields(required=("call",), optional=("args", "returns"))
        arguments = tuple(each.text() for each in fields["args"].items()) if "args" in fields else ()
        try:
            call = parse_call(fields["call"].text())
            calldata = encode_call(call, arguments, addresses=addresses)
        except Refused as error:
            raise fields["call"].refusal(error.message) from None
        target = contracts.get(call.contract)
        if target is None:
            raise fields["call"].refusal(
                f"no contract is called {call.contract!r}; declare it under `contracts:`"
            )
        if target.chain_id != source_chain_id:
            raise fields["call"].refusal(
                f"{target.name} is on chain {target.chain_id}; signals are read on chain {source_chain_id}"
            )
        last = len(call.return_types) - 1
        signals[name] = Signal(
            name=name,
            contract=target.name,
            call=call.canonical(),
            to=target.address,
            calldata=calldata,
            return_types=call.return_types,
            position=fields["returns"].integer(least=0, most=last) if "returns" in fields else 0,
        )
    return signals


def _parse_actions(node: Node, contracts: Mapping[str, Contract]) -> dict[str, PolicyAction]:
    actions: dict[str, PolicyAction] = {}
    for name, entry in _named_entries(node, most=MAX_ACTIONS_DECLARED, pattern=_NAME):
        fields = entry.fields(required=("guardian", "action", "level"), optional=("params",))
        guardian = contracts.get(fields["guardian"].text())
        if guardian is None:
            raise fields["guardian"].refusal(
                "no contract has this name; declare the guardian under `contracts:`"
            )
        action_name = fields["action"].text()
        if not _ACTION_NAME.fullmatch(action_name):
            raise fields["action"].refusal(
                "expected the action's name in the guardian, 1 to 64 ASCII characters, no blanks"
            )
        action = Action(
            chain_id=guardian.chain_id,
            guardian=guardian.address,
            action_id=compute_action_id(action_name),
            params=_parse_params(fields["params"]) if "params" in fields else b"",
        )
        for other in actions.values():
            if other.action == action:
                raise entry.refusal(f"the same action as {other.name}; keep one of them")
        actions[name] = PolicyAction(
            name=name,
            guardian=guardian.name,
            action_name=action_name,
            level=_parse_level(fields["level"]),
            action=action,
        )
    return actions


def _parse_rules(
    node: Node, signals: Mapping[str, Signal], actions: Mapping[str, PolicyAction]
) -> tuple[Rule, ...]:
    rules = tuple(
        _parse_rule(name, entry, signals, actions)
        for name, entry in _named_entries(node, most=MAX_RULES, pattern=_NAME)
    )
    if not rules:
        raise node.refusal("a policy without rules watches nothing; write at least one")
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _parse_rule(
    name: str, entry: Node, signals: Mapping[str, Signal], actions: Mapping[str, PolicyAction]
) -> Rule:
    kind = entry.entries().get("kind")
    if kind is None:
        raise entry.refusal("the key `kind` is missing; write `kind: expression` or `kind: drain`")
    common = ("kind", "cooldown_blocks", "actions")
    if kind.text() == "expression":
        fields = entry.fields(required=(*common, "when"))
        return ExpressionRule(
            name=name,
            condition=_parse_when(fields["when"], signals),
            cooldown_blocks=_parse_cooldown(fields["cooldown_blocks"]),
            actions=_parse_rule_actions(fields["actions"], actions),
        )
    if kind.text() == "drain":
        fields = entry.fields(required=(*common, "signal", "window_blocks", "threshold_bps"))
        signal = fields["signal"].text()
        if signal not in signals:
            raise fields["signal"].refusal(f"no signal is called {signal!r}; declare it under `signals:`")
        return DrainRule(
            name=name,
            signal=signal,
            window_blocks=fields["window_blocks"].integer(least=1, most=MAX_BLOCKS_AGO),
            threshold_bps=Bps(fields["threshold_bps"].integer(least=1, most=WHOLE_BPS)),
            cooldown_blocks=_parse_cooldown(fields["cooldown_blocks"]),
            actions=_parse_rule_actions(fields["actions"], actions),
        )
    raise kind.refusal(f"expected expression or drain, came {kind.text()[:40]!r}")


def _parse_when(node: Node, signals: Mapping[str, Signal]) -> Condition:
    try:
        return parse_condition(node.text(), signals=signals.keys())
    except Refused as error:
        if error.reason is not Reason.EXPRESSION_INVALID:
            raise
        raise Refused(error.reason, f"line {node.line}: {node.path}: {error.message}") from None


def _parse_rule_actions(node: Node, actions: Mapping[str, PolicyAction]) -> tuple[PolicyAction, ...]:
    chosen: list[PolicyAction] = []
    for item in node.items():
        name = item.text()
        if name not in actions:
            raise item.refusal(f"no action is called {name[:48]!r}; declare it under `actions:`")
        if actions[name] in chosen:
            raise item.refusal(f"{name} is named twice; keep one")
        chosen.append(actions[name])
    if len(chosen) > MAX_ACTIONS:
        raise node.refusal(
            f"an alert carries at most {MAX_ACTIONS} actions, {len(chosen)} came; split the rule"
        )
    params_bytes = sum(len(each.action.params) for each in chosen)
    if params_bytes > MAX_ALERT_PARAMS_BYTES:
        raise node.refusal(
            f"an alert carries at most {MAX_ALERT_PARAMS_BYTES} bytes of params, {params_bytes} came"
        )
    return tuple(chosen)


# ---------------------------------------------------------------------- single values


def _named_entries(node: Node, *, most: int, pattern: re.Pattern[str]) -> list[tuple[str, Node]]:
    entries = node.entries()
    if len(entries) > most:
        raise node.refusal(f"at most {most} entries are read, {len(entries)} came; split the policy")
    for name, entry in entries.items():
        if not pattern.fullmatch(name):
            raise entry.refusal(
                "a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ (and - for rules)"
            )
    return list(entries.items())


def _parse_name(node: Node) -> str:
    name = node.text()
    if not _NAME.fullmatch(name):
        raise node.refusal("a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ and -")
    return name


def _parse_chain_id(node: Node) -> ChainId:
    return ChainId(node.integer(least=1, most=2**64 - 1))


def _parse_cooldown(node: Node) -> int:
    return node.integer(least=0, most=MAX_COOLDOWN_BLOCKS)


def _parse_address(node: Node) -> Address:
    try:
        require_address("address", node.text())
    except Refused as error:
        raise node.refusal(error.message) from None
    return Address(node.text())


def _parse_level(node: Node) -> Level:
    names = {level.name.lower(): level for level in Level}
    level = names.get(node.text())
    if level is None:
        raise node.refusal(f"expected one of {', '.join(names)}, came {node.text()[:40]!r}")
    return level


def _parse_params(node: Node) -> bytes:
    written = node.text()
    if not _HEXADECIMAL.fullmatch(written) or len(written) > 2 + 2 * MAX_PARAMS_BYTES:
        raise node.refusal(f"expected 0x and an even number of hex digits, at most {MAX_PARAMS_BYTES} bytes")
    return bytes.fromhex(written[2:])


# ---------------------------------------------------------------------- canonical form


def _contract_form(contract: Contract) -> dict[str, object]:
    return {"chain_id": contract.chain_id, "address": contract.address}


def _signal_form(signal: Signal) -> dict[str, object]:
    return {
        "contract": signal.contract,
        "call": signal.call,
        "calldata": f"0x{signal.calldata.hex()}",
        "returns": signal.position,
    }


def _action_form(action: PolicyAction) -> dict[str, object]:
    return {
        "guardian": action.guardian,
        "action": action.action_name,
        "level": action.level.name.lower(),
        "params": f"0x{action.action.params.hex()}",
    }


def _rule_form(rule: Rule) -> dict[str, object]:
    common: dict[str, object] = {
        "cooldown_blocks": rule.cooldown_blocks,
        "actions": [each.name for each in rule.actions],
    }
    if isinstance(rule, ExpressionRule):
        return {"kind": "expression", "when": canonical_text(rule.condition), **common}
    return {
        "kind": "drain",
        "signal": rule.signal,
        "window_blocks": rule.window_blocks,
        "threshold_bps": rule.threshold_bps,
        **common,
    }
