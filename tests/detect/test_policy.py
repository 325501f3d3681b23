"""Detection policies: read strictly, refused with the line, one hash for one meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.alert import Level
from consensus.errors import Reason, Refused
from node.detect.catalogue import CATALOGUE
from node.detect.policy import read_detection_policy
from tests.detect.policies import GENERAL, SMALL, make_policy


def test_the_general_policy_uses_every_detector_and_names_no_protocol() -> None:
    policy = read_detection_policy(GENERAL)

    assert set(policy.detectors) == set(CATALOGUE)
    assert "0x" not in GENERAL.read_text()


def test_the_general_policy_keeps_within_the_budgets_of_the_issue() -> None:
    levels = {rule.level: rule for rule in read_detection_policy(GENERAL).levels}

    for level, most_ppm in {Level.ALERT: 5_000, Level.LIMIT: 1_000, Level.PAUSE: 100}.items():
        assert max(levels[level].alone_ppm, levels[level].agreed_ppm) <= most_ppm


def test_every_detector_in_the_catalogue_stands_under_its_own_name() -> None:
    for name, kind in CATALOGUE.items():
        detector = kind(**{each.name: each.least for each in kind.parameters})

        assert detector.name == name


def test_comments_order_and_spacing_do_not_change_the_hash() -> None:
    reordered = make_policy(
        ("  novel_flow: {}\n  reentrancy: {}\n", "  reentrancy: {}  # first\n  novel_flow: {}\n")
    )

    assert reordered.hash == make_policy().hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("settle_blocks: 0", "settle_blocks: 1"),
        ("common_ppm: 100_000", "common_ppm: 99_999"),
        ("alone_ppm: 20_000", "alone_ppm: 19_999"),
        ("agreed_ppm: 2_000", "agreed_ppm: 2_001"),
        ("agreed_ppm: 200, families: 3", "agreed_ppm: 200, families: 4"),
        ("balance_drain: 9_000", "balance_drain: 9_001"),
        ("least_bps: 3_000", "least_bps: 3_001"),
        ("  novel_flow: {}\n", ""),
        ("version: 1", "version: 2"),
    ],
)
def test_whatever_changes_a_judgement_changes_the_hash(old: str, new: str) -> None:
    assert make_policy((old, new)).hash != make_policy().hash


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tocsin_detection: 1", "tocsin_detection: 2", "line 1: tocsin_detection: expected a whole number"),
        ("name: small", "name: Small", "line 2: name: a name starts with a-z"),
        ("settle_blocks: 0, ", "", "line 4: learning: the key `settle_blocks` is missing"),
        ("common_ppm: 100_000", "common_ppm: 1.5", "line 4: learning.common_ppm: expected a whole number"),
        ("  alert: {alone_ppm: 20_000", "  alert: {alone: 20_000", "unknown key"),
        (
            "alone_ppm: 0, agreed_ppm: 500",
            "alone_ppm: 0, agreed_ppm: 5_000",
            "line 8: levels.freeze: a harder level",
        ),
        (
            "alone_ppm: 0, agreed_ppm: 500",
            "alone_ppm: 9, agreed_ppm: 500",
            "line 8: levels.freeze: a harder level",
        ),
        (
            "agreed_ppm: 20_000, families: 2",
            "agreed_ppm: 20_000, families: 3",
            "line 7: levels.limit: a harder level",
        ),
        ("agreed_ppm: 200, families: 3", "agreed_ppm: 200, families: 5", "from 2 to 4"),
        ("{reentrancy: 1, balance_drain: 9_000}", "{}", "line 11: hard.emptied: without a detector"),
        ("{reentrancy: 1, ", "{repetition_burst: 1, ", "'repetition_burst' is not used"),
        (
            "  reentrancy: {}",
            "  telepathy: {}",
            "line 14: detectors.telepathy: no detector is called 'telepathy'",
        ),
        ("  reentrancy: {}", "  reentrancy: {depth: 2}", "line 14: detectors.reentrancy.depth: unknown key"),
        ("least_bps: 3_000, ", "", "the key `least_bps` is missing"),
        ("least_bps: 3_000", "least_bps: 0", "from 1 to"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        make_policy((old, new))

    assert caught.value.reason is Reason.POLICY_INVALID
    assert said in caught.value.message


def test_a_policy_without_detectors_is_refused() -> None:
    with pytest.raises(Refused, match="sees nothing"):
        make_policy((SMALL[SMALL.index("hard:") :], "hard: {}\ndetectors: {}\n"))


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: x\n")

    with pytest.raises(Refused, match=r"p\.yaml: line 1"):
        read_detection_policy(tmp_path / "p.yaml")
    with pytest.raises(Refused, match="cannot be read"):
        read_detection_policy(tmp_path / "absent.yaml")
