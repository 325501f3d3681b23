"""Small made-up worlds: code by a few lines of assembly, state that is known in full or in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.errors import Unavailable
from consensus.types import BlockNumber, ChainId, Seconds
from node.pending import PendingTransaction
from node.simulate.simulator import NextBlock
from node.simulate.state import AccountState
from node.trace import Account

USER, THIEF = Account("0x" + "aa" * 20), Account("0x" + "ff" * 20)
TARGET, OTHER = Account("0x" + "c1" * 20), Account("0x" + "c2" * 20)
ETHER = 10**18
BLOCK = NextBlock(chain_id=ChainId(1), number=BlockNumber(100), timestamp=Seconds(1_700_000_000))

OPCODES = {
    "STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "BLOCKHASH": 0x40, "CALLER": 0x33, "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36, "CALLDATACOPY": 0x37, "BALANCE": 0x31, "SELFBALANCE": 0x47, "POP": 0x50,
    "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55, "JUMP": 0x56, "JUMPI": 0x57, "JUMPDEST": 0x5B,
    "DUP1": 0x80, "SWAP1": 0x90, "LOG3": 0xA3, "CREATE": 0xF0, "CALL": 0xF1, "RETURN": 0xF3,
    "REVERT": 0xFD, "GAS": 0x5A, "SELFDESTRUCT": 0xFF, "ISZERO": 0x15, "NUMBER": 0x43,
}  # fmt: skip


def assemble(text: str) -> bytes:
    """Names of opcodes, and numbers, which are pushed in as many bytes as they are written with."""
    code = bytearray()
    for each in text.split():
        if each.startswith("0x"):
            raw = bytes.fromhex(each[2:])
            code += bytes([0x5F + len(raw)]) + raw
        else:
            code.append(OPCODES[each])
    return bytes(code)


PAY_ALL = assemble("0x00 0x00 0x00 0x00 SELFBALANCE CALLER GAS CALL STOP")
"""Gives all its ether to whoever calls."""

FOREVER = assemble("JUMPDEST 0x00 JUMP")

COUNT = assemble("0x07 SLOAD 0x01 ADD 0x07 SSTORE STOP")
"""Adds one to its word 7."""


def call(to: str, *, then: str = "POP") -> str:
    """Assembly of a call without data or value."""
    return f"0x00 0x00 0x00 0x00 0x00 {to} GAS CALL {then}"


@dataclass(slots=True)
class World:
    """Implements `StateSource`. Accounts and words that are not in it are empty, where it is `whole`."""

    codes: Mapping[str, bytes] = field(default_factory=dict)
    balances: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[tuple[str, int], int] = field(default_factory=dict)
    is_whole: bool = True
    asked: int = 0

    async def account(self, account: Account) -> AccountState:
        self.asked += 1
        return AccountState(
            balance_wei=self.balances.get(account, 0),
            nonce=1 if account in self.codes else 0,
            code=self.codes.get(account, b""),
        )

    async def word(self, contract: Account, slot: int) -> int:
        self.asked += 1
        if (contract, slot) not in self.words and not self.is_whole:
            raise Unavailable(f"word {slot} of {contract} is not known")
        return self.words.get((contract, slot), 0)


def pending(
    to: Account | None = TARGET,
    *,
    sender: Account = USER,
    data: bytes = b"",
    value_wei: int = 0,
    gas: int = 1_000_000,
    number: int = 1,
) -> PendingTransaction:
    return PendingTransaction(
        hash=f"0x{number:064x}", sender=sender, to=to, data=data, value_wei=value_wei, gas=gas
    )
