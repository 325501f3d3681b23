"""What the backtests of several histories come to together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.backtest.figures import COUNTED_LEVELS, compute_rate, rate_as_dict
from node.backtest.report import Outcome, Report


def sum_as_dict(reports: Sequence[Report]) -> dict[str, Any]:
    """The sums as plain JSON values; `seconds` are those of all processes together."""
    benign = sum(report.benign for report in reports)
    counts = {name: sum(report.count(level) for report in reports) for name, level in COUNTED_LEVELS}
    return {
        "histories": len(reports),
        "exploits": sum(report.exploit is not None for report in reports),
        "flagged": count_flagged(reports),
        "scored": sum(report.scored for report in reports),
        "benign": benign,
        **counts,
        "per_thousand": {name: rate_as_dict(compute_rate(count, benign)) for name, count in counts.items()},
        "transactions": sum(report.played for report in reports),
        "seconds": round(sum(report.seconds for report in reports), 3),
    }


def count_flagged(reports: Sequence[Report]) -> int:
    """Of how many histories the exploit was flagged, at its transaction or before."""
    return sum(report.exploit in {Outcome.BEFORE, Outcome.AT} for report in reports)
