"""What one transaction did, from two things that nodes tell: its tree of calls, and its storage accesses.

The tree says who called whom and what failed; the steps say what was read and written, at which depth, and
between which calls. Every source fills these two (`node/observe/call_trees.py`, `node/observe/step_logs.py`),
so that it does not matter to the trace which one it was.

    Call tree ──┐
                ├─ attach_steps ─► Call tree with accesses in order ─ outline ─► frames, native transfers
    steps ──────┘

Semantics are those of the recorded histories:

- frames are those of the watched contracts, a create by the address that it made; its selector is
  `constructor`, and a call of fewer than four bytes has none;
- what a failed frame did, and everything within it, leaves nothing; nor does a failed transaction;
- an access belongs to the contract whose storage it is, which in a delegate call is the caller, and is
  counted in every watched frame that was open then;
- `start_step` and `end_step` count entries and ends of watched frames only, and not EVM steps, which nodes
  count differently; the transaction's own call starts at -1. Only their order has a meaning;
- native coin that comes to or leaves a watched contract is a transfer of the token `NATIVE`, in the order of
  the calls that moved it. Fees, block rewards and withdrawals are no transfers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from node.trace import (
    BORROWED_CODE,
    Account,
    CallFrame,
    CallKind,
    Slot,
    StorageAccess,
    Token,
    TokenUnits,
    Transfer,
)

MAX_FRAMES: Final = 20_000  # of watched contracts in one transaction: what a recorded history may hold
MAX_STEPS: Final = 400_000  # calls and storage accesses of one transaction: 40 M gas of warm reads
MAX_KEPT_ACCESSES: Final = 2_000_000  # an access is kept once for each watched frame around it

NATIVE: Final = Token(Account("0x" + "ee" * 20))
"""The chain's own coin, as EIP-7528 names it."""

CONSTRUCTOR: Final = "constructor"
SELFDESTRUCT: Final = "selfdestruct"
"""Moves a balance, and runs nothing: it stands in a tree of calls, and is never a frame."""


class StepKind(Enum):
    """What a step of interest does."""

    LOAD = "reads a word of storage"
    STORE = "writes one"
    CALL = "begins a call or creation, at the depth of the caller"
    ENTER = "is the first step of a deeper call"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the EVM that matters here. `depth` is 1 in the transaction's own call."""

    depth: int
    kind: StepKind
    slot: int = 0
    value: int = 0
    callee: Account | None = None
    """Whom a CALL calls; None for a creation."""


@dataclass(slots=True)
class Call:
    """A node of the tree of calls; `content` holds accesses and calls in the order in which they happened."""

    kind: CallKind | str
    sender: Account
    to: Account | None
    """None only where a creation failed."""
    selector: str
    value_wei: int
    has_failed: bool
    children: list[Call] = field(default_factory=list)
    content: list[Call | tuple[Account, StorageAccess]] = field(default_factory=list)

    @property
    def is_creation(self) -> bool:
        return self.kind in (CallKind.CREATE, CallKind.CREATE2)

    def is_begun_by(self, callee: Account | None) -> bool:
        """Whether a step that calls `callee`, or for None creates, can be what begins it."""
        return self.is_creation if callee is None else self.to == callee and not self.is_creation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a transaction did to the watched contracts."""

    frames: tuple[CallFrame, ...]
    native_transfers: tuple[Transfer, ...]


def walk(root: Call) -> Iterator[Call]:
    """Every call of the tree, an outer one before those within it."""
    waiting = [root]
    while waiting:
        call = waiting.pop()
        yield call
        waiting.extend(reversed(call.children))


def touches(root: Call, watched: frozenset[Account]) -> bool:
    """Whether any call leads into a watched contract, or moves its coin."""
    return any(call.to in watched or call.sender in watched for call in walk(root))


def find_creations(root: Call) -> Iterator[tuple[Account, Account, Account]]:
    """Who sent the transaction, who created a contract, and the contract, for each of them in order, without
    what failed and all within it."""
    waiting = [root]
    while waiting:
        call = waiting.pop()
        if call.has_failed:
            continue
        if call.is_creation and call.to is not None:
            yield root.sender, call.sender, call.to
        waiting.extend(reversed(call.children))


def attach_steps(root: Call, steps: Sequence[Step]) -> None:
    """Put the storage accesses into the calls that made them. Raises `ValueError` where the two differ."""
    if len(steps) > MAX_STEPS:
        raise ValueError(f"{len(steps)} steps in one transaction; at most {MAX_STEPS} are read")
    open_calls = [_Open(root, _owner(root, None))]
    for place, step in enumerate(steps):
        if not 1 <= step.depth <= len(open_calls) + (step.kind is StepKind.ENTER):
            raise ValueError(f"a step at depth {step.depth} within {len(open_calls)} calls")
        if step.kind is StepKind.ENTER:
            continue
        while len(open_calls) > step.depth:
            open_calls.pop().require_done()
        if step.kind is StepKind.CALL:
            _begin_call(open_calls, step, following=steps[place + 1] if place + 1 < len(steps) else None)
        else:
            access = StorageAccess(Slot(step.slot), step.value, step.kind is StepKind.STORE)
            open_calls[-1].call.content.append((open_calls[-1].owner, access))
    while open_calls:
        open_calls.pop().require_done()


@dataclass(slots=True)
class _Open:
    """A call that has not ended: whose storage it works on, and which of its calls come next."""

    call: Call
    owner: Account
    begun: int = 0

    def take(self, callee: Account | None) -> Call | None:
        """The next call within, when it is the one that a step begins."""
        if self.begun < len(self.call.children):
            following = self.call.children[self.begun]
            if following.is_begun_by(callee) and following.kind != SELFDESTRUCT:
                self.begun += 1
                self.call.content.append(following)
                return following
        return None

    def require_done(self) -> None:
        """Only what ends a call may be left in the tree when the steps are over."""
        for left in self.call.children[self.begun :]:
            if left.kind != SELFDESTRUCT:
                raise ValueError(f"a {left.kind} to {left.to} is in the tree of calls and not in the steps")
            self.call.content.append(left)


def _begin_call(open_calls: list[_Open], step: Step, *, following: Step | None) -> None:
    call = open_calls[-1].take(step.callee)
    has_code = (
        following is not None and following.kind is StepKind.ENTER and following.depth == step.depth + 1
    )
    if call is not None and has_code:
        open_calls.append(_Open(call, _owner(call, open_calls[-1].owner)))
    elif call is not None:
        _Open(call, open_calls[-1].owner).require_done()
    elif has_code:
        raise ValueError(f"a call of {step.callee} is in the steps and not in the tree of calls")


def _owner(call: Call, caller: Account | None) -> Account:
    """Whose storage a call works on."""
    if call.kind in BORROWED_CODE and caller is not None:
        return caller
    return call.to or Account("")  # a creation that failed: what it did is dropped with it


def outline(root: Call, watched: frozenset[Account]) -> Outline:
    """The watched contracts' frames and native transfers. Raises `ValueError` for what is out of bounds."""
    builder = _Builder(watched)
    # a step of work is a call to enter, an access, or the end of a call
    work: list[Callable[[], None] | Call | tuple[Account, StorageAccess]] = [root]
    while work:
        item = work.pop()
        if isinstance(item, Call):
            if not item.has_failed:
                work.append(builder.enter(item, is_first=item is root))
                work.extend(reversed(item.content))
        elif isinstance(item, tuple):
            builder.access(*item)
        else:
            item()
    return builder.finish()


@dataclass(slots=True)
class _Frame:
    """A watched frame while it is built."""

    call: Call
    contract: Account
    kind: CallKind
    start: int
    parent: int | None
    end: int = 0
    accesses: dict[Account, list[StorageAccess]] = field(default_factory=dict)


class _Builder:
    """Frames in the order of their start, while the tree is walked."""

    def __init__(self, watched: frozenset[Account]) -> None:
        self._watched = watched
        self._frames: list[_Frame] = []
        self._open: list[int] = []
        self._transfers: list[Transfer] = []
        self._count = 0
        self._kept = 0

    def enter(self, call: Call, *, is_first: bool) -> Callable[[], None]:
        """Begin a call that did not fail; what is returned ends it."""
        self._move_coin(call)
        if call.to not in self._watched or call.to is None or not isinstance(call.kind, CallKind):
            return lambda: None
        kind = CallKind.FIRST_CALL if is_first and call.kind is CallKind.CALL else call.kind
        frame = _Frame(
            call=call,
            contract=call.to,
            kind=kind,
            start=-1 if is_first else self._tick(),
            parent=self._open[-1] if self._open else None,
        )
        self._frames.append(frame)
        if len(self._frames) > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES} calls of watched contracts in one transaction")
        self._open.append(len(self._frames) - 1)
        return lambda: self._leave(frame)

    def access(self, owner: Account, access: StorageAccess) -> None:
        """Count an access in every watched frame that is open."""
        self._kept += len(self._open)
        if self._kept > MAX_KEPT_ACCESSES:
            raise ValueError(f"more than {MAX_KEPT_ACCESSES} storage accesses in nested frames")
        for place in self._open:
            self._frames[place].accesses.setdefault(owner, []).append(access)

    def finish(self) -> Outline:
        return Outline(
            frames=tuple(
                CallFrame(
                    contract=frame.contract,
                    selector=frame.call.selector,
                    kind=frame.kind,
                    start_step=frame.start,
                    end_step=frame.end,
                    parent=frame.parent,
                    accesses=MappingProxyType({owner: tuple(done) for owner, done in frame.accesses.items()}),
                )
                for frame in self._frames
            ),
            native_transfers=tuple(self._transfers),
        )

    def _leave(self, frame: _Frame) -> None:
        frame.end = self._tick()
        self._open.pop()

    def _tick(self) -> int:
        self._count += 1
        return self._count - 1

    def _move_coin(self, call: Call) -> None:
        is_watched = call.sender in self._watched or call.to in self._watched
        if call.value_wei and is_watched and call.kind not in BORROWED_CODE and call.to is not None:
            self._transfers.append(Transfer(NATIVE, call.sender, call.to, TokenUnits(call.value_wei)))
