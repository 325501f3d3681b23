"""Runs pending transactions in a process of its own, and survives what they do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import BlockNumber, ChainId, Seconds
from node.pending import NATIVE, PendingTransaction, Simulation
from node.simulate.holdings import Asked, find_changes, require_told
from node.simulate.outcome import (
    Answer,
    NotLetIn,
    Opened,
    OpenTask,
    Outcome,
    RunTask,
    Task,
    Unknown,
    read_line,
    write_line,
)
from node.simulate.server import StateServer
from node.simulate.state import StateSource
from node.trace import (
    Account,
    CallFrame,
    CallKind,
    Slot,
    StorageAccess,
    Token,
    TokenUnits,
    TransactionTrace,
    Transfer,
)

MAX_ANSWER_BYTES: Final = 16 * 2**20
LOADED_AHEAD: Final = 4_096
"""Words and accounts that are loaded when a block is opened."""

_Known = tuple[Sequence[Account], Sequence[tuple[Account, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one transaction may cost the watcher."""

    gas: int = 30_000_000
    """Above EIP-7825's cap for a transaction; what needs more, where a chain allows it, is unknown."""
    seconds: float = 2.0
    """Fetching included. A process that takes longer is ended."""
    open_seconds: float = 20.0
    """For a process to start and load a block's state."""
    memory_bytes: int = 2 * 2**30
    trace_seconds: float = 10.0
    """For a node to trace it, all questions together."""
    misses: int = 512
    """Values that are fetched for one transaction; an account is three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextBlock:
    """The block in which the pending transaction would be, on top of the state that it is run on."""

    chain_id: ChainId
    number: BlockNumber
    timestamp: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorStatistics:
    """What came of all transactions so far."""

    simulated: int
    unknown: int
    not_let_in: int
    restarts: int
    fetched: int


@dataclass(slots=True)
class _Counts:
    simulated: int = 0
    unknown: int = 0
    not_let_in: int = 0
    restarts: int = 0


@dataclass(slots=True)
class _Block:
    """What the worker is told when it starts, and starts anew."""

    next: NextBlock
    state: StateSource
    known: _Known = field(default=((), ()))


class ProcessSimulator:
    """Implements `Simulator`. Opened by `open_simulator`; `open_block` before the first transaction.

    `watched` are the accounts whose storage and holdings are told; `tokens` those that are always asked how
    much the watched hold, so that a token which tells no transfers is seen too.
    """

    def __init__(
        self,
        server: StateServer,
        *,
        watched: Sequence[Account],
        tokens: Sequence[Token],
        limits: Limits,
        asked: Asked = Asked.MOVED,
    ) -> None:
        self._server = server
        self._watched = tuple(watched)
        self._tokens = tuple(tokens)
        self._limits = limits
        self._asked = asked
        self._worker: trio.Process | None = None
        self._unread = b""
        self._block: _Block | None = None
        self._turn = trio.Lock()
        self._counts = _Counts()
        self.last_seconds = 0.0
        """How long the last transaction took in the EVM and around it, without the way there and back."""

    def statistics(self) -> SimulatorStatistics:
        """What came of all transactions so far."""
        counts = self._counts
        return SimulatorStatistics(
            simulated=counts.simulated,
            unknown=counts.unknown,
            not_let_in=counts.not_let_in,
            restarts=counts.restarts,
            fetched=self._server.asked,
        )

    async def open_block(self, block: NextBlock, state: StateSource, known: _Known = ((), ())) -> None:
        """Run what follows on this state, with `known` loaded ahead. Raises `Unavailable`."""
        async with self._turn:
            self._block = _Block(next=block, state=state, known=known)
            await self._open()

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        """What a transaction would do. Raises `Unavailable` where that cannot be told within the limits, and
        `Refused` (PENDING_INVALID) where the state would not let it in."""
        async with self._turn:
            if self._block is None:
                raise Unavailable("no block was opened for simulations yet")
            if self._worker is None:
                await self._open()
            self._server.refill()
            answer = await self._ask(self._task(transaction))
            block = self._block.next
        if isinstance(answer, NotLetIn):
            self._counts.not_let_in += 1
            raise Refused(Reason.PENDING_INVALID, f"{transaction.hash} is not let in: {answer.why}")
        if not isinstance(answer, Outcome):
            self._counts.unknown += 1
            why = answer.why if isinstance(answer, Unknown) else "the worker answered something else"
            raise Unavailable(f"what {transaction.hash} does cannot be told: {why}")
        try:
            require_told(answer.held, transaction.hash, tokens=self._tokens, watched=self._watched)
        except Unavailable:
            self._counts.unknown += 1
            raise
        self._counts.simulated += 1
        self.last_seconds = answer.seconds
        return self._read(transaction, answer, block)

    async def close(self) -> None:
        """End the process."""
        worker, self._worker, self._unread = self._worker, None, b""
        if worker is not None:
            worker.kill()
            with trio.CancelScope(shield=True):
                await worker.wait()

    async def _open(self) -> None:
        assert self._block is not None
        accounts, words = self._block.known
        self._server.refill(3 * len(accounts) + len(words) + self._limits.misses)
        task = OpenTask(
            url=self._server.open(self._block.state),
            block_number=self._block.next.number,
            timestamp=self._block.next.timestamp,
            block_gas=self._limits.gas,
            chain_id=self._block.next.chain_id,
            accounts=list(accounts[-LOADED_AHEAD:]),
            slots=list(words[-LOADED_AHEAD:]),
        )
        answer = await self._ask(task)
        if not isinstance(answer, Opened):
            await self.close()
            why = answer.why if isinstance(answer, Unknown) else "the worker answered something else"
            raise Unavailable(f"the state of block {self._block.next.number} cannot be opened: {why}")

    def _task(self, transaction: PendingTransaction) -> RunTask:
        return RunTask(
            sender=transaction.sender,
            to=transaction.to,
            data=transaction.data.hex(),
            value_wei=transaction.value_wei,
            gas=transaction.gas,
            watched=list(self._watched),
            tokens=list(self._tokens),
            asks_moved=self._asked is Asked.MOVED,
        )

    async def _ask(self, task: Task) -> Answer:
        """The worker's answer; when it ends or takes too long it is replaced, and the answer is unknown."""
        seconds = self._limits.open_seconds if isinstance(task, OpenTask) else self._limits.seconds
        answer: Answer = Unknown(why=f"it took more than {seconds} s")
        is_answered = False
        try:
            if self._worker is None:
                self._worker = await self._start()
            with trio.move_on_after(seconds):
                assert self._worker.stdin is not None
                await self._worker.stdin.send_all(write_line(task))
                answer = read_line(await self._receive(self._worker), Answer)
                is_answered = True
        except (trio.BrokenResourceError, trio.ClosedResourceError, ValueError) as error:
            answer = Unknown(why=f"the process that ran it ended ({error!r})")
        finally:
            if not is_answered:
                # also when we are cancelled: the rest of an answer must not be read as the next one
                self._counts.restarts += 1
                await self.close()
        return answer

    async def _start(self) -> trio.Process:
        # no environment but the path to the code, which is not the folder that we happen to stand in: nothing
        # of the watcher's is any of its business
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return await trio.lowlevel.open_process(
            [sys.executable, "-P", "-m", "node.simulate.worker", str(self._limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    async def _receive(self, worker: trio.Process) -> bytes:
        assert worker.stdout is not None
        while b"\n" not in self._unread:
            received = await worker.stdout.receive_some()
            if not received:
                raise trio.ClosedResourceError
            self._unread += received
            if len(self._unread) > MAX_ANSWER_BYTES:
                raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _read(self, transaction: PendingTransaction, outcome: Outcome, block: NextBlock) -> Simulation:
        created = None if outcome.created is None else Account(outcome.created)
        sides = {transaction.sender, transaction.to, created} - set(self._watched)
        return Simulation(
            transaction=transaction,
            succeeded=outcome.succeeded,
            outcome=outcome.reason,
            gas_used=outcome.gas_used,
            trace=TransactionTrace(
                hash=transaction.hash,
                block_number=block.number,
                index=0,
                frames=self._frames(transaction, outcome),
                transfers=tuple(
                    Transfer(
                        Token(Account(each.token)),
                        Account(each.sender),
                        Account(each.receiver),
                        TokenUnits(each.units),
                    )
                    for each in outcome.moved
                    if each.token != NATIVE
                ),
            ),
            is_nested=False,
            changes=find_changes(outcome.held, set(self._watched)),
            profit=find_changes(outcome.held, {each for each in sides if each is not None}),
        )

    def _frames(self, transaction: PendingTransaction, outcome: Outcome) -> tuple[CallFrame, ...]:
        """One for each watched contract that was touched, in the order in which that was first."""
        accesses: dict[Account, list[StorageAccess]] = {}
        if transaction.to in self._watched:
            accesses[transaction.to] = []
        for each in outcome.touched:
            done = accesses.setdefault(Account(each.contract), [])
            done.append(StorageAccess(Slot(each.slot), each.before, is_write=False))
            if each.is_written:
                done.append(StorageAccess(Slot(each.slot), each.after, is_write=True))
        return tuple(
            CallFrame(
                contract=contract,
                selector=f"0x{transaction.data[:4].hex()}" if contract == transaction.to else "0x",
                kind=CallKind.FIRST_CALL if contract == transaction.to else CallKind.CALL,
                start_step=-1 if contract == transaction.to else 2 * place,
                end_step=2 * place + 1,
                parent=None,
                accesses={contract: tuple(done)},
            )
            for place, (contract, done) in enumerate(accesses.items())
        )


@asynccontextmanager
async def open_simulator(
    *,
    watched: Sequence[Account],
    tokens: Sequence[Token] = (),
    limits: Limits | None = None,
    asked: Asked = Asked.MOVED,
) -> AsyncIterator[ProcessSimulator]:
    """A simulator for these accounts, until the block is left."""
    limits = limits or Limits()
    server = StateServer(limits.misses)
    await server.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        simulator = ProcessSimulator(server, watched=watched, tokens=tokens, limits=limits, asked=asked)
        try:
            yield simulator
        finally:
            await simulator.close()
            nursery.cancel_scope.cancel()
