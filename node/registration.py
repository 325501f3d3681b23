"""An operator's way into the registry: proof of possession, approval of the bond, registration."""

from __future__ import annotations

from dataclasses import dataclass

import base58
from eth_abi.abi import encode as encode_abi

from consensus.alert import compute_network_id, compute_possession_digest
from consensus.bls import Purpose, sign
from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex
from consensus.types import Address, ChainId
from node.chain.abi import load_artifact
from node.chain.reader import ChainReader
from node.chain.sender import Call, TransactionSender
from node.chain.types import BlockRef, CallReverted, Receipt
from node.config import Config
from node.connection import open_connection
from node.gossip.host import peer_id_of_seed
from node.keys import OpenKeys, open_keys

APPROVE_GAS = 80_000
REGISTER_GAS = 700_000  # a pairing, the record of key and peer id, five new slots and a transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What registering did."""

    operator: Address
    peer_id: str
    transaction: bytes


async def register_operator(
    keys: OpenKeys,
    *,
    chain_id: ChainId,
    registry: Address,
    bond: int,
    metadata: str,
    reader: ChainReader,
    sender: TransactionSender,
) -> Registered:
    """Bond `bond` units of the stake source's token and register the three keys.

    The sender's account is the operator and must hold the bond. `metadata` is for people, such as a URL.
    Raises `Refused(TRANSACTION_REFUSED)` when a transaction reverts, `Refused(CONTRACT_MISMATCH)` when the
    registry's stake is no bond in a token, and what reading and sending raise.
    """
    head = await reader.latest()
    stake_source = await _address_in(reader, registry, "OperatorRegistry", "stakeSource", head)
    token = await _address_in(reader, stake_source, "BondedStake", "token", head)
    public_key = keys.bls.public_key().to_bytes()
    digest = compute_possession_digest(
        compute_network_id(chain_id, registry),
        chain_id=chain_id,
        registry=registry,
        operator=keys.address,
        public_key=public_key,
    )
    possession = sign(keys.bls, Purpose.POSSESSION, digest).to_xy_bytes()
    peer_id = peer_id_of_seed(keys.identity.to_bytes())
    approve = load_artifact("ERC20").encode("approve", stake_source, bond)
    registration = (
        public_key,
        possession,
        base58.b58decode(peer_id),
        metadata,
        encode_abi(["uint256"], [bond]),
    )
    register = load_artifact("OperatorRegistry").encode("register", registration)
    await _sent(sender, Call(chain_id=chain_id, to=token, data=approve, gas_limit=APPROVE_GAS), "approve")
    receipt = await _sent(
        sender, Call(chain_id=chain_id, to=registry, data=register, gas_limit=REGISTER_GAS), "register"
    )
    return Registered(operator=keys.address, peer_id=peer_id, transaction=receipt.transaction_hash)


async def register_from_config(config: Config, *, bond: int, metadata: str = "") -> Registered:
    """Register the operator of a configuration with the registry that it names, on the home chain."""
    keys = await open_keys(config.keys)
    home = next(each for each in config.chains if each.chain_id == config.network.home_chain)
    async with open_connection(home, keys.account, timeout_seconds=config.rpc_timeout_seconds) as connection:
        return await register_operator(
            keys,
            chain_id=home.chain_id,
            registry=config.network.registry,
            bond=bond,
            metadata=metadata,
            reader=connection.reader,
            sender=connection.sender,
        )


async def _address_in(
    reader: ChainReader, contract: Address, name: str, function: str, at: BlockRef
) -> Address:
    """The address that a view of `contract` names. Raises `Refused` where `contract` is no such thing."""
    artifact = load_artifact(name)
    returned = await reader.eth_call(contract, artifact.encode(function), at)
    if isinstance(returned, CallReverted):
        raise Refused(
            Reason.CONTRACT_MISMATCH,
            f"{contract} on chain {reader.chain_id} has no {function}(); is it a {name}?",
        )
    return address_from_hex(artifact.decode(function, returned)[0])


async def _sent(sender: TransactionSender, call: Call, what: str) -> Receipt:
    receipt = await sender.send(call)
    if not receipt.succeeded:
        raise Refused(
            Reason.TRANSACTION_REFUSED,
            f"{what} reverted in 0x{receipt.transaction_hash.hex()}: does {sender.address} hold the bond, is "
            "it at least the registry's minStake, is the operator new, and was its key never registered?",
        )
    return receipt
