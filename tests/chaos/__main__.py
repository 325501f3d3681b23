"""Plays seeded faults against a network of real processes, and judges it.

    python -m tests.chaos --nodes 7 --seed 3 --minutes 10

prints a line for each fault and each verdict, for a person or with --json for a machine, and leaves with 1
where a property did not hold; then the seed and the schedule are printed too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from node.shutdown import until_told
from tests.chaos.plan import FaultKind, make_plan
from tests.chaos.play import Outcome, play

STYLES = {"fault": "red", "attack": "yellow", "answered": "green", "mended": "cyan", "recovered": "green"}


def tell_person(console: Console, began: float, line: dict[str, Any]) -> None:
    """One line of the live timeline."""
    kind = line["line"]
    rest = {key: value for key, value in line.items() if key != "line" and value not in (None, [], ())}
    if kind in ("verdict", "outcome"):
        style = "bold red" if line["violations"] else "bold green"
    else:
        style = STYLES.get(kind, "dim")
    words = "  ".join(f"{key}={value}" for key, value in rest.items())
    console.print(
        f"{time.monotonic() - began:6.1f} s  {kind:<10}", words, style=style, markup=False, soft_wrap=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=7, help="4, 7 and 13 are what is usually tried")
    parser.add_argument("--seed", type=int, default=1)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=5.0, help="begin rounds for that long")
    length.add_argument("--rounds", type=int)
    parser.add_argument("--kinds", nargs="*", choices=[kind.value for kind in FaultKind], help="only these")
    parser.add_argument("--json", action="store_true", help="JSON lines")
    arguments = parser.parse_args()
    kinds = tuple(map(FaultKind, arguments.kinds)) if arguments.kinds else tuple(FaultKind)
    plan = make_plan(arguments.seed, arguments.nodes, kinds=kinds)
    console, began = Console(highlight=False), time.monotonic()

    def tell(line: dict[str, Any]) -> None:
        if arguments.json:
            print(json.dumps(line), flush=True)
        else:
            tell_person(console, began, line)

    outcomes: list[Outcome] = []

    async def run() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            outcome = await play(
                plan,
                directory=Path(directory) / "network",
                rounds=arguments.rounds,
                seconds=None if arguments.rounds else arguments.minutes * 60,
                tell=tell,
            )
            outcomes.append(outcome)

    try:
        trio.run(until_told, run)
    except BaseException:
        print(f"the run broke off; repeat it with --seed {plan.seed} --nodes {plan.nodes}", file=sys.stderr)
        raise
    if not outcomes:
        print(
            f"stopped before its end; --seed {plan.seed} --nodes {plan.nodes} begins again", file=sys.stderr
        )
        sys.exit(1)
    (outcome,) = outcomes
    if not outcome.is_clean:
        again = f"--seed {plan.seed} --nodes {plan.nodes} --rounds {len(outcome.rounds)}"
        print(f"violations; play the same again with {again}. The schedule was:", file=sys.stderr)
        for played in outcome.rounds:
            print(json.dumps(played.fault.as_dict()), file=sys.stderr)
    sys.exit(not outcome.is_clean)


if __name__ == "__main__":
    main()
