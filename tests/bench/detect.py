"""What the trace detectors see in real histories: every exploit, every false alarm, and how fast.

    python -m tests.bench.detect [folder] [policy]

`folder` holds `<name>.zip` histories and a `labels.json` that names each exploit's transaction. Without one
it is looked for in `$TOCSIN_HISTORIES`, then in `data/histories` of a `shared` folder beside the checkout.
Prints what `tocsin backtest --json` prints for each, then a line with the sums. On two cores, two histories
are played at a time. `transactions_per_second` is what both cores get through all detectors, from traces in
memory, by the wall clock; `transactions_per_core_second_with_reading` is whole backtests, by the time of the
one core that each runs on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from node.backtest.figures import as_dict
from node.backtest.play import Outcome, run_backtest
from node.detect.policy import read_detection_policy
from node.detect.watch import Watch
from node.observe.history import RecordedHistory

REPOSITORY = Path(__file__).resolve().parents[2]
POLICY = REPOSITORY / "docs" / "policies" / "general.yaml"
CORES = 2


def find_histories() -> Path | None:
    """The folder with the recorded histories, or None on a machine without them."""
    named = os.environ.get("TOCSIN_HISTORIES")
    places = [Path(named)] if named else [REPOSITORY.parent / "shared" / "data" / "histories"]
    return next((place for place in places if (place / "labels.json").is_file()), None)


def play(archive: Path, policy: Path, exploit_hash: str | None) -> tuple[dict[str, Any], float]:
    """One history's line, and the seconds of a core that it took."""
    began = time.process_time()
    report = run_backtest(RecordedHistory(archive), read_detection_policy(policy), exploit_hash=exploit_hash)
    seconds = time.process_time() - began
    return as_dict(report), seconds


def measure_detectors(archive: Path, policy: Path) -> tuple[int, float]:
    """How many transactions went through all detectors, and in how many seconds; reading is not counted."""
    watch = Watch(read_detection_policy(policy))
    rows = [each for each in RecordedHistory(archive).transactions() if not each.is_empty]
    began = time.perf_counter()
    for transaction in rows:
        watch.judge(transaction)
    return len(rows), time.perf_counter() - began


def main(folder: Path | None, policy: Path) -> None:
    if folder is None:
        print(json.dumps({"skipped": "no recorded histories on this machine; set TOCSIN_HISTORIES"}))
        return
    labels = json.loads((folder / "labels.json").read_text())
    archives = [folder / f"{name}.zip" for name in labels]
    exploits = [label["exploit_tx"] for label in labels.values()]
    policies = [policy] * len(archives)
    with ProcessPoolExecutor(CORES) as cores:
        list(cores.map(read_detection_policy, policies))  # both have started and imported
        played = list(cores.map(play, archives, policies, exploits))
        measured = list(cores.map(measure_detectors, archives, policies))
    reports = [report for report, _ in played]
    for report in reports:
        print(json.dumps(report))
    print(json.dumps(_sums(reports, measured, sum(seconds for _, seconds in played))))


def _sums(
    reports: list[dict[str, Any]], measured: list[tuple[int, float]], core_seconds: float
) -> dict[str, Any]:
    benign = sum(report["benign"] for report in reports)
    transactions = sum(report["learned"] + report["scored"] for report in reports)
    flagged = sum(report["exploit"] in {Outcome.BEFORE, Outcome.AT} for report in reports)
    return {
        "histories": len(reports),
        "exploits": sum(report["exploit"] is not None for report in reports),
        "flagged": flagged,
        "benign": benign,
        **{
            f"{level}_per_thousand": round(
                1000 * sum(report[level] for report in reports) / max(1, benign), 3
            )
            for level in ("alerts", "limits", "pauses")
        },
        "detectors": {name: _sum_of_detector(name, reports) for name in reports[0]["benign_evidence"]},
        "transactions": transactions,
        "transactions_per_second": round(CORES * sum(n for n, _ in measured) / sum(s for _, s in measured)),
        "transactions_per_core_second_with_reading": round(transactions / core_seconds),
        "cores": CORES,
    }


def _sum_of_detector(name: str, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Which exploits it had a part in, and what it said of benign transactions."""
    return {
        "exploits": [report["history"] for report in reports if name in report["detectors"]],
        **{
            f"benign_{key}": sum(report["benign_evidence"][name][key] for report in reports)
            for key in ("found", "strange")
        },
    }


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:3]]
    main(given[0] if given else find_histories(), given[1] if len(given) > 1 else POLICY)
