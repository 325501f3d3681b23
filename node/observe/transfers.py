"""Token movements from a block's events.

An ERC-20 `Transfer(address indexed, address indexed, uint256)` has three topics and 32 bytes of data. The
same event of ERC-721 has four topics, since the last argument is indexed too, and names a thing instead of an
amount; so have tokens of older makes other shapes. What has not the shape of ERC-20 is no transfer here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from consensus.fields import keccak256
from consensus.types import Address
from node.chain.types import Log
from node.trace import ZERO_ACCOUNT, Account, Token, TokenUnits, Transfer

TRANSFER: Final = keccak256(b"Transfer(address,address,uint256)")

_TOPICS, _WORD, _PADDING = 3, 32, bytes(12)


class Event(Protocol):
    """What is needed of an event: a block's `Log`, or one that a simulated transaction would emit."""

    @property
    def address(self) -> Address: ...
    @property
    def topics(self) -> tuple[bytes, ...]: ...
    @property
    def data(self) -> bytes: ...


def read_transfer(log: Event) -> Transfer | None:
    """The transfer that an event tells of; None where it is no ERC-20 transfer."""
    if len(log.topics) != _TOPICS or log.topics[0] != TRANSFER or len(log.data) != _WORD:
        return None
    _, sender, receiver = log.topics
    if sender[:12] != _PADDING or receiver[:12] != _PADDING:
        return None
    return Transfer(
        Token(Account(log.address.lower())),
        Account(f"0x{sender[12:].hex()}"),
        Account(f"0x{receiver[12:].hex()}"),
        TokenUnits(int.from_bytes(log.data, "big")),
    )


def transfers_by_transaction(
    logs: Iterable[Log], watched: frozenset[Account]
) -> Mapping[str, tuple[Transfer, ...]]:
    """The transfers that count, by transaction hash, in the order of the events: those from or to a watched
    contract, and mints and burns of a watched token. What a token's users send each other does not."""
    found: dict[str, tuple[Transfer, ...]] = {}
    for log in logs:
        transfer = read_transfer(log)
        if transfer is not None and counts(transfer, watched):
            of = f"0x{log.transaction_hash.hex()}"
            found[of] = (*found.get(of, ()), transfer)
    return found


def counts(transfer: Transfer, watched: frozenset[Account]) -> bool:
    """Whether a transfer has to do with the watched contracts."""
    ends = {transfer.sender, transfer.receiver}
    return not watched.isdisjoint(ends) or (Account(transfer.token) in watched and ZERO_ACCOUNT in ends)
