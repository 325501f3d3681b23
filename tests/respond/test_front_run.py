"""An attack that waits in the pool: the response comes before it in the same block, and it fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio

from consensus.certificate import Certificate
from consensus.types import ChainId
from node.chain.types import Receipt
from node.respond.guardian import pending_subject
from node.respond.outbid import LEAST_RAISE_WEI, fetch_tip_to_outbid, parse_offer
from node.respond.responder import Responder
from node.respond.schedule import compute_order
from node.respond.types import AnsweringChain, Effect
from tests.respond.heist import GWEI, PATIENCE_SECONDS, Heist, heist


async def respond_and_mine(scene: Heist, certificate: Certificate, *, cap_gwei: int = 1_000) -> Receipt:
    """Deliver while the attack waits, and let one block come when both are in the pool."""
    port = await scene.port(cap_gwei=cap_gwei)
    receipts: list[Receipt] = []

    async def submit() -> None:
        receipts.append(await port.submit(certificate, certificate.alert.actions[0]))

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit)
            await scene.waiting(2)
            await scene.next_block()
    return receipts[0]


async def test_the_response_is_mined_before_the_attack_in_the_same_block_and_the_attack_reverts() -> None:
    async with heist() as scene:
        attack = await scene.strike(tip_wei=37 * GWEI)
        certificate = await scene.certify(attack)
        first = compute_order(certificate.digest(), [each.address for each in scene.operator_set.operators])[
            0
        ]
        port = await scene.port()
        chain = AnsweringChain(clock=scene.clock, guardian=lambda _: port, confirmations=1)
        responder = Responder(me=first, chains={scene.deployer.chain_id: chain})
        certificates_in, certificates = trio.open_memory_channel[Certificate](1)
        effects_in, effects = trio.open_memory_channel[Effect](1)
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(responder.run, certificates, effects_in)
                await certificates_in.send(certificate)
                await scene.waiting(2)
                await scene.next_block()
                block = await scene.newest_block()
                effect = await effects.receive()
                nursery.cancel_scope.cancel()

        assert effect.transaction is not None
        assert block == [(f"0x{effect.transaction.hex()}", True), (f"0x{attack.hex()}", False)]
        assert await scene.is_paused()


async def test_a_response_that_does_not_know_of_the_attack_comes_after_it() -> None:
    """What the other tests rest on: without the higher tip this chain lets the attack go first."""
    async with heist() as scene:
        attack = await scene.strike(tip_wei=37 * GWEI)
        landed = await respond_and_mine(scene, await scene.certify(bytes(32)))

        assert await scene.newest_block() == [
            (f"0x{attack.hex()}", True),
            (f"0x{landed.transaction_hash.hex()}", True),
        ]


async def test_more_than_the_cap_is_never_paid_whatever_the_attack_pays() -> None:
    async with heist() as scene:
        attack = await scene.strike(tip_wei=90 * GWEI)
        landed = await respond_and_mine(scene, await scene.certify(attack), cap_gwei=50)

        assert (await scene.newest_block())[0] == (f"0x{attack.hex()}", True)
        sent: Any = await scene.pool.call("eth_getTransactionByHash", (f"0x{landed.transaction_hash.hex()}",))
        assert int(sent["maxFeePerGas"], 16) <= 50 * GWEI
        assert int(sent["maxPriorityFeePerGas"], 16) > 40 * GWEI, "as much as there is"


async def test_an_attack_on_another_chain_is_not_outbid_here() -> None:
    async with heist() as scene:
        attack = await scene.strike(tip_wei=37 * GWEI)
        certificate = await scene.certify(attack)
        slot = replace(certificate.alert.slot, source_chain_id=ChainId(10))
        elsewhere = replace(certificate, alert=replace(certificate.alert, slot=slot))

        assert pending_subject(elsewhere, certificate.alert.actions[0]) is None
        assert pending_subject(certificate, certificate.alert.actions[0]) == attack


async def test_one_endpoint_cannot_have_us_pay_up_to_the_cap() -> None:
    async with heist(endpoints=3) as scene:
        attack = await scene.strike(tip_wei=8 * GWEI)

        def exaggerate(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
            if method != "eth_getTransactionByHash" or response.get("result") is None:
                return response
            fees = {"maxFeePerGas": hex(10**15), "maxPriorityFeePerGas": hex(10**15)}
            return {**response, "result": {**response["result"], **fees}}

        async with trio.open_nursery() as nursery:
            scene.endpoints[0].lie = exaggerate
            told = [await fetch_tip_to_outbid(scene.pool, attack) for _ in range(5)]
            nursery.cancel_scope.cancel()
        assert min(told) == 8 * GWEI + LEAST_RAISE_WEI


async def test_what_is_mined_or_unknown_needs_no_outbidding() -> None:
    async with heist() as scene:
        attack = await scene.strike(tip_wei=8 * GWEI)
        assert await fetch_tip_to_outbid(scene.pool, attack) == 9 * GWEI
        await scene.next_block()
        assert await fetch_tip_to_outbid(scene.pool, attack) == 0
        assert await fetch_tip_to_outbid(scene.pool, bytes(32)) == 0


@pytest.mark.parametrize(
    ("answer", "offer"),
    [
        (None, None),
        ({"blockHash": "0x" + "11" * 32, "gasPrice": "0x5"}, None),
        ({"blockHash": None, "gasPrice": "0x5"}, (5, 5)),
        ({"gasPrice": "0x5", "maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x2"}, (9, 2)),
    ],
    ids=["unknown", "mined", "legacy", "1559"],
)
def test_offers_are_read(answer: Any, offer: tuple[int, int] | None) -> None:
    assert parse_offer(answer) == offer


def test_a_pending_transaction_without_fees_is_no_answer() -> None:
    with pytest.raises(Exception, match="no offer"):
        parse_offer({"blockHash": None})
