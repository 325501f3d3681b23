"""What the bridge mismatch detector sees in a real bridge's seven months, and what a fast quorum is worth.

    python -m tests.bench.bridge [folder] [--certificate-seconds 0.25] [--block-seconds 12]

`folder` holds `burns_moonbeam.csv`, `withdrawals_ethereum.csv` and `attack_withdrawals.csv`. Without one it
is looked for in `$TOCSIN_BRIDGE`, then in `data/bridges/nomad` of a `shared` folder beside the checkout.
Prints JSON lines: the detector's verdicts; the same for a watcher that starts in the middle, with and without
the outstanding messages; then the loss curve: what had left when a pause came so long after the first raid
transaction. A pause takes the time from head to certificate, which `python -m tests.bench.latency` measures,
and one block for the transaction that delivers it; both are options, and the line says which were used. The
record of the source is complete and final, so that finality and clock are zero here. Tokens are worth what
they were on the day of the raid.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from consensus.alert import Level
from consensus.types import Seconds
from node.backtest.bridge import play_bridge
from node.bridge import Burn, Release
from node.detect.bridge_mismatch import (
    Backing,
    BridgeMismatch,
    BridgeParameters,
    TokenValue,
    Verdict,
)
from node.observe.bridge_records import read_burns, read_releases
from node.trace import Account, Token

REPOSITORY = Path(__file__).resolve().parents[2]
DELAYS = (0, 12, 60, 600, 1_800, 3_600, 4_500, 5_400, 6_300)
WINDOW_SECONDS = 3_600
CENTS_LIMIT, CENTS_FREEZE, CENTS_PAUSE = 10_000_00, 50_000_00, 100_000_00
OUTSTANDING, WAITING = 100_000, 10_000
MIDDLE_SECONDS = 90 * 86_400
"""How long before the raid the watcher of the second run starts."""

Raid = list[tuple[int, str, Decimal | None]]
"""Time, transaction and value in dollars of each release of the raid."""


def find_bridge() -> Path | None:
    """The folder with the record; None where this machine has none."""
    named = os.environ.get("TOCSIN_BRIDGE")
    place = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "bridges" / "nomad"
    return place if (place / "attack_withdrawals.csv").is_file() else None


def read_raid(folder: Path) -> tuple[Raid, dict[Token, TokenValue]]:
    """The raid's releases by time, and from them what each token is worth in cents."""
    raid: Raid = []
    values: dict[Token, TokenValue] = {}
    with (folder / "attack_withdrawals.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            dollars = Decimal(row["value_usd"]) if row["value_usd"] else None
            raid.append((int(row["timestamp"]), row["tx_hash"], dollars))
            if dollars:
                values[Token(Account(row["token"]))] = TokenValue(
                    numerator=int(dollars * 100), denominator=int(row["amount"])
                )
    return sorted(raid, key=lambda each: each[0]), values


def play(
    burns: Sequence[Burn], releases: Sequence[Release], values: dict[Token, TokenValue], **start: Any
) -> list[tuple[int, Verdict]]:
    """Both sides in the order of time, as two live chains would tell them: when each verdict came, and it."""
    detector = BridgeMismatch(
        BridgeParameters(
            finality_seconds=Seconds(0),
            clock_seconds=Seconds(0),
            outstanding_burns=OUTSTANDING,
            waiting_releases=WAITING,
            window_seconds=Seconds(WINDOW_SECONDS),
            least_values=(
                (Level.ALERT, 0),
                (Level.LIMIT, CENTS_LIMIT),
                (Level.FREEZE, CENTS_FREEZE),
                (Level.PAUSE, CENTS_PAUSE),
            ),
            values=values,
        ),
        **start,
    )
    return [(told.at, told.verdict) for told in play_bridge(detector, burns, releases)]


def measure_verdicts(
    burns: Sequence[Burn], releases: Sequence[Release], raid: Raid, values: dict[Token, TokenValue]
) -> dict[str, Any]:
    """The whole record, judged from its beginning."""
    began = time.perf_counter()
    told = play(burns, releases, values)
    elapsed = time.perf_counter() - began
    raid_began, raid_hashes = raid[0][0], {transaction for _, transaction, _ in raid}
    verdicts = [each for _, each in told]
    unbacked = [each for each in verdicts if each.backing is Backing.UNBACKED]
    in_raid = [each for each in unbacked if each.release.reference in raid_hashes]
    before = [each for each in unbacked if each.release.released_at < raid_began]
    return {
        "bench": "bridge",
        "burns": len(burns),
        "releases": len(releases),
        "backed": sum(each.backing is Backing.BACKED for each in verdicts),
        "unknown": sum(each.backing is Backing.UNKNOWN for each in verdicts),
        "raid_releases": len(raid),
        "raid_unbacked": len(in_raid),
        "raid_slowest_verdict_seconds": max(
            at - each.release.released_at for at, each in told if each.release.reference in raid_hashes
        ),
        "raid_first_level": _level(in_raid[0]),
        "raid_releases_at_pause": sum(each.level is Level.PAUSE for each in in_raid),
        "unbacked_before": len(before),
        "days_before": (raid_began - releases[0].released_at) // 86_400,
        **{f"{level.name.lower()}s_before": sum(each.level == level for each in before) for level in Level},
        "events_per_second": round((len(burns) + len(releases)) / elapsed),
    }


def measure_start(
    burns: Sequence[Burn], releases: Sequence[Release], raid: Raid, values: dict[Token, TokenValue]
) -> dict[str, Any]:
    """A watcher that starts in the middle: without the outstanding messages, true releases look forged."""
    middle = Seconds(raid[0][0] - MIDDLE_SECONDS)
    released = {each.claim for each in releases if each.released_at <= middle}
    outstanding = [each for each in burns if each.burnt_at <= middle and each.claim not in released]
    later_burns = [each for each in burns if each.burnt_at > middle]
    later = [each for each in releases if each.released_at > middle]
    before = {
        name: sum(
            each.backing is Backing.UNBACKED and each.release.released_at < raid[0][0]
            for _, each in play(later_burns, later, values, outstanding=known, seen_until=middle)
        )
        for name, known in (("warm", outstanding), ("cold", []))
    }
    return {
        "bench": "bridge_start_in_the_middle",
        "outstanding": len(outstanding),
        **{f"unbacked_before_{name}": count for name, count in before.items()},
    }


def measure_losses(raid: Raid, delays: Iterable[float], **said: float) -> Iterable[dict[str, Any]]:
    """What had left by `delay` after the raid's first transaction, a release at that very second included."""
    total = sum((dollars for *_, dollars in raid if dollars), Decimal(0))
    began = raid[0][0]
    for delay in delays:
        lost = sum((dollars for at, _, dollars in raid if dollars and at - began <= delay), Decimal(0))
        yield {
            "bench": "bridge_loss",
            "pause_after_seconds": delay,
            "lost_usd": int(lost),
            "saved_usd": int(total - lost),
            "lost_percent": round(float(100 * lost / total), 1),
            "saved_percent": round(float(100 * (total - lost) / total), 1),
            "releases_without_value": sum(dollars is None for *_, dollars in raid),
            **said,
        }


def _level(verdict: Verdict) -> str | None:
    return None if verdict.level is None else verdict.level.name.lower()


def main(folder: Path | None, *, certificate_seconds: float, block_seconds: float) -> None:
    if folder is None:
        print(
            json.dumps(
                {"bench": "bridge", "skipped": "no recorded bridge on this machine; set TOCSIN_BRIDGE"}
            )
        )
        return
    burns = read_burns(folder / "burns_moonbeam.csv")
    releases = read_releases(folder / "withdrawals_ethereum.csv")
    raid, values = read_raid(folder)
    print(json.dumps(measure_verdicts(burns, releases, raid, values)))
    print(json.dumps(measure_start(burns, releases, raid, values)))
    for line in measure_losses(raid, DELAYS):
        print(json.dumps(line))
    ours = {"certificate_seconds": certificate_seconds, "block_seconds": block_seconds}
    for line in measure_losses(raid, [certificate_seconds + block_seconds], **ours):
        print(json.dumps(line))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--certificate-seconds", type=float, default=0.25)
    parser.add_argument("--block-seconds", type=float, default=12.0)
    options = parser.parse_args()
    main(
        options.folder or find_bridge(),
        certificate_seconds=options.certificate_seconds,
        block_seconds=options.block_seconds,
    )
