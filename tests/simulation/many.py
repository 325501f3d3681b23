"""Many seeds over all cores, and what came of them in one JSON line."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
import traceback
from concurrent.futures import ProcessPoolExecutor

import structlog

from tests.simulation.run import Report, run

CHUNK = 25
MAX_FINDINGS = 20


def run_many(seeds: range, jobs: int) -> int:
    """Run each seed; print the failed ones, then the line. The exit code: 1 when one failed."""
    began = time.perf_counter()
    reports: list[Report] = []
    failed = 0
    with ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=be_quiet
    ) as pool:
        for seed, report, finding in pool.map(_try, seeds, chunksize=CHUNK):
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


def be_quiet() -> None:
    """Watchers log every refusal; a hundred thousand of them help nobody."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
