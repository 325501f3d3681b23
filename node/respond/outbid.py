"""What it takes to come before a transaction that waits: the tip that outbids it.

Block builders take what pays them most. A response to a pending transaction therefore offers more than that
transaction does, within the operator's cap; who attacks for much can pay more than any cap, which is what
bundles are for.
"""

from __future__ import annotations

from typing import Final

import msgspec

from consensus.errors import Unavailable
from consensus.fields import keccak256
from node.chain.parse import parse_fee_history, quantity, strict
from node.chain.request import Json, RpcRequest
from node.chain.rpc import RpcPool

RAISE_DENOMINATOR: Final = 8  # an eighth above the other's tip
LEAST_RAISE_WEI: Final = 1_000_000_000


class _Transaction(msgspec.Struct, rename="camel"):
    block_hash: str | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None


async def fetch_tip_to_outbid(pool: RpcPool, transaction_hash: bytes) -> int:
    """The tip, in wei for a gas, that comes before this transaction in the next block.

    0 where nobody knows it as pending. Each endpoint has a pool of its own: the middle answer of those that
    know it counts, so that one cannot have us pay up to the cap. Raises `Unavailable` without a base fee.
    """
    paid = sorted(
        offer
        for offer in await pool.gather(
            RpcRequest(
                method="eth_getTransactionByHash",
                params=(f"0x{transaction_hash.hex()}",),
                parse=parse_offer,
            )
        )
        if offer is not None
    )
    if not paid:
        return 0
    history = RpcRequest(method="eth_feeHistory", params=("0x1", "latest", [50]), parse=parse_fee_history)
    bases = sorted(base_wei for base_wei, _ in await pool.gather(history))
    if not bases:
        raise Unavailable(f"no endpoint of chain {pool.chain_id} tells a base fee; ask again later")
    max_fee_wei, tip_wei = paid[len(paid) // 2]
    effective_wei = min(tip_wei, max(0, max_fee_wei - bases[len(bases) // 2]))
    return effective_wei + max(effective_wei // RAISE_DENOMINATOR, LEAST_RAISE_WEI)


async def fetch_raw(pool: RpcPool, transaction_hash: bytes) -> bytes | None:
    """A pending transaction as it was signed, for a bundle; None where no endpoint has it, or offers this."""
    try:
        told = await pool.call("eth_getRawTransactionByHash", (f"0x{transaction_hash.hex()}",))
        raw = bytes.fromhex(str(told).removeprefix("0x"))
    except (Unavailable, ValueError):
        return None
    return raw if keccak256(raw) == transaction_hash else None


@strict
def parse_offer(answer: Json) -> tuple[int, int] | None:
    """What a transaction pays for a gas: at most, and above the base fee; None where none is pending."""
    if answer is None:
        return None
    told = msgspec.convert(answer, _Transaction)
    if told.block_hash is not None:
        return None
    if told.max_fee_per_gas is not None and told.max_priority_fee_per_gas is not None:
        return quantity(told.max_fee_per_gas), quantity(told.max_priority_fee_per_gas)
    if told.gas_price is None:
        raise ValueError("expected the fees of a pending transaction, came none")
    price = quantity(told.gas_price)
    return price, price
