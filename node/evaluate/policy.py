"""A protocol's policy: what to look at, when to ring, and which guardians to ask for what; in YAML.

`parse_policy` reads strictly, by the tables of `vocabulary.py`; all that is wrong is found in one reading,
each with its place and what to write. The parsed policy has one canonical form, and its hash is what the
protocol's owner approves in the guardian: comments, order of keys, spacing and the cut into files do not
change it, everything that changes a verdict or an action does.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from consensus.alert import (
    MAX_ACTIONS,
    MAX_ALERT_PARAMS_BYTES,
    Action,
    Level,
    compute_action_id,
    compute_rule_id,
)
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import Address, Bps, ChainId, PolicyHash, RuleId, Seconds
from node.evaluate.document import Node, TextNode, read_document
from node.evaluate.expressions import (
    FUNCTIONS,
    WHOLE_BPS,
    Arithmetic,
    Compare,
    Comparison,
    Compute,
    Condition,
    Connective,
    ExpressionRefused,
    Join,
    Literal,
    Read,
    canonical_text,
    parse_condition,
)
from node.evaluate.judging import reads_of
from node.evaluate.lookups import LookedUpSignal, Outside
from node.evaluate.problems import DocumentRefused, Problem, Problems, collected, did_you_mean
from node.evaluate.signals import Signal
from node.evaluate.sources import parse_signal, reads_signals
from node.evaluate.vocabulary import (
    ACTION,
    ACTIONS,
    CONTRACT,
    CONTRACTS,
    MAX_UNITS,
    POLICY,
    POLICY_FORMAT,
    RULE_KINDS,
    RULES,
    SIGNALS,
)

R = TypeVar("R", bound="Rule | ForeseenRule")

_NOWHERE = Address("0x" + "00" * 20)
"""Stands for a contract whose entry is refused, so that what names it is not refused as well."""


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
class PendingRule:
    """True of a pending transaction that, run at one block's state, would take at least `threshold_bps` of
    what one of `contracts` holds of one of `tokens`, or of native coin where `coin_wei` is given.

    No block has it and no cooldown holds it: it fires once for each block and transaction
    (`node/foresight`).
    """

    name: str
    contracts: tuple[Contract, ...]
    tokens: tuple[tuple[Contract, int], ...]
    """Each with the units from which on it counts."""
    coin_wei: int | None
    """From how many wei on native coin counts; None: it does not."""
    threshold_bps: Bps
    block_seconds: Seconds
    actions: tuple[PolicyAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingDetectionRule:
    """True of a pending transaction that, run at one block's state, a detection puts at `level` or above.

    The detection has judged the chain up to that block, and learns nothing of it. It fires as `PendingRule`.
    """

    name: str
    signal: LookedUpSignal
    level: Level
    block_seconds: Seconds
    actions: tuple[PolicyAction, ...]


ForeseenRule = PendingRule | PendingDetectionRule


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
    pending_rules: tuple[ForeseenRule, ...] = ()
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
                "signals": {each.name: each.form() for each in self.signals},
                "actions": {each.name: _action_form(each) for each in self.actions},
                "rules": {each.name: _rule_form(each) for each in (*self.rules, *self.pending_rules)},
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        ).encode("ascii")

    def rule(self, rule_id: RuleId) -> Rule:
        """The rule about blocks with this id. Raises `Refused` (UNKNOWN_RULE)."""
        return self._find(self.rules, rule_id)

    def pending_rule(self, rule_id: RuleId) -> ForeseenRule:
        """The rule about pending transactions with this id. Raises `Refused` (UNKNOWN_RULE)."""
        return self._find(self.pending_rules, rule_id)

    def actions_of(self, rule_id: RuleId) -> tuple[PolicyAction, ...]:
        """What the rule with this id asks for, of either kind. Raises `Refused` (UNKNOWN_RULE)."""
        every: tuple[Rule | ForeseenRule, ...] = (*self.rules, *self.pending_rules)
        return self._find(every, rule_id).actions

    def _find(self, rules: tuple[R, ...], rule_id: RuleId) -> R:
        for rule in rules:
            if compute_rule_id(rule.name) == rule_id:
                return rule
        raise Refused(
            Reason.UNKNOWN_RULE,
            f"policy {self.name} has no such rule with id 0x{rule_id.hex()}; its rules are "
            f"{', '.join(each.name for each in (*self.rules, *self.pending_rules))}",
        )


def parse_policy(content: bytes) -> Policy:
    """The policy in the bytes of a file. Raises `DocumentRefused` (POLICY_INVALID, EXPRESSION_INVALID)."""
    return parse_policy_document(read_document(content))


def parse_policy_document(root: Node, outside: Outside | None = None) -> Policy:
    """The policy in a document. Raises `DocumentRefused` with everything that is wrong in it.

    `outside` opens the files that signals name; without it such signals are refused (`node/policies.py`).
    """
    with collected() as problems:
        entry = POLICY.entry(root, problems)
        if "include" in entry:
            problems.add(entry.nodes["include"].key_refusal("only a file can include others; give its path"))
        source_chain_id = (
            ChainId(entry.whole("source_chain_id")) if "source_chain_id" in entry.values else None
        )
        sections = entry.nodes
        contracts = _parse_contracts(sections.get("contracts"), problems, source_chain_id)
        signals = _parse_signals(sections.get("signals"), contracts, problems, source_chain_id, outside)
        actions = _parse_actions(sections.get("actions"), contracts, problems)
        rules = _parse_rules(
            sections.get("rules"), signals, contracts, actions, problems, source_chain_id=source_chain_id
        )
        problems.settle()
        assert source_chain_id is not None
        return Policy(
            name=entry.text("name"),
            version=entry.whole("version"),
            ttl_seconds=Seconds(entry.whole("ttl_seconds")),
            source_chain_id=source_chain_id,
            contracts=tuple(contracts.values()),
            signals=tuple(each for each in signals.values() if each is not None),
            actions=tuple(each for each in actions.values() if each is not None),
            rules=tuple(each for each in rules if not isinstance(each, ForeseenRule)),
            pending_rules=tuple(each for each in rules if isinstance(each, ForeseenRule)),
        )


# ---------------------------------------------------------------------- sections of the file


def _parse_contracts(
    node: Node | None, problems: Problems, source_chain_id: ChainId | None
) -> dict[str, Contract]:
    contracts: dict[str, Contract] = {}
    for name, each in CONTRACTS.named(node, problems) if node else ():
        entry = CONTRACT.entry(each, problems)
        if entry.is_whole:
            chain_id, address = ChainId(entry.whole("chain_id")), Address(entry.text("address"))
        else:
            chain_id, address = source_chain_id or ChainId(1), _NOWHERE
        contracts[name] = Contract(name=name, chain_id=chain_id, address=address)
    return contracts


def _parse_signals(
    node: Node | None,
    contracts: Mapping[str, Contract],
    problems: Problems,
    source_chain_id: ChainId | None,
    outside: Outside | None,
) -> dict[str, Signal | None]:
    entries = SIGNALS.named(node, problems) if node else []
    signals: dict[str, Signal | None] = dict.fromkeys(name for name, _ in entries)
    for name, entry in sorted(entries, key=lambda each: reads_signals(each[1])):
        if name in FUNCTIONS or keyword.iskeyword(name):
            problems.add(
                entry.key_refusal(f"{name!r} is a word of the expression language; choose another name")
            )
            continue
        with problems.caught():
            signals[name] = parse_signal(
                name,
                entry,
                contracts,
                problems,
                source_chain_id=source_chain_id,
                outside=outside,
                signals=signals,
            )
    return signals


def _parse_actions(
    node: Node | None, contracts: Mapping[str, Contract], problems: Problems
) -> dict[str, PolicyAction | None]:
    actions: dict[str, PolicyAction | None] = {}
    for name, each in ACTIONS.named(node, problems) if node else ():
        actions[name] = None
        entry = ACTION.entry(each, problems)
        if not entry.is_whole:
            continue
        guardian = contracts.get(entry.text("guardian"))
        if guardian is None:
            near = did_you_mean(entry.text("guardian"), contracts)
            problems.add(
                entry.nodes["guardian"].refusal(
                    f"no contract has this name{near}; declare the guardian under `contracts:`"
                )
            )
            continue
        action = Action(
            chain_id=guardian.chain_id,
            guardian=guardian.address,
            action_id=compute_action_id(entry.text("action")),
            params=bytes.fromhex(entry.text("params")[2:]) if "params" in entry else b"",
        )
        twin = next(
            (other for other in actions.values() if other is not None and other.action == action), None
        )
        if twin is not None:
            problems.add(each.key_refusal(f"the same action as {twin.name}; keep one of them"))
            continue
        actions[name] = PolicyAction(
            name=name,
            guardian=guardian.name,
            action_name=entry.text("action"),
            level=Level[entry.text("level").upper()],
            action=action,
        )
    return actions


def _parse_rules(
    node: Node | None,
    signals: Mapping[str, Signal | None],
    contracts: Mapping[str, Contract],
    actions: Mapping[str, PolicyAction | None],
    problems: Problems,
    *,
    source_chain_id: ChainId | None,
) -> tuple[Rule | ForeseenRule, ...]:
    rules: list[Rule | ForeseenRule] = []
    for name, entry in RULES.named(node, problems) if node else ():
        with problems.caught():
            rule: Rule | ForeseenRule | None
            kind = _kind_of(entry)
            if kind == "pending":
                rule = _parse_pending(name, entry, contracts, actions, problems, source_chain_id)
            elif kind == "pending_detection":
                rule = _parse_pending_detection(name, entry, signals, actions, problems)
            else:
                rule = _parse_rule(name, entry, signals, actions, problems)
            if rule is not None:
                rules.append(rule)
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _parse_rule(
    name: str,
    node: Node,
    signals: Mapping[str, Signal | None],
    actions: Mapping[str, PolicyAction | None],
    problems: Problems,
) -> Rule | None:
    kind = node.entries().get("kind")
    if kind is None:
        raise node.key_refusal(
            "the key `kind` is missing; write `kind: expression`, `kind: drain`, `kind: pending` or "
            "`kind: pending_detection`"
        )
    table = RULE_KINDS.get(kind.text())
    if table is None:
        near = did_you_mean(kind.text(), RULE_KINDS)
        raise kind.refusal(
            f"expected expression, drain, pending or pending_detection, came {kind.text()[:40]!r}{near}"
        )
    entry = table.entry(node, problems)
    chosen: tuple[PolicyAction, ...] = ()
    if "actions" in entry.values:
        with problems.caught():
            chosen = _parse_rule_actions(entry.nodes["actions"], actions, problems)
    if kind.text() == "expression":
        condition = None
        if "when" in entry.values:
            with problems.caught():
                condition = _parse_when(entry.nodes["when"], signals)
        if not entry.is_whole or condition is None:
            return None
        names = {read.signal for read in reads_of(condition)}
        _require_brakes_are_earned(
            entry.nodes["actions"], chosen, [signals[name] for name in names], problems
        )
        return ExpressionRule(
            name=name, condition=condition, cooldown_blocks=entry.whole("cooldown_blocks"), actions=chosen
        )
    if "signal" in entry.values and entry.text("signal") not in signals:
        near = did_you_mean(entry.text("signal"), signals)
        raise entry.nodes["signal"].refusal(
            f"no signal is called {entry.text('signal')[:48]!r}{near}; declare it under `signals:`"
        )
    if not entry.is_whole:
        return None
    _require_brakes_are_earned(entry.nodes["actions"], chosen, [signals[entry.text("signal")]], problems)
    return DrainRule(
        name=name,
        signal=entry.text("signal"),
        window_blocks=entry.whole("window_blocks"),
        threshold_bps=Bps(entry.whole("threshold_bps")),
        cooldown_blocks=entry.whole("cooldown_blocks"),
        actions=chosen,
    )


def _require_brakes_are_earned(
    node: Node, chosen: tuple[PolicyAction, ...], signals: Sequence[Signal | None], problems: Problems
) -> None:
    """Report each action that is harder than a signal of its rule may lead to."""
    for item in node.items():
        action = next((each for each in chosen if each.name == item.text()), None)
        for signal in sorted(filter(None, signals), key=lambda each: each.name):
            if action is None or not isinstance(signal, LookedUpSignal):
                continue
            if action.level > signal.values.hardest:
                problems.add(
                    item.refusal(
                        f"{action.name} is of level {action.level.name.lower()}, and {signal.name} may lead "
                        f"to {signal.values.hardest.name.lower()} at most; {signal.values.remedy}"
                    )
                )


def _kind_of(node: Node) -> str | None:
    kind = node.entries().get("kind")
    return None if kind is None else kind.text()


def _parse_pending_detection(
    name: str,
    node: Node,
    signals: Mapping[str, Signal | None],
    actions: Mapping[str, PolicyAction | None],
    problems: Problems,
) -> PendingDetectionRule | None:
    entry = RULE_KINDS["pending_detection"].entry(node, problems)
    chosen: tuple[PolicyAction, ...] = ()
    if "actions" in entry.values:
        with problems.caught():
            chosen = _parse_rule_actions(entry.nodes["actions"], actions, problems)
    if not entry.is_whole:
        return None
    named = entry.text("signal")
    if named not in signals:
        near = did_you_mean(named, signals)
        raise entry.nodes["signal"].refusal(
            f"no signal is called {named[:48]!r}{near}; declare it under `signals:`"
        )
    signal = signals[named]
    if signal is None:  # refused where it is declared
        return None
    if not isinstance(signal, LookedUpSignal) or not signal.is_detection:
        raise entry.nodes["signal"].refusal(
            f"{named} is no detection, and only trace detectors can be asked about a transaction; name a "
            "signal that has the key `detection`"
        )
    _require_brakes_are_earned(entry.nodes["actions"], chosen, [signal], problems)
    return PendingDetectionRule(
        name=name,
        signal=signal,
        level=Level[entry.text("level").upper()],
        block_seconds=Seconds(entry.whole("block_seconds")),
        actions=chosen,
    )


def _parse_pending(
    name: str,
    node: Node,
    contracts: Mapping[str, Contract],
    actions: Mapping[str, PolicyAction | None],
    problems: Problems,
    source_chain_id: ChainId | None,
) -> PendingRule | None:
    entry = RULE_KINDS["pending"].entry(node, problems)
    chosen: tuple[PolicyAction, ...] = ()
    if "actions" in entry.values:
        with problems.caught():
            chosen = _parse_rule_actions(entry.nodes["actions"], actions, problems)
    holders: dict[str, Contract] = {}
    for item in entry.nodes["contracts"].items() if "contracts" in entry.values else ():
        with problems.caught():
            holder = _find_contract(item, item.text(), contracts, source_chain_id)
            if holder.name in holders:
                raise item.refusal(f"{holder.name} is named twice; keep one")
            holders[holder.name] = holder
    tokens: list[tuple[Contract, int]] = []
    for token, units in entry.nodes["tokens"].entries().items() if "tokens" in entry.values else ():
        with problems.caught():
            found = _find_contract(units, token, contracts, source_chain_id)
            tokens.append((found, units.integer(least=1, most=MAX_UNITS)))
    if not entry.is_whole:
        return None
    if not holders:
        raise entry.nodes["contracts"].refusal("name at least one contract whose holdings count")
    if not tokens and "coin" not in entry:
        raise node.key_refusal("nothing counts: write `tokens: {token: units}`, `coin: wei`, or both")
    return PendingRule(
        name=name,
        contracts=tuple(sorted(holders.values(), key=lambda each: each.name)),
        tokens=tuple(sorted(tokens, key=lambda each: each[0].name)),
        coin_wei=entry.whole("coin") if "coin" in entry else None,
        threshold_bps=Bps(entry.whole("threshold_bps")),
        block_seconds=Seconds(entry.whole("block_seconds")),
        actions=chosen,
    )


def _find_contract(
    node: Node, name: str, contracts: Mapping[str, Contract], source_chain_id: ChainId | None
) -> Contract:
    """The contract of this name, on the source chain. Raises `DocumentRefused`."""
    contract = contracts.get(name)
    if contract is None:
        near = did_you_mean(name, contracts)
        raise node.refusal(f"no contract is called {name[:48]!r}{near}; declare it under `contracts:`")
    if source_chain_id is not None and contract.chain_id != source_chain_id:
        raise node.refusal(
            f"{name} is on chain {contract.chain_id}; pending transactions are run on chain {source_chain_id}"
        )
    return contract


def _parse_when(node: Node, signals: Mapping[str, Signal | None]) -> Condition:
    try:
        return parse_condition(node.text(), signals=signals.keys())
    except ExpressionRefused as refused:
        assert isinstance(node, TextNode)
        raise DocumentRefused(
            tuple(
                Problem(
                    place=node.place_of(fault.column - 1),
                    path=node.path,
                    message=f"column {fault.column}: {fault.message}",
                    reason=Reason.EXPRESSION_INVALID,
                )
                for fault in refused.faults
            )
        ) from None


def _parse_rule_actions(
    node: Node, actions: Mapping[str, PolicyAction | None], problems: Problems
) -> tuple[PolicyAction, ...]:
    chosen: list[PolicyAction] = []
    for item in node.items():
        name = item.text()
        action = actions.get(name)
        if name not in actions:
            problems.add(
                item.refusal(
                    f"no action is called {name[:48]!r}{did_you_mean(name, actions)}; declare it under "
                    "`actions:`"
                )
            )
        elif action in chosen:
            problems.add(item.refusal(f"{name} is named twice; keep one"))
        elif action is not None:
            chosen.append(action)
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


# ---------------------------------------------------------------------- canonical form


def _contract_form(contract: Contract) -> dict[str, object]:
    return {"chain_id": contract.chain_id, "address": contract.address}


def _action_form(action: PolicyAction) -> dict[str, object]:
    return {
        "guardian": action.guardian,
        "action": action.action_name,
        "level": action.level.name.lower(),
        "params": f"0x{action.action.params.hex()}",
    }


def _rule_form(rule: Rule | ForeseenRule) -> dict[str, object]:
    if isinstance(rule, PendingDetectionRule):
        return {
            "kind": "pending_detection",
            "signal": rule.signal.name,
            "level": rule.level.name.lower(),
            "block_seconds": rule.block_seconds,
            "actions": [each.name for each in rule.actions],
        }
    if isinstance(rule, PendingRule):
        return {
            "kind": "pending",
            "contracts": [each.name for each in rule.contracts],
            "tokens": {token.name: str(units) for token, units in rule.tokens},
            "coin": None if rule.coin_wei is None else str(rule.coin_wei),
            "threshold_bps": rule.threshold_bps,
            "block_seconds": rule.block_seconds,
            "actions": [each.name for each in rule.actions],
        }
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
