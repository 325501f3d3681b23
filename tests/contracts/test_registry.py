"""Operators that register from Python make an epoch which Python reads back, and a verifier accepts."""

from __future__ import annotations

from typing import Any

from consensus.alert import compute_network_id, compute_possession_digest
from consensus.bls import Purpose, SecretKey, sign
from consensus.fields import address_to_bytes
from consensus.operators import OperatorSet
from consensus.types import Address, Seconds
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import SUCCESSION
from node.devnet.staking import NetworkTerms, Staking, deploy_staking
from tests.bench.gas import make_secrets

BOND = 100 * 10**18
HOUR = 3_600
REGISTRATION_GAS = 430_000  # proof of possession, record, stake: the whole transaction, a first one included
TERMS = NetworkTerms(
    min_stake=BOND,
    min_epoch_seconds=Seconds(HOUR),
    header_lifetime_seconds=Seconds(48 * HOUR),
    evidence_window_seconds=Seconds(24 * HOUR),
    unbonding_seconds=Seconds(96 * HOUR),
)


async def register(
    chain: Deployer,
    token: Address,
    staking: Staking,
    *,
    secret: SecretKey,
    account: Address,
    peer_id: bytes = b"",
) -> dict[str, Any]:
    """Mint, approve and register as `account`; the receipt of the registration."""
    public_key = secret.public_key().raw
    digest = compute_possession_digest(
        compute_network_id(chain.chain_id, staking.registry),
        chain_id=chain.chain_id,
        registry=staking.registry,
        operator=account,
        public_key=public_key,
    )
    possession = sign(secret, Purpose.POSSESSION, digest).to_xy_bytes()
    peer_id = peer_id or b"peer of " + address_to_bytes(account)
    await chain.send("DemoToken", token, "mint", account, BOND)
    await chain.send("DemoToken", token, "approve", staking.stake_source, BOND, sender=account)
    registration = (public_key, possession, peer_id, "https://example.org", BOND.to_bytes(32, "big"))
    return await chain.send("OperatorRegistry", staking.registry, "register", registration, sender=account)


async def test_epoch_captured_on_chain_is_rebuilt_in_python_and_accepted_by_a_verifier() -> None:
    secrets = make_secrets(3)
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        accounts = chain.accounts[:3]
        token = await chain.deploy("DemoToken", "Bond", "BOND")
        staking = await deploy_staking(chain, token, TERMS)
        registry = staking.registry
        for secret, account in zip(secrets, accounts, strict=True):
            receipt = await register(chain, token, staking, secret=secret, account=account)
            assert int(receipt["gasUsed"], 16) <= REGISTRATION_GAS

        receipt = await chain.send("OperatorRegistry", registry, "capture")

        captured = chain.decode_log("OperatorRegistry", "EpochCaptured", receipt)
        rebuilt = OperatorSet.from_chain(
            captured["header"],
            captured["leafPreimages"],
            addresses=[Address(each) for each in captured["operators"]],
            peer_ids=["", "", ""],
        )
        assert rebuilt.header_hash() == captured["headerHash"]
        assert tuple(operator.address for operator in rebuilt.operators) == accounts
        assert [each.public_key for each in rebuilt.operators] == [each.public_key() for each in secrets]
        assert rebuilt.total_weight == 3 * BOND
        network_id = await chain.read("OperatorRegistry", registry, "networkId")
        assert network_id == compute_network_id(chain.chain_id, registry)
        await chain.deploy("QuorumVerifier", network_id, rebuilt.header(), SUCCESSION)
