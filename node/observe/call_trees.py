"""Trees of calls from what nodes answer: Geth's `callTracer`, a program of ours, and Parity's `trace_block`.

All three tell, for each call, who called whom, with how much coin and which selector, and whether it failed.
`callTracer` is what nodes do fastest. It nests its answer as deep as the calls, and JSON of some 500 calls
and more is not read: whoever wanted to hide could nest so deep. `CALL_PROGRAM` tells it as a flat list. Both
are pinned by the block's hash; `trace_block` takes a number, so that each of its rows must name the hash.

A parser raises `ValueError`, `TypeError`, `RecursionError` or msgspec's error for what is no such answer;
whoever asked makes the answer `Unusable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from consensus.fields import address_from_bytes
from consensus.types import Address
from node.chain.parse import octets, quantity
from node.chain.request import Json
from node.observe.execution import CONSTRUCTOR, SELFDESTRUCT, Call
from node.trace import BORROWED_CODE, Account, CallKind

MAX_CALLS: Final = 200_000  # of one block: more than an answer of 16 MiB holds
MAX_DEPTH: Final = 1_025  # EVM's 1,024 and the transaction's own call

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SELECTOR: Final = re.compile(r"0x[0-9a-fA-F]{8}", re.ASCII)
_GETH_KINDS: Final[dict[str, CallKind | str]] = {
    "CALL": CallKind.CALL,
    "STATICCALL": CallKind.STATIC_CALL,
    "DELEGATECALL": CallKind.DELEGATE_CALL,
    "CALLCODE": CallKind.CALL_CODE,
    "CREATE": CallKind.CREATE,
    "CREATE2": CallKind.CREATE2,
    "SELFDESTRUCT": SELFDESTRUCT,
}
_CREATIONS: Final = frozenset({CallKind.CREATE, CallKind.CREATE2})
_PARITY_KINDS: Final = {kind.lower(): value for kind, value in _GETH_KINDS.items()}


class _GethLog(msgspec.Struct):
    address: str
    topics: list[str]
    data: str = "0x"
    position: str = "0x0"


class _GethCall(msgspec.Struct):
    type: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    input: str = "0x"
    value: str | None = None
    error: str | None = None
    calls: list[_GethCall] | None = None
    logs: list[_GethLog] | None = None


class _GethRow(msgspec.Struct):
    result: _GethCall
    transaction_hash: str | None = msgspec.field(name="txHash", default=None)


CALL_PROGRAM: Final = """{
calls: [], open: [],
word: function(number) {
  return number === undefined || number === null ? null : '0x' + number.toString(16);
},
enter: function(frame) {
  this.open.push(this.calls.length);
  if (this.calls.length <= MOST) {
    this.calls.push([this.open.length, frame.getType(), toHex(frame.getFrom()), toHex(frame.getTo()),
      this.word(frame.getValue()), toHex(frame.getInput()).slice(0, 10), 0]);
  }
},
exit: function(result) {
  var at = this.open.pop();
  if (result.getError() !== undefined && at < this.calls.length) { this.calls[at][6] = 1; }
},
fault: function(log, db) {},
result: function(ctx, db) {
  return {calls: [[0, ctx.type, toHex(ctx.from), toHex(ctx.to), this.word(ctx.value),
    toHex(ctx.input).slice(0, 10), ctx.error === undefined ? 0 : 1]].concat(this.calls)};
}
}""".replace("MOST", str(MAX_CALLS))
"""Runs on the node, in the tracing interface that Geth defined; ES5, which every client's engine takes."""


class _ProgramCall(msgspec.Struct, array_like=True):
    depth: int
    type: str
    sender: str
    to: str | None
    value: str | None
    selector: str
    has_failed: int


class _ProgramCalls(msgspec.Struct):
    calls: list[_ProgramCall]


class _ProgramRow(msgspec.Struct):
    result: _ProgramCalls
    transaction_hash: str | None = msgspec.field(name="txHash", default=None)


class _ParityAction(msgspec.Struct):
    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    call_type: str | None = msgspec.field(name="callType", default=None)
    creation_method: str | None = msgspec.field(name="creationMethod", default=None)
    input: str = "0x"
    value: str | None = None
    address: str | None = None
    refund_address: str | None = msgspec.field(name="refundAddress", default=None)
    balance: str | None = None


class _ParityResult(msgspec.Struct):
    address: str | None = None


class _ParityRow(msgspec.Struct):
    type: str
    action: _ParityAction
    trace_address: list[int] = msgspec.field(name="traceAddress")
    block_hash: str = msgspec.field(name="blockHash")
    transaction_hash: str | None = msgspec.field(name="transactionHash", default=None)
    result: _ParityResult | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLog:
    """An event that a call emitted, of a transaction that no block holds."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionCalls:
    """One transaction's tree."""

    hash: str
    root: Call


def parse_call_tracer(answer: Json, transactions: Sequence[str]) -> tuple[TransactionCalls, ...]:
    """`debug_traceBlockByHash` with the callTracer; the block's transactions, in their order, are known."""
    rows = msgspec.convert(answer, list[_GethRow])
    _require_all([row.transaction_hash for row in rows], transactions)
    return tuple(
        TransactionCalls(hash=transaction, root=_geth_tree(row.result))
        for row, transaction in zip(rows, transactions, strict=True)
    )


def parse_called(answer: Json, name: str) -> tuple[TransactionCalls, tuple[CallLog, ...], str | None]:
    """`debug_traceCall` with the callTracer and its logs: the tree, the events of calls that did not fail in
    their order, and how the call failed if it did. `name` is the transaction's hash."""
    row = msgspec.convert(answer, _GethCall)
    if row.to is None and row.error is None:
        raise ValueError("a creation without the address of what it created")
    return TransactionCalls(hash=name, root=_geth_tree(row)), _geth_logs(row), row.error


def parse_call_program(answer: Json, transactions: Sequence[str]) -> tuple[TransactionCalls, ...]:
    """`debug_traceBlockByHash` with `CALL_PROGRAM`."""
    rows = msgspec.convert(answer, list[_ProgramRow])
    _require_all([row.transaction_hash for row in rows], transactions)
    return tuple(
        TransactionCalls(hash=transaction, root=_program_tree(row.result.calls))
        for row, transaction in zip(rows, transactions, strict=True)
    )


def parse_trace_block(
    answer: Json, transactions: Sequence[str], block_hash: str
) -> tuple[TransactionCalls, ...]:
    """`trace_block`; rows of rewards are of no transaction, and left out."""
    rows = [
        row
        for row in msgspec.convert(answer, list[_ParityRow])
        if row.type.lower() != "reward" and row.transaction_hash is not None
    ]
    known = set(transactions)
    roots: dict[str, Call] = {}
    nodes: dict[tuple[str, tuple[int, ...]], Call] = {}
    for row in rows:
        if row.block_hash.lower() != block_hash:
            raise ValueError(f"expected traces of block {block_hash}, came one of {row.block_hash[:66]}")
        of = parse_hash(row.transaction_hash)
        if of not in known:
            raise ValueError(f"a trace of {of}, which is not in the block")
        _add_row(roots, nodes, row, of)
    if len(roots) != len(transactions):
        raise ValueError(
            f"expected traces of the block's {len(transactions)} transactions, came {len(roots)}"
        )
    return tuple(TransactionCalls(hash=each, root=roots[each]) for each in transactions)


def parse_hash(text: Json) -> str:
    """32 bytes as 0x and 64 digits in lower case. Raises `ValueError`."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise ValueError(f"expected a hash, came {str(text)[:80]}")
    return text.lower()


def parse_account(text: Json) -> Account:
    """An address in lower case. Raises `ValueError`."""
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise ValueError(f"expected an address, came {str(text)[:80]}")
    return Account(text.lower())


def _require_all(told: Sequence[str | None], transactions: Sequence[str]) -> None:
    """The rows of a block stand in its order; whether they name their transaction depends on the node."""
    if len(told) != len(transactions):
        raise ValueError(
            f"expected a trace of each of the block's {len(transactions)} transactions, came {len(told)}"
        )
    for transaction_hash, expected in zip(told, transactions, strict=True):
        if transaction_hash is not None and transaction_hash.lower() != expected:
            raise ValueError(f"expected the trace of {expected}, came one of {transaction_hash[:66]}")


def _program_tree(rows: Sequence[_ProgramCall]) -> Call:
    open_calls: list[Call] = []
    for count, row in enumerate(rows, start=1):
        _require_bounded(count, row.depth + 1)
        if not (0 < row.depth <= len(open_calls) or (row.depth == 0 and not open_calls)):
            raise ValueError(f"a call at depth {row.depth} after one at {len(open_calls) - 1}")
        kind = _geth_kind(row.type)
        to = None if row.has_failed and kind in _CREATIONS else row.to
        call = _call(
            kind, row.sender, to, calldata=row.selector, value=row.value, has_failed=row.has_failed != 0
        )
        del open_calls[row.depth :]
        if open_calls:
            _require_caller(open_calls[-1], call)
            open_calls[-1].children.append(call)
        open_calls.append(call)
    if not open_calls:
        raise ValueError("expected at least the transaction's own call, came none")
    return open_calls[0]


def _require_caller(outer: Call, inner: Call) -> None:
    # Reth and anvil repeat a call where it ends itself, and do not tell who gets its coin.
    if outer.kind not in BORROWED_CODE and inner.sender != outer.to and not outer.has_failed:
        raise ValueError(f"a call by {inner.sender} within one of {outer.to}; a selfdestruct is told so")


def _geth_kind(name: str) -> CallKind | str:
    kind = _GETH_KINDS.get(name)
    if kind is None:
        raise ValueError(f"a call of the unknown type {name[:40]!r}")
    return kind


def _geth_tree(row: _GethCall) -> Call:
    root = _geth_call(row)
    waiting = [(row, root, 1)]
    count = 1
    while waiting:
        row, call, depth = waiting.pop()
        for inner in row.calls or ():
            child = _geth_call(inner)
            call.children.append(child)
            waiting.append((inner, child, depth + 1))
            count += 1
        _require_bounded(count, depth)
    return root


def _geth_logs(root: _GethCall) -> tuple[CallLog, ...]:
    """An event stands before the calls at and after its position, and after those before it."""
    logs: list[CallLog] = []
    waiting: list[_GethCall | _GethLog] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _GethLog):
            logs.append(
                CallLog(
                    address=address_from_bytes(octets(item.address, 20)),
                    topics=tuple(octets(topic, 32) for topic in item.topics),
                    data=octets(item.data),
                )
            )
        elif item.error is None:
            inside: list[tuple[int, int, _GethCall | _GethLog]] = [
                (quantity(log.position), 0, log) for log in item.logs or ()
            ]
            inside += [(place, 1, call) for place, call in enumerate(item.calls or ())]
            inside.sort(key=lambda each: each[:2])
            waiting.extend(each for _, _, each in reversed(inside))
    return tuple(logs)


def _geth_call(row: _GethCall) -> Call:
    return _call(
        _geth_kind(row.type),
        row.sender,
        row.to,
        calldata=row.input,
        value=row.value,
        has_failed=row.error is not None,
    )


def _add_row(
    roots: dict[str, Call], nodes: dict[tuple[str, tuple[int, ...]], Call], row: _ParityRow, of: str
) -> None:
    """Hang a flat row under the call that its address names; parents come before what is within them."""
    address = tuple(row.trace_address)
    call = _parity_call(row)
    if (of, address) in nodes:
        raise ValueError(f"trace address {list(address)[:8]} of {of} is there twice")
    nodes[(of, address)] = call
    _require_bounded(len(nodes), len(address) + 1)
    if not address:
        roots[of] = call
        return
    parent = nodes.get((of, address[:-1]))
    if parent is None or address[-1] != len(parent.children):
        raise ValueError(f"trace address {list(address)[:8]} of {of} is out of order")
    parent.children.append(call)


def _parity_call(row: _ParityRow) -> Call:
    action = row.action
    kind = row.type.lower()
    has_failed = row.error is not None
    if kind == "call":
        called = _PARITY_KINDS.get((action.call_type or "").lower())
        if called is None or called == SELFDESTRUCT:
            raise ValueError(f"a call of the unknown type {str(action.call_type)[:40]!r}")
        return _call(
            called,
            action.sender,
            action.to,
            calldata=action.input,
            value=action.value,
            has_failed=has_failed,
        )
    if kind == "create":
        made = row.result.address if row.result is not None else None
        method = CallKind.CREATE2 if (action.creation_method or "").lower() == "create2" else CallKind.CREATE
        return _call(method, action.sender, made, calldata="0x", value=action.value, has_failed=has_failed)
    if kind in ("suicide", "selfdestruct"):
        return _call(
            SELFDESTRUCT,
            action.address,
            action.refund_address,
            calldata="0x",
            value=action.balance,
            has_failed=has_failed,
        )
    raise ValueError(f"a trace of the unknown type {row.type[:40]!r}")


def _call(
    kind: CallKind | str,
    sender: str | None,
    to: str | None,
    *,
    calldata: str,
    value: str | None,
    has_failed: bool,
) -> Call:
    is_creation = kind in _CREATIONS
    if to is None and not (is_creation and has_failed):
        raise ValueError(f"a {kind} without an address that it leads to")
    moves_coin = kind != CallKind.STATIC_CALL and value is not None
    return Call(
        kind=kind,
        sender=parse_account(sender),
        to=None if to is None else parse_account(to),
        selector=CONSTRUCTOR if is_creation else _selector(calldata),
        value_wei=quantity(value) if moves_coin else 0,
        has_failed=has_failed,
    )


def _selector(calldata: str) -> str:
    matched = _SELECTOR.match(calldata)
    return "" if matched is None else matched[0].lower()


def _require_bounded(calls: int, depth: int) -> None:
    if calls > MAX_CALLS:
        raise ValueError(f"more than {MAX_CALLS} calls; they are not read any further")
    if depth > MAX_DEPTH:
        raise ValueError(f"calls nested deeper than {MAX_DEPTH}")
