"""Transactions as traces, made by hand: whatever a property depends on stands in the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from consensus.types import BlockNumber
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
    compute_parents,
)

VAULT = Account("0x" + "aa" * 20)
OTHER_VAULT = Account("0x" + "ab" * 20)
USER = Account("0x" + "11" * 20)
COIN = Token(Account("0x" + "cc" * 20))
SHARE = Token(Account("0x" + "dd" * 20))

DEPOSIT = "0xd0e30db0"
WITHDRAW = "0x2e1a7d4d"
BORROW = "0xc5ebeaec"
REPAY = "0x371fd8e6"


def read(slot: int, value: int = 1) -> StorageAccess:
    return StorageAccess(Slot(slot), value, False)


def write(slot: int, value: int = 1) -> StorageAccess:
    return StorageAccess(Slot(slot), value, True)


def call(
    selector: str = DEPOSIT,
    *,
    contract: Account = VAULT,
    span: tuple[int, int] = (10, 20),
    kind: CallKind = CallKind.CALL,
    accesses: Sequence[StorageAccess] | Mapping[Account, Sequence[StorageAccess]] = (write(7),),
) -> CallFrame:
    """A call that writes one word, unless said otherwise; `make_transaction` finds its parent."""
    by_contract = accesses if isinstance(accesses, Mapping) else {contract: accesses}
    return CallFrame(
        contract=contract,
        selector=selector,
        kind=kind,
        start_step=span[0],
        end_step=span[1],
        parent=None,
        accesses={where: tuple(done) for where, done in by_contract.items()},
    )


def direct(selector: str = DEPOSIT, **details: object) -> CallFrame:
    """A call by an account without code."""
    return call(selector, span=(-1, 50), kind=CallKind.FIRST_CALL, **details)  # type: ignore[arg-type]


def transfer(
    units: int, *, sender: Account = USER, receiver: Account = VAULT, token: Token = COIN
) -> Transfer:
    return Transfer(token, sender, receiver, TokenUnits(units))


def make_transaction(
    *frames: CallFrame, transfers: Iterable[Transfer] = (), block: int = 1, index: int = 0
) -> TransactionTrace:
    ordered = sorted(frames, key=lambda frame: (frame.start_step, -frame.end_step))
    parents = compute_parents([(frame.start_step, frame.end_step) for frame in ordered])
    return TransactionTrace(
        hash=f"0x{block:032x}{index:032x}",
        block_number=BlockNumber(block),
        index=index,
        frames=tuple(
            CallFrame(
                contract=frame.contract,
                selector=frame.selector,
                kind=frame.kind,
                start_step=frame.start_step,
                end_step=frame.end_step,
                parent=parent,
                accesses=frame.accesses,
            )
            for frame, parent in zip(ordered, parents, strict=True)
        ),
        transfers=tuple(transfers),
    )


def deposit(units: int = 100, *, block: int = 1) -> TransactionTrace:
    """A user pays in, by a direct call."""
    return make_transaction(direct(DEPOSIT), transfers=[transfer(units)], block=block)


def withdrawal(units: int, *, block: int = 1) -> TransactionTrace:
    """A user takes out, by a direct call."""
    return make_transaction(
        direct(WITHDRAW), transfers=[transfer(units, sender=VAULT, receiver=USER)], block=block
    )
