"""From JSON to frozen values, once, at the edge. Whatever does not fit makes the answer `Unusable`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import TypeVar

import msgspec

from consensus.errors import Refused
from consensus.fields import address_from_bytes
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.request import Json, RpcFault, Unusable
from node.chain.types import BlockRef, CallReverted, Log, Receipt

T = TypeVar("T")

MAX_UINT256_DIGITS = 66

# how clients call a halt of the EVM that everybody has at that block; reaching a node's own gas cap is none
_HALTS = (
    "revert",
    "evm error",
    "invalid opcode",
    "invalid jump",
    "stack underflow",
    "stack limit",
    "stack overflow",
)


class _Header(msgspec.Struct):
    number: str
    hash: str
    parent_hash: str = msgspec.field(name="parentHash")
    timestamp: str


class _Log(msgspec.Struct):
    address: str
    topics: list[str]
    data: str
    index: str = msgspec.field(name="logIndex")
    transaction_hash: str = msgspec.field(name="transactionHash")
    block_number: str = msgspec.field(name="blockNumber")
    block_hash: str = msgspec.field(name="blockHash")


class _FeeHistory(msgspec.Struct):
    base_fees: list[str] = msgspec.field(name="baseFeePerGas")
    rewards: list[list[str]] = msgspec.field(name="reward", default_factory=list)


class _Receipt(msgspec.Struct):
    transaction_hash: str = msgspec.field(name="transactionHash")
    block_hash: str = msgspec.field(name="blockHash")
    block_number: str = msgspec.field(name="blockNumber")
    status: str
    gas_used: str = msgspec.field(name="gasUsed")


def strict(parse: Callable[[Json], T]) -> Callable[[Json | RpcFault], T]:
    """A fault, or a shape that does not fit, makes the answer unusable; the words are for a person."""

    @wraps(parse)
    def parsed(answer: Json | RpcFault) -> T:
        if isinstance(answer, RpcFault):
            raise Unusable(f"answered {answer}")
        try:
            return parse(answer)
        except (ValueError, TypeError, Refused, msgspec.ValidationError) as error:
            raise Unusable(f"answered what is no {parse.__name__.removeprefix('parse_')} ({error})") from None

    return parsed


def quantity(text: Json) -> int:
    """A JSON-RPC quantity: `0x` and at most 64 hexadecimal digits. Raises ValueError."""
    if not isinstance(text, str) or text[:2] != "0x" or not 3 <= len(text) <= MAX_UINT256_DIGITS:
        raise ValueError(f"expected a quantity, came {str(text)[:80]}")
    if not (
        text.isascii() and text[2:].isalnum()
    ):  # int() would take signs, underscores, digits of other scripts
        raise ValueError(f"expected hexadecimal digits, came {text}")
    return int(text, 16)


def octets(text: Json, length: int | None = None) -> bytes:
    """JSON-RPC bytes: `0x` and pairs of hexadecimal digits, `length` bytes where given. Raises ValueError."""
    if not isinstance(text, str) or text[:2] != "0x":
        raise ValueError(f"expected bytes, came {str(text)[:80]}")
    raw = bytes.fromhex(text[2:])
    if 2 + 2 * len(raw) != len(text):  # fromhex() skips spaces
        raise ValueError("expected nothing but hexadecimal digits")
    if length is not None and len(raw) != length:
        raise ValueError(f"expected {length} bytes, came {len(raw)}")
    return raw


@strict
def parse_quantity(answer: Json) -> int:
    return quantity(answer)


@strict
def parse_word(answer: Json) -> bytes:
    return octets(answer, 32)


@strict
def parse_bytes(answer: Json) -> bytes:
    return octets(answer)


@strict
def parse_fee_history(answer: Json) -> tuple[int, int]:
    """The next block's base fee and the tip that the last one's transactions paid, wei for a gas."""
    history = msgspec.convert(answer, _FeeHistory)
    if not history.base_fees:
        raise ValueError("expected a base fee, came none")
    tips = [quantity(tip) for tips in history.rewards for tip in tips]
    return quantity(history.base_fees[-1]), max(tips, default=0)


def parse_call(answer: Json | RpcFault) -> bytes | CallReverted:
    """What a call returned, or that it reverted: both are the contract's own word."""
    if not isinstance(answer, RpcFault):
        return parse_bytes(answer)
    said = answer.message.lower()
    if answer.is_of_the_endpoint and "evm error" not in said:
        raise Unusable(f"answered {answer}")
    if "gas" in said or not any(words in said for words in _HALTS):
        raise Unusable(f"answered {answer}")
    try:
        return CallReverted(data=octets(answer.data) if answer.data else b"")
    except ValueError as error:
        raise Unusable(f"answered a revert with unreadable data ({error})") from None


def block_parser(
    chain_id: ChainId, *, block_hash: BlockHash | None = None, number: BlockNumber | None = None
) -> Callable[[Json | RpcFault], BlockRef | None]:
    """Reads a header, which must be the one that was asked for; None where the endpoint has no such block."""

    @strict
    def parse_block(answer: Json) -> BlockRef | None:
        if answer is None:
            return None
        header = msgspec.convert(answer, _Header)
        ref = BlockRef(
            chain_id=chain_id,
            number=BlockNumber(quantity(header.number)),
            hash=BlockHash(octets(header.hash, 32)),
            parent_hash=BlockHash(octets(header.parent_hash, 32)),
            timestamp=Seconds(quantity(header.timestamp)),
        )
        if block_hash is not None and ref.hash != block_hash:
            raise ValueError(f"asked for 0x{block_hash.hex()}, came {ref}")
        if number is not None and ref.number != number:
            raise ValueError(f"asked for number {number}, came {ref}")
        return ref

    return parse_block


def receipt_parser(transaction_hash: bytes) -> Callable[[Json | RpcFault], Receipt | None]:
    """Reads the receipt of that transaction; None where the endpoint has none."""

    @strict
    def parse_receipt(answer: Json) -> Receipt | None:
        if answer is None:
            return None
        receipt = msgspec.convert(answer, _Receipt)
        if octets(receipt.transaction_hash, 32) != transaction_hash:
            raise ValueError(f"asked for 0x{transaction_hash.hex()}, came {receipt.transaction_hash}")
        return Receipt(
            transaction_hash=transaction_hash,
            block_hash=BlockHash(octets(receipt.block_hash, 32)),
            block_number=BlockNumber(quantity(receipt.block_number)),
            succeeded=quantity(receipt.status) == 1,
            gas_used=quantity(receipt.gas_used),
        )

    return parse_receipt


def logs_parser(at: BlockRef) -> Callable[[Json | RpcFault], tuple[Log, ...]]:
    """Reads the logs of one block, each of which must name that block, in the order of their index."""

    @strict
    def parse_logs(answer: Json) -> tuple[Log, ...]:
        logs = tuple(_read_log(log) for log in msgspec.convert(answer, list[_Log]))
        for log in logs:
            if log.block_hash != at.hash or log.block_number != at.number:
                raise ValueError(f"asked for the logs of {at}, came one of 0x{log.block_hash.hex()}")
        if any(earlier.index >= later.index for earlier, later in pairwise(logs)):
            raise ValueError("expected logs in the order of their index")
        return logs

    return parse_logs


@strict
def parse_log_list(answer: Json) -> tuple[Log, ...]:
    """Logs of many blocks."""
    return tuple(_read_log(log) for log in msgspec.convert(answer, list[_Log]))


def _read_log(log: _Log) -> Log:
    return Log(
        address=address_from_bytes(octets(log.address, 20)),
        topics=tuple(octets(topic, 32) for topic in log.topics),
        data=octets(log.data),
        index=quantity(log.index),
        transaction_hash=octets(log.transaction_hash, 32),
        block_number=BlockNumber(quantity(log.block_number)),
        block_hash=BlockHash(octets(log.block_hash, 32)),
    )
