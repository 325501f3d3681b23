"""Proof of equivocation goes to the registry: once, in turns, and no more often than it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import trio
from eth_account import Account

from consensus.alert import compute_network_id
from consensus.attestation import attest
from consensus.equivocation import EquivocationEvidence, compute_evidence
from consensus.errors import Reason, Refused, Unavailable
from consensus.operators import Operator, OperatorSet
from consensus.types import Address, BlockHash, BlockNumber, OperatorIndex, Seconds
from node.chain.clock import HeadClock
from node.chain.contracts import Registry
from node.chain.reader import ChainReader
from node.chain.sender import FeePolicy, TransactionSender
from node.chain.types import Receipt
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer
from node.devnet.staking import deploy_staking
from node.respond.faults import FaultsOnChain, compute_alert_fault
from node.respond.reporter import MAX_OPEN, MAX_TRIES, Reporter
from tests.bench.gas import make_secrets
from tests.chain.doubles import doubles, pool_of
from tests.consensus.factories import (
    make_address,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_slot,
)
from tests.contracts.test_registry import BOND, TERMS, register
from tests.respond.stage import make_head

ME = make_address("me")
OTHERS = tuple(make_address(f"other {number}") for number in range(3))
MEMBERS = make_operator_set()


def make_evidence(*, slot: str = "drain", operator: int = 2) -> EquivocationEvidence:
    """Two alerts for one slot, both signed by that operator."""
    one, other = (
        make_alert(slot=make_slot(subject=make_bytes32(slot)), evidence_hash=make_bytes32(word))
        for word in ("this", "that")
    )
    return compute_evidence(make_attestation(one, operator), make_attestation(other, operator))


class FaultsDouble:
    """A registry that punishes whoever is reported, unless it is told otherwise."""

    def __init__(self) -> None:
        self.punished: set[tuple[bytes, Address]] = set()
        self.trouble: dict[str, Exception] = {}
        self.asked: Counter[str] = Counter()
        self.succeeds = True

    async def unpunished(
        self, evidence: EquivocationEvidence, operators: Sequence[Operator]
    ) -> tuple[Operator, ...]:
        await self._be_asked("unpunished")
        return tuple(each for each in operators if (evidence.slot_id, each.address) not in self.punished)

    async def simulate(self, *_: object) -> None:
        await self._be_asked("simulate")

    async def report(
        self, evidence: EquivocationEvidence, _set: OperatorSet, accused: Sequence[Operator]
    ) -> Receipt:
        await self._be_asked("report")
        if self.succeeds:
            self.punished |= {(evidence.slot_id, each.address) for each in accused}
        return Receipt(
            transaction_hash=make_bytes32("transaction"),
            block_hash=BlockHash(make_bytes32("block")),
            block_number=BlockNumber(1),
            succeeded=self.succeeds,
            gas_used=1,
        )

    async def _be_asked(self, what: str) -> None:
        self.asked[what] += 1
        await trio.lowlevel.checkpoint()
        if what in self.trouble:
            raise self.trouble[what]


def make_reporter(faults: FaultsDouble, operators: Sequence[Address] = (ME,)) -> Reporter:
    return Reporter(
        me=ME,
        operators=lambda: operators,
        set_of=lambda epoch: MEMBERS if epoch == MEMBERS.epoch else None,
        faults=faults,
        clock=HeadClock(),
    )


async def look(reporter: Reporter, blocks: int) -> None:
    for number in range(1, 1 + blocks):
        await reporter.look(make_head(number))


async def test_who_signed_twice_is_reported_once() -> None:
    faults = FaultsDouble()
    reporter = make_reporter(faults)
    reporter.note(make_evidence())
    await look(reporter, 3)

    assert faults.asked["report"] == 1
    assert reporter.statistics().reported == 1
    assert reporter.statistics().open == 0


async def test_what_another_has_reported_is_left() -> None:
    faults = FaultsDouble()
    reporter = make_reporter(faults, OTHERS)
    evidence = make_evidence()
    reporter.note(evidence)
    await reporter.look(make_head(1))
    faults.punished.add((evidence.slot_id, MEMBERS.operators[2].address))
    await reporter.look(make_head(20))

    assert faults.asked["report"] == 0
    assert reporter.statistics().open == 0


async def test_whoever_is_no_operator_comes_after_them() -> None:
    faults = FaultsDouble()
    reporter = make_reporter(faults, OTHERS)
    reporter.note(make_evidence())
    await look(reporter, 1 + len(OTHERS))
    assert faults.asked["simulate"] == 0

    await reporter.look(make_head(2 + len(OTHERS)))

    assert faults.asked["report"] == 1


@pytest.mark.parametrize("asked", ["simulate", "report"])
async def test_a_registry_that_refuses_is_asked_a_bounded_number_of_times(asked: str) -> None:
    faults = FaultsDouble()
    faults.trouble[asked] = Refused(Reason.CALL_REVERTED, "EvidenceExpired")
    reporter = make_reporter(faults)
    reporter.note(make_evidence())
    await look(reporter, MAX_TRIES + 5)

    assert faults.asked[asked] == MAX_TRIES
    assert reporter.statistics().dropped == 1


async def test_reports_that_revert_are_bounded_too() -> None:
    faults = FaultsDouble()
    faults.succeeds = False
    reporter = make_reporter(faults)
    reporter.note(make_evidence())
    await look(reporter, MAX_TRIES + 5)

    assert faults.asked["report"] == MAX_TRIES


async def test_an_endpoint_that_does_not_answer_costs_no_try() -> None:
    faults = FaultsDouble()
    faults.trouble["unpunished"] = Unavailable("no answer")
    reporter = make_reporter(faults)
    reporter.note(make_evidence())
    await look(reporter, MAX_TRIES + 5)
    faults.trouble.clear()
    await look(reporter, 2)

    assert faults.asked["report"] == 1


async def test_evidence_of_an_epoch_that_is_not_kept_is_dropped() -> None:
    faults = FaultsDouble()
    reporter = Reporter(
        me=ME, operators=lambda: (ME,), set_of=lambda _: None, faults=faults, clock=HeadClock()
    )
    reporter.note(make_evidence())
    await look(reporter, 1)

    assert reporter.statistics().dropped == 1
    assert not faults.asked


async def test_open_cases_are_bounded_one_a_slot() -> None:
    reporter = make_reporter(FaultsDouble())
    for number in range(MAX_OPEN + 3):
        reporter.note(make_evidence(slot=str(number)))
        reporter.note(make_evidence(slot=str(number)))
    assert reporter.statistics().open == MAX_OPEN
    assert reporter.statistics().dropped == 3


async def test_the_registry_takes_the_stake_of_who_signed_twice() -> None:
    secrets = make_secrets(3)
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1, timeout_seconds=30.0) as pool,
    ):
        chain, reader, clock = await Deployer.connect(pool), ChainReader(pool), HeadClock()
        token = await chain.deploy("DemoToken", "Bond", "BOND")
        staking = await deploy_staking(chain, token, TERMS)
        for secret, account in zip(secrets, chain.accounts[1:4], strict=True):
            await register(chain, token, staking, secret=secret, account=account)
        await chain.send("OperatorRegistry", staking.registry, "capture")
        head = await reader.latest()
        registry = Registry(staking.registry, reader)
        members = await registry.operator_set(await registry.current_epoch(head), head)
        network_id = compute_network_id(chain.chain_id, staking.registry)
        alerts = [
            make_alert(
                members,
                network_id=network_id,
                observed_at=head.timestamp,
                expires_at=Seconds(head.timestamp + 600),
                evidence_hash=make_bytes32(word),
            )
            for word in ("this", "that")
        ]
        evidence = compute_evidence(*(attest(each, OperatorIndex(1), secrets[1]) for each in alerts))
        guilty = members.operators[1].address
        account = Account.create()
        await chain.fund(Address(account.address), 10**20)
        fees = FeePolicy(cap_wei_per_gas=10**12, replace_after_seconds=15.0, give_up_after_seconds=60.0)
        faults = FaultsOnChain(
            staking.registry, reader=reader, sender=TransactionSender(pool, account, fees), clock=clock
        )
        clock.advance(head)
        reporter = Reporter(
            me=Address(account.address),
            operators=lambda: (),
            set_of=lambda _: members,
            faults=faults,
            clock=clock,
        )
        named = await chain.read(
            "OperatorRegistry", staking.registry, "alertFault", members.epoch, evidence.slot_id
        )
        assert named == compute_alert_fault(evidence)

        reporter.note(evidence)
        await reporter.look(head)
        clock.advance(await reader.latest())
        await reporter.look(await reader.latest())

        assert reporter.statistics().reported == 1
        assert reporter.statistics().open == 0
        assert await chain.read("BondedStake", staking.stake_source, "stakeOf", guilty) == 0
        others = [each.address for each in members.operators if each.address != guilty]
        assert [
            await chain.read("BondedStake", staking.stake_source, "stakeOf", each) for each in others
        ] == [
            BOND,
            BOND,
        ]
        with pytest.raises(Refused, match="would refuse"):
            await faults.simulate(evidence, members, [members.operators[0]])  # who signed once
