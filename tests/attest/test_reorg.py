"""A real chain takes a block back while its alert waits to be signed: it is not signed, at any depth."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from consensus.alert import Alert, Slot
from consensus.attestation import Attestation
from consensus.types import BlockNumber, OperatorIndex
from node.attest.journal import create_journal
from node.attest.room import SigningRoom
from node.attest.signer import Signer
from node.chain.reader import ChainReader
from node.chain.rpc import open_pool
from node.chain.types import BlockRef, Endpoint
from node.devnet.anvil import Mining, running_anvil
from node.observe.heads import HeadEvent, HeadFollower
from tests.consensus.factories import OBSERVED_AT, make_alert, make_public_key, make_secret, make_slot

BLOCKS = 40
PATIENCE_SECONDS = 30


def alert_of(ref: BlockRef) -> Alert:
    return make_alert(
        slot=make_slot(source_chain_id=ref.chain_id, anchor_number=ref.number, anchor_hash=ref.hash)
    )


@pytest.mark.parametrize("depth", [1, 2, 32])
async def test_after_a_reorg_only_blocks_that_stand_are_signed(tmp_path: Path, depth: int) -> None:
    heads_in, heads = trio.open_memory_channel[HeadEvent](2 * BLOCKS)
    alerts_in, alerts = trio.open_memory_channel[Alert](2 * BLOCKS)
    signed_in, signed = trio.open_memory_channel[Attestation](2 * BLOCKS)
    dropped: list[Alert] = []
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        open_pool(
            anvil.chain_id, (Endpoint(name="anvil", http=anvil.http),), agreement=1, timeout_seconds=10
        ) as pool,
        create_journal(tmp_path / "j.db", make_public_key(0)) as journal,
        trio.open_nursery() as nursery,
    ):
        follower = HeadFollower(ChainReader(pool), poll_seconds=0.01)

        def has_left(slot: Slot) -> bool:
            return follower.orphans.has_left(slot.anchor_number, slot.anchor_hash)

        nursery.start_soon(follower.follow, heads_in)
        with trio.fail_after(PATIENCE_SECONDS):
            await heads.receive()
            await pool.call("anvil_mine", (hex(BLOCKS),))
            before = [(await heads.receive()).ref for _ in range(BLOCKS)]
            for ref in before:
                alerts_in.send_nowait(alert_of(ref))
            await pool.call("anvil_reorg", (depth, []))
            branch = [(await heads.receive()).ref for _ in range(depth)]
        for ref in branch:
            alerts_in.send_nowait(alert_of(ref))
        await alerts_in.aclose()
        room = SigningRoom(
            Signer(make_secret(0), journal),
            index_of=lambda _epoch: OperatorIndex(0),
            raised=lambda _digest: None,
            since=lambda _chain: BlockNumber(0),
            is_orphaned=has_left,
            now=lambda: OBSERVED_AT,
            dropped=dropped.append,
            signed=lambda _alert: None,
            listen_seconds=0,
        )
        await room.run(alerts, (signed_in,))
        await signed_in.aclose()
        nursery.cancel_scope.cancel()

    standing = [*before[:-depth], *branch]
    assert [each.alert.slot.anchor_hash async for each in signed] == [ref.hash for ref in standing]
    assert [each.slot.anchor_hash for each in dropped] == [ref.hash for ref in before[-depth:]]
    assert room.statistics().orphaned == depth
