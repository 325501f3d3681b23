"""Watchers with mempools of their own over one real chain: what they foresee, sign alike, and refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from eth_account import Account as Signer

from consensus.alert import Alert, compute_rule_id
from consensus.errors import Reason
from consensus.fields import address_from_hex
from consensus.pending_evidence import PendingEvidence
from consensus.types import BlockHash, Seconds
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool, open_pool
from node.chain.types import BlockRef, Endpoint
from node.detect.levels import Levels
from node.devnet.anvil import Anvil, Mining, running_anvil
from node.devnet.deployer import Deployer
from node.evaluate.findings import Question
from node.evaluate.outlet import Membership, Outlet
from node.evaluate.policy import PendingDetectionRule, Policy, parse_policy
from node.foresight import evidence
from node.foresight import room as rooms
from node.foresight.evidence import EvidenceDesk
from node.foresight.eyes import open_eyes
from node.foresight.judge import levels_of
from node.foresight.room import ForesightRoom
from node.pending import NATIVE
from node.policies import read_policy
from node.simulate.simulator import Limits
from node.trace import Account, TokenUnits, Transfer
from tests.consensus.factories import NETWORK_ID, make_operator_set
from tests.detect.policies import SMALL
from tests.detect.traces import direct, make_transaction
from tests.foresight.transactions import sign
from tests.simulate.worlds import ETHER, PAY_ALL, assemble

BANK = Account("0x" + "c1" * 20)
PAY_ONE = assemble("0x00 0x00 0x00 0x00 0x01 CALLER GAS CALL STOP")
PAY_AND_FAIL = assemble("0x00 0x00 0x00 0x00 SELFBALANCE CALLER GAS CALL 0x00 0x00 REVERT")
PAYER = Account("0x" + "11" * 20)
PATIENCE_SECONDS = 20
KEYS = tuple("0x" + f"{number:064x}" for number in range(1, 12))


def make_policy() -> Policy:
    return parse_policy(
        f"""
tocsin: 1
name: foresee
version: 1
ttl_seconds: 900
source_chain_id: 31337
contracts:
  bank: {{chain_id: 31337, address: "{address_from_hex(BANK)}"}}
signals: {{}}
actions: {{}}
rules:
  foreseen:
    kind: pending
    contracts: [bank]
    coin: 1_000
    threshold_bps: 5_000
    block_seconds: 12
    actions: []
""".encode()
    )


def make_detecting_policy(folder: Path) -> Policy:
    """Alerts where a detection of the bank's transactions, kept up by the test, would pause."""
    (folder / "small.yaml").write_text(SMALL.replace("{reentrancy: 1, balance_drain", "{balance_drain"))
    text = f"""
tocsin: 1
name: detect
version: 1
ttl_seconds: 900
source_chain_id: 31337
contracts:
  bank: {{chain_id: 31337, address: "{address_from_hex(BANK)}"}}
signals:
  strange: {{detection: small.yaml, learn: 10, contracts: [bank]}}
actions: {{}}
rules:
  foreseen:
    kind: pending_detection
    signal: strange
    level: pause
    block_seconds: 12
    actions: []
"""
    (folder / "policy.yaml").write_text(text)
    return read_policy(folder / "policy.yaml")


def detection_of(policy: Policy) -> Levels:
    (rule,) = policy.pending_rules
    assert isinstance(rule, PendingDetectionRule)
    return levels_of(rule)


@dataclass(slots=True)
class Watcher:
    """One room, what it raised, and the wire between it and the other."""

    room: ForesightRoom
    desk: EvidenceDesk
    alerts: trio.MemoryReceiveChannel[Alert]
    answered: list[Question]
    peers: dict[str, Watcher] = field(default_factory=dict)

    async def next_alert(self) -> Alert:
        with trio.fail_after(PATIENCE_SECONDS):
            return await self.alerts.receive()

    def raised(self) -> list[Alert]:
        found = []
        while True:
            try:
                found.append(self.alerts.receive_nowait())
            except trio.WouldBlock:
                return found


@dataclass(slots=True)
class Stage:
    """A chain that mines when told, with a bank that pays all it has to whoever calls."""

    anvil: Anvil
    pool: RpcPool
    deployer: Deployer
    policy: Policy
    watchers: dict[str, Watcher]

    def stand(self, ref: BlockRef) -> None:
        """The detection has judged the chain up to this block: nobody but payers came to the bank."""
        levels = detection_of(self.policy)
        watch = levels.make_watch()
        for number in range(1, 11):
            paid = Transfer(NATIVE, PAYER, BANK, TokenUnits(7 * ETHER // 10))
            watch.learn(make_transaction(direct(contract=BANK), transfers=[paid], block=number))
        levels.put(ref, 0)
        levels.stand_at(ref, watch)
        for each in self.watchers.values():
            each.room.judged()

    async def put(self, code: bytes, *, balance_wei: int = 7 * ETHER) -> BlockRef:
        """Give the bank code and coin, in a block of its own."""
        await self.pool.call("anvil_setCode", (BANK, f"0x{code.hex()}"))
        await self.deployer.fund(address_from_hex(BANK), balance_wei)
        return await self.mine()

    async def mine(self) -> BlockRef:
        await self.deployer.mine()
        return await ChainReader(self.pool).latest()

    async def send(self, *, key: str = KEYS[0], **changes: Any) -> bytes:
        """Into the mempool; the transaction's hash."""
        fields = {"to": BANK, "maxFeePerGas": 10**11} | changes
        signed = sign(key, **fields)
        await self.pool.call("eth_sendRawTransaction", (f"0x{signed.raw.hex()}",))
        return signed.hash

    def question(self, alert: Alert, **changes: Any) -> Question:
        """What somebody asks who got a member's signature over this alert."""
        slot = alert.slot
        fields: dict[str, Any] = {
            "policy_hash": slot.policy_hash,
            "rule_id": slot.rule_id,
            "chain_id": slot.source_chain_id,
            "anchor_number": slot.anchor_number,
            "anchor_hash": slot.anchor_hash,
            "subject": slot.subject,
        }
        return Question(**(fields | changes))


async def open_watcher(
    stack: Any,
    nursery: trio.Nursery,
    stage: Stage,
    name: str,
    *,
    has_mempool: bool,
    poll_seconds: float,
    ws: str | None,
) -> Watcher:
    alerts_in, alerts = trio.open_memory_channel[Alert](64)
    endpoint = Endpoint(name="anvil", http=stage.anvil.http, ws=ws)
    eyes = await stack.enter_async_context(
        open_eyes(
            stage.pool, (endpoint,) if has_mempool else (), stage.policy.pending_rules, timeout_seconds=10
        )
    )
    operator_set = make_operator_set(capture_time=1, valid_until=2**40)
    membership = Membership(network_id=NETWORK_ID, operator_sets=(operator_set,), activation_delay=Seconds(0))

    async def push(to: str, what: PendingEvidence) -> None:
        if to in stage.watchers:
            await stage.watchers[to].desk.take(what, name)

    async def publish(what: PendingEvidence) -> None:
        for other in stage.watchers:
            if other != name:
                await push(other, what)

    desk, answered = EvidenceDesk(push=push, publish=publish), list[Question]()
    room = ForesightRoom(
        chain_id=stage.pool.chain_id,
        policies=(stage.policy,),
        eyes=eyes,
        outlet=Outlet(membership=lambda: membership, alerts=alerts_in),
        desk=desk,
        answered=answered.append,
        poll_seconds=poll_seconds,
    )
    nursery.start_soon(room.run)
    stage.watchers[name] = Watcher(room, desk, alerts, answered)
    return stage.watchers[name]


@asynccontextmanager
async def staged(
    *,
    policy: Policy | None = None,
    blind: bool = False,
    poll_seconds: float = 0.02,
    is_subscribed: bool = False,
) -> AsyncIterator[Stage]:
    """`ada` sees the mempool; `bob` sees none."""
    async with AsyncExitStack() as stack:
        anvil = await stack.enter_async_context(running_anvil(mining=Mining.WHEN_TOLD))
        endpoint = Endpoint(name="anvil", http=anvil.http)
        pool = await stack.enter_async_context(
            open_pool(anvil.chain_id, (endpoint,), agreement=1, timeout_seconds=10)
        )
        stage = Stage(anvil, pool, await Deployer.connect(pool), policy or make_policy(), {})
        for key in KEYS:
            await stage.deployer.fund(address_from_hex(Signer.from_key(key).address), 10 * ETHER)
        nursery = await stack.enter_async_context(trio.open_nursery())
        for name, has_mempool in (("ada", not blind), ("bob", False)):
            await open_watcher(
                stack,
                nursery,
                stage,
                name,
                has_mempool=has_mempool,
                poll_seconds=poll_seconds,
                ws=anvil.ws if is_subscribed else None,
            )
        yield stage
        nursery.cancel_scope.cancel()


async def until(condition: Any) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - it looks at what the rooms count
            await trio.sleep(0.005)


async def test_a_websocket_tells_of_an_exploit_long_before_the_poll() -> None:
    async with staged(poll_seconds=3_600, is_subscribed=True) as stage:
        ada = stage.watchers["ada"]
        ada.room.head(await stage.put(PAY_ALL))
        sent = 0
        while not ada.room.statistics().seen:  # the first may come before the subscription stands
            await stage.send(nonce=sent)
            await trio.testing.wait_all_tasks_blocked(0.05)
            sent += 1

        alert = await ada.next_alert()

        assert any(alert.slot.subject)


async def test_an_exploit_is_foreseen_and_a_member_without_it_signs_the_very_same_alert() -> None:
    async with staged() as stage:
        ada, bob = stage.watchers["ada"], stage.watchers["bob"]
        head = await stage.put(PAY_ALL)
        for each in (ada, bob):
            each.room.head(head)

        subject = await stage.send()
        alert = await ada.next_alert()
        bob.room.ask(stage.question(alert), "ada")
        answer = await bob.next_alert()

        assert (alert.slot.subject, alert.slot.anchor_hash) == (subject, head.hash)
        assert alert.observed_at == head.timestamp
        assert answer.digest() == alert.digest()
        await until(lambda: bob.answered == [stage.question(alert)])
        assert (await stage.deployer.receipt(f"0x{subject.hex()}")) is None, (
            "it was mined before it was foreseen"
        )
        assert (ada.desk.statistics().given, bob.desk.statistics().held) == (1, 1)

        # once for each transaction; it is another alert at another block, for whoever is asked there
        following = await stage.mine()
        for each in (ada, bob):
            each.room.head(following)
        await until(lambda: ada.room.statistics().held == 0)
        assert ada.raised() == []


async def test_a_near_miss_and_what_is_of_no_named_token_are_silent() -> None:
    async with staged() as stage:
        ada = stage.watchers["ada"]
        ada.room.head(await stage.put(PAY_ONE))

        await stage.send()
        await until(lambda: ada.room.statistics().run == 1)
        assert ada.raised() == []

        ada.room.head(await stage.put(PAY_ALL, balance_wei=999))  # too little to count
        await stage.send(key=KEYS[1])
        await until(lambda: ada.room.statistics().run == 2)
        assert ada.raised() == []


async def test_it_is_run_again_at_each_block_and_rings_when_the_state_makes_it_an_exploit() -> None:
    async with staged() as stage:
        ada = stage.watchers["ada"]
        ada.room.head(await stage.put(PAY_ONE))
        await stage.pool.call("evm_setAutomine", (False,))
        # it cannot be in a block of this chain's, which asks for more: but it could by its own terms
        subject = await stage.send()
        await until(lambda: ada.room.statistics().run == 1)
        await stage.pool.call("anvil_dropTransaction", (f"0x{subject.hex()}",))

        head = await stage.put(PAY_ALL)
        ada.room.head(head)

        alert = await ada.next_alert()
        assert (alert.slot.subject, alert.slot.anchor_hash) == (subject, head.hash)


async def test_a_member_that_names_what_is_not_so_gets_no_signature() -> None:
    async with staged(blind=True) as stage:
        bob = stage.watchers["bob"]
        quiet = await stage.put(PAY_ONE)
        await stage.mine()  # what is set next must not be of the quiet block's state
        head = await stage.put(PAY_ALL)
        exploit, broke = sign(KEYS[0], to=BANK, maxFeePerGas=10**11), sign("0x" + "99" * 32, to=BANK)
        ahead = sign(KEYS[1], to=BANK, maxFeePerGas=10**11, nonce=3)
        cheap = sign(KEYS[2], to=BANK, maxFeePerGas=2, maxPriorityFeePerGas=1)
        for each in (exploit, broke, ahead, cheap):
            bob.desk.hold(each.raw)
        fields: dict[str, Any] = {
            "policy_hash": stage.policy.hash,
            "rule_id": compute_rule_id("foreseen"),
            "chain_id": stage.pool.chain_id,
            "anchor_number": head.number,
            "anchor_hash": head.hash,
            "subject": exploit.hash,
        }
        wrong: list[tuple[dict[str, Any], Reason | None]] = [
            ({"anchor_hash": quiet.hash, "anchor_number": quiet.number}, None),
            ({"subject": broke.hash}, Reason.PENDING_INVALID),
            ({"subject": ahead.hash}, Reason.PENDING_INVALID),
            ({"subject": cheap.hash}, Reason.PENDING_INVALID),
            ({"rule_id": compute_rule_id("another")}, Reason.UNKNOWN_RULE),
            ({"anchor_number": head.number + 1}, Reason.ANCHOR_MISMATCH),
            ({"anchor_hash": BlockHash(b"\x01" * 32)}, Reason.SOURCE_UNAVAILABLE),
        ]
        for changes, reason in wrong:
            before = dict(bob.room._outlet.unknown)
            bob.room.ask(Question(**(fields | changes)), None)
            await until(lambda: len(bob.answered) == stage_count(bob))
            assert bob.raised() == [], changes
            grown = {each for each, count in bob.room._outlet.unknown.items() if count > before.get(each, 0)}
            assert grown == ({reason} if reason else set()), changes

        bob.room.ask(Question(**fields), None)
        assert (await bob.next_alert()).slot.subject == exploit.hash


def stage_count(watcher: Watcher) -> int:
    return watcher.room.statistics().questions


async def test_evidence_that_nobody_gives_lets_the_question_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "WAIT_SECONDS", (0.01, 0.01))
    async with staged(blind=True) as stage:
        bob = stage.watchers["bob"]
        head = await stage.put(PAY_ALL)
        question = Question(
            policy_hash=stage.policy.hash,
            rule_id=compute_rule_id("foreseen"),
            chain_id=stage.pool.chain_id,
            anchor_number=head.number,
            anchor_hash=head.hash,
            subject=sign().hash,
        )

        bob.room.ask(question, "ada")
        await until(lambda: bob.answered == [question])

        assert bob.room.statistics().questions_dropped == 1
        assert bob.raised() == []


async def test_a_mempool_full_of_exploits_makes_a_watcher_sign_so_often_and_not_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rooms, "MAX_ANSWERED", 5)
    async with staged() as stage:
        ada, bob = stage.watchers["ada"], stage.watchers["bob"]
        head = await stage.put(PAY_ALL)
        for each in (ada, bob):
            each.room.head(head)

        for key in KEYS[:8]:
            await stage.send(key=key)
        await until(lambda: ada.room.statistics().over_limit == 8 - rooms.MAX_RAISED)
        raised = ada.raised()
        for key in KEYS[:8]:
            bob.room.ask(
                stage.question(raised[0], subject=sign(key, to=BANK, maxFeePerGas=10**11).hash), "ada"
            )
        for key in KEYS[:8]:  # ada holds those that it raised; the others are bob's own
            bob.desk.hold(sign(key, to=BANK, maxFeePerGas=10**11).raw)
        await until(lambda: len(bob.answered) == 8)

        assert len({alert.slot.subject for alert in raised}) == rooms.MAX_RAISED
        assert len(bob.raised()) == 5
        assert bob.room.statistics().over_limit == 3


async def test_more_questions_than_may_wait_are_dropped_and_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rooms, "MAX_QUESTIONS", 1)
    monkeypatch.setattr(rooms, "ANSWERERS", 1)
    async with staged(blind=True) as stage:
        bob = stage.watchers["bob"]
        head = await stage.put(PAY_ALL)
        for number in range(4):
            bob.room.ask(
                Question(
                    policy_hash=stage.policy.hash,
                    rule_id=compute_rule_id("foreseen"),
                    chain_id=stage.pool.chain_id,
                    anchor_number=head.number,
                    anchor_hash=head.hash,
                    subject=bytes([number + 1]) * 32,
                ),
                None,
            )

        assert bob.room.statistics().questions_dropped >= 2
        assert len(bob.answered) == bob.room.statistics().questions_dropped


# --- what a detection says of it


async def test_a_detection_is_asked_when_it_has_judged_the_block_and_members_sign_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "DETECTION_SECONDS", 3_600)
    async with staged(policy=make_detecting_policy(tmp_path)) as stage:
        ada, bob = stage.watchers["ada"], stage.watchers["bob"]
        head = await stage.put(PAY_ALL)
        subject = await stage.send()
        await stage.send(key=KEYS[1], to=PAYER, value=1)  # touches nothing that is watched
        for each in (ada, bob):
            each.room.head(head)
        await until(lambda: ada.room._judged.statistics().tasks_waiting == 1)
        assert ada.raised() == []

        stage.stand(head)
        alert = await ada.next_alert()
        state = detection_of(stage.policy)._standing
        assert state is not None
        before = state[1].state_hash()
        bob.room.ask(stage.question(alert), "ada")
        answer = await bob.next_alert()

        assert (alert.slot.subject, alert.slot.anchor_hash) == (subject, head.hash)
        assert answer.digest() == alert.digest()
        assert state[1].state_hash() == before
        await until(lambda: ada.room.statistics().run == 2)
        assert ada.raised() == []


async def test_less_than_the_level_or_what_would_fail_is_not_told(tmp_path: Path) -> None:
    async with staged(policy=make_detecting_policy(tmp_path)) as stage:
        ada = stage.watchers["ada"]
        for number, code in enumerate((PAY_ONE, PAY_AND_FAIL)):
            head = await stage.put(code)
            stage.stand(head)
            ada.room.head(head)
            await stage.send(key=KEYS[number])
            await until(lambda most=number: ada.room.statistics().run > most)
        assert ada.raised() == []


async def test_a_detection_that_does_not_stand_at_the_block_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "DETECTION_SECONDS", 0.05)
    async with staged(policy=make_detecting_policy(tmp_path)) as stage:
        ada = stage.watchers["ada"]
        past = await stage.put(PAY_ALL)
        stage.stand(past)
        head = await stage.mine()
        ada.room.head(head)
        await stage.send(key=KEYS[1], to=PAYER, value=1)  # touches nothing that is watched
        await until(lambda: ada.room.statistics().run == 1)
        assert ada.room.statistics().unknown == 0
        await stage.send()
        await until(lambda: ada.room.statistics().unknown == 1)
        assert ada.raised() == []

        stage.stand(head)  # and has left what came before
        ada.room.ask(
            stage.question(await foreseen(stage), anchor_number=past.number, anchor_hash=past.hash), None
        )
        await until(lambda: ada.room.statistics().questions_dropped == 1)


async def foreseen(stage: Stage) -> Alert:
    """At the next block."""
    ada = stage.watchers["ada"]
    head = await ChainReader(stage.pool).latest()
    await stage.send(key=KEYS[2])
    ada.room.head(head)
    return await ada.next_alert()


async def test_where_no_endpoint_traces_a_detection_says_nothing(tmp_path: Path) -> None:
    async with staged(policy=make_detecting_policy(tmp_path)) as stage:
        ada = stage.watchers["ada"]
        head = await stage.put(PAY_ALL)
        stage.stand(head)
        tracer = ada.room._eyes.tracers[detection_of(stage.policy).watched]
        tracer._node._limits = Limits(trace_seconds=0)  # type: ignore[attr-defined]
        await stage.send()
        ada.room.head(head)

        await until(lambda: ada.room.statistics().unknown == 1)
        assert ada.raised() == []
