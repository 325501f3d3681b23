"""A signer that runs out of space and gets some again: run by test_full_disk as a process of its own.

    python -m tests.attest.starving_signer quota|tmpfs FOLDER

With `quota` the kernel refuses to let its files grow (RLIMIT_FSIZE); with `tmpfs` FOLDER is a small file
system, which it fills. It prints what it saw as one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from consensus.attestation import Attestation
from consensus.errors import Unavailable
from consensus.types import BlockNumber, OperatorIndex
from node.attest.checkup import check_journal
from node.attest.journal import create_journal
from node.attest.signer import Signer
from tests.consensus.factories import make_alert, make_public_key, make_secret, make_slot

MOST = 2_000  # signatures until there must be no space left


def limit_file_size(journal: Path) -> Callable[[], None]:
    """Let no file grow beyond what the write-ahead log has now and a little."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    grown = journal.with_name(journal.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (grown + 20_000, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def fill(journal: Path) -> Callable[[], None]:
    """Leave no byte of the file system free."""
    ballast = journal.with_name("ballast")
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1_024)
        except OSError:
            pass
    return ballast.unlink


async def main(how: str, folder: Path) -> None:
    path = folder / "journal.sqlite"
    async with create_journal(path, make_public_key(0)) as journal:
        signer = Signer(make_secret(0), journal)

        async def sign(number: int) -> Attestation:
            alert = make_alert(slot=make_slot(anchor_number=number))
            return await signer.attest(alert, OperatorIndex(0), since=BlockNumber(0))

        await sign(0)
        relieve = {"quota": limit_file_size, "tmpfs": fill}[how](path)
        signed, refusals = 1, list[str]()
        for number in range(1, MOST):
            try:
                await sign(number)
            except Unavailable as error:
                refusals.append(str(error))
                break
            signed += 1
        rows = journal.statistics().rows
        try:
            await sign(signed)
        except Unavailable as error:
            refusals.append(str(error))
        relieve()
        await sign(signed)
        after = journal.statistics().rows
    checked = await check_journal(path)
    print(
        json.dumps(
            {
                "signed": signed,
                "rows": rows,
                "refusals": refusals,
                "rows_after": after,
                "checked_rows": checked.rows,
                "faults": len(checked.faults),
                "notes": len(checked.notes),
            }
        )
    )


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]))
