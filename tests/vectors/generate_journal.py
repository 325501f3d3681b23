"""Writes tests/vectors/journal.jsonl: the export of one signing journal, for other implementations to read.

python -m tests.vectors.generate_journal
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio

from consensus.handover import compute_handover
from consensus.types import BlockNumber, Digest, Epoch
from node.attest.interchange import export_journal
from node.attest.journal import Journal, create_journal
from tests.consensus.factories import (
    NETWORK_ID,
    make_alert,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_slot,
    make_successor,
)

VECTOR = Path(__file__).parent / "journal.jsonl"


async def fill(journal: Journal) -> None:
    """Two alerts, one of them for a pending transaction on the largest chain id; a handover; and armed."""
    pending = make_slot(
        source_chain_id=2**64 - 1, anchor_number=2**64 - 2, subject=make_bytes32("a pending transaction")
    )
    for alert in (make_alert(), make_alert(slot=pending)):
        await journal.record(
            alert.digest(),
            network_id=alert.network_id,
            epoch=alert.epoch,
            slot=alert.slot,
            since=BlockNumber(0),
        )
    outgoing = make_operator_set()
    handover = compute_handover(NETWORK_ID, outgoing, make_successor(outgoing))
    await journal.record_handover(handover.digest(), network_id=NETWORK_ID, epoch=handover.epoch)
    await journal.adopt(
        Digest(make_bytes32("signed elsewhere")),
        network_id=NETWORK_ID,
        epoch=Epoch(2),
        slot=make_slot(anchor_number=9_000),
    )


async def write(to: Path) -> None:
    """The same bytes from every build."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite"
        async with create_journal(journal, make_public_key(0)) as opened:
            await fill(opened)
        await export_journal(journal, to)


if __name__ == "__main__":
    VECTOR.unlink(missing_ok=True)
    trio.run(write, VECTOR)
    VECTOR.chmod(0o644)
