"""A detection policy: which detectors look, with which parameters, and what their evidence may lead to.

One YAML file, read as strictly as every policy is (`node/evaluate/document.py`), with a canonical form and a
hash. It names no protocol: what is usual is learned from each protocol's own history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consensus.alert import Level
from consensus.fields import keccak256
from consensus.types import PolicyHash
from node.detect.catalogue import detector_names, find_detector, find_package
from node.detect.vocabulary import (
    DETECTION,
    DETECTION_FORMAT,
    HARD,
    LEARNING,
    LEVEL,
    LEVELS,
    SCORE,
    SCORES,
    parameters_table,
)
from node.evaluate.document import Node, read_document
from node.evaluate.includes import parse_file
from node.evaluate.problems import Problems, collected, did_you_mean
from node.evaluate.vocabulary import NAME


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
    """The policy in a file and those that it includes. Raises `Refused`; the message starts with the path."""
    return parse_file(path, parse_detection_document)


def parse_detection_policy(content: bytes) -> DetectionPolicy:
    """The policy in the bytes of a file. Raises `DocumentRefused` (POLICY_INVALID)."""
    return parse_detection_document(read_document(content))


def parse_detection_document(root: Node) -> DetectionPolicy:
    """The policy in a document. Raises `DocumentRefused` with everything that is wrong in it."""
    with collected() as problems:
        entry = DETECTION.entry(root, problems)
        if "include" in entry:
            problems.add(entry.nodes["include"].key_refusal("only a file can include others; give its path"))
        sections = entry.nodes
        learning = LEARNING.entry(sections["learning"], problems) if "learning" in sections else None
        detectors = _parse_detectors(sections["detectors"], problems) if "detectors" in sections else {}
        levels = _parse_levels(sections["levels"], problems) if "levels" in sections else ()
        hard = _parse_hard(sections["hard"], detectors, problems) if "hard" in sections else ()
        problems.settle()
        assert learning is not None
        return DetectionPolicy(
            name=entry.text("name"),
            version=entry.whole("version"),
            settle_blocks=learning.whole("settle_blocks"),
            calibration_transactions=learning.whole("calibration_transactions"),
            common_ppm=learning.whole("common_ppm"),
            levels=levels,
            hard=hard,
            detectors=detectors,
            plugins={name: package for name in detectors if (package := find_package(name)) is not None},
        )


def _parse_detectors(node: Node, problems: Problems) -> dict[str, dict[str, int]]:
    detectors: dict[str, dict[str, int]] = {}
    for name, each in node.entries().items():
        detector = find_detector(name) if NAME.fullmatch(name) else None
        if detector is None:
            known = detector_names()
            problems.add(
                each.key_refusal(
                    f"no detector is called {name[:48]!r}{did_you_mean(name, known)}; there are "
                    f"{', '.join(known)}. One of another package must be installed beside this one"
                )
            )
            continue
        entry = parameters_table(detector).entry(each, problems)
        detectors[name] = {key: entry.whole(key) for key in entry.values}
    if not node.entries():
        problems.add(node.refusal("a policy without detectors sees nothing; write at least one"))
    return detectors


def _parse_levels(node: Node, problems: Problems) -> tuple[LevelRule, ...]:
    fields = LEVELS.entry(node, problems)
    rules: list[LevelRule] = []
    for level in Level:
        each = fields.nodes.get(level.name.lower())
        entry = LEVEL.entry(each, problems) if each is not None else None
        if each is None or entry is None or not entry.is_whole:
            continue
        rule = LevelRule(
            level=level,
            alone_ppm=entry.whole("alone_ppm"),
            agreed_ppm=entry.whole("agreed_ppm"),
            families=entry.whole("families"),
        )
        if rules and not _is_harder(rule, rules[-1]):
            problems.add(
                each.key_refusal(
                    f"a harder level must not be easier to reach than {rules[-1].level.name.lower()}"
                )
            )
        rules.append(rule)
    return tuple(rules)


def _is_harder(rule: LevelRule, easier: LevelRule) -> bool:
    return (
        rule.alone_ppm <= easier.alone_ppm
        and rule.agreed_ppm <= easier.agreed_ppm
        and rule.families >= easier.families
    )


def _parse_hard(node: Node, detectors: Mapping[str, object], problems: Problems) -> tuple[HardEvidence, ...]:
    hard: list[HardEvidence] = []
    for name, each in sorted(HARD.named(node, problems)):
        scores: list[tuple[str, int]] = []
        for detector, value in sorted(SCORES.named(each, problems)):
            if detector not in detectors:
                near = did_you_mean(detector, detectors)
                problems.add(
                    value.key_refusal(f"{detector[:48]!r} is not used{near}; declare it under `detectors:`")
                )
            with problems.caught():
                scores.append((detector, SCORE.read(value)))
        hard.append(HardEvidence(name=name, least_scores=tuple(scores)))
    return tuple(hard)
