"""The storage accesses of one transaction, in order, from three kinds of answer that nodes give.

- program: `debug_traceTransaction` with `STEP_PROGRAM`, on Geth, Erigon, Reth, Nethermind and anvil; the
  answer holds accesses and calls alone.
- struct logs: `debug_traceTransaction` without a tracer, on the same, on anvil with `--steps-tracing`; every
  step with its stack, so that a long transaction does not fit into an answer.
- vmTrace: `trace_replayTransaction`, or of a whole block `trace_replayBlockTransactions`, on Erigon, Reth and
  Nethermind, the latter on anvil too; as large.

All three give each read and write with its value and its place between calls. `prestateTracer` and
`stateDiff` do not: they say what changed from the transaction's start to its end, not what was read, in which
order or in which call, and so they are not used. A parser raises `ValueError`, `TypeError` or msgspec's error
for what is no such answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from node.chain.parse import octets, quantity
from node.chain.request import Json
from node.observe.call_trees import parse_account
from node.observe.execution import MAX_STEPS, SELFDESTRUCT, Call, Step, StepKind
from node.observe.opcodes import (
    CALLS,
    CODES,
    COPIES,
    CREATIONS,
    HALT,
    OPCODES,
    SLOAD,
    SSTORE,
    SWAPS,
    Opcode,
)
from node.trace import Account

MAX_RAW_STEPS: Final = 4_000_000  # what 60 M gas pay for is more; an answer of 16 MiB holds fewer
_OF_INTEREST: Final = CALLS | CREATIONS | {SLOAD, SSTORE}
_PRECOMPILES: Final = frozenset(Account(f"0x{number:040x}") for number in (*range(0x01, 0x12), 0x100))
_ADDRESS_MASK: Final = (1 << 160) - 1

STEP_PROGRAM: Final = """{
steps: [], depth: 1, read: null,
add: function(row) { if (this.steps.length <= MOST) { this.steps.push(row); } },
hex: function(number) { return '0x' + number.toString(16); },
step: function(log, db) {
  var depth = log.getDepth(), op = log.op.toNumber();
  if (this.read !== null) {
    if (depth === this.depth) { this.read.push(this.hex(log.stack.peek(0))); this.add(this.read); }
    this.read = null;
  }
  if (depth > this.depth) { this.add([depth, 'enter']); }
  this.depth = depth;
  if (op === 0x54) { this.read = [depth, 'load', this.hex(log.stack.peek(0))]; }
  else if (op === 0x55) {
    this.add([depth, 'store', this.hex(log.stack.peek(0)), this.hex(log.stack.peek(1))]);
  } else if (op === 0xf0 || op === 0xf5) { this.add([depth, 'create']); }
  else if (op === 0xf1 || op === 0xf2 || op === 0xf4 || op === 0xfa) {
    this.add([depth, 'call', this.hex(log.stack.peek(1))]);
  }
},
fault: function(log, db) {},
result: function(ctx, db) { return {steps: this.steps}; }
}""".replace("MOST", str(MAX_STEPS))
"""Runs on the node, in the tracing interface that Geth defined; ES5, which every client's engine takes."""


class _ProgramAnswer(msgspec.Struct):
    steps: list[list[int | str]]


class _StructLog(msgspec.Struct):
    op: str
    depth: int
    stack: list[str] | None = None


class _StructLogs(msgspec.Struct):
    steps: list[_StructLog] = msgspec.field(name="structLogs")


class _VmEffect(msgspec.Struct):
    push: list[str] | None = None


class _VmOperation(msgspec.Struct):
    program_counter: int = msgspec.field(name="pc")
    effect: _VmEffect | None = msgspec.field(name="ex", default=None)
    inner: dict[str, Any] | None = msgspec.field(name="sub", default=None)
    name: str | None = msgspec.field(name="op", default=None)


class _VmTrace(msgspec.Struct):
    code: str
    operations: list[_VmOperation] = msgspec.field(name="ops")


class _Replayed(msgspec.Struct):
    vm_trace: dict[str, Any] | None = msgspec.field(name="vmTrace", default=None)


def parse_program(answer: Json) -> tuple[Step, ...]:
    """What `STEP_PROGRAM` answers."""
    rows = msgspec.convert(answer, _ProgramAnswer).steps
    _require_bounded(len(rows))
    return tuple(_parse_row(row) for row in rows)


def _parse_row(row: Sequence[int | str]) -> Step:
    match row:
        case [int(depth), "load", str(slot), str(value)]:
            return Step(depth, StepKind.LOAD, slot=quantity(slot), value=quantity(value))
        case [int(depth), "store", str(slot), str(value)]:
            return Step(depth, StepKind.STORE, slot=quantity(slot), value=quantity(value))
        case [int(depth), "call", str(callee)]:
            return Step(depth, StepKind.CALL, callee=_account(quantity(callee)))
        case [int(depth), "create"]:
            return Step(depth, StepKind.CALL)
        case [int(depth), "enter"]:
            return Step(depth, StepKind.ENTER)
    raise ValueError(f"a step of an unknown form: {str(row)[:80]}")


def parse_struct_logs(answer: Json) -> tuple[Step, ...]:
    """Geth's own logs, with stacks. Nodes that log nothing where code ran are told apart by an empty list."""
    logs = msgspec.convert(answer, _StructLogs).steps
    if not logs:
        raise ValueError("expected a log for each step, came none: the node does not keep them")
    if len(logs) > MAX_RAW_STEPS:
        raise ValueError(f"{len(logs)} steps; at most {MAX_RAW_STEPS} are read")
    steps: list[Step] = []
    depth = 1
    for place, log in enumerate(logs):
        if log.depth > depth:
            steps.append(Step(log.depth, StepKind.ENTER))
        depth = log.depth
        code = CODES.get(log.op)
        if code not in _OF_INTEREST:
            continue
        stack = log.stack or []
        following = logs[place + 1] if place + 1 < len(logs) else None
        if code == SLOAD:
            if following is not None and following.depth == depth:
                read = _word(_top(following.stack or [], 0))
                steps.append(Step(depth, StepKind.LOAD, slot=_word(_top(stack, 0)), value=read))
        elif code == SSTORE:
            slot, value = _word(_top(stack, 0)), _word(_top(stack, 1))
            steps.append(Step(depth, StepKind.STORE, slot=slot, value=value))
        elif code in CREATIONS:
            steps.append(Step(depth, StepKind.CALL))
        else:
            steps.append(Step(depth, StepKind.CALL, callee=_account(_word(_top(stack, 1)))))
        _require_bounded(len(steps))
    return tuple(steps)


def parse_vm_trace(answer: Json, root: Call) -> tuple[Step, ...]:
    """The `vmTrace` of `trace_replayTransaction`, for a transaction whose tree of calls is known.

    It names no opcodes and few operands, so the stack is followed with what each operation pushed.
    """
    replayed = msgspec.convert(answer, _Replayed)
    if replayed.vm_trace is None:
        raise ValueError("expected a vmTrace, came none")
    first = _VmFrame(replayed.vm_trace, root, depth=1)
    if not first.operations:
        raise ValueError("expected a vmTrace with operations, came an empty one")
    steps: list[Step] = []
    open_frames = [first]
    count = 0
    while open_frames:
        inner = open_frames[-1].advance(steps.append)
        count += 1
        _require_bounded(len(steps))
        if count > MAX_RAW_STEPS:
            raise ValueError(f"more than {MAX_RAW_STEPS} steps; they are not read any further")
        if inner is not None:
            open_frames.append(inner)
        elif open_frames[-1].is_done:
            open_frames.pop()
    return tuple(steps)


def find_replayed(answer: Json, transaction_hash: str) -> Json:
    """One transaction's row of `trace_replayBlockTransactions`."""
    if not isinstance(answer, list):
        raise TypeError(f"expected a list of replayed transactions, came {str(answer)[:80]}")
    for row in answer:
        if isinstance(row, dict) and str(row.get("transactionHash")).lower() == transaction_hash:
            return row
    raise ValueError(f"transaction {transaction_hash} is not among the {len(answer)} that were replayed")


class _VmFrame:
    """One frame of a vmTrace, with the stack as far as it is known: None is a word that nobody told."""

    def __init__(self, raw: dict[str, Any], call: Call, *, depth: int) -> None:
        trace = msgspec.convert(raw, _VmTrace)
        self._code = octets(trace.code)
        self.operations = trace.operations
        self._depth = depth
        self._next = 0
        self._stack: list[int | None] = []
        self._children = deque(child for child in call.children if child.kind != SELFDESTRUCT)

    @property
    def is_done(self) -> bool:
        return self._next >= len(self.operations)

    def advance(self, emit: Callable[[Step], None]) -> _VmFrame | None:
        """Take one operation; the frame within it, if it begins one that has code."""
        if self.is_done:
            return None
        operation = self.operations[self._next]
        self._next += 1
        code = self._code_of(operation)
        effect = OPCODES.get(code, HALT)
        if len(self._stack) < effect.pops:  # the frame failed here, as the tree of calls says too
            self._next = len(self.operations)
            return None
        told = [quantity(word) for word in (operation.effect.push or [])] if operation.effect else None
        callee = _account(self._known(1)) if code in CALLS else None
        if operation.name is not None and callee in _PRECOMPILES:
            # Reth and anvil, which name their operations, hang inner traces on the calls in order, and have
            # none for a precompile: from there on each hangs on another call than its own.
            raise ValueError(f"a call of the precompile {callee}, after which inner traces are misplaced")
        for step in self._steps(code, told, callee):
            emit(step)
        self._apply(code, effect, told)
        return self._enter(code, callee, operation, emit)

    def _enter(
        self, code: int, callee: Account | None, operation: _VmOperation, emit: Callable[[Step], None]
    ) -> _VmFrame | None:
        """The frame that a call begins, if it has code."""
        if code not in CALLS and code not in CREATIONS:
            return None
        following = self._children[0] if self._children else None
        if following is None or not following.is_begun_by(callee):
            return None
        self._children.popleft()
        inner = (
            None if operation.inner is None else _VmFrame(operation.inner, following, depth=self._depth + 1)
        )
        if inner is None or not inner.operations:
            return None
        emit(Step(inner._depth, StepKind.ENTER))
        return inner

    def _code_of(self, operation: _VmOperation) -> int:
        """By its name where that is told: Reth and anvil leave the code of a constructor away."""
        if operation.name is not None:
            code = CODES.get(operation.name.upper())
            if code is None and not self.is_done:  # an undefined one ends its frame
                raise ValueError(f"an operation of the unknown name {operation.name[:40]!r}")
            return CODES["INVALID"] if code is None else code
        if operation.program_counter < 0 or not self._code:
            raise ValueError(
                f"an operation at {operation.program_counter} of {len(self._code)} bytes of code"
            )
        # beyond its end, code is followed by zeros, which is STOP
        at = operation.program_counter
        return self._code[at] if at < len(self._code) else CODES["STOP"]

    def _steps(self, code: int, told: list[int] | None, callee: Account | None) -> Iterator[Step]:
        if code == SLOAD:
            if told:  # else it ran out of gas, and the frame has failed
                yield Step(self._depth, StepKind.LOAD, slot=self._known(0), value=told[-1])
        elif code == SSTORE:
            yield Step(self._depth, StepKind.STORE, slot=self._known(0), value=self._known(1))
        elif code in CREATIONS or code in CALLS:
            yield Step(self._depth, StepKind.CALL, callee=callee)

    def _known(self, below_top: int) -> int:
        word = self._stack[-1 - below_top]
        if word is None:
            raise ValueError("a word that the trace does not tell is used as a slot, value or address")
        return word

    def _apply(self, code: int, effect: Opcode, told: list[int] | None) -> None:
        """Bring the stack up to date. Nodes differ in what they tell of copies and swaps: these are ours."""
        stack = self._stack
        if code in COPIES:
            stack.append(stack[-effect.pops])
        elif code in SWAPS:
            stack[-1], stack[-effect.pops] = stack[-effect.pops], stack[-1]
        else:
            if effect.pops:
                del stack[-effect.pops :]
            is_complete = told is not None and len(told) == effect.pushes
            stack.extend(told if told is not None and is_complete else [None] * effect.pushes)


def _top(stack: Sequence[str], below_top: int) -> str:
    if len(stack) <= below_top:
        raise ValueError(f"expected at least {below_top + 1} words on the stack, came {len(stack)}")
    return stack[-1 - below_top]


def _word(text: str) -> int:
    """A word of a stack: with 0x or, as Nethermind writes it, without."""
    return quantity(text if text.startswith("0x") else f"0x{text}")


def _account(word: int) -> Account:
    return parse_account(f"0x{word & _ADDRESS_MASK:040x}")


def _require_bounded(steps: int) -> None:
    if steps > MAX_STEPS:
        raise ValueError(f"more than {MAX_STEPS} storage accesses and calls in one transaction")
