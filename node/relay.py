"""A relay: carries certificates and handovers to every chain that it knows, for the gas and nothing else.

It has no stake and signs nothing. What landed on one chain is read from there, checked against the operator
sets in the registry, and delivered to the guardians on the others; verifiers that are behind get the
handovers with which the others were brought further. What has landed nowhere yet it pulls from the operators
that let it (`node/pulling.py`). Nothing is kept, so a relay can be killed at any time, or run from cron
(`relay_once`), and two do no harm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
import trio

from consensus.alert import Action, compute_network_id
from consensus.certificate import Certificate, meets
from consensus.errors import Reason, Refused, Unavailable
from consensus.handover import HandoverProof
from consensus.types import Address, BlockNumber, ChainId, Digest, Epoch, PolicyHash, Seconds
from node.chain.contracts import Registry
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.config import RelayConfig
from node.gossip.host import HostConfig, addresses_by_peer, open_host
from node.gossip.room import compute_topic
from node.keys import open_account, open_identity
from node.members import Members
from node.observe.heads import HeadEvent
from node.opened import OpenChain, open_chain
from node.operate.heads import report_heads
from node.policies import read_policy
from node.pulling import Pulling
from node.respond.carrier import Carrier
from node.respond.delivered import DeliveryReader, rebuild_certificate
from node.respond.responder import Responder
from node.respond.types import Effect, GuardianPort, Simulation

HEADS: Final = 64
CERTIFICATES: Final = 256
EFFECTS: Final = 64
OVERLAP_BLOCKS: Final = 16
"""Read again with every new head: a reorganisation may have put something else there."""
REFRESH_BLOCKS: Final = 20
MAX_ROUNDS: Final = 32
"""Of handovers in one pass; each brings a verifier some epochs further."""
BPS: Final = 10_000

_log = structlog.get_logger("relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one pass did about one action of one alert."""

    digest: Digest
    chain_id: ChainId
    guardian: Address
    action: str
    outcome: str
    """`delivered`, `in_force` already, `waiting` for signatures, `expired`, `refused` or `unavailable`."""
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "digest": f"0x{self.digest.hex()}",
            "chain_id": self.chain_id,
            "guardian": self.guardian,
            "action": self.action,
            "outcome": self.outcome,
            "detail": self.detail,
        }


@dataclass(slots=True, kw_only=True)
class RelayReport:
    """What one pass came to."""

    account: Address
    handovers: int = 0
    behind: int = 0
    deliveries: list[Delivered] = field(default_factory=list)
    unavailable: list[ChainId] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left that a later pass could do at once."""
        troubles = {"refused", "unavailable"}
        return not (
            self.unavailable or self.behind or any(each.outcome in troubles for each in self.deliveries)
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "complete": self.is_complete,
            "handovers": self.handovers,
            "verifiers_behind": self.behind,
            "deliveries": [each.as_dict() for each in self.deliveries],
            "chains_unavailable": list(self.unavailable),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """Everything that a relay works with."""

    account: Address
    chains: Mapping[ChainId, OpenChain]
    home: OpenChain
    members: Members
    actions: tuple[Action, ...]
    policies: frozenset[PolicyHash]
    ttl_seconds: Seconds

    def guardians(self, chain_id: ChainId) -> list[Address]:
        return [action.guardian for action in self.actions if action.chain_id == chain_id]

    def carrier(
        self,
        proof_of: Callable[[Epoch], HandoverProof | None] = lambda _epoch: None,
        *,
        operators: Sequence[Address] | None = None,
    ) -> Carrier:
        """`operators` go first; None for those of the newest epoch."""
        return Carrier(
            me=self.account,
            operators=self.members.addresses if operators is None else lambda: operators,
            newest=self.newest,
            proof_of=proof_of,
            chains={
                chain_id: chain.carrying(self.guardians(chain_id)) for chain_id, chain in self.chains.items()
            },
        )

    def newest(self) -> Epoch:
        sets = self.members.operator_sets
        return sets[-1].epoch if sets else Epoch(0)

    def rebuild(self, deliveries: Sequence[Any]) -> list[Certificate]:
        """The certificates that can be checked here; the others are logged."""
        by_leaf = {action.leaf(): action for action in self.actions}
        certificates = []
        for delivery in deliveries:
            try:
                certificates.append(
                    rebuild_certificate(
                        delivery,
                        network_id=self.members.network_id,
                        actions=by_leaf,
                        operator_sets=self.members.operator_sets,
                    )
                )
            except Refused as refused:
                _log.warning("delivery.refused", reason=refused.reason, detail=refused.message)
        return certificates

    def reader(self, chain_id: ChainId) -> DeliveryReader:
        to = self.chains[chain_id].connection
        return DeliveryReader(self.guardians(chain_id), pool=to.pool, reader=to.reader)


async def run_relay(config: RelayConfig) -> None:
    """Carry until cancelled.

    Raises `Refused` at the start for keys, policies or configuration that cannot work, and `Unavailable` when
    the registry cannot be read.
    """
    async with _opened(config) as ground:
        await ground.members.refresh(await ground.home.reader.latest())
        certificates_in, certificates = trio.open_memory_channel[Certificate](CERTIFICATES)
        effects_in, effects = trio.open_memory_channel[Effect](EFFECTS)
        answering = {chain_id: chain.answering() for chain_id, chain in ground.chains.items()}
        responder = Responder(me=ground.account, chains=answering)
        async with _open_pulling(config, ground, certificates_in) as pulling, trio.open_nursery() as nursery:
            for chain_id, chain in ground.chains.items():
                nursery.start_soon(_follow, ground, chain, pulling, nursery)
                nursery.start_soon(_gather, ground, chain_id, certificates_in)
            if pulling is not None:
                nursery.start_soon(_pull, ground, pulling)
            followers = {chain_id: chain.follower for chain_id, chain in ground.chains.items()}
            nursery.start_soon(report_heads, followers)
            nursery.start_soon(responder.run, certificates, effects_in)
            proof_of = (lambda _epoch: None) if pulling is None else pulling.votes.proof
            nursery.start_soon(ground.carrier(proof_of).run)
            _log.info("relay.ready", account=ground.account, chains=sorted(ground.chains))
            async for effect in effects:
                _log.info(
                    "effect.verified",
                    digest=effect.digest,
                    chain_id=effect.chain_id,
                    guardian=effect.guardian,
                    action=effect.action_id,
                    transaction=effect.transaction,
                    block_number=effect.block_number,
                )


async def relay_once(config: RelayConfig) -> RelayReport:
    """Bring every chain as far as can be done now, and tell. A chain that does not answer is left out.

    Raises `Refused` as `run_relay` does, and `Unavailable` when the home chain does not answer.
    """
    async with _opened(config) as ground:
        report = RelayReport(account=ground.account)
        await ground.members.refresh(await ground.home.reader.latest())
        await _advance_clocks(ground, report)
        await _carry_all(ground, report)
        await _deliver_all(ground, report)
        return report


@asynccontextmanager
async def _opened(config: RelayConfig) -> AsyncIterator[_Ground]:
    account = await open_account(config.transaction_keystore, config.password_file)
    policies = [await trio.to_thread.run_sync(read_policy, path) for path in config.policies]
    async with AsyncExitStack() as stack:
        chains = {
            each.chain_id: await stack.enter_async_context(
                open_chain(each, account, timeout_seconds=config.rpc_timeout_seconds)
            )
            for each in config.chains
        }
        home = chains[config.network.home_chain]
        members = Members(
            network_id=compute_network_id(config.network.home_chain, config.network.registry),
            activation_delay=Seconds(config.network.activation_delay_seconds),
            me=Address(account.address),
            registry=Registry(config.network.registry, home.reader),
        )
        yield _Ground(
            account=Address(account.address),
            chains=chains,
            home=home,
            members=members,
            actions=tuple({each.action: None for policy in policies for each in policy.actions}),
            policies=frozenset(policy.hash for policy in policies),
            ttl_seconds=max(policy.ttl_seconds for policy in policies),
        )


# --- carrying on


@asynccontextmanager
async def _open_pulling(
    config: RelayConfig, ground: _Ground, certificates: trio.MemorySendChannel[Certificate]
) -> AsyncIterator[Pulling | None]:
    """What reaches the operators, where the configuration says how."""
    if config.pulling is None:
        yield None
        return

    def now() -> Seconds:
        heads = [chain.clock.latest for chain in ground.chains.values()]
        return Seconds(max((head.timestamp for head in heads if head is not None), default=0))

    identity = await open_identity(config.pulling.p2p_keystore, config.password_file)
    network_id = ground.members.network_id
    host = HostConfig(seed=identity.to_bytes(), listen=config.pulling.listen, topic=compute_topic(network_id))
    async with open_host(host) as transport:
        yield Pulling(
            transport=transport,
            addresses=addresses_by_peer(config.pulling.peers),
            members=ground.members,
            clock=ground.home.clock,
            confirmations=config.network.capture_confirmations,
            policies=ground.policies,
            now=now,
            certificates=certificates,
        )


async def _pull(ground: _Ground, pulling: Pulling) -> None:
    """From the home chain's first head on: windows are measured by chain time."""
    await ground.home.clock.wait_beyond(None)
    await pulling.run()


async def _follow(ground: _Ground, chain: OpenChain, pulling: Pulling | None, nursery: trio.Nursery) -> None:
    """Let the chain's clock go, and read new epochs from the registry on the home chain."""
    events_in, events = trio.open_memory_channel[HeadEvent](HEADS)
    nursery.start_soon(chain.follower.follow, events_in)
    is_due = False
    async for event in events:
        chain.clock.advance(event.ref)
        is_due |= chain is ground.home and event.ref.number % REFRESH_BLOCKS == 0
        if not is_due:
            continue
        try:
            if await ground.members.refresh(event.ref) and pulling is not None:
                await pulling.enter_epochs()
            is_due = False
        except (Refused, Unavailable) as error:
            reason = error.reason if isinstance(error, Refused) else Reason.SOURCE_UNAVAILABLE
            _log.warning("epochs.unread", block_number=event.ref.number, reason=reason, detail=str(error))


async def _gather(
    ground: _Ground, chain_id: ChainId, certificates: trio.MemorySendChannel[Certificate]
) -> None:
    """Everything that is delivered on this chain, from as far back as an alert may live."""
    chain, reader = ground.chains[chain_id], ground.reader(chain_id)
    first: BlockNumber | None = None
    head = await chain.clock.wait_beyond(None)
    while True:
        try:
            if first is None:
                first = await find_first_block(chain.reader, head, ground.ttl_seconds)
            since = BlockNumber(max(0, min(first, head.number - OVERLAP_BLOCKS)))
            for certificate in ground.rebuild(await reader.between(since, head.number)):
                await certificates.send(certificate)
            first = BlockNumber(head.number + 1)
        except (Refused, Unavailable) as error:
            _log.warning("deliveries.unread", chain_id=chain_id, detail=str(error))
        head = await chain.clock.wait_other(head)


async def find_first_block(reader: ChainReader, head: BlockRef, seconds: Seconds) -> BlockNumber:
    """The oldest block that is at most so many seconds older than `head`. Raises `Unavailable`."""
    low, high = 0, int(head.number)
    while low < high:
        middle = (low + high) // 2
        block = await reader.block_by_number(BlockNumber(middle))
        if block.timestamp + seconds < head.timestamp:
            low = middle + 1
        else:
            high = middle
    return BlockNumber(low)


# --- one pass


async def _advance_clocks(ground: _Ground, report: RelayReport) -> None:
    report.unavailable.clear()
    for chain_id, chain in ground.chains.items():
        try:
            chain.clock.advance(await chain.reader.latest())
        except Unavailable as unavailable:
            _log.warning("head.unavailable", chain_id=chain_id, detail=str(unavailable))
            report.unavailable.append(chain_id)


async def _carry_all(ground: _Ground, report: RelayReport) -> None:
    carrier = ground.carrier(operators=())  # nobody goes first: they have had their turns
    for _ in range(MAX_ROUNDS):
        before = carrier.statistics().carried
        is_level = [
            await carrier.look(chain_id, head)
            for chain_id, chain in ground.chains.items()
            if chain_id not in report.unavailable and (head := chain.clock.latest) is not None
        ]
        if all(is_level) or carrier.statistics().carried == before:
            break
        await _advance_clocks(ground, report)
    report.handovers = carrier.statistics().carried
    report.behind = carrier.statistics().behind


async def _deliver_all(ground: _Ground, report: RelayReport) -> None:
    await _advance_clocks(ground, report)
    best: dict[Digest, Certificate] = {}
    for chain_id, chain in ground.chains.items():
        head = chain.clock.latest
        if chain_id in report.unavailable or head is None:
            continue
        try:
            first = await find_first_block(chain.reader, head, ground.ttl_seconds)
            deliveries = await ground.reader(chain_id).between(first, head.number)
        except (Refused, Unavailable) as error:
            _log.warning("deliveries.unread", chain_id=chain_id, detail=str(error))
            report.unavailable.append(chain_id)
            continue
        for certificate in ground.rebuild(deliveries):
            known = best.get(certificate.digest())
            if known is None or known.signed_weight < certificate.signed_weight:
                best[certificate.digest()] = certificate
    for certificate in best.values():
        for action in certificate.alert.actions:
            chain_of_action = ground.chains.get(action.chain_id)
            if chain_of_action is not None and action.chain_id not in report.unavailable:
                report.deliveries.append(await _deliver(certificate, action, chain_of_action))


async def _deliver(certificate: Certificate, action: Action, chain: OpenChain) -> Delivered:
    head = chain.clock.latest
    assert head is not None
    detail = ""
    try:
        outcome = await _try_to_deliver(certificate, action, chain.guardian(action.guardian), head)
    except Refused as refused:
        outcome, detail = "refused", str(refused)
    except Unavailable as unavailable:
        outcome, detail = "unavailable", str(unavailable)
    delivered = Delivered(
        digest=certificate.digest(),
        chain_id=action.chain_id,
        guardian=action.guardian,
        action=f"0x{action.action_id.hex()}",
        outcome=outcome,
        detail=detail,
    )
    _log.info("relay.tried", **delivered.as_dict())
    return delivered


async def _try_to_deliver(
    certificate: Certificate, action: Action, guardian: GuardianPort, head: BlockRef
) -> str:
    """One action of a certificate at one head; the outcome in a word. Raises `Refused`, `Unavailable`."""
    if head.timestamp > certificate.alert.expires_at:
        return "expired"
    terms = await guardian.terms(action.action_id)
    if not meets(certificate.signed_weight, certificate.total_weight, terms.threshold_bps, BPS):
        return "waiting"
    if (await guardian.standing(action.action_id)).in_force(head.timestamp):
        return "in_force"
    if await guardian.simulate(certificate, action) is Simulation.ALREADY_ACTIVE:
        return "in_force"
    landed = await guardian.submit(certificate, action)
    if not landed.succeeded:
        raise Refused(Reason.TRANSACTION_REFUSED, f"0x{landed.transaction_hash.hex()} reverted")
    return "delivered"
