"""A block's header and transactions: frozen values, and how they are read from JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from consensus.fields import address_from_bytes
from consensus.types import Address, Seconds
from node.chain.parse import octets, quantity, strict
from node.chain.request import Json, RpcFault
from node.chain.types import BlockRef

MAX_TRANSACTIONS: Final = 10_000  # of one block; its gas pays for fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a block says of itself, beside its `BlockRef`."""

    ref: BlockRef
    fee_recipient: Address
    gas_limit: int
    gas_used: int
    base_fee_wei: int | None
    """For a unit of gas; None on chains without EIP-1559."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One transaction of a block."""

    hash: bytes
    index: int
    sender: Address
    to: Address | None
    """None: it creates a contract."""
    value_wei: int
    nonce: int
    gas_limit: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBody:
    """A header with the block's transactions, in order."""

    header: Header
    transactions: tuple[Transaction, ...]


class _Transaction(msgspec.Struct):
    hash: str
    index: str = msgspec.field(name="transactionIndex")
    sender: str = msgspec.field(name="from")
    value: str
    nonce: str
    gas: str
    input: str
    to: str | None = None


class _Block(msgspec.Struct):
    number: str
    hash: str
    parent_hash: str = msgspec.field(name="parentHash")
    timestamp: str
    miner: str
    gas_limit: str = msgspec.field(name="gasLimit")
    gas_used: str = msgspec.field(name="gasUsed")
    transactions: list[_Transaction]
    base_fee: str | None = msgspec.field(name="baseFeePerGas", default=None)


def body_parser(at: BlockRef) -> Callable[[Json | RpcFault], BlockBody | None]:
    """Reads a block with its transactions, which must be the one that was asked for; None where there is
    none."""

    @strict
    def parse_block_body(answer: Json) -> BlockBody | None:
        if answer is None:
            return None
        block = msgspec.convert(answer, _Block)
        told = (
            quantity(block.number),
            octets(block.hash, 32),
            octets(block.parent_hash, 32),
            Seconds(quantity(block.timestamp)),
        )
        if told != (at.number, at.hash, at.parent_hash, at.timestamp):
            raise ValueError(f"asked for {at}, came number {told[0]}, hash 0x{told[1].hex()}")
        if len(block.transactions) > MAX_TRANSACTIONS:
            raise ValueError(
                f"at most {MAX_TRANSACTIONS} transactions are read, {len(block.transactions)} came"
            )
        transactions = tuple(_read_transaction(each) for each in block.transactions)
        if [each.index for each in transactions] != list(range(len(transactions))):
            raise ValueError("expected transactions in the order of their index, from 0")
        return BlockBody(
            header=Header(
                ref=at,
                fee_recipient=address_from_bytes(octets(block.miner, 20)),
                gas_limit=quantity(block.gas_limit),
                gas_used=quantity(block.gas_used),
                base_fee_wei=None if block.base_fee is None else quantity(block.base_fee),
            ),
            transactions=transactions,
        )

    return parse_block_body


def _read_transaction(each: _Transaction) -> Transaction:
    return Transaction(
        hash=octets(each.hash, 32),
        index=quantity(each.index),
        sender=address_from_bytes(octets(each.sender, 20)),
        to=None if each.to is None else address_from_bytes(octets(each.to, 20)),
        value_wei=quantity(each.value),
        nonce=quantity(each.nonce),
        gas_limit=quantity(each.gas),
        data=octets(each.input),
    )
