"""Whether the next block could hold a transaction, by the state of the block before it alone.

An endpoint can invent a transaction, and anybody can sign one that will never be mined: neither may make
watchers brake a protocol. So nonce, funds and fee are what the chain itself asks for.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from consensus.errors import Unavailable
from consensus.types import ChainId
from node.chain.reader import ChainReader
from node.chain.signed import SignedTransaction
from node.chain.types import BalanceRead, BlockRef, CodeRead, NonceRead

MAX_FEE_FALL: Final = 8
"""The base fee falls by at most an eighth from block to block (EIP-1559)."""
_DELEGATION: Final = b"\xef\x01\x00"  # EIP-7702: such an account still sends


class Standing(Enum):
    """How a transaction stands to a block's state."""

    MINABLE = "the next block could hold it"
    WAITS = (
        "the next block could not hold it: an earlier one of its sender's, funds or a higher fee is missing"
    )
    PAST = "no later block can hold it: its nonce is used"
    FOREIGN = "no block of this chain can hold it"


async def compute_standing(
    signed: SignedTransaction, at: BlockRef, reader: ChainReader, *, base_fee_wei: int | None
) -> Standing:
    """How `signed` stands to the state of `at`, whose base fee is given where the chain has one.

    Raises `Unavailable` without agreed answers.
    """
    if signed.chain_id not in (None, ChainId(at.chain_id)):
        return Standing.FOREIGN
    values = await reader.read_each(
        (
            NonceRead(account=signed.sender),
            BalanceRead(account=signed.sender),
            CodeRead(account=signed.sender),
        ),
        at,
    )
    for value in values:
        if isinstance(value, Unavailable):
            raise value
    nonce, balance_wei, code = values
    assert isinstance(nonce, int)
    assert isinstance(balance_wei, int)
    assert isinstance(code, bytes)
    if code and not code.startswith(_DELEGATION):  # EIP-3607
        return Standing.FOREIGN
    if signed.nonce < nonce:
        return Standing.PAST
    costs_wei = signed.gas * signed.max_fee_wei + signed.value_wei
    least_fee_wei = 0 if base_fee_wei is None else base_fee_wei - base_fee_wei // MAX_FEE_FALL
    if signed.nonce > nonce or balance_wei < costs_wei or signed.max_fee_wei < least_fee_wei:
        return Standing.WAITS
    return Standing.MINABLE
