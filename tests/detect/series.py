"""Samples and small policies for signals over time: whatever a property depends on stands in the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from consensus.types import BlockHash, BlockNumber, Seconds
from node.detect.series.detector import Reading, SeriesDetector
from node.detect.series.finding import Finding, Hint, Proposal
from node.detect.series.policy import SeriesPolicy, parse_series_policy
from node.detect.series.sample import Sample

POLICY = """\
tocsin_series: 1
name: small
version: 1
point: {each: block, seconds: 12}
learning: {window: 1_000, common_ppm: 100_000}
cooldown_points: 10
budgets:
  - at most five false alerts per hour and rule
  - at most one false limit per hour and rule
rules:
  pool:
    volume:
      detector: abnormal_volume
      most: limit
      series: {value: [volume]}
      parameters: {memory: 200, warmup: 50, least_deviation: 1_000}
    oracle:
      detector: oracle_deviation
      most: pause
      series: {price: [price], references: [market]}
      parameters: {most_bps: 200, least_points: 3, points: 4}
"""


def make_series_policy(*changes: tuple[str, str]) -> SeriesPolicy:
    """The small policy with pieces of its text replaced; each must be there."""
    text = POLICY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_series_policy(text.encode())


def hash_at(number: int, branch: str = "a") -> BlockHash:
    return BlockHash(branch.encode() * 16 + (number + 1).to_bytes(16, "big"))


def make_sample(
    number: int, values: Mapping[str, int], *, branch: str = "a", parent_branch: str | None = None
) -> Sample:
    return Sample(
        block_number=BlockNumber(number),
        block_hash=hash_at(number, branch),
        parent_hash=hash_at(number - 1, branch if parent_branch is None else parent_branch),
        timestamp=Seconds(12 * number),
        values=values,
    )


def play(
    detector: SeriesDetector, readings: Iterable[Mapping[str, int | Sequence[int]]], *, seconds: int = 12
) -> list[Finding | Hint | Proposal | None]:
    """What a detector says of each reading, one a block, so many seconds apart."""
    return [
        detector.observe(
            Reading(
                block_number=BlockNumber(number),
                timestamp=Seconds(seconds * number),
                values={
                    role: (value,) if isinstance(value, int) else tuple(value) for role, value in each.items()
                },
            )
        )
        for number, each in enumerate(readings)
    ]
