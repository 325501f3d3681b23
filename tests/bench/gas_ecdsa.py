"""Gas of whole transactions with votes by ECDSA, on a local chain: checked, paused by, handed over.

    python -m tests.bench.gas_ecdsa

One JSON line per size of the set, beside those of `tests.bench.gas` for BLS: a certificate carries as many
signatures as the threshold needs, weights are about equal, each pause is the first of a fresh guardian on a
fresh target. Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import trio

from consensus.alert import FLOORS, Level
from consensus.ecdsa import (
    EcdsaCertificate,
    EcdsaSecretKey,
    EcdsaSet,
    Vote,
    build_ecdsa_certificate,
    sign_vote,
)
from consensus.fields import keccak256
from consensus.handover import QUORUM, Handover
from consensus.operators import OperatorSet
from consensus.types import Address, Digest, HeaderHash, OperatorIndex
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import THRESHOLDS_BPS, deploy_trust
from tests.bench.ceilings import encode_respond, require_paused, successor, with_addresses
from tests.bench.gas import CHAIN, NETWORK, make_alert, make_guardian, make_operator_set, make_secrets
from tests.bench.paged import gas_of

OPERATORS = (7, 19, 50)
VERIFIER = "WeightedEcdsaVerifier"


def make_keys(operators: int) -> tuple[EcdsaSecretKey, ...]:
    """The same keys on every run."""
    return tuple(EcdsaSecretKey(keccak256(b"bench %d" % index)) for index in range(operators))


def certify(
    members: EcdsaSet, keys: Sequence[EcdsaSecretKey], vote: Vote, digest: Digest, share: tuple[int, int]
) -> EcdsaCertificate:
    """The shortest certificate that exceeds the share."""
    signatures = {OperatorIndex(index): sign_vote(key, vote, digest) for index, key in enumerate(keys)}
    return build_ecdsa_certificate(members, signatures, share=share)


async def measure_handover(
    chain: Deployer, verifier: Address, last: OperatorSet, keys: Sequence[EcdsaSecretKey]
) -> int:
    """Gas of the same operators' next set taking over, with its acceptance."""
    outgoing = EcdsaSet.of(last)
    incoming = EcdsaSet.of(successor(last, captured_at=await chain.timestamp()))
    handover = Handover(
        network_id=NETWORK,
        epoch=last.epoch,
        set_hash=HeaderHash(outgoing.hash()),
        next_set_hash=HeaderHash(incoming.hash()),
    )
    pair = [certify(each, keys, Vote.HANDOVER, handover.digest(), QUORUM) for each in (outgoing, incoming)]
    receipt = await chain.send(VERIFIER, verifier, "handover", *(each.to_bytes() for each in pair))
    epoch, _ = await chain.read(VERIFIER, verifier, "currentSet")
    if epoch != incoming.header.epoch:
        raise RuntimeError(f"expected epoch {incoming.header.epoch} after the handover, came {epoch}")
    return gas_of(receipt)


async def measure(chain: Deployer, operators: int) -> dict[str, Any]:
    """One size: its three transactions."""
    keys = make_keys(operators)
    bls_set = make_operator_set(make_secrets(operators), await chain.timestamp())
    operator_set = with_addresses(bls_set, [key.address() for key in keys])
    members = EcdsaSet.of(operator_set)
    trust = await deploy_trust(chain, NETWORK, members.to_bytes(), verifier=VERIFIER)
    guardian, target = await make_guardian(chain, trust, salt=operators)

    alert = await make_alert(chain.pool, operator_set, guardian)
    certificate = certify(members, keys, Vote.ALERT, alert.digest(), FLOORS[Level.PAUSE])
    encoded = certificate.to_bytes()
    claim = (alert.digest(), alert.epoch, alert.header_hash, THRESHOLDS_BPS[Level.PAUSE], encoded)
    verified = await chain.send(VERIFIER, trust.verifier, "verify", *claim)
    respond = encode_respond(chain, guardian, alert, encoded)
    paused = await chain.send_data(guardian, respond, "Guardian.respond")
    await require_paused(chain, target)
    return {
        "scheme": "ecdsa",
        "operators": operators,
        "signers": len(certificate.signatures),
        "gas_verify": gas_of(verified),
        "gas_pause": gas_of(paused),
        "gas_handover": await measure_handover(chain, trust.verifier, operator_set, keys),
        "certificate_bytes": len(encoded),
        "state": "first-use",
    }


async def main() -> None:
    """Every size on one chain."""
    async with running_anvil(chain_id=CHAIN) as anvil, open_deployer(anvil) as chain:
        for operators in OPERATORS:
            print(json.dumps(await measure(chain, operators)), flush=True)


if __name__ == "__main__":
    trio.run(main)
