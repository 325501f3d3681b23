"""The bytes of transactions that alerts are about, for and from other members.

Nobody's mempool is everybody's. Who signs an alert about a pending transaction holds its bytes ready, and who
is asked about one asks for them: first the member that signed, then everybody. Nothing is taken that was not
asked for, and what comes is what was asked for only if it hashes to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.pending_evidence import Given, PendingEvidence, Wanted

MAX_HELD_BYTES: Final = 8 * 2**20
"""64 of the longest transactions."""
MAX_WANTED: Final = 64
MAX_ASKED_BEFORE: Final = 1_024
"""What was asked for lately: a second answer to it is late, not unasked."""
WAIT_SECONDS: Final = (0.5, 1.5, 4.0)
"""For the member that signed; then for everybody, twice. Together half of an Ethereum block."""
GIVEN_PER_PEER: Final = 8
"""Transactions that one member gets from us in `GIVEN_SECONDS`: twice what a rule raises at a block."""
GIVEN_SECONDS: Final = 2.0
MAX_PEERS: Final = 1_024

Peer = str
"""A member's peer id."""

_log = structlog.get_logger("foresight")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceStatistics:
    """Counts since the start, and what is held."""

    held: int
    held_bytes: int
    wanted: int
    given: int
    withheld: int
    """Answers that a member did not get because it asked too often."""
    missed: int
    """Transactions that nobody gave in time."""


@dataclass(slots=True)
class _Allowance:
    since: float
    given: int = 0


@dataclass(slots=True)
class EvidenceDesk:
    """Holds, gives, asks for and takes transactions, by hash.

    `push` sends one member a frame's body, `publish` all of them.
    """

    push: Callable[[Peer, PendingEvidence], Awaitable[None]]
    publish: Callable[[PendingEvidence], Awaitable[None]]
    _held: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _wanted: dict[bytes, trio.Event] = field(default_factory=dict)
    _asked_before: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _allowances: OrderedDict[Peer, _Allowance] = field(default_factory=OrderedDict)
    _given: int = 0
    _withheld: int = 0
    _missed: int = 0

    def statistics(self) -> EvidenceStatistics:
        """What is held now, and what was given and missed so far."""
        return EvidenceStatistics(
            held=len(self._held),
            held_bytes=self._bytes,
            wanted=len(self._wanted),
            given=self._given,
            withheld=self._withheld,
            missed=self._missed,
        )

    def hold(self, raw: bytes) -> None:
        """Keep a transaction ready for others; the oldest make room."""
        subject = keccak256(raw)
        if subject in self._held:
            return
        self._held[subject] = raw
        self._bytes += len(raw)
        while self._bytes > MAX_HELD_BYTES:
            self._bytes -= len(self._held.popitem(last=False)[1])

    async def fetch(self, subject: bytes, signer: Peer | None) -> bytes:
        """The transaction with this hash. Raises `Unavailable` where nobody gives it in time."""
        if subject not in self._held:
            await self._ask(subject, signer)
        raw = self._held.get(subject)
        if raw is None:
            self._missed += 1
            raise Unavailable(f"no member gives transaction 0x{subject.hex()}, which an alert is about")
        return raw

    async def take(self, evidence: PendingEvidence, sender: Peer) -> None:
        """What a member sent. Raises `Refused` (UNASKED_EVIDENCE) for what was not asked for."""
        if isinstance(evidence, Given):
            self._take(evidence.raw)
        elif evidence.subject in self._held and self._may_have(sender):
            self._given += 1
            await self.push(sender, Given(self._held[evidence.subject]))

    def _take(self, raw: bytes) -> None:
        subject = keccak256(raw)
        event = self._wanted.get(subject)
        if event is not None:
            self.hold(raw)
            event.set()
        elif subject not in self._asked_before:
            raise Refused(
                Reason.UNASKED_EVIDENCE,
                f"transaction 0x{subject.hex()} was not asked for; send what somebody wants",
            )

    async def _ask(self, subject: bytes, signer: Peer | None) -> None:
        event = self._wanted.get(subject)
        if event is not None:  # somebody here asks already
            with trio.move_on_after(sum(WAIT_SECONDS)):
                await event.wait()
            return
        if len(self._wanted) >= MAX_WANTED:
            return
        event = self._wanted[subject] = trio.Event()
        self._asked_before[subject] = None
        while len(self._asked_before) > MAX_ASKED_BEFORE:
            self._asked_before.popitem(last=False)
        try:
            for attempt, seconds in enumerate(WAIT_SECONDS):
                if attempt == 0 and signer is not None:
                    await self.push(signer, Wanted(subject))
                else:
                    await self.publish(Wanted(subject))
                with trio.move_on_after(seconds):
                    await event.wait()
                    return
        finally:
            del self._wanted[subject]

    def _may_have(self, sender: Peer) -> bool:
        now = trio.current_time()
        allowance = self._allowances.get(sender)
        if allowance is None or now - allowance.since > GIVEN_SECONDS:
            allowance = self._allowances[sender] = _Allowance(since=now)
        self._allowances.move_to_end(sender)
        while len(self._allowances) > MAX_PEERS:
            self._allowances.popitem(last=False)
        if allowance.given >= GIVEN_PER_PEER:
            self._withheld += 1
            return False
        allowance.given += 1
        return True
