"""Gas of whole transactions with votes by ECDSA, on a local chain: checked, paused by, handed over.

    python -m tests.bench.gas_ecdsa

One JSON line per case, as in `tests.bench.gas`: a certificate carries as many signatures as the threshold
needs, weights are about equal, each pause is the first of a fresh guardian on a fresh target. Needs the
package data (`make contracts`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import trio
from eth_abi.abi import encode

from consensus.alert import ZERO32, Alert, Level
from consensus.bls import SecretKey
from consensus.ecdsa import EcdsaSecretKey, EcdsaSet, Vote, build_ecdsa_certificate, sign_vote
from consensus.fields import keccak256
from consensus.operators import OperatorSet
from consensus.types import Address, BlockNumber, Digest, Epoch, OperatorIndex, Seconds
from node.chain.abi import load_artifact
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import THRESHOLDS_BPS, Trust
from tests.bench.gas import CHAIN, NETWORK, make_alert, make_guardian, make_operator_set, make_secrets

OPERATORS = (7, 19, 50)
ZERO = Address("0x" + "00" * 20)
MIN_EPOCH_INTERVAL_SECONDS, GRACE_SECONDS = 10, 600

TWO_THIRDS = (2, 3)
PAUSE_SHARE = (THRESHOLDS_BPS[Level.PAUSE], 10_000)
HANDOVER_TYPEHASH = keccak256(
    b"TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
)


def make_keys(operators: int) -> tuple[EcdsaSecretKey, ...]:
    """The same keys on every run."""
    return tuple(EcdsaSecretKey(keccak256(b"bench %d" % index)) for index in range(operators))


def make_voting_set(
    secrets: tuple[SecretKey, ...], keys: Sequence[EcdsaSecretKey], captured_at: int
) -> OperatorSet:
    """The set of `tests.bench.gas`, registered from the accounts of these keys."""
    operator_set = make_operator_set(secrets, captured_at)
    operators = zip(operator_set.operators, keys, strict=True)
    return replace(
        operator_set, operators=tuple(replace(each, address=key.address()) for each, key in operators)
    )


def make_next_set(last: OperatorSet, captured_at: int) -> OperatorSet:
    """The same operators, an epoch later."""
    return replace(
        last,
        epoch=Epoch(last.epoch + 1),
        capture_block=BlockNumber(last.capture_block + 1),
        capture_time=Seconds(captured_at),
        prev_header_hash=last.header_hash(),
    )


def certify(
    operators: EcdsaSet,
    keys: Sequence[EcdsaSecretKey],
    vote: Vote,
    digest: Digest,
    share: tuple[int, int],
) -> bytes:
    """The shortest certificate that exceeds the share."""
    signatures = {OperatorIndex(index): sign_vote(key, vote, digest) for index, key in enumerate(keys)}
    return build_ecdsa_certificate(operators, signatures, share=share).to_bytes()


async def deploy_voting(chain: Deployer, operators: EcdsaSet) -> Trust:
    """The verifier of a set, and a guardian factory over it."""
    terms = (ZERO, MIN_EPOCH_INTERVAL_SECONDS, GRACE_SECONDS, 0)
    verifier = await chain.deploy("WeightedEcdsaVerifier", NETWORK, operators.to_bytes(), terms)
    implementation = await chain.deploy("Guardian", verifier)
    return Trust(verifier=verifier, factory=await chain.deploy("GuardianFactory", implementation))


def encode_respond(alert: Alert, certificate: bytes) -> bytes:
    """Calldata that delivers the certificate for the alert's one action."""
    (action,) = alert.actions
    slot = alert.slot
    return load_artifact("Guardian").encode(
        "respond",
        (
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
            ZERO32,
            0,
        ),
        [action.leaf()],
        0,
        action.action_id,
        action.params,
        certificate,
    )


async def measure_handover(
    chain: Deployer, trust: Trust, last: OperatorSet, keys: Sequence[EcdsaSecretKey]
) -> int:
    """Gas of the next set's taking over, with its acceptance."""
    await chain.pool.call("evm_increaseTime", (60,))
    await chain.mine()
    outgoing = EcdsaSet.of(last)
    incoming = EcdsaSet.of(make_next_set(last, await chain.timestamp()))
    names = ("bytes32", "bytes32", "uint32", "bytes32", "bytes32")
    values = (HANDOVER_TYPEHASH, NETWORK, last.epoch, outgoing.hash(), incoming.hash())
    digest = Digest(keccak256(encode(names, values)))
    certificates = [certify(each, keys, Vote.HANDOVER, digest, TWO_THIRDS) for each in (outgoing, incoming)]
    receipt = await chain.send("WeightedEcdsaVerifier", trust.verifier, "handover", *certificates)
    return int(receipt["gasUsed"], 16)


async def measure(chain: Deployer, operators: int) -> dict[str, Any]:
    """One case: its three transactions."""
    keys = make_keys(operators)
    operator_set = make_voting_set(make_secrets(operators), keys, await chain.timestamp())
    trust = await deploy_voting(chain, EcdsaSet.of(operator_set))
    guardian, target = await make_guardian(chain, trust, salt=operators)

    alert = await make_alert(chain.pool, operator_set, guardian)
    certificate = certify(EcdsaSet.of(operator_set), keys, Vote.ALERT, alert.digest(), PAUSE_SHARE)
    claim = (alert.digest(), alert.epoch, alert.header_hash, THRESHOLDS_BPS[Level.PAUSE], certificate)
    verified = await chain.send("WeightedEcdsaVerifier", trust.verifier, "verify", *claim)
    paused = await chain.send_data(guardian, encode_respond(alert, certificate), "Guardian.respond")
    if not await chain.read("PausableTarget", target, "paused"):
        raise RuntimeError("expected a paused target after respond; the figure would not be that of a pause")
    return {
        "scheme": "ecdsa",
        "operators": operators,
        "signers": (len(certificate) - len(EcdsaSet.of(operator_set).to_bytes()) - 2) // 66,
        "gas_verify": int(verified["gasUsed"], 16),
        "gas_pause": int(paused["gasUsed"], 16),
        "gas_handover": await measure_handover(chain, trust, operator_set, keys),
        "certificate_bytes": len(certificate),
        "state": "first-use",
    }


async def main() -> None:
    """Every case on one chain."""
    async with running_anvil(chain_id=CHAIN) as anvil, open_deployer(anvil) as chain:
        for operators in OPERATORS:
            print(json.dumps(await measure(chain, operators)), flush=True)


if __name__ == "__main__":
    trio.run(main)
