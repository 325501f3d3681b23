"""Where a simulation's state comes from: one block, by what endpoints agree on, or a genesis file.

What is not known is never zero: a genesis file says nothing of the words that it does not hold, and endpoints
that do not agree say nothing at all. Both raise `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_from_hex
from consensus.types import BlockNumber, Seconds
from node.chain.reader import ChainReader
from node.chain.types import BalanceRead, BlockRef, CodeRead, NonceRead, Read, ReadValue, StorageRead
from node.trace import Account

MAX_GENESIS_BYTES: Final = 64 * 2**20

_FOREIGN_CODE: Final = b"\xef"
"""Code that the EVM here would not run as the chain does: a delegation (EIP-7702), or a format of its own."""
_LAST_PRECOMPILE, _FIRST_ACCOUNT = 10, 0x1000
"""Between them later forks put precompiles that the EVM here lacks: it would call them empty accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account without its storage."""

    balance_wei: int
    nonce: int
    code: bytes


class StateSource(Protocol):
    """The state of one block."""

    async def account(self, account: Account) -> AccountState:
        """An account. Raises `Unavailable` where it is not known."""

    async def word(self, contract: Account, slot: int) -> int:
        """A word of storage. Raises `Unavailable` where it is not known."""


class GenesisAccount(msgspec.Struct, frozen=True):
    """An account as a genesis file writes it: quantities and bytes as hexadecimal digits with 0x."""

    balance: str = "0x0"
    nonce: str = "0x0"
    code: str = "0x"
    storage: dict[str, str] = {}


class _Genesis(msgspec.Struct, frozen=True):
    timestamp: str
    alloc: dict[str, GenesisAccount]
    number: str = "0x0"


class GenesisState:
    """The state in a genesis file. Accounts and words that it does not list are unknown, save those that
    `known_empty` names: the accounts of the transactions that are to be tried."""

    def __init__(
        self, alloc: Mapping[str, GenesisAccount], known_empty: Mapping[Account, int] | None = None
    ) -> None:
        self._accounts: dict[str, AccountState] = {}
        self._words: dict[tuple[str, int], int] = {}
        for empty, balance_wei in (known_empty or {}).items():
            self._accounts[empty] = AccountState(balance_wei=balance_wei, nonce=0, code=b"")
        try:
            for name, entry in alloc.items():
                self._accounts[name.lower()] = AccountState(
                    balance_wei=int(entry.balance, 16),
                    nonce=int(entry.nonce, 16),
                    code=bytes.fromhex(entry.code[2:]),
                )
                for slot, word in entry.storage.items():
                    self._words[(name.lower(), int(slot, 16))] = int(word, 16)
        except ValueError as error:
            raise Refused(Reason.GENESIS_INVALID, f"an account of the genesis is none: {error}") from error

    async def account(self, account: Account) -> AccountState:
        if account not in self._accounts:
            raise Unavailable(f"the genesis does not hold account {account}")
        return self._accounts[account]

    async def word(self, contract: Account, slot: int) -> int:
        if (contract, slot) not in self._words:
            raise Unavailable(f"the genesis does not hold word {slot:#x} of {contract}")
        return self._words[(contract, slot)]


def read_genesis(
    path: Path, known_empty: Mapping[Account, int] | None = None
) -> tuple[GenesisState, BlockNumber, Seconds]:
    """The state of a genesis file, and its block's number and time. Raises `Refused` (GENESIS_INVALID)."""
    try:
        if path.stat().st_size > MAX_GENESIS_BYTES:
            raise Refused(Reason.GENESIS_INVALID, f"{path} is larger than {MAX_GENESIS_BYTES} bytes")
        # typed: what is nested deeper than a genesis is never built, so that it cannot end the interpreter
        genesis = msgspec.json.decode(path.read_bytes(), type=_Genesis)
        number, timestamp = int(genesis.number, 16), int(genesis.timestamp, 16)
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(Reason.GENESIS_INVALID, f"{path} is no genesis file: {error!r}") from error
    return GenesisState(genesis.alloc, known_empty), BlockNumber(number), Seconds(timestamp)


class AgreedState:
    """One block's state, fetched as it is asked for: each value as enough endpoints agree on it."""

    def __init__(self, reader: ChainReader, at: BlockRef) -> None:
        self._reader = reader
        self._at = at
        self._accounts: dict[Account, AccountState] = {}
        self._words: dict[tuple[Account, int], int] = {}
        self._fetching = trio.Lock()  # the EVM asks for an account in three requests at once

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Those that were asked for."""
        return tuple(self._accounts)

    @property
    def words(self) -> tuple[tuple[Account, int], ...]:
        """Contract and slot of those that were asked for."""
        return tuple(self._words)

    async def prefetch(self, accounts: tuple[Account, ...], words: tuple[tuple[Account, int], ...]) -> None:
        """Fetch in one round trip what is likely to be asked for; what fails is asked for again later."""
        reads: list[Read] = [read for account in accounts for read in _reads_of(account)]
        reads += [StorageRead(account=address_from_hex(contract), slot=slot) for contract, slot in words]
        values = await self._reader.read_each(reads, self._at)
        for place, account in enumerate(accounts):
            self._keep_account(account, values[3 * place : 3 * place + 3])
        for key, value in zip(words, values[3 * len(accounts) :], strict=True):
            if isinstance(value, bytes):
                self._words[key] = int.from_bytes(value)

    async def account(self, account: Account) -> AccountState:
        async with self._fetching:
            if account not in self._accounts:
                values = await self._reader.read_each(_reads_of(account), self._at)
                self._keep_account(account, values)
                for value in values:
                    if isinstance(value, Unavailable):
                        raise value
        return self._accounts[account]

    async def word(self, contract: Account, slot: int) -> int:
        async with self._fetching:
            if (contract, slot) not in self._words:
                raw = await self._reader.get_storage(address_from_hex(contract), slot, self._at)
                self._words[(contract, slot)] = int.from_bytes(raw)
        return self._words[(contract, slot)]

    def _keep_account(self, account: Account, values: tuple[ReadValue | Unavailable, ...]) -> None:
        balance_wei, nonce, code = values
        if isinstance(balance_wei, int) and isinstance(nonce, int) and isinstance(code, bytes):
            self._accounts[account] = AccountState(balance_wei=balance_wei, nonce=nonce, code=code)


def require_runnable(account: Account, state: AccountState) -> None:
    """Raise `Unavailable` for an account that the EVM here takes for something else than the chain does."""
    if _LAST_PRECOMPILE < int(account, 16) < _FIRST_ACCOUNT and not state.code:
        raise Unavailable(f"{account} may be a precompile that is not known here")
    if state.code.startswith(_FOREIGN_CODE):
        raise Unavailable(f"the code of {account} is a delegation, or of a format that is not run here")


def _reads_of(account: Account) -> tuple[Read, ...]:
    address = address_from_hex(account)
    return (BalanceRead(account=address), NonceRead(account=address), CodeRead(account=address))
