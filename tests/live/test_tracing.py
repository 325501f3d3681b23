"""Traces that take long hold up no other read."""

from __future__ import annotations

import trio
from eth_account import Account as Accounts

from node.chain.endpoint import MAX_IN_FLIGHT
from node.config import ChainConfig
from node.connection import open_connection
from node.devnet.anvil import running_anvil
from node.observe.traces import TraceReader
from tests.chain.doubles import doubles
from tests.observe.bytecode import address

PATIENCE_SECONDS = 20  # only how long a failing test takes


async def test_endpoints_that_hang_over_traces_answer_everything_else() -> None:
    async with running_anvil() as anvil, doubles(anvil, "ada") as (ada,):
        config = ChainConfig(
            chain_id=anvil.chain_id,
            name="local",
            agreement=1,
            max_fee_gwei=1,
            confirmations=1,
            verifiers=(),
            endpoints=(ada.endpoint,),
        )
        async with open_connection(config, Accounts.create(), timeout_seconds=60) as connection:
            head = await connection.reader.latest()
            traces = TraceReader(connection.tracing, (address(1),))
            ada.hangs = True
            async with trio.open_nursery() as nursery:
                for _ in range(MAX_IN_FLIGHT):
                    nursery.start_soon(traces.read, head)
                await ada.wait_asked("eth_getBlockByHash", MAX_IN_FLIGHT)
                ada.hangs = False  # what hangs goes on to hang

                with trio.fail_after(PATIENCE_SECONDS):
                    assert await connection.reader.latest() == head
                nursery.cancel_scope.cancel()
