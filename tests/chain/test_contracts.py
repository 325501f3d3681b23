"""The registry and a guardian on a real chain, read back into the values of consensus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import base58
import pytest
from eth_abi.abi import encode

from consensus.alert import (
    Action,
    Alert,
    Level,
    Slot,
    Verdict,
    compute_action_id,
    compute_network_id,
    compute_possession_digest,
    compute_rule_id,
)
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import Certificate, build_certificate
from consensus.errors import Broken, Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import Address, BlockNumber, Epoch, OperatorIndex, PolicyHash, Seconds
from node.chain import contracts
from node.chain.abi import describe_revert, load_artifact
from node.chain.contracts import Guardian, Outcome, Registry
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer
from node.devnet.guarding import allow_action, approve_policy, create_guardian, deploy_trust
from node.devnet.staking import NetworkTerms, Staking, deploy_staking
from tests.chain.doubles import EndpointDouble, doubles, pool_of

BOND = 10**18
TERMS = NetworkTerms(
    min_stake=BOND,
    min_epoch_seconds=Seconds(60),
    header_lifetime_seconds=Seconds(86_400),
    evidence_window_seconds=Seconds(43_200),
    unbonding_seconds=Seconds(172_800),
)
OPERATORS = 4
POLICY = PolicyHash(b"\x77" * 32)
PAUSE = "pause"
SECRETS = tuple(SecretKey.from_bytes(number.to_bytes(32, "big")) for number in range(1, OPERATORS + 1))
MULTIHASHES = tuple(bytes([0x12, 0x20]) + bytes([number]) * 32 for number in range(1, OPERATORS + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A chain with a captured operator set and a guardian that may pause one target."""

    deployer: Deployer
    pool: RpcPool
    reader: ChainReader
    endpoint: EndpointDouble
    registry: Address
    stake_source: Address
    guardian: Address
    adapter: Address

    async def head(self) -> BlockRef:
        return await self.reader.latest()

    async def anchor(self) -> BlockRef:
        """A block of a later second than all that was set up, with another on top of it."""
        await self.pool.call("evm_increaseTime", ("0xa",))
        await self.pool.call("evm_mine")
        anchor = await self.head()
        await self.pool.call("evm_mine")
        return anchor

    async def operator_set(self) -> OperatorSet:
        return await Registry(self.registry, self.reader).operator_set(Epoch(1), await self.head())


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    async with (
        running_anvil(mining=Mining.INSTANT) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1, timeout_seconds=30.0) as pool,
    ):
        deployer = await Deployer.connect(pool)
        staking = await register_all(deployer)
        registry = staking.registry
        receipt = await deployer.send("OperatorRegistry", registry, "capture")
        header = deployer.decode_log("OperatorRegistry", "EpochCaptured", receipt)["header"]
        trust = await deploy_trust(deployer, compute_network_id(deployer.chain_id, registry), header)
        guardian = await create_guardian(deployer, trust)
        target = await deployer.deploy("PausableTarget", deployer.governance)
        adapter = await deployer.deploy("PausableAdapter", guardian, target)
        pauser = await deployer.read("PausableTarget", target, "PAUSER_ROLE")
        await deployer.send("PausableTarget", target, "grantRole", pauser, adapter)
        await allow_action(deployer, guardian, name=PAUSE, adapter=adapter, level=Level.PAUSE)
        await approve_policy(deployer, guardian, POLICY)
        yield Ground(
            deployer=deployer,
            pool=pool,
            reader=ChainReader(pool),
            endpoint=ada,
            registry=registry,
            stake_source=staking.stake_source,
            guardian=guardian,
            adapter=adapter,
        )


async def register_all(deployer: Deployer) -> Staking:
    """A registry with four operators, whose bonds are 1, 2, 3 and 4."""
    token = await deployer.deploy("DemoToken", "Stake", "STK")
    staking = await deploy_staking(deployer, token, TERMS)
    registry = staking.registry
    network_id = compute_network_id(deployer.chain_id, registry)
    for index, (secret, multihash) in enumerate(zip(SECRETS, MULTIHASHES, strict=True), start=1):
        account = deployer.accounts[index]
        await deployer.send("DemoToken", token, "mint", account, index * BOND)
        await deployer.send("DemoToken", token, "approve", staking.stake_source, index * BOND, sender=account)
        public_key = secret.public_key().to_bytes()
        digest = compute_possession_digest(
            network_id,
            chain_id=deployer.chain_id,
            registry=registry,
            operator=account,
            public_key=public_key,
        )
        possession = sign(secret, Purpose.POSSESSION, digest).to_xy_bytes()
        registration = (public_key, possession, multihash, "", encode(["uint256"], [index * BOND]))
        await deployer.send("OperatorRegistry", registry, "register", registration, sender=account)
    return staking


def certify(ground: Ground, operators: OperatorSet, anchor: BlockRef, *signers: int) -> Certificate:
    """A certificate of those operators that asks this guardian to pause."""
    alert = Alert(
        network_id=compute_network_id(ground.deployer.chain_id, ground.registry),
        epoch=operators.epoch,
        header_hash=operators.header_hash(),
        slot=Slot(
            policy_hash=POLICY,
            rule_id=compute_rule_id("drain"),
            source_chain_id=ground.deployer.chain_id,
            anchor_number=anchor.number,
            anchor_hash=anchor.hash,
        ),
        verdict=Verdict.THREAT,
        observed_at=anchor.timestamp,
        expires_at=Seconds(anchor.timestamp + 3_600),
        evidence_hash=b"\x05" * 32,
        actions=(
            Action(
                chain_id=ground.deployer.chain_id,
                guardian=ground.guardian,
                action_id=compute_action_id(PAUSE),
            ),
        ),
    )
    signatures = {
        OperatorIndex(index): sign(SECRETS[index], Purpose.ALERT, alert.digest()) for index in signers
    }
    return build_certificate(alert, operators, signatures)


def alter_capture(**fields: Any) -> Any:
    """Exchange the data of every log that is answered."""

    def lie(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getLogs":
            return response
        return {**response, "result": [log | fields for log in response["result"]]}

    return lie


async def test_an_operator_set_is_read_back_whole(ground: Ground) -> None:
    registry, head = Registry(ground.registry, ground.reader), await ground.head()
    assert await registry.current_epoch(head) == 1
    assert await registry.network_id(head) == compute_network_id(ground.deployer.chain_id, ground.registry)
    operators = await registry.operator_set(Epoch(1), head)
    assert operators.header_hash() == await registry.header_hash(Epoch(1), head)
    assert [each.public_key for each in operators.operators] == [secret.public_key() for secret in SECRETS]
    assert [each.weight for each in operators.operators] == [BOND, 2 * BOND, 3 * BOND, 4 * BOND]
    assert [each.address for each in operators.operators] == list(ground.deployer.accounts[1:5])
    assert [each.peer_id for each in operators.operators] == [
        base58.b58encode(multihash).decode() for multihash in MULTIHASHES
    ]


async def test_the_capture_is_found_many_windows_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.pool.call("anvil_mine", ("0x32",))
    monkeypatch.setattr(contracts, "LOG_WINDOW_BLOCKS", 7)
    assert (await ground.operator_set()).epoch == 1


async def test_an_epoch_before_the_first_block_given_or_never_captured_is_unknown(ground: Ground) -> None:
    registry, head = Registry(ground.registry, ground.reader), await ground.head()
    for epoch, first in ((Epoch(2), BlockNumber(0)), (Epoch(1), head.number)):
        with pytest.raises(Refused) as raised:
            await registry.operator_set(epoch, head, first=first)
        assert raised.value.reason is Reason.UNKNOWN_EPOCH


async def test_an_operator_who_left_and_took_its_bond_still_stands_in_its_epoch(ground: Ground) -> None:
    leaver = ground.deployer.accounts[1]
    await ground.deployer.send("OperatorRegistry", ground.registry, "exit", sender=leaver)
    await ground.pool.call("evm_increaseTime", (hex(TERMS.unbonding_seconds),))
    await ground.deployer.send("BondedStake", ground.stake_source, "release", sender=leaver)
    operators = await ground.operator_set()
    assert operators.operators[0].address == leaver
    assert operators.operators[0].peer_id == base58.b58encode(MULTIHASHES[0]).decode()  # its node is still up


async def test_a_header_that_the_registry_does_not_hold_is_refused(ground: Ground) -> None:
    operators = await ground.operator_set()
    header = bytearray(operators.header())
    header[-1] ^= 1
    data = encode_capture(bytes(header), operators)
    ground.endpoint.lie = alter_capture(data=data)
    with pytest.raises(Refused) as raised:
        await ground.operator_set()
    assert raised.value.reason is Reason.HEADER_MISMATCH


async def test_leaves_that_are_not_the_headers_are_refused(ground: Ground) -> None:
    operators = await ground.operator_set()
    heavier = replace(operators.operators[0], weight=5 * BOND)
    ground.endpoint.lie = alter_capture(
        data=encode_capture(operators.header(), operators, heavier.leaf_preimage())
    )
    with pytest.raises(Refused) as raised:
        await ground.operator_set()
    assert raised.value.reason is Reason.LEAVES_MISMATCH


def encode_capture(header: bytes, operators: OperatorSet, first_leaf: bytes | None = None) -> str:
    """The data of an EpochCaptured log."""
    leaves = [each.leaf_preimage() for each in operators.operators]
    if first_leaf is not None:
        leaves[0] = first_leaf
    addresses = [each.address for each in operators.operators]
    return "0x" + encode(["bytes", "bytes", "address[]"], [header, b"".join(leaves), addresses]).hex()


async def test_a_guardian_says_what_its_owner_fixed(ground: Ground) -> None:
    guardian, head = Guardian(ground.guardian, ground.reader), await ground.head()
    action_id = compute_action_id(PAUSE)
    config = await guardian.action(action_id, head)
    assert config is not None
    assert (config.adapter, config.level, config.threshold_bps) == (ground.adapter, Level.PAUSE, 6667)
    assert config.max_duration_seconds > 0
    assert await guardian.action(compute_action_id("none such"), head) is None
    assert await guardian.policy_hash(head) == POLICY
    assert await guardian.network_id(head) == compute_network_id(ground.deployer.chain_id, ground.registry)
    assert (await guardian.state(action_id, head)).until == 0
    assert not await guardian.is_engaged(ground.adapter, head)
    ready = await guardian.readiness(action_id, head)
    assert (ready.ok, ready.reason) == (True, "")
    unready = await guardian.readiness(compute_action_id("none such"), head)
    assert (unready.ok, unready.reason) == (False, "UNKNOWN_ACTION")


async def test_a_certificate_is_simulated_delivered_and_seen_in_the_state(ground: Ground) -> None:
    guardian, anchor = Guardian(ground.guardian, ground.reader), await ground.anchor()
    certificate = certify(ground, await ground.operator_set(), anchor, 0, 2, 3)
    (action,) = certificate.alert.actions
    assert await guardian.simulate(certificate, action, await ground.head()) is Outcome.ACTED
    data = guardian.encode_respond(certificate, action)
    await ground.deployer.send_data(ground.guardian, data, "Guardian.respond")
    head = await ground.head()
    assert (await guardian.state(action.action_id, head)).until > head.timestamp
    assert await guardian.is_engaged(ground.adapter, head)
    assert await guardian.simulate(certificate, action, head) is Outcome.ALREADY_ACTIVE


async def test_a_refusal_names_the_contracts_error_and_its_arguments(ground: Ground) -> None:
    guardian, anchor = Guardian(ground.guardian, ground.reader), await ground.anchor()
    certificate = certify(ground, await ground.operator_set(), anchor, 0, 1)
    with pytest.raises(Refused, match=rf"QuorumNotReached\(signedWeight={3 * BOND}, totalWeight=") as raised:
        await guardian.simulate(certificate, certificate.alert.actions[0], await ground.head())
    assert raised.value.reason is Reason.CALL_REVERTED


async def test_an_action_of_another_guardian_is_not_encoded(ground: Ground) -> None:
    certificate = certify(ground, await ground.operator_set(), await ground.head(), 0)
    stranger = Guardian(ground.registry, ground.reader)
    with pytest.raises(Refused, match="expected an action of guardian"):
        stranger.encode_respond(certificate, certificate.alert.actions[0])


async def test_an_address_without_the_contract_is_refused(ground: Ground) -> None:
    nobody = Address("0x00000000000000000000000000000000DeaDBeef")
    with pytest.raises(Refused, match="is another contract, or none, at this address") as raised:
        await Registry(nobody, ground.reader).current_epoch(await ground.head())
    assert raised.value.reason is Reason.CONTRACT_MISMATCH


def test_a_contract_that_is_not_packaged_is_our_own_fault() -> None:
    with pytest.raises(Broken, match="make contracts"):
        load_artifact("NoSuchContract")
    with pytest.raises(Broken, match="0 functions named"):
        load_artifact("Guardian").encode("noSuchFunction")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "reverted without a reason"),
        ("08c379a0" + "20".rjust(64, "0") + "02".rjust(64, "0") + "6e6f".ljust(64, "0"), "Error(no)"),
        ("4e487b71" + "11".rjust(64, "0"), "Panic(17)"),
        ("4e487b71", "Panic(unreadable arguments)"),
        ("deadbeef00", "reverted with 0xdeadbeef00"),
    ],
)
def test_every_revert_is_described(data: str, said: str) -> None:
    assert describe_revert(bytes.fromhex(data), load_artifact("Guardian")) == said
