"""Past the public pool: private endpoints and bundles, and back into the pool when nobody includes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog.testing
import trio
from eth_account import Account

from node.chain.routes import open_routes, sign_body
from node.chain.types import Receipt, RouteKind
from node.respond.guardian import GuardianOnChain
from tests.chain.builder_double import SECRET, BuilderDouble, builder_double
from tests.respond.heist import GWEI, PATIENCE_SECONDS, Heist, heist

AFTER_BLOCKS = 2


@asynccontextmanager
async def scene_with_builder(
    *kinds: RouteKind, after_blocks: int = AFTER_BLOCKS
) -> AsyncIterator[tuple[Heist, BuilderDouble, GuardianOnChain]]:
    """A heist on a chain whose builder can be reached in those ways, and a guardian written to by them."""
    async with heist(order="fifo") as scene, builder_double(scene.pool) as builder:
        configs = [builder.route(kind) for kind in kinds]
        async with open_routes(
            configs, scene.deployer.chain_id, Account.create(), timeout_seconds=5.0
        ) as routes:
            port = await scene.port(cap_gwei=20, routes=routes, public_after_blocks=after_blocks)
            yield scene, builder, port


@asynccontextmanager
async def responding(scene: Heist, port: GuardianOnChain, subject: bytes) -> AsyncIterator[list[Receipt]]:
    """The response to a pending transaction is sent; it is in a block when this is left."""
    certificate = await scene.certify(subject)
    receipts: list[Receipt] = []

    async def submit() -> None:
        receipts.append(await port.submit(certificate, certificate.alert.actions[0]))

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            yield receipts


async def test_a_bundle_puts_the_response_right_before_an_attack_that_pays_more_than_the_cap() -> None:
    async with scene_with_builder(RouteKind.BUNDLE) as (scene, builder, port):
        attack = await scene.strike(tip_wei=90 * GWEI)
        async with responding(scene, port, attack) as receipts:
            await builder.wait_asked("eth_sendBundle")
            assert len(await scene.waiting(1)) == 1, "the attack alone is public"
            await builder.build()

        ours = f"0x{receipts[0].transaction_hash.hex()}"
        assert await scene.newest_block() == [(ours, True), (f"0x{attack.hex()}", False)]
        assert await scene.is_paused()
        assert len(builder.senders) == 1


async def test_a_private_transaction_is_in_no_public_pool_and_lands() -> None:
    async with scene_with_builder(RouteKind.PRIVATE) as (scene, builder, port):
        async with responding(scene, port, bytes(32)) as receipts:
            await builder.wait_asked("eth_sendPrivateTransaction")
            assert await scene.waiting(0) == []
            assert builder.private[0]["maxBlockNumber"] == hex(
                (await scene.reader.latest_number()) + 1 + AFTER_BLOCKS
            )
            await builder.build()

        assert receipts[0].succeeded
        assert await scene.is_paused()


async def test_a_bundle_is_offered_again_for_each_block_and_goes_public_after_some() -> None:
    async with scene_with_builder(RouteKind.BUNDLE) as (scene, builder, port):
        first = (await scene.reader.latest_number()) + 1
        async with responding(scene, port, bytes(32)) as receipts:
            await builder.wait_asked("eth_sendBundle", 1)
            await scene.next_block()  # built by somebody else
            await builder.wait_asked("eth_sendBundle", 2)
            assert [int(each["blockNumber"], 16) for each in builder.bundles] == [first, first + 1]
            assert await scene.waiting(0) == []
            await scene.next_block()
            await scene.waiting(1)
            await scene.next_block()

        assert receipts[0].succeeded
        assert builder.asked["eth_sendBundle"] == 2
        assert port._sender.statistics().gone_public == 1
        assert port._sender.statistics().sent == 1, "the same transaction, told to others"


@pytest.mark.parametrize("trouble", ["refuses", "is down"])
async def test_what_no_way_takes_is_public_at_once(trouble: str) -> None:
    async with scene_with_builder(RouteKind.BUNDLE, RouteKind.PRIVATE) as (scene, builder, port):
        if trouble == "refuses":
            builder.refuses = "bundles are closed today"
        else:
            builder.is_down = True
        with structlog.testing.capture_logs() as said:
            async with responding(scene, port, bytes(32)) as receipts:
                await scene.waiting(1)
                await scene.next_block()

        assert receipts[0].succeeded
        assert sum(line["event"] == "route.failed" for line in said) == 2
        assert SECRET not in str(said), "addresses hold credentials"


async def test_with_no_blocks_to_wait_it_goes_every_way_at_once() -> None:
    async with scene_with_builder(RouteKind.BUNDLE, after_blocks=0) as (scene, builder, port):
        async with responding(scene, port, bytes(32)) as receipts:
            await scene.waiting(1)
            assert builder.asked["eth_sendBundle"] == 1
            await scene.next_block()
        assert receipts[0].succeeded


async def test_a_body_under_another_address_is_no_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double checks what builders check: the header's signature over the body."""
    async with scene_with_builder(RouteKind.BUNDLE) as (scene, builder, port):
        stranger = Account.create().address
        monkeypatch.setattr(
            "node.chain.routes.sign_body",
            lambda account, body: sign_body(account, body).replace(account.address, stranger),
        )
        async with responding(scene, port, bytes(32)):
            await scene.waiting(1)  # refused there, and so public at once
            await scene.next_block()
        assert builder.bundles == []


async def test_a_sender_without_other_ways_asks_nobody_for_raw_transactions() -> None:
    async with heist() as scene:
        attack = await scene.strike(tip_wei=5 * GWEI)
        port = await scene.port()
        async with responding(scene, port, attack):
            await scene.waiting(2)
            await scene.next_block()
        assert scene.endpoints[0].asked["eth_getRawTransactionByHash"] == 0
