"""Honest operators for benchmarks: host, room and tally, joined as the pipeline joins them, on real TCP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio

from consensus.alert import Level
from consensus.attestation import Attestation
from consensus.certificate import Certificate
from consensus.errors import Reason
from consensus.operators import OperatorSet
from consensus.partial import Contribution
from consensus.tally import Tally
from consensus.types import Digest
from node.evaluate.findings import Question
from node.gossip.holdings import TallyHoldings
from node.gossip.host import HostConfig, Libp2pTransport, open_host, peer_id_of_seed
from node.gossip.room import GossipRoom
from node.gossip.transport import Addresses, PeerId
from node.tallying import Tallying
from tests.consensus.factories import NETWORK_ID, NOW, make_operator_set
from tests.gossip.harness import address_of, make_seed


def make_members(seeds: Sequence[bytes]) -> OperatorSet:
    """A set of equal weights whose peers have these identities."""
    members = make_operator_set((1_000,) * len(seeds))
    operators = (
        replace(each, peer_id=peer_id_of_seed(seed))
        for each, seed in zip(members.operators, seeds, strict=True)
    )
    return replace(members, operators=tuple(operators))


class Operator:
    """One honest operator, joined as the pipeline joins it."""

    def __init__(self, number: int, transport: Libp2pTransport, members: OperatorSet) -> None:
        self.number = number
        self.members = members
        self.transport = transport
        self.tally = Tally(NETWORK_ID)
        self.tally.add_operator_set(members)
        self.quorum_at: dict[Digest, float] = {}
        self.outgoing, self._outgoing_end = trio.open_memory_channel[Attestation](1_024)
        self._contributions, self._incoming = trio.open_memory_channel[Contribution](1_024)
        certificates, self._certificates = trio.open_memory_channel[Certificate](1_024)
        questions, self._questions = trio.open_memory_channel[Question](64)
        self.room = GossipRoom(
            transport=transport,
            network_id=NETWORK_ID,
            incoming=self._contributions.clone(),
            now=lambda: NOW,
            holdings=TallyHoldings(self.tally),
        )
        self._tallying = Tallying(
            self.tally,
            now=lambda: NOW,
            policies=frozenset(),
            certificates=certificates,
            questions=questions,
            blame=self._blame,
            learned=lambda _digest: None,
            settled=self.room.settled,
            accuse=self.room.accuse,
        )

    async def _blame(self, contribution: Contribution, reason: Reason) -> None:
        if isinstance(contribution, Attestation):
            await self.room.blame(contribution, reason)

    async def run(self, addresses: dict[PeerId, Addresses]) -> None:
        await self.room.use_operator_sets((self.members,), addresses)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.room.run, self._outgoing_end)
            nursery.start_soon(self._tallying.run, self._incoming)
            nursery.start_soon(self._note_quorums)

    async def _note_quorums(self) -> None:
        async for certificate in self._certificates:
            if Level.PAUSE in certificate.levels():
                self.quorum_at.setdefault(certificate.digest(), time.perf_counter())

    async def sign(self, attestation: Attestation) -> None:
        await self._contributions.send(attestation)
        await self.outgoing.send(attestation)

    async def sign_all(self, attestations: Sequence[Attestation]) -> None:
        for attestation in attestations:
            await self.sign(attestation)


@asynccontextmanager
async def open_operators(count: int, *, others: Sequence[bytes] = ()) -> AsyncIterator[list[Operator]]:
    """The first `count` operators of a set, connected; `others` are members that somebody else plays."""
    seeds = [make_seed(number) for number in range(count)]
    members = make_members([*seeds, *others])
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                open_host(HostConfig(seed=seed, listen="/ip4/127.0.0.1/tcp/0", topic="bench"))
            )
            for seed in seeds
        ]
        async with trio.open_nursery() as nursery:
            operators = [Operator(number, host, members) for number, host in enumerate(hosts)]
            book = {host.peer_id: (address_of(host),) for host in hosts}
            for operator in operators:
                nursery.start_soon(operator.run, book)
            while not all(len(host.connected) == count - 1 for host in hosts):
                await trio.sleep(0.05)
            await trio.sleep(2)  # two heartbeats of pubsub
            yield operators
            nursery.cancel_scope.cancel()
