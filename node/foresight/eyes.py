"""What foresight sees a chain with: each endpoint's mempool, a runner, and what a block asks of senders."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from consensus.types import BlockHash
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool, open_pool
from node.chain.signed import SignedTransaction
from node.chain.types import BlockRef, Endpoint
from node.evaluate.policy import ForeseenRule, PendingRule
from node.foresight.admission import Standing, compute_standing
from node.foresight.judge import find_scope, levels_of
from node.foresight.newcomers import Newcomers
from node.foresight.runner import Runner, TracingRunner, open_runner
from node.observe.mempool import MempoolFollower
from node.observe.traces import TraceReader
from node.pending import NATIVE
from node.trace import Account, Token

KEPT_BASE_FEES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Eyes:
    """One chain's. `block_of` finds a block by its hash."""

    watched: frozenset[Account]
    mempools: tuple[MempoolFollower, ...]
    runner: Runner
    standing_of: Callable[[SignedTransaction, BlockRef], Awaitable[Standing]]
    block_of: Callable[[BlockHash], Awaitable[BlockRef]]
    newcomers: Newcomers
    tracers: Mapping[tuple[Account, ...], Runner]
    """For detections, by the contracts that they watch: a trace holds what these see, and no more."""


@asynccontextmanager
async def open_eyes(
    pool: RpcPool, endpoints: Sequence[Endpoint], rules: Sequence[ForeseenRule], *, timeout_seconds: float
) -> AsyncIterator[Eyes]:
    """Eyes on what these rules count, until the block is left."""
    drains = [rule for rule in rules if isinstance(rule, PendingRule)]
    scopes = [find_scope(rule) for rule in drains]
    detected = {levels_of(rule).watched for rule in rules if not isinstance(rule, PendingRule)}
    watched = tuple(sorted({holder for holders, _ in scopes for holder in holders}))
    everything = frozenset(watched).union(*detected)
    tokens = tuple(sorted({token for _, least in scopes for token in least if token != NATIVE}))
    reader = ChainReader(pool)
    async with AsyncExitStack() as stack:
        mempools = [
            MempoolFollower(
                await stack.enter_async_context(
                    # of one endpoint: a filter is known to the one that made it
                    open_pool(pool.chain_id, (endpoint,), agreement=1, timeout_seconds=timeout_seconds)
                )
            )
            for endpoint in endpoints
        ]
        runner = await stack.enter_async_context(
            open_runner(pool, watched=watched, tokens=tuple(map(Token, tokens)))
        )
        # of its own: what strangers deploy must not hold up what is pending
        prober = await stack.enter_async_context(
            open_runner(pool, watched=watched, tokens=tuple(map(Token, tokens)))
        )
        yield Eyes(
            watched=everything,
            mempools=tuple(mempools),
            runner=runner,
            standing_of=_Admission(reader).standing_of,
            block_of=reader.block_by_hash,
            newcomers=Newcomers(drains, reader, TraceReader(pool, tuple(sorted(everything))), prober),
            tracers={each: TracingRunner(pool, watched=each) for each in detected},
        )


class _Admission:
    """Standings at blocks whose base fee is read once."""

    def __init__(self, reader: ChainReader) -> None:
        self._reader = reader
        self._base_fees: OrderedDict[BlockHash, int | None] = OrderedDict()

    async def standing_of(self, signed: SignedTransaction, at: BlockRef) -> Standing:
        if at.hash not in self._base_fees:
            self._base_fees[at.hash] = (await self._reader.body(at)).header.base_fee_wei
            while len(self._base_fees) > KEPT_BASE_FEES:
                self._base_fees.popitem(last=False)
        base_fee_wei = self._base_fees.get(at.hash)
        return await compute_standing(signed, at, self._reader, base_fee_wei=base_fee_wei)
