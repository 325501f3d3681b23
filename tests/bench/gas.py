"""Gas of whole transactions on a local chain: a certificate checked, and a certificate that pauses a target.

    python -m tests.bench.gas

One JSON line per case. `gas_verify` is a transaction that only calls the verifier, `gas_pause` one through a
guardian whose PausableAdapter pauses an OpenZeppelin Pausable. Each pause is the first of a fresh guardian on
a fresh target ("state": "first-use"), and is read back from the target. Gas is the receipt's: base, calldata
and execution. Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import trio
from web3 import Web3

from consensus.alert import (
    Action,
    Alert,
    Slot,
    Verdict,
    compute_action_id,
    compute_network_id,
    compute_rule_id,
)
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import build_certificate, encode_certificate
from consensus.fields import address_from_bytes
from consensus.operators import Operator, OperatorSet
from consensus.types import (
    Address,
    BlockHash,
    BlockNumber,
    ChainId,
    Epoch,
    HeaderHash,
    NetworkId,
    OperatorIndex,
    PolicyHash,
    Seconds,
    Weight,
)
from node.devnet.anvil import running_anvil

ABI = Path(__file__).resolve().parents[2] / "node" / "chain" / "abi"

OPERATORS = (7, 19, 50, 100)
ABSENT_PERCENT = (0, 10, 33)

CHAIN = ChainId(31337)
NETWORK = compute_network_id(CHAIN, Address("0x00000000000000000000000000000000000070C5"))
POLICY = PolicyHash(bytes.fromhex("70" * 32))
PAUSE = compute_action_id("pause")
PAUSE_LEVEL = 3
PAUSE_THRESHOLD_BPS = 6_667
MIN_GAS = 150_000
MAX_DURATION_SECONDS = 14_400
COOLDOWN_SECONDS = 600
TTL_SECONDS = 3_600
TX_GAS = 15_000_000

_TEN_YEARS = 315_360_000


def compute_absent(operators: int, percent: int) -> tuple[int, ...]:
    """Indices of the absent, spread over the set: at least one when any percent is absent."""
    number = max(operators * percent // 100, 1 if percent else 0)
    return tuple(place * operators // number for place in range(number))


def make_secrets(operators: int) -> tuple[SecretKey, ...]:
    """The same keys on every run, so that every run measures the same bytes."""
    return tuple(SecretKey((index + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835) for index in range(operators))


def make_operator_set(secrets: tuple[SecretKey, ...], captured_at: int) -> OperatorSet:
    """One epoch with about equal weights; no registry behind it, as only the verifier is measured."""
    return OperatorSet(
        epoch=Epoch(1),
        operators=tuple(
            Operator(
                index=OperatorIndex(index),
                address=address_from_bytes((index + 1).to_bytes(20, "big")),
                weight=Weight(1_000 * 10**18 + index * 987_654_321_123),
                public_key=secret.public_key(),
                peer_id=f"peer-{index}",
            )
            for index, secret in enumerate(secrets)
        ),
        capture_block=BlockNumber(1),
        capture_time=Seconds(captured_at),
        valid_until=Seconds(captured_at + _TEN_YEARS),
        prev_header_hash=HeaderHash(bytes(32)),
    )


class Chain:
    """The local chain, driven from its first unlocked account."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._ids: Iterator[int] = count(1)
        self.account = ""

    async def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC request; raises with the node's words on an error."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        answer = (await self._client.post(self._url, json=body)).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def transact(self, data: str, to: str | None = None) -> dict[str, Any]:
        """A mined transaction's receipt; raises when it reverted."""
        transaction = {"from": self.account, "data": data, "gas": hex(TX_GAS)} | ({"to": to} if to else {})
        receipt = await self.call("eth_sendTransactionSync", transaction)
        if int(receipt["status"], 16) != 1:
            await self.call("eth_call", transaction, "latest")  # raises with the revert's reason
            raise RuntimeError(
                f"transaction {receipt['transactionHash']} reverted, and does not when it is repeated"
            )
        return dict(receipt)

    async def deploy(self, name: str, *arguments: Any) -> Contract:
        """A new contract from the package data."""
        artifact = json.loads((ABI / f"{name}.json").read_text())
        factory = Web3().eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        receipt = await self.transact(factory.constructor(*arguments).data_in_transaction)
        return Contract(self, name, Web3.to_checksum_address(receipt["contractAddress"]))


@dataclass(frozen=True, slots=True)
class Contract:
    """A deployed contract of the package data."""

    chain: Chain
    name: str
    address: str

    def encode(self, function: str, *arguments: Any) -> str:
        """Calldata of one call."""
        abi = json.loads((ABI / f"{self.name}.json").read_text())["abi"]
        return str(Web3().eth.contract(abi=abi).encode_abi(function, list(arguments)))

    async def send(self, function: str, *arguments: Any) -> int:
        """Gas of the call as a whole transaction."""
        receipt = await self.chain.transact(self.encode(function, *arguments), self.address)
        return int(receipt["gasUsed"], 16)

    async def read_word(self, function: str, *arguments: Any) -> int:
        """A view's single word."""
        call = {"to": self.address, "data": self.encode(function, *arguments)}
        return int(await self.chain.call("eth_call", call, "latest"), 16)


async def make_alert(chain: Chain, operator_set: OperatorSet, guardian: str) -> Alert:
    """An alert about the chain's newest block but one, with one action: pause through `guardian`."""
    await chain.call("evm_increaseTime", 12)  # an alert must be younger than the action that it uses
    await chain.call("evm_mine")
    anchor = await chain.call("eth_getBlockByNumber", "latest", False)
    await chain.call("evm_mine")
    observed_at = int(anchor["timestamp"], 16)
    return Alert(
        network_id=NetworkId(NETWORK),
        epoch=operator_set.epoch,
        header_hash=operator_set.header_hash(),
        slot=Slot(
            policy_hash=POLICY,
            rule_id=compute_rule_id("drain"),
            source_chain_id=CHAIN,
            anchor_number=BlockNumber(int(anchor["number"], 16)),
            anchor_hash=BlockHash(bytes.fromhex(anchor["hash"][2:])),
        ),
        verdict=Verdict.THREAT,
        observed_at=Seconds(observed_at),
        expires_at=Seconds(observed_at + TTL_SECONDS),
        evidence_hash=bytes.fromhex("e1" * 32),
        actions=(Action(chain_id=CHAIN, guardian=Address(guardian), action_id=PAUSE),),
    )


def alert_tuple(alert: Alert) -> tuple[Any, ...]:
    """The alert as the guardian's ABI orders it."""
    slot = alert.slot
    return (
        alert.epoch,
        alert.header_hash,
        slot.policy_hash,
        slot.rule_id,
        slot.source_chain_id,
        slot.anchor_number,
        slot.anchor_hash,
        slot.subject,
        int(alert.verdict),
        alert.observed_at,
        alert.expires_at,
        alert.evidence_hash,
        alert.cause_digest,
        alert.cause_depth,
    )


async def make_guardian(chain: Chain, verifier: Contract, salt: int) -> tuple[Contract, Contract]:
    """A fresh guardian whose only action pauses a fresh target; returns both."""
    implementation = await chain.deploy("Guardian", verifier.address)
    factory = await chain.deploy("GuardianFactory", implementation.address)
    identity = (chain.account, POLICY, salt.to_bytes(32, "big"))
    await factory.send("create", *identity)
    word = await factory.read_word("predict", *identity)
    guardian = Contract(chain, "Guardian", address_from_bytes(word.to_bytes(20, "big")))
    target = await chain.deploy("PausableTarget", chain.account)
    adapter = await chain.deploy("PausableAdapter", guardian.address, target.address)
    await target.send("grantRole", Web3.keccak(text="PAUSER_ROLE"), adapter.address)
    config = (
        adapter.address,
        PAUSE_LEVEL,
        PAUSE_THRESHOLD_BPS,
        MIN_GAS,
        MAX_DURATION_SECONDS,
        COOLDOWN_SECONDS,
    )
    await guardian.send("setAction", PAUSE, config)
    return guardian, target


async def measure(chain: Chain, operators: int, percent: int) -> dict[str, Any]:
    """One case: its two transactions."""
    secrets = make_secrets(operators)
    captured_at = int((await chain.call("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    operator_set = make_operator_set(secrets, captured_at)
    verifier = await chain.deploy("QuorumVerifier", NETWORK, operator_set.header())
    guardian, target = await make_guardian(chain, verifier, salt=operators * 100 + percent)

    alert = await make_alert(chain, operator_set, guardian.address)
    absent = compute_absent(operators, percent)
    signatures = {
        OperatorIndex(index): sign(secret, Purpose.ALERT, alert.digest())
        for index, secret in enumerate(secrets)
        if index not in absent
    }
    certificate = encode_certificate(build_certificate(alert, operator_set, signatures))
    claim = (alert.digest(), alert.epoch, alert.header_hash, PAUSE_THRESHOLD_BPS, certificate)
    gas_verify = await verifier.send("verify", *claim)
    leaves = [action.leaf() for action in alert.actions]
    gas_pause = await guardian.send("respond", alert_tuple(alert), leaves, 0, PAUSE, b"", certificate)
    if await target.read_word("paused") != 1:
        raise RuntimeError("expected a paused target after respond; the figure would not be that of a pause")
    return {
        "operators": operators,
        "absent": len(absent),
        "gas_verify": gas_verify,
        "gas_pause": gas_pause,
        "certificate_bytes": len(certificate),
        "state": "first-use",
    }


async def main() -> None:
    """Every case on one chain."""
    async with running_anvil() as anvil, httpx.AsyncClient(timeout=60) as client:
        chain = Chain(client, anvil.http)
        chain.account = Web3.to_checksum_address((await chain.call("eth_accounts"))[0])
        for operators in OPERATORS:
            for percent in ABSENT_PERCENT:
                print(json.dumps(await measure(chain, operators, percent)), flush=True)


if __name__ == "__main__":
    trio.run(main)
