"""One configured chain, connected: its endpoints, reads that are agreed on, and the account that sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eth_account import Account
from eth_account.signers.local import LocalAccount

from node.chain.reader import ChainReader
from node.chain.routes import open_routes
from node.chain.rpc import RpcPool, open_pool
from node.chain.sender import FeePolicy, TransactionSender
from node.config import ChainConfig

WEI_PER_GWEI = 10**9
REPLACE_AFTER_SECONDS = 15.0  # a block and a bit on the slowest of the chains in use
TRACE_TIMEOUT_SECONDS = 30.0  # of one answer; a block's calls take a node longer than a balance
GIVE_UP_AFTER_SECONDS = 300.0  # shorter than any policy's ttl that is worth its name


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConnection:
    """How one chain is read and written to."""

    pool: RpcPool
    tracing: RpcPool
    """The same endpoints for answers that take long: what waits there, or fails, holds up no other read."""
    reader: ChainReader
    sender: TransactionSender


@asynccontextmanager
async def open_connection(
    config: ChainConfig, account: LocalAccount, *, timeout_seconds: float
) -> AsyncIterator[ChainConnection]:
    """Connect to a chain as `account`, until the block is left."""
    fees = FeePolicy(
        cap_wei_per_gas=config.max_fee_gwei * WEI_PER_GWEI,
        replace_after_seconds=REPLACE_AFTER_SECONDS,
        give_up_after_seconds=GIVE_UP_AFTER_SECONDS,
    )
    chain_id, endpoints, agreement = config.chain_id, config.endpoints, config.agreement
    patient_seconds = max(timeout_seconds, TRACE_TIMEOUT_SECONDS)
    async with (
        open_pool(chain_id, endpoints, agreement=agreement, timeout_seconds=timeout_seconds) as pool,
        open_pool(chain_id, endpoints, agreement=agreement, timeout_seconds=patient_seconds) as tracing,
        # who sends is asked for, not trusted with anything: a key of its own, made for this run
        open_routes(config.submit, chain_id, Account.create(), timeout_seconds=timeout_seconds) as routes,
    ):
        yield ChainConnection(
            pool=pool,
            tracing=tracing,
            reader=ChainReader(pool),
            sender=TransactionSender(
                pool, account, fees, routes=routes, public_after_blocks=config.public_after_blocks
            ),
        )
