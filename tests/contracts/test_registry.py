"""Operators that register from Python make an epoch which Python reads back, and a verifier accepts."""

from __future__ import annotations

from consensus.alert import compute_network_id, compute_possession_digest
from consensus.bls import Purpose, SecretKey, sign
from consensus.fields import address_to_bytes
from consensus.operators import OperatorSet
from consensus.types import Address
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import SUCCESSION
from tests.bench.gas import make_secrets

BOND = 100 * 10**18
HOUR = 3_600


async def register(
    chain: Deployer, token: Address, registry: Address, *, secret: SecretKey, account: Address
) -> None:
    """Mint, approve and register as `account`."""
    public_key = secret.public_key().raw
    digest = compute_possession_digest(
        compute_network_id(chain.chain_id, registry),
        chain_id=chain.chain_id,
        registry=registry,
        operator=account,
        public_key=public_key,
    )
    possession = sign(secret, Purpose.POSSESSION, digest).to_xy_bytes()
    peer_id = b"peer of " + address_to_bytes(account)
    await chain.send("DemoToken", token, "mint", account, BOND)
    await chain.send("DemoToken", token, "approve", registry, BOND, sender=account)
    arguments = (public_key, possession, peer_id, BOND)
    await chain.send("OperatorRegistry", registry, "register", *arguments, sender=account)


async def test_epoch_captured_on_chain_is_rebuilt_in_python_and_accepted_by_a_verifier() -> None:
    secrets = make_secrets(3)
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        accounts = chain.accounts[:3]
        token = await chain.deploy("DemoToken", "Bond", "BOND")
        registry = await chain.deploy("OperatorRegistry", token, BOND, HOUR, 48 * HOUR, 96 * HOUR)
        for secret, account in zip(secrets, accounts, strict=True):
            await register(chain, token, registry, secret=secret, account=account)

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
