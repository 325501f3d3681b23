"""Whether the tables of docs/detectors.md say what the benches say now.

    make bench-detect | python -m tests.bench.documented

Reads the benches' JSON lines, and prints each figure that the page tells otherwise; exit code 1 where there
is one, or where no line had a figure that the page tells. Times are left out: machines differ in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "detectors.md"

Line = Mapping[str, Any]
Rows = Mapping[str, list[tuple[str, ...]]]
"""The rows of all tables by their first cell."""


def find_differences(lines: Iterable[Line], page: str) -> tuple[int, list[str]]:
    """How many rows the lines told of, and what is wrong with those that the page has otherwise."""
    rows = _read_rows(page)
    told = [row for line in lines for row in _rows_of(line)]
    wrong = []
    for expected in told:
        found = [each[: len(expected)] for each in rows.get(expected[0], [])]
        if expected not in found:
            wrong.append(f"expected | {' | '.join(expected)} |, came {_shown(found)}")
    return len(told), wrong


def _rows_of(line: Line) -> list[tuple[str, ...]]:
    return [row for what, make in _TABLES if what(line) for row in make(line)]


def _history_row(line: Line) -> list[tuple[str, ...]]:
    is_control = line["exploit"] is None
    return [
        (
            str(line["history"]),
            _whole(line["learned"]),
            _whole(line["benign"]),
            "control" if is_control else str(line["exploit"]),
            "" if is_control else str(line["level"]),
            *(_whole(line[level]) for level in ("alerts", "limits", "pauses")),
        )
    ]


def _span_row(line: Line) -> list[tuple[str, ...]]:
    return [
        (
            f"{line['learned_percent']} %",
            _whole(line["benign"]),
            f"{line['flagged']} of {line['exploits']}",
            *(_whole(line[level]) for level in ("alerts", "limits", "pauses")),
        )
    ]


def _detector_rows(line: Line) -> list[tuple[str, ...]]:
    return [
        (
            f"`{name}`",
            ", ".join(each["exploits"]) or "none",
            *(_whole(each[f"benign_{key}"]) for key in _COUNTS),
        )
        for name, each in line["detectors"].items()
    ]


def _loss_row(line: Line) -> list[tuple[str, ...]]:
    seconds = line["pause_after_seconds"]
    after = f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"
    return [(after, *(f"${line[f'{what}_usd'] / 10**6:.1f} M" for what in ("lost", "saved")),
             str(line["saved_percent"]))]  # fmt: skip


def _series_rows(line: Line) -> list[tuple[str, ...]]:
    return [
        (
            f"`{line['detector']}`",
            "not found" if line["found_after_points"] is None else f"after {line['found_after_points']}",
            *(
                _whole(line[key])
                for key in ("near_miss_alarms", "benign_points", "benign_alerts", "benign_limits")
            ),
        )
    ]


_COUNTS = ("found", "strange")
_DOCUMENTED_DELAYS = frozenset({0, 600, 1_800, 3_600, 4_500, 5_400})
_TABLES: tuple[tuple[Callable[[Line], bool], Callable[[Line], list[tuple[str, ...]]]], ...] = (
    (lambda line: "history" in line and "policy_hash" in line, _history_row),
    (lambda line: "learned_percent" in line and "history" not in line, _span_row),
    (lambda line: "detectors" in line and "histories" in line, _detector_rows),
    (
        lambda line: line.get("bench") == "bridge_loss" and line["pause_after_seconds"] in _DOCUMENTED_DELAYS,
        _loss_row,
    ),
    (lambda line: line.get("metric") == "series_detector", _series_rows),
)


def _read_rows(page: str) -> Rows:
    rows: dict[str, list[tuple[str, ...]]] = {}
    for text in page.splitlines():
        if text.startswith("|") and text.endswith("|"):
            cells = tuple(cell.strip() for cell in text[1:-1].split("|"))
            if cells[0].startswith("`") and len(cells) == len(
                ("name", "family", "looks at", "part", *_COUNTS)
            ):
                # of a detector the bench knows the name and the last three
                rows.setdefault(cells[0], []).append((cells[0], *cells[3:]))
            rows.setdefault(cells[0], []).append(cells)
    return rows


def _whole(number: int) -> str:
    return f"{number:,}"


def _shown(found: list[tuple[str, ...]]) -> str:
    return " or ".join(f"| {' | '.join(each)} |" for each in found) or "no such row"


def main() -> int:
    lines = [json.loads(text) for text in sys.stdin if text.startswith("{")]
    rows, wrong = find_differences(lines, PAGE.read_text())
    for each in wrong:
        print(each)
    print(json.dumps({"rows": rows, "wrong": len(wrong)}))
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
