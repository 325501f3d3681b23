"""Handovers carried to verifiers: in order, once, in turns, and again after whatever was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
import structlog.testing
import trio
import trio.testing
from eth_account import Account

import node.respond.carrier
from consensus.certificate import encode_signatures
from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.handover import HandoverProof, compute_handover
from consensus.operators import HEADER_BYTES, OperatorSet
from consensus.types import Address, BlockHash, BlockNumber, ChainId, Epoch, HeaderHash, Seconds
from node.chain.abi import load_artifact
from node.chain.clock import HeadClock
from node.chain.reader import ChainReader
from node.chain.sender import FeePolicy, TransactionSender
from node.chain.types import Receipt
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer
from node.devnet.guarding import create_guardian, deploy_trust
from node.respond.carrier import MAX_CARRIED, SEARCH_BLOCKS, Carrier
from node.respond.types import CarryingChain, InstalledSet, VerifierPort
from node.respond.verifier import VerifierOnChain, find_verifiers, parse_handovers
from tests.chain.doubles import doubles, pool_of
from tests.consensus.factories import (
    NETWORK_ID,
    make_address,
    make_bytes32,
    make_operator_set,
    make_signatures,
    make_successor,
)
from tests.respond.stage import make_head

HERE, THERE = ChainId(31_337), ChainId(31_338)
ME = make_address("me")
OTHERS = tuple(make_address(f"other {number}") for number in range(4))


class VerifierDouble:
    """A `VerifierPort` that takes proofs of consecutive epochs; a proof's bytes are its epoch's number."""

    def __init__(self, name: str, epoch: int = 1) -> None:
        self.address = make_address(name)
        self.epoch = epoch
        self.carried: dict[int, HandoverProof] = {}
        self.asked: Counter[str] = Counter()
        self.trouble: dict[str, Exception] = {}
        self.succeeds = True
        self.keeps = b""

    async def installed(self) -> InstalledSet:
        await self._be_asked("installed")
        kept = self.keeps or keccak256(make_proof(self.epoch).outgoing[:HEADER_BYTES])
        return InstalledSet(epoch=Epoch(self.epoch), set_hash=HeaderHash(kept))

    async def simulate(self, proofs: Sequence[HandoverProof]) -> None:
        await self._be_asked("simulate")
        epochs = [int.from_bytes(proof.outgoing[:4], "big") for proof in proofs]
        if epochs != list(range(self.epoch, self.epoch + len(proofs))):
            raise Refused(Reason.CALL_REVERTED, f"EpochNotNext: at {self.epoch}, came {epochs}")

    async def submit(self, proofs: Sequence[HandoverProof]) -> Receipt:
        await self._be_asked("submit")
        if self.succeeds:
            for proof in proofs:
                self.carried[self.epoch] = proof
                self.epoch += 1
        return Receipt(
            transaction_hash=make_bytes32("transaction"),
            block_hash=BlockHash(make_bytes32("block")),
            block_number=BlockNumber(1),
            succeeded=self.succeeds,
            gas_used=300_000,
        )

    async def find_proof(self, epoch: Epoch) -> HandoverProof | None:
        await self._be_asked("find_proof")
        return self.carried.get(epoch)

    async def _be_asked(self, what: str) -> None:
        self.asked[what] += 1
        await trio.lowlevel.checkpoint()
        if what in self.trouble:
            raise self.trouble[what]


def make_proof(epoch: int) -> HandoverProof:
    return HandoverProof(outgoing=epoch.to_bytes(4, "big"), incoming=(epoch + 1).to_bytes(4, "big"))


@dataclass(slots=True)
class Stage:
    """A carrier over two chains with a verifier each, whose heads the test makes."""

    carrier: Carrier
    here: VerifierDouble
    there: VerifierDouble
    clocks: dict[ChainId, HeadClock]
    proofs: dict[int, HandoverProof]
    newest: int = 1
    number: int = 0

    async def block(self, *chains: ChainId) -> None:
        self.number += 1
        for chain in chains or (HERE, THERE):
            self.clocks[chain].advance(make_head(self.number))
        await trio.testing.wait_all_tasks_blocked()

    async def blocks(self, count: int) -> None:
        for _ in range(count):
            await self.block()

    def capture(self, newest: int, *, voted: bool = True) -> None:
        """The registry has this epoch; its votes and those of all before it were counted here, or not."""
        self.newest = newest
        if voted:
            self.proofs |= {epoch: make_proof(epoch) for epoch in range(1, newest)}


@asynccontextmanager
async def carrying(
    operators: Sequence[Address] = (ME,), *, here: int = 1, there: int = 1
) -> AsyncIterator[Stage]:
    ours, theirs = VerifierDouble("here", here), VerifierDouble("there", there)
    clocks = {HERE: HeadClock(), THERE: HeadClock()}
    proofs: dict[int, HandoverProof] = {}

    def chain(chain_id: ChainId, verifier: VerifierDouble) -> CarryingChain:
        async def verifiers() -> tuple[VerifierPort, ...]:
            await verifier._be_asked("verifiers")
            return (verifier,)

        return CarryingChain(clock=clocks[chain_id], verifiers=verifiers)

    carrier = Carrier(
        me=ME,
        operators=lambda: operators,
        newest=lambda: Epoch(stage.newest),
        proof_of=lambda epoch: proofs.get(epoch),
        chains={HERE: chain(HERE, ours), THERE: chain(THERE, theirs)},
    )
    stage = Stage(carrier, ours, theirs, clocks, proofs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carrier.run)
        await stage.block()
        yield stage
        nursery.cancel_scope.cancel()


async def test_each_verifier_gets_the_next_set_once() -> None:
    async with carrying() as stage:
        await stage.blocks(3)
        assert stage.here.asked["submit"] == 0
        stage.capture(2)

        await stage.blocks(4)

        assert (stage.here.epoch, stage.there.epoch) == (2, 2)
        assert (stage.here.asked["submit"], stage.there.asked["submit"]) == (1, 1)
        assert stage.carrier.statistics().carried == 2
        assert stage.carrier.statistics().behind == 0


async def test_several_missed_epochs_go_in_order_in_one_transaction() -> None:
    async with carrying(there=3) as stage:
        stage.capture(5)
        await stage.blocks(3)

        assert (stage.here.epoch, stage.there.epoch) == (5, 5)
        assert stage.here.asked["submit"] == 1


async def test_one_transaction_carries_a_bounded_number() -> None:
    async with carrying() as stage:
        stage.capture(MAX_CARRIED + 3)
        await stage.block()
        assert stage.here.epoch == 1 + MAX_CARRIED
        await stage.blocks(2)

        assert stage.here.epoch == MAX_CARRIED + 3
        assert stage.here.asked["submit"] == 2


async def test_one_transaction_carries_no_more_than_nodes_pass_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.respond.carrier, "MAX_CARRIED_BYTES", 20)  # two of eight bytes each
    async with carrying() as stage:
        stage.capture(4)
        await stage.block()
        assert stage.here.epoch == 3
        await stage.blocks(2)

        assert stage.here.epoch == 4


async def test_a_handover_that_is_too_large_for_company_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.respond.carrier, "MAX_CARRIED_BYTES", 1)
    async with carrying() as stage:
        stage.capture(3)
        await stage.blocks(3)

        assert stage.here.epoch == 3
        assert stage.here.asked["submit"] == 2


async def test_a_verifier_that_keeps_sets_in_another_way_is_left_alone_and_said_once() -> None:
    async with carrying() as stage:
        stage.here.keeps = make_bytes32("a set with addresses")
        stage.capture(2)
        with structlog.testing.capture_logs() as said:
            await stage.blocks(5)

        assert stage.here.asked["simulate"] == 0
        assert stage.there.epoch == 2
        refused = [line for line in said if line["event"] == "handover.refused"]
        assert len(refused) == 1
        assert refused[0]["reason"] is Reason.HEADER_MISMATCH


async def test_without_a_proof_nothing_is_sent_and_with_one_it_is() -> None:
    async with carrying() as stage:
        stage.capture(2, voted=False)
        await stage.blocks(3)
        assert stage.here.asked["simulate"] == 0
        assert stage.carrier.statistics().behind == 2
        assert stage.carrier.statistics().waited_blocks == 2

        stage.capture(2)
        await stage.blocks(2)

        assert stage.here.epoch == 2
        assert stage.carrier.statistics().waited_blocks == 0


async def test_a_handover_that_nobody_here_counted_is_read_from_another_chain() -> None:
    async with carrying(there=3) as stage:
        stage.there.carried = {1: make_proof(1), 2: make_proof(2)}
        stage.capture(3, voted=False)
        await stage.blocks(2)

        assert stage.here.epoch == 3
        assert stage.here.asked["submit"] == 1


async def test_what_was_found_is_kept_until_our_turn_and_searched_for_no_more_than_now_and_then() -> None:
    async with carrying((*OTHERS, ME), there=2) as stage:
        stage.capture(2, voted=False)
        await stage.blocks(SEARCH_BLOCKS - 1)
        assert stage.there.asked["find_proof"] == 1, "not at each block"
        stage.there.carried = {1: make_proof(1)}
        await stage.blocks(SEARCH_BLOCKS + len(OTHERS) + 2)

        assert stage.here.epoch == 2


async def test_a_found_handover_that_the_verifier_refuses_is_forgotten() -> None:
    async with carrying(there=2) as stage:
        stage.there.carried = {1: make_proof(7)}  # an endpoint made it up
        stage.capture(2, voted=False)
        await stage.blocks(2)
        assert stage.here.asked["submit"] == 0
        assert stage.carrier.statistics().refused == 1, "tried once, not at every block"

        stage.there.carried = {1: make_proof(1)}
        await stage.blocks(SEARCH_BLOCKS)

        assert stage.here.epoch == 2


async def test_whoever_is_no_operator_comes_after_all_of_them() -> None:
    async with carrying(OTHERS) as stage:
        stage.capture(2)
        await stage.blocks(len(OTHERS))
        assert stage.here.asked["simulate"] == 0

        await stage.blocks(2)

        assert stage.here.epoch == 2


async def test_a_set_that_a_reorganisation_took_back_is_carried_again() -> None:
    async with carrying() as stage:
        stage.capture(2)
        await stage.blocks(2)
        stage.here.epoch = 1
        await stage.blocks(2)

        assert stage.here.epoch == 2
        assert stage.here.asked["submit"] == 2


@pytest.mark.parametrize("asked", ["verifiers", "installed", "simulate", "submit"])
@pytest.mark.parametrize(
    "trouble",
    [Unavailable("no endpoint answers"), Refused(Reason.FEE_CAP_REACHED, "above the cap")],
    ids=["unavailable", "refused"],
)
async def test_trouble_on_one_chain_is_waited_out_and_does_not_stop_the_other(
    asked: str, trouble: Exception
) -> None:
    async with carrying() as stage:
        stage.capture(2)
        stage.here.trouble[asked] = trouble
        if asked == "verifiers":
            stage.carrier._charges.clear()
        await stage.blocks(3)
        assert (stage.here.epoch, stage.there.epoch) == (1, 2)

        stage.here.trouble.clear()
        await stage.blocks(2)

        assert stage.here.epoch == 2


async def test_a_transaction_that_reverts_is_not_counted_as_carried() -> None:
    async with carrying() as stage:
        stage.here.succeeds = stage.there.succeeds = False
        stage.capture(2)
        await stage.block()

        assert stage.carrier.statistics().carried == 0
        assert stage.carrier.statistics().behind == 2


# --- real verifiers


def certify(outgoing: OperatorSet, incoming: OperatorSet) -> HandoverProof:
    """Signed by five of seven on either side; keys follow the factories' numbers."""
    digest = compute_handover(NETWORK_ID, outgoing, incoming).digest()

    def sign(operator_set: OperatorSet) -> bytes:
        first_key = int(operator_set.operators[0].peer_id.removeprefix("peer-"))
        return encode_signatures(operator_set, make_signatures(digest, range(5), first_key=first_key))

    return HandoverProof(outgoing=sign(outgoing), incoming=sign(incoming))


async def test_two_real_verifiers_follow_over_three_epochs_the_second_from_the_firsts_calldata() -> None:
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1, timeout_seconds=30.0) as pool,
    ):
        deployer, reader, clock = await Deployer.connect(pool), ChainReader(pool), HeadClock()
        now = await deployer.timestamp()
        sets = [make_operator_set(capture_time=now - 20_000, valid_until=now + 86_400)]
        for _ in range(3):
            sets.append(make_successor(sets[-1]))
        proofs = {outgoing.epoch: certify(outgoing, incoming) for outgoing, incoming in pairwise(sets)}
        trusts = [await deploy_trust(deployer, NETWORK_ID, sets[0].header()) for _ in range(2)]
        guardian = await create_guardian(deployer, trusts[0])
        account = Account.create()
        await deployer.fund(Address(account.address), 10**20)
        fees = FeePolicy(cap_wei_per_gas=10**12, replace_after_seconds=15.0, give_up_after_seconds=60.0)
        sender = TransactionSender(pool, account, fees)

        async def head() -> None:
            await deployer.mine()
            clock.advance(await reader.latest())

        await head()
        found = await find_verifiers([guardian], [trusts[1].verifier], reader=reader, clock=clock)
        assert found == (trusts[1].verifier, trusts[0].verifier)
        first, second = (
            VerifierOnChain(each, pool=pool, reader=reader, sender=sender, clock=clock) for each in found
        )
        assert (await first.installed()).set_hash == sets[0].header_hash()

        # one by one, then two at once; the order is the contract's to insist on
        with pytest.raises(Refused, match="EpochNotNext"):
            await first.simulate([proofs[Epoch(2)]])
        for some in ([proofs[Epoch(1)]], [proofs[Epoch(2)], proofs[Epoch(3)]]):
            await first.simulate(some)
            assert (await first.submit(some)).succeeded
            await head()
        assert (await first.installed()).set_hash == sets[3].header_hash()

        # the second has no votes to go by
        assert await second.find_proof(Epoch(1)) is None
        read = [await first.find_proof(Epoch(epoch)) for epoch in (1, 2, 3)]
        assert read == [proofs[Epoch(epoch)] for epoch in (1, 2, 3)]
        carrier = Carrier(
            me=Address(account.address),
            operators=lambda: (Address(account.address),),
            newest=lambda: Epoch(4),
            proof_of=lambda _: None,
            chains={HERE: CarryingChain(clock=clock, verifiers=lambda: _both(first, second))},
        )
        latest = clock.latest
        assert latest is not None
        assert not await carrier.look(HERE, latest)
        await head()
        assert clock.latest is not None
        assert await carrier.look(HERE, clock.latest)
        assert (await second.installed()).set_hash == sets[3].header_hash()

        # a second delivery does nothing, and does not fail
        assert (await second.submit([proofs[Epoch(1)], proofs[Epoch(2)]])).succeeded
        assert Seconds(sets[3].capture_time) < now


async def _both(*verifiers: VerifierOnChain) -> tuple[VerifierPort, ...]:
    return verifiers


def test_calldata_of_anything_else_holds_no_handover() -> None:
    artifact = load_artifact("QuorumVerifier")
    assert parse_handovers(b"", artifact) == ()
    assert parse_handovers(artifact.encode("finishReset"), artifact) == ()
    one = artifact.encode("handover", b"a" * 302, b"b" * 302)
    assert parse_handovers(one, artifact) == (HandoverProof(outgoing=b"a" * 302, incoming=b"b" * 302),)
    with pytest.raises(Refused):
        parse_handovers(one[:40], artifact)
