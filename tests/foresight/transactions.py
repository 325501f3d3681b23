"""Signed transactions with good defaults, and blocks."""

from __future__ import annotations

from typing import Any

from eth_account import Account as Signer

from consensus.fields import address_from_hex, keccak256
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.signed import SignedTransaction, parse_signed
from node.chain.types import BlockRef

CHAIN = ChainId(31337)
KEY = "0x" + "4c" * 32
TARGET = "0x" + "c1" * 20
GENESIS_TIME = 1_700_000_000


def sign(key: str = KEY, **changes: Any) -> SignedTransaction:
    """A call of some contract with nonce 0, signed for the chain; fields that are None are left out."""
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": CHAIN,
        "nonce": 0,
        "maxFeePerGas": 100,
        "maxPriorityFeePerGas": 1,
        "gas": 100_000,
        "to": "0x" + "c9" * 20,
        "value": 0,
        "data": "0x",
    } | changes
    fields = {name: value for name, value in fields.items() if value is not None}
    if "to" in fields:
        fields["to"] = address_from_hex(fields["to"])
    return parse_signed(bytes(Signer.sign_transaction(fields, key).raw_transaction))


def block(number: int, branch: str = "") -> BlockRef:
    return BlockRef(
        chain_id=CHAIN,
        number=BlockNumber(number),
        hash=BlockHash(keccak256(f"{number}{branch}".encode())),
        parent_hash=BlockHash(keccak256(f"{number - 1}".encode())),
        timestamp=Seconds(GENESIS_TIME + 12 * number),
    )
