"""The map: one watcher, its rooms, and the channels between them, in the order of the flow.

    heads → detections (traces, levels) → evaluate, the rules that wait for them
      ↳ evaluate → attest → gossip
                         ↓        ↓
                       tally ← members' attestations
                         ↓ certificate, growing      ↳ question → evaluate
                       respond → effect            expiry ends what has run out

    mempools, heads, questions about pending transactions → foresight → attest, and on from there

Each channel carries one frozen type and has a bound: our own work waits at a full door, a stranger's is
refused and counted. A room that fails takes the watcher down, and its supervisor starts it again: state that
matters is on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog
import trio

from consensus.alert import Alert, Slot, compute_network_id
from consensus.attestation import Attestation
from consensus.certificate import Certificate
from consensus.errors import Reason, Refused, Unavailable
from consensus.partial import Contribution, PartialCertificate, decode_partial
from consensus.pending_evidence import decode_pending_evidence, encode_pending_evidence
from consensus.retraction import decode_retraction, encode_retraction
from consensus.succession import Succession, decode_vote, encode_vote
from consensus.tally import Tally
from consensus.types import BlockNumber, ChainId, Seconds
from node.attest.door import SigningDoor
from node.attest.room import SigningRoom
from node.chain.contracts import Registry
from node.chain.types import BlockRef
from node.config import Config
from node.evaluate.findings import Question
from node.evaluate.policy import ForeseenRule, Policy
from node.foresight.evidence import EvidenceDesk
from node.foresight.eyes import Eyes, open_eyes
from node.gossip.addresses import dialable
from node.gossip.forwarder import Forwarder
from node.gossip.forwarding import Forwarding
from node.gossip.frames import Kind
from node.gossip.holdings import TallyHoldings
from node.gossip.host import HostConfig, addresses_by_peer, open_host
from node.gossip.identity import Identity
from node.gossip.line import Line
from node.gossip.room import GossipRoom, compute_older_topic, compute_topic
from node.gossip.transport import Addresses, GossipTransport, PeerId
from node.keys import open_node_keys
from node.members import Members
from node.observe.heads import HeadEvent
from node.opened import OpenChain, open_chain
from node.operate.effects import report_effects
from node.operate.heads import report_heads
from node.operate.peers import report_peers
from node.operate.server import serve_watch
from node.operate.snapshot import ChainSight, Snapshot, find_standing
from node.policies import read_policy
from node.respond.carrier import Carrier
from node.respond.expiry import Expiry
from node.respond.faults import FaultsOnChain
from node.respond.reporter import Reporter
from node.respond.responder import Responder
from node.respond.types import Effect
from node.retracting import Retractions
from node.signing import open_signing_door
from node.succession import SuccessionRoom
from node.tallying import Tallying
from node.watching import ChainWatch

REFRESH_BLOCKS = 20  # how often the registry is asked for a new epoch

# What fits through each door before the sender waits, or is refused where it is a stranger
HEADS = 64  # a minute of a fast chain
ALERTS = 256  # every rule of a large policy at one block
ATTESTATIONS = 1_024  # an incident's burst of 256 operators, four alerts
CERTIFICATES = 256
QUESTIONS = 64  # members' claims that wait to be looked into; more are dropped and counted
EFFECTS = 64

_log = structlog.get_logger("watcher")


async def run_watcher(config: Config) -> None:
    """Run one watcher until it is cancelled.

    Raises `Refused` at the start for keys, journal, policies or configuration that cannot work,
    `Unavailable` when the registry cannot be read, and whatever a room died of.
    """
    keys = await open_node_keys(config.keys)
    policies = tuple(read_policy(path) for path in config.policies)
    async with AsyncExitStack() as stack:
        signer = await stack.enter_async_context(open_signing_door(config))
        chains = {
            each.chain_id: await stack.enter_async_context(
                open_chain(each, keys.account, timeout_seconds=config.rpc_timeout_seconds)
            )
            for each in config.chains
        }
        _require_source_chains(policies, chains)
        eyes = {
            each.chain_id: await stack.enter_async_context(
                open_eyes(
                    chains[each.chain_id].connection.pool,
                    each.endpoints,
                    rules,
                    timeout_seconds=config.rpc_timeout_seconds,
                )
            )
            for each in config.chains
            if (rules := _pending_rules(policies, each.chain_id))
        }
        home = chains[config.network.home_chain]
        members = Members(
            network_id=compute_network_id(config.network.home_chain, config.network.registry),
            activation_delay=Seconds(config.network.activation_delay_seconds),
            me=keys.address,
            registry=Registry(config.network.registry, home.reader),
        )
        await members.refresh(await home.reader.latest())
        transport = await stack.enter_async_context(
            open_host(
                HostConfig(
                    seed=keys.identity.to_bytes(),
                    listen=config.gossip.listen,
                    topic=compute_topic(members.network_id),
                    older_topic=compute_older_topic(members.network_id),
                )
            )
        )
        await _run_rooms(
            chains=chains,
            home=home,
            eyes=eyes,
            policies=policies,
            members=members,
            signer=signer,
            transport=transport,
            identity=Identity(keys.identity.to_bytes()),
            announced=config.gossip.announce or dialable(transport.listening_on),
            addresses=addresses_by_peer(config.gossip.peers),
            relays=frozenset(PeerId(each) for each in config.gossip.relays),
            listen_seconds=config.signer.listen_seconds,
            capture_confirmations=config.network.capture_confirmations,
            listen=config.operate.listen,
        )


async def _run_rooms(
    *,
    chains: Mapping[ChainId, OpenChain],
    home: OpenChain,
    eyes: Mapping[ChainId, Eyes],
    policies: tuple[Policy, ...],
    members: Members,
    signer: SigningDoor,
    transport: GossipTransport,
    identity: Identity,
    announced: Addresses,
    addresses: Mapping[PeerId, Addresses],
    relays: frozenset[PeerId],
    listen_seconds: float,
    capture_confirmations: int,
    listen: str | None,
) -> None:
    """Wire the rooms together: one line an edge."""
    alerts_in, alerts = trio.open_memory_channel[Alert](ALERTS)
    outgoing_in, outgoing = trio.open_memory_channel[Attestation](ATTESTATIONS)
    incoming_in, incoming = trio.open_memory_channel[Contribution](ATTESTATIONS)
    certificates_in, certificates = trio.open_memory_channel[Certificate](CERTIFICATES)
    questions_in, questions = trio.open_memory_channel[Question](QUESTIONS)
    effects_in, effects = trio.open_memory_channel[Effect](EFFECTS)

    def chain_time() -> Seconds:
        """The newest block's time on any chain: what windows are measured by, never this machine's clock."""
        heads = [chain.clock.latest for chain in chains.values()]
        return Seconds(max((head.timestamp for head in heads if head is not None), default=0))

    tally = Tally(members.network_id)
    forwarding = Forwarding(
        Forwarder(tally),
        transport=transport,
        network_id=members.network_id,
        incoming=incoming_in.clone(),
        index_of=members.index_of,
        alert_of=tally.alert,
        now=chain_time,
    )
    gossip = GossipRoom(
        transport=transport,
        network_id=members.network_id,
        incoming=incoming_in.clone(),
        now=chain_time,
        first_peers=forwarding.first_peers,
        holdings=TallyHoldings(tally),
        relays=relays,
    )
    # milliseconds of now: above every number of a run before, or outbid as soon as a peer tells us of it
    gossip.exchange_addresses(identity, addresses=announced, sequence=time.time_ns() // 1_000_000)
    gossip.serve(Kind.PARTIAL_CERTIFICATE, decode=decode_partial, take=forwarding.take)

    async def blame(contribution: Contribution, reason: Reason) -> None:
        if isinstance(contribution, PartialCertificate):
            await forwarding.blame(contribution, reason)
        else:
            await gossip.blame(contribution, reason)

    reporter = Reporter(
        me=members.me,
        operators=members.addresses,
        set_of=members.set_of,
        faults=FaultsOnChain(
            members.registry.address, reader=home.reader, sender=home.connection.sender, clock=home.clock
        ),
        clock=home.clock,
    )
    tallying = Tallying(
        tally,
        now=chain_time,
        policies=frozenset(policy.hash for policy in policies),
        certificates=certificates_in,
        questions=questions_in,
        blame=blame,
        learned=forwarding.learned,
        settled=gossip.settled,
        heard=lambda contribution: signing.heard(contribution),
        accuse=gossip.accuse,
        proven=reporter.note,
    )

    evidence = Line(gossip, Kind.EVIDENCE, encode=encode_pending_evidence, decode=decode_pending_evidence)
    desk = EvidenceDesk(push=evidence.tell, publish=evidence.tell_all)
    evidence.listen(desk.take)
    watches = {
        chain_id: ChainWatch(
            chains[chain_id],
            watched,
            eyes=eyes.get(chain_id),
            readers={each: chain.reader for each, chain in chains.items()},
            membership=members.membership,
            alerts=alerts_in,
            desk=desk,
            answered=tallying.answered,
        )
        for chain_id, watched in _by_source(policies).items()
    }
    answering = {chain_id: chain.answering() for chain_id, chain in chains.items()}
    responder = Responder(me=members.me, chains=answering)

    actions = [each.action for policy in policies for each in policy.actions]
    expiry = Expiry(
        me=members.me,
        operators=members.addresses,
        actions=actions,
        chains=answering,
    )

    handovers = Line(gossip, Kind.HANDOVER, encode=encode_vote, decode=decode_vote)
    votes = Succession(members.network_id)
    succession = SuccessionRoom(
        votes,
        signer=signer,
        index_of=members.index_of,
        sets=lambda: members.operator_sets,
        registry=members.registry,
        clock=home.clock,
        confirmations=capture_confirmations,
        publish=handovers.tell_all,
    )
    handovers.listen(lambda vote, _: succession.take(vote))
    carrier = Carrier(
        me=members.me,
        operators=members.addresses,
        newest=lambda: succession.newest,
        proof_of=votes.proof,
        chains={
            chain_id: chain.carrying([each.guardian for each in actions if each.chain_id == chain_id])
            for chain_id, chain in chains.items()
        },
    )

    async def enter_epochs() -> None:
        for each in members.operator_sets:
            tally.add_operator_set(each)
        forwarding.use_operator_sets(members.operator_sets)
        await gossip.use_operator_sets(members.operator_sets, addresses)

    async def read_epochs(at: BlockRef) -> bool:
        """Whether the registry could be read. Where not, the epochs that are known go on."""
        try:
            if await members.refresh(at):
                await enter_epochs()
        except (Refused, Unavailable) as error:
            reason = error.reason if isinstance(error, Refused) else Reason.SOURCE_UNAVAILABLE
            _log.warning("epochs.unread", block_number=at.number, reason=reason, detail=str(error))
            return False
        return True

    first_heads: dict[ChainId, BlockNumber] = {}

    async def follow(chain: OpenChain) -> None:
        events_in, events = trio.open_memory_channel[HeadEvent](HEADS)
        epochs_are_due = False
        nursery.start_soon(chain.follower.follow, events_in)
        async for event in events:
            chain.clock.advance(event.ref)
            if signing.is_listening or event.ref.chain_id not in first_heads:
                first_heads[event.ref.chain_id] = event.ref.number
            _log.info(
                "head.seen", chain_id=event.ref.chain_id, block_number=event.ref.number, kind=event.kind
            )
            await retractions.check(event.ref.chain_id)
            if event.ref.chain_id in watches:
                await watches[event.ref.chain_id].see(event.ref)
            epochs_are_due |= chain is home and event.ref.number % REFRESH_BLOCKS == 0
            if epochs_are_due:
                epochs_are_due = not await read_epochs(event.ref)

    async def answer() -> None:
        async for question in questions:
            if question.chain_id in watches:
                asker = None if question.asked_by is None else members.peer_of(*question.asked_by)
                await watches[question.chain_id].answer(question, asker)
            else:
                tallying.answered(question)

    async def sign() -> None:
        doors = (incoming_in, outgoing_in)  # our own tally first: a lone quorum needs no network
        await signing.run(alerts, doors)

    orphans = Line(gossip, Kind.RETRACTION, encode=encode_retraction, decode=decode_retraction)
    retractions = Retractions(
        members.network_id,
        has_left=lambda slot: is_orphaned(slot),
        look={chain_id: chain.follower.look_now for chain_id, chain in chains.items()},
        publish=orphans.tell_all,
        settled=gossip.settled,
    )
    orphans.listen(lambda retraction, _: retractions.take(retraction))

    def is_orphaned(slot: Slot) -> bool:
        return chains[slot.source_chain_id].follower.orphans.has_left(slot.anchor_number, slot.anchor_hash)

    def raise_again(alert: Alert) -> None:
        if alert.slot.source_chain_id in watches:
            watches[alert.slot.source_chain_id].forget(alert.slot_id())

    signing = SigningRoom(
        signer,
        index_of=members.index_of,
        raised=tallying.raised_here,
        since=first_heads.get,
        is_orphaned=is_orphaned,
        now=chain_time,
        dropped=raise_again,
        signed=retractions.signed,
        listen_seconds=listen_seconds,
    )

    began = trio.current_time()

    def take_snapshot() -> Snapshot:
        gossiped = gossip.statistics()
        return Snapshot(
            operator=members.me,
            peer_id=transport.peer_id,
            uptime_seconds=trio.current_time() - began,
            tasks=trio.lowlevel.current_statistics().tasks_living,
            chain_time=chain_time(),
            chains=tuple(_sight(chain, is_source=chain_id in watches) for chain_id, chain in chains.items()),
            standing=find_standing(
                members.operator_sets, me=members.me, connected=gossiped.transport.connected
            ),
            evaluation=tuple(
                (chain_id, each) for chain_id, watch in watches.items() for each in watch.statistics()
            ),
            live=tuple(
                (chain_id, found)
                for chain_id, watch in watches.items()
                if (found := watch.live_statistics()) is not None
            ),
            foresight=tuple(
                (chain_id, seen)
                for chain_id, watch in watches.items()
                if (seen := watch.foresight_statistics()) is not None
            ),
            signing=signing.statistics(),
            gossip=gossiped,
            forwarding=forwarding.statistics(),
            tallying=tallying.statistics(),
            responding=responder.statistics(),
            carrying=carrier.statistics(),
            reporting=reporter.statistics(),
        )

    async with trio.open_nursery() as nursery:
        for chain in chains.values():
            nursery.start_soon(follow, chain)
        for watch in watches.values():
            nursery.start_soon(watch.run)
        if listen is not None:
            nursery.start_soon(serve_watch, listen, take_snapshot)
        nursery.start_soon(report_heads, {chain_id: chain.follower for chain_id, chain in chains.items()})
        # windows are measured by chain time: no message before there is one. Only the home chain is waited
        # for, so that another chain's outage does not silence this watcher on all of them
        await home.clock.wait_beyond(None)
        await enter_epochs()
        nursery.start_soon(answer)
        nursery.start_soon(sign)
        nursery.start_soon(signing.look_at_heard)
        nursery.start_soon(gossip.run, outgoing)
        nursery.start_soon(forwarding.run)
        nursery.start_soon(tallying.run, incoming)
        nursery.start_soon(responder.run, certificates, effects_in)
        nursery.start_soon(expiry.run)
        nursery.start_soon(reporter.run)
        nursery.start_soon(succession.run)
        nursery.start_soon(carrier.run)
        nursery.start_soon(report_effects, effects)
        nursery.start_soon(report_peers, transport)
        _log.info(
            "watcher.ready", operator=members.me, peer_id=transport.peer_id, epochs=len(members.operator_sets)
        )


def _sight(chain: OpenChain, *, is_source: bool) -> ChainSight:
    return ChainSight(
        chain_id=chain.config.chain_id,
        name=chain.config.name,
        is_source=is_source,
        heads=chain.follower.statistics(),
        head_age_seconds=chain.clock.age_seconds,
        rpc=chain.connection.pool.statistics(),
    )


def _pending_rules(policies: tuple[Policy, ...], chain_id: ChainId) -> tuple[ForeseenRule, ...]:
    """The rules about pending transactions of this chain."""
    return tuple(
        rule for policy in policies if policy.source_chain_id == chain_id for rule in policy.pending_rules
    )


def _by_source(policies: tuple[Policy, ...]) -> Mapping[ChainId, tuple[Policy, ...]]:
    chain_ids = {policy.source_chain_id for policy in policies}
    return {
        chain_id: tuple(policy for policy in policies if policy.source_chain_id == chain_id)
        for chain_id in sorted(chain_ids)
    }


def _require_source_chains(policies: tuple[Policy, ...], chains: Mapping[ChainId, OpenChain]) -> None:
    for policy in policies:
        if policy.source_chain_id not in chains:
            raise Refused(
                Reason.BAD_CONFIG,
                f"policy {policy.name} watches chain {policy.source_chain_id}, and no "
                f"[[chains]] table has that id; configured are {sorted(chains)}",
            )
