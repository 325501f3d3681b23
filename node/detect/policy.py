"""A detection policy: which detectors look, with which parameters, and what their evidence may lead to.

One YAML file, read as strictly as every policy is (`node/evaluate/document.py`), with a canonical form and a
hash. It names no protocol: what is usual is learned from each protocol's own history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.fields import keccak256
from consensus.types import PolicyHash
from node.detect.catalogue import detector_names, find_detector, find_package
from node.detect.evidence import Family
from node.detect.parameter import Parameter
from node.evaluate.document import Node, parse_file, read_document

DETECTION_FORMAT: Final = 1
MAX_HARD_RULES: Final = 32
MAX_SETTLE_BLOCKS: Final = 100_000
MAX_CALIBRATION_TRANSACTIONS: Final = 1_000_000
WHOLE_PPM: Final = 1_000_000

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRule:
    """What learned evidence must come to for a level."""

    level: Level
    alone_ppm: int
    """How strange one family's evidence must be, in parts per million of benign transactions; 0: never
    enough."""
    agreed_ppm: int
    """How strange the evidence of `families` families that agree must be."""
    families: int

    def budget_ppm(self, families: int) -> int:
        """The share of benign transactions that may come so far when so many families speak; 0 for none."""
        if families == 0:
            return 0
        return self.agreed_ppm if families >= self.families else self.alone_ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class HardEvidence:
    """Detectors that together prove a theft, each with the score that it must reach."""

    name: str
    least_scores: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPolicy:
    """A parsed detection policy. `hash` names it: keccak256 of `canonical_bytes()`."""

    name: str
    version: int
    settle_blocks: int
    calibration_transactions: int
    common_ppm: int
    """Evidence that a larger share of benign transactions shows does not count."""
    levels: tuple[LevelRule, ...]
    """One for each level, from the easiest on."""
    hard: tuple[HardEvidence, ...]
    detectors: Mapping[str, Mapping[str, int]]
    plugins: Mapping[str, str] = field(default_factory=dict)
    """The package and version that each detector comes from which is not ours."""
    hash: PolicyHash = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", PolicyHash(keccak256(self.canonical_bytes())))

    def rule(self, level: Level) -> LevelRule:
        """What it takes to reach this level."""
        return self.levels[level]

    def canonical_bytes(self) -> bytes:
        """The policy as JSON with sorted keys, no blanks and ASCII only; equal policies have equal bytes."""
        return json.dumps(
            {
                "format": f"tocsin.detection.v{DETECTION_FORMAT}",
                "name": self.name,
                "version": self.version,
                "learning": [self.settle_blocks, self.calibration_transactions, self.common_ppm],
                "levels": {
                    each.level.name: [each.alone_ppm, each.agreed_ppm, each.families] for each in self.levels
                },
                "hard": {each.name: dict(each.least_scores) for each in self.hard},
                "detectors": {name: dict(values) for name, values in self.detectors.items()},
            }
            | ({"plugins": dict(self.plugins)} if self.plugins else {}),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        ).encode("ascii")


def read_detection_policy(path: Path) -> DetectionPolicy:
    """The policy in a file. Raises `Refused` (POLICY_INVALID); the message starts with the file's path."""
    return parse_file(path, parse_detection_policy)


def parse_detection_policy(content: bytes) -> DetectionPolicy:
    """The policy in the bytes of a file. Raises `Refused` (POLICY_INVALID)."""
    fields = read_document(content).fields(
        required=("tocsin_detection", "name", "version", "learning", "levels", "hard", "detectors")
    )
    fields["tocsin_detection"].integer(least=DETECTION_FORMAT, most=DETECTION_FORMAT)
    learning = fields["learning"].fields(required=("settle_blocks", "calibration_transactions", "common_ppm"))
    detectors = _parse_detectors(fields["detectors"])
    return DetectionPolicy(
        name=_parse_name(fields["name"], fields["name"].text()),
        version=fields["version"].integer(least=1, most=2**32 - 1),
        settle_blocks=learning["settle_blocks"].integer(least=0, most=MAX_SETTLE_BLOCKS),
        calibration_transactions=learning["calibration_transactions"].integer(
            least=100, most=MAX_CALIBRATION_TRANSACTIONS
        ),
        common_ppm=learning["common_ppm"].integer(least=1, most=WHOLE_PPM),
        levels=_parse_levels(fields["levels"]),
        hard=_parse_hard(fields["hard"], detectors),
        detectors=detectors,
        plugins={name: package for name in detectors if (package := find_package(name)) is not None},
    )


def _parse_detectors(node: Node) -> dict[str, dict[str, int]]:
    detectors: dict[str, dict[str, int]] = {}
    for name, entry in node.entries().items():
        detector = find_detector(name) if _NAME.fullmatch(name) else None
        if detector is None:
            known = ", ".join(detector_names())
            raise entry.refusal(
                f"no detector is called {name[:48]!r}; there are {known}. One of another package must be "
                "installed beside this one"
            )
        parameters = detector.parameters
        values = entry.fields(required=tuple(each.name for each in parameters))
        detectors[name] = {each.name: _parse_parameter(values[each.name], each) for each in parameters}
    if not detectors:
        raise node.refusal("a policy without detectors sees nothing; write at least one")
    return detectors


def _parse_parameter(node: Node, parameter: Parameter) -> int:
    return node.integer(least=parameter.least, most=parameter.most)


def _parse_levels(node: Node) -> tuple[LevelRule, ...]:
    fields = node.fields(required=tuple(level.name.lower() for level in Level))
    rules: list[LevelRule] = []
    for level in Level:
        entry = fields[level.name.lower()].fields(required=("alone_ppm", "agreed_ppm", "families"))
        rule = LevelRule(
            level=level,
            alone_ppm=entry["alone_ppm"].integer(least=0, most=WHOLE_PPM),
            agreed_ppm=entry["agreed_ppm"].integer(least=0, most=WHOLE_PPM),
            families=entry["families"].integer(least=2, most=len(Family)),
        )
        if rules and not _is_harder(rule, rules[-1]):
            raise fields[level.name.lower()].refusal(
                f"a harder level must not be easier to reach than {rules[-1].level.name.lower()}"
            )
        rules.append(rule)
    return tuple(rules)


def _is_harder(rule: LevelRule, easier: LevelRule) -> bool:
    return (
        rule.alone_ppm <= easier.alone_ppm
        and rule.agreed_ppm <= easier.agreed_ppm
        and rule.families >= easier.families
    )


def _parse_hard(node: Node, detectors: Mapping[str, object]) -> tuple[HardEvidence, ...]:
    entries = node.entries()
    if len(entries) > MAX_HARD_RULES:
        raise node.refusal(f"at most {MAX_HARD_RULES} entries are read, {len(entries)} came")
    return tuple(
        HardEvidence(
            name=_parse_name(entry, name),
            least_scores=tuple(
                (_require_declared(value, detector, detectors), value.integer(least=1, most=10**9))
                for detector, value in sorted(_require_some(entry).items())
            ),
        )
        for name, entry in sorted(entries.items())
    )


def _require_some(entry: Node) -> dict[str, Node]:
    scores = entry.entries()
    if not scores:
        raise entry.refusal("without a detector this would always hold; write `detector: least score`")
    return scores


def _require_declared(node: Node, detector: str, detectors: Mapping[str, object]) -> str:
    if detector not in detectors:
        raise node.refusal(f"{detector[:48]!r} is not used; declare it under `detectors:`")
    return detector


def _parse_name(node: Node, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise node.refusal("a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ and -")
    return name
