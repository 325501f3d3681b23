"""A watch whose only rule asks a detection: it learns from real blocks, and foresees by their traces."""

from __future__ import annotations

from pathlib import Path

import trio
from eth_account import Account as Signer

from consensus.alert import Alert
from consensus.types import Seconds
from node.chain.types import Endpoint
from node.config import ChainConfig
from node.evaluate.findings import Question
from node.evaluate.outlet import Membership
from node.foresight.evidence import EvidenceDesk
from node.foresight.eyes import open_eyes
from node.opened import open_chain
from node.watching import ChainWatch
from tests.consensus.factories import NETWORK_ID, make_operator_set
from tests.foresight.test_room import (
    BANK,
    KEYS,
    PATIENCE_SECONDS,
    detection_of,
    make_detecting_policy,
    staged,
)
from tests.simulate.worlds import ETHER, PAY_ALL, assemble

TAKE_IN = assemble("STOP")


async def test_a_detection_that_is_kept_up_for_pending_transactions_alone_foresees_a_theft(
    tmp_path: Path,
) -> None:
    policy = make_detecting_policy(tmp_path)
    membership = Membership(
        network_id=NETWORK_ID,
        operator_sets=(make_operator_set(capture_time=1, valid_until=2**40),),
        activation_delay=Seconds(0),
    )
    alerts_in, alerts = trio.open_memory_channel[Alert](8)

    async def tell(*_: object) -> None:
        raise AssertionError("nobody was asked for a transaction")

    async with staged(policy=policy, blind=True) as stage:
        endpoint = Endpoint(name="anvil", http=stage.anvil.http)
        config = ChainConfig(
            chain_id=stage.anvil.chain_id,
            name="local",
            agreement=1,
            max_fee_gwei=100,
            confirmations=1,
            verifiers=(),
            endpoints=(endpoint,),
        )
        async with (
            open_chain(config, Signer.from_key(KEYS[0]), timeout_seconds=10) as chain,
            open_eyes(chain.connection.pool, (endpoint,), policy.pending_rules, timeout_seconds=10) as eyes,
            trio.open_nursery() as nursery,
        ):
            watch = ChainWatch(
                chain,
                (policy,),
                eyes=eyes,
                readers={},
                membership=lambda: membership,
                alerts=alerts_in,
                desk=EvidenceDesk(push=tell, publish=tell),
                answered=list[Question]().append,
            )
            nursery.start_soon(watch.run)
            levels = detection_of(policy)
            await watch.see(await stage.put(TAKE_IN, balance_wei=0))
            for number in range(14):
                await stage.send(key=KEYS[1], nonce=number, value=ETHER // 2)
                head = await stage.mine()
                await watch.see(head)
            with trio.fail_after(PATIENCE_SECONDS):
                while not levels.stands_at(head):  # noqa: ASYNC110 - it looks at what the detection says
                    await trio.sleep(0.01)
            await stage.pool.call("anvil_setCode", (BANK, f"0x{PAY_ALL.hex()}"))
            head = await stage.mine()
            subject = await stage.send(key=KEYS[2])
            await watch.see(head)

            with trio.fail_after(PATIENCE_SECONDS):
                alert = await alerts.receive()

            assert (alert.slot.subject, alert.slot.anchor_hash) == (subject, head.hash)
            nursery.cancel_scope.cancel()
