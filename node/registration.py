"""An operator's way into the registry: proof of possession, approval of the bond, registration."""

from __future__ import annotations

from dataclasses import dataclass

import base58

from consensus.alert import compute_network_id, compute_possession_digest
from consensus.bls import Purpose, sign
from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex
from consensus.types import Address, ChainId
from node.chain.abi import load_artifact
from node.chain.reader import ChainReader
from node.chain.sender import Call, TransactionSender
from node.chain.types import CallReverted, Receipt
from node.config import Config
from node.connection import open_connection
from node.gossip.host import peer_id_of_seed
from node.keys import OpenKeys, open_keys

APPROVE_GAS = 80_000
REGISTER_GAS = 900_000  # a pairing, a key of six words and a peer id in storage


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
    reader: ChainReader,
    sender: TransactionSender,
) -> Registered:
    """Bond `bond` units of the registry's token and register the three keys.

    The sender's account is the operator and must hold the bond. Raises `Refused(TRANSACTION_REFUSED)` when a
    transaction reverts, and what reading and sending raise.
    """
    contract = load_artifact("OperatorRegistry")
    head = await reader.latest()
    returned = await reader.eth_call(registry, contract.encode("token"), head)
    if isinstance(returned, CallReverted):
        raise Refused(
            Reason.CONTRACT_MISMATCH, f"{registry} on chain {chain_id} has no token(); is it a registry?"
        )
    token = address_from_hex(contract.decode("token", returned)[0])
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
    approve = load_artifact("ERC20").encode("approve", registry, bond)
    register = contract.encode("register", public_key, possession, base58.b58decode(peer_id), bond)
    await _sent(sender, Call(chain_id=chain_id, to=token, data=approve, gas_limit=APPROVE_GAS), "approve")
    receipt = await _sent(
        sender, Call(chain_id=chain_id, to=registry, data=register, gas_limit=REGISTER_GAS), "register"
    )
    return Registered(operator=keys.address, peer_id=peer_id, transaction=receipt.transaction_hash)


async def register_from_config(config: Config, *, bond: int) -> Registered:
    """Register the operator of a configuration with the registry that it names, on the home chain."""
    keys = await open_keys(config.keys)
    home = next(each for each in config.chains if each.chain_id == config.network.home_chain)
    async with open_connection(home, keys.account, timeout_seconds=config.rpc_timeout_seconds) as connection:
        return await register_operator(
            keys,
            chain_id=home.chain_id,
            registry=config.network.registry,
            bond=bond,
            reader=connection.reader,
            sender=connection.sender,
        )


async def _sent(sender: TransactionSender, call: Call, what: str) -> Receipt:
    receipt = await sender.send(call)
    if not receipt.succeeded:
        raise Refused(
            Reason.TRANSACTION_REFUSED,
            f"{what} reverted in 0x{receipt.transaction_hash.hex()}: does {sender.address} hold the bond, is "
            "it at least the registry's minBond, and is neither the operator nor its key registered already?",
        )
    return receipt
