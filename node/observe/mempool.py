"""Pending transactions as an endpoint tells them: heard and polled, each told once, malformed ones counted.

    eth_subscribe ─► hashes that wait ─► hear_signed, at once ─┐
    filter        ─► poll, poll_signed, each interval ─────────┴─► each transaction once

A websocket that breaks, says nothing or names what is not there costs nothing but time: the poll tells all.
Nobody agrees on a mempool: one endpoint's word is all there is. So nothing is signed on that word: `poll`
gives what is told, for looking on; `poll_signed` builds each transaction's own bytes from it, whose hash and
sender are then computed and not believed. A private transaction is in none; it is seen in its block.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import Any, Final

import trio

from consensus.errors import Reason, Refused, Unavailable
from node.chain.parse import octets, quantity
from node.chain.request import Json
from node.chain.rpc import RpcFaulted, RpcPool
from node.chain.signed import SignedTransaction, encode_signed, parse_signed
from node.chain.types import BlockRef
from node.observe.subscription import MAX_FRUITLESS, Topic, listen
from node.pending import PendingTransaction
from node.trace import Account

MAX_REMEMBERED: Final = 65_536
"""Hashes that are known, so that none is told twice; the oldest leave."""
MAX_POLLED: Final = 512
"""New transactions that are fetched at one poll; the others are counted as passed over."""
MAX_ANNOUNCED: Final = 512
"""Announced hashes that wait to be fetched; the poll tells the others."""


class MempoolFollower:
    """Polls a filter of pending transactions, which every client has, and sets it anew when it is gone; hears
    of them at once where the endpoint has a websocket (`listen`, `hear_signed`).

    The pool is of one endpoint: a filter is known to the one that made it.
    """

    def __init__(self, pool: RpcPool) -> None:
        self._pool = pool
        self._filter: Json = None
        self._known: OrderedDict[str, None] = OrderedDict()
        self.refused = 0
        """Transactions that were malformed."""
        self.passed_over = 0
        """Transactions beyond what one poll takes."""
        self.unread = 0
        """Signed transactions of types that are not run."""
        self.unfounded = 0
        """Announcements that named no transaction: malformed, or the endpoint gives none of that hash."""
        self.reconnects = 0
        """Times that a websocket broke, or could not be opened."""
        self._announced: deque[str] = deque()
        self._heard = trio.Event()
        self._fruitless = 0

    async def listen(self) -> None:
        """Hear what the endpoint's websocket announces, until cancelled; returns where it has none."""
        async with trio.open_nursery() as nursery:
            for endpoint in self._pool.websockets:
                nursery.start_soon(
                    partial(listen, endpoint, Topic.PENDING, hear=self._hear, broke=self._count_break)
                )

    async def hear_signed(self) -> SignedTransaction | None:
        """Waits for one announcement, and gives its transaction; None: there is nothing new in it.

        `listen` must run beside it.
        """
        while not self._announced:
            self._heard = trio.Event()
            await self._heard.wait()
        transaction_hash = self._announced.popleft()
        if transaction_hash in self._known:
            return None
        try:
            answer = await self._pool.call("eth_getTransactionByHash", (transaction_hash,))
        except Unavailable:  # the poll says why
            answer = None
        if transaction_hash in self._known:  # the poll was faster
            return None
        if answer is None:  # not remembered: the endpoint may have it when the poll names it
            self._count_unfounded()
            return None
        self._remember(transaction_hash)
        self._fruitless = 0
        return self._parse_signed(answer)

    def _hear(self, announced: Any) -> bool:
        try:
            transaction_hash = f"0x{octets(announced, 32).hex()}"
        except ValueError:
            self._count_unfounded()
            return False
        if (
            transaction_hash in self._known
            or self._fruitless >= MAX_FRUITLESS
            or len(self._announced) >= MAX_ANNOUNCED
        ):
            return False
        self._announced.append(transaction_hash)
        self._heard.set()
        return True

    def _count_unfounded(self) -> None:
        self.unfounded += 1
        self._fruitless += 1

    def _count_break(self) -> None:
        self.reconnects += 1

    async def poll_signed(self) -> tuple[SignedTransaction, ...]:
        """What is new, by its signed bytes. Raises `Unavailable` as `poll` does."""
        found = (self._parse_signed(answer) for answer in await self._poll_answers())
        return tuple(each for each in found if each is not None)

    def _parse_signed(self, answer: Json) -> SignedTransaction | None:
        try:
            return parse_signed(encode_signed(answer))
        except Refused as refused:
            if refused.reason is Reason.PENDING_UNREAD:
                self.unread += 1
            else:
                self.refused += 1
            return None

    async def poll(self) -> tuple[PendingTransaction, ...]:
        """What is new. Raises `Unavailable` where the endpoint has no answer, or no such filter."""
        found = []
        for answer in await self._poll_answers():
            try:
                found.append(parse_pending(answer))
            except Refused:
                self.refused += 1
        return tuple(found)

    async def _poll_answers(self) -> list[Json]:
        if self._filter is None:
            self._filter = await self._pool.call("eth_newPendingTransactionFilter")
        try:
            hashes = await self._pool.call("eth_getFilterChanges", (self._filter,))
        except RpcFaulted as fault:
            self._filter = None  # endpoints forget filters that nobody asks for
            raise Unavailable(
                f"the filter of pending transactions is gone, the next poll sets one: {fault}"
            ) from fault
        if not isinstance(hashes, list):
            raise Unavailable(f"a list of pending transactions was expected, came {str(hashes)[:80]}")
        new = [each for each in dict.fromkeys(map(str, hashes)) if each not in self._known]
        self.passed_over += max(0, len(new) - MAX_POLLED)
        answers: list[Json] = []
        for transaction_hash in new[:MAX_POLLED]:
            self._remember(transaction_hash)
            answer = await self._pool.call("eth_getTransactionByHash", (transaction_hash,))
            if answer is not None:  # else mined, or dropped
                self._fruitless = 0  # there is something to announce: its websocket is heard again
                answers.append(answer)
        return answers

    def _remember(self, transaction_hash: str) -> None:
        self._known[transaction_hash] = None
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


async def read_transactions(pool: RpcPool, at: BlockRef) -> tuple[PendingTransaction, ...]:
    """What a block did hold, for those that no mempool showed. Raises `Unavailable` without an answer, and
    `Refused` (PENDING_INVALID) where it is malformed."""
    block = await pool.call("eth_getBlockByHash", (f"0x{at.hash.hex()}", True))
    transactions = block.get("transactions") if isinstance(block, dict) else None
    if not isinstance(transactions, list):
        raise Unavailable(f"{at} with its transactions was expected, came {str(block)[:80]}")
    return tuple(parse_pending(each) for each in transactions)


def parse_pending(answer: Any) -> PendingTransaction:
    """A transaction as JSON-RPC gives it. Raises `Refused` (PENDING_INVALID)."""
    try:
        to = answer.get("to")
        return PendingTransaction(
            hash=f"0x{octets(answer['hash'], 32).hex()}",
            sender=_account(answer["from"]),
            to=None if to is None else _account(to),
            data=octets(answer["input"]),
            value_wei=quantity(answer["value"]),
            gas=quantity(answer["gas"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refused(Reason.PENDING_INVALID, f"no pending transaction: {error!r}") from error


def _account(text: object) -> Account:
    return Account(f"0x{octets(text, 20).hex()}")  # type: ignore[arg-type]
