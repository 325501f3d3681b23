"""A responder on a stage: a chain whose blocks the test makes, and a guardian that follows a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from consensus.alert import Action, Alert, Level
from consensus.attestation import attest
from consensus.certificate import Certificate, build_certificate
from consensus.types import (
    ActionId,
    Address,
    BlockHash,
    BlockNumber,
    Bps,
    ChainId,
    OperatorIndex,
    Seconds,
)
from node.chain.clock import HeadClock
from node.chain.types import BlockRef, Receipt
from node.respond.responder import Responder
from node.respond.schedule import compute_order
from node.respond.types import AnsweringChain, Effect, Simulation, Standing, Terms
from tests.consensus.factories import (
    CHAIN_ID,
    NOW,
    make_alert,
    make_bytes32,
    make_operator_set,
    make_secret,
)

FIRST_BLOCK = 100
CONFIRMATIONS = 3
RESTRICTED_UNTIL = Seconds(NOW + 3_600)


def make_certificate(*signers: int, alert: Alert | None = None) -> Certificate:
    """Of seven operators with equal weights, signed by those."""
    alert = alert or make_alert()
    signatures = {
        OperatorIndex(i): attest(alert, OperatorIndex(i), make_secret(i)).signature for i in signers
    }
    return build_certificate(alert, make_operator_set(), signatures)


def operator_of_rank(rank: int, alert: Alert | None = None) -> Address:
    """Who is `rank`-th in the order of this alert."""
    operators = [each.address for each in make_operator_set().operators]
    return compute_order((alert or make_alert()).digest(), operators)[rank]


def five_signers(*, with_rank_0: bool) -> tuple[int, ...]:
    """Five of the seven, with or without who comes first in the order of the default alert."""
    first = next(each.index for each in make_operator_set().operators if each.address == operator_of_rank(0))
    others = [index for index in range(7) if index != first]
    return (*others[:4], first) if with_rank_0 else tuple(others[:5])


def make_head(number: int, timestamp: int = NOW, *, branch: str = "") -> BlockRef:
    return BlockRef(
        chain_id=CHAIN_ID,
        number=BlockNumber(number),
        hash=BlockHash(make_bytes32(f"block {number}{branch}")),
        parent_hash=BlockHash(make_bytes32(f"block {number - 1}")),
        timestamp=Seconds(timestamp),
    )


class GuardianDouble:
    """A `GuardianPort` that does what its attributes say, and counts what it is asked."""

    def __init__(self) -> None:
        self.level = Level.PAUSE
        self.threshold_bps = 6_667
        self.restricted_until = 0
        self.is_engaged = False
        self.simulation: Simulation | Exception = Simulation.WOULD_ACT
        self.trouble: dict[str, Exception] = {}
        self.succeeds = True
        self.acts = True
        self.asked: Counter[str] = Counter()
        self.submitted: list[int] = []

    async def terms(self, action_id: ActionId) -> Terms:
        await self._be_asked("terms")
        return Terms(level=self.level, threshold_bps=Bps(self.threshold_bps))

    async def standing(self, action_id: ActionId) -> Standing:
        await self._be_asked("standing")
        return Standing(restricted_until=Seconds(self.restricted_until), engaged=self.is_engaged)

    async def simulate(self, certificate: Certificate, action: Action) -> Simulation:
        await self._be_asked("simulate")
        if isinstance(self.simulation, Exception):
            raise self.simulation
        return self.simulation

    async def submit(self, certificate: Certificate, action: Action) -> Receipt:
        await self._be_asked("submit")
        self.submitted.append(certificate.signed_weight)
        if self.succeeds and self.acts:
            self.restrict()
        return Receipt(
            transaction_hash=make_bytes32("transaction"),
            block_hash=BlockHash(make_bytes32("block of the transaction")),
            block_number=BlockNumber(FIRST_BLOCK + 1),
            succeeded=self.succeeds,
            gas_used=250_000,
        )

    def release(self) -> None:
        """Neither the book nor the target knows of the action: its block is gone."""
        self.restricted_until, self.is_engaged = 0, False

    def restrict(self) -> None:
        """The action is in force: in the book and on the target."""
        self.restricted_until, self.is_engaged = RESTRICTED_UNTIL, True

    async def _be_asked(self, what: str) -> None:
        self.asked[what] += 1
        await trio.lowlevel.checkpoint()
        if what in self.trouble:
            raise self.trouble[what]


class Stage:
    """What a test holds: make blocks, hand in certificates, look at the guardian and at the effects."""

    def __init__(
        self, responder: Responder, clock: HeadClock, guardians: dict[Address, GuardianDouble]
    ) -> None:
        self.responder = responder
        self.clock = clock
        self.guardians = guardians
        self.certificates, self._certificates_out = trio.open_memory_channel[Certificate](0)
        self._effects_in, self.effects = trio.open_memory_channel[Effect](64)

    async def run(self) -> None:
        await self.responder.run(self._certificates_out, self._effects_in)

    async def give(self, certificate: Certificate) -> None:
        """A certificate comes from the tally; returns when the responder has nothing left to do for now."""
        await self.certificates.send(certificate)
        await trio.testing.wait_all_tasks_blocked()

    async def block(self, number: int, timestamp: int = NOW, *, branch: str = "") -> None:
        """A head comes; returns when the responder has nothing left to do for now."""
        self.clock.advance(make_head(number, timestamp, branch=branch))
        await trio.testing.wait_all_tasks_blocked()

    def told(self) -> list[Effect]:
        """The effects that were reported since the last look."""
        effects = []
        while True:
            try:
                effects.append(self.effects.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return effects


@asynccontextmanager
async def responding(
    guardian: GuardianDouble, *, rank: int = 0, alert: Alert | None = None, me: Address | None = None
) -> AsyncIterator[Stage]:
    """A responder of this rank in the alert's order, at block 100; every guardian is this one."""
    clock = HeadClock()
    clock.advance(make_head(FIRST_BLOCK))
    chain = AnsweringChain(clock=clock, guardian=lambda _address: guardian, confirmations=CONFIRMATIONS)
    responder = Responder(me=me or operator_of_rank(rank, alert), chains={ChainId(CHAIN_ID): chain})
    stage = Stage(responder, clock, {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run)
        yield stage
        nursery.cancel_scope.cancel()
