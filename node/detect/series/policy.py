"""A series policy: which signals, from which series, weighed how, and how many false alarms are allowed.

One YAML file, read as strictly as every policy is (`node/evaluate/document.py`), with a canonical form
and a hash. `learned` is the hash of what was learned before judging began (`SeriesWatch.begin`). A policy
without it, or a watch that learned something else, can raise nothing but alerts on learned evidence
(design rule 7).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from consensus.alert import Level
from consensus.errors import Refused
from consensus.fields import keccak256
from consensus.types import PolicyHash, Seconds
from node.detect.evidence import CERTAIN, PPB_IN_PPM, Ppb
from node.detect.series.budget import AlarmBudget, parse_budget
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.detector import SeriesDetector
from node.detect.series.vocabulary import (
    LEARNING,
    POINT,
    RULES,
    SERIES,
    SERIES_FORMAT,
    SIGNAL_OF,
    SIGNALS,
    Each,
    find_detector_of,
    role_table,
    series_parameters_table,
)
from node.evaluate.document import Node, read_document
from node.evaluate.includes import parse_file
from node.evaluate.problems import Problems, collected
from node.evaluate.shapes import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRule:
    """One detector over some series."""

    detector: str
    most: Level
    """The hardest level that it may ask for; a stated bound asks for this one."""
    series: Mapping[str, tuple[str, ...]]
    """By the detector's role, the names of the series that fill it."""
    parameters: Mapping[str, int]

    def make_detector(self) -> SeriesDetector:
        """A detector that has seen nothing yet."""
        return SERIES_CATALOGUE[self.detector](**self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPolicy:
    """A parsed series policy. `hash` names it; `rules_hash` names it without what was learned."""

    name: str
    version: int
    each: Each
    seconds_per_point: Seconds
    window: int
    """How many points back a score is compared with."""
    common_ppm: int
    cooldown_points: int
    """For how long a level that was raised is not raised again by the same rule."""
    budgets: tuple[AlarmBudget, ...]
    rules: Mapping[str, Mapping[str, SignalRule]]
    """By rule, its signals by name. What is fused is a rule."""
    learned: bytes | None
    hash: PolicyHash = field(init=False)
    rules_hash: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules_hash", keccak256(self._canonical(None)))
        object.__setattr__(self, "hash", PolicyHash(keccak256(self.canonical_bytes())))

    @property
    def common(self) -> Ppb:
        """The p-value above which evidence is none."""
        return Ppb(self.common_ppm * PPB_IN_PPM)

    def p_value(self, level: Level) -> Ppb | None:
        """What evidence must come to for a level; None where no budget allows it."""
        for budget in self.budgets:
            if budget.level is level:
                return budget.p_value(seconds_per_point=self.seconds_per_point, rules=len(self.rules))
        return None

    def with_learned(self, state_hash: bytes) -> SeriesPolicy:
        """The same policy, with the hash of what was learned in it: another policy, to be approved anew."""
        return replace(self, learned=state_hash)

    def canonical_bytes(self) -> bytes:
        """The policy as JSON with sorted keys, no blanks and ASCII only; equal policies have equal bytes."""
        return self._canonical(self.learned)

    def _canonical(self, learned: bytes | None) -> bytes:
        return json.dumps(
            {
                "format": f"tocsin.series.v{SERIES_FORMAT}",
                "name": self.name,
                "version": self.version,
                "point": [self.each.value, self.seconds_per_point],
                "learning": [self.window, self.common_ppm],
                "cooldown_points": self.cooldown_points,
                "budgets": [str(budget) for budget in self.budgets],
                "rules": {
                    name: {
                        signal: [
                            each.detector,
                            each.most.name,
                            {role: list(names) for role, names in each.series.items()},
                            dict(each.parameters),
                        ]
                        for signal, each in signals.items()
                    }
                    for name, signals in self.rules.items()
                },
                "learned": "" if learned is None else learned.hex(),
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        ).encode("ascii")


def read_series_policy(path: Path) -> SeriesPolicy:
    """The policy in a file. Raises `Refused` (POLICY_INVALID); the message starts with the file's path."""
    return parse_file(path, parse_series_document)


def parse_series_policy(content: bytes) -> SeriesPolicy:
    """The policy in the bytes of a file. Raises `Refused` (POLICY_INVALID)."""
    return parse_series_document(read_document(content))


def parse_series_document(root: Node) -> SeriesPolicy:
    """The policy in a document. Raises `DocumentRefused` with everything that is wrong in it."""
    with collected() as problems:
        entry = SERIES.entry(root, problems)
        if "include" in entry:
            problems.add(entry.nodes["include"].key_refusal("only a file can include others; give its path"))
        nodes = entry.nodes
        point = POINT.entry(nodes["point"], problems) if "point" in nodes else None
        learning = LEARNING.entry(nodes["learning"], problems) if "learning" in nodes else None
        rules = _parse_rules(nodes["rules"], problems) if "rules" in nodes else {}
        budgets: tuple[AlarmBudget, ...] = ()
        if "budgets" in nodes and rules and point is not None and point.is_whole:
            seconds = Seconds(point.whole("seconds"))
            with problems.caught():
                budgets = _parse_budgets(nodes["budgets"], seconds_per_point=seconds, rules=len(rules))
        problems.settle()
        assert point is not None
        assert learning is not None
        return SeriesPolicy(
            name=entry.text("name"),
            version=entry.whole("version"),
            each=Each(point.text("each")),
            seconds_per_point=Seconds(point.whole("seconds")),
            window=learning.whole("window"),
            common_ppm=learning.whole("common_ppm"),
            cooldown_points=entry.whole("cooldown_points"),
            budgets=budgets,
            rules=rules,
            learned=bytes.fromhex(entry.text("learned")[2:]) if "learned" in entry else None,
        )


def _parse_budgets(node: Node, *, seconds_per_point: Seconds, rules: int) -> tuple[AlarmBudget, ...]:
    budgets: dict[Level, AlarmBudget] = {}
    smallest = CERTAIN
    for item in node.items():
        try:
            budget = parse_budget(item.text())
            p_value = budget.p_value(seconds_per_point=seconds_per_point, rules=rules)
        except Refused as error:
            raise item.refusal(error.message) from None
        if budgets and budget.level <= max(budgets):
            raise item.refusal("write one budget for each level, the easiest level first")
        if p_value > smallest:
            raise item.refusal("a harder level must not have more false alarms than an easier one")
        budgets[budget.level], smallest = budget, p_value
    if not budgets:
        raise node.refusal(
            "without a budget nothing is ever raised; write one, such as "
            "`at most one false pause per year and rule`"
        )
    return tuple(budgets.values())


def _parse_rules(node: Node, problems: Problems) -> dict[str, dict[str, SignalRule]]:
    rules: dict[str, dict[str, SignalRule]] = {}
    for name, entry in RULES.named(node, problems):
        rules[name] = {}
        for signal, each in SIGNALS.named(entry, problems):
            with problems.caught():
                parsed = _parse_signal(each, problems)
                if parsed is not None:
                    rules[name][signal] = parsed
    return rules


def _parse_signal(node: Node, problems: Problems) -> SignalRule | None:
    """The signal, or None where what is wrong with it was reported. Raises `DocumentRefused`."""
    name = find_detector_of(node)
    detector = SERIES_CATALOGUE[name]
    entry = SIGNAL_OF[name].entry(node, problems)
    if not entry.is_whole:
        return None
    roles = role_table(detector).entry(entry.nodes["series"], problems)
    values = series_parameters_table(detector).entry(entry.nodes["parameters"], problems)
    if not roles.is_whole or not values.is_whole:
        return None
    return SignalRule(
        detector=name,
        most=Level[entry.text("most").upper()],
        series=_parse_series(roles, detector),
        parameters={each.name: values.whole(each.name) for each in detector.parameters},
    )


def _parse_series(roles: Entry, detector: type[SeriesDetector]) -> dict[str, tuple[str, ...]]:
    series: dict[str, tuple[str, ...]] = {}
    for role in detector.roles:
        if role.name not in roles:
            continue
        names = roles.texts(role.name)
        if not role.least <= len(names) <= role.most or len(set(names)) < len(names):
            raise roles.nodes[role.name].refusal(
                f"expected {role.least} to {role.most} different series, came {len(names)}"
            )
        if names:
            series[role.name] = names
    return series
