"""Signs, sends and follows transactions of one account on one chain.

A transaction goes to every endpoint, and again with a higher fee under the same nonce until it is in a block;
at the cap the same bytes are sent again, in case the pools forgot them. Its receipt counts once enough
endpoints give the same.

Nonces heal themselves. One that another process took is passed over; where another transaction was mined
under ours, the call goes out again under the next; and a nonce below ours that nobody here looks after, which
would hold ours up for ever, is used up by an empty transfer to ourselves. The account belongs to this
process: what another one leaves unmined below ours is replaced.

Where there are ways past the public pool, a transaction goes there alone first, anew for each block; into the
public pool when none of them takes it, or when it is in no block after some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_to_bytes
from consensus.types import Address, BlockNumber, ChainId
from node.chain.parse import parse_fee_history, parse_quantity
from node.chain.reader import ChainReader
from node.chain.request import Json, RpcFault, RpcRequest
from node.chain.routes import Route
from node.chain.rpc import RpcFaulted, RpcPool
from node.chain.types import Receipt

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

T = TypeVar("T")

_log = structlog.get_logger("sender")

BUMP_NUMERATOR, BUMP_DENOMINATOR = 5, 4  # each replacement pays a quarter more
LEAST_BUMP_NUMERATOR, LEAST_BUMP_DENOMINATOR = 11, 10  # what clients ask of a replacement
MIN_TIP_WEI = 1_000_000_000  # what an empty chain asks for is no measure of what a full one takes
NONCE_HEALINGS = 3  # another process may send from the same account; not for ever
MAX_CLEARED = 16  # nonces below ours that are used up at a time
TRANSFER_GAS = 21_000
POLL_SECONDS = 0.25

_ALREADY_IN = ("already known", "already imported", "known transaction")
_NONCE_TAKEN = ("nonce too low", "nonce is too low", "old nonce", "nonce has already been used")
_UNDERPRICED = ("underpriced", "fee too low", "less than block base fee", "max fee per gas less than")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """How much a transaction may cost, and how long it may take."""

    cap_wei_per_gas: int
    replace_after_seconds: float
    give_up_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What to send; `gas_limit` is the caller's estimate with its margin.

    `least_tip_wei` is what it takes to come before another transaction: paid as far as the cap allows.
    """

    chain_id: ChainId
    to: Address
    data: bytes
    gas_limit: int
    value_wei: int = 0
    least_tip_wei: int = 0
    behind: tuple[bytes, ...] = ()
    """Others' signed transactions that this one shall come right before, where a way past the pool can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What one gas may cost (EIP-1559)."""

    max_fee_wei: int
    tip_wei: int


@dataclass(slots=True)
class _Attempt:
    """One nonce and everything that was sent under it."""

    call: Call
    nonce: int
    fees: Fees
    hashes: list[bytes] = field(default_factory=list)
    is_public: bool = True
    first_block: int = 0
    """The number of the first block that it was offered for past the public pool."""
    offered_for: int = 0

    def describe(self) -> str:
        return ", ".join(f"0x{sent.hex()}" for sent in self.hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatistics:
    """How sending has gone so far."""

    sent: int
    replaced: int
    mined: int
    nonces_healed: int
    """Nonces that were taken before we sent, or while we waited."""
    gone_public: int
    """Transactions that no way past the public pool brought into a block."""
    nonces_cleared: int
    """Transactions that went out only to use up a nonce below ours."""


class TransactionSender:
    """Sends from one account; several sends at a time get consecutive nonces."""

    def __init__(
        self,
        pool: RpcPool,
        account: LocalAccount,
        policy: FeePolicy,
        *,
        poll_seconds: float = POLL_SECONDS,
        routes: Sequence[Route] = (),
        public_after_blocks: int = 0,
    ) -> None:
        self._routes = tuple(routes)
        self._public_after_blocks = public_after_blocks
        self._pool = pool
        self._reader = ChainReader(pool)
        self._account = account
        self._policy = policy
        self._poll_seconds = poll_seconds
        self._in_flight: dict[int, _Attempt] = {}
        self._clearing: dict[int, Fees] = {}
        self._turn = trio.Lock()
        self._sent = self._replaced = self._mined = self._gone_public = 0
        self._nonces_healed = self._nonces_cleared = 0

    @property
    def knows_other_ways(self) -> bool:
        """Whether there are ways past the public pool."""
        return bool(self._routes)

    @property
    def address(self) -> Address:
        """The account that pays."""
        return Address(str(self._account.address))

    def statistics(self) -> SenderStatistics:
        """What sending has come to so far."""
        return SenderStatistics(
            sent=self._sent,
            replaced=self._replaced,
            mined=self._mined,
            gone_public=self._gone_public,
            nonces_healed=self._nonces_healed,
            nonces_cleared=self._nonces_cleared,
        )

    async def send(self, call: Call) -> Receipt:
        """Send until it is in a block; the receipt says whether it succeeded there.

        Raises `Refused` when the chain is another (WRONG_CHAIN), asks for more than the cap (FEE_CAP_REACHED)
        or refuses the transaction (TRANSACTION_REFUSED); `Unavailable` when it is not mined in time, which it
        still may be.
        """
        if call.chain_id != self._pool.chain_id:
            raise Refused(
                Reason.WRONG_CHAIN, f"this account sends on chain {self._pool.chain_id}, came {call.chain_id}"
            )
        attempts = [await self._first(call)]
        with trio.move_on_after(self._policy.give_up_after_seconds):
            return await self._follow_all(attempts)
        raise Unavailable(
            f"nonce {attempts[-1].nonce} of {self.address} on chain {call.chain_id} was not mined within "
            f"{self._policy.give_up_after_seconds:g} s at up to {attempts[-1].fees.max_fee_wei} wei; "
            f"it may still be: {', '.join(each.describe() for each in attempts)}"
        )

    async def _follow_all(self, attempts: list[_Attempt]) -> Receipt:
        """Follow the one that was sent, and another for each whose nonce went elsewhere."""
        while True:
            attempt = attempts[-1]
            try:
                receipt = await self._follow(attempt)
            finally:
                del self._in_flight[attempt.nonce]
            if receipt is not None:
                return receipt
            self._nonces_healed += 1
            if len(attempts) == NONCE_HEALINGS:
                raise self._nonce_contested(attempt.nonce)
            attempts.append(await self._first(attempt.call))

    async def _first(self, call: Call) -> _Attempt:
        """Take the next nonce and send under it, once at a time so that no nonce is left out."""
        async with self._turn:
            for _ in range(NONCE_HEALINGS):
                attempt = await self._begin(call)
                if await self._broadcast(attempt):
                    self._in_flight[attempt.nonce] = attempt
                    return attempt
                self._nonces_healed += 1
        raise self._nonce_contested(attempt.nonce)

    async def _begin(self, call: Call) -> _Attempt:
        nonce, fees = await self._next_nonce(), await self._current_fees(call.least_tip_wei)
        attempt = _Attempt(call=call, nonce=nonce, fees=fees)
        if self._routes:
            attempt.is_public = False
            attempt.first_block = attempt.offered_for = await self._reader.latest_number() + 1
        return attempt

    async def _next_nonce(self) -> int:
        """After what waits in the endpoints' pools, and after what we sent ourselves, seen there or not."""
        ours = max(self._in_flight, default=-1) + 1
        return max(ours, await self._count_nonce("pending"))

    def _nonce_contested(self, nonce: int) -> Unavailable:
        return Unavailable(
            f"nonce {nonce} of {self.address} is taken again and again on chain {self._pool.chain_id}; "
            "stop the other process that sends from this account"
        )

    async def _follow(self, attempt: _Attempt) -> Receipt | None:
        """Look for the receipt; pay more each time it has taken too long. None: the nonce went to another."""
        was_lost = False
        replace_at = trio.current_time() + self._policy.replace_after_seconds
        while True:
            # asked before the receipts: a nonce that was used up by then has its receipt by now
            is_used_up = await self._is_used_up(attempt.nonce)
            receipts = [await self._receipt_or_unknown(each) for each in reversed(attempt.hashes)]
            for receipt in receipts:
                if isinstance(receipt, Receipt):
                    self._mined += 1
                    return receipt
            is_lost = is_used_up and all(receipt is None for receipt in receipts)
            if is_lost and was_lost:
                return None
            was_lost = is_lost  # seen twice: endpoints that agree on one may lag with the other
            if not attempt.is_public:
                with suppress(Unavailable):
                    await self._offer_again(attempt)
            if not is_lost and trio.current_time() >= replace_at:
                with suppress(Refused, Unavailable):  # what was sent may be mined all the same
                    await self._clear_way(attempt)
                    await self._replace(attempt)
                replace_at = trio.current_time() + self._policy.replace_after_seconds
            await trio.sleep(self._poll_seconds)

    async def _offer_again(self, attempt: _Attempt) -> None:
        """Offer for the next block what was not in the last one; publicly, once that was often enough."""
        next_block = await self._reader.latest_number() + 1
        if next_block <= attempt.offered_for:
            return
        attempt.offered_for = next_block
        if next_block >= attempt.first_block + self._public_after_blocks:
            self._go_public(attempt)
        await self._broadcast(attempt)

    def _go_public(self, attempt: _Attempt) -> None:
        attempt.is_public = True
        self._gone_public += 1
        _log.info("transaction.public", chain_id=attempt.call.chain_id, nonce=attempt.nonce)

    async def _is_used_up(self, nonce: int) -> bool:
        try:
            return await self._count_nonce("latest") > nonce
        except Unavailable:
            return False

    async def _receipt_or_unknown(self, transaction_hash: bytes) -> Receipt | Unavailable | None:
        try:
            return await self._reader.receipt(transaction_hash)
        except Unavailable as unavailable:
            return unavailable  # asked again until the caller's time is over

    async def _replace(self, attempt: _Attempt) -> None:
        """Send again with a higher fee, or at the cap the same once more."""
        raised = await self._raised(attempt.fees, attempt.call.least_tip_wei)
        if raised is None:
            await self._broadcast(attempt)
            return
        attempt.fees = raised
        self._replaced += await self._broadcast(attempt)

    async def _clear_way(self, attempt: _Attempt) -> None:
        """Use up nonces below this one that nobody here looks after: gaps, or what an earlier life left."""
        mined = await self._count_nonce("latest")
        self._clearing = {nonce: fees for nonce, fees in self._clearing.items() if nonce >= mined}
        blocking = [nonce for nonce in range(mined, attempt.nonce) if nonce not in self._in_flight]
        for nonce in blocking[:MAX_CLEARED]:
            before = self._clearing.get(nonce)
            fees = attempt.fees if before is None else await self._raised(before) or before
            self._clearing[nonce] = fees
            nothing = Call(chain_id=attempt.call.chain_id, to=self.address, data=b"", gas_limit=TRANSFER_GAS)
            self._nonces_cleared += await self._broadcast(_Attempt(call=nothing, nonce=nonce, fees=fees))

    async def _broadcast(self, attempt: _Attempt) -> bool:
        """Sign and send; False when the nonce is taken. Raises `Refused` for what no fee or nonce heals."""
        call = attempt.call
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": call.chain_id,
                "nonce": attempt.nonce,
                "to": address_to_bytes(call.to),
                "data": call.data,
                "value": call.value_wei,
                "gas": call.gas_limit,
                "maxFeePerGas": attempt.fees.max_fee_wei,
                "maxPriorityFeePerGas": attempt.fees.tip_wei,
            }
        )
        raw = bytes(signed.raw_transaction)
        if not attempt.is_public:
            was_taken = await self._offer(raw, attempt)
            if not was_taken or not self._public_after_blocks:
                self._go_public(attempt)
        if not attempt.is_public:
            self._note_sent(attempt, bytes(signed.hash))
            return True
        try:
            await self._pool.broadcast("eth_sendRawTransaction", (f"0x{raw.hex()}",))
        except RpcFaulted as error:
            said = error.fault.message.lower()
            if any(words in said for words in _NONCE_TAKEN):
                return False
            if not any(words in said for words in (*_ALREADY_IN, *_UNDERPRICED)):
                raise Refused(Reason.TRANSACTION_REFUSED, str(error)) from error
        self._note_sent(attempt, bytes(signed.hash))
        return True

    def _note_sent(self, attempt: _Attempt, transaction_hash: bytes) -> None:
        if transaction_hash not in attempt.hashes:
            attempt.hashes.append(transaction_hash)
            self._sent += 1

    async def _offer(self, raw: bytes, attempt: _Attempt) -> bool:
        """Offer it by every way past the public pool at once; whether any took it."""
        taken = False

        async def offer(route: Route) -> None:
            nonlocal taken
            try:
                await route.offer(
                    raw,
                    block=BlockNumber(attempt.offered_for),
                    last_block=BlockNumber(attempt.first_block + self._public_after_blocks),
                    behind=attempt.call.behind,
                )
            except Unavailable as unavailable:
                _log.warning("route.failed", chain_id=attempt.call.chain_id, detail=str(unavailable))
            else:
                taken = True

        async with trio.open_nursery() as nursery:
            for route in self._routes:
                nursery.start_soon(offer, route)
        return taken

    async def _count_nonce(self, at: Literal["latest", "pending"]) -> int:
        """The highest count, mined or with what waits besides, that enough endpoints have reached."""
        counts = await self._gather("eth_getTransactionCount", (self.address, at), parse_quantity)
        return sorted(counts, reverse=True)[self._pool.agreement - 1]

    async def _current_fees(self, least_tip_wei: int = 0) -> Fees:
        """What the next block costs by the endpoints' middle answer. Raises `Refused(FEE_CAP_REACHED)`."""
        quotes = sorted(await self._gather("eth_feeHistory", ("0x1", "latest", [50]), parse_fee_history))
        base_wei, tip_wei = quotes[len(quotes) // 2]
        tip_wei = max(tip_wei, MIN_TIP_WEI)
        cap = self._policy.cap_wei_per_gas
        if base_wei + tip_wei > cap:
            raise Refused(
                Reason.FEE_CAP_REACHED,
                f"chain {self._pool.chain_id} asks {base_wei + tip_wei} wei for a gas, the cap is {cap}; "
                "raise the cap, or wait",
            )
        # what it takes to be first may be more than the cap leaves: then as much as there is
        tip_wei = max(tip_wei, min(least_tip_wei, cap - base_wei))
        return Fees(max_fee_wei=min(2 * base_wei + tip_wei, cap), tip_wei=tip_wei)

    async def _raised(self, fees: Fees, least_tip_wei: int = 0) -> Fees | None:
        """Fees that replace those; None where the cap leaves no raise that clients would take."""
        try:
            fresh = await self._current_fees(least_tip_wei)
        except (Refused, Unavailable):
            fresh = fees  # the bump alone
        raised = Fees(
            max_fee_wei=min(max(_bump(fees.max_fee_wei), fresh.max_fee_wei), self._policy.cap_wei_per_gas),
            tip_wei=min(max(_bump(fees.tip_wei), fresh.tip_wei), self._policy.cap_wei_per_gas),
        )
        enough = all(
            LEAST_BUMP_DENOMINATOR * new >= LEAST_BUMP_NUMERATOR * old
            for new, old in ((raised.max_fee_wei, fees.max_fee_wei), (raised.tip_wei, fees.tip_wei))
        )
        return raised if enough else None

    async def _gather(
        self, method: str, params: tuple[Json, ...], parse: Callable[[Json | RpcFault], T]
    ) -> tuple[T, ...]:
        values = await self._pool.gather(RpcRequest(method=method, params=params, parse=parse))
        if len(values) < self._pool.agreement:
            raise Unavailable(
                f"{method} on chain {self._pool.chain_id} needs {self._pool.agreement} answers, "
                f"came {len(values)}"
            )
        return values


def _bump(fee_wei: int) -> int:
    return -(-fee_wei * BUMP_NUMERATOR // BUMP_DENOMINATOR)
