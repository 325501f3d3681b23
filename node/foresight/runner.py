"""Runs a transaction on any block's state: by the endpoints' `debug_traceCall`, else in a process here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import trio

from consensus.types import BlockNumber, Seconds
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.pending import PendingTransaction, Simulation
from node.simulate.fallback import FallbackSimulator
from node.simulate.holdings import Asked
from node.simulate.simulator import Limits, NextBlock, ProcessSimulator, open_simulator
from node.simulate.state import AgreedState
from node.simulate.trace_call import TraceCallSimulator
from node.trace import Account, Token

CARRIED_OVER: Final = 256
"""Accounts and words that are fetched ahead at a new block, since the last one asked for them."""


class Runner(Protocol):
    """Runs transactions as if in the block after `anchor`."""

    async def run(
        self, transaction: PendingTransaction, anchor: BlockRef, *, block_seconds: Seconds
    ) -> Simulation:
        """What it would do in a block that is `block_seconds` later. Raises as `Simulator.simulate` does."""
        ...


class _ProcessAtHead:
    """The process, opened on a block only when a transaction comes that the endpoints have no answer for."""

    def __init__(self, process: ProcessSimulator, reader: ChainReader) -> None:
        self._process = process
        self._reader = reader
        self._block: tuple[NextBlock, BlockRef] | None = None
        self._state: AgreedState | None = None

    def turn_to(self, block: NextBlock, at: BlockRef) -> None:
        """What follows is run in this block on that one's state."""
        self._block = (block, at)

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        if self._block is not None:
            (block, at), self._block = self._block, None
            try:
                await self._open(block, at)
            except BaseException:
                self._block = (block, at)  # not opened: the next transaction tries again
                raise
        return await self._process.simulate(transaction)

    async def _open(self, block: NextBlock, at: BlockRef) -> None:
        state, last = AgreedState(self._reader, at), self._state
        known: tuple[Sequence[Account], Sequence[tuple[Account, int]]] = ((), ())
        if last is not None:
            known = (last.accounts[-CARRIED_OVER:], last.words[-CARRIED_OVER:])
            await state.prefetch(tuple(known[0]), tuple(known[1]))
        await self._process.open_block(block, state, known)
        self._state = state


class ChainRunner:
    """Implements `Runner` for one chain; one transaction at a time."""

    def __init__(self, node: TraceCallSimulator, process: ProcessSimulator, reader: ChainReader) -> None:
        self._node = node
        self._process = _ProcessAtHead(process, reader)
        self._both = FallbackSimulator(node, self._process)
        self._turn = trio.Lock()
        self._open: tuple[BlockRef, Seconds] | None = None

    @property
    def fallen_back(self) -> int:
        """Transactions that the endpoints had no answer for."""
        return self._both.fallen_back

    async def run(
        self, transaction: PendingTransaction, anchor: BlockRef, *, block_seconds: Seconds
    ) -> Simulation:
        async with self._turn:
            if self._open != (anchor, block_seconds):
                block = _next_block(anchor, block_seconds)
                self._node.open_block(block, anchor)
                self._process.turn_to(block, anchor)
                self._open = (anchor, block_seconds)
            return await self._both.simulate(transaction)


class TracingRunner:
    """Implements `Runner` by the endpoints' `debug_traceCall` alone, for who needs every nested call."""

    def __init__(self, pool: RpcPool, *, watched: tuple[Account, ...]) -> None:
        self._node = TraceCallSimulator(pool, watched=watched, asked=Asked.NAMED)
        self._turn = trio.Lock()

    async def run(
        self, transaction: PendingTransaction, anchor: BlockRef, *, block_seconds: Seconds
    ) -> Simulation:
        async with self._turn:
            self._node.open_block(_next_block(anchor, block_seconds), anchor)
            return await self._node.simulate(transaction)


def _next_block(anchor: BlockRef, block_seconds: Seconds) -> NextBlock:
    return NextBlock(
        chain_id=anchor.chain_id,
        number=BlockNumber(anchor.number + 1),
        timestamp=Seconds(anchor.timestamp + block_seconds),
    )


@asynccontextmanager
async def open_runner(
    pool: RpcPool, *, watched: tuple[Account, ...], tokens: tuple[Token, ...], limits: Limits | None = None
) -> AsyncIterator[ChainRunner]:
    """A runner that tells what these hold of these tokens and of native coin, until the block is left."""
    async with open_simulator(watched=watched, tokens=tokens, limits=limits, asked=Asked.NAMED) as process:
        node = TraceCallSimulator(pool, watched=watched, tokens=tokens, limits=limits, asked=Asked.NAMED)
        yield ChainRunner(node, process, ChainReader(pool))
