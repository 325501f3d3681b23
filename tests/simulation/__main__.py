"""Many seeds on all cores: `python -m tests.simulation --seeds 10000`, or one again: `--seed 4711`.

Prints one JSON line with what was run, and before it the seed and the finding of each run that failed; its
exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict

import structlog

from tests.simulation.run import Report, run

CHUNK = 25
MAX_FINDINGS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="this one alone, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    _be_quiet()
    if options.seed is not None:
        print(json.dumps(asdict(run(options.seed))))
        return 0
    return _run_many(range(options.first, options.first + options.seeds), options.jobs)


def _run_many(seeds: range, jobs: int) -> int:
    began = time.perf_counter()
    reports: list[Report] = []
    failed = 0
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_be_quiet) as pool:
        for seed, report, finding in pool.imap_unordered(_try, seeds, chunksize=CHUNK):
            if report is not None:
                reports.append(report)
                continue
            failed += 1
            if failed <= MAX_FINDINGS:
                print(f"SEED={seed} {finding}", flush=True)
    line = {
        "metric": "simulated_networks",
        "seeds": len(seeds),
        "failed": failed,
        "incidents_certified": sum(each.certified for each in reports),
        "messages": sum(each.messages for each in reports),
        "with_liars": sum(each.liars > 0 for each in reports),
        "on_the_real_curve": sum(each.is_real for each in reports),
        "seconds": round(time.perf_counter() - began, 1),
        "processes": jobs,
    }
    print(json.dumps(line))
    return 1 if failed else 0


def _try(seed: int) -> tuple[int, Report | None, str]:
    try:
        return seed, run(seed), ""
    except Exception as error:  # noqa: BLE001 - whatever breaks a run is a finding, with its seed
        where = traceback.extract_tb(error.__traceback__)[-1]
        return seed, None, f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"


def _be_quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())
