"""Plays several histories on a Dask cluster, with the same results as on one machine.

A worker is a process with this version of Tocsin that reads the histories by the same paths; whether it finds
the same ones there is checked. Nothing is kept on the cluster: what a worker that died had in hand is played
again by another, from its checkpoint where the folder is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final

from consensus.errors import Reason, Refused, Unavailable
from node.backtest.job import Job, play
from node.backtest.processes import AdvanceOf
from node.backtest.report import Report
from node.observe.history import RecordedHistory

CONNECT_SECONDS: Final = 30
DEATHS: Final = 3  # of workers at one history; more are the history's doing, or the memory's


def require_distributed() -> None:
    """Raises `Refused` (EXTRA_MISSING) where it is not installed."""
    if find_spec("distributed") is None:
        raise Refused(
            Reason.EXTRA_MISSING,
            "--engine dask needs distributed; install it with pip install 'tocsin[backtest]'",
        )


def run_on_cluster(
    jobs: Sequence[Job], *, scheduler: str | None, workers: int, advance: AdvanceOf
) -> list[Report]:
    """The reports in the order of the jobs; `advance` hears of a history when it is done.

    Without the address of a scheduler, a cluster of so many processes is started here for as long as it
    takes. Raises `Refused` (EXTRA_MISSING, and what the first job that failed raised) and `Unavailable` where
    the scheduler does not answer or a history's workers keep dying.
    """
    require_distributed()
    import distributed

    fingerprinted = [replace(job, fingerprint=RecordedHistory(job.history).fingerprint()) for job in jobs]
    with ExitStack() as stack:
        client = _connect(stack, scheduler, workers=min(workers, len(jobs)))
        playing = [client.submit(play, job, pure=False) for job in fingerprinted]
        places = {future.key: place for place, future in enumerate(playing)}
        try:
            for future in distributed.as_completed(playing):
                if future.status == "finished":
                    played = future.result().played
                    advance(places[future.key], played, played)
            return [future.result() for future in playing]
        except distributed.KilledWorker as error:
            raise Unavailable(
                f"the workers that took a history died {DEATHS} times, perhaps for their memory: {error}"
            ) from None
        finally:
            client.cancel(playing)


def _connect(stack: ExitStack, scheduler: str | None, *, workers: int) -> Any:
    import dask
    import distributed

    stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS - 1}))
    if scheduler is None:
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,  # judging is pure Python: threads would only wait for each other
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port: two of these may run at a time
        )
        return stack.enter_context(distributed.Client(stack.enter_context(cluster)))
    try:
        return stack.enter_context(distributed.Client(scheduler, timeout=CONNECT_SECONDS))
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(
            f"no Dask scheduler answers at {scheduler[:200]}: {str(error)[:200]}; start one with dask "
            f"scheduler"
        ) from None
