"""Rule policies from files, together with the files of other rooms that they name.

Where the reading of rules (`node/evaluate`) meets what they look up (`node/detect`): neither opens the
other's files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consensus.types import Address
from node.detect.bridge_book import Bridge
from node.detect.bridge_policy import read_bridge_policy
from node.detect.levels import Detection
from node.detect.new_contract_scores import NewContractScores
from node.detect.policy import read_detection_policy
from node.detect.series.levels import SeriesDetection
from node.detect.series.policy import read_series_policy
from node.evaluate.document import Node
from node.evaluate.includes import parse_file
from node.evaluate.policy import Policy, parse_policy_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The files in a policy's folder and below it."""

    folder: Path

    def read_detection(self, path: Path) -> Detection:
        """The detection policy in a file. Raises `Refused`."""
        return Detection(policy=read_detection_policy(path))

    def read_series(self, path: Path) -> SeriesDetection:
        """The series policy in a file. Raises `Refused`."""
        return SeriesDetection(policy=read_series_policy(path))

    def read_bridge(self, path: Path) -> Bridge:
        """The bridge policy in a file. Raises `Refused`."""
        return Bridge(policy=read_bridge_policy(path))

    def make_new_contracts(self, contracts: Mapping[str, Address]) -> NewContractScores:
        """The highest score of a contract that a block created against these."""
        return NewContractScores(contracts)


def read_policy(path: Path) -> Policy:
    """The policy in a file and those that it includes. Raises `Refused`; its message starts with the path."""
    return parse_file(path, lambda root: parse_rule_document(root, path))


def parse_rule_document(root: Node, path: Path) -> Policy:
    """The policy in a document that was read from `path`. Raises `DocumentRefused` with everything that is
    wrong in it."""
    return parse_policy_document(root, Beside(folder=path.parent.resolve()))
