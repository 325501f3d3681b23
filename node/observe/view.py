"""The reads of one block: agreed on, pinned by hash, asked for once."""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.address import to_checksum_address

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.types import Address, BlockNumber, Seconds
from node.chain.abi import load_artifact
from node.chain.body import BlockBody, Header, Transaction
from node.chain.reader import ChainReader
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
from node.observe.ancestry import Ancestry
from node.observe.traces import Creation, TraceGap, TraceReader
from node.trace import TransactionTrace

MAX_CACHED_READS = 4096  # far above what one policy reads of a block; beyond it reads are not kept
MAX_LOOK_BACK = 10_000  # blocks

# No key is known for it, and no contract can be made there.
RUNNER_ADDRESS = Address(to_checksum_address(keccak256(b"tocsin trap runner")[12:]))


class BlockView:
    """What a chain was at one block. Answers are kept for the life of the view; failures are not.

    `tracer` reads the traces of the contracts that it watches; a view without one has none.
    """

    def __init__(
        self,
        ref: BlockRef,
        reader: ChainReader,
        ancestry: Ancestry | None = None,
        *,
        tracer: TraceReader | None = None,
    ) -> None:
        self._ref = ref
        self._reader = reader
        self._tracer = tracer
        self._body: BlockBody | None = None
        self._receipts: tuple[Receipt, ...] | None = None
        self._traces: tuple[TransactionTrace, ...] | None = None
        self._creations: tuple[Creation, ...] | None = None
        self._ancestry = Ancestry() if ancestry is None else ancestry
        self._values: dict[Read, ReadValue] = {}
        self._ancestors: dict[int, BlockView] = {}

    @property
    def ref(self) -> BlockRef:
        """The block that every read is pinned to."""
        return self._ref

    async def eth_call(self, to: Address, data: bytes) -> bytes:
        """What the contract returns at this block. Raises `Refused(CALL_REVERTED)` when it reverts there."""
        return await self._call(CallRead(to=to, data=data))

    async def run_trap(self, data: bytes) -> bytes:
        """What the runner of traps answers to `data` at this block, when its code stands at an unused address
        for this call. Raises `Refused(CALL_REVERTED)` when it reverts."""
        return await self._call(
            CallRead(to=RUNNER_ADDRESS, data=data, code=load_artifact("TrapRunner").runtime)
        )

    async def balance(self, account: Address) -> int:
        """Native coin in wei."""
        value = await self._read(BalanceRead(account=account))
        assert isinstance(value, int)
        return value

    async def storage(self, account: Address, slot: int) -> bytes:
        """One 32-byte word of storage."""
        value = await self._read(StorageRead(account=account, slot=slot))
        assert isinstance(value, bytes)
        return value

    async def logs(
        self, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> tuple[Log, ...]:
        """The events of this block, in the order of their index."""
        value = await self._read(LogsRead(addresses=addresses, topics=topics))
        assert isinstance(value, tuple)
        return value

    async def code(self, account: Address) -> bytes:
        """The account's code, empty where it has none."""
        value = await self._read(CodeRead(account=account))
        assert isinstance(value, bytes)
        return value

    async def prefetch_codes(self, accounts: Sequence[Address]) -> None:
        """Fetch several accounts' code in one round trip."""
        await self.prefetch_reads([CodeRead(account=account) for account in accounts])

    async def nonce(self, account: Address) -> int:
        """How many transactions the account has sent up to this block, this one included."""
        value = await self._read(NonceRead(account=account))
        assert isinstance(value, int)
        return value

    async def prefetch_nonces(self, accounts: Sequence[Address]) -> None:
        """Fetch several accounts' nonces in one round trip."""
        await self.prefetch_reads([NonceRead(account=account) for account in accounts])

    async def header(self) -> Header:
        """What the block says of itself."""
        return (await self._read_body()).header

    async def transactions(self) -> tuple[Transaction, ...]:
        """The block's transactions, in order."""
        return (await self._read_body()).transactions

    async def receipts(self) -> tuple[Receipt, ...]:
        """What came of each transaction, in order."""
        if self._receipts is None:
            hashes = [transaction.hash for transaction in await self.transactions()]
            self._receipts = await self._reader.receipts(self._ref, hashes)
        return self._receipts

    async def traces(self) -> tuple[TransactionTrace, ...] | TraceGap:
        """What the transactions did to the watched contracts, or why there is no telling.

        Raises `Unavailable` for a view that was opened without a tracer.
        """
        if self._traces is None:
            traces = await self._require_tracer().read(self._ref)
            if isinstance(traces, TraceGap):
                return traces
            self._traces = traces
        return self._traces

    async def creations(self) -> tuple[Creation, ...]:
        """The contracts that this block created, in order; without those that were undone.

        Raises `Unavailable` for a block without traces, and a view that was opened without a tracer.
        """
        if self._creations is None:
            created = await self._require_tracer().read_creations(self._ref)
            if isinstance(created, TraceGap):
                raise Unavailable(f"{created}")
            self._creations = created
        return self._creations

    async def prefetch(
        self,
        calls: Sequence[tuple[Address, bytes]],
        *,
        slots: Sequence[tuple[Address, int]] = (),
        balances: Sequence[Address] = (),
        events: Sequence[tuple[Address, bytes]] = (),
    ) -> None:
        """Fetch reads in one round trip; those without an agreed answer are asked again when read."""
        await self.prefetch_reads(
            [
                *(CallRead(to=to, data=data) for to, data in calls),
                *(StorageRead(account=account, slot=slot) for account, slot in slots),
                *(BalanceRead(account=account) for account in balances),
                *(LogsRead(addresses=(address,), topics=(topic,)) for address, topic in events),
            ]
        )

    async def prefetch_reads(self, reads: Sequence[Read]) -> None:
        """Fetch several reads of any kind in one round trip."""
        missing = [read for read in dict.fromkeys(reads) if read not in self._values]
        for read, value in zip(missing, await self._reader.read_each(missing, self._ref), strict=True):
            if not isinstance(value, Unavailable):
                self._keep(read, value)

    async def ancestor(self, k: int) -> BlockView:
        """The view of the block k before this one, found by parent hashes; k = 0 is this view.

        Raises `Refused(HISTORY_TOO_SHORT)` where the chain, or our look-back, does not reach so far.
        """
        if k == 0:
            return self
        furthest = min(self._ref.number, MAX_LOOK_BACK)
        if not 0 < k <= furthest:
            raise Refused(
                Reason.HISTORY_TOO_SHORT,
                f"a look-back from {self._ref} reaches at most {furthest} blocks, came {k}",
            )
        if k not in self._ancestors:
            self._ancestors[k] = BlockView(
                await self._find_ancestor(k), self._reader, self._ancestry, tracer=self._tracer
            )
        return self._ancestors[k]

    async def before(self, seconds: Seconds) -> BlockView:
        """The view of the newest block that is at least so much older than this one; 0 is this view.

        Found by doubling and halving, since times never fall along a chain. Raises `Refused`
        (HISTORY_TOO_SHORT) as `ancestor` does.
        """
        latest = self._ref.timestamp - seconds
        furthest = min(self._ref.number, MAX_LOOK_BACK)
        too_young, k = -1, 0
        while (await self.ancestor(k)).ref.timestamp > latest:
            if k == furthest:
                raise Refused(
                    Reason.HISTORY_TOO_SHORT,
                    f"a look-back from {self._ref} reaches {furthest} blocks, and all are younger than "
                    f"{seconds} seconds before it",
                )
            too_young, k = k, min(max(1, 2 * k), furthest)
        while k - too_young > 1:
            middle = (k + too_young) // 2
            if (await self.ancestor(middle)).ref.timestamp > latest:
                too_young = middle
            else:
                k = middle
        return await self.ancestor(k)

    def _require_tracer(self) -> TraceReader:
        if self._tracer is None:
            raise Unavailable(f"the view of {self._ref} was opened without a tracer, and has no traces")
        return self._tracer

    async def _read_body(self) -> BlockBody:
        if self._body is None:
            self._body = await self._reader.body(self._ref)
        return self._body

    async def _call(self, read: CallRead) -> bytes:
        value = await self._read(read)
        if isinstance(value, CallReverted):
            raise Refused(
                Reason.CALL_REVERTED,
                f"{read.to} reverts 0x{read.data[:4].hex()} at {self._ref} with 0x{value.data[:68].hex()}",
            )
        assert isinstance(value, bytes)
        return value

    async def _find_ancestor(self, k: int) -> BlockRef:
        """By the parent hashes that we know; the rest of the way by number, from where we are canonical."""
        ref = self._ref
        for _ in range(k):
            parent = self._ancestry.get(ref.parent_hash)
            if parent is None:
                return await self._find_canonical(ref, BlockNumber(self._ref.number - k))
            ref = parent
        return ref

    async def _find_canonical(self, known: BlockRef, number: BlockNumber) -> BlockRef:
        if number == known.number - 1:
            return await self._reader.block_by_hash(known.parent_hash)
        # the known block is asked for last: had the chain left it, the ancestor could be another branch's
        ancestor, same = await self._reader.blocks_by_number((number, known.number))
        for outcome in (ancestor, same):
            if isinstance(outcome, Unavailable):
                raise outcome
        if same != known or not isinstance(ancestor, BlockRef):
            raise Unavailable(
                f"{known} is not canonical any more; block {number} before it cannot be told by number"
            )
        return ancestor

    async def _read(self, read: Read) -> ReadValue:
        if read not in self._values:
            (value,) = await self._reader.read_each((read,), self._ref)
            if isinstance(value, Unavailable):
                raise value
            self._keep(read, value)
            return value
        return self._values[read]

    def _keep(self, read: Read, value: ReadValue) -> None:
        if len(self._values) < MAX_CACHED_READS:
            self._values[read] = value
