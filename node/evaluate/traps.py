"""Traps for the Drosera network, run as they are: Solidity that looks at the chain and says when to act.

A trap is created anew within each `eth_call`, by a runner whose code is put at an unused address for that
call alone (`contracts/offchain/TrapRunner.sol`). It sees the chain at the block that the view is pinned to;
its constructor runs; nothing it writes stays. What it says is a function of the chain at that block:

    block n-2 ── collect ─┐
    block n-1 ── collect ─┤ newest first
    block n   ── collect ─┴─► shouldRespond(samples) ─► 1 or 0

Events that it filters for are given to it before it collects, those of the same block. The ABI is that of
drosera-network/contracts 2.x: `collect`, `shouldRespond`, `shouldAlert`, `eventLogFilters`, `setEventLogs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import Address
from node.evaluate.expressions import Undefined
from node.evaluate.recent import Recent
from node.evaluate.views import View, Wants

MAX_TRAP_BYTES: Final = 49_152
"""What a chain lets create a contract (EIP-3860)."""
MAX_SAMPLES: Final = 64
MAX_FILTERS: Final = 32
MAX_COLLECTED_BYTES: Final = 64 * 1024
KEPT_SAMPLES: Final = 4 * MAX_SAMPLES

_EVENT_LOGS: Final = "(bytes32[],bytes,address)[]"


class Asks(StrEnum):
    """Which of its two questions a trap is asked."""

    RESPOND = "shouldRespond"
    ALERT = "shouldAlert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """A trap's creation code, and how many blocks' samples it is asked with, this block's among them."""

    name: str
    code: bytes = field(repr=False)
    samples: int

    def __post_init__(self) -> None:
        if not 0 < len(self.code) <= MAX_TRAP_BYTES:
            raise Refused(
                Reason.POLICY_INVALID,
                f"the trap {self.name}: expected 1 to {MAX_TRAP_BYTES} bytes of creation code, came "
                f"{len(self.code)}",
            )
        if not 0 < self.samples <= MAX_SAMPLES:
            raise Refused(
                Reason.POLICY_INVALID,
                f"the trap {self.name}: expected 1 to {MAX_SAMPLES} samples, came {self.samples}",
            )

    @property
    def code_hash(self) -> bytes:
        """keccak256 of the creation code."""
        return keccak256(self.code)


class TrapWatch:
    """Asks one trap, and keeps what it collected at recent blocks."""

    def __init__(self, trap: Trap) -> None:
        self.trap = trap
        self._collected: Recent[bytes | Undefined] = Recent(KEPT_SAMPLES)

    async def ask(self, question: Asks, view: View) -> bool | Undefined:
        """What the trap says at the view's block; undefined where it reverts or answers something else.

        Raises `Unavailable` where no source answers.
        """
        if view.ref.number + 1 < self.trap.samples:
            return self._undefined(
                f"is asked with {self.trap.samples} samples, block {view.ref.number} has fewer before it",
                Reason.HISTORY_TOO_SHORT,
            )
        samples: list[bytes] = []
        for blocks_ago in range(self.trap.samples):
            collected = await self._collect(await view.ancestor(blocks_ago) if blocks_ago else view)
            if isinstance(collected, Undefined):
                return collected
            samples.append(collected)
        answer = await self._run(f"{question}(bytes,bytes[])", ("bytes[]",), (samples,), view)
        if isinstance(answer, Undefined):
            return answer
        decoded = self._decode(("bool", "bytes"), answer, question)
        return decoded if isinstance(decoded, Undefined) else bool(decoded[0])

    async def _collect(self, view: View) -> bytes | Undefined:
        row = self._collected.row(view.ref.hash)
        if self.trap.name not in row:
            row[self.trap.name] = await self._collect_anew(view)
        return row[self.trap.name]

    async def _collect_anew(self, view: View) -> bytes | Undefined:
        logs = await self._logs(view)
        if isinstance(logs, Undefined):
            return logs
        answer = await self._run(f"collect(bytes,{_EVENT_LOGS})", (_EVENT_LOGS,), (logs,), view)
        if isinstance(answer, Undefined):
            return answer
        decoded = self._decode(("bytes",), answer, "collect")
        if isinstance(decoded, Undefined):
            return decoded
        collected = decoded[0]
        assert isinstance(collected, bytes)
        if len(collected) > MAX_COLLECTED_BYTES:
            return self._undefined(
                f"collected {len(collected)} bytes at block {view.ref.number}, at most {MAX_COLLECTED_BYTES} "
                "are taken"
            )
        return collected

    async def _logs(self, view: View) -> list[tuple[tuple[bytes, ...], bytes, Address]] | Undefined:
        """The block's events that the trap filters for."""
        answer = await self._run("eventLogFilters(bytes)", (), (), view)
        if isinstance(answer, Undefined):
            return answer
        decoded = self._decode(("(address,string)[]",), answer, "eventLogFilters")
        if isinstance(decoded, Undefined):
            return decoded
        filters = decoded[0]
        assert isinstance(filters, tuple)
        if len(filters) > MAX_FILTERS:
            return self._undefined(f"filters for {len(filters)} events, at most {MAX_FILTERS} are read")
        if not filters:
            return []
        wanted = {
            (Address(to_checksum_address(emitter)), keccak256(event.encode())) for emitter, event in filters
        }
        events = await view.logs(addresses=tuple(sorted({emitter for emitter, _ in wanted})))
        return [
            (each.topics, each.data, each.address)
            for each in events
            if each.topics and (each.address, each.topics[0]) in wanted
        ]

    async def _run(
        self, signature: str, types: tuple[str, ...], arguments: tuple[object, ...], view: View
    ) -> bytes | Undefined:
        data = function_signature_to_4byte_selector(signature)
        data += encode(("bytes", *types), (self.trap.code, *arguments))
        try:
            return await view.run_trap(data)
        except Refused as error:
            if error.reason is not Reason.CALL_REVERTED:
                raise
            name = signature.partition("(")[0]
            return self._undefined(f"reverts at block {view.ref.number} when it is asked for {name}")

    def _decode(self, types: tuple[str, ...], answer: bytes, asked: str) -> tuple[object, ...] | Undefined:
        try:
            return tuple(decode(types, answer))
        except (DecodingError, OverflowError, UnicodeDecodeError):
            return self._undefined(
                f"answers {asked} with {len(answer)} bytes that are not ({', '.join(types)})"
            )

    def _undefined(self, said: str, reason: Reason = Reason.SIGNAL_UNDEFINED) -> Undefined:
        return Undefined(reason, f"the trap {self.trap.name} {said}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrapSignal:
    """1 at a block where the trap says yes, else 0."""

    name: str
    asks: Asks
    watch: TrapWatch = field(repr=False, compare=False)

    def wants(self) -> Wants:
        return Wants()

    async def read(self, view: View) -> int | Undefined:
        answer = await self.watch.ask(self.asks, view)
        return answer if isinstance(answer, Undefined) else int(answer)

    def form(self) -> dict[str, object]:
        trap = self.watch.trap
        return {"trap": f"0x{trap.code_hash.hex()}", "samples": trap.samples, "asks": self.asks.value}
