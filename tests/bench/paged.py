"""Gas of certificates that point at keys on pages, and of what comes before the first of them.

    python -m tests.bench.paged

One JSON line per case, gas of whole transactions on a local chain. `gas_verify` only calls the verifier;
`gas_verify_flat` is the same signature in a flat certificate, which is what is sent where nobody is absent.
`gas_bind` is paid once per set and chain, `gas_page` once per chain for each page, about 44,000 a key.
Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
from typing import Any

import trio

from consensus.alert import Level
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import Certificate, build_certificate, encode_certificate
from consensus.operators import OperatorSet
from consensus.paging import encode_paged_certificate, place_keys
from consensus.types import Address, OperatorIndex
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import SUCCESSION, THRESHOLDS_BPS
from tests.bench.gas import (
    ABSENT_PERCENT,
    CHAIN,
    NETWORK,
    compute_absent,
    make_alert,
    make_operator_set,
    make_secrets,
)

OPERATORS = (50, 100, 200)

VERIFIER = "PagedQuorumVerifier"
NOBODY = Address("0x" + "00" * 20)


async def measure_paged(chain: Deployer, operators: int, percent: int) -> dict[str, Any]:
    """One case: pages, placement and certificate of a fresh verifier."""
    secrets = make_secrets(operators)
    operator_set = make_operator_set(secrets, await chain.timestamp())
    verifier = await chain.deploy(VERIFIER, NETWORK, operator_set.header(), SUCCESSION)
    placement = place_keys(operator_set)
    pages = [await chain.send(VERIFIER, verifier, "addKeys", page.keys) for page in placement.pages]
    bound = await chain.send(VERIFIER, verifier, "bind", operator_set.header(), placement.to_bytes())

    absent = compute_absent(operators, percent)
    certificate = await certify(chain, operator_set, secrets, absent)
    paged = encode_paged_certificate(certificate, placement.to_bytes())
    return {
        "operators": operators,
        "absent": len(absent),
        "pages": len(pages),
        "gas_verify": await verify(chain, verifier, certificate, paged),
        "gas_verify_flat": await verify(chain, verifier, certificate, encode_certificate(certificate)),
        "gas_bind": gas_of(bound),
        "gas_page": [gas_of(page) for page in pages],
        "certificate_bytes": len(paged),
    }


async def certify(
    chain: Deployer, operator_set: OperatorSet, secrets: tuple[SecretKey, ...], absent: tuple[int, ...]
) -> Certificate:
    """An alert that all but the absent have signed."""
    alert = await make_alert(chain.pool, operator_set, NOBODY)
    signatures = {
        OperatorIndex(index): sign(secret, Purpose.ALERT, alert.digest())
        for index, secret in enumerate(secrets)
        if index not in absent
    }
    return build_certificate(alert, operator_set, signatures)


async def verify(chain: Deployer, verifier: Address, certificate: Certificate, encoded: bytes) -> int:
    """Gas of a transaction that only has the certificate checked, for a pause; any kind of verifier."""
    alert = certificate.alert
    claim = (alert.digest(), alert.epoch, alert.header_hash, THRESHOLDS_BPS[Level.PAUSE], encoded)
    return gas_of(await chain.send(VERIFIER, verifier, "verify", *claim))


def gas_of(receipt: dict[str, Any]) -> int:
    return int(receipt["gasUsed"], 16)


async def main() -> None:
    """Every case on one chain."""
    async with running_anvil(chain_id=CHAIN) as anvil, open_deployer(anvil) as chain:
        for operators in OPERATORS:
            for percent in ABSENT_PERCENT:
                print(json.dumps(await measure_paged(chain, operators, percent)), flush=True)


if __name__ == "__main__":
    trio.run(main)
