"""The one form in which a benchmark says what it measured: a JSON line with percentiles."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any


def print_line(metric: str, unit: str, samples: Sequence[float], **more: Any) -> None:
    """Print `{"metric", "unit", "p50", "p95", "max", "n", …}` for the samples."""
    ordered = sorted(samples)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    line = {
        "metric": metric,
        "unit": unit,
        "p50": round(statistics.median(ordered), 3),
        "p95": round(p95, 3),
        "max": round(ordered[-1], 3),
        "n": len(ordered),
        **more,
    }
    print(json.dumps(line), flush=True)
