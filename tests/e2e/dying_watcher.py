"""A whole watcher that is killed (SIGKILL) between the journal's row and the signature's publication.

    python -m tests.e2e.dying_watcher POINT run --config FILE

Everything in it is the real program; only the function that signs is armed. POINT is `before-signing` (the
row is durable, the signature was never made) or `after-signing` (it was made, and nobody saw it).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import node.attest.signer
from node.cli import main

POINTS = ("before-signing", "after-signing")


def arm(point: str) -> None:
    """Make this process die at its first signature."""
    room: Any = node.attest.signer
    honest = room.attest

    def die(*arguments: Any) -> None:
        if point == "after-signing":
            honest(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    room.attest = die


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    main()
