"""Signs, sends and follows transactions of one account on one chain.

A transaction goes to every endpoint, and again with a higher fee under the same nonce until it is in a block
or the cap is reached. Its receipt counts once enough endpoints give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_to_bytes
from consensus.types import Address, ChainId
from node.chain.parse import parse_fee_history, parse_quantity
from node.chain.reader import ChainReader
from node.chain.request import Json, RpcFault, RpcRequest
from node.chain.rpc import RpcFaulted, RpcPool
from node.chain.types import Receipt

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

T = TypeVar("T")

BUMP_NUMERATOR, BUMP_DENOMINATOR = 5, 4  # each replacement pays a quarter more
LEAST_BUMP_NUMERATOR, LEAST_BUMP_DENOMINATOR = 11, 10  # what clients ask of a replacement
MIN_TIP_WEI = 1_000_000_000  # what an empty chain asks for is no measure of what a full one takes
NONCE_HEALINGS = 3  # another process may send from the same account; not for ever
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
    """What to send; `gas_limit` is the caller's estimate with its margin."""

    chain_id: ChainId
    to: Address
    data: bytes
    gas_limit: int
    value_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What one gas may cost (EIP-1559)."""

    max_fee_wei: int
    tip_wei: int


@dataclass(slots=True)
class _Attempt:
    """One nonce and everything that was sent under it."""

    nonce: int
    fees: Fees
    hashes: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatistics:
    """How sending has gone so far."""

    sent: int
    replaced: int
    mined: int
    nonces_healed: int


class TransactionSender:
    """Sends from one account; several sends at a time get consecutive nonces."""

    def __init__(
        self, pool: RpcPool, account: LocalAccount, policy: FeePolicy, *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._pool = pool
        self._reader = ChainReader(pool)
        self._account = account
        self._policy = policy
        self._poll_seconds = poll_seconds
        self._next_nonce: int | None = None
        self._turn = trio.Lock()
        self._sent = self._replaced = self._mined = self._nonces_healed = 0

    @property
    def address(self) -> Address:
        """The account that pays."""
        return Address(str(self._account.address))

    def statistics(self) -> SenderStatistics:
        """What sending has come to so far."""
        return SenderStatistics(
            sent=self._sent, replaced=self._replaced, mined=self._mined, nonces_healed=self._nonces_healed
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
        attempt = await self._first(call)
        with trio.move_on_after(self._policy.give_up_after_seconds):
            return await self._follow(call, attempt)
        raise Unavailable(
            f"nonce {attempt.nonce} of {self.address} on chain {call.chain_id} was not mined within "
            f"{self._policy.give_up_after_seconds:g} s at up to {attempt.fees.max_fee_wei} wei; "
            f"it may still be: "
            f"{', '.join('0x' + sent.hex() for sent in attempt.hashes)}"
        )

    async def _first(self, call: Call) -> _Attempt:
        """Take the next nonce and send under it, once at a time so that no nonce is left out."""
        async with self._turn:
            for _ in range(NONCE_HEALINGS):
                nonce = await self._count_nonce() if self._next_nonce is None else self._next_nonce
                self._next_nonce = None  # unknown again, unless the chain takes this one
                attempt = _Attempt(nonce=nonce, fees=await self._current_fees())
                if await self._broadcast(call, attempt):
                    self._next_nonce = nonce + 1
                    return attempt
                self._nonces_healed += 1
        raise Unavailable(
            f"nonce {nonce} of {self.address} is taken again and again on chain {call.chain_id}; "
            "stop the other process that sends from this account"
        )

    async def _follow(self, call: Call, attempt: _Attempt) -> Receipt:
        """Look for the receipt; pay more each time it has taken too long."""
        while True:
            with trio.move_on_after(self._policy.replace_after_seconds) as patience:
                receipt = await self._wait_mined(attempt)
            if not patience.cancelled_caught:
                return receipt
            await self._replace(call, attempt)

    async def _replace(self, call: Call, attempt: _Attempt) -> None:
        """Send again with a higher fee, where there is one; what was sent may be mined all the same."""
        raised = await self._raised(attempt.fees)
        if raised is None:
            return
        attempt.fees = raised
        with suppress(Refused, Unavailable):
            self._replaced += await self._broadcast(call, attempt)

    async def _wait_mined(self, attempt: _Attempt) -> Receipt:
        while True:
            for transaction_hash in reversed(attempt.hashes):
                receipt = await self._receipt_or_none(transaction_hash)
                if receipt is not None:
                    self._mined += 1
                    return receipt
            await trio.sleep(self._poll_seconds)

    async def _receipt_or_none(self, transaction_hash: bytes) -> Receipt | None:
        try:
            return await self._reader.receipt(transaction_hash)
        except Unavailable:
            return None  # asked again until the caller's time is over

    async def _broadcast(self, call: Call, attempt: _Attempt) -> bool:
        """Sign and send; False when the nonce is taken. Raises `Refused` for what no fee or nonce heals."""
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
        try:
            await self._pool.broadcast(
                "eth_sendRawTransaction", (f"0x{bytes(signed.raw_transaction).hex()}",)
            )
        except RpcFaulted as error:
            said = error.fault.message.lower()
            if any(words in said for words in _NONCE_TAKEN):
                return False
            if not any(words in said for words in (*_ALREADY_IN, *_UNDERPRICED)):
                raise Refused(Reason.TRANSACTION_REFUSED, str(error)) from error
        attempt.hashes.append(bytes(signed.hash))
        self._sent += 1
        return True

    async def _count_nonce(self) -> int:
        """The highest count, pending ones included, that enough endpoints have reached."""
        counts = await self._gather("eth_getTransactionCount", (self.address, "pending"), parse_quantity)
        return sorted(counts, reverse=True)[self._pool.agreement - 1]

    async def _current_fees(self) -> Fees:
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
        return Fees(max_fee_wei=min(2 * base_wei + tip_wei, cap), tip_wei=tip_wei)

    async def _raised(self, fees: Fees) -> Fees | None:
        """Fees that replace those; None where the cap leaves no raise that clients would take."""
        try:
            fresh = await self._current_fees()
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
