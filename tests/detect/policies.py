"""Detection policies for the tests."""

from __future__ import annotations

from pathlib import Path

from node.detect.policy import DetectionPolicy, parse_detection_policy

GENERAL = Path(__file__).resolve().parents[2] / "docs" / "policies" / "general.yaml"

SMALL = """\
tocsin_detection: 1
name: small
version: 1
learning: {settle_blocks: 0, calibration_transactions: 1_000, common_ppm: 100_000}
levels:
  alert: {alone_ppm: 20_000, agreed_ppm: 20_000, families: 2}
  limit: {alone_ppm: 0, agreed_ppm: 2_000, families: 2}
  freeze: {alone_ppm: 0, agreed_ppm: 500, families: 2}
  pause: {alone_ppm: 0, agreed_ppm: 200, families: 3}
hard:
  emptied: {reentrancy: 1, balance_drain: 9_000}
detectors:
  novel_flow: {}
  reentrancy: {}
  balance_drain: {least_bps: 3_000, dust_bps: 500}
"""


def make_policy(*changes: tuple[str, str]) -> DetectionPolicy:
    """The small policy with pieces of its text replaced; each must be there."""
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_detection_policy(text.encode())
