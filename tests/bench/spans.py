"""What a detection policy comes to when less, or more, than half of each history is learned.

    python -m tests.bench.spans [folder] [policy]

Prints a line for each history and share that is learned, and one with the sums of each share: alerts,
limits and pauses on benign transactions (each holds the harder ones), and the level at which the exploit
was flagged at its transaction or before. Where the exploit lies in what would be learned, or too near to
it, the line is left out. `make bench-detect` learns on the first half.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from consensus.alert import Level
from node.backtest.play import QUARANTINE_BLOCKS
from node.detect.policy import read_detection_policy
from node.detect.watch import Watch
from node.observe.history import RecordedHistory
from tests.bench.detect import CORES, POLICY, find_histories

SHARES_PERCENT = (10, 25, 40, 50, 65, 80)


def play_share(archive: Path, policy: Path, exploit_hash: str | None, percent: int) -> dict[str, Any] | None:
    """One history, of which so many percent are learned; None where the attack lies in those."""
    rows = [each for each in RecordedHistory(archive).transactions() if not each.is_empty]
    to_learn = len(rows) * percent // 100
    blocks = [each.block_number for each in rows if each.hash == exploit_hash]
    first_of_attack = blocks[0] - QUARANTINE_BLOCKS if blocks else None
    if to_learn == 0 or (first_of_attack is not None and rows[to_learn - 1].block_number >= first_of_attack):
        return None
    watch = Watch(read_detection_policy(policy))
    for each in rows[:to_learn]:
        watch.learn(each)
    benign: list[Level] = []
    hardest: Level | None = None
    detectors: list[str] = []
    scored = 0
    for each in rows[to_learn:]:
        judgement = watch.judge(each)
        is_attack = first_of_attack is not None and each.block_number >= first_of_attack
        scored += not is_attack
        if judgement.level is not None and not is_attack:
            benign.append(judgement.level)
        elif judgement.level is not None and (hardest is None or judgement.level > hardest):
            hardest = judgement.level
            detectors = [found.evidence.detector for found in judgement.evidence]
        if each.hash == exploit_hash:
            break
    return {
        "history": archive.stem,
        "learned_percent": percent,
        "benign": scored,
        **{name: sum(each >= level for each in benign) for name, level in _COUNTED.items()},
        "exploit": None if exploit_hash is None else "missed" if hardest is None else hardest.name.lower(),
        "detectors": detectors,
    }


_COUNTED = {"alerts": Level.ALERT, "limits": Level.LIMIT, "pauses": Level.PAUSE}


def main(folder: Path | None, policy: Path) -> None:
    if folder is None:
        print(json.dumps({"skipped": "no recorded histories on this machine; set TOCSIN_HISTORIES"}))
        return
    labels = json.loads((folder / "labels.json").read_text())
    tasks = list(product(SHARES_PERCENT, labels))
    with ProcessPoolExecutor(CORES) as cores:
        played = cores.map(
            play_share,
            [folder / f"{name}.zip" for _, name in tasks],
            [policy for _ in tasks],
            [labels[name]["exploit_tx"] for _, name in tasks],
            [percent for percent, _ in tasks],
        )
        lines = [line for line in played if line is not None]
    for line in lines:
        print(json.dumps(line))
    for percent in SHARES_PERCENT:
        print(json.dumps(_sum(percent, [line for line in lines if line["learned_percent"] == percent])))


def _sum(percent: int, lines: list[dict[str, Any]]) -> dict[str, Any]:
    braking = {"limit", "freeze", "pause"}
    return {
        "learned_percent": percent,
        "histories": len(lines),
        "exploits": sum(line["exploit"] is not None for line in lines),
        "flagged": sum(line["exploit"] in braking for line in lines),
        **{key: sum(line[key] for line in lines) for key in ("benign", *_COUNTED)},
    }


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:3]]
    main(given[0] if given else find_histories(), given[1] if len(given) > 1 else POLICY)
