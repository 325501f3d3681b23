"""Operators that register from Python make an epoch which Python reads back, and a verifier accepts."""

from __future__ import annotations

import json

import httpx
from web3 import Web3

from consensus.alert import compute_network_id, compute_possession_digest
from consensus.bls import Purpose, SecretKey, sign
from consensus.fields import address_from_bytes
from consensus.operators import OperatorSet
from consensus.types import ChainId
from node.devnet.anvil import running_anvil
from tests.bench.gas import ABI, Chain, make_secrets

BOND = 100 * 10**18
HOUR = 3_600


async def register(chain: Chain, token: str, registry: str, secret: SecretKey, account: str) -> None:
    """Mint, approve and register as `account`."""
    chain.account = account
    abis = {
        name: json.loads((ABI / f"{name}.json").read_text())["abi"]
        for name in ("DemoToken", "OperatorRegistry")
    }
    token_codec = Web3().eth.contract(abi=abis["DemoToken"])
    registry_codec = Web3().eth.contract(abi=abis["OperatorRegistry"])
    public_key = secret.public_key().raw
    digest = compute_possession_digest(
        compute_network_id(ChainId(31337), address_from_bytes(bytes.fromhex(registry[2:]))),
        chain_id=ChainId(31337),
        registry=address_from_bytes(bytes.fromhex(registry[2:])),
        operator=address_from_bytes(bytes.fromhex(account[2:])),
        public_key=public_key,
    )
    possession = sign(secret, Purpose.POSSESSION, digest).to_xy_bytes()
    peer_id = b"peer of " + bytes.fromhex(account[2:])
    await chain.transact(token_codec.encode_abi("mint", [account, BOND]), token)
    await chain.transact(token_codec.encode_abi("approve", [registry, BOND]), token)
    await chain.transact(
        registry_codec.encode_abi("register", [public_key, possession, peer_id, BOND]), registry
    )


async def test_epoch_captured_on_chain_is_rebuilt_in_python_and_accepted_by_a_verifier() -> None:
    secrets = make_secrets(3)
    async with running_anvil() as anvil, httpx.AsyncClient(timeout=60) as client:
        chain = Chain(client, anvil.http)
        accounts = [str(Web3.to_checksum_address(each)) for each in (await chain.call("eth_accounts"))[:3]]
        chain.account = accounts[0]
        token = await chain.deploy("DemoToken", "Bond", "BOND")
        registry = await chain.deploy("OperatorRegistry", token.address, BOND, HOUR, 48 * HOUR, 96 * HOUR)
        for secret, account in zip(secrets, accounts, strict=True):
            await register(chain, token.address, registry.address, secret, account)

        receipt = await chain.transact(registry.encode("capture"), registry.address)

        abi = json.loads((ABI / "OperatorRegistry.json").read_text())["abi"]
        [event] = Web3().eth.contract(abi=abi).events.EpochCaptured().process_receipt(receipt)
        rebuilt = OperatorSet.from_chain(
            event["args"]["header"],
            event["args"]["leafPreimages"],
            addresses=[address_from_bytes(bytes.fromhex(each[2:])) for each in event["args"]["operators"]],
            peer_ids=["", "", ""],
        )
        assert rebuilt.header_hash() == event["args"]["headerHash"]
        assert [str(operator.address) for operator in rebuilt.operators] == accounts
        assert [operator.public_key for operator in rebuilt.operators] == [
            each.public_key() for each in secrets
        ]
        assert rebuilt.total_weight == 3 * BOND
        await chain.deploy(
            "QuorumVerifier", (await registry_network_id(chain, registry.address)), rebuilt.header()
        )


async def registry_network_id(chain: Chain, registry: str) -> bytes:
    """The registry's own name for its network, which must be Python's."""
    abi = json.loads((ABI / "OperatorRegistry.json").read_text())["abi"]
    call = {"to": registry, "data": Web3().eth.contract(abi=abi).encode_abi("networkId")}
    word = bytes.fromhex((await chain.call("eth_call", call, "latest"))[2:])
    assert word == compute_network_id(ChainId(31337), address_from_bytes(bytes.fromhex(registry[2:])))
    return word
