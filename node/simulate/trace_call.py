"""Runs pending transactions by a node's `debug_traceCall`, which knows the tree of calls too.

                            each endpoint, agreed by digest
    callTracer with logs ─► touched? ─► prestateTracer, diff ──► balances before and after ─┐
                                    └─► step program ─────────► storage accesses ───────────┴─► Simulation

The trace is that of a mined transaction (`node/observe/traces.py`), by the same parsers. No node tells what a
token says after a call; so `balanceOf` is called on the block's state with the diff put over it. Endpoints
are compared by what it came to, so that `agreement` of them must have seen the same. Block and fees are those
of `NextBlock`, with a base fee, a price and a randomness of zero, as for the process (`evm.py`): what one
simulator says of holdings the other says too.

Bounds: an endpoint's own time and 16 MiB for an answer, `Limits.gas`, and `Limits.trace_seconds` for all of
it. Calls nested so deep that their JSON is not read, and what the node refuses, are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from node.chain.endpoint import EndpointClient
from node.chain.parse import octets, parse_call, quantity
from node.chain.request import Json, RpcFault, RpcRequest, Unusable
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef, CallReverted
from node.observe.call_trees import CallLog, TransactionCalls, parse_account, parse_called
from node.observe.execution import Outline, Step, attach_steps, outline, touches
from node.observe.step_logs import STEP_PROGRAM, parse_program, parse_struct_logs
from node.observe.traces import compute_digest
from node.observe.transfers import counts, read_transfer
from node.observe.usable import is_not_served, read_usable, usable_request
from node.pending import NATIVE, PendingTransaction, Simulation
from node.simulate.holdings import (
    ASKER,
    BALANCE_GAS,
    MAX_HOLDINGS,
    Asked,
    choose_holdings,
    encode_balance_of,
    find_changes,
    require_told,
    side_of_sender,
)
from node.simulate.outcome import Held, Moved
from node.simulate.simulator import Limits, NextBlock
from node.trace import Account, Token, TransactionTrace, Transfer

MAX_CHANGED: Final = 4_096
"""Accounts and words that a transaction changes; they travel back for each question about balances."""

_ZERO: Final = "0x" + "00" * 20
_ZERO_WORD: Final = "0x" + "00" * 32
_OUT_OF_GAS: Final = "out of gas"
# what nodes say of a transaction that its state would not let in
_NOT_LET_IN: Final = ("insufficient funds", "intrinsic gas", "gas floor", "nonce too", "sender not an eoa")

T = TypeVar("T")
_log = structlog.get_logger("simulate")


@dataclass(frozen=True, slots=True)
class _NotLetIn:
    """The node says that the state does not let the transaction in; nodes do not say so in the same words."""

    said: str = field(compare=False)


class _NotOffered(Unusable):
    """The node has no `debug_traceCall`."""


class _Account(msgspec.Struct):
    balance: str | None = None
    nonce: int | None = None
    code: str | None = None
    storage: dict[str, str] = {}


class _Diff(msgspec.Struct):
    pre: dict[str, _Account]
    post: dict[str, _Account]


@dataclass(frozen=True, slots=True)
class _Ran:
    """What one endpoint says that a transaction does. Compared by what it means."""

    digest: bytes
    succeeded: bool
    held: tuple[Held, ...]
    outcome: str = field(compare=False)
    gas_used: int = field(compare=False)
    created: Account | None = field(compare=False)
    frames: Outline = field(compare=False)
    transfers: tuple[Transfer, ...] = field(compare=False)

    def __str__(self) -> str:
        return f"{'success' if self.succeeded else self.outcome} 0x{self.digest.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCallStatistics:
    """What came of all transactions so far. `not_offered` are those that too few endpoints could trace."""

    simulated: int
    unknown: int
    not_let_in: int
    not_offered: int


class TraceCallSimulator:
    """Implements `Simulator` on one block, which `open_block` names."""

    def __init__(
        self,
        pool: RpcPool,
        *,
        watched: tuple[Account, ...],
        tokens: tuple[Token, ...] = (),
        asked: Asked = Asked.MOVED,
        limits: Limits | None = None,
    ) -> None:
        self._pool = pool
        self._asked = asked
        self._watched = watched
        self._tokens = tokens
        self._limits = limits or Limits()
        self._block: tuple[NextBlock, BlockRef] | None = None
        self._without: set[str] = set()
        self._simulated = self._unknown = self._not_let_in = self._not_offered = 0

    def statistics(self) -> TraceCallStatistics:
        """What came of all transactions so far."""
        return TraceCallStatistics(
            simulated=self._simulated,
            unknown=self._unknown,
            not_let_in=self._not_let_in,
            not_offered=self._not_offered,
        )

    def open_block(self, block: NextBlock, at: BlockRef) -> None:
        """Run what follows on the state of `at`, as if it were in `block`."""
        self._block = (block, at)

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        """What a transaction would do. Raises as `Simulator.simulate` does."""
        if self._block is None:
            raise Unavailable("no block was opened for simulations yet")
        block, at = self._block
        try:
            ran = await self._agreed(transaction, block, at)
            if isinstance(ran, _Ran):
                require_told(ran.held, transaction.hash, tokens=self._tokens, watched=self._watched)
        except Unavailable as error:
            self._count_unknown(error)
            raise
        if isinstance(ran, _NotLetIn):
            self._not_let_in += 1
            raise Refused(Reason.PENDING_INVALID, f"{transaction.hash} is not let in: it {ran.said}")
        self._simulated += 1
        return self._told(transaction, ran, block)

    async def _agreed(
        self, transaction: PendingTransaction, block: NextBlock, at: BlockRef
    ) -> _Ran | _NotLetIn:
        with trio.move_on_after(self._limits.trace_seconds):
            return await self._pool.agree_by(
                f"debug_traceCall of {transaction.hash}",
                lambda client: self._run(client, transaction, block, at),
            )
        raise Unavailable(f"what {transaction.hash} does was not told within {self._limits.trace_seconds} s")

    def _count_unknown(self, error: Unavailable) -> None:
        able = [each.name for each in self._pool.statistics().endpoints if each.name not in self._without]
        if len(able) < self._pool.agreement:
            if not self._not_offered:  # once: the count says how often
                _log.warning(
                    "simulation.not_offered",
                    chain_id=self._pool.chain_id,
                    endpoints=sorted(self._without),
                    detail=f"{error}; pending transactions are run in a process of their own instead, which "
                    "knows no nested calls: name endpoints that offer debug_traceCall",
                )
            self._not_offered += 1
        else:
            self._unknown += 1

    def _told(self, transaction: PendingTransaction, ran: _Ran, block: NextBlock) -> Simulation:
        sides = side_of_sender(transaction.sender, transaction.to, ran.created, watched=self._watched)
        return Simulation(
            transaction=transaction,
            succeeded=ran.succeeded,
            outcome=ran.outcome,
            gas_used=ran.gas_used,
            trace=TransactionTrace(
                hash=transaction.hash,
                block_number=block.number,
                index=0,
                frames=ran.frames.frames,
                transfers=ran.transfers,
            ),
            is_nested=True,
            changes=find_changes(ran.held, set(self._watched)),
            profit=find_changes(ran.held, {Account(each) for each in sides} - set(self._watched)),
        )

    async def _run(
        self,
        client: EndpointClient,
        transaction: PendingTransaction,
        block: NextBlock,
        at: BlockRef,
    ) -> _Ran | _NotLetIn:
        """What one endpoint says. Raises `EndpointFailed` or `Unusable`."""
        asking = _Asking(client, transaction, block, at, block_gas=self._limits.gas)
        try:
            called = await asking.calls()
        except _NotOffered:
            self._without.add(client.name)
            raise
        self._without.discard(client.name)
        if isinstance(called, _NotLetIn):
            return called
        calls, logs, error = called
        if error is not None and _OUT_OF_GAS in error.lower() and self._limits.gas < transaction.gas:
            raise Unusable(f"ran out of the {self._limits.gas} gas that it is given here")
        watched = frozenset(self._watched)
        created = calls.root.to if transaction.to is None else None
        moved = [each for each in map(read_transfer, logs) if each is not None]
        if error is None and touches(calls.root, watched):
            steps = await asking.steps()
            read_usable(lambda: attach_steps(calls.root, steps))
        frames = read_usable(lambda: outline(calls.root, watched))
        transfers = (*(each for each in moved if counts(each, watched)), *frames.native_transfers)
        held = await self._held(asking, transaction, moved, created) if error is None else ()
        return _Ran(
            digest=compute_digest([(transaction.hash, frames)]),
            succeeded=error is None,
            held=held,
            outcome=error or "Success",
            gas_used=asking.gas_used,
            created=created,
            frames=frames,
            transfers=transfers,
        )

    async def _held(
        self,
        asking: _Asking,
        transaction: PendingTransaction,
        moved: list[Transfer],
        created: Account | None,
    ) -> tuple[Held, ...]:
        diff = await asking.diff()
        named, found = choose_holdings(
            [Moved(*each) for each in moved],
            watched=self._watched,
            tokens=self._tokens,
            sender_side=side_of_sender(transaction.sender, transaction.to, created, watched=self._watched),
            asked=self._asked,
        )
        if len(found) > MAX_HOLDINGS:
            raise Unusable(f"moves {len(found)} balances, read are {MAX_HOLDINGS}")
        return await asking.held([*named, *found], diff)


class _Asking:
    """The questions about one transaction to one endpoint, all on the state of one block."""

    def __init__(
        self,
        client: EndpointClient,
        transaction: PendingTransaction,
        block: NextBlock,
        at: BlockRef,
        *,
        block_gas: int,
    ) -> None:
        gas = min(transaction.gas, block_gas)
        self._client = client
        self._transaction = transaction
        self._at: Json = {"blockHash": f"0x{at.hash.hex()}", "requireCanonical": True}
        self._call: dict[str, Json] = {
            "from": transaction.sender,
            "data": f"0x{transaction.data.hex()}",
            "value": hex(transaction.value_wei),
            "gas": hex(gas),
        }
        if transaction.to is not None:
            self._call["to"] = transaction.to
        self._block: dict[str, Json] = {
            "number": hex(block.number),
            "time": hex(block.timestamp),
            "gasLimit": hex(block_gas),
            "feeRecipient": _ZERO,
            "prevRandao": _ZERO_WORD,
            "baseFeePerGas": "0x0",
        }
        self.gas_used = 0

    async def calls(self) -> _NotLetIn | tuple[TransactionCalls, tuple[CallLog, ...], str | None]:
        """The tree of calls, its events, and how it failed."""
        request = self._request(
            {"tracer": "callTracer", "tracerConfig": {"withLog": True}},
            lambda answer: (
                parse_called(answer, self._transaction.hash),
                quantity(_field(answer, "gasUsed")),
            ),
        )
        (answer,) = await self._client.ask((request,))
        if isinstance(answer, RpcFault):
            if is_not_served(answer):
                raise _NotOffered(f"does not serve debug_traceCall ({answer})")
            if any(words in answer.message.lower() for words in _NOT_LET_IN):
                return _NotLetIn(f"answered {answer}")
        called: tuple[TransactionCalls, tuple[CallLog, ...], str | None]
        called, self.gas_used = request.parse(answer)
        return called

    async def steps(self) -> tuple[Step, ...]:
        """Storage accesses, in order, by the first way that the node serves."""
        plain: dict[str, Json] = {"disableStorage": True, "disableStack": False, "enableMemory": False}
        said = []
        ways: tuple[tuple[dict[str, Json], Callable[[Json], tuple[Step, ...]]], ...] = (
            ({"tracer": STEP_PROGRAM}, parse_program),
            (plain, parse_struct_logs),
        )
        for options, parse in ways:
            try:
                return await self._ask(self._request(options, parse))
            except Unusable as unusable:
                said.append(str(unusable))
        raise Unusable(f"gave no storage accesses; {'; '.join(said)}")

    async def diff(self) -> _Diff:
        """What the transaction changes."""
        options: dict[str, Json] = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        return await self._ask(self._request(options, _parse_diff))

    async def held(self, holdings: list[tuple[str, str]], diff: _Diff) -> tuple[Held, ...]:
        """Each holding before and after."""
        after = _overrides(diff)
        tokens = [each for each in holdings if each[0] != NATIVE]
        native = [holder for token, holder in holdings if token == NATIVE]
        asked = [
            *(self._balance_of(token, holder, over) for token, holder in tokens for over in ({}, after)),
            *(self._coin(holder) for holder in native),
        ]
        answers = await self._client.ask(asked) if asked else ()
        values = iter([request.parse(answer) for request, answer in zip(asked, answers, strict=True)])
        told = {holding: (next(values), next(values)) for holding in tokens}
        for holder in native:
            before = next(values)
            assert before is not None
            told[(NATIVE, holder)] = (before, _coin_after(holder, before, diff))
        return tuple(Held(*holding, *told[holding]) for holding in holdings)

    def _request(self, options: dict[str, Json], parse: Callable[[Json], T]) -> RpcRequest[T]:
        options = {**options, "blockOverrides": self._block}
        return usable_request("debug_traceCall", (self._call, self._at, options), parse)

    async def _ask(self, request: RpcRequest[T]) -> T:
        (answer,) = await self._client.ask((request,))
        return request.parse(answer)

    def _balance_of(self, token: str, holder: str, over: dict[str, Json]) -> RpcRequest[int | None]:
        call: Json = {
            "from": ASKER,
            "to": token,
            "data": f"0x{encode_balance_of(holder).hex()}",
            "gas": hex(BALANCE_GAS),
        }
        overrides: tuple[Json, ...] = (over,) if over else ()
        return RpcRequest(method="eth_call", params=(call, self._at, *overrides), parse=_parse_balance)

    def _coin(self, holder: str) -> RpcRequest[int | None]:
        return usable_request("eth_getBalance", (holder, self._at), quantity)


def _field(answer: Json, name: str) -> Json:
    return answer.get(name) if isinstance(answer, dict) else None


def _parse_balance(answer: Json | RpcFault) -> int | None:
    """None where the token does not answer with a number."""
    returned = parse_call(answer)
    if isinstance(returned, CallReverted) or len(returned) < 32:
        return None
    return int.from_bytes(returned[:32])


def _parse_diff(answer: Json) -> _Diff:
    diff = msgspec.convert(answer, _Diff)
    changed = [*diff.pre.values(), *diff.post.values()]
    if len(changed) + sum(len(each.storage) for each in changed) > MAX_CHANGED:
        raise ValueError(f"more than {MAX_CHANGED} accounts and words change")
    return _Diff(
        pre={parse_account(name): each for name, each in diff.pre.items()},
        post={parse_account(name): each for name, each in diff.post.items()},
    )


def _overrides(diff: _Diff) -> dict[str, Json]:
    """The diff as `eth_call` takes it: words that are told before and not after became zero."""
    over: dict[str, Json] = {}
    for name in {**diff.pre, **diff.post}:
        before, after = diff.pre.get(name, _Account()), diff.post.get(name)
        if after is None:  # it destroyed itself
            over[name] = {"balance": "0x0", "code": "0x"}
            continue
        state: dict[str, Json] = dict.fromkeys(before.storage, _ZERO_WORD)
        state |= {slot: f"0x{octets(word, 32).hex()}" for slot, word in after.storage.items()}
        entry: dict[str, Json] = {"stateDiff": state} if state else {}
        if after.balance is not None:
            entry["balance"] = after.balance
        if after.code is not None:
            entry["code"] = after.code
        if entry:
            over[name] = entry
    return over


def _coin_after(holder: str, before: int, diff: _Diff) -> int:
    if holder in diff.post:
        told = diff.post[holder].balance
        return before if told is None else quantity(told)
    return 0 if holder in diff.pre else before
