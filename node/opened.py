"""One configured chain, opened: how it is read, followed and written to, and what may be done on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from consensus.types import Address
from node.chain.clock import HeadClock
from node.chain.reader import ChainReader
from node.config import ChainConfig
from node.connection import ChainConnection, open_connection
from node.observe.heads import HeadFollower
from node.respond.guardian import GuardianOnChain
from node.respond.types import AnsweringChain, CarryingChain
from node.respond.verifier import VerifierOnChain, find_verifiers

POLL_SECONDS = 1.0  # beneath the subscription, and instead of it where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChain:
    """A connection, the follower of its heads, and the clock that they advance."""

    config: ChainConfig
    connection: ChainConnection
    follower: HeadFollower
    clock: HeadClock

    @property
    def reader(self) -> ChainReader:
        return self.connection.reader

    def answering(self) -> AnsweringChain:
        return AnsweringChain(
            clock=self.clock, guardian=self.guardian, confirmations=self.config.confirmations
        )

    def carrying(self, guardians: Sequence[Address]) -> CarryingChain:
        """The verifiers behind those guardians, and those that the configuration names."""

        async def verifiers() -> tuple[VerifierOnChain, ...]:
            named = self.config.verifiers
            found = await find_verifiers(guardians, named, reader=self.reader, clock=self.clock)
            return tuple(self._verifier(address) for address in found)

        return CarryingChain(clock=self.clock, verifiers=verifiers)

    def guardian(self, address: Address) -> GuardianOnChain:
        to = self.connection
        return GuardianOnChain(address, pool=to.pool, reader=to.reader, sender=to.sender, clock=self.clock)

    def _verifier(self, address: Address) -> VerifierOnChain:
        to = self.connection
        return VerifierOnChain(address, pool=to.pool, reader=to.reader, sender=to.sender, clock=self.clock)


@asynccontextmanager
async def open_chain(
    config: ChainConfig, account: LocalAccount, *, timeout_seconds: float
) -> AsyncIterator[OpenChain]:
    """Open a chain as `account`, until the block is left. Nothing is asked of it yet."""
    async with open_connection(config, account, timeout_seconds=timeout_seconds) as connection:
        follower = HeadFollower(
            connection.reader, poll_seconds=POLL_SECONDS, websockets=connection.pool.websockets
        )
        yield OpenChain(config=config, connection=connection, follower=follower, clock=HeadClock())
