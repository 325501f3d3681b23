"""Live traces: what every transaction of one block did to the watched contracts, as `TransactionTrace`.

                    each endpoint, in the way that it offers                 agreed by events
    block by hash ─► tree of calls ─► touched? ─► storage accesses ─► digest ─┐
                     callTracer                   step program                ├─► TransactionTrace
                     call program                 struct logs       m of n ───┤
                     trace_block                  vmTrace                     │
    block by hash ─► eth_getLogs ─► ERC-20 transfers ─────────────────────────┘

The tree is asked for once a block; storage only of the transactions that it shows to have touched a watched
contract. Endpoints are compared by a digest over the parsed form, so that `agreement` of them must have
seen the same, whatever interface each of them offers. `docs/observing.md` says which gives what.

Where they do not, the block has no traces, and there is a `TraceGap` in their place: it says what is not
covered, is counted, and must reach a person. Unknown is never "nothing happened".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

import structlog

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_from_hex, keccak256
from consensus.types import Address, ChainId
from node.chain.endpoint import EndpointClient, EndpointFailed, EndpointHealth
from node.chain.reader import ChainReader
from node.chain.request import Json, RpcFault, RpcRequest, Unusable
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.observe.call_trees import (
    CALL_PROGRAM,
    TransactionCalls,
    parse_call_program,
    parse_call_tracer,
    parse_hash,
    parse_trace_block,
)
from node.observe.execution import Outline, Step, attach_steps, find_creations, outline, touches
from node.observe.step_logs import (
    STEP_PROGRAM,
    find_replayed,
    parse_program,
    parse_struct_logs,
    parse_vm_trace,
)
from node.observe.transfers import TRANSFER, transfers_by_transaction
from node.observe.usable import is_not_served, read_usable, usable_request
from node.trace import Account, TransactionTrace

MAX_WATCHED: Final = 1_024
MAX_TRANSACTIONS: Final = 10_000  # of one block, as in a recorded history

T = TypeVar("T")
_log = structlog.get_logger("observe")


class Creation(NamedTuple):
    """A contract that a transaction created and did not undo."""

    sender: Address
    """Who sent the transaction."""
    creator: Address
    """Who created the contract: the sender, or a contract that was called."""
    contract: Address


class GapKind(StrEnum):
    """Why a block has no traces."""

    NOT_OFFERED = "not_offered"
    """Too few endpoints have a trace interface: no block will have any, until that changes."""
    NO_AGREEMENT = "no_agreement"
    """This block could not be read, or too few endpoints saw the same; another may well be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceGap:
    """A finding: this block's transactions were not seen, and nothing can be said of them."""

    ref: BlockRef
    kind: GapKind
    watched: int
    """How many contracts are not covered."""
    said: str
    """Who said what."""

    def __str__(self) -> str:
        return (
            f"no traces of {self.ref}: calls, storage accesses and coin of {self.watched} watched contracts "
            f"are not covered there, and no trace detector judged it ({self.kind}); {self.said}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStatistics:
    """How tracing has gone so far."""

    chain_id: ChainId
    blocks: int
    transactions: int
    gaps: Mapping[str, int]
    """By kind."""
    sources: Mapping[str, str]
    """What each endpoint gave last: its way to the tree of calls, and to storage."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one endpoint saw of a block. Compared by digest alone."""

    digest: bytes
    outlines: tuple[tuple[str, Outline], ...] = field(compare=False)
    """In the order of the block, those of all its transactions."""

    def __str__(self) -> str:
        return f"0x{self.digest.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way(Generic[T]):
    """One way to ask an endpoint for something."""

    name: str
    request: RpcRequest[T]


class TraceReader:
    """Traces of the watched contracts of one chain."""

    def __init__(self, pool: RpcPool, watched: Sequence[Address | Account]) -> None:
        """Raises `Refused` (OVERSIZED, EMPTY_LIST) for too many contracts, or none."""
        if not watched:
            raise Refused(Reason.EMPTY_LIST, "expected contracts to watch, came none; name at least one")
        if len(watched) > MAX_WATCHED:
            raise Refused(
                Reason.OVERSIZED,
                f"{len(watched)} contracts to watch; one reader watches at most {MAX_WATCHED}",
            )
        self._pool = pool
        self._reader = ChainReader(pool)
        self.watched = frozenset(Account(contract.lower()) for contract in watched)
        self._blocks = self._transactions = 0
        self._gaps: Counter[str] = Counter()
        self._logged: set[GapKind] = set()
        self._way: dict[tuple[str, str], str] = {}
        self._without: set[str] = set()

    def statistics(self) -> TraceStatistics:
        """What tracing has come to so far."""
        endpoints = sorted({endpoint for endpoint, _ in self._way})
        return TraceStatistics(
            chain_id=self._pool.chain_id,
            blocks=self._blocks,
            transactions=self._transactions,
            gaps=dict(self._gaps),
            sources={
                endpoint: " + ".join(
                    self._way[(endpoint, what)] for what in (_CALLS, _STEPS) if (endpoint, what) in self._way
                )
                for endpoint in endpoints
            },
        )

    async def read(self, ref: BlockRef) -> tuple[TransactionTrace, ...] | TraceGap:
        """The transactions of a block that left anything on the watched contracts, in order; or why there is
        no telling."""
        try:
            seen = await self._pool.agree_by(f"the trace of block {ref.number}", lambda c: self._see(c, ref))
            logs = await self._reader.get_logs(ref, topics=(TRANSFER,))
        except Unavailable as error:
            return self._gap(ref, str(error))
        moved = transfers_by_transaction(logs, self.watched)
        traces: list[TransactionTrace] = []
        for transaction_hash, seen_of in seen.outlines:
            transfers = (*moved.get(transaction_hash, ()), *seen_of.native_transfers)
            if seen_of.frames or transfers:
                traces.append(
                    TransactionTrace(
                        hash=transaction_hash,
                        block_number=ref.number,
                        index=len(traces),
                        frames=seen_of.frames,
                        transfers=transfers,
                    )
                )
        self._blocks += 1
        self._transactions += len(traces)
        return tuple(traces)

    async def read_creations(self, ref: BlockRef) -> tuple[Creation, ...] | TraceGap:
        """The contracts that a block created, in order, whether watched or not; or why there is no
        telling."""
        try:
            created = await self._pool.agree_by(
                f"the contracts that block {ref.number} created", lambda c: self._see_creations(c, ref)
            )
        except Unavailable as error:
            return self._gap(ref, str(error))
        return tuple(Creation(*map(address_from_hex, each)) for each in created)

    async def _see_creations(
        self, client: EndpointClient, ref: BlockRef
    ) -> tuple[tuple[Account, Account, Account], ...]:
        """What one endpoint says that a block created. Raises `EndpointFailed` or `Unusable`."""
        (transactions,) = await _ask(client, _block(ref))
        calls = await self._first(client, _CALLS, _ways_to_calls(ref, transactions)) if transactions else ()
        return tuple(created for each in calls for created in find_creations(each.root))

    def _gap(self, ref: BlockRef, said: str) -> TraceGap:
        able = self._pool.statistics().endpoints
        enough = sum(each.name not in self._without for each in able) >= self._pool.agreement
        kind = GapKind.NO_AGREEMENT if enough else GapKind.NOT_OFFERED
        gap = TraceGap(ref=ref, kind=kind, watched=len(self.watched), said=said)
        self._gaps[kind] += 1
        if kind not in self._logged:  # once: the count says how often
            self._logged.add(kind)
            _log.warning(
                "trace.missing",
                chain_id=ref.chain_id,
                block_number=ref.number,
                reason=kind.value,
                detail=str(gap),
            )
        return gap

    async def _see(self, client: EndpointClient, ref: BlockRef) -> _Seen:
        """What one endpoint says of a block. Raises `EndpointFailed` or `Unusable`."""
        (transactions,) = await _ask(client, _block(ref))
        calls = await self._first(client, _CALLS, _ways_to_calls(ref, transactions)) if transactions else ()
        seen: list[tuple[str, Outline]] = []
        has_asked_by_hash = False
        for each in calls:
            if touches(each.root, self.watched) and not each.root.has_failed:
                steps = await self._first(client, _STEPS, _ways_to_steps(ref, each))
                read_usable(lambda each=each, steps=steps: attach_steps(each.root, steps))  # type: ignore[misc]
                has_asked_by_hash = True
            seen.append((each.hash, read_usable(lambda each=each: outline(each.root, self.watched))))  # type: ignore[misc]
        if has_asked_by_hash:
            # a transaction's steps are asked for by its hash, which a reorg may move to another block
            (still,) = await _ask(client, _canonical(ref))
            if not still:
                raise Unusable(f"left {ref} while it was traced")
        return _Seen(compute_digest(seen), tuple(seen))

    async def _first(self, client: EndpointClient, what: str, ways: Sequence[_Way[T]]) -> T:
        """The answer to the first way that this endpoint serves, beginning with the one that it served last.

        Raises `Unusable` with what it said to each, `EndpointFailed` where it does not answer at all.
        """
        last = self._way.get((client.name, what))
        said: list[str] = []
        is_served = False
        for way in sorted(ways, key=lambda way: way.name != last):
            try:
                (answer,) = await client.ask((way.request,))
                if isinstance(answer, RpcFault) and is_not_served(answer):
                    said.append(f"{way.name}: not served ({answer})")
                    continue
                is_served = True
                value = way.request.parse(answer)
            except Unusable as unusable:
                said.append(f"{way.name}: {unusable}")
            except EndpointFailed as failure:
                if failure.health is not EndpointHealth.MALFORMED:
                    raise
                is_served = True
                said.append(f"{way.name}: {failure}")
            else:
                self._way[(client.name, what)] = way.name
                self._without.discard(client.name)
                return value
        if not is_served:
            self._without.add(client.name)
        raise Unusable(f"gave no {what}; {'; '.join(said)}")


_CALLS: Final = "tree of calls"
_STEPS: Final = "storage accesses"


def compute_digest(outlines: Sequence[tuple[str, Outline]]) -> bytes:
    """keccak256 over a block's transactions in canonical form, 32 bytes: equal for what means the same."""
    canonical = [
        [
            transaction_hash,
            [
                [
                    frame.contract,
                    frame.selector,
                    frame.kind.value,
                    frame.start_step,
                    frame.end_step,
                    [
                        [owner, [[hex(each.slot), hex(each.value), each.is_write] for each in done]]
                        for owner, done in frame.accesses.items()
                    ],
                ]
                for frame in of.frames
            ],
            [[*transfer[:3], hex(transfer.units)] for transfer in of.native_transfers],
        ]
        for transaction_hash, of in outlines
    ]
    return keccak256(json.dumps(canonical, separators=(",", ":"), allow_nan=False).encode("ascii"))


def _ways_to_calls(
    ref: BlockRef, transactions: Sequence[str]
) -> tuple[_Way[tuple[TransactionCalls, ...]], ...]:
    block_hash = f"0x{ref.hash.hex()}"
    return (
        _Way(
            name="callTracer",
            request=usable_request(
                "debug_traceBlockByHash",
                (block_hash, {"tracer": "callTracer"}),
                lambda answer: parse_call_tracer(answer, transactions),
            ),
        ),
        _Way(
            name="call program",
            request=usable_request(
                "debug_traceBlockByHash",
                (block_hash, {"tracer": CALL_PROGRAM}),
                lambda answer: parse_call_program(answer, transactions),
            ),
        ),
        _Way(
            name="trace_block",
            request=usable_request(
                "trace_block",
                (hex(ref.number),),
                lambda answer: parse_trace_block(answer, transactions, block_hash),
            ),
        ),
    )


def _ways_to_steps(ref: BlockRef, of: TransactionCalls) -> tuple[_Way[tuple[Step, ...]], ...]:
    plain: Json = {
        "disableMemory": True,
        "enableMemory": False,
        "disableStorage": True,
        "disableStack": False,
        "enableReturnData": False,
    }
    return (
        _Way(
            name="program",
            request=usable_request(
                "debug_traceTransaction", (of.hash, {"tracer": STEP_PROGRAM}), parse_program
            ),
        ),
        _Way(
            name="structLogs",
            request=usable_request("debug_traceTransaction", (of.hash, plain), parse_struct_logs),
        ),
        _Way(
            name="vmTrace",
            request=usable_request(
                "trace_replayTransaction",
                (of.hash, ["vmTrace"]),
                lambda answer: parse_vm_trace(answer, of.root),
            ),
        ),
        _Way(
            name="vmTrace of the block",
            request=usable_request(
                "trace_replayBlockTransactions",
                (hex(ref.number), ["vmTrace"]),
                lambda answer: parse_vm_trace(find_replayed(answer, of.hash), of.root),
            ),
        ),
    )


def _block(ref: BlockRef) -> RpcRequest[tuple[str, ...]]:
    """The hashes of a block's transactions, in order."""
    block_hash = f"0x{ref.hash.hex()}"

    def parse(answer: Json) -> tuple[str, ...]:
        if not isinstance(answer, dict) or parse_hash(answer.get("hash")) != block_hash:
            raise ValueError(f"asked for block {block_hash}, came {str(answer)[:80]}")
        transactions = answer.get("transactions")
        if not isinstance(transactions, list) or len(transactions) > MAX_TRANSACTIONS:
            raise ValueError(f"expected at most {MAX_TRANSACTIONS} transaction hashes")
        hashes = tuple(parse_hash(each) for each in transactions)
        if len(set(hashes)) != len(hashes):
            raise ValueError("a transaction is in the block twice")
        return hashes

    return usable_request("eth_getBlockByHash", (block_hash, False), parse)


def _canonical(ref: BlockRef) -> RpcRequest[bool]:
    """Whether the block with this number is still the same."""

    def parse(answer: Json) -> bool:
        return isinstance(answer, dict) and parse_hash(answer.get("hash")) == f"0x{ref.hash.hex()}"

    return usable_request("eth_getBlockByNumber", (hex(ref.number), False), parse)


async def _ask(client: EndpointClient, request: RpcRequest[T]) -> tuple[T]:
    (answer,) = await client.ask((request,))
    return (request.parse(answer),)
