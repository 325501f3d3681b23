"""Runs a watcher whose wall clock is wrong.

    python -m tests.chaos.skewed SECONDS MODULE ARGUMENTS…

Everything in it is the real program; only `time.time` and `time.time_ns` are off, as if the machine's clock
had been set so. No library has to be preloaded for that, so it runs anywhere. Trio's own clock never jumps.
"""

from __future__ import annotations

import runpy
import sys
import time
from typing import Any


def skew(seconds: int) -> None:
    """Set this process's wall clock that many seconds ahead, or behind."""
    module: Any = time
    true_time, true_time_ns = time.time, time.time_ns
    module.time = lambda: true_time() + seconds
    module.time_ns = lambda: true_time_ns() + seconds * 1_000_000_000


if __name__ == "__main__":
    skew(int(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
