"""The process that runs transactions: `python -m node.simulate.worker BYTES`; a line is a task, or an answer.

Whatever a transaction does to it, it says that it does not know, or ends; the watcher starts another.
"""

from __future__ import annotations

import resource
import sys
from typing import BinaryIO

from node.simulate.evm import Evm, StateMissing
from node.simulate.outcome import (
    Answer,
    Opened,
    OpenTask,
    Task,
    Unknown,
    read_line,
    write_line,
)


class Worker:
    """The EVM of the block that was opened last."""

    def __init__(self) -> None:
        self._evm: Evm | None = None

    def answer(self, task: Task) -> Answer:
        """What came of a task."""
        try:
            if isinstance(task, OpenTask):
                self._evm = None
                self._evm = Evm(task)
                return Opened()
            return Unknown(why="no block was opened") if self._evm is None else self._evm.run(task)
        except StateMissing as missing:
            return Unknown(why=str(missing))


def serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the other side closes."""
    worker = Worker()
    for line in tasks:
        task: Task = read_line(line, Task)
        answers.write(write_line(worker.answer(task)))
        answers.flush()


def main(limit_bytes: int) -> None:
    """Serve standard input within so much memory."""
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
