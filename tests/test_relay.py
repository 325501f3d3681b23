"""A relay between two chains: what one has, the other gets, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import base58
import pytest
import trio

from consensus.alert import Alert, Slot, Verdict, compute_action_id, compute_network_id, compute_rule_id
from consensus.attestation import Attestation, attest
from consensus.bls import Purpose, sign
from consensus.certificate import Certificate, build_certificate, encode_certificate, encode_signatures
from consensus.errors import Reason, Refused
from consensus.handover import compute_handover
from consensus.operators import OperatorSet
from consensus.succession import HandoverVote, Side, encode_vote
from consensus.tally import Tally
from consensus.types import Address, OperatorIndex, Seconds
from node.chain.abi import load_artifact
from node.chain.contracts import Guardian, Registry
from node.chain.reader import ChainReader
from node.config import RelayConfig, load_relay_config
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import deploy_trust
from node.devnet.network import Ground
from node.devnet.staking import deploy_staking
from node.evaluate.policy import Policy
from node.gossip.frames import Kind
from node.gossip.holdings import TallyHoldings
from node.gossip.host import HostConfig, open_host, peer_id_of_seed
from node.gossip.room import GossipRoom, compute_topic
from node.gossip.transport import PeerId
from node.keys import make_relay_keys
from node.policies import read_policy
from node.private_files import PRIVATE_FILE_MODE
from node.relay import find_first_block, relay_once, run_relay
from node.respond.delivered import Delivery, parse_delivery, rebuild_certificate
from tests.bench.gas import make_secrets
from tests.bench.tripwire import Tripwire, deploy_two_tripwires
from tests.chain.doubles import EndpointDouble, doubles
from tests.consensus.factories import make_operator_set
from tests.contracts.test_registry import HOUR, TERMS, register
from tests.gossip.harness import address_of
from tests.respond.stage import make_certificate

SECRETS = make_secrets(3)
PAUSE = compute_action_id("pause")
PATIENCE_SECONDS = 60
REPOSITORY = Path(__file__).resolve().parents[1]
GUIDE = (REPOSITORY / "docs" / "relay.md").read_text()
COMMANDS = re.compile(r"^ *\$ (.+)$", re.MULTILINE)
SETTINGS = re.compile(r"^ *```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two chains that trust one registry, a target on each, and an account for a relay between them."""

    ground: Ground
    wire: Tripwire
    policy: Policy
    sets: list[OperatorSet]
    endpoints: dict[str, EndpointDouble]
    config_file: Path
    relay: PeerId

    @property
    def config(self) -> RelayConfig:
        return load_relay_config(self.config_file)

    async def capture(self) -> OperatorSet:
        """The next epoch, of the same operators."""
        ground = self.ground
        if self.sets:
            for chain in (ground.home, ground.away):
                await chain.pool.call("evm_increaseTime", (HOUR + 5,))
                await chain.mine()
        await ground.home.send("OperatorRegistry", ground.registry, "capture")
        self.sets.append(await read_newest(ground.home, ground.registry))
        return self.sets[-1]

    async def hand_over_at_home(self) -> None:
        """Let the home chain's verifier follow to the newest epoch."""
        outgoing, incoming = self.sets[-2:]
        digest = compute_handover(self.ground.network_id, outgoing, incoming).digest()
        signatures = {
            OperatorIndex(i): sign(secret, Purpose.HANDOVER, digest) for i, secret in enumerate(SECRETS)
        }
        await self.ground.home.send(
            "QuorumVerifier",
            self.ground.home_trust.verifier,
            "handover",
            encode_signatures(outgoing, signatures),
            encode_signatures(incoming, signatures),
        )

    async def certify(self, *, signers: int = 3) -> Certificate:
        """An alert about the home chain's newest block that asks for both pauses."""
        reader = ChainReader(self.ground.home.pool)
        for chain in (self.ground.home, self.ground.away):
            await chain.pool.call("evm_increaseTime", (5,))  # later than when the actions were set
            await chain.mine()
        anchor = await reader.latest()
        for chain in (self.ground.home, self.ground.away):
            await chain.mine()
        newest = self.sets[-1]
        (rule,) = self.policy.rules
        alert = Alert(
            network_id=self.ground.network_id,
            epoch=newest.epoch,
            header_hash=newest.header_hash(),
            slot=Slot(
                policy_hash=self.policy.hash,
                rule_id=compute_rule_id(rule.name),
                source_chain_id=anchor.chain_id,
                anchor_number=anchor.number,
                anchor_hash=anchor.hash,
            ),
            verdict=Verdict.THREAT,
            observed_at=anchor.timestamp,
            expires_at=Seconds(anchor.timestamp + self.policy.ttl_seconds),
            evidence_hash=bytes(32),
            actions=tuple(each.action for each in rule.actions),
        )
        signatures = {
            OperatorIndex(i): sign(SECRETS[i], Purpose.ALERT, alert.digest()) for i in range(signers)
        }
        return build_certificate(alert, newest, signatures)

    async def deliver_at_home(self, certificate: Certificate) -> None:
        home = self.ground.home
        action = next(each for each in certificate.alert.actions if each.chain_id == home.chain_id)
        data = Guardian(self.wire.guardian, ChainReader(home.pool)).encode_respond(certificate, action)
        await home.send_data(self.wire.guardian, data, "respond")

    async def is_paused(self) -> tuple[bool, bool]:
        assert self.wire.away is not None
        return (
            await self.ground.home.read("PausableTarget", self.wire.target, "paused"),
            await self.ground.away.read("PausableTarget", self.wire.away.target, "paused"),
        )

    async def epochs(self) -> tuple[int, int]:
        ground = self.ground
        home = await ground.home.read("QuorumVerifier", ground.home_trust.verifier, "currentSet")
        away = await ground.away.read("QuorumVerifier", ground.away_trust.verifier, "currentSet")
        return home[0], away[0]

    async def spent(self) -> int:
        """Transactions of the relay on the second chain."""
        account = json.loads((self.config_file.parent / "relay-account.json").read_text())["address"]
        count = await self.ground.away.pool.call("eth_getTransactionCount", (f"0x{account[-40:]}", "latest"))
        return int(str(count), 16)


async def read_newest(home: Deployer, registry: Address) -> OperatorSet:
    reader = ChainReader(home.pool)
    head = await reader.latest()
    known = Registry(registry, reader)
    return await known.operator_set(await known.current_epoch(head), head)


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    async with (
        running_anvil(chain_id=31_337) as here,
        running_anvil(chain_id=31_338) as there,
        open_deployer(here) as home,
        open_deployer(there) as away,
        doubles(here, "alpha") as (alpha,),
        doubles(there, "beta") as (beta,),
    ):
        token = await home.deploy("DemoToken", "Bond", "BOND")
        staking = await deploy_staking(home, token, TERMS)
        for number, (secret, account) in enumerate(zip(SECRETS, home.accounts[1:4], strict=True)):
            peer_id = base58.b58decode(peer_id_of_seed(bytes([number]) * 32))
            await register(home, token, staking, secret=secret, account=account, peer_id=peer_id)
        await home.send("OperatorRegistry", staking.registry, "capture")
        first = await read_newest(home, staking.registry)
        network_id = compute_network_id(home.chain_id, staking.registry)
        now = await home.timestamp() + 5
        for chain in (home, away):
            await chain.pool.call("evm_setTime", (now,))
            await chain.mine()
        ground = Ground(
            home=home,
            away=away,
            home_trust=await deploy_trust(home, network_id, first.header()),
            away_trust=await deploy_trust(away, network_id, first.header()),
            registry=staking.registry,
            network_id=network_id,
            directory=directory,
        )
        wire, policy_file = await deploy_two_tripwires(ground)
        password = directory / "password"
        password.touch(mode=PRIVATE_FILE_MODE)
        password.write_text("of a local relay")
        account, relay = await make_relay_keys(
            directory / "relay-account.json", directory / "relay-p2p.json", password, work_factor=2
        )
        for chain in (home, away):
            await chain.fund(account, 10**20)
        config_file = directory / "relay.toml"
        write_config(config_file, ground, policy_file, {"alpha": alpha, "beta": beta})
        yield World(
            ground=ground,
            wire=wire,
            policy=read_policy(policy_file),
            sets=[first],
            endpoints={"alpha": alpha, "beta": beta},
            config_file=config_file,
            relay=relay,
        )


def write_config(path: Path, ground: Ground, policy: Path, endpoints: dict[str, EndpointDouble]) -> None:
    chains = {"alpha": ground.home.chain_id, "beta": ground.away.chain_id}
    tables = "".join(
        f'''
[[chains]]
id = {chains[name]}
name = "{name}"
agreement = 1
confirmations = 2
[[chains.endpoints]]
name = "{name}"
http = "{endpoint.endpoint.http}"
'''
        for name, endpoint in endpoints.items()
    )
    path.write_text(
        f'''policies = ["{policy}"]
log_format = "json"
[keys]
transaction_keystore = "relay-account.json"
password_file = "password"
[network]
home_chain = {ground.home.chain_id}
registry = "{ground.registry}"
{tables}'''
    )


async def test_one_pass_brings_handovers_in_order_and_the_certificate_and_a_second_does_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        for _ in range(2):
            await here.capture()
            await here.hand_over_at_home()
        await here.deliver_at_home(await here.certify())
        assert await here.epochs() == (3, 1)
        assert await here.is_paused() == (True, False)

        report = await relay_once(here.config)

        assert await here.epochs() == (3, 3)
        assert await here.is_paused() == (True, True)
        assert report.handovers == 2
        assert {each.chain_id: each.outcome for each in report.deliveries} == {
            here.ground.home.chain_id: "in_force",
            here.ground.away.chain_id: "delivered",
        }
        assert report.is_complete
        spent = await here.spent()
        assert spent == 2, "both handovers in one transaction, and the certificate"

        again = await relay_once(here.config)
        assert (again.handovers, again.is_complete) == (0, True)
        assert {each.outcome for each in again.deliveries} == {"in_force"}
        assert await here.spent() == spent


async def test_a_chain_that_is_down_is_left_out_and_said(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.deliver_at_home(await here.certify())
        here.endpoints["beta"].is_down = True

        report = await relay_once(here.config)

        assert report.unavailable == [here.ground.away.chain_id]
        assert not report.is_complete
        here.endpoints["beta"].is_down = False
        assert (await relay_once(here.config)).is_complete
        assert await here.is_paused() == (True, True)


async def test_the_commands_of_the_guide_carry_a_certificate(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        folder = tmp_path / "relay"
        folder.mkdir()
        shutil.copy(here.config.policies[0], folder / "policy.yaml")
        (folder / "relay.toml").write_text(settings_of_the_guide(here))
        make_password, make_key, run_once = COMMANDS.findall(GUIDE)
        await in_shell(make_password, folder)
        made = await in_shell(f"{make_key} --json", folder)
        for chain in (here.ground.home, here.ground.away):
            await chain.fund(Address(made["account"]), 10**20)
        await here.deliver_at_home(await here.certify())

        told = await in_shell(run_once, folder)

        assert told["complete"]
        assert {each["outcome"] for each in told["deliveries"]} == {"in_force", "delivered"}
        assert await here.is_paused() == (True, True)


def settings_of_the_guide(here: World) -> str:
    """The guide's relay.toml with this world's addresses in place of the example's."""
    (settings,) = SETTINGS.findall(GUIDE)
    for old, new in (
        ("home_chain = 1\n", f"home_chain = {here.ground.home.chain_id}\n"),
        ("id = 1\n", f"id = {here.ground.home.chain_id}\n"),
        ("id = 10\n", f"id = {here.ground.away.chain_id}\n"),
        ("0x5FbDB2315678afecb367f032d93F642f64180aa3", here.ground.registry),
        ("http://127.0.0.1:8545", here.endpoints["alpha"].endpoint.http),
        ("http://127.0.0.1:9545", here.endpoints["beta"].endpoint.http),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    return str(textwrap.dedent(settings))


async def in_shell(command: str, folder: Path) -> dict[str, Any]:
    """Run a line of the guide, with this checkout's program; what it prints, where that is JSON."""
    line = command.replace("tocsin", f"{sys.executable} -m node")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = await trio.run_process(
        ["bash", "-c", line],
        capture_stdout=True,
        check=False,
        capture_stderr=True,
        cwd=folder,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr.decode()[-2_000:]
    told: dict[str, Any] = json.loads(ended.stdout or b"{}")
    return told


async def test_a_running_relay_waits_out_a_chain_that_is_down_and_goes_on_after_being_killed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        await here.capture()
        await here.hand_over_at_home()
        here.endpoints["beta"].is_down = True
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_relay, here.config)
                await here.deliver_at_home(await here.certify())
                asked = here.endpoints["alpha"].asked["eth_getLogs"]
                await here.endpoints["alpha"].wait_asked("eth_getLogs", asked + 1)
                nursery.cancel_scope.cancel()  # killed before it could carry anything
        assert await here.epochs() == (2, 1)
        here.endpoints["beta"].is_down = False
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_relay, here.config)
                while await here.is_paused() != (True, True):
                    await here.ground.home.mine()
                    await here.ground.away.mine()
                    await trio.sleep(0.2)
                nursery.cancel_scope.cancel()
        assert await here.epochs() == (2, 2)


@asynccontextmanager
async def operator(here: World) -> AsyncIterator[tuple[GossipRoom, Tally, str]]:
    """The first operator's gossip with its tally, which lets the relay pull; and where it listens."""
    network_id, newest = here.ground.network_id, here.sets[-1]
    config = HostConfig(seed=bytes([0]) * 32, listen="/ip4/127.0.0.1/tcp/0", topic=compute_topic(network_id))
    tally = Tally(network_id)
    for each in here.sets:
        tally.add_operator_set(each)
    incoming, _incoming_end = trio.open_memory_channel[Attestation](64)
    _outgoing, outgoing_end = trio.open_memory_channel[Attestation](64)
    async with open_host(config) as transport, trio.open_nursery() as nursery:
        room = GossipRoom(
            transport=transport,
            network_id=network_id,
            incoming=incoming,
            now=lambda: newest.capture_time,
            holdings=TallyHoldings(tally),
            relays=frozenset({here.relay}),
        )
        await room.use_operator_sets(here.sets, {})
        nursery.start_soon(room.run, outgoing_end)
        yield room, tally, f"{address_of(transport)}/p2p/{transport.peer_id}"
        nursery.cancel_scope.cancel()


async def test_what_landed_nowhere_is_pulled_from_an_operator_that_lets_the_relay(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        certificate = await here.certify()
        alert = certificate.alert
        async with operator(here) as (_, tally, where):
            signed = [attest(alert, OperatorIndex(i), SECRETS[i]) for i in range(3)]
            assert len(tally.add(signed, alert.observed_at).new) == 3
            join_gossip(here, where)
            with trio.fail_after(PATIENCE_SECONDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_relay, here.config)
                    while await here.is_paused() != (True, True):
                        await here.ground.home.mine()
                        await here.ground.away.mine()
                        await trio.sleep(0.2)
                    nursery.cancel_scope.cancel()


async def test_votes_of_operators_bring_a_relay_to_hand_over_where_no_chain_was(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.capture()
        handover = compute_handover(here.ground.network_id, *here.sets)
        votes = [
            HandoverVote(
                handover=handover,
                side=side,
                operator_index=OperatorIndex(i),
                signature=sign(secret, Purpose.HANDOVER, handover.digest()),
            )
            for side in Side
            for i, secret in enumerate(SECRETS)
        ]
        async with operator(here) as (room, _, where):
            join_gossip(here, where)
            with trio.fail_after(PATIENCE_SECONDS):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(run_relay, here.config)
                    while await here.epochs() != (2, 2):
                        for vote in votes:
                            await room.publish(Kind.HANDOVER, encode_vote(vote))
                        await here.ground.home.mine()
                        await here.ground.away.mine()
                        await trio.sleep(0.2)
                    nursery.cancel_scope.cancel()
            assert room.statistics().transport.banned == ()


def join_gossip(here: World, where: str) -> None:
    """Let the relay's configuration name an operator, and hand over without waiting for depth."""
    text = here.config_file.read_text()
    text = text.replace("[network]\n", "[network]\ncapture_confirmations = 0\n")
    text = text.replace("[keys]\n", '[keys]\np2p_keystore = "relay-p2p.json"\n')
    gossip = f'\n[gossip]\nlisten = "/ip4/127.0.0.1/tcp/0"\npeers = ["{where}"]\n'
    here.config_file.write_text(text + gossip)


def test_an_identity_without_operators_to_pull_from_is_refused(tmp_path: Path) -> None:
    (settings,) = SETTINGS.findall(GUIDE)
    text = textwrap.dedent(settings)
    for half in (
        text.replace("[keys]\n", '[keys]\np2p_keystore = "relay-p2p.json"\n'),
        text + '\n[gossip]\npeers = ["/ip4/127.0.0.1/tcp/1/p2p/12D3"]\n',
        text.replace("[keys]\n", '[keys]\np2p_keystore = "relay-p2p.json"\n') + "\n[gossip]\npeers = []\n",
    ):
        path = tmp_path / "relay.toml"
        path.write_text(half)
        with pytest.raises(Refused, match="together, or neither"):
            load_relay_config(path)


async def test_what_is_not_good_for_the_other_chain_yet_waits_and_what_has_expired_is_left(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        certificate = await here.certify(signers=2)  # two of three are no pause
        assert certificate.signed_weight * 3 == certificate.total_weight * 2
        with pytest.raises(Exception, match="respond reverted"):
            await here.deliver_at_home(certificate)

        await here.deliver_at_home(await here.certify())
        for chain in (here.ground.home, here.ground.away):
            await chain.pool.call("evm_increaseTime", (here.policy.ttl_seconds + 10,))
            await chain.mine()
        report = await relay_once(here.config)

        assert {each.outcome for each in report.deliveries} <= {"expired"}
        assert await here.is_paused() == (True, False)


async def test_the_first_block_within_a_time_is_found_by_halving(tmp_path: Path) -> None:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        reader = ChainReader(chain.pool)
        for _ in range(9):
            await chain.pool.call("evm_increaseTime", (100,))
            await chain.mine()
        head = await reader.latest()
        assert await find_first_block(reader, head, Seconds(0)) == head.number
        assert await find_first_block(reader, head, Seconds(10**8)) == 0
        third = await find_first_block(reader, head, Seconds(310))
        assert (await reader.block_by_number(third)).timestamp + 310 >= head.timestamp
        assert third == head.number - 3


# --- what is read from calldata


def make_delivery(certificate: Certificate) -> Delivery:
    guardian = certificate.alert.actions[0].guardian
    artifact = load_artifact("IGuardian")
    data = Guardian(guardian, None).encode_respond(certificate, certificate.alert.actions[0])  # type: ignore[arg-type]
    delivery = parse_delivery(data, artifact)
    assert delivery is not None
    return delivery


def offline() -> tuple[Certificate, OperatorSet]:
    return make_certificate(0, 1, 2, 4, 5), make_operator_set()


def test_a_delivered_certificate_is_rebuilt_as_it_was() -> None:
    certificate, operator_set = offline()
    rebuilt = rebuild(make_delivery(certificate), certificate, operator_set)
    assert rebuilt == certificate
    assert encode_certificate(rebuilt) == encode_certificate(certificate)


def rebuild(delivery: Delivery, certificate: Certificate, *sets: OperatorSet) -> Certificate:
    return rebuild_certificate(
        delivery,
        network_id=certificate.alert.network_id,
        actions={action.leaf(): action for action in certificate.alert.actions},
        operator_sets=sets,
    )


def test_what_cannot_be_checked_is_refused() -> None:
    certificate, operator_set = offline()
    delivery = make_delivery(certificate)

    def reason(changed: Delivery, *sets: OperatorSet) -> Reason:
        with pytest.raises(Refused) as refused:
            rebuild(changed, certificate, *sets)
        return refused.value.reason

    assert reason(delivery) is Reason.UNKNOWN_EPOCH
    assert reason(replace(delivery, leaves=(bytes(32),)), operator_set) is Reason.UNKNOWN_ACTION
    assert reason(replace(delivery, leaves=()), operator_set) is Reason.UNKNOWN_ACTION
    later = (*delivery.alert[:9], *(each + 1 for each in delivery.alert[9:11]), *delivery.alert[11:])
    assert reason(replace(delivery, alert=later), operator_set) is Reason.BAD_SIGNATURE
    clear = (*delivery.alert[:8], 9, *delivery.alert[9:])
    assert reason(replace(delivery, alert=clear), operator_set) is Reason.OUT_OF_RANGE
    assert reason(replace(delivery, certificate=b""), operator_set) is Reason.TRUNCATED


def test_calldata_of_batches_is_read_and_of_anything_else_is_not() -> None:
    certificate, _ = offline()
    artifact = load_artifact("IGuardian")
    single = make_delivery(certificate)
    batch = artifact.encode(
        "respondMany", single.alert, list(single.leaves), [(0, PAUSE, b"")], single.certificate
    )
    assert parse_delivery(batch, artifact) == single
    assert parse_delivery(artifact.encode("expire", PAUSE), artifact) is None
    assert parse_delivery(b"", artifact) is None
    with pytest.raises(Refused):
        parse_delivery(batch[:100], artifact)
