"""Gas of whole transactions on a local chain: a certificate checked, and a certificate that pauses a target.

    python -m tests.bench.gas

One JSON line per case. `gas_verify` is a transaction that only calls the verifier, `gas_pause` one through a
guardian whose PausableAdapter pauses an OpenZeppelin Pausable. Each pause is the first of a fresh guardian on
a fresh target ("state": "first-use"), and is read back from the target. Gas is the receipt's: base, calldata
and execution. Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
from typing import Any

import trio

from consensus.alert import (
    Action,
    Alert,
    Level,
    Slot,
    Verdict,
    compute_action_id,
    compute_network_id,
    compute_rule_id,
)
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import build_certificate, encode_certificate
from consensus.fields import address_from_bytes, keccak256
from consensus.operators import Operator, OperatorSet
from consensus.types import (
    Address,
    BlockNumber,
    ChainId,
    Epoch,
    HeaderHash,
    OperatorIndex,
    PolicyHash,
    Seconds,
    Weight,
)
from node.chain.contracts import Guardian
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import (
    THRESHOLDS_BPS,
    Trust,
    allow_action,
    approve_policy,
    create_guardian,
    deploy_trust,
)

OPERATORS = (7, 19, 50, 100)
ABSENT_PERCENT = (0, 10, 33)

CHAIN = ChainId(31337)
NETWORK = compute_network_id(CHAIN, Address("0x00000000000000000000000000000000000070C5"))
POLICY = PolicyHash(bytes.fromhex("70" * 32))
PAUSE = compute_action_id("pause")
TTL_SECONDS = 3_600

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


async def make_alert(pool: RpcPool, operator_set: OperatorSet, guardian: Address) -> Alert:
    """An alert about the chain's newest block but one, with one action: pause through `guardian`."""
    await pool.call("evm_increaseTime", (12,))  # an alert must be younger than the action that it uses
    await pool.call("evm_mine")
    anchor = await ChainReader(pool).latest()
    await pool.call("evm_mine")
    return Alert(
        network_id=NETWORK,
        epoch=operator_set.epoch,
        header_hash=operator_set.header_hash(),
        slot=Slot(
            policy_hash=POLICY,
            rule_id=compute_rule_id("drain"),
            source_chain_id=CHAIN,
            anchor_number=anchor.number,
            anchor_hash=anchor.hash,
        ),
        verdict=Verdict.THREAT,
        observed_at=anchor.timestamp,
        expires_at=Seconds(anchor.timestamp + TTL_SECONDS),
        evidence_hash=bytes.fromhex("e1" * 32),
        actions=(Action(chain_id=CHAIN, guardian=guardian, action_id=PAUSE),),
    )


async def make_guardian(chain: Deployer, trust: Trust, salt: int) -> tuple[Address, Address]:
    """A fresh guardian whose only action pauses a fresh target; returns both."""
    guardian = await create_guardian(chain, trust, salt=salt)
    target = await chain.deploy("PausableTarget", chain.governance)
    adapter = await chain.deploy("PausableAdapter", guardian, target)
    await chain.send("PausableTarget", target, "grantRole", keccak256(b"PAUSER_ROLE"), adapter)
    await allow_action(chain, guardian, name="pause", adapter=adapter, level=Level.PAUSE)
    await approve_policy(chain, guardian, POLICY)
    return guardian, target


async def measure(chain: Deployer, operators: int, percent: int) -> dict[str, Any]:
    """One case: its two transactions."""
    secrets = make_secrets(operators)
    operator_set = make_operator_set(secrets, await chain.timestamp())
    trust = await deploy_trust(chain, NETWORK, operator_set.header())
    guardian, target = await make_guardian(chain, trust, salt=operators * 100 + percent)

    alert = await make_alert(chain.pool, operator_set, guardian)
    absent = compute_absent(operators, percent)
    signatures = {
        OperatorIndex(index): sign(secret, Purpose.ALERT, alert.digest())
        for index, secret in enumerate(secrets)
        if index not in absent
    }
    certificate = build_certificate(alert, operator_set, signatures)
    encoded = encode_certificate(certificate)
    claim = (alert.digest(), alert.epoch, alert.header_hash, THRESHOLDS_BPS[Level.PAUSE], encoded)
    verified = await chain.send("QuorumVerifier", trust.verifier, "verify", *claim)
    respond = Guardian(guardian, ChainReader(chain.pool)).encode_respond(certificate, alert.actions[0])
    paused = await chain.send_data(guardian, respond, "Guardian.respond")
    if not await chain.read("PausableTarget", target, "paused"):
        raise RuntimeError("expected a paused target after respond; the figure would not be that of a pause")
    return {
        "operators": operators,
        "absent": len(absent),
        "gas_verify": int(verified["gasUsed"], 16),
        "gas_pause": int(paused["gasUsed"], 16),
        "certificate_bytes": len(encoded),
        "state": "first-use",
    }


async def main() -> None:
    """Every case on one chain."""
    async with running_anvil(chain_id=CHAIN) as anvil, open_deployer(anvil) as chain:
        for operators in OPERATORS:
            for percent in ABSENT_PERCENT:
                print(json.dumps(await measure(chain, operators, percent)), flush=True)


if __name__ == "__main__":
    trio.run(main)
