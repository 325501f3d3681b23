"""Writes ecdsa.json: votes, sets and certificates of the chains without the BLS precompiles. Deterministic.

    python -m tests.vectors.generate_ecdsa

Expected values come from `consensus.ecdsa`; tests/consensus/test_ecdsa_vectors.py holds the file against a
new run, against eth_account, and against layouts put together by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from consensus.ecdsa import (
    ECDSA_ORDER,
    MAX_S,
    EcdsaCertificate,
    EcdsaSecretKey,
    EcdsaSet,
    EcdsaSignature,
    Vote,
    build_ecdsa_certificate,
    compute_message_hash,
    sign_vote,
    verify_ecdsa_certificate,
)
from consensus.errors import Refused
from consensus.operators import OperatorSet
from consensus.types import Bps, Digest, OperatorIndex
from tests.consensus.factories import EQUAL_WEIGHTS, NETWORK_ID, make_alert, make_bytes32, make_operator_set

PATH = Path(__file__).with_name("ecdsa.json")

UNEQUAL_WEIGHTS = tuple(units * 10**18 for units in (5_000, 3_000, 2_500, 1_500, 900, 700, 400))
PAUSE_BPS = 6_667
Json = dict[str, Any]


def secret_bytes(number: int) -> bytes:
    return (1 + int.from_bytes(sha256(b"ecdsa %d" % number).digest(), "big") % (ECDSA_ORDER - 1)).to_bytes(
        32, "big"
    )


@cache
def make_ecdsa_secret(number: int) -> EcdsaSecretKey:
    """The key of operator `number` in every set here."""
    return EcdsaSecretKey(secret_bytes(number))


@cache
def make_voting_set(weights: Sequence[int] = EQUAL_WEIGHTS, epoch: int = 1) -> OperatorSet:
    """An operator set whose addresses are those of `make_ecdsa_secret`; pass a tuple."""
    operator_set = make_operator_set(weights, epoch=epoch)
    operators = (
        replace(operator, address=make_ecdsa_secret(operator.index).address())
        for operator in operator_set.operators
    )
    return replace(operator_set, operators=tuple(operators))


def make_vote(number: int, digest: Digest, vote: Vote = Vote.ALERT) -> EcdsaSignature:
    return sign_vote(make_ecdsa_secret(number), vote, digest)


def certify(
    operators: EcdsaSet, digest: Digest, signers: Iterable[int], vote: Vote = Vote.ALERT
) -> EcdsaCertificate:
    """A certificate of just these signers, in this order."""
    return EcdsaCertificate(
        operators=operators,
        signatures=tuple((OperatorIndex(each), make_vote(each, digest, vote)) for each in signers),
    )


def render() -> str:
    """The file's text."""
    certificates = [*build_good(), *build_bad()]
    document = {
        "networkId": to_hex(NETWORK_ID),
        "alertTypehash": to_hex(Vote.ALERT.value),
        "handoverTypehash": to_hex(Vote.HANDOVER.value),
        "voteCount": len(VOTES),
        "votes": [describe_vote(vote, number, label) for vote, number, label in VOTES],
        "setCount": len(SETS),
        "sets": [describe_set(name, each) for name, each in SETS.items()],
        "count": len(certificates),
        "cases": certificates,
    }
    return json.dumps(document, indent=1) + "\n"


VOTES = [(vote, number, label) for vote in Vote for number in range(3) for label in ("one", "another")]
SETS = {
    "seven equal": make_voting_set(EQUAL_WEIGHTS),
    "seven unequal": make_voting_set(UNEQUAL_WEIGHTS),
    "one": make_voting_set((1,), epoch=0),
    "four at the widest weight": make_voting_set((2**96 - 1,) * 4, epoch=2**32 - 1),
    "fifty": make_voting_set(tuple(1_000 + 37 * index for index in range(50)), epoch=7),
}


def describe_vote(vote: Vote, number: int, label: str) -> Json:
    digest = Digest(make_bytes32(label))
    signature = make_vote(number, digest, vote).to_bytes()
    return {
        "kind": vote.name,
        "digest": to_hex(digest),
        "messageHash": to_hex(compute_message_hash(vote, digest)),
        "secretKey": to_hex(secret_bytes(number)),
        "signer": make_ecdsa_secret(number).address(),
        "r": to_hex(signature[:32]),
        "vs": to_hex(signature[32:]),
    }


def describe_set(name: str, operator_set: OperatorSet) -> Json:
    made = EcdsaSet.of(operator_set)
    return {
        "name": name,
        "header": to_hex(operator_set.header()),
        "addresses": [operator.address for operator in operator_set.operators],
        "weights": [str(operator.weight) for operator in operator_set.operators],
        "captureTime": str(operator_set.capture_time),
        "set": to_hex(made.to_bytes()),
        "setHash": to_hex(made.hash()),
    }


def build_good() -> list[Json]:
    equal, unequal, fifty = SETS["seven equal"], SETS["seven unequal"], SETS["fifty"]
    plans = [
        ("equal, five of seven, as many as are needed", equal, range(7), PAUSE_BPS),
        ("equal, five of seven, two absent", equal, (0, 2, 3, 5, 6), PAUSE_BPS),
        ("equal, three for a limit", equal, (1, 4, 6), 3_334),
        ("unequal, the three heaviest", unequal, range(7), PAUSE_BPS),
        ("unequal, without the heaviest", unequal, range(1, 7), 6_000),
        ("fifty", fifty, range(50), PAUSE_BPS),
    ]
    cases = []
    for name, operator_set, signers, bps in plans:
        digest = make_alert(operator_set).digest()
        signatures = {OperatorIndex(each): make_vote(each, digest) for each in signers}
        made = build_ecdsa_certificate(EcdsaSet.of(operator_set), signatures, share=(bps, 10_000))
        cases.append(describe_certificate(name, operator_set, made.to_bytes(), bps))
    everybody = certify(EcdsaSet.of(equal), make_alert(equal).digest(), range(7))
    cases.append(describe_certificate("equal, more than are needed", equal, everybody.to_bytes(), PAUSE_BPS))
    return cases


def build_bad() -> list[Json]:
    equal = SETS["seven equal"]
    operators = EcdsaSet.of(equal)
    digest = make_alert(equal).digest()
    good = certify(operators, digest, range(5)).to_bytes()
    votes_at = len(operators.to_bytes()) + 2
    one = slice(votes_at, votes_at + 66)
    two = slice(votes_at + 66, votes_at + 132)
    flipped = good[:-32] + bytes([good[-32] ^ 0x80]) + good[-31:]
    wrong = {
        "four of seven": certify(operators, digest, range(4)).to_bytes(),
        "nobody": certify(operators, digest, ()).to_bytes(),
        "votes to hand over": certify(operators, digest, range(5), Vote.HANDOVER).to_bytes(),
        "votes on another digest": certify(operators, Digest(make_bytes32("another")), range(5)).to_bytes(),
        "one vote twice": good[: one.start] + good[one] * 2 + good[two.stop :],
        "two votes exchanged": good[: one.start] + good[two] + good[one] + good[two.stop :],
        "one vote under another's index": good[: two.start]
        + good[two][:2]
        + good[one][2:]
        + good[two.stop :],
        "index beyond the set": good[:-66] + (7).to_bytes(2, "big") + good[-64:],
        "parity flipped": flipped,
        "s above half of the order": good[:-32] + (MAX_S + 1).to_bytes(32, "big"),
        "s of zero": good[:-32] + bytes(32),
        "r of zero": good[:-64] + bytes(32) + good[-32:],
        "r at the order": good[:-64] + ECDSA_ORDER.to_bytes(32, "big") + good[-32:],
        "a byte trails": good + b"\x00",
        "a byte lacks": good[:-1],
        "count one too high": good[: votes_at - 2] + (6).to_bytes(2, "big") + good[votes_at:],
        "count one too low": good[: votes_at - 2] + (4).to_bytes(2, "big") + good[votes_at:],
        "a weight changed": change(good, 302 + 31),
        "an address changed": change(good, 302 + 32),
        "the header changed": change(good, 22),
        "empty": b"",
    }
    return [describe_certificate(name, equal, data, PAUSE_BPS) for name, data in wrong.items()]


def change(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def describe_certificate(name: str, operator_set: OperatorSet, data: bytes, bps: int) -> Json:
    alert, operators = make_alert(operator_set), EcdsaSet.of(operator_set)
    case: Json = {
        "name": name,
        "set": to_hex(operators.to_bytes()),
        "captureTime": str(operator_set.capture_time),
        "digest": to_hex(alert.digest()),
        "epoch": operator_set.epoch,
        "headerHash": to_hex(operator_set.header_hash()),
        "thresholdBps": bps,
        "certificate": to_hex(data),
    }
    try:
        signed, total = verify_ecdsa_certificate(
            data, digest=alert.digest(), epoch=alert.epoch, set_hash=operators.hash(), threshold_bps=Bps(bps)
        )
    except Refused as refused:
        return {**case, "valid": False, "reason": refused.reason}
    return {**case, "valid": True, "signedWeight": str(signed), "totalWeight": str(total)}


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


if __name__ == "__main__":
    PATH.write_text(render())
