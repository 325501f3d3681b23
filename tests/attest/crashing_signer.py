"""A signer that dies by SIGKILL at a chosen point: run by test_crash as a process of its own.

    python -m tests.attest.crashing_signer JOURNAL POINT EVIDENCE

It signs one alert and prints the signature, which stands for publishing it; POINT says where it dies, or
`never`. What the journal refuses it prints as the reason.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import trio

import node.attest.signer
from consensus.errors import Refused
from consensus.types import BlockNumber, OperatorIndex
from node.attest.journal import Journal, open_journal
from node.attest.mark import Mark, MarkFile
from node.attest.signer import Signer
from tests.consensus.factories import make_alert, make_bytes32, make_secret

POINTS = (
    "before-insert",
    "after-insert",
    "before-commit",
    "before-mark",
    "after-mark",
    "before-signing",
    "after-signing",
    "before-publishing",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, journal: Journal) -> None:
    """Make this process die when it reaches `point`."""
    connection = journal._store._connection
    statements = {"before-insert": "INSERT INTO signed", "before-commit": "COMMIT"}
    if point in statements:
        connection.set_trace_callback(lambda sql: die() if sql.startswith(statements[point]) else None)
    if point == "after-insert":
        # a trigger's function runs inside the INSERT, when the row is already in the page cache
        connection.create_function("die", 0, die)
        connection.execute("CREATE TEMP TRIGGER t AFTER INSERT ON signed BEGIN SELECT die(); END")
    if point in ("before-mark", "after-mark"):
        marks: Any = MarkFile
        honest_write = marks.write

        def write_and_die(file: MarkFile, mark: Mark) -> None:
            if point == "after-mark":
                honest_write(file, mark)
            die()

        marks.write = write_and_die
    room: Any = node.attest.signer
    honest = room.attest
    if point == "before-signing":
        room.attest = lambda *_arguments: die()
    if point == "after-signing":

        def sign_and_die(*arguments: Any) -> Any:
            honest(*arguments)
            die()

        room.attest = sign_and_die


async def main(path: Path, point: str, evidence: str) -> None:
    secret = make_secret(0)
    async with open_journal(path, secret.public_key()) as journal:
        signer = Signer(secret, journal)
        arm(point, journal)
        alert = make_alert(evidence_hash=make_bytes32(evidence))
        try:
            attestation = await signer.attest(alert, OperatorIndex(0), since=BlockNumber(0))
        except Refused as refusal:
            print(refusal.reason, flush=True)
            return
        if point == "before-publishing":
            die()
        print(attestation.signature.to_bytes().hex(), flush=True)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], sys.argv[3])
