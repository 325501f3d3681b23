"""A chain that was recorded: blocks with the answers that contracts gave there, as views of evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.types import Address, BlockHash, BlockNumber, ChainId, Seconds
from node.evaluate.policy import Policy
from node.evaluate.signals import CallSignal

GENESIS_TIME = 1_700_000_000
SECONDS_PER_BLOCK = 12

Answers = Mapping[tuple[Address, bytes], bytes | None]
"""What each call returns; None: it reverts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLog:
    address: Address
    topics: tuple[bytes, ...]
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBlock:
    chain_id: ChainId
    number: BlockNumber
    hash: BlockHash
    parent_hash: BlockHash
    timestamp: Seconds
    answers: Answers
    slots: Mapping[tuple[Address, int], bytes] = field(default_factory=dict)
    balances: Mapping[Address, int] = field(default_factory=dict)
    logs: tuple[RecordedLog, ...] = ()


@dataclass(slots=True)
class RecordedChain:
    """Blocks by hash. `silent`: those that no source answers for; `reads` counts eth_calls."""

    chain_id: ChainId
    blocks: dict[BlockHash, RecordedBlock] = field(default_factory=dict)
    silent: set[BlockHash] = field(default_factory=set)
    reads: int = 0

    def extend(
        self, parent: RecordedBlock | None, answers: Answers, *, branch: str = "", **more: Any
    ) -> RecordedBlock:
        """One more block on top of `parent`; `branch` tells it from its twin on another branch, `more`
        are its slots, balances and logs."""
        number = 0 if parent is None else parent.number + 1
        parent_hash = BlockHash(bytes(32)) if parent is None else parent.hash
        block = RecordedBlock(
            chain_id=self.chain_id,
            number=BlockNumber(number),
            hash=BlockHash(keccak256(parent_hash + number.to_bytes(8, "big") + branch.encode())),
            parent_hash=parent_hash,
            timestamp=Seconds(GENESIS_TIME + SECONDS_PER_BLOCK * number),
            answers=answers,
            **more,
        )
        self.blocks[block.hash] = block
        return block

    def view(self, block: RecordedBlock) -> RecordedView:
        return RecordedView(self, block)


@dataclass(frozen=True, slots=True)
class RecordedView:
    chain: RecordedChain
    ref: RecordedBlock

    async def eth_call(self, to: Address, data: bytes) -> bytes:
        self.chain.reads += 1
        if self.ref.hash in self.chain.silent:
            raise Unavailable(f"no source answers for block {self.ref.number}")
        answer = self.ref.answers.get((to, data), b"")
        if answer is None:
            raise Refused(Reason.CALL_REVERTED, f"{to} reverts at block {self.ref.number}")
        return answer

    async def storage(self, account: Address, slot: int) -> bytes:
        return self.ref.slots.get((account, slot), bytes(32))

    async def balance(self, account: Address) -> int:
        return self.ref.balances.get(account, 0)

    async def logs(
        self, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> tuple[RecordedLog, ...]:
        return tuple(
            log for log in self.ref.logs if log.address in addresses and log.topics[:1] == topics[:1]
        )

    async def run_trap(self, data: bytes) -> bytes:
        raise Unavailable("nothing runs on a recording")

    async def prefetch(self, calls: Sequence[tuple[Address, bytes]], **_others: object) -> None:
        return

    async def ancestor(self, k: int) -> RecordedView:
        view = self
        for _ in range(k):
            view = RecordedView(self.chain, self.chain.blocks[view.ref.parent_hash])
        return view


def make_answers(policy: Policy, **values: int | None) -> Answers:
    """The answers under which the policy's signals (of one uint256 each) have these values; None reverts."""
    signals = {signal.name: signal for signal in policy.signals if isinstance(signal, CallSignal)}
    return {
        (signals[name].to, signals[name].calldata): None if value is None else value.to_bytes(32, "big")
        for name, value in values.items()
    }


def make_chain(
    policy: Policy, rows: Sequence[Mapping[str, int | None]]
) -> tuple[RecordedChain, list[RecordedBlock]]:
    """One block for each row of signal values, from block 0."""
    chain = RecordedChain(policy.source_chain_id)
    blocks: list[RecordedBlock] = []
    for row in rows:
        blocks.append(chain.extend(blocks[-1] if blocks else None, make_answers(policy, **row)))
    return chain, blocks
