"""Reads of one chain, pinned to a block by its hash (EIP-1898), each agreed on by m of n endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from consensus.errors import Unavailable
from consensus.types import Address, BlockHash, BlockNumber, ChainId
from node.chain.body import BlockBody, body_parser
from node.chain.parse import (
    block_parser,
    logs_parser,
    parse_bytes,
    parse_call,
    parse_log_list,
    parse_quantity,
    parse_word,
    receipt_parser,
)
from node.chain.request import Json, RpcRequest
from node.chain.rpc import NoAgreement, RpcPool
from node.chain.types import (
    BalanceRead,
    BlockRef,
    CallRead,
    CallReverted,
    CodeRead,
    Log,
    LogsRead,
    NonceRead,
    Read,
    ReadValue,
    Receipt,
    StorageRead,
)

T = TypeVar("T")


class ChainReader:
    """What a chain says at a named block. Raises `Unavailable` where too few endpoints say the same."""

    def __init__(self, pool: RpcPool) -> None:
        self._pool = pool

    @property
    def chain_id(self) -> ChainId:
        return self._pool.chain_id

    async def latest_number(self) -> BlockNumber:
        """The highest number that `agreement` endpoints have reached, of those that answered in time."""
        heights = sorted(
            await self._pool.gather(RpcRequest(method="eth_blockNumber", params=(), parse=parse_quantity)),
            reverse=True,
        )
        if len(heights) < self._pool.agreement:
            raise Unavailable(
                f"eth_blockNumber on chain {self.chain_id} needs {self._pool.agreement} answers, "
                f"came {len(heights)}"
            )
        return BlockNumber(heights[self._pool.agreement - 1])

    async def latest(self) -> BlockRef:
        """The newest block that `agreement` endpoints have."""
        return await self.block_by_number(await self.latest_number())

    async def block_by_hash(self, block_hash: BlockHash) -> BlockRef:
        """The block with this hash. Raises `Unavailable` where it is not (yet) known to enough endpoints."""
        (ref,) = await self._pool.agree((self._by_hash(block_hash),))
        return _require_known(ref, f"block 0x{block_hash.hex()} of chain {self.chain_id}")

    async def block_by_number(self, number: BlockNumber) -> BlockRef:
        """The canonical block with this number. Raises `Unavailable` where enough endpoints have none."""
        (ref,) = await self.blocks_by_number((number,))
        if isinstance(ref, Unavailable):
            raise ref
        return _require_known(ref, f"block {number} of chain {self.chain_id}")

    async def blocks_by_number(
        self, numbers: Sequence[BlockNumber]
    ) -> tuple[BlockRef | Unavailable | None, ...]:
        """Each number's canonical block, None where enough endpoints have none, or why there is no answer."""
        return await self._pool.agree_each([self._by_number(number) for number in numbers])

    async def eth_call(
        self, to: Address, data: bytes, at: BlockRef, *, gas: int | None = None
    ) -> bytes | CallReverted:
        """What a contract returns at that block, or that it reverts there."""
        value = await self._read_one(CallRead(to=to, data=data, gas=gas), at)
        assert isinstance(value, bytes | CallReverted)
        return value

    async def get_balance(self, account: Address, at: BlockRef) -> int:
        """Native coin in wei."""
        value = await self._read_one(BalanceRead(account=account), at)
        assert isinstance(value, int)
        return value

    async def get_storage(self, account: Address, slot: int, at: BlockRef) -> bytes:
        """One 32-byte word of storage."""
        value = await self._read_one(StorageRead(account=account, slot=slot), at)
        assert isinstance(value, bytes)
        return value

    async def get_logs(
        self, at: BlockRef, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> tuple[Log, ...]:
        """The events of that block, by its hash, in the order of their index."""
        value = await self._read_one(LogsRead(addresses=addresses, topics=topics), at)
        assert isinstance(value, tuple)
        return value

    async def get_logs_between(
        self, address: Address, topics: tuple[bytes | None, ...], first: BlockNumber, last: BlockNumber
    ) -> tuple[Log, ...]:
        """One contract's events from block `first` to `last`, by number: for settled history only."""
        query: dict[str, Json] = {"address": address, "topics": _topics(topics), "fromBlock": hex(first)}
        query["toBlock"] = hex(last)
        (logs,) = await self._pool.agree(
            (RpcRequest(method="eth_getLogs", params=(query,), parse=parse_log_list),)
        )
        return logs

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The receipt that enough endpoints give; None while they have none."""
        request = RpcRequest(
            method="eth_getTransactionReceipt",
            params=(f"0x{transaction_hash.hex()}",),
            parse=receipt_parser(transaction_hash),
            is_weak=_is_absent,
        )
        (receipt,) = await self._pool.agree((request,))
        return receipt

    async def body(self, at: BlockRef) -> BlockBody:
        """A block's header and transactions. Raises `Unavailable` where too few endpoints have it."""
        request = RpcRequest(
            method="eth_getBlockByHash",
            params=(f"0x{at.hash.hex()}", True),
            parse=body_parser(at),
            is_weak=_is_absent,
        )
        (body,) = await self._pool.agree((request,))
        return _require_known(body, f"{at}")

    async def receipts(self, at: BlockRef, transactions: Sequence[bytes]) -> tuple[Receipt, ...]:
        """The receipts of a block's transactions, named by hash, in their order, in one round trip.

        Raises `Unavailable` where too few endpoints have one, or one is of another block by now.
        """
        found = await self._pool.agree(
            [
                RpcRequest(
                    method="eth_getTransactionReceipt",
                    params=(f"0x{each.hex()}",),
                    parse=receipt_parser(each),
                    is_weak=_is_absent,
                )
                for each in transactions
            ]
        )
        receipts = tuple(_require_known(each, f"a receipt of {at}") for each in found)
        for receipt in receipts:
            if receipt.block_hash != at.hash:
                raise Unavailable(
                    f"transaction 0x{receipt.transaction_hash.hex()} of {at} is in block "
                    f"0x{receipt.block_hash.hex()} now"
                )
        return receipts

    async def read_each(self, reads: Sequence[Read], at: BlockRef) -> tuple[ReadValue | NoAgreement, ...]:
        """Several reads of one block in one round trip: for each its value, or why there is none."""
        return await self._pool.agree_each([_request(read, at) for read in reads])

    async def _read_one(self, read: Read, at: BlockRef) -> ReadValue:
        (value,) = await self._pool.agree((_request(read, at),))
        return value

    def _by_hash(self, block_hash: BlockHash) -> RpcRequest[BlockRef | None]:
        return RpcRequest(
            method="eth_getBlockByHash",
            params=(f"0x{block_hash.hex()}", False),
            parse=block_parser(self.chain_id, block_hash=block_hash),
            is_weak=_is_absent,
        )

    def _by_number(self, number: BlockNumber) -> RpcRequest[BlockRef | None]:
        return RpcRequest(
            method="eth_getBlockByNumber",
            params=(hex(number), False),
            parse=block_parser(self.chain_id, number=number),
            is_weak=_is_absent,
        )


def _is_absent(answer: object) -> bool:
    return answer is None


def _require_known(found: T | None, what: str) -> T:
    if found is None:
        raise Unavailable(f"{what} is not known to the endpoints that must agree on it; ask again later")
    return found


def _request(read: Read, at: BlockRef) -> RpcRequest[ReadValue]:
    pinned: Json = {"blockHash": f"0x{at.hash.hex()}", "requireCanonical": True}
    match read:
        case CallRead(to=to, data=data, gas=gas, code=code):
            call: dict[str, Json] = {"to": to, "data": f"0x{data.hex()}"}
            if gas is not None:
                call["gas"] = hex(gas)
            overrides: tuple[Json, ...] = ({to: {"code": f"0x{code.hex()}"}},) if code else ()
            return RpcRequest(method="eth_call", params=(call, pinned, *overrides), parse=parse_call)
        case BalanceRead(account=account):
            return RpcRequest(method="eth_getBalance", params=(account, pinned), parse=parse_quantity)
        case StorageRead(account=account, slot=slot):
            return RpcRequest(
                method="eth_getStorageAt", params=(account, hex(slot), pinned), parse=parse_word
            )
        case CodeRead(account=account):
            return RpcRequest(method="eth_getCode", params=(account, pinned), parse=parse_bytes)
        case NonceRead(account=account):
            return RpcRequest(
                method="eth_getTransactionCount", params=(account, pinned), parse=parse_quantity
            )
        case LogsRead(addresses=addresses, topics=topics):
            query: dict[str, Json] = {"blockHash": f"0x{at.hash.hex()}", "topics": _topics(topics)}
            if addresses:
                query["address"] = list(addresses)
            return RpcRequest(method="eth_getLogs", params=(query,), parse=logs_parser(at))


def _topics(topics: tuple[bytes | None, ...]) -> list[Json]:
    return [None if topic is None else f"0x{topic.hex()}" for topic in topics]
