"""A series policy: which signals, from which series, weighed how, and how many false alarms are allowed.

One YAML file, read as strictly as every policy is (`node/evaluate/document.py`), with a canonical form
and a hash. `learned` is the hash of what was learned before judging began (`SeriesWatch.begin`). A policy
without it, or a watch that learned something else, can raise nothing but alerts on learned evidence
(design rule 7).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.errors import Refused
from consensus.fields import keccak256
from consensus.types import PolicyHash, Seconds
from node.detect.evidence import CERTAIN, PPB_IN_PPM, Ppb
from node.detect.series.budget import AlarmBudget, parse_budget
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.detector import SeriesDetector
from node.detect.vocabulary import WHOLE_PPM
from node.evaluate.document import Node, read_document
from node.evaluate.includes import parse_file

SERIES_FORMAT: Final = 1
MAX_RULES: Final = 128
MAX_SIGNALS: Final = 32
MAX_WINDOW: Final = 1_000_000

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


class Each(StrEnum):
    """What a point stands for."""

    BLOCK = "block"
    PERIOD = "period"
    """Of `seconds_per_point`, as `node/detect/series/sample.py` makes them."""


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
    """The policy in a document. Raises `Refused` (POLICY_INVALID)."""
    fields = root.fields(
        required=(
            "tocsin_series",
            "name",
            "version",
            "point",
            "learning",
            "cooldown_points",
            "budgets",
            "rules",
        ),
        optional=("learned",),
    )
    fields["tocsin_series"].integer(least=SERIES_FORMAT, most=SERIES_FORMAT)
    point = fields["point"].fields(required=("each", "seconds"))
    learning = fields["learning"].fields(required=("window", "common_ppm"))
    rules = _parse_rules(fields["rules"])
    seconds = Seconds(point["seconds"].integer(least=1, most=31_557_600))
    return SeriesPolicy(
        name=_parse_name(fields["name"], fields["name"].text()),
        version=fields["version"].integer(least=1, most=2**32 - 1),
        each=_parse_each(point["each"]),
        seconds_per_point=seconds,
        window=learning["window"].integer(least=100, most=MAX_WINDOW),
        common_ppm=learning["common_ppm"].integer(least=1, most=WHOLE_PPM),
        cooldown_points=fields["cooldown_points"].integer(least=0, most=MAX_WINDOW),
        budgets=_parse_budgets(fields["budgets"], seconds_per_point=seconds, rules=len(rules)),
        rules=rules,
        learned=_parse_hash(fields["learned"]) if "learned" in fields else None,
    )


def _parse_each(node: Node) -> Each:
    written = node.text()
    if written not in list(Each):
        raise node.refusal(f"expected one of {', '.join(Each)}, came {written[:48]!r}")
    return Each(written)


def _parse_hash(node: Node) -> bytes:
    written = node.text()
    if not _HASH.fullmatch(written):
        raise node.refusal("expected 0x and 64 digits in lower case, as learning prints it")
    return bytes.fromhex(written[2:])


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


def _parse_rules(node: Node) -> dict[str, dict[str, SignalRule]]:
    entries = node.entries()
    if not 0 < len(entries) <= MAX_RULES:
        raise node.refusal(f"expected 1 to {MAX_RULES} rules, came {len(entries)}")
    rules: dict[str, dict[str, SignalRule]] = {}
    for name, entry in entries.items():
        signals = entry.entries()
        if not 0 < len(signals) <= MAX_SIGNALS:
            raise entry.refusal(f"expected 1 to {MAX_SIGNALS} signals, came {len(signals)}")
        rules[_parse_name(entry, name)] = {
            _parse_name(each, signal): _parse_signal(each) for signal, each in signals.items()
        }
    return rules


def _parse_signal(node: Node) -> SignalRule:
    fields = node.fields(required=("detector", "most", "series", "parameters"))
    name = fields["detector"].text()
    detector = SERIES_CATALOGUE.get(name)
    if detector is None:
        raise fields["detector"].refusal(
            f"no series detector is called {name[:48]!r}; there are {', '.join(SERIES_CATALOGUE)}"
        )
    values = fields["parameters"].fields(required=tuple(each.name for each in detector.parameters))
    return SignalRule(
        detector=name,
        most=_parse_level(fields["most"]),
        series=_parse_series(fields["series"], detector),
        parameters={
            each.name: values[each.name].integer(least=each.least, most=each.most)
            for each in detector.parameters
        },
    )


def _parse_level(node: Node) -> Level:
    written = node.text()
    by_name = {level.name.lower(): level for level in Level}
    if written not in by_name:
        raise node.refusal(f"expected one of {', '.join(by_name)}, came {written[:48]!r}")
    return by_name[written]


def _parse_series(node: Node, detector: type[SeriesDetector]) -> dict[str, tuple[str, ...]]:
    fields = node.fields(
        required=tuple(role.name for role in detector.roles if role.least),
        optional=tuple(role.name for role in detector.roles if not role.least),
    )
    series: dict[str, tuple[str, ...]] = {}
    for role in detector.roles:
        if role.name not in fields:
            continue
        names = tuple(_parse_name(each, each.text()) for each in fields[role.name].items())
        if not role.least <= len(names) <= role.most or len(set(names)) < len(names):
            raise fields[role.name].refusal(
                f"expected {role.least} to {role.most} different series, came {len(names)}"
            )
        if names:
            series[role.name] = names
    return series


def _parse_name(node: Node, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise node.refusal("a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ and -")
    return name
