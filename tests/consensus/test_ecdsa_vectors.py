"""ecdsa.json is what its generator writes, and says what eth_account, eth_abi and layouts by hand say."""

import json
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account

from consensus.fields import keccak256
from tests.vectors.generate_ecdsa import PATH, SETS, render

DOCUMENT: dict[str, Any] = json.loads(PATH.read_text())


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_file_is_what_the_generator_writes() -> None:
    assert PATH.read_text() == render(), "run python -m tests.vectors.generate_ecdsa and commit"


@pytest.mark.parametrize("case", DOCUMENT["votes"])
def test_votes_are_those_of_eth_account(case: dict[str, Any]) -> None:
    type_hash = keccak256(
        {"ALERT": b"TocsinEcdsaAlert(bytes32 digest)", "HANDOVER": b"TocsinEcdsaHandover(bytes32 digest)"}[
            case["kind"]
        ]
    )
    message_hash = keccak256(encode(("bytes32", "bytes32"), (type_hash, from_hex(case["digest"]))))

    signed = Account.unsafe_sign_hash(message_hash, case["secretKey"])

    assert from_hex(case["messageHash"]) == message_hash
    assert Account.from_key(case["secretKey"]).address == case["signer"]
    assert int(case["r"], 16) == signed.r
    assert int(case["vs"], 16) == signed.s | (signed.v - 27) << 255


@pytest.mark.parametrize("case", DOCUMENT["sets"])
def test_sets_are_header_addresses_and_weights(case: dict[str, Any]) -> None:
    operator_set = SETS[case["name"]]
    expected = operator_set.header()
    for address, weight in zip(case["addresses"], case["weights"], strict=True):
        expected += from_hex(address) + int(weight).to_bytes(12, "big")

    assert from_hex(case["set"]) == expected
    assert from_hex(case["setHash"]) == keccak256(expected)


def test_weights_are_those_of_the_plan() -> None:
    valid = {case["name"]: int(case["signedWeight"]) for case in DOCUMENT["cases"] if case["valid"]}

    assert valid == {
        "equal, five of seven, as many as are needed": 5_000,
        "equal, five of seven, two absent": 5_000,
        "equal, three for a limit": 3_000,
        "unequal, the three heaviest": 10_500 * 10**18,
        "unequal, without the heaviest": 8_600 * 10**18,
        "fifty": sum(1_000 + 37 * index for index in range(22, 50)),
        "equal, more than are needed": 7_000,
    }
