"""New contracts that point at ours: what their functions would do, before anybody calls them.

    head ─► creations ─► code that names ours ─► entry points ─► runner ─► drain of a pending rule?
                                                                             └─► log, for a person

Each is called as if by the account that sent the creating transaction, on the state of the block that created
it. Nothing is signed about it: nobody has sent such a call, so there are no bytes that members could look at,
and one watcher may be able to run what another is not. The signal `new_contracts` stays a function of the
block. What cannot be run adds nothing and is counted.

Bounds: `MAX_PROBED` contracts of a block, those that point at ours most first, and `MAX_ENTRY_POINTS` calls
of each; `MAX_WAITING` blocks wait. All of it runs in a process of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from consensus.errors import Refused, Unavailable
from consensus.fields import address_from_hex
from consensus.types import Address
from node.chain.reader import ChainReader
from node.chain.types import BlockRef, CodeRead
from node.detect.detector import shown
from node.detect.entry_points import DRAIN_POINTS, EntryPoint, find_entry_points
from node.detect.evidence import Evidence, Family
from node.detect.new_contract import ADDRESS_POINTS, MAX_CODE_BYTES, NewContractDetector
from node.evaluate.policy import PendingRule
from node.foresight.judge import find_drain, find_scope
from node.foresight.runner import Runner
from node.observe.traces import Creation, TraceGap, TraceReader
from node.pending import PendingTransaction
from node.trace import Account

NAME: Final = "new_contract_drain"
LEAST_SCORE: Final = ADDRESS_POINTS
"""Of the code: a protected address, or two functions."""
MAX_PROBED: Final = 4
MAX_READ: Final = 256
"""New contracts of a block whose code is read."""
MAX_WAITING: Final = 4
CALL_GAS: Final = 16_777_216
"""The most that a transaction may have (EIP-7825)."""

_log = structlog.get_logger("foresight")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewcomerStatistics:
    """Counts since the start."""

    run: int
    drains: int
    unknown: int
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newcomer:
    created: Creation
    code: bytes
    score: int


class Newcomers:
    """Looks at what the blocks of one chain create, for its pending rules."""

    def __init__(
        self, rules: Sequence[PendingRule], reader: ChainReader, tracer: TraceReader, runner: Runner
    ) -> None:
        self._rules = tuple(rules)
        self._reader = reader
        self._tracer = tracer
        self._runner = runner
        self._protected = sorted({each for rule in rules for each in find_scope(rule)[0]})
        self._seen_in, self._seen = trio.open_memory_channel[BlockRef](MAX_WAITING)
        self._counts: Counter[str] = Counter()

    def statistics(self) -> NewcomerStatistics:
        """What it has come to so far."""
        counts = self._counts
        return NewcomerStatistics(
            run=counts["run"], drains=counts["drains"], unknown=counts["unknown"], unseen=counts["unseen"]
        )

    def head(self, ref: BlockRef) -> None:
        """A new block has come."""
        if not self._rules:
            return
        try:
            self._seen_in.send_nowait(ref)
        except trio.WouldBlock:
            self._counts["unseen"] += 1

    async def run(self) -> None:
        """Look at block after block until cancelled."""
        async for ref in self._seen:
            try:
                found = await self.look(ref)
            except Unavailable as error:
                self._counts["unseen"] += 1
                _log.debug("new_contract.unseen", block_number=ref.number, detail=str(error))
                continue
            for evidence in found:
                _log.error(
                    "new_contract.drains",
                    chain_id=ref.chain_id,
                    block_number=ref.number,
                    score=evidence.score,
                    detail=evidence.summary,
                )

    async def look(self, ref: BlockRef) -> tuple[Evidence, ...]:
        """What new contracts of this block could do to ours. Raises `Unavailable` where that block cannot be
        read."""
        found = []
        for newcomer in await self._find_newcomers(ref):
            deployer = Account(newcomer.created.sender.lower())
            for entry in find_entry_points(newcomer.code, deployer):
                evidence = await self._try(entry, newcomer, deployer, ref)
                if evidence is not None:
                    self._counts["drains"] += 1
                    found.append(evidence)
        return tuple(found)

    async def _find_newcomers(self, ref: BlockRef) -> list[_Newcomer]:
        created = await self._tracer.read_creations(ref)
        if isinstance(created, TraceGap):
            raise Unavailable(str(created))
        if not created:
            return []
        self._counts["unseen"] += max(0, len(created) - MAX_READ)
        codes = await self._read_codes([each.contract for each in created[:MAX_READ]], ref)
        ours = await self._read_codes([address_from_hex(each) for each in self._protected], ref)
        detector = NewContractDetector(dict(zip(self._protected, ours, strict=True)), least_score=1)
        scores: dict[bytes, int] = {}
        different: dict[tuple[bytes, Address], _Newcomer] = {}  # the same code may obey its deployer alone
        for each, code in zip(created, codes, strict=False):
            if len(code) <= MAX_CODE_BYTES:
                if code not in scores:
                    scores[code] = detector.find_marks(code).score
                    await trio.lowlevel.checkpoint()
                different.setdefault(
                    (code, each.sender), _Newcomer(created=each, code=code, score=scores[code])
                )
        chosen = [each for each in different.values() if each.score >= LEAST_SCORE]
        self._counts["unseen"] += max(0, len(chosen) - MAX_PROBED)
        return sorted(chosen, key=lambda each: -each.score)[:MAX_PROBED]

    async def _try(
        self, entry: EntryPoint, newcomer: _Newcomer, deployer: Account, ref: BlockRef
    ) -> Evidence | None:
        contract = Account(newcomer.created.contract.lower())
        call = PendingTransaction(
            hash=f"0x{entry.selector}{contract[2:]}",  # it has none: it was never signed
            sender=deployer,
            to=contract,
            data=entry.data,
            value_wei=0,
            gas=CALL_GAS,
        )
        self._counts["run"] += 1
        for block_seconds in sorted({rule.block_seconds for rule in self._rules}):
            try:
                simulation = await self._runner.run(call, ref, block_seconds=block_seconds)
            except (Refused, Unavailable) as error:
                self._counts["unknown"] += 1
                _log.debug("new_contract.unknown", block_number=ref.number, detail=str(error))
                continue
            for rule in self._rules:
                drain = find_drain(rule, simulation) if rule.block_seconds == block_seconds else None
                if drain is not None:
                    return Evidence(
                        detector=NAME,
                        family=Family.VALUE,
                        score=newcomer.score + DRAIN_POINTS,
                        summary=f"function 0x{entry.selector} of new contract {shown(contract)}, called by "
                        f"{shown(deployer)}, which deployed it, breaks rule {rule.name}: {drain.summary}",
                    )
        return None

    async def _read_codes(self, contracts: Sequence[Address], ref: BlockRef) -> list[bytes]:
        codes = []
        for value in await self._reader.read_each([CodeRead(account=each) for each in contracts], ref):
            if isinstance(value, Unavailable):
                raise value
            assert isinstance(value, bytes)
            codes.append(value)
        return codes
