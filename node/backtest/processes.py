"""Plays several histories at a time, each in a process of its own on this machine.

One history is judged in order, so that only histories run side by side; what comes out does not depend on how
many processes there are.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from typing import Final

from consensus.errors import Unavailable
from node.backtest.job import Job, play
from node.backtest.report import Report

EVERY_TRANSACTIONS: Final = 64  # a queue takes longer than a transaction

AdvanceOf = Callable[[int, int, int], None]
"""Is told the place of a job, how many of its transactions are done, and of how many."""

_told: SimpleQueue[tuple[int, int, int] | None] | None = None


def run_in_processes(jobs: Sequence[Job], *, processes: int, advance: AdvanceOf) -> list[Report]:
    """The reports in the order of the jobs. Raises what the first job that failed raised, and `Unavailable`
    where a process was killed."""
    if processes == 1 or len(jobs) == 1:
        return [play(job, _at(place, advance)) for place, job in enumerate(jobs)]
    # Not forked: threads and locks of the parent would be copied in whatever state they are.
    context = multiprocessing.get_context("spawn")
    told: SimpleQueue[tuple[int, int, int] | None] = context.SimpleQueue()
    with (
        _listening(told, advance),
        ProcessPoolExecutor(
            min(processes, len(jobs)), mp_context=context, initializer=_adopt, initargs=(told,)
        ) as pool,
    ):
        playing = [pool.submit(_play_and_tell, place, job) for place, job in enumerate(jobs)]
        try:
            return [each.result() for each in playing]
        except BrokenProcessPool:
            raise Unavailable(
                "a process of the backtest was ended from outside, perhaps for its memory; start again with "
                "fewer --jobs, and with --resume FOLDER to keep what is done"
            ) from None
        finally:
            for each in playing:
                each.cancel()


def _at(place: int, advance: AdvanceOf) -> Callable[[int, int], None]:
    return lambda done, total: advance(place, done, total)


@contextmanager
def _listening(told: SimpleQueue[tuple[int, int, int] | None], advance: AdvanceOf) -> Iterator[None]:
    def listen() -> None:
        while (message := told.get()) is not None:
            advance(*message)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        told.put(None)
        listener.join()


def _adopt(told: SimpleQueue[tuple[int, int, int] | None]) -> None:
    """In a new process: where to tell how far it is."""
    global _told
    _told = told


def _play_and_tell(place: int, job: Job) -> Report:
    def tell(done: int, total: int) -> None:
        if _told is not None and (done % EVERY_TRANSACTIONS == 0 or done == total):
            _told.put((place, done, total))

    return play(job, tell)
