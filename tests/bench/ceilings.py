"""What the contracts may cost, and what they do cost: whole transactions, each beside its ceiling.

    python -m tests.bench.ceilings

One JSON line a case: {"case", "operators", "absent", "gas", "at_most", "holds"}. Ends with 1 where one
is above its ceiling. Gas is the receipt's on a local chain: base, calldata, execution. A pause is the first
of a fresh guardian on a fresh target and is read back from the target; the second delivery sends the same
bytes again. Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import trio

from consensus.alert import FLOORS, Alert, Level, compute_network_id, compute_possession_digest
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import encode_certificate, encode_signatures
from consensus.ecdsa import EcdsaSecretKey, EcdsaSet, Vote, build_ecdsa_certificate, sign_vote
from consensus.handover import compute_handover
from consensus.operators import Operator, OperatorSet
from consensus.types import Address, Epoch, OperatorIndex, Seconds
from node.chain.contracts import Guardian
from node.chain.reader import ChainReader
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import SUCCESSION, deploy_trust
from node.devnet.staking import NetworkTerms, deploy_staking
from tests.bench.gas import CHAIN, NETWORK, make_alert, make_guardian, make_operator_set, make_secrets
from tests.bench.paged import certify, gas_of, measure_paged, verify

NO_ONE_ABSENT = (7, 19, 50, 100, 200)
VERIFY, VERIFY_TWO_ABSENT, VERIFY_PAGED, PAUSE = 160_000, 180_000, 270_000, 215_000
HANDOVER, REGISTRATION, SECOND_DELIVERY, PAUSE_ECDSA = 300_000, 430_000, 55_000, 120_000

BOND = 100 * 10**18
PEER_ID = bytes.fromhex("002408011220") + 31 * b"\x55"  # with one byte more as long as an Ed25519 peer id
METADATA = "https://watcher.example.org"
DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One whole transaction."""

    case: str
    operators: int
    absent: int = 0
    gas: int
    at_most: int

    def line(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "case": self.case,
            "operators": self.operators,
            "absent": self.absent,
            "gas": self.gas,
            "at_most": self.at_most,
            "holds": self.gas <= self.at_most,
        }


async def measure_verification(chain: Deployer, operators: int, absent: int, at_most: int) -> Case:
    """A transaction that only calls the flat verifier."""
    secrets = make_secrets(operators)
    operator_set = make_operator_set(secrets, await chain.timestamp())
    verifier = await chain.deploy("QuorumVerifier", NETWORK, operator_set.header(), SUCCESSION)
    missing = tuple(place * operators // absent for place in range(absent))
    certificate = await certify(chain, operator_set, secrets, missing)
    gas = await verify(chain, verifier, certificate, encode_certificate(certificate))
    return Case(case="verify", operators=operators, absent=absent, gas=gas, at_most=at_most)


async def measure_pause(chain: Deployer) -> tuple[Case, Case]:
    """A certificate of all seven that pauses a target, and the same transaction once more."""
    secrets = make_secrets(7)
    operator_set = make_operator_set(secrets, await chain.timestamp())
    trust = await deploy_trust(chain, NETWORK, operator_set.header())
    guardian, target = await make_guardian(chain, trust, salt=1)
    alert = await make_alert(chain.pool, operator_set, guardian)
    everyone = {
        OperatorIndex(index): sign(secret, Purpose.ALERT, alert.digest())
        for index, secret in enumerate(secrets)
    }
    respond = encode_respond(chain, guardian, alert, encode_signatures(operator_set, everyone))

    first = gas_of(await chain.send_data(guardian, respond, "Guardian.respond"))
    await require_paused(chain, target)
    second = gas_of(await chain.send_data(guardian, respond, "Guardian.respond"))

    return (
        Case(case="verify_and_pause", operators=7, gas=first, at_most=PAUSE),
        Case(case="second_delivery", operators=7, gas=second, at_most=SECOND_DELIVERY),
    )


async def measure_pause_by_ecdsa(chain: Deployer) -> Case:
    """The same where the BLS precompiles are missing, with as many signatures as the threshold needs."""
    keys = [EcdsaSecretKey((index + 1).to_bytes(32, "big")) for index in range(7)]
    bls_set = make_operator_set(make_secrets(7), await chain.timestamp())
    operator_set = with_addresses(bls_set, [key.address() for key in keys])
    members = EcdsaSet.of(operator_set)
    trust = await deploy_trust(chain, NETWORK, members.to_bytes(), verifier="WeightedEcdsaVerifier")
    guardian, target = await make_guardian(chain, trust, salt=2)
    alert = await make_alert(chain.pool, operator_set, guardian)
    votes = {
        OperatorIndex(index): sign_vote(key, Vote.ALERT, alert.digest()) for index, key in enumerate(keys)
    }
    certificate = build_ecdsa_certificate(members, votes, share=FLOORS[Level.PAUSE])
    respond = encode_respond(chain, guardian, alert, certificate.to_bytes())

    gas = gas_of(await chain.send_data(guardian, respond, "Guardian.respond"))

    await require_paused(chain, target)
    absent = 7 - len(certificate.signatures)
    return Case(case="verify_and_pause_ecdsa", operators=7, absent=absent, gas=gas, at_most=PAUSE_ECDSA)


async def measure_handover(chain: Deployer, operators: int) -> Case:
    """One set hands over to the next, which accepts."""
    secrets = make_secrets(operators)
    now = await chain.timestamp()
    outgoing = make_operator_set(secrets, now - DAY)
    verifier = await chain.deploy("QuorumVerifier", NETWORK, outgoing.header(), SUCCESSION)
    incoming = successor(outgoing, captured_at=now)
    digest = compute_handover(NETWORK, outgoing, incoming).digest()
    signatures = {
        OperatorIndex(index): sign(secret, Purpose.HANDOVER, digest) for index, secret in enumerate(secrets)
    }
    pair = encode_signatures(outgoing, signatures), encode_signatures(incoming, signatures)

    receipt = await chain.send("QuorumVerifier", verifier, "handover", *pair)

    epoch, _ = await chain.read("QuorumVerifier", verifier, "currentSet")
    if epoch != incoming.epoch:
        raise RuntimeError(f"expected epoch {incoming.epoch} after the handover, came {epoch}")
    return Case(case="handover", operators=operators, gas=gas_of(receipt), at_most=HANDOVER)


async def measure_registration(chain: Deployer) -> Case:
    """An operator's second to last step: possession, stake, peer id and metadata. The second of a network."""
    token = await chain.deploy("DemoToken", "Bond", "BOND")
    terms = NetworkTerms(
        min_stake=BOND,
        min_epoch_seconds=Seconds(DAY),
        header_lifetime_seconds=Seconds(7 * DAY),
        evidence_window_seconds=Seconds(7 * DAY),
        unbonding_seconds=Seconds(21 * DAY),
    )
    staking = await deploy_staking(chain, token, terms)
    receipt: dict[str, Any] = {}
    for index, secret in enumerate(make_secrets(2)):
        account = chain.accounts[index]
        await chain.send("DemoToken", token, "mint", account, BOND)
        await chain.send("DemoToken", token, "approve", staking.stake_source, BOND, sender=account)
        registration = make_registration(chain, staking.registry, account, secret, index)
        receipt = await chain.send(
            "OperatorRegistry", staking.registry, "register", registration, sender=account
        )
    return Case(case="register", operators=2, gas=gas_of(receipt), at_most=REGISTRATION)


def make_registration(
    chain: Deployer, registry: Address, account: Address, secret: SecretKey, index: int
) -> tuple[bytes, bytes, bytes, str, bytes]:
    """The struct that `register` takes."""
    public_key = secret.public_key().raw
    digest = compute_possession_digest(
        compute_network_id(chain.chain_id, registry),
        chain_id=chain.chain_id,
        registry=registry,
        operator=account,
        public_key=public_key,
    )
    possession = sign(secret, Purpose.POSSESSION, digest).to_xy_bytes()
    return public_key, possession, PEER_ID + bytes([index]), METADATA, BOND.to_bytes(32, "big")


def with_addresses(operator_set: OperatorSet, addresses: list[Address]) -> OperatorSet:
    """The same set, registered from these accounts."""
    operators = tuple(
        Operator(
            index=operator.index,
            address=address,
            weight=operator.weight,
            public_key=operator.public_key,
            peer_id=operator.peer_id,
        )
        for operator, address in zip(operator_set.operators, addresses, strict=True)
    )
    return _captured(operator_set, operator_set.epoch, operator_set.capture_time, operators, bytes(32))


def successor(operator_set: OperatorSet, *, captured_at: int) -> OperatorSet:
    """The same operators in the next epoch."""
    return _captured(
        operator_set,
        Epoch(operator_set.epoch + 1),
        Seconds(captured_at),
        operator_set.operators,
        operator_set.header_hash(),
    )


def _captured(
    like: OperatorSet, epoch: Epoch, at: Seconds, operators: tuple[Operator, ...], previous: bytes
) -> OperatorSet:
    return OperatorSet(
        epoch=epoch,
        operators=operators,
        capture_block=like.capture_block,
        capture_time=at,
        valid_until=like.valid_until,
        prev_header_hash=type(like.prev_header_hash)(previous),
    )


def encode_respond(chain: Deployer, guardian: Address, alert: Alert, certificate: bytes) -> bytes:
    """Calldata for the alert's one action."""
    contract = Guardian(guardian, ChainReader(chain.pool))
    return contract.encode_delivery(alert, alert.actions[0], certificate)


async def require_paused(chain: Deployer, target: Address) -> None:
    """Else the figure would not be that of a pause."""
    if not await chain.read("PausableTarget", target, "paused"):
        raise RuntimeError(f"expected a paused target at {target} after respond, it is not")


async def measure_all(chain: Deployer) -> AsyncIterator[Case]:
    """Every case with a ceiling."""
    for operators in NO_ONE_ABSENT:
        yield await measure_verification(chain, operators, 0, VERIFY)
    yield await measure_verification(chain, 19, 2, VERIFY_TWO_ABSENT)
    paged = await measure_paged(chain, 100, 33)
    yield Case(case="verify_paged", operators=100, absent=33, gas=paged["gas_verify"], at_most=VERIFY_PAGED)
    for case in await measure_pause(chain):
        yield case
    yield await measure_handover(chain, 100)
    yield await measure_registration(chain)
    yield await measure_pause_by_ecdsa(chain)


async def main() -> int:
    """Print every case; 1 when one is above its ceiling."""
    above = 0
    async with running_anvil(chain_id=CHAIN) as anvil, open_deployer(anvil) as chain:
        async for case in measure_all(chain):
            line = case.line()
            above += not line["holds"]
            print(json.dumps(line), flush=True)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
